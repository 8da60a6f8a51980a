use mquant_kernels::Threads;

use super::super::reference::{Random, correlated};
use super::*;
use mquant_model::error::Explain;

fn hessian(random: &mut Random, rows: usize, columns: usize) -> Hessian {
    let rows = correlated(random, rows, columns);
    let entry = |i: usize, j: usize| rows.iter().map(|row| row[i] * row[j]).sum::<f64>() as f32;
    let sum = (0..columns * columns).map(|at| entry(at / columns, at % columns)).collect();
    Hessian::from_sum(sum, columns, rows.len() as u64).unwrap()
}

#[test]
fn the_factor_multiplies_back_to_the_damped_hessian() {
    let mut random = Random(1);
    for (n, act_order) in
        [(1, ActOrder::Natural), (7, ActOrder::Natural), (65, ActOrder::Descending), (300, ActOrder::Descending)]
    {
        let hessian = hessian(&mut random, 2 * n + 5, n);
        let factor = HessianFactor::new(&hessian, &GptqOptions { damping: 0.05, act_order }, &[]).unwrap();
        assert_eq!(factor.rung(), DampingOutcome::Damped { damping: 0.05 });
        let mean = (0..n).map(|i| f64::from(hessian.at(i, i))).sum::<f64>() / n as f64;
        for i in 0..n {
            for j in 0..=i {
                let lower = |i: usize, k: usize| f64::from(factor.feedback[k * n + i]);
                let product: f64 = (0..=j).map(|k| lower(i, k) * lower(j, k) * factor.pivots[k]).sum();
                let entry = f64::from(hessian.at(factor.order[i], factor.order[j])) / mean;
                let expected = entry + if i == j { 0.05 } else { 0.0 };
                let size = (f64::from(hessian.at(factor.order[i], factor.order[i])) / mean).max(1.0);
                assert!((product - expected).abs() < 1e-5 * size, "{n}: ({i}, {j}) {product} of {expected}");
            }
        }
        if act_order == ActOrder::Descending {
            assert!(factor.order.is_sorted_by(|a, b| hessian.at(*a, *a) <= hessian.at(*b, *b)));
        } else {
            assert!(factor.order.iter().rev().copied().eq(0..n));
        }
    }
}

#[test]
fn damping_is_raised_until_there_is_a_factor() {
    // Eigenvalues 1 ± 1.05: between the shares 0.01 and 0.1 of the mean the smaller one becomes positive.
    let hessian = Hessian::from_sum(vec![1.0, 0.0, 1.05, 1.0], 2, 1).unwrap();
    let factor = HessianFactor::new(&hessian, &GptqOptions::default(), &[]).unwrap();
    assert_eq!(factor.rung(), DampingOutcome::Damped { damping: 0.1 });
    let hessian = Hessian::from_sum(vec![1.0, 0.0, 1.5, 1.0], 2, 1).unwrap();
    let options = GptqOptions { damping: 0.3, ..GptqOptions::default() };
    assert_eq!(HessianFactor::new(&hessian, &options, &[]).unwrap().rung(), DampingOutcome::Damped { damping: 1.0 });
}

#[test]
fn dead_and_excluded_columns_are_left_out() {
    let mut sum = vec![0f32; 36];
    (0..6).for_each(|i| sum[i * 6 + i] = i as f32);
    let hessian = Hessian::from_sum(sum, 6, 9).unwrap();
    let factor = HessianFactor::new(&hessian, &GptqOptions::default(), &[4, 2, 2]).unwrap();
    assert_eq!((factor.zeroed(), factor.columns()), (&[0, 2, 4][..], 6));
    assert_eq!(factor.order, [1, 3, 5]);
    let error = HessianFactor::new(&hessian, &GptqOptions::default(), &[6]).unwrap_err();
    assert_eq!(error.to_string(), "column 6 is to be left out, but there are 6");
    for damping in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let options = GptqOptions { damping, ..GptqOptions::default() };
        assert_eq!(HessianFactor::new(&hessian, &options, &[]).unwrap_err().code(), "HESSIAN_DAMPING");
    }
    let empty = HessianFactor::new(&Hessian::new(0), &GptqOptions::default(), &[]).unwrap();
    assert_eq!(empty.rung(), DampingOutcome::Nearest(NearestReason::NothingSeen));
    assert_eq!(Hessian::from_sum(vec![0.0; 5], 2, 1).unwrap_err().code(), "HESSIAN_SHAPE");
}

#[test]
fn any_threads_give_the_same_factor() {
    let hessian = hessian(&mut Random(9), 60, 1000);
    let make = |threads: usize| {
        let run = || HessianFactor::new(&hessian, &GptqOptions::default(), &[]).unwrap();
        Threads::new(threads).unwrap().run(run)
    };
    let expected = make(1);
    for threads in 2..=4 {
        let found = make(threads);
        assert!(found.feedback.iter().zip(&expected.feedback).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert!(found.pivots.iter().zip(&expected.pivots).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
}
