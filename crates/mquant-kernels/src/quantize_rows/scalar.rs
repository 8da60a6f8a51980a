//! The definition, value by value.

use super::{MOST, quantize_scalar};

pub(super) fn quantize(x: &[f32], inverse: f32, codes: &mut [i8]) -> i32 {
    let mut sum = 0i32;
    for (code, x) in codes.iter_mut().zip(x) {
        *code = quantize_scalar(*x, inverse, -MOST, MOST);
        // Sums of codes fit where products do, which is checked when a weight is packed.
        sum = sum.wrapping_add(i32::from(*code));
    }
    sum
}
