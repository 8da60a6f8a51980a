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
pub(crate) enum Direction {
    /// By H.
    Forward,
    /// By Hᵀ.
    Inverse,
}

/// A matrix of ±1: which signed sums of groups of inputs each output adds up.
#[derive(Debug)]
pub(super) struct Dense {
    order: usize,
    forward: Vec<Picks>,
    inverse: Vec<Picks>,
}

/// What each output takes from some groups at once.
#[derive(Debug)]
struct Picks {
    /// The first group, and how many there are.
    first: usize,
    groups: usize,
    /// Outputs × groups: bit i set where input i of the group is subtracted.
    patterns: Vec<u8>,
}

impl Dense {
    pub(super) fn new(signs: &Signs) -> Self {
        let order = signs.order();
        let picks = |negative: &dyn Fn(usize, usize) -> bool| {
            let pattern = |output: usize, group: usize| {
                (0..GROUP).fold(0, |bits, i| bits | u8::from(negative(output, group * GROUP + i)) << i)
            };
            let at_once = |first: usize| {
                let groups = GROUPS_AT_ONCE.min(order / GROUP - first);
                let patterns = (0..order * groups).map(|at| pattern(at / groups, first + at % groups)).collect();
                Picks { first, groups, patterns }
            };
            (0..order / GROUP).step_by(GROUPS_AT_ONCE).map(at_once).collect()
        };
        let forward = picks(&|i, j| signs.at(i, j) < 0);
        let inverse = picks(&|i, j| signs.at(j, i) < 0);
        Self { order, forward, inverse }
    }

    pub(super) fn order(&self) -> usize {
        self.order
    }

    /// Whether entry (output, input) of H, or of Hᵀ, is −1.
    pub(super) fn is_negative(&self, output: usize, input: usize, direction: Direction) -> bool {
        let group = input / GROUP;
        let Picks { first, groups, patterns } = &self.picks(direction)[group / GROUPS_AT_ONCE];
        patterns[output * groups + group - first] >> (input % GROUP) & 1 == 1
    }

    fn picks(&self, direction: Direction) -> &[Picks] {
        match direction {
            Direction::Forward => &self.forward,
            Direction::Inverse => &self.inverse,
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
                let mut values = [0.0; WIDEST];
                values.iter_mut().zip(from).for_each(|(value, from)| *value = row[from + offset]);
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

impl Picks {
    /// Adds its picks to each output, ascending; those of the first groups replace what was there.
    ///
    /// # Safety
    /// The CPU has the instructions of `V`.
    #[inline(always)]
    unsafe fn accumulate<V: Vector>(&self, sums: &[[V; SUMS]; GROUPS_AT_ONCE], y: &mut [V]) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.groups {
                1 => self.add_up_of::<V, 1>(sums, y),
                2 => self.add_up_of::<V, 2>(sums, y),
                3 => self.add_up_of::<V, 3>(sums, y),
                4 => self.add_up_of::<V, 4>(sums, y),
                5 => self.add_up_of::<V, 5>(sums, y),
                6 => self.add_up_of::<V, 6>(sums, y),
                7 => self.add_up_of::<V, 7>(sums, y),
                _ => self.add_up_of::<V, GROUPS_AT_ONCE>(sums, y),
            }
        }
    }

    /// [`accumulate`](Self::accumulate) of `G` groups.
    ///
    /// # Safety
    /// The CPU has the instructions of `V`.
    #[inline(always)]
    unsafe fn add_up_of<V: Vector, const G: usize>(&self, sums: &[[V; SUMS]; GROUPS_AT_ONCE], y: &mut [V]) {
        for (y, patterns) in y.iter_mut().zip(self.patterns.as_chunks::<G>().0) {
            let pick = |group: usize| sums[group][usize::from(patterns[group]) % SUMS];
            // SAFETY: the caller's promise.
            unsafe {
                let mut total = if self.first == 0 { pick(0) } else { y.add(pick(0)) };
                for group in 1..G {
                    total = total.add(pick(group));
                }
                *y = total;
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
/// `y[i] = Σ over groups, ascending, of (±x[0] ± x[1]) + (±x[2] ± x[3])`.
///
/// # Safety
/// The CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn multiply<V: Vector>(row: &mut [f32], matrix: &Dense, inner: usize, direction: Direction) {
    // SAFETY: the caller's promise.
    unsafe {
        if matrix.order <= SMALL {
            multiply_up_to::<V, SMALL>(row, matrix, inner, direction);
        } else {
            multiply_up_to::<V, LARGEST_DENSE>(row, matrix, inner, direction);
        }
    }
}

/// [`multiply`] for orders of at most `MOST`.
///
/// # Safety
/// The CPU has the instructions of `V`.
#[inline(always)]
unsafe fn multiply_up_to<V: Vector, const MOST: usize>(
    row: &mut [f32],
    matrix: &Dense,
    inner: usize,
    direction: Direction,
) {
    let (order, columns) = (matrix.order, row.len() / matrix.order);
    let first_of = |column: usize| column / inner * inner * order + column % inner;
    // SAFETY: this is as many values as the widest vector has, and the caller's promise.
    let zero = unsafe { V::load([0.0; WIDEST].as_ptr()) };
    let mut sums = [[zero; SUMS]; GROUPS_AT_ONCE];
    let mut y = [zero; MOST];
    for column in (0..columns).step_by(V::WIDTH) {
        let place = if inner.is_multiple_of(V::WIDTH) {
            Columns::Along(first_of(column))
        } else {
            let mut from = [0; WIDEST];
            for (i, from) in from.iter_mut().enumerate() {
                *from = first_of((column + i).min(columns - 1));
            }
            Columns::Scattered(from, V::WIDTH.min(columns - column))
        };
        for picks in matrix.picks(direction) {
            for (sums, group) in sums.iter_mut().zip(picks.first..picks.first + picks.groups) {
                // SAFETY: the caller's promise.
                unsafe {
                    let mut x = [zero; GROUP];
                    for (i, x) in x.iter_mut().enumerate() {
                        *x = place.load(row, (group * GROUP + i) * inner);
                    }
                    let (low, high) = (signed_sums(x[0], x[1], zero), signed_sums(x[2], x[3], zero));
                    for (i, sum) in sums.iter_mut().enumerate() {
                        *sum = low[i % 4].add(high[i / 4]);
                    }
                }
            }
            // SAFETY: the caller's promise.
            unsafe { picks.accumulate(&sums, &mut y[..order]) };
        }
        for (i, y) in y.iter().enumerate().take(order) {
            // SAFETY: the caller's promise.
            unsafe { place.store(row, i * inner, *y) };
        }
    }
}
