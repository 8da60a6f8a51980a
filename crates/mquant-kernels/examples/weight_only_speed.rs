//! Speed of products of float rows with packed weights, beside what memory gives: median of nine, two threads unless told
//! otherwise.
//!
//! `cargo run --release -p mquant-kernels --example weight_only_speed [THREADS]`

use std::sync::Arc;
use std::time::Instant;

use mquant_kernels::{Backend, Bits, Bytes, Cpu, CpuBackend, IntWeight, PackedWeight, Rows, Threads, measure_limits};

const RUNS: usize = 9;
/// Copies of a weight take turns, so that each run reads memory and not caches.
const BEYOND_CACHES: usize = 96 << 20;

fn weight(bits: Bits, rows: usize, cols: usize, group: Option<usize>) -> PackedWeight {
    let codes = (0..IntWeight::code_bytes(bits, rows, cols)).map(|i| (i * 131 + i / 251) as u8).collect::<Vec<_>>();
    let codes = Bytes::new(Arc::new(codes));
    let scales = vec![0.01; rows * group.map_or(1, |group| cols.div_ceil(group))];
    PackedWeight::pack(&IntWeight { bits, rows, cols, codes, scales, group }).expect("a weight that fits")
}

fn main() {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(2);
    let threads = Threads::new(count).expect("the system gives threads");
    let backend = CpuBackend::new(Cpu::detect());
    let limits = measure_limits(&threads, Cpu::detect());
    let (gbs, gflops) = (limits.read_bytes_per_s / 1e9, limits.f32_ops_per_s / 1e9);
    println!("{} threads, {}; at most {gbs:.1} GB/s, {gflops:.1} GFLOPS", threads.count(), Cpu::detect().level());
    let shapes = [(1536, 8960), (3584, 18_944)];
    for (m, (k, n)) in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512].into_iter().flat_map(|m| shapes.map(|shape| (m, shape)))
    {
        for (bits, group) in [(Bits::Four, Some(128)), (Bits::Eight, Some(128)), (Bits::Eight, None)] {
            let first = weight(bits, n, k, group);
            let copies = if m < 16 { BEYOND_CACHES / first.byte_len() + 1 } else { 1 };
            let mut weights = vec![first];
            weights.resize_with(copies, || weight(bits, n, k, group));
            let x = Rows::from_vec((0..m * k).map(|i| (i % 77) as f32 / 77.0 - 0.5).collect(), k);
            let mut once = |run: usize| {
                let start = Instant::now();
                let y = threads.run(|| backend.linear_weight_only(&x, &weights[run % copies], None));
                let seconds = start.elapsed().as_secs_f64();
                drop(std::hint::black_box(y));
                seconds
            };
            once(copies - 1);
            let mut seconds: Vec<f64> = (0..RUNS).map(&mut once).collect();
            seconds.sort_by(f64::total_cmp);
            let s = seconds[RUNS / 2];
            let group = group.map_or("-".to_owned(), |group| format!("g{group}"));
            println!(
                "W{bits}A16 {group:4} {m:4} x {k} x {n:6} {:9.3} ms {:6.2} ns/weight {:6.1} GB/s {:7.1} GFLOPS (best {:.3} ms)",
                s * 1e3,
                s * 1e9 / (k * n) as f64,
                weights[0].byte_len() as f64 / s / 1e9,
                2.0 * (m * k * n) as f64 / s / 1e9,
                seconds[0] * 1e3
            );
        }
    }
}
