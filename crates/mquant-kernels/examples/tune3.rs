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
    let threads = Threads::new(1).unwrap();
    let b = CpuBackend::new(Cpu::detect());
    for (m, n) in [(510, 8960), (510, 1536)] {
        for k in [64, 256, 1536] {
            for bits in [Bits::Four, Bits::Eight] {
                let w = weight(bits, n, k);
                let codes: Vec<i8> = (0..m * k).map(|i| ((i * 37) % 255) as u8 as i8).collect();
                let x = QuantRows::from_codes(&codes, k, vec![0.01; m]);
                let mut y = Rows::zeros(m, n);
                let mut t: Vec<f64> = (0..60)
                    .map(|_| {
                        threads.run(|| {
                            let s = Instant::now();
                            b.multiply(
                                &x,
                                &mut [Product {
                                    weight: &w,
                                    bias: None,
                                    then: Then::Nothing,
                                    sink: Sink::Write(&mut y),
                                }],
                            );
                            s.elapsed().as_secs_f64()
                        })
                    })
                    .collect();
                t.sort_by(f64::total_cmp);
                let tiles = (m / 6 * n / 64) as f64;
                let cycles = t[2] * 3.55e9 / tiles;
                println!(
                    "W{bits} {m}x{k}x{n}: {:.0} cycles a tile, ideal {}, over {:.0}",
                    cycles,
                    k / 4 * 24,
                    cycles - (k / 4 * 24) as f64
                );
            }
        }
    }
}
