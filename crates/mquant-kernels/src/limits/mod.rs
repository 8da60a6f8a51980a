//! What this CPU can do at most with some threads: operations in registers, and bytes read from memory.
//!
//! Enters: threads, and the instructions that may be used. Leaves: [`Limits`], medians of several short runs in which all
//! threads start together; a run lasts from the first start to the last end. Invariant: the operations of a run are in its
//! instructions, so no compiler can leave any out. It takes about two seconds, and a gibibyte of memory meanwhile.

mod read;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::features::{Cpu, Kernel, pick};
use crate::threads::Threads;

/// The most that a number of threads can do each second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Threads it was measured with.
    pub threads: usize,
    /// Products and sums of 8-bit integers; a product and its sum are two.
    pub int8_ops_per_s: f64,
    /// Products and sums of bf16 pairs in f32; None without such instructions.
    pub bf16_ops_per_s: Option<f64>,
    /// Products and sums in f32.
    pub f32_ops_per_s: f64,
    /// Bytes read from memory, each once.
    pub read_bytes_per_s: f64,
}

/// A loop over independent sums that stay in registers.
#[derive(Clone, Copy)]
struct Peak {
    /// Operations of one iteration.
    ops: f64,
    /// Runs so many iterations.
    run: fn(Cpu, u64),
}

/// How long a run of a loop should last.
const RUN: Duration = Duration::from_millis(40);
/// Runs of each loop.
const RUNS: usize = 5;

/// Measures the limits of the instructions of `cpu` with all of `threads` at once.
pub fn measure_limits(threads: &Threads, cpu: Cpu) -> Limits {
    let rate = |kernels: &'static [Kernel<Option<Peak>>]| {
        pick(kernels, cpu).run.map(|peak| operations_per_s(threads, cpu, peak))
    };
    Limits {
        threads: threads.count(),
        int8_ops_per_s: rate(INT8).unwrap_or(0.0),
        bf16_ops_per_s: rate(BF16),
        f32_ops_per_s: rate(F32).unwrap_or(0.0),
        read_bytes_per_s: read::bytes_per_s(threads, cpu),
    }
}

#[cfg(target_arch = "x86_64")]
use x86::{BF16, F32, INT8};

/// Elsewhere there are the loops of plain Rust alone.
#[cfg(not(target_arch = "x86_64"))]
mod lists {
    use super::{Peak, scalar};
    use crate::features::{Features, Kernel};

    const fn plain(run: Option<Peak>) -> Kernel<Option<Peak>> {
        Kernel { name: "scalar", needs: Features::NONE, run }
    }
    pub(super) const INT8: &[Kernel<Option<Peak>>] = &[plain(Some(scalar::INT32))];
    pub(super) const BF16: &[Kernel<Option<Peak>>] = &[plain(None)];
    pub(super) const F32: &[Kernel<Option<Peak>>] = &[plain(Some(scalar::F32))];
}
#[cfg(not(target_arch = "x86_64"))]
use lists::{BF16, F32, INT8};

fn operations_per_s(threads: &Threads, cpu: Cpu, peak: Peak) -> f64 {
    // Clocks rise while the number of iterations is found.
    let mut iterations = 1 << 12;
    let mut took = together(threads, |_| (peak.run)(cpu, iterations));
    while took < RUN / 4 && iterations < 1 << 40 {
        iterations *= 2;
        took = together(threads, |_| (peak.run)(cpu, iterations));
    }
    let iterations = (iterations as f64 * RUN.as_secs_f64() / took.as_secs_f64()) as u64;
    let ops = iterations as f64 * peak.ops * threads.count() as f64;
    median((0..RUNS).map(|_| ops / together(threads, |_| (peak.run)(cpu, iterations)).as_secs_f64()).collect())
}

/// Runs `f` once on every thread, which is given its index, and returns the time from the first start to the last end.
fn together(threads: &Threads, f: impl Fn(usize) + Sync) -> Duration {
    let barrier = Barrier::new(threads.count());
    let times = threads.run(|| {
        rayon::broadcast(|thread| {
            barrier.wait();
            let started = Instant::now();
            f(thread.index());
            (started, Instant::now())
        })
    });
    let first = times.iter().map(|(started, _)| *started).min();
    let last = times.iter().map(|(_, ended)| *ended).max();
    let took = first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first);
    // A clock may not have moved.
    took.max(Duration::from_nanos(1))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests;
