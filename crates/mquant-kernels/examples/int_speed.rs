//! Speed of the integer products on the shapes of Qwen2-VL-2B, at every level of this CPU: median of eleven.
//!
//! `cargo run --release -p mquant-kernels --example int_speed [THREADS]`

use std::sync::Arc;
use std::time::Instant;

use mquant_kernels::{
    Backend, Bits, Bytes, Cpu, CpuBackend, Epilogue, IntWeight, Output, PackedWeight, Product, QuantRows, Rows, Threads,
};

fn weight(bits: Bits, rows: usize, cols: usize, group: Option<usize>) -> PackedWeight {
    let codes = (0..IntWeight::code_bytes(bits, rows, cols)).map(|i| (i * 131 + i / 251) as u8).collect::<Vec<_>>();
    let codes = Bytes::new(Arc::new(codes));
    let scales = vec![0.01; rows * group.map_or(1, |group| cols.div_ceil(group))];
    let weight = IntWeight { bits, rows, cols, codes, scales, group };
    PackedWeight::pack(&weight).expect("a weight that fits")
}

fn main() {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(2);
    let threads = Threads::new(count).expect("the system gives threads");
    for cpu in Cpu::levels() {
        println!("{} threads, {}", threads.count(), cpu.level());
        let backend = CpuBackend::new(cpu);
        for (m, k, n) in
            [(512, 1536, 8960), (512, 8960, 1536), (512, 1536, 1536), (1024, 1280, 5120), (1, 1536, 151_936)]
        {
            for (bits, group) in [(Bits::Four, None), (Bits::Four, Some(128)), (Bits::Eight, None)] {
                let w = weight(bits, n, k, group);
                let codes: Vec<i8> = (0..m * k).map(|i| ((i * 37) % 255) as u8 as i8).collect();
                let x = QuantRows::from_codes(&codes, k, vec![0.01; m]);
                let mut y = Rows::zeros(m, n);
                let mut seconds: Vec<f64> = (0..if cpu.level() == mquant_kernels::Level::Scalar { 1 } else { 12 })
                    .map(|_| {
                        let start = Instant::now();
                        threads.run(|| {
                            let output = Output::Write(&mut y);
                            backend.multiply(
                                &x,
                                &mut [Product {
                                    weight: &w,
                                    bias: None,
                                    outliers: None,
                                    branches: &[],
                                    epilogue: Epilogue::Nothing,
                                    output,
                                }],
                            );
                        });
                        start.elapsed().as_secs_f64()
                    })
                    .collect();
                seconds.sort_by(f64::total_cmp);
                let s = seconds[seconds.len() / 2];
                let (gops, gbs) = (2.0 * (m * k * n) as f64 / s / 1e9, w.byte_len() as f64 / s / 1e9);
                println!(
                    "  W{bits}A8 {:4} {m:4} x {k} x {n:6}  {:9.3} ms {gops:7.1} GOPS {gbs:6.1} GB/s (best {:.1} GOPS)",
                    group.map_or("-".to_owned(), |group| format!("g{group}")),
                    s * 1e3,
                    gops * s / seconds[0]
                );
            }
        }
    }
}
