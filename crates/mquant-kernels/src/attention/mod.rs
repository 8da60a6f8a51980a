//! Softmax attention over rows of heads: y = softmax(q·kᵀ/√head_dim + mask)·v, with grouped keys and values.
//!
//! Enters: query rows of some sequences, and their keys and values in f32 or in codes. Leaves: rows × (heads · head_dim).
//! The mask follows positions, not row numbers, so rows may come in any order and in several pieces.
//!
//! A row's result depends on its query and on what it sees, to the bit, at one instruction level: not on the rows, jobs,
//! passes or threads it is computed with. For that, keys are taken in fixed blocks and spans from key 0 on, sums of a
//! block run over keys in order, and weights are relative to whole powers of two ([`softmax`]). Levels differ by the
//! order and the fusing of f32 sums only.

mod softmax;
mod lanes;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;
mod kv_tile;
mod space;
mod tile;
mod plan;

use std::ops::Range;

use crate::data::Rows;
#[cfg(target_arch = "x86_64")]
use crate::features::Level;
use crate::features::{Cpu, Features, Kernel, pick};
use crate::kv_codes::KvCodes;

use kv_tile::{Form, KEYS, Layout};
use lanes::Group;
use tile::Call;

/// Heads of an attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Features of a head.
    pub head_dim: usize,
}

/// Which keys a query sees.
#[derive(Clone, Copy, Debug)]
pub enum Mask<'a> {
    /// All of them.
    Full,
    /// Those at its own position and before: one original position for each query row; key `i` has position `i`.
    Causal(&'a [u32]),
    /// The last `width` of those: from max(0, position + 1 − width) to its own.
    Window {
        /// One original position for each query row.
        positions: &'a [u32],
        /// Keys a query sees at most.
        width: usize,
    },
}

/// Keys and values of one sequence.
#[derive(Clone, Copy, Debug)]
pub enum KeyValues<'a> {
    /// In f32.
    Float {
        /// Length × (kv_heads · head_dim), row-major.
        keys: &'a [f32],
        /// Like `keys`.
        values: &'a [f32],
    },
    /// In 8-bit codes.
    Codes(&'a KvCodes),
}

/// How query-key and weight-value products are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Products {
    /// In f32: the float model.
    F32,
    /// Factors rounded to bf16, sums in f32: the integer model. The weights that a row's values are divided by the sum of
    /// are the rounded ones.
    Bf16,
}

/// One sequence's queries and the keys and values they look at.
#[derive(Clone, Copy, Debug)]
pub struct AttendJob<'a> {
    /// First query row.
    pub first_row: usize,
    /// Number of query rows.
    pub rows: usize,
    /// What they look at.
    pub kv: KeyValues<'a>,
    /// Which keys each query sees.
    pub mask: Mask<'a>,
}

impl AttendJob<'_> {
    /// Number of keys.
    fn keys(&self, shape: HeadShape) -> usize {
        match self.kv {
            KeyValues::Float { keys, .. } => keys.len() / (shape.kv_heads * shape.head_dim),
            KeyValues::Codes(codes) => codes.len(),
        }
    }

    /// Keys that query row `row` of this job sees.
    fn seen(&self, row: usize, shape: HeadShape) -> Range<usize> {
        match self.mask {
            Mask::Full => 0..self.keys(shape),
            Mask::Causal(positions) => 0..positions[row] as usize + 1,
            Mask::Window { positions, width } => {
                let end = positions[row] as usize + 1;
                end.saturating_sub(width)..end
            }
        }
    }

    /// From the first to the last key that any of some rows sees.
    fn seen_by(&self, rows: Range<usize>, shape: HeadShape) -> Range<usize> {
        if let Mask::Full = self.mask {
            return 0..self.keys(shape);
        }
        let all = rows.map(|row| self.seen(row, shape)).filter(|seen| !seen.is_empty());
        all.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0)
    }

    /// Lays out one head's keys and values of a block.
    fn pack(&self, call: &Call<'_>, head: usize, block: usize, to: &mut [u32]) {
        let keys = block * KEYS..((block + 1) * KEYS).min(self.keys(call.shape));
        call.layout.pack(call.cpu, self.kv, kv_tile::Part { head, kv_heads: call.shape.kv_heads, keys }, to);
    }

    /// # Panics
    /// If keys, values and mask do not fit each other and the shape.
    fn check(&self, shape: HeadShape) {
        let features = shape.kv_heads * shape.head_dim;
        match self.kv {
            KeyValues::Float { keys, values } => {
                assert!(keys.len() == values.len() && keys.len().is_multiple_of(features), "keys and values");
            }
            KeyValues::Codes(codes) => {
                assert_eq!((codes.features(), codes.head_dim()), (features, shape.head_dim), "coded features");
            }
        }
        if let Mask::Causal(positions) | Mask::Window { positions, .. } = self.mask {
            assert_eq!(positions.len(), self.rows, "positions and rows");
            let (keys, last) = (self.keys(shape), positions.iter().max().map_or(0, |last| *last as usize + 1));
            assert!(last <= keys, "a query sees {last} keys of {keys}");
        }
    }
}

/// How a group of rows takes in a block, for one form of words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupKernel {
    form: Form,
    attend: unsafe fn(&mut Group<'_>),
}

const fn kernel(
    name: &'static str,
    needs: Features,
    form: Form,
    attend: unsafe fn(&mut Group<'_>),
) -> Kernel<GroupKernel> {
    Kernel { name, needs, run: GroupKernel { form, attend } }
}

/// Every kernel of each kind of products, best first; the last is the definition.
pub(crate) fn kernels(products: Products) -> &'static [Kernel<GroupKernel>] {
    const F32: &[Kernel<GroupKernel>] = &[
        #[cfg(target_arch = "x86_64")]
        kernel("avx512", Level::Avx512.needs(), Form::Single, x86::avx512_single),
        #[cfg(target_arch = "x86_64")]
        kernel("avx2", Level::Avx2.needs(), Form::Single, x86::avx2_single),
        kernel("scalar", Features::NONE, Form::Single, portable::single),
    ];
    const BF16: &[Kernel<GroupKernel>] = &[
        #[cfg(target_arch = "x86_64")]
        kernel("avx512bf16", Level::Avx512.needs().with(Features::AVX512_BF16), Form::Pairs, x86::avx512_pairs),
        #[cfg(target_arch = "x86_64")]
        kernel("avx512", Level::Avx512.needs(), Form::Rounded, x86::avx512_rounded),
        #[cfg(target_arch = "x86_64")]
        kernel("avx2", Level::Avx2.needs(), Form::Rounded, x86::avx2_rounded),
        kernel("scalar", Features::NONE, Form::Rounded, portable::rounded),
    ];
    match products {
        Products::F32 => F32,
        Products::Bf16 => BF16,
    }
}

/// A kernel that this CPU can run.
#[derive(Clone, Copy)]
struct Checked(&'static GroupKernel);

impl Checked {
    fn run(self, group: &mut Group<'_>) {
        // SAFETY: `attend` takes only kernels whose features the CPU has.
        unsafe { (self.0.attend)(group) }
    }
}

/// The result while tasks write to it.
struct SharedRows {
    values: *mut f32,
    rows: usize,
    features: usize,
}

// SAFETY: it gives parts out by an unsafe function only, whose callers keep them apart.
unsafe impl Sync for SharedRows {}

impl SharedRows {
    /// Some values of a row.
    ///
    /// # Safety
    /// Nobody else has any of them, and the rows live.
    #[expect(clippy::mut_from_ref, reason = "parts are kept apart by the caller")]
    unsafe fn part(&self, row: usize, range: Range<usize>) -> &mut [f32] {
        assert!(row < self.rows && range.start <= range.end && range.end <= self.features);
        // SAFETY: inside the rows, as just checked; the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.values.add(row * self.features + range.start), range.len()) }
    }
}

/// Attention of every job into rows × (heads · head_dim). Rows no job names, and rows that see no key, are 0.
///
/// # Panics
/// If shapes disagree, jobs are not in row order or a mask names a key that is not there.
pub(crate) fn attend(cpu: Cpu, q: &Rows, shape: HeadShape, products: Products, jobs: &[AttendJob<'_>]) -> Rows {
    let features = shape.heads * shape.head_dim;
    assert!(features > 0 && q.features() == features, "query features");
    assert!(shape.kv_heads > 0 && shape.heads.is_multiple_of(shape.kv_heads), "heads that share keys");
    let mut y = Rows::for_overwrite(q.rows(), features);
    let mut at = 0;
    for job in jobs {
        assert!(job.first_row >= at && job.first_row + job.rows <= q.rows(), "jobs in row order");
        job.check(shape);
        y.as_mut_slice()[at * features..job.first_row * features].fill(0.0);
        at = job.first_row + job.rows;
    }
    y.as_mut_slice()[at * features..].fill(0.0);
    let kernel = Checked(&pick(kernels(products), cpu).run);
    let layout = Layout { form: kernel.0.form, head_dim: shape.head_dim };
    let output = SharedRows { values: y.as_mut_slice().as_mut_ptr(), rows: q.rows(), features };
    plan::run(&Call { cpu, kernel, layout, shape, q, output }, jobs);
    y
}

#[cfg(test)]
mod tests;
