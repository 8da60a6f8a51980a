//! Gradients against the formulas, written once more in f64, and against differences.

use std::sync::Arc;

use candle_core::{Tensor, Var};
use mquant_kernels::Hadamard;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::tensor::{tensor, with_values};

fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.random::<f32>() * 2.0 - 1.0).collect()
}

fn values(t: &Tensor) -> Vec<f32> {
    with_values(t, |v| Ok(v.to_vec())).unwrap()
}

/// Fake quantisation of the values at `at` by one scale: x̂, and ∂L/∂x from ∂L/∂x̂.
struct Group {
    at: Vec<usize>,
    step: f64,
    most: f64,
    largest: usize,
}

impl Group {
    fn of(x: &[f64], at: Vec<usize>, bits: u32) -> Self {
        let most = f64::from((1u32 << (bits - 1)) - 1);
        let largest = *at.iter().max_by(|a, b| x[**a].abs().total_cmp(&x[**b].abs())).unwrap();
        Self { step: x[largest].abs() / most, at, most, largest }
    }

    fn round(&self, x: &[f64], y: &mut [f64]) {
        self.at.iter().for_each(|i| y[*i] = (x[*i] / self.step).round_ties_even() * self.step);
    }

    fn backward(&self, x: &[f64], g: &[f64], dx: &mut [f64]) {
        let share = |i: &usize| g[*i] * ((x[*i] / self.step).round_ties_even() - x[*i] / self.step);
        self.at.iter().for_each(|i| dx[*i] = g[*i]);
        dx[self.largest] += x[self.largest].signum() / self.most * self.at.iter().map(share).sum::<f64>();
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

/// y = Q(x/s)·Q(W·s)ᵀ, L = Σ c·y: ∂L/∂s and ∂L/∂x of section 4.2's forward, with a scale for each row or for each set of rows, and
/// weights with scales for each output or for groups.
#[test]
fn gradients_of_a_quantised_linear_follow_the_formulas() {
    let (rows, inputs, outputs) = (5, 12, 7);
    let (x, w, c) = (noise(rows * inputs, 1), noise(outputs * inputs, 2), noise(rows * outputs, 3));
    let s: Vec<f32> = noise(inputs, 4).iter().map(|v| 1.2 + v).collect();
    let sets = [0u32, 1, 0, 1, 1];
    for (per_set, group, bits) in [(false, None, (8, 4)), (true, Some(4), (6, 3)), (true, None, (4, 8))] {
        // In f64, by hand.
        let (xd, wd, cd, sd) = (wide(&x), wide(&w), wide(&c), wide(&s));
        let a: Vec<f64> = (0..rows * inputs).map(|i| xd[i] / sd[i % inputs]).collect();
        let b: Vec<f64> = (0..outputs * inputs).map(|i| wd[i] * sd[i % inputs]).collect();
        let row = |r: usize| r * inputs..(r + 1) * inputs;
        let a_groups: Vec<Vec<usize>> = if per_set {
            (0..2).map(|set| (0..rows).filter(|r| sets[*r] == set).flat_map(row).collect()).collect()
        } else {
            (0..rows).map(|r| row(r).collect()).collect()
        };
        let size = group.unwrap_or(inputs);
        let a_groups: Vec<Group> = a_groups.into_iter().map(|at| Group::of(&a, at, bits.0)).collect();
        let b_groups: Vec<Group> =
            (0..outputs * inputs / size).map(|g| Group::of(&b, (g * size..(g + 1) * size).collect(), bits.1)).collect();
        let (mut aq, mut bq) = (a.clone(), b.clone());
        a_groups.iter().for_each(|group| group.round(&a, &mut aq));
        b_groups.iter().for_each(|group| group.round(&b, &mut bq));
        let (mut ga, mut gb) = (vec![0f64; a.len()], vec![0f64; b.len()]);
        for r in 0..rows {
            for o in 0..outputs {
                for i in 0..inputs {
                    ga[r * inputs + i] += cd[r * outputs + o] * bq[o * inputs + i];
                    gb[o * inputs + i] += cd[r * outputs + o] * aq[r * inputs + i];
                }
            }
        }
        let (mut da, mut db) = (ga.clone(), gb.clone());
        a_groups.iter().for_each(|group| group.backward(&a, &ga, &mut da));
        b_groups.iter().for_each(|group| group.backward(&b, &gb, &mut db));
        let mut ds = vec![0f64; inputs];
        (0..outputs * inputs).for_each(|i| ds[i % inputs] += wd[i] * db[i]);
        (0..rows * inputs).for_each(|i| ds[i % inputs] -= xd[i] / sd[i % inputs].powi(2) * da[i]);
        // By the operations.
        let s = Var::from_tensor(&tensor(s.clone(), inputs).unwrap()).unwrap();
        let xv = Var::from_tensor(&tensor(x.clone(), (rows, inputs)).unwrap()).unwrap();
        let weight = SmoothedWeight { values: Arc::new(w.clone()), outputs, inputs, rotation: None };
        let scales = if per_set { Scales::PerSet(Arc::new(sets.to_vec())) } else { Scales::PerRow };
        let read = quantize(&xv.broadcast_div(&s).unwrap(), bits.0, scales).unwrap();
        let codes = Some(WeightCodes { bits: bits.1, group });
        let y = smoothed_linear(&read, &s, &weight, codes).unwrap();
        let loss = (y * tensor(c.clone(), (rows, outputs)).unwrap()).unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        let close = |ours: Vec<f32>, want: Vec<f64>| {
            let most = want.iter().fold(0f64, |most, v| most.max(v.abs()));
            let worst = ours.iter().zip(&want).map(|(o, w)| (f64::from(*o) - w).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-5 * most, "{worst} of {most}, per set {per_set}, bits {bits:?}");
        };
        close(values(gradients.get(&s).unwrap()), ds);
        close(values(gradients.get(&xv).unwrap()), (0..rows * inputs).map(|i| da[i] / sd[i % inputs]).collect());
    }
}

/// (f(v + h·u) − f(v − h·u)) / 2h against ⟨∇f, u⟩ for each of some variables.
fn check_differences(start: Vec<Tensor>, f: impl Fn(&[Tensor]) -> Tensor) {
    let variables: Vec<Var> = start.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tensors = |v: &[Var]| v.iter().map(|v| v.as_tensor().clone()).collect::<Vec<_>>();
    let gradients = f(&tensors(&variables)).backward().unwrap();
    for (i, variable) in variables.iter().enumerate() {
        let direction = tensor(noise(variable.elem_count(), 77 + i as u64), variable.shape()).unwrap();
        let ours = (gradients.get(variable).unwrap() * &direction).unwrap().sum_all().unwrap();
        let ours = ours.to_scalar::<f32>().unwrap();
        let at = |h: f64| {
            let mut moved = start.clone();
            moved[i] = (&start[i] + direction.affine(h, 0.0).unwrap()).unwrap();
            f64::from(f(&moved).to_scalar::<f32>().unwrap())
        };
        let numeric = (at(1e-2) - at(-1e-2)) / 2e-2;
        assert!(
            (f64::from(ours) - numeric).abs() < 5e-3 * numeric.abs().max(0.1),
            "variable {i}: {ours} and {numeric}"
        );
    }
}

fn weighed(y: &Tensor) -> Tensor {
    let weights = tensor(noise(y.elem_count(), 9), y.shape()).unwrap();
    (y * weights).unwrap().sum_all().unwrap()
}

#[test]
fn gradients_of_products_and_softmax_are_their_differences() {
    let t = |shape: (usize, usize, usize), seed| tensor(noise(shape.0 * shape.1 * shape.2, seed), shape).unwrap();
    check_differences(vec![t((2, 3, 4), 1), t((2, 4, 5), 2)], |v| weighed(&matmul(&v[0], &v[1]).unwrap()));
    check_differences(vec![t((2, 3, 4), 1), t((2, 5, 4), 2)], |v| weighed(&matmul_t(&v[0], &v[1]).unwrap()));
    let order = Some(Arc::new(vec![2, 0, 3, 1]));
    check_differences(vec![t((2, 8, 4), 3)], |v| weighed(&softmax(&v[0], 0.7, order.clone()).unwrap()));
    check_differences(vec![t((1, 3, 6), 4)], |v| weighed(&softmax(&v[0], 1.3, None).unwrap()));
}

#[test]
fn gradients_of_rotated_weights_are_their_differences() {
    let (rows, inputs, outputs) = (4, 11, 40);
    for rotation in [None, Some(Arc::new(Hadamard::padded(inputs).unwrap()))] {
        let weight = SmoothedWeight { values: Arc::new(noise(outputs * inputs, 1)), outputs, inputs, rotation };
        let s = tensor(noise(inputs, 3).iter().map(|v| 1.5 + v).collect(), inputs).unwrap();
        let x = tensor(noise(rows * inputs, 2), (rows, inputs)).unwrap();
        check_differences(vec![x, s], |v| {
            let x = match &weight.rotation {
                Some(rotation) => rotate(&v[0], rotation).unwrap(),
                None => v[0].clone(),
            };
            weighed(&smoothed_linear(&x, &v[1], &weight, None).unwrap())
        });
    }
}

/// A rotation of rows and weights together changes nothing.
#[test]
fn rotated_rows_meet_rotated_weights() {
    let (rows, inputs, outputs) = (4, 11, 6);
    let rotation = Arc::new(Hadamard::padded(inputs).unwrap());
    let stored = Arc::new(noise(outputs * inputs, 1));
    let s = tensor(vec![1.0; inputs], inputs).unwrap();
    let x = tensor(noise(rows * inputs, 2), (rows, inputs)).unwrap();
    let weight = SmoothedWeight { values: stored.clone(), outputs, inputs, rotation: Some(rotation.clone()) };
    let rotated = smoothed_linear(&rotate(&x, &rotation).unwrap(), &s, &weight, None).unwrap();
    let plain = linear(&x, &stored, outputs).unwrap();
    for (a, b) in values(&rotated).iter().zip(values(&plain)) {
        assert!((a - b).abs() < 1e-5, "{a} and {b}");
    }
}
