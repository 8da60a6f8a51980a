use mquant_kernels::*;
use std::sync::Arc;
use std::time::Instant;
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
    let threads = Threads::new(2).unwrap();
    let level = std::env::args().nth(1).map(|l| l.parse().unwrap()).unwrap_or(Level::Avx512Vnni);
    let cpu = Cpu::detect().capped(level).unwrap();
    let b = CpuBackend::new(cpu);
    for (m, k, n) in [(1, 1536, 151936), (1, 8960, 1536 * 20), (8, 1536, 151936), (8, 8960, 1536 * 20)] {
        for bits in [Bits::Four, Bits::Eight] {
            let w = weight(bits, n, k);
            let codes: Vec<i8> = (0..m * k).map(|i| ((i * 37) % 255) as u8 as i8).collect();
            let x = QuantRows::from_codes(&codes, k, vec![0.01; m]);
            let mut y = Rows::zeros(m, n);
            let mut t: Vec<f64> = (0..31)
                .map(|_| {
                    threads.run(|| {
                        let s = Instant::now();
                        b.multiply(
                            &x,
                            &mut [Product { weight: &w, bias: None, then: Then::Nothing, sink: Sink::Write(&mut y) }],
                        );
                        s.elapsed().as_secs_f64()
                    })
                })
                .collect();
            t.sort_by(f64::total_cmp);
            let by = w.byte_len() as f64 / 1e9;
            println!("W{bits} {m} {k} {n}: best {:.1} q1 {:.1} median {:.1} GB/s", by / t[0], by / t[8], by / t[15]);
        }
    }
}
