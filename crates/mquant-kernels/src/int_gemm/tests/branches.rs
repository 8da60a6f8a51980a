//! Low-rank branches against the equation, at every level and whatever becomes of the results.

use std::ops::Range;

use super::*;
use crate::activation;
use crate::quantize_rows;

/// A product, its gate, and two branches: of some rows, and of others.
struct WithBranches {
    main: Case,
    gate: Case,
    /// First halves, second halves of the product, and of the gate.
    halves: [[IntWeight; 3]; 2],
    rows: [Vec<Range<usize>>; 2],
}

fn weight(noise: &mut Noise, rows: usize, cols: usize) -> IntWeight {
    case(noise, (1, cols, rows), Bits::Eight, None, Pattern::Random).w
}

fn with_branches(noise: &mut Noise, (m, k, n): (usize, usize, usize), ranks: [usize; 2]) -> WithBranches {
    let (main, gate) = [0, 1].map(|_| case(noise, (m, k, n), Bits::Four, None, Pattern::Random)).into();
    let halves = ranks.map(|rank| [weight(noise, rank, k), weight(noise, n, rank), weight(noise, n, rank)]);
    // One row, a range over the border of tiles, and rows of no branch.
    let rows = [vec![0..1, m / 3..m / 2], std::iter::once(m / 2..m - m / 8).collect()];
    WithBranches { main, gate, halves, rows }
}

fn product_of(x: &QuantRows, i: usize, w: &IntWeight, j: usize) -> f32 {
    let sum: i64 = (0..w.cols).map(|k| i64::from(x.row(i)[k]) * i64::from(w.code(j, k))).sum();
    sum as f32 * x.scales()[i] * w.scales[j]
}

/// y = main product with its bias, then each branch's; `half` 1 of the product, 2 of its gate.
fn expected(c: &WithBranches, case: &Case, half: usize) -> Vec<f32> {
    let x = &c.main.x;
    let outputs = case.w.rows;
    let mut y =
        equation(&Case { x: x.clone(), w: case.w.clone(), bias: case.bias.clone() }, &vec![0.0; x.rows() * outputs]);
    for (halves, rows) in c.halves.iter().zip(&c.rows) {
        for i in rows.iter().cloned().flatten() {
            let hidden: Vec<f32> = (0..halves[0].rows).map(|r| product_of(x, i, &halves[0], r)).collect();
            let scale = quantize_rows::scale_of(hidden.iter().fold(0.0, |most, v| v.abs().max(most)), 127.0);
            let codes: Vec<i8> =
                hidden.iter().map(|v| quantize_rows::quantize_scalar(*v, 1.0 / scale, -127.0, 127.0)).collect();
            let hidden = QuantRows::from_codes(&codes, codes.len(), vec![scale]);
            (0..outputs).for_each(|j| y[i * outputs + j] += product_of(&hidden, 0, &halves[half], j));
        }
    }
    y
}

fn computed(cpu: Cpu, c: &WithBranches, is_gated: bool, output: Output<'_>) {
    let pack = |w: &IntWeight| PackedWeight::pack(w).expect("a weight that fits");
    let [first, of_main, of_gate] = [0, 1, 2].map(|half| c.halves.each_ref().map(|halves| pack(&halves[half])));
    let mut x = c.main.x.clone();
    let branches = [0, 1].map(|i| RowBranch { weight: &first[i], rows: &c.rows[i] });
    attach(cpu, &mut x, &branches);
    let (weight, gate) = (pack(&c.main.w), pack(&c.gate.w));
    let gate = Gate { weight: &gate, bias: Some(&c.gate.bias), branches: &of_gate };
    let epilogue = if is_gated { Epilogue::Gate(Activation::Silu, gate) } else { Epilogue::Nothing };
    let bias = Some(&c.main.bias[..]);
    multiply(cpu, &x, &mut [Product { weight: &weight, bias, outliers: None, branches: &of_main, epilogue, output }]);
}

#[test]
fn branches_are_added_to_their_rows_before_anything_else() {
    let mut noise = Noise(21);
    for (m, k, n) in [(8, 40, 5), (23, 300, 64), (40, 500, 130), (17, 8000, 64)] {
        let c = with_branches(&mut noise, (m, k, n), [7, 64]);
        let (main, gate) = (expected(&c, &c.main, 1), expected(&c, &c.gate, 2));
        let residual = noise.floats(m * n);
        let sum: Vec<f32> = residual.iter().zip(&main).map(|(r, y)| r + y).collect();
        let mut gated = gate;
        activation::apply(Cpu::detect(), Activation::Silu, &mut gated);
        gated.iter_mut().zip(&main).for_each(|(g, y)| *g *= y);
        for cpu in Cpu::levels() {
            for threads in [1, 3] {
                let name = format!("{} with {threads} threads, {:?}", cpu.level(), (m, k, n));
                let pool = crate::Threads::new(threads).expect("threads");
                let mut y = Rows::from_vec(vec![f32::NAN; m * n], n);
                pool.run(|| computed(cpu, &c, false, Output::Write(&mut y)));
                assert!(same_bits(y.as_slice(), &main), "{name}, written");
                let mut y = Rows::from_vec(residual.clone(), n);
                pool.run(|| computed(cpu, &c, false, Output::Add(&mut y)));
                assert!(same_bits(y.as_slice(), &sum), "{name}, added");
                let mut y = Rows::zeros(m, n);
                pool.run(|| computed(cpu, &c, true, Output::Write(&mut y)));
                assert!(same_bits(y.as_slice(), &gated), "{name}, gated");
            }
        }
    }
}

#[test]
fn rows_of_no_branch_are_as_without_branches() {
    let mut noise = Noise(22);
    let mut c = with_branches(&mut noise, (20, 96, 70), [4, 9]);
    let mut plain = Rows::zeros(20, 70);
    let rows = std::mem::take(&mut c.rows);
    computed(Cpu::detect(), &c, false, Output::Write(&mut plain));
    c.rows = rows;
    let mut y = Rows::zeros(20, 70);
    computed(Cpu::detect(), &c, false, Output::Write(&mut y));
    for i in 0..20 {
        let is_of_branch = c.rows.iter().flatten().any(|rows| rows.contains(&i));
        assert_eq!(same_bits(y.row(i), plain.row(i)), !is_of_branch, "row {i}");
    }
}
