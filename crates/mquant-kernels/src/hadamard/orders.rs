//! Hadamard matrices by construction: Sylvester's, Paley's two, and Goethals and Seidel's array of four circulants.
//!
//! The choice for an order is part of the format: bundles hold weights rotated by it.

use super::LARGEST_DENSE;
use super::field::Field;

/// ±1, row-major.
pub(super) struct Signs {
    order: usize,
    signs: Vec<i8>,
}

impl Signs {
    fn of(order: usize, sign: impl Fn(usize, usize) -> i8) -> Self {
        let signs = (0..order * order).map(|i| sign(i / order, i % order)).collect();
        Self { order, signs }
    }

    pub(super) fn order(&self) -> usize {
        self.order
    }

    pub(super) fn at(&self, row: usize, column: usize) -> i8 {
        self.signs[row * self.order + column]
    }
}

/// First rows of four circulants of the same order whose A·Aᵀ add up to 4·order: bit i set where value i is −1.
/// The first three are symmetric (Williamson's kind), found by search among those invariant under a few multipliers.
const FOUR_CIRCULANTS: [(usize, [u64; 4]); 4] = [
    (23, [0x1c_c338, 0x65_42a6, 0x6c_7e36, 0x6a_0056]),
    (29, [0x18cb_34c6, 0x19ea_15e6, 0x045e_1e88, 0x1a80_c056]),
    (43, [0x637_ac93_5ec6, 0x535_02f4_0aca, 0x47a_4c03_25e2, 0x087_1d9b_8e10]),
    (39, [0x19_f059_7926, 0x19_f20c_d474, 0x18_6a55_ff5a, 0x7f_6ba2_76bc]),
];

/// How a matrix is made.
enum Construction {
    /// I + S with S of the field of order − 1 elements, where −1 is no square: S is skew.
    PaleyOne(Field),
    /// S ⊗ [1 1; 1 −1] + I ⊗ [1 −1; −1 −1] with S of the field of order/2 − 1 elements, where −1 is a square: S is symmetric.
    PaleyTwo(Field),
    /// Goethals and Seidel's array.
    FourCirculants(&'static [u64; 4]),
}

fn construction(order: usize) -> Option<Construction> {
    if order > LARGEST_DENSE || !order.is_multiple_of(4) || order.is_power_of_two() {
        return None;
    }
    let field = |elements: usize, residue| Field::new(elements).filter(|_| elements % 4 == residue);
    let circulants = || FOUR_CIRCULANTS.iter().find(|(n, _)| 4 * n == order).map(|(_, rows)| rows);
    (field(order - 1, 3).map(Construction::PaleyOne))
        .or_else(|| field(order / 2 - 1, 1).map(Construction::PaleyTwo))
        .or_else(|| circulants().map(Construction::FourCirculants))
}

/// Whether there is a [`matrix`] of this order.
pub(super) fn is_known(order: usize) -> bool {
    construction(order).is_some()
}

/// The matrix of an order that is multiplied out: a multiple of 4 that is no power of two, if one is known.
pub(super) fn matrix(order: usize) -> Option<Signs> {
    Some(match construction(order)? {
        Construction::PaleyOne(field) => Signs::of(order, |i, j| paley_one(&field, i, j)),
        Construction::PaleyTwo(field) => Signs::of(order, |i, j| paley_two(&field, i, j)),
        Construction::FourCirculants(rows) => Signs::of(order, |i, j| four_circulants(rows, order / 4, i, j)),
    })
}

fn paley_one(field: &Field, i: usize, j: usize) -> i8 {
    match (i, j) {
        (0, _) => 1,
        (_, 0) => -1,
        _ if i == j => 1,
        _ => field.of_difference(i - 1, j - 1),
    }
}

fn paley_two(field: &Field, i: usize, j: usize) -> i8 {
    let conference = match (i / 2, j / 2) {
        (0, 0) => 0,
        (0, _) | (_, 0) => 1,
        (a, b) => field.of_difference(a - 1, b - 1),
    };
    match (conference, i % 2, j % 2) {
        (0, 0, 0) => 1,
        (0, ..) => -1,
        (s, 1, 1) => -s,
        (s, ..) => s,
    }
}

/// With R the reversal of columns:
/// ```text
///   A    BR    CR    DR
///  −BR   A     DᵀR  −CᵀR
///  −CR  −DᵀR   A     BᵀR
///  −DR   CᵀR  −BᵀR   A
/// ```
fn four_circulants(rows: &[u64; 4], n: usize, i: usize, j: usize) -> i8 {
    // Entry (i, j) of a circulant is value j − i of its first row; R makes column j column n − 1 − j.
    let plain = |which: usize, i: usize, j: usize| if rows[which] >> ((n + j - i) % n) & 1 == 1 { -1 } else { 1 };
    let turned = |which: usize, i: usize, j: usize| plain(which, i, n - 1 - j);
    let transposed = |which: usize, i: usize, j: usize| plain(which, n - 1 - j, i);
    let (down, across, i, j) = (i / n, j / n, i % n, j % n);
    match (down, across) {
        _ if down == across => plain(0, i, j),
        (0, b) => turned(b, i, j),
        (b, 0) => -turned(b, i, j),
        (1, 2) => transposed(3, i, j),
        (2, 1) => -transposed(3, i, j),
        (1, _) => -transposed(2, i, j),
        (_, 1) => transposed(2, i, j),
        (2, _) => transposed(1, i, j),
        _ => -transposed(1, i, j),
    }
}
