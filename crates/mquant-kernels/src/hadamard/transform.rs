//! Multiplying rows by the factors of a rotation, where they lie.

use super::LARGEST_DENSE;
use super::orders::Signs;
use crate::features::per_level;

/// Values that are worked on side by side.
const LANES: usize = 16;
type Lanes = [f32; LANES];

/// Inputs whose signed sums are made once for all outputs.
const GROUP: usize = 4;
/// Groups whose signed sums are kept at a time: they fill a quarter of a first-level cache.
const GROUPS_AT_ONCE: usize = 8;
/// The largest order whose signed sums are all kept.
const SMALL: usize = GROUP * GROUPS_AT_ONCE;

/// Values that all passes are done on before the next ones: half a first-level cache.
const BLOCK: usize = 4096;

/// Which way to rotate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// By H.
    Forward,
    /// By Hᵀ.
    Inverse,
}

/// A matrix of ±1 that is multiplied out: for each output, which of the signed sums of each group of inputs it adds up.
#[derive(Debug)]
pub(super) struct Dense {
    order: usize,
    forward: Vec<u8>,
    inverse: Vec<u8>,
}

impl Dense {
    pub(super) fn new(signs: &Signs) -> Self {
        let order = signs.order();
        let patterns = |negative: &dyn Fn(usize, usize) -> bool| {
            let of_group = |i: usize| (0..GROUP).map(move |bit| (i, bit));
            (0..order * order / GROUP)
                .map(|i| {
                    of_group(i)
                        .map(|(i, bit)| u8::from(negative(i * GROUP / order, i * GROUP % order + bit)) << bit)
                        .sum()
                })
                .collect()
        };
        let forward = patterns(&|i, j| signs.at(i, j) < 0);
        let inverse = patterns(&|i, j| signs.at(j, i) < 0);
        Self { order, forward, inverse }
    }

    pub(super) fn order(&self) -> usize {
        self.order
    }
}

/// Where the values of some columns lie in a row: the first of each, the next ones `inner` further each.
#[derive(Clone, Copy)]
enum Columns {
    /// Side by side.
    Along(usize),
    /// Anywhere; the first so many count.
    Scattered([usize; LANES], usize),
}

#[inline(always)]
fn load(row: &[f32], columns: &Columns, offset: usize) -> Lanes {
    match columns {
        Columns::Along(from) => row[from + offset..].first_chunk().copied().unwrap_or([0.0; LANES]),
        Columns::Scattered(from, _) => from.map(|from| row[from + offset]),
    }
}

#[inline(always)]
fn store(row: &mut [f32], columns: &Columns, offset: usize, values: &Lanes) {
    match columns {
        Columns::Along(from) => row[from + offset..][..LANES].copy_from_slice(values),
        Columns::Scattered(from, count) => {
            from.iter().zip(values).take(*count).for_each(|(from, value)| row[from + offset] = *value);
        }
    }
}

#[inline(always)]
fn sum(a: &Lanes, b: &Lanes) -> Lanes {
    std::array::from_fn(|i| a[i] + b[i])
}

#[inline(always)]
fn difference(a: &Lanes, b: &Lanes) -> Lanes {
    std::array::from_fn(|i| a[i] - b[i])
}

/// ±a ± b, bit 0 of the place for a minus before a, bit 1 for b.
#[inline(always)]
fn signed_sums(a: &Lanes, b: &Lanes) -> [Lanes; 4] {
    let (sum, difference) = (sum(a, b), difference(a, b));
    [sum, difference.map(|v| -v), difference, sum.map(|v| -v)]
}

/// Columns of `order` values that lie `inner` apart, each multiplied by the matrix that `patterns` describe:
/// y[i] = Σ over groups, ascending, of (±x[0] ± x[1]) + (±x[2] ± x[3]).
#[inline(always)]
fn dense_body<const MOST: usize>(row: &mut [f32], order: usize, patterns: &[u8], inner: usize) {
    let columns = row.len() / order;
    let first_of = |column: usize| column / inner * inner * order + column % inner;
    let mut sums = [[[0f32; LANES]; 1 << GROUP]; GROUPS_AT_ONCE];
    let mut y = [[0f32; LANES]; MOST];
    for column in (0..columns).step_by(LANES) {
        let place = if inner.is_multiple_of(LANES) {
            Columns::Along(first_of(column))
        } else {
            let last = columns - 1;
            Columns::Scattered(std::array::from_fn(|i| first_of(last.min(column + i))), columns - column)
        };
        for (at, groups) in (0..order).step_by(SMALL).enumerate() {
            let groups = groups / GROUP..(order / GROUP).min(groups / GROUP + GROUPS_AT_ONCE);
            for (sums, group) in sums.iter_mut().zip(groups.clone()) {
                let x: [Lanes; GROUP] = std::array::from_fn(|i| load(row, &place, (group * GROUP + i) * inner));
                let (low, high) = (signed_sums(&x[0], &x[1]), signed_sums(&x[2], &x[3]));
                for (i, to) in sums.iter_mut().enumerate() {
                    *to = sum(&low[i % 4], &high[i / 4]);
                }
            }
            for (y, patterns) in y.iter_mut().zip(patterns.chunks_exact(order / GROUP)) {
                let mut picks = sums.iter().zip(&patterns[groups.clone()]).map(|(sums, p)| &sums[usize::from(p % 16)]);
                if at == 0 {
                    *y = picks.next().copied().unwrap_or([0.0; LANES]);
                }
                *y = picks.fold(*y, |y, pick| sum(&y, pick));
            }
        }
        for (i, y) in y.iter().enumerate().take(order) {
            store(row, &place, i * inner, y);
        }
    }
}

#[inline(always)]
fn small_body(row: &mut [f32], order: usize, patterns: &[u8], inner: usize) {
    dense_body::<SMALL>(row, order, patterns, inner);
}

#[inline(always)]
fn large_body(row: &mut [f32], order: usize, patterns: &[u8], inner: usize) {
    dense_body::<LARGEST_DENSE>(row, order, patterns, inner);
}

per_level! { fn small(row: &mut [f32], order: usize, patterns: &[u8], inner: usize) = small_body }
per_level! { fn large(row: &mut [f32], order: usize, patterns: &[u8], inner: usize) = large_body }

/// Multiplies all columns of `matrix.order()` values that lie `inner` apart.
pub(super) fn dense(cpu: crate::features::Cpu, row: &mut [f32], matrix: &Dense, inner: usize, turn: Turn) {
    let patterns = match turn {
        Turn::Forward => &matrix.forward,
        Turn::Inverse => &matrix.inverse,
    };
    if matrix.order <= SMALL {
        small(cpu, row, matrix.order, patterns, inner);
    } else {
        large(cpu, row, matrix.order, patterns, inner);
    }
}

/// a + b, a − b of the values H apart.
#[inline(always)]
fn within<const H: usize>(v: &Lanes) -> Lanes {
    std::array::from_fn(|i| v[i ^ H] + if i & H == 0 { v[i] } else { -v[i] })
}

/// All passes of less than 16 apart, for transforms of `size`.
#[inline(always)]
fn lanes_body(mut v: Lanes, size: usize) -> Lanes {
    if size >= 2 {
        v = within::<1>(&v);
    }
    if size >= 4 {
        v = within::<2>(&v);
    }
    if size >= 8 {
        v = within::<4>(&v);
    }
    if size >= 16 {
        v = within::<8>(&v);
    }
    v
}

/// log₂ R passes over values `apart`, 2·apart, … from each other.
#[inline(always)]
fn pass<const R: usize>(row: &mut [f32], apart: usize) {
    for block in row.chunks_exact_mut(R * apart) {
        for from in (0..apart).step_by(LANES) {
            let place = Columns::Along(from);
            let mut v: [Lanes; R] = std::array::from_fn(|i| load(block, &place, i * apart));
            let mut h = 1;
            while h < R {
                v = std::array::from_fn(
                    |i| {
                        if i & h == 0 { sum(&v[i], &v[i ^ h]) } else { difference(&v[i ^ h], &v[i]) }
                    },
                );
                h *= 2;
            }
            for (i, v) in v.iter().enumerate() {
                store(block, &place, i * apart, v);
            }
        }
    }
}

/// Passes over values `from`, 2·from, … `to`/2 apart.
#[inline(always)]
fn passes(row: &mut [f32], from: usize, to: usize) {
    let mut apart = from;
    while apart < to {
        match to / apart {
            2 => pass::<2>(row, apart),
            4 => pass::<4>(row, apart),
            _ => pass::<8>(row, apart),
        }
        apart *= 8.min(to / apart);
    }
}

#[inline(always)]
fn powers_of_two_body(row: &mut [f32], size: usize) {
    for block in row.chunks_mut(size.max(LANES).min(BLOCK)) {
        let (chunks, tail) = block.as_chunks_mut::<LANES>();
        for chunk in chunks {
            *chunk = lanes_body(*chunk, size);
        }
        let mut padded = [0.0; LANES];
        padded[..tail.len()].copy_from_slice(tail);
        tail.copy_from_slice(&lanes_body(padded, size)[..tail.len()]);
        passes(block, LANES, size.min(BLOCK));
    }
    for block in row.chunks_exact_mut(size) {
        passes(block, BLOCK, size);
    }
}

#[inline(always)]
fn scale_body(row: &mut [f32], factor: f32) {
    row.iter_mut().for_each(|v| *v *= factor);
}

per_level! {
    /// Multiplies each `size` consecutive values, a power of two, by Sylvester's matrix in natural order: passes over
    /// neighbours first, then over values 2, 4, … apart.
    pub(super) fn powers_of_two(row: &mut [f32], size: usize) = powers_of_two_body
}
per_level! {
    /// row ← row · factor.
    pub(super) fn scale(row: &mut [f32], factor: f32) = scale_body
}
