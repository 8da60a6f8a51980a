use mquant_kernels::Bits;

use super::super::reference::{Random, correlated, error_under};
use super::super::{IntFormat, rtn};
use super::*;
use mquant_model::error::Explain;

#[test]
fn both_figures_follow_their_definition() {
    let mut random = Random(6);
    let (rows, cols) = (201, 70);
    let seen = correlated(&mut random, 100, cols);
    let entry = |at: usize| seen.iter().map(|row| row[at / cols] * row[at % cols]).sum::<f64>() as f32;
    let hessian = Hessian::from_sum((0..cols * cols).map(entry).collect(), cols, 100).unwrap();
    let values: Vec<f32> = (0..rows * cols).map(|_| random.normal() as f32).collect();
    let weight = Matrix::from_f32(values.clone(), rows, cols);
    for (group, excluded) in [(None, vec![]), (Some(32), vec![3, 69])] {
        let made = rtn(&weight, IntFormat { bits: Bits::Four, group }).unwrap();
        let mut sums = [0f64; 4];
        for row in 0..rows {
            let part = |col: usize, made: f64| {
                if excluded.contains(&col) { 0.0 } else { f64::from(values[row * cols + col]) - made }
            };
            let scale = |col: usize| f64::from(made.scales[row * made.groups() + group.map_or(0, |group| col / group)]);
            let signal: Vec<f64> = (0..cols).map(|col| part(col, 0.0)).collect();
            let noise: Vec<f64> = (0..cols).map(|col| part(col, f64::from(made.code(row, col)) * scale(col))).collect();
            for (i, values) in [signal, noise].iter().enumerate() {
                sums[i] += values.iter().map(|v| v * v).sum::<f64>();
                sums[2 + i] += error_under(&hessian, values);
            }
        }
        let found = relative_error(&weight, &made, &excluded, Some(&hessian)).unwrap();
        assert!((found.sqnr_db - 10.0 * (sums[0] / sums[1]).log10()).abs() < 1e-4, "{found:?}");
        let outputs = found.output_sqnr_db.unwrap();
        assert!((outputs - 10.0 * (sums[2] / sums[3]).log10()).abs() < 1e-3, "{found:?}");
        assert!(
            found.sqnr_db > 10.0 && relative_error(&weight, &made, &excluded, None).unwrap().output_sqnr_db.is_none()
        );
    }
}

#[test]
fn nothing_lost_is_infinite_and_other_shapes_are_refused() {
    let weight = Matrix::from_f32(vec![7.0, -7.0, 1.0, 0.0], 1, 4);
    let made = rtn(&weight, IntFormat::per_channel(Bits::Four)).unwrap();
    let hessian = Hessian::new(4);
    let found = relative_error(&weight, &made, &[], Some(&hessian)).unwrap();
    assert_eq!(found, WeightError { sqnr_db: f64::INFINITY, output_sqnr_db: Some(f64::INFINITY) });
    let refused = |weight: &Matrix, excluded: &[usize], hessian: &Hessian| {
        relative_error(weight, &made, excluded, Some(hessian)).unwrap_err().code()
    };
    assert_eq!(refused(&Matrix::from_f32(vec![1.0; 4], 2, 2), &[], &hessian), "WEIGHT_COMPARED");
    assert_eq!(refused(&weight, &[4], &hessian), "HESSIAN_COLUMN");
    assert_eq!(refused(&weight, &[], &Hessian::new(3)), "HESSIAN_SHAPE");
    let broken = Matrix::from_f32(vec![1.0, f32::NAN, 0.0, 0.0], 1, 4);
    assert_eq!(refused(&broken, &[], &hessian), "WEIGHT_NOT_FINITE");
}
