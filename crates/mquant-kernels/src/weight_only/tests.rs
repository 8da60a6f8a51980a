use std::sync::Arc;

use super::*;
use crate::Threads;
use crate::data::Bytes;
use crate::features::for_test;
use crate::int_weight::IntWeight;

fn noise(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
}

fn weight(bits: Bits, rows: usize, cols: usize, group: Option<usize>) -> IntWeight {
    let codes: Vec<u8> = (0..IntWeight::code_bytes(bits, rows, cols)).map(|i| (i * 131 + i / 7 + 5) as u8).collect();
    let scales = noise(rows * group.map_or(1, |group| cols.div_ceil(group)), 3);
    let scales = scales.into_iter().map(|s| s.abs() * 0.02 + 0.001).collect();
    IntWeight { bits, rows, cols, codes: Bytes::new(Arc::new(codes)), scales, group }
}

const GROUPS: [Option<usize>; 4] = [None, Some(32), Some(64), Some(128)];

#[test]
fn every_shape_follows_the_equation_and_every_kernel_gives_the_bits_of_the_scalar_one() {
    for bits in [Bits::Four, Bits::Eight] {
        for group in GROUPS {
            for (rows, cols, outputs) in [
                (1, 1, 1),
                (1, 200, 65),
                (2, 128, 64),
                (3, 129, 130),
                (4, 63, 7),
                (5, 300, 70),
                (16, 260, 129),
                (FEW_ROWS, 96, 66),
                (FEW_ROWS + 1, 96, 66),
            ] {
                let w = weight(bits, outputs, cols, group);
                let packed = PackedWeight::pack(&w).unwrap();
                let (x, bias) = (Rows::from_vec(noise(rows * cols, 11), cols), noise(outputs, 13));
                let at = |cpu: Cpu| linear(cpu, &x, &packed, Some(&bias), &Scratch::default());
                let definition = at(Cpu::SCALAR);
                for i in 0..rows {
                    for (j, bias) in bias.iter().enumerate() {
                        let scale = |k: usize| w.scales[j * w.groups() + group.map_or(0, |group| k / group)];
                        let exact: f64 = (0..cols)
                            .map(|k| f64::from(x.row(i)[k]) * f64::from(w.code(j, k)) * f64::from(scale(k)))
                            .sum::<f64>()
                            + f64::from(*bias);
                        let found = f64::from(definition.row(i)[j]);
                        assert!(
                            (found - exact).abs() < 1e-4 * exact.abs().max(1.0),
                            "{bits} bits, {group:?}, {rows} × {cols} × {outputs}"
                        );
                    }
                }
                for kernel in KERNELS {
                    let Some(cpu) = for_test(kernel.needs) else { continue };
                    let found = at(cpu);
                    let equal =
                        found.as_slice().iter().zip(definition.as_slice()).all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(equal, "{}: {bits} bits, {group:?}, {rows} × {cols} × {outputs}", kernel.name);
                }
            }
        }
    }
}

#[test]
fn neither_threads_nor_the_rows_beside_it_change_a_row() {
    let packed = PackedWeight::pack(&weight(Bits::Four, 300, 516, Some(128))).unwrap();
    let x = Rows::from_vec(noise(16 * 516, 17), 516);
    let of = |threads, rows: std::ops::Range<usize>| {
        let x = Rows::from_vec(x.range(rows).to_vec(), 516);
        Threads::new(threads).unwrap().run(|| linear(Cpu::detect(), &x, &packed, None, &Scratch::default()))
    };
    let together = of(1, 0..16);
    assert_eq!(of(3, 0..16), together);
    for row in 0..16 {
        assert_eq!(of(2, row..row + 1).row(0), together.row(row), "row {row}");
    }
}
