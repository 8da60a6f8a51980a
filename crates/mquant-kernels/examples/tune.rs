use mquant_kernels::*;
use std::sync::Arc;
fn cpu_ns() -> u64 {
    let s = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    s.split(' ').next().unwrap().parse().unwrap()
}
fn weight(bits: Bits, rows: usize, cols: usize) -> PackedWeight {
    let codes = (0..IntWeight::code_bytes(bits, rows, cols)).map(|i| (i * 131 + i / 251) as u8).collect::<Vec<_>>();
    PackedWeight::pack(&IntWeight {
        bits,
        rows,
        cols,
        codes: Bytes::new(Arc::new(codes)),
        scales: vec![0.01; rows],
        group: None,
    })
    .unwrap()
}
fn main() {
    let threads = Threads::new(1).unwrap();
    let level = std::env::args().nth(1).map(|l| l.parse().unwrap()).unwrap_or(Level::Avx512Vnni);
    let cpu = Cpu::detect().capped(level).unwrap();
    let b = CpuBackend::new(cpu);
    for (m, k, n) in [(512, 1536, 8960), (512, 8960, 1536), (512, 1536, 1536), (1024, 1280, 5120), (1024, 5120, 1280)] {
        for bits in [Bits::Four, Bits::Eight] {
            let w = weight(bits, n, k);
            let codes: Vec<i8> = (0..m * k).map(|i| ((i * 37) % 255) as u8 as i8).collect();
            let x = QuantRows::from_codes(&codes, k, vec![0.01; m]);
            let mut y = Rows::zeros(m, n);
            let mut t: Vec<u64> = (0..15)
                .map(|_| {
                    threads.run(|| {
                        let s = cpu_ns();
                        b.multiply(
                            &x,
                            &mut [Product { weight: &w, bias: None, then: Then::Nothing, sink: Sink::Write(&mut y) }],
                        );
                        cpu_ns() - s
                    })
                })
                .collect();
            t.sort();
            let ops = 2.0 * (m * k * n) as f64;
            println!("W{bits} {m} {k} {n}: best {:.0} median {:.0} GOPS", ops / t[0] as f64, ops / t[7] as f64);
        }
    }
}
