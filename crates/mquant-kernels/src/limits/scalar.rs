//! Products and sums without vector instructions being asked for: what plain Rust can do, as the compiler finds it.

use std::hint::black_box;

use super::Peak;
use crate::features::Cpu;

/// Independent sums: enough to hide the latency of an operation, few enough for the registers of every target.
const LANES: usize = 32;

/// Products and sums of 32-bit integers, which is what 8-bit codes are widened to.
pub(super) const INT32: Peak = Peak { ops: 2.0 * LANES as f64, run: int32 };

pub(super) const F32: Peak = Peak { ops: 2.0 * LANES as f64, run: f32 };

fn int32(_: Cpu, times: u64) {
    let (mut sums, a, b) = black_box(([1i32; LANES], 3i32, 5i32));
    for _ in 0..times {
        sums.iter_mut().for_each(|sum| *sum = sum.wrapping_mul(a).wrapping_add(b));
    }
    black_box(sums);
}

fn f32(_: Cpu, times: u64) {
    let (mut sums, a, b) = black_box(([1f32; LANES], 0.5f32, 1f32));
    for _ in 0..times {
        sums.iter_mut().for_each(|sum| *sum = *sum * a + b);
    }
    black_box(sums);
}
