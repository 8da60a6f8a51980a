#[cfg(target_arch = "x86_64")]
mod avx_vnni;
mod bounds;
mod branches;
mod outliers;

use std::sync::Arc;

use super::*;
use crate::data::Bytes;
use crate::int_weight::IntWeight;
use crate::quant_rows::QuantRows;

/// A small counter-based generator.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| (self.next() >> 32) as u8).collect()
    }

    fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| (self.next() % 2001) as f32 / 1000.0 + 0.001).collect()
    }
}

/// Patterns that saturating or wrapping arithmetic gets wrong.
const EXTREMES: [i8; 7] = [-128, -127, -1, 0, 1, 126, 127];

#[derive(Clone, Copy, Debug)]
enum Pattern {
    Random,
    /// Both operands constant.
    Constant(i8, i8),
    /// The sign of both alternates, so that products do not.
    Alternating,
}

struct Case {
    x: QuantRows,
    w: IntWeight,
    bias: Vec<f32>,
}

fn case(
    noise: &mut Noise,
    (m, k, n): (usize, usize, usize),
    bits: Bits,
    group: Option<usize>,
    pattern: Pattern,
) -> Case {
    let (codes, weights): (Vec<i8>, Vec<u8>) = match pattern {
        Pattern::Random => {
            (noise.bytes(m * k).into_iter().map(|b| b as i8).collect(), noise.bytes(IntWeight::code_bytes(bits, n, k)))
        }
        Pattern::Constant(a, w) => (vec![a; m * k], constant(bits, n, k, |_| w)),
        Pattern::Alternating => (
            (0..m * k).map(|i| if i % 2 == 0 { 127 } else { -128 }).collect(),
            constant(bits, n, k, |i| if i % 2 == 0 { 127 } else { -128 }),
        ),
    };
    let groups = group.map_or(1, |g| k.div_ceil(g));
    let scales = noise.floats(m);
    Case {
        x: QuantRows::from_codes(&codes, k, scales),
        w: IntWeight {
            bits,
            rows: n,
            cols: k,
            codes: Bytes::new(Arc::new(weights)),
            scales: noise.floats(n * groups),
            group,
        },
        bias: noise.floats(n),
    }
}

fn constant(bits: Bits, n: usize, k: usize, code: impl Fn(usize) -> i8) -> Vec<u8> {
    match bits {
        Bits::Eight => (0..n * k).map(|i| code(i % k) as u8).collect(),
        Bits::Four => {
            let nibble = |i: usize| (code(i).clamp(-8, 7) + 8) as u8;
            let row: Vec<u8> = (0..k.div_ceil(8) * 4).map(|b| nibble(2 * b) | nibble(2 * b + 1) << 4).collect();
            row.repeat(n)
        }
    }
}

/// The equation, in 64 bits up to the epilogue.
fn equation(c: &Case, residual: &[f32]) -> Vec<f32> {
    let mut y = Vec::new();
    for i in 0..c.x.rows() {
        for j in 0..c.w.rows {
            let sum = |inputs: std::ops::Range<usize>| -> i64 {
                inputs.map(|k| i64::from(c.x.row(i)[k]) * i64::from(c.w.code(j, k))).sum()
            };
            let row = c.x.scales()[i];
            let value = match c.w.group {
                None => sum(0..c.w.cols) as f32 * row * c.w.scales[j],
                Some(group) => {
                    let groups = c.w.groups();
                    let of =
                        |g: usize| sum(g * group..c.w.cols.min((g + 1) * group)) as f32 * c.w.scales[j * groups + g];
                    (0..groups).fold(0.0, |y, g| y + of(g)) * row
                }
            };
            y.push(residual[i * c.w.rows + j] + (value + c.bias[j]));
        }
    }
    y
}

fn computed(cpu: Cpu, c: &Case, residual: &[f32]) -> Vec<f32> {
    let weight = PackedWeight::pack(&c.w).expect("a weight that fits");
    let mut y = Rows::from_vec(residual.to_vec(), c.w.rows);
    multiply(
        cpu,
        &c.x,
        &mut [Product {
            weight: &weight,
            bias: Some(&c.bias),
            outliers: None,
            branches: &[],
            epilogue: Epilogue::Nothing,
            output: Output::Add(&mut y),
        }],
    );
    y.into_vec()
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

fn check(
    cpu: Cpu,
    noise: &mut Noise,
    shape: (usize, usize, usize),
    bits: Bits,
    group: Option<usize>,
    pattern: Pattern,
) {
    let c = case(noise, shape, bits, group, pattern);
    let residual = noise.floats(shape.0 * shape.2);
    let same = same_bits(&computed(cpu, &c, &residual), &equation(&c, &residual));
    assert!(same, "{} {shape:?} (rows, inputs, outputs), {bits} bits, groups {group:?}, {pattern:?}", cpu.level());
}

/// Every number of inputs, of rows and of the given outputs: the equation is computed for the largest, of which the
/// others are a corner.
fn every_shape(cpu: Cpu, inputs: std::ops::RangeInclusive<usize>, most_rows: usize, outputs: &[usize]) {
    let mut noise = Noise(1);
    let most_outputs = *outputs.last().expect("some outputs");
    for k in inputs {
        for bits in [Bits::Four, Bits::Eight] {
            let pattern = match k % 4 {
                0 => Pattern::Constant(EXTREMES[k / 4 % 7], EXTREMES[k / 28 % 7]),
                1 => Pattern::Alternating,
                _ => Pattern::Random,
            };
            let whole = case(&mut noise, (most_rows, k, most_outputs), bits, None, pattern);
            let want = equation(&whole, &vec![0.0; most_rows * most_outputs]);
            for &n in outputs {
                let codes = Bytes::new(Arc::new(whole.w.codes.as_ref()[..IntWeight::code_bytes(bits, n, k)].to_vec()));
                let weight = IntWeight { codes, rows: n, scales: whole.w.scales[..n].to_vec(), ..whole.w.clone() };
                let weight = PackedWeight::pack(&weight).expect("a weight that fits");
                for m in 1..=most_rows {
                    let codes: Vec<i8> = (0..m).flat_map(|i| whole.x.row(i)).copied().collect();
                    let x = QuantRows::from_codes(&codes, k, whole.x.scales()[..m].to_vec());
                    let mut y = Rows::from_vec(vec![f32::NAN; m * n], n);
                    let product = Product {
                        weight: &weight,
                        bias: Some(&whole.bias[..n]),
                        outliers: None,
                        branches: &[],
                        epilogue: Epilogue::Nothing,
                        output: Output::Write(&mut y),
                    };
                    multiply(cpu, &x, &mut [product]);
                    for i in 0..m {
                        let want = &want[i * most_outputs..][..n];
                        assert!(
                            same_bits(y.row(i), want),
                            "{} {m} rows, {k} inputs, {n} outputs, {bits} bits, {pattern:?}, row {i}",
                            cpu.level()
                        );
                    }
                }
            }
        }
    }
}

/// One test for each kernel, so that a failure names it.
macro_rules! one_test_each {
    ($($name:ident)*) => {$(
        mod $name {
            use super::*;

            fn cpu() -> Option<Cpu> {
                cpu_of(stringify!($name))
            }

            #[test]
            fn every_shape_equals_the_equation() {
                if let Some(cpu) = cpu() {
                    // One number more: all vectors of a panel, and the next panel.
                    every_shape(cpu, 1..=257, 9, &(1..=33).chain([65]).collect::<Vec<_>>());
                }
            }

            /// `cargo test --release -p mquant-kernels int_gemm -- --ignored`
            #[test]
            #[ignore = "minutes: twice the inputs, rows and outputs"]
            fn every_larger_shape_equals_the_equation() {
                if let Some(cpu) = cpu() {
                    every_shape(cpu, 1..=513, 17, &(1..=70).collect::<Vec<_>>());
                }
            }

            #[test]
            fn extremes_of_codes_and_of_lengths_stay_exact() {
                let Some(cpu) = cpu() else { return };
                let mut noise = Noise(2);
                for bits in [Bits::Four, Bits::Eight] {
                    for a in EXTREMES {
                        for w in EXTREMES {
                            check(cpu, &mut noise, (7, 300, 70), bits, None, Pattern::Constant(a, w));
                        }
                    }
                    let most = IntWeight::most_inputs(bits);
                    for pattern in [Pattern::Constant(-128, -128), Pattern::Constant(127, -128), Pattern::Alternating] {
                        check(cpu, &mut noise, (2, most, 3), bits, None, pattern);
                    }
                    // Inputs in several blocks, more rows than a tile.
                    check(cpu, &mut noise, (13, 21_000, 65), bits, None, Pattern::Random);
                }
            }

            #[test]
            fn groups_have_their_own_scales() {
                let Some(cpu) = cpu() else { return };
                let mut noise = Noise(3);
                for bits in [Bits::Four, Bits::Eight] {
                    for group in [32, 64, 128] {
                        for k in [1, 31, 32, 33, 64, 127, 128, 129, 500] {
                            check(cpu, &mut noise, (8, k, 67), bits, Some(group), Pattern::Random);
                        }
                    }
                }
            }
        }
    )*};
}

one_test_each! { scalar }
#[cfg(target_arch = "x86_64")]
one_test_each! { avx2 avxvnni avx512vnni }

/// The CPU limited to what a kernel of the list needs, so that it is the one that runs.
fn cpu_of(name: &str) -> Option<Cpu> {
    let kernel = kernels(1).iter().find(|kernel| kernel.name == name).expect("a kernel of the list");
    let cpu = crate::features::for_test(kernel.needs)?;
    for rows in [1, MAX_FEW_ROWS, MAX_FEW_ROWS + 1] {
        assert_eq!(pick(kernels(rows), cpu).name, name);
    }
    Some(cpu)
}

#[test]
fn threads_and_neighbours_do_not_matter() {
    let mut noise = Noise(4);
    let c = case(&mut noise, (37, 200, 150), Bits::Four, None, Pattern::Random);
    let residual = vec![0.0; 37 * 150];
    let alone = computed(Cpu::detect(), &c, &residual);
    for threads in [1, 2, 3, 8, 40] {
        let pool = crate::Threads::new(threads).expect("threads");
        assert!(same_bits(&pool.run(|| computed(Cpu::detect(), &c, &residual)), &alone), "{threads} threads");
    }
    // Each row by itself.
    let weight = PackedWeight::pack(&c.w).expect("a weight that fits");
    for i in 0..37 {
        let x = QuantRows::from_codes(c.x.row(i), 200, vec![c.x.scales()[i]]);
        let (mut y, mut twice) = (Rows::zeros(1, 150), Rows::zeros(1, 150));
        let bias = Some(&c.bias[..]);
        multiply(
            Cpu::detect(),
            &x,
            &mut [
                Product {
                    weight: &weight,
                    bias,
                    outliers: None,
                    branches: &[],
                    epilogue: Epilogue::Nothing,
                    output: Output::Write(&mut y),
                },
                Product {
                    weight: &weight,
                    bias,
                    outliers: None,
                    branches: &[],
                    epilogue: Epilogue::Activate(Activation::QuickGelu),
                    output: Output::Write(&mut twice),
                },
            ],
        );
        assert!(same_bits(y.row(0), &alone[i * 150..(i + 1) * 150]), "row {i}");
        crate::activation::apply(Cpu::detect(), Activation::QuickGelu, y.as_mut_slice());
        assert!(same_bits(y.row(0), twice.row(0)), "row {i}, activated");
    }
}

#[test]
fn a_planted_fault_is_noticed() {
    let mut noise = Noise(5);
    let mut c = case(&mut noise, (5, 40, 20), Bits::Eight, None, Pattern::Constant(127, -128));
    let residual = vec![0.0; 100];
    let right = computed(Cpu::detect(), &c, &residual);
    let mut codes = c.w.codes.as_ref().to_vec();
    codes[13 * 40 + 39] ^= 1;
    c.w.codes = Bytes::new(Arc::new(codes));
    let wrong = computed(Cpu::detect(), &c, &residual);
    let differing: Vec<usize> = (0..100).filter(|i| right[*i] != wrong[*i]).collect();
    assert_eq!(differing, [13, 33, 53, 73, 93]);
}

/// Gating, activating and quantising in the epilogue give what the separate operations give.
#[test]
fn results_can_go_straight_into_the_next_codes() {
    let mut noise = Noise(6);
    for cpu in Cpu::levels() {
        for (bits, k) in [(Bits::Four, 50), (Bits::Eight, 6000)] {
            let (up, gate) = (
                case(&mut noise, (15, k, 100), bits, None, Pattern::Random),
                case(&mut noise, (15, k, 100), bits, None, Pattern::Random),
            );
            let pack = |c: &Case| PackedWeight::pack(&c.w).expect("a weight that fits");
            let (up_weight, gate_weight) = (pack(&up), pack(&gate));
            let (mut u, mut g) = (Rows::zeros(15, 100), Rows::zeros(15, 100));
            let bias = Some(&up.bias[..]);
            let mut products = [
                Product {
                    weight: &up_weight,
                    bias,
                    outliers: None,
                    branches: &[],
                    epilogue: Epilogue::Nothing,
                    output: Output::Write(&mut u),
                },
                Product {
                    weight: &gate_weight,
                    bias: None,
                    outliers: None,
                    branches: &[],
                    epilogue: Epilogue::Nothing,
                    output: Output::Write(&mut g),
                },
            ];
            multiply(cpu, &up.x, &mut products);
            let steps = crate::RowPrologue::default();
            let source = crate::SiteInput::Gated(Activation::Silu, &g, &u);
            let h = crate::row_prologue::rows(cpu, source, steps);
            let scales: Vec<f32> = (0..15).map(|i| 1.0 + i as f32).collect();
            let want = crate::row_prologue::quantized(cpu, source, steps, crate::RowScales::Static(&scales), None);
            let epilogue = Epilogue::Gate(Activation::Silu, Gate { weight: &gate_weight, bias: None, branches: &[] });
            let (mut rows, mut codes) = (Rows::zeros(15, 100), QuantRows::zeros(15, 100));
            multiply(
                cpu,
                &up.x,
                &mut [Product {
                    weight: &up_weight,
                    bias,
                    outliers: None,
                    branches: &[],
                    epilogue,
                    output: Output::Write(&mut rows),
                }],
            );
            let output = Output::Quantize(&scales, &mut codes);
            multiply(
                cpu,
                &up.x,
                &mut [Product { weight: &up_weight, bias, outliers: None, branches: &[], epilogue, output }],
            );
            assert!(same_bits(rows.as_slice(), h.as_slice()), "{} {bits} bits, gated rows", cpu.level());
            assert_eq!(codes, want, "{} {bits} bits, gated codes", cpu.level());
        }
    }
}
