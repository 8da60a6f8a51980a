//! Time of the weight methods on the shapes of Qwen2-VL-2B, two threads unless told otherwise; each once.
//!
//! `cargo run --release -p mquant --example quantize_speed [THREADS]`

#![expect(clippy::print_stdout, reason = "what it finds is its output")]

use std::time::Instant;

use mquant::kernels::{Bits, Cpu, CpuBackend, Matrix, Rows, Threads};
use mquant::quantize::{Clip, GptqOptions, Hessian, HessianFactor, IntFormat, gptq, relative_error, rtn_clipped};

fn timed<R>(name: &str, f: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = f();
    println!("{name:44} {:8.3} s", start.elapsed().as_secs_f64());
    result
}

/// Values between −0.5 and 0.5, bell-shaped.
fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut s = seed | 1;
    let mut next = move || {
        s = s.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (s >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..n).map(|_| (next() + next() + next() + next()) * 0.25).collect()
}

fn main() {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(2);
    let threads = Threads::new(count).expect("the system gives threads");
    println!("{} threads, {}", threads.count(), Cpu::detect().level());
    threads.run(|| {
        for (outputs, inputs) in [(8960, 1536), (1280, 5120), (1536, 8960)] {
            println!();
            let mut hessian = Hessian::new(inputs);
            let rows = Rows::from_vec(noise(2048 * inputs, 3), inputs);
            timed(&format!("second moments 2048 x {inputs}"), || hessian.add(&CpuBackend::new(Cpu::detect()), &rows));
            drop(rows);
            let weight = Matrix::from_f32(noise(outputs * inputs, 5), outputs, inputs);
            for bits in [Bits::Four, Bits::Eight] {
                let format = IntFormat::per_channel(bits);
                let name = format!("rtn, clip search, {bits} bits {outputs} x {inputs}");
                let made =
                    timed(&name, || rtn_clipped(Cpu::detect(), &weight, format, Clip::Search).expect("finite weights"));
                drop(made);
            }
            let factor = timed(&format!("factor {inputs}"), || {
                HessianFactor::new(&hessian, &GptqOptions::default(), &[]).expect("nothing is left out")
            });
            let format = IntFormat::per_channel(Bits::Four);
            let made = timed(&format!("gptq {outputs} x {inputs}"), || {
                gptq(Cpu::detect(), &weight, &factor, format, Clip::None).expect("finite weights")
            });
            let compare = || relative_error(&weight, &made, &[], Some(&hessian)).expect("one shape");
            println!("{:?}", timed("relative error", compare));
        }
    });
}
