//! The definition, in plain Rust: four words of one f32 at a time.

use super::lanes::{Group, Lanes, attend};
use super::softmax::weigh;

struct Four<const ROUNDED: bool>;

impl<const ROUNDED: bool> Lanes for Four<ROUNDED> {
    type Sums = [f32; 4];
    type Words = [f32; 4];
    const COUNT: usize = 4;
    const PER: usize = 1;
    const WIDE: usize = 2;

    #[inline(always)]
    unsafe fn zero() -> [f32; 4] {
        [0.0; 4]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 4] {
        // SAFETY: the trait's promise.
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, sums: [f32; 4]) {
        // SAFETY: the trait's promise.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(sums) }
    }

    #[inline(always)]
    unsafe fn words(from: *const u32) -> [f32; 4] {
        // SAFETY: the trait's promise; every word is an f32.
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn splat(from: *const u32) -> [f32; 4] {
        // SAFETY: the trait's promise; every word is an f32.
        [unsafe { from.cast::<f32>().read_unaligned() }; 4]
    }

    #[inline(always)]
    unsafe fn dot(mut sums: [f32; 4], a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
        sums
    }

    #[inline(always)]
    unsafe fn weigh(scores: &[f32], scale: f32, before: f32, weights: &mut [u32]) -> (f32, f32) {
        weigh::<false, ROUNDED>(scores, scale, before, weights)
    }
}

/// Factors in f32.
pub(super) fn single(group: &mut Group<'_>) {
    // SAFETY: plain Rust runs everywhere.
    unsafe { attend::<Four<false>>(group) }
}

/// Factors in f32 that were rounded to bf16.
pub(super) fn rounded(group: &mut Group<'_>) {
    // SAFETY: plain Rust runs everywhere.
    unsafe { attend::<Four<true>>(group) }
}
