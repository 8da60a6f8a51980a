//! The tile body every instruction set shares: products of queries with keys, their exponentials, products with values.
//!
//! Factors come as 32-bit words: one f32, or a pair of bf16 whose products an instruction adds at once. Sums are f32 and
//! run over the words in order, so a row's bits do not depend on the rows that share its tile.

use super::kv_tile::{ABREAST, KEYS};
use super::softmax::power;

/// Rows of a group: they share the words of a KV tile that were loaded.
pub(super) const ROWS: usize = 6;

/// What one instruction set does with a vector of words.
///
/// # Safety
/// Everything here may only run where the CPU has the instructions of the implementor, on memory that holds `COUNT`
/// words (`splat`: one).
pub(super) trait Lanes {
    /// Sums in f32.
    type Sums: Copy;
    /// Factors.
    type Words: Copy;
    /// Words of a vector; divides 16.
    const COUNT: usize;
    /// Values of a word.
    const PER: usize;
    /// Vectors of a row that are summed at once: as many as registers hold for [`ROWS`] rows.
    const WIDE: usize;

    unsafe fn zero() -> Self::Sums;
    unsafe fn load(from: *const f32) -> Self::Sums;
    unsafe fn store(to: *mut f32, sums: Self::Sums);
    unsafe fn words(from: *const u32) -> Self::Words;
    unsafe fn splat(from: *const u32) -> Self::Words;
    /// `sums` + the products of `a` and `b`.
    unsafe fn dot(sums: Self::Sums, a: Self::Words, b: Self::Words) -> Self::Sums;
    /// [`softmax::weigh`](super::softmax::weigh) of a multiple of 32 scores.
    unsafe fn weigh(scores: &[f32], scale: f32, before: f32, weights: &mut [u32]) -> (f32, f32);
}

/// Up to [`ROWS`] query rows of one head and one block of keys and values.
pub(super) struct Group<'a> {
    /// Rows there are.
    pub(super) rows: usize,
    /// `ROWS × steps` words.
    pub(super) queries: &'a [u32],
    /// `KEYS / ABREAST × steps × ABREAST` words.
    pub(super) keys: &'a [u32],
    /// `KEYS / values of a word × width` words, finite as far as the rows see.
    pub(super) values: &'a [u32],
    /// Features of a head, rounded up to whole vectors of 16.
    pub(super) width: usize,
    /// Which keys of the block each row sees: from, up to but without.
    pub(super) seen: [(usize, usize); ROWS],
    /// log₂ e / √head_dim.
    pub(super) scale: f32,
    /// Of each row: a whole number not below any score · scale so far.
    pub(super) highest: &'a mut [f32],
    /// Of each row: the sum of its weights 2^(score · scale − highest).
    pub(super) total: &'a mut [f32],
    /// `ROWS × width`: the weighted sum of values.
    pub(super) sums: &'a mut [f32],
    /// Space for one group.
    pub(super) space: &'a mut Space,
}

/// Scores and weights of a group.
#[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
pub(super) struct Space {
    scores: [[f32; KEYS]; ROWS],
    weights: [[u32; KEYS]; ROWS],
}

/// Adds a block to the rows of a group.
///
/// # Safety
/// The CPU has the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn attend<L: Lanes>(g: &mut Group<'_>) {
    let reach = g.seen[..g.rows].iter().map(|seen| seen.1).max().unwrap_or(0);
    let (steps, rounds) = (g.queries.len() / ROWS, reach.div_ceil(L::PER));
    // Every offset below is within these.
    assert!(g.rows <= ROWS && reach <= KEYS && g.width.is_multiple_of(16));
    assert!(g.keys.len() >= steps * KEYS && g.values.len() >= rounds * g.width);
    assert!(g.sums.len() >= ROWS * g.width && g.highest.len() >= g.rows && g.total.len() >= g.rows);
    let scores = Operands {
        a: g.queries.as_ptr(),
        a_stride: steps,
        b: g.keys.as_ptr(),
        b_columns: ABREAST,
        steps,
        c: g.space.scores.as_mut_ptr().cast(),
        c_stride: KEYS,
    };
    // SAFETY: lengths checked above; scores are ROWS × KEYS.
    unsafe { product::<L, false>(&scores, g.rows, reach.div_ceil(L::COUNT)) };
    let used = reach.next_multiple_of(32);
    for (row, (from, to)) in g.seen.into_iter().enumerate().take(g.rows) {
        let scores = &mut g.space.scores[row][..used];
        scores[..from].fill(f32::NEG_INFINITY);
        scores[to..].fill(f32::NEG_INFINITY);
        let before = g.highest[row];
        // SAFETY: the caller's promise.
        let (highest, total) = unsafe { L::weigh(scores, g.scale, before, &mut g.space.weights[row][..used]) };
        let fade = power(before - highest);
        if fade != 1.0 {
            g.sums[row * g.width..(row + 1) * g.width].iter_mut().for_each(|v| *v *= fade);
        }
        g.highest[row] = highest;
        g.total[row] = g.total[row] * fade + total;
    }
    let values = Operands {
        a: g.space.weights.as_ptr().cast(),
        a_stride: KEYS,
        b: g.values.as_ptr(),
        b_columns: g.width,
        steps: rounds,
        c: g.sums.as_mut_ptr(),
        c_stride: g.width,
    };
    // SAFETY: lengths checked above; weights are ROWS × KEYS.
    unsafe { product::<L, true>(&values, g.rows, g.width / L::COUNT) };
}

/// c = a·b or c + a·b: `a` rows × steps, `b` steps × columns, `c` rows × columns.
struct Operands {
    a: *const u32,
    a_stride: usize,
    b: *const u32,
    /// Columns that lie side by side; the next ones follow after all steps.
    b_columns: usize,
    steps: usize,
    c: *mut f32,
    c_stride: usize,
}

/// `rows` × `vectors` of `c`. With more rows than one, [`ROWS`] are computed and written.
///
/// # Safety
/// The operands hold that much; the CPU has the instructions of `L`.
#[inline(always)]
unsafe fn product<L: Lanes, const ADD: bool>(of: &Operands, rows: usize, vectors: usize) {
    let mut at = 0;
    while at < vectors {
        let left = (vectors - at).min((of.b_columns - at * L::COUNT % of.b_columns) / L::COUNT);
        let take = left.div_ceil(left.div_ceil(L::WIDE));
        // SAFETY: the caller's promise; the vectors from `at` on are among `vectors`.
        unsafe {
            match (rows, take) {
                (1, 1) => tile::<L, ADD, 1, 1>(of, at),
                (1, 2) => tile::<L, ADD, 1, 2>(of, at),
                (1, 3) => tile::<L, ADD, 1, 3>(of, at),
                (1, _) => tile::<L, ADD, 1, 4>(of, at),
                (_, 1) => tile::<L, ADD, ROWS, 1>(of, at),
                (_, 2) => tile::<L, ADD, ROWS, 2>(of, at),
                (_, 3) => tile::<L, ADD, ROWS, 3>(of, at),
                _ => tile::<L, ADD, ROWS, 4>(of, at),
            }
        }
        at += take;
    }
}

/// `R` rows × `V` vectors of `c`, from vector `at` on.
///
/// # Safety
/// As for [`product`].
#[inline(always)]
unsafe fn tile<L: Lanes, const ADD: bool, const R: usize, const V: usize>(of: &Operands, at: usize) {
    // SAFETY: the caller's promise covers every offset: rows below `R`, steps below `steps`, vectors `at .. at + V`.
    unsafe {
        let mut sums = [[L::zero(); V]; R];
        let (mut a, mut c) = ([of.a; R], [of.c; R]);
        for r in 0..R {
            a[r] = of.a.add(r * of.a_stride);
            c[r] = of.c.add(r * of.c_stride + at * L::COUNT);
            if ADD {
                for (v, sum) in sums[r].iter_mut().enumerate() {
                    *sum = L::load(c[r].add(v * L::COUNT));
                }
            }
        }
        let column = at * L::COUNT;
        let mut b = of.b.add(column / of.b_columns * of.b_columns * of.steps + column % of.b_columns);
        for step in 0..of.steps {
            let mut words = [L::words(b); V];
            for (v, words) in words.iter_mut().enumerate() {
                *words = L::words(b.add(v * L::COUNT));
            }
            b = b.wrapping_add(of.b_columns);
            for r in 0..R {
                let one = L::splat(a[r].add(step));
                for (sum, words) in sums[r].iter_mut().zip(words) {
                    *sum = L::dot(*sum, one, words);
                }
            }
        }
        for r in 0..R {
            for (v, sum) in sums[r].into_iter().enumerate() {
                L::store(c[r].add(v * L::COUNT), sum);
            }
        }
    }
}
