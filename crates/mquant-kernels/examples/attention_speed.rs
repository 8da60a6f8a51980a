//! Speed of attention on the shapes of Qwen2-VL-2B at every instruction level: best and median of fifteen, two threads
//! unless told otherwise. Operations are counted on the keys that queries see.
//!
//! `cargo run --release -p mquant-kernels --example attention_speed [THREADS [LEVEL [NAME]]]` takes one level only, and
//! shapes whose name contains NAME.

use std::hint::black_box;
use std::time::Instant;

use mquant_kernels::{
    AttendJob, Backend, Cpu, CpuBackend, HeadShape, KeyValues, KvCodes, Mask, Products, Rows, Threads,
};

const VISION: HeadShape = HeadShape { heads: 16, kv_heads: 16, head_dim: 80 };
const LANGUAGE: HeadShape = HeadShape { heads: 12, kv_heads: 2, head_dim: 128 };

fn noise(rows: usize, features: usize) -> Rows {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    Rows::from_vec(std::iter::repeat_with(next).take(rows * features).collect(), features)
}

/// Runs `f` on the threads, twice unmeasured, and prints them.
fn time(threads: &Threads, name: &str, operations: f64, mut f: impl FnMut() + Send) {
    if std::env::args().nth(3).is_some_and(|part| !name.contains(&part)) {
        return;
    }
    let mut once = || {
        let start = Instant::now();
        f();
        start.elapsed().as_secs_f64()
    };
    let mut seconds = threads.run(|| {
        once();
        once();
        (0..15).map(|_| once()).collect::<Vec<f64>>()
    });
    seconds.sort_by(f64::total_cmp);
    let (best, median) = (seconds[0], seconds[7]);
    println!("{name:42} {:9.3} {:9.3} ms {:8.1} GOPS", best * 1e3, median * 1e3, operations / median / 1e9);
}

fn vision(threads: &Threads, backend: &CpuBackend, products: Products) {
    let q = noise(1024, VISION.heads * VISION.head_dim);
    let kv = KeyValues::Float { keys: q.as_slice(), values: q.as_slice() };
    let job = AttendJob { first_row: 0, rows: 1024, kv, mask: Mask::Full };
    let operations = 4.0 * 1024.0 * 1024.0 * 1280.0;
    time(threads, &format!("vision 1024 x 1024, {products:?}"), operations, || {
        drop(black_box(backend.attend(&q, VISION, products, &[job])));
    });
}

fn language(threads: &Threads, backend: &CpuBackend, rows: usize, keys: usize) {
    let features = LANGUAGE.kv_heads * LANGUAGE.head_dim;
    let (cached, mut codes) = (noise(keys, features), KvCodes::new(features, LANGUAGE.head_dim));
    (0..keys).for_each(|token| codes.store(Cpu::detect(), token, cached.row(token), cached.row(token)));
    let q = noise(rows, LANGUAGE.heads * LANGUAGE.head_dim);
    let positions: Vec<u32> = (keys as u32 - rows as u32..keys as u32).collect();
    let job = AttendJob { first_row: 0, rows, kv: KeyValues::Codes(&codes), mask: Mask::Causal(&positions) };
    let seen: f64 = positions.iter().map(|p| f64::from(*p) + 1.0).sum();
    let operations = 4.0 * seen * (LANGUAGE.heads * LANGUAGE.head_dim) as f64;
    time(threads, &format!("language, {rows} rows, {keys} keys in codes"), operations, || {
        drop(black_box(backend.attend(&q, LANGUAGE, Products::Bf16, &[job])));
    });
}

fn main() {
    let count = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(2);
    let threads = Threads::new(count).expect("the system gives threads");
    let level = std::env::args().nth(2);
    for cpu in Cpu::levels().filter(|cpu| level.as_ref().is_none_or(|level| level == cpu.level().name())) {
        println!(
            "{} threads, {}{}",
            threads.count(),
            cpu.level(),
            if cpu.has(mquant_kernels::Features::AVX512_BF16) { " with bf16" } else { "" }
        );
        let backend = CpuBackend::new(cpu);
        vision(&threads, &backend, Products::Bf16);
        vision(&threads, &backend, Products::F32);
        for (rows, keys) in [(512, 512), (4096, 4096), (1, 512), (1, 4096), (1, 32_768), (8, 4096)] {
            language(&threads, &backend, rows, keys);
        }
    }
}
