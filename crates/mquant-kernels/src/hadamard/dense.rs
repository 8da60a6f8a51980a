//! Factors that are multiplied out: K × K matrices of ±1 on values that lie anywhere in a row.
//!
//! Inputs are taken in fours, whose sixteen signed sums serve every output: K/4 additions a value instead of K.

use super::LARGEST_DENSE;
use super::orders::Signs;
use super::vector::Vector;

/// Inputs whose signed sums are made once for all outputs.
const GROUP: usize = 4;
/// Signed sums of a group.
const SUMS: usize = 1 << GROUP;
/// Groups whose signed sums are kept at a time: they fill a quarter of a first-level cache.
const GROUPS_AT_ONCE: usize = 8;
/// The largest order whose signed sums are all kept.
const SMALL: usize = GROUP * GROUPS_AT_ONCE;
/// Values of the widest vector.
const WIDEST: usize = 16;

/// Which way to rotate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// By H.
    Forward,
    /// By Hᵀ.
    Inverse,
}

/// A matrix of ±1: for each output, which of the signed sums of each group of inputs it adds up.
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
            let pattern = |output: usize, first: usize| {
                (0..GROUP).fold(0, |bits, i| bits | u8::from(negative(output, first + i)) << i)
            };
            let groups = order / GROUP;
            (0..order * groups).map(|at| pattern(at / groups, at % groups * GROUP)).collect()
        };
        let forward = patterns(&|i, j| signs.at(i, j) < 0);
        let inverse = patterns(&|i, j| signs.at(j, i) < 0);
        Self { order, forward, inverse }
    }

    pub(super) fn order(&self) -> usize {
        self.order
    }

    fn patterns(&self, turn: Turn) -> &[u8] {
        match turn {
            Turn::Forward => &self.forward,
            Turn::Inverse => &self.inverse,
        }
    }
}

/// Where the values of some columns lie in a row: the first of each, the others a fixed distance further each.
#[derive(Clone, Copy)]
enum Columns {
    /// Side by side.
    Along(usize),
    /// Anywhere; the first so many count.
    Scattered([usize; WIDEST], usize),
}

impl Columns {
    /// # Safety
    /// The CPU has the instructions of `V`.
    #[inline(always)]
    unsafe fn load<V: Vector>(&self, row: &[f32], offset: usize) -> V {
        match self {
            // SAFETY: as many values are there, and the caller's promise.
            Columns::Along(from) => unsafe { V::load(row[from + offset..][..V::WIDTH].as_ptr()) },
            Columns::Scattered(from, _) => {
                let values = from.map(|from| row[from + offset]);
                // SAFETY: this is as many values as the widest vector has, and the caller's promise.
                unsafe { V::load(values.as_ptr()) }
            }
        }
    }

    /// # Safety
    /// The CPU has the instructions of `V`.
    #[inline(always)]
    unsafe fn store<V: Vector>(&self, row: &mut [f32], offset: usize, v: V) {
        match self {
            // SAFETY: as many values are there, and the caller's promise.
            Columns::Along(from) => unsafe { v.store(row[from + offset..][..V::WIDTH].as_mut_ptr()) },
            Columns::Scattered(from, count) => {
                let mut values = [0.0; WIDEST];
                // SAFETY: this is as many values as the widest vector has, and the caller's promise.
                unsafe { v.store(values.as_mut_ptr()) };
                from.iter().zip(values).take(*count).for_each(|(from, value)| row[from + offset] = value);
            }
        }
    }
}

/// ±a ± b, bit 0 of the place for a minus before a, bit 1 for b.
///
/// # Safety
/// The CPU has the instructions of `V`.
#[inline(always)]
unsafe fn signed_sums<V: Vector>(a: V, b: V, zero: V) -> [V; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let (sum, difference) = (a.add(b), a.sub(b));
        [sum, zero.sub(difference), difference, zero.sub(sum)]
    }
}

/// Multiplies all columns of `matrix.order()` values that lie `inner` apart:
/// y[i] = Σ over groups, ascending, of (±x[0] ± x[1]) + (±x[2] ± x[3]).
///
/// # Safety
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn multiply<V: Vector>(row: &mut [f32], matrix: &Dense, inner: usize, turn: Turn) {
    // SAFETY: the caller's promise.
    unsafe {
        if matrix.order <= SMALL {
            multiply_up_to::<V, SMALL>(row, matrix, inner, turn);
        } else {
            multiply_up_to::<V, LARGEST_DENSE>(row, matrix, inner, turn);
        }
    }
}

/// [`multiply`] for orders of at most `MOST`.
///
/// # Safety
/// The CPU has the instructions of `V`.
#[inline(always)]
unsafe fn multiply_up_to<V: Vector, const MOST: usize>(row: &mut [f32], matrix: &Dense, inner: usize, turn: Turn) {
    let (order, patterns, columns) = (matrix.order, matrix.patterns(turn), row.len() / matrix.order);
    let first_of = |column: usize| column / inner * inner * order + column % inner;
    // SAFETY: this is as many values as the widest vector has, and the caller's promise.
    let zero = unsafe { V::load([0.0; WIDEST].as_ptr()) };
    let mut sums = [[zero; SUMS]; GROUPS_AT_ONCE];
    let mut y = [zero; MOST];
    for column in (0..columns).step_by(V::WIDTH) {
        let place = if inner.is_multiple_of(V::WIDTH) {
            Columns::Along(first_of(column))
        } else {
            let from = std::array::from_fn(|i| first_of((column + i).min(columns - 1)));
            Columns::Scattered(from, V::WIDTH.min(columns - column))
        };
        for first in (0..order / GROUP).step_by(GROUPS_AT_ONCE) {
            let groups = first..(order / GROUP).min(first + GROUPS_AT_ONCE);
            for (sums, group) in sums.iter_mut().zip(groups.clone()) {
                // SAFETY: the caller's promise.
                unsafe {
                    let x: [V; GROUP] = std::array::from_fn(|i| place.load(row, (group * GROUP + i) * inner));
                    let (low, high) = (signed_sums(x[0], x[1], zero), signed_sums(x[2], x[3], zero));
                    *sums = std::array::from_fn(|i| low[i % 4].add(high[i / 4]));
                }
            }
            for (y, patterns) in y.iter_mut().zip(patterns.chunks_exact(order / GROUP)) {
                let mut picks = sums.iter().zip(&patterns[groups.clone()]).map(|(sums, p)| sums[usize::from(p % 16)]);
                if first == 0 {
                    *y = picks.next().unwrap_or(zero);
                }
                // SAFETY: the caller's promise.
                *y = picks.fold(*y, |y, pick| unsafe { y.add(pick) });
            }
        }
        for (i, y) in y.iter().enumerate().take(order) {
            // SAFETY: the caller's promise.
            unsafe { place.store(row, i * inner, *y) };
        }
    }
}
