//! Speed of what happens to rows between products, at every level: the best of twenty, two threads unless told otherwise.
//!
//! `cargo run --release -p mquant-kernels --example row_speed [THREADS]`

use std::hint::black_box;
use std::time::Instant;

use mquant_kernels::{
    Activation, Backend, Cpu, CpuBackend, Hadamard, NormOf, NormStep, RowPrologue, RowScales, Rows, SiteInput, Threads,
};

const ROWS: usize = 512;

/// Runs `f` on the threads, once unmeasured; prints the least time and the bytes that come and go in it.
fn time(threads: &Threads, name: &str, bytes: usize, f: impl Fn() + Send + Sync) {
    let once = || {
        let start = Instant::now();
        threads.run(&f);
        start.elapsed().as_secs_f64()
    };
    once();
    let seconds = (0..20).map(|_| once()).fold(f64::INFINITY, f64::min);
    println!("  {name:48} {:8.3} ms {:8.1} GB/s", seconds * 1e3, bytes as f64 / seconds / 1e9);
}

fn rows(features: usize, seed: usize) -> Rows {
    let values = (0..ROWS * features).map(|i| ((i + seed) * 7919 % 10_007) as f32 * 1e-3 - 5.0).collect();
    Rows::from_vec(values, features)
}

/// Everything at one width.
fn all(threads: &Threads, backend: &CpuBackend, features: usize) {
    println!(" {ROWS} x {features}");
    let (x, up, gain) = (rows(features, 1), rows(features, 2), vec![1.0; features]);
    let (scales, values) = (vec![0.04; ROWS], ROWS * features);
    let rms = NormOf { kind: NormStep::Rms, gain: &gain, eps: 1e-6, repeat: 1 };
    let layer = NormOf { kind: NormStep::Layer { bias: &gain }, ..rms };
    let (plain, as_given) = (RowPrologue::default(), RowScales::Static(&scales));
    let rotation = Hadamard::new(features).expect("a width of a model");
    let normed = |norm| RowPrologue { norm: Some(norm), ..RowPrologue::default() };
    let rotated = RowPrologue { rotation: Some(&rotation), ..RowPrologue::default() };
    let (here, gated) = (SiteInput::Rows(&x), SiteInput::Gated(Activation::Silu, &x, &up));
    let quantize = |name: &str, per_value, source, steps, scales| {
        let run = || drop(black_box(backend.quantize(source, steps, scales, None)));
        time(threads, name, values * per_value, run);
    };
    quantize("quantize", 5, here, plain, as_given);
    quantize("quantize, scale from the row", 5, here, plain, RowScales::PerToken);
    quantize("RMSNorm, quantize", 5, here, normed(rms), as_given);
    quantize("LayerNorm, quantize", 5, here, normed(layer), as_given);
    quantize("SiLU · up, quantize", 9, gated, plain, as_given);
    quantize("quick GELU, quantize", 5, SiteInput::Activated(Activation::QuickGelu, &x), plain, as_given);
    quantize("GELU, quantize", 5, SiteInput::Activated(Activation::Gelu, &x), plain, as_given);
    quantize(&format!("rotate {:?}, quantize", rotation.parts().1), 5, here, rotated, as_given);
    quantize("SiLU · up, rotate, quantize, scale from the row", 9, gated, rotated, RowScales::PerToken);
    time(threads, "SiLU · up in f32", values * 12, || drop(black_box(backend.row_prologue(gated, plain))));
}

fn main() {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(2);
    let threads = Threads::new(count).expect("the system gives threads");
    for cpu in Cpu::levels() {
        println!("{} with {} threads", cpu.level(), threads.count());
        for features in [1536, 4096, 8960] {
            all(&threads, &CpuBackend::new(cpu), features);
        }
    }
}
