//! Speed of the float products on the shapes of Qwen2-VL-2B: median of seven, two threads unless told otherwise.
//!
//! `cargo run --release -p mquant-kernels --example float_speed [THREADS]`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use mquant_kernels::{Backend, Bytes, Cpu, CpuBackend, Dtype, Matrix, Rows, Threads};

/// Runs `f` on the threads, once unmeasured; prints the median and what `work` (operations or bytes) makes of it.
fn time(threads: &Threads, name: &str, work: f64, unit: &str, mut f: impl FnMut() + Send) {
    let mut once = || {
        let start = Instant::now();
        threads.run(&mut f);
        start.elapsed().as_secs_f64()
    };
    once();
    let mut seconds: Vec<f64> = (0..7).map(|_| once()).collect();
    seconds.sort_by(f64::total_cmp);
    println!("{name:34} {:9.2} ms {:8.1} {unit}", seconds[3] * 1e3, work / seconds[3] / 1e9);
}

fn weight(outputs: usize, inputs: usize) -> Matrix {
    // 0x3c3c is a small bf16: speed does not depend on values that are finite and not subnormal.
    Matrix::from_bytes(Bytes::new(Arc::new(vec![0x3c; outputs * inputs * 2])), Dtype::Bf16, outputs, inputs)
}

fn rows(rows: usize, features: usize) -> Rows {
    Rows::from_vec((0..rows * features).map(|i| (i % 77) as f32 / 77.0).collect(), features)
}

fn main() {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(2);
    let threads = Threads::new(count).expect("the system gives threads");
    let cpu = CpuBackend::new(Cpu::detect());
    println!("{} threads, {}\n", threads.count(), Cpu::detect().level());
    for (m, k, n) in [(512, 1536, 8960), (512, 8960, 1536), (512, 1536, 1536), (1024, 1280, 5120), (1024, 5120, 1280)] {
        let (x, w) = (rows(m, k), weight(n, k));
        let name = format!("linear {m} x {k} x {n}");
        time(&threads, &name, 2.0 * (m * k * n) as f64, "GFLOPS", || drop(black_box(cpu.linear(&x, &w, None))));
    }
    let head = weight(151_936, 1536);
    for m in [1, 2, 4, 8] {
        let x = rows(m, 1536);
        let name = format!("linear {m} x 1536 x 151936");
        time(&threads, &name, head.byte_len() as f64, "GB/s", || drop(black_box(cpu.linear(&x, &head, None))));
    }
    for (m, k) in [(512, 1536), (2048, 8960)] {
        let (x, mut sum) = (rows(m, k), vec![0f32; k * k]);
        let name = format!("rank-k update {m} x {k}");
        time(&threads, &name, (m * k * k) as f64, "GFLOPS", || cpu.gram(&x, &mut sum));
    }
}
