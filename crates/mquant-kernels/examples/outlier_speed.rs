//! What outlier columns cost a site: activation, rotation, codes and product of the vision tower's `down` in Qwen2-VL, with
//! none, one and some channels split off, taking turns. The least time of each, and of all but the product.
//!
//! `cargo run --release -p mquant-kernels --example split_speed [THREADS]`

use std::sync::Arc;
use std::time::Instant;

use mquant_kernels::{
    Activation, Backend, Bits, Bytes, Cpu, CpuBackend, Epilogue, Hadamard, IntWeight, Level, OutlierColumns, Output,
    PackedWeight, Product, RowPrologue, RowScales, Rows, SiteInput, Threads,
};

const ROWS: usize = 1024;
const INPUTS: usize = 5120;
const OUTPUTS: usize = 1280;
const TURNS: usize = 40;

fn weight(bits: Bits, cols: usize) -> PackedWeight {
    let bytes = (0..IntWeight::code_bytes(bits, OUTPUTS, cols)).map(|i| (i * 131 + i / 251) as u8).collect::<Vec<_>>();
    let codes = Bytes::new(Arc::new(bytes));
    let weight = IntWeight { bits, rows: OUTPUTS, cols, codes, scales: vec![0.01; OUTPUTS], group: None };
    PackedWeight::pack(&weight).expect("a weight that fits")
}

fn main() {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(2);
    let threads = Threads::new(count).expect("the system gives threads");
    let x = Rows::from_vec((0..ROWS * INPUTS).map(|i| (i * 7919 % 10_007) as f32 * 1e-3 - 5.0).collect(), INPUTS);
    let mut y = Rows::zeros(ROWS, OUTPUTS);
    let (scales, rotation) = (vec![0.04; ROWS], Hadamard::new(INPUTS).expect("5120 = 20 · 256"));
    let steps = RowPrologue { rotation: Some(&rotation), ..RowPrologue::default() };
    for cpu in Cpu::levels().filter(|cpu| cpu.level() != Level::Scalar) {
        let backend = CpuBackend::new(cpu);
        for bits in [Bits::Eight, Bits::Four] {
            let main = weight(bits, INPUTS);
            let splits: Vec<(Vec<u32>, Option<PackedWeight>)> =
                [0u32, 1, 8, 64].map(|n| ((0..n).collect(), (n > 0).then(|| weight(Bits::Eight, n as usize)))).into();
            let mut least = vec![(f64::INFINITY, f64::INFINITY); splits.len()];
            for _ in 0..TURNS {
                for ((channels, outliers), least) in splits.iter().zip(&mut least) {
                    let start = Instant::now();
                    let columns =
                        outliers.as_ref().map(|_| OutlierColumns { channels, scales: RowScales::Static(&scales) });
                    let source = SiteInput::Activated(Activation::QuickGelu, &x);
                    let codes = threads.run(|| backend.quantize(source, steps, RowScales::Static(&scales), columns));
                    let before = start.elapsed().as_secs_f64();
                    let (outliers, output) = (outliers.as_ref(), Output::Add(&mut y));
                    let product = Product {
                        weight: &main,
                        bias: None,
                        outliers,
                        branches: &[],
                        epilogue: Epilogue::Nothing,
                        output,
                    };
                    threads.run(|| backend.multiply(&codes, &mut [product]));
                    *least = (least.0.min(start.elapsed().as_secs_f64()), least.1.min(before));
                }
            }
            println!("{} with {count} threads, {ROWS} x {INPUTS} x {OUTPUTS}, {bits} bits", cpu.level());
            for ((channels, _), (whole, before)) in splits.iter().zip(&least) {
                let more = (whole / least[0].0 - 1.0) * 100.0;
                let (whole, before) = (whole * 1e3, before * 1e3);
                println!("  {:3} channels {whole:8.3} ms {more:+6.2} %, codes {before:7.3} ms", channels.len());
            }
        }
    }
}
