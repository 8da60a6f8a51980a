use mquant_kernels::{Bits, Cpu, Threads};

use super::super::factor::{ActOrder, GptqOptions, NearestReason};
use super::super::reference::{Random, bytes, correlated, error_under, plain_gptq};
use super::super::{Hessian, rtn_clipped};
use super::*;
use mquant_model::error::Explain;

fn options(act_order: ActOrder) -> GptqOptions {
    GptqOptions { damping: 0.01, act_order }
}

fn hessian(rows: &[Vec<f64>], columns: usize) -> Hessian {
    let mut sum = vec![0f64; columns * columns];
    for row in rows {
        for i in 0..columns {
            for j in 0..=i {
                sum[i * columns + j] += row[i] * row[j];
            }
        }
    }
    let sum = sum.into_iter().map(|v| v as f32).collect();
    Hessian::from_sum(sum, columns, rows.len() as u64).unwrap()
}

fn matrix(random: &mut Random, rows: usize, cols: usize) -> Matrix {
    Matrix::from_f32((0..rows * cols).map(|_| random.normal() as f32 * 0.02).collect(), rows, cols)
}

fn dequantised(made: &IntWeight, row: usize) -> Vec<f64> {
    let scale = |col: usize| made.scales[row * made.groups() + made.group.map_or(0, |group| col / group)];
    (0..made.cols).map(|col| f64::from(made.code(row, col)) * f64::from(scale(col))).collect()
}

/// (w−ŵ)·H·(w−ŵ)ᵀ of each output.
fn errors(weight: &Matrix, made: &IntWeight, hessian: &Hessian) -> Vec<f64> {
    let values = weight.to_f32();
    let of = |row: usize| {
        let made = dequantised(made, row);
        let difference: Vec<f64> =
            made.iter().zip(&values[row * made.len()..]).map(|(made, value)| f64::from(*value) - made).collect();
        error_under(hessian, &difference)
    };
    (0..weight.rows()).map(of).collect()
}

#[test]
fn codes_are_those_of_the_textbook() {
    let mut random = Random(11);
    let (mut equal, mut all) = (0, 0);
    for (cols, samples, group) in
        [(64, 300, None), (200, 90, None), (300, 1000, None), (256, 400, Some(32)), (320, 900, Some(128))]
    {
        for act_order in [ActOrder::Descending, ActOrder::Natural] {
            for bits in [Bits::Four, Bits::Eight] {
                let hessian = hessian(&correlated(&mut random, samples, cols), cols);
                let weight = matrix(&mut random, 130, cols);
                let format = IntFormat { bits, group };
                let factor = HessianFactor::new(&hessian, &options(act_order), &[]).unwrap();
                let made = gptq(Cpu::detect(), &weight, &factor, format, Clip::Search).unwrap();
                let rounded = rtn_clipped(Cpu::detect(), &weight, format, Clip::Search).unwrap();
                assert_eq!(made.scales, rounded.scales);
                let plain = plain_gptq(&weight, &hessian, &rounded, act_order == ActOrder::Descending);
                let (found, best) = (errors(&weight, &made, &hessian), errors(&weight, &rounded, &hessian));
                let mut improved = 0;
                for row in 0..weight.rows() {
                    let codes: Vec<i8> = (0..cols).map(|col| made.code(row, col)).collect();
                    let same = codes.iter().zip(&plain.codes[row]).filter(|(a, b)| a == b).count();
                    let took_nearest = (0..cols).all(|col| made.code(row, col) == rounded.code(row, col));
                    if took_nearest && plain.errors[row] > 0.99 * best[row] {
                        continue;
                    }
                    improved += 1;
                    (equal, all) = (equal + same, all + cols);
                    assert!((found[row] / plain.errors[row] - 1.0).abs() < 1e-3 || same < cols, "output {row}");
                }
                let (found, plain, best) =
                    (found.iter().sum::<f64>(), plain.errors.iter().sum::<f64>(), best.iter().sum::<f64>());
                println!(
                    "{cols} {group:?} {bits} bits {act_order:?}: {improved} outputs, {:.3} of rounding's error",
                    found / best
                );
                assert!(found < plain * 1.001, "{found:e} and {plain:e}");
                assert!(found < 0.8 * best, "{found:e} and {best:e} of rounding");
            }
        }
    }
    println!("{equal} of {all} codes are equal");
    assert!(equal as f64 > 0.999 * all as f64, "{equal} of {all} codes are equal");
}

#[test]
fn any_hessian_gives_finite_codes_no_worse_than_rounding() {
    let mut random = Random(5);
    let mut rungs = [0usize; 2];
    for case in 0..500usize {
        let cols = 1 + random.below(90);
        let rank = [0, 1, cols / 2, cols, 2 * cols][case % 5];
        let spread = [0.0, 2.0, 8.0][case / 5 % 3]; // decades that columns differ by: a condition up to 1e16
        let mut rows: Vec<Vec<f64>> = (0..rank).map(|_| (0..cols).map(|_| random.normal()).collect()).collect();
        let scales: Vec<f64> = (0..cols)
            .map(|_| if random.below(9) == 0 { 0.0 } else { 10f64.powf(-spread * random.uniform()) })
            .collect();
        rows.iter_mut().for_each(|row| row.iter_mut().zip(&scales).for_each(|(v, s)| *v *= s));
        let hessian = hessian(&rows, cols);
        let mut weight = matrix(&mut random, 5, cols);
        let group = [None, Some(32)][case % 2];
        let format = IntFormat { bits: [Bits::Four, Bits::Eight][case / 2 % 2], group };
        let excluded: Vec<usize> = if case % 3 == 0 { vec![random.below(cols)] } else { vec![] };
        let act_order = [ActOrder::Descending, ActOrder::Natural][case / 3 % 2];
        let factor = HessianFactor::new(&hessian, &options(act_order), &excluded).unwrap();
        let made = gptq(Cpu::detect(), &weight, &factor, format, Clip::Search).unwrap();
        made.check().unwrap();
        let nearest = rtn_but(Cpu::detect(), &weight, format, Clip::Search, factor.zeroed()).unwrap();
        assert_eq!(made.scales, nearest.scales);
        // What is computed elsewhere is no error.
        weight.make_mut().chunks_mut(cols).for_each(|row| excluded.iter().for_each(|column| row[*column] = 0.0));
        for (row, (found, best)) in
            errors(&weight, &made, &hessian).iter().zip(errors(&weight, &nearest, &hessian)).enumerate()
        {
            assert!(
                found.is_finite() && *found <= best * (1.0 + 1e-9),
                "case {case}, output {row}: {found:e}, {best:e}"
            );
        }
        rungs[usize::from(matches!(factor.rung(), DampingOutcome::Nearest(_)))] += 1;
        for column in factor.zeroed() {
            assert!((0..5).all(|row| made.code(row, *column) == 0), "case {case}, column {column}");
        }
        assert!(excluded.iter().all(|column| factor.zeroed().contains(column)));
    }
    println!("{rungs:?} damped and nearest");
    assert!(rungs[0] > 300 && rungs[1] > 50);
}

#[test]
fn hessians_that_are_none_are_rounded_by() {
    let weight = matrix(&mut Random(1), 3, 4);
    let format = IntFormat::per_channel(Bits::Four);
    let rounded = rtn_clipped(Cpu::detect(), &weight, format, Clip::None).unwrap();
    let mut indefinite = vec![1.0; 16];
    indefinite[4] = 50.0;
    let mut infinite = vec![1.0; 16];
    infinite[13] = f32::INFINITY;
    let mut unread = vec![1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    unread[3] = f32::NAN; // above the diagonal
    for (sum, reason) in [
        (vec![0.0; 16], Some(NearestReason::NothingSeen)),
        (indefinite, Some(NearestReason::Indefinite)),
        (vec![-1.0; 16], Some(NearestReason::Indefinite)),
        (infinite, Some(NearestReason::NotFinite)),
        (vec![f32::NAN; 16], Some(NearestReason::NotFinite)),
        (unread, None),
        (vec![f32::MAX; 16], None),
        (vec![f32::from_bits(1); 16], None),
    ] {
        let hessian = Hessian::from_sum(sum, 4, 1).unwrap();
        let factor = HessianFactor::new(&hessian, &GptqOptions::default(), &[]).unwrap();
        let found = if let DampingOutcome::Nearest(reason) = factor.rung() { Some(reason) } else { None };
        assert_eq!(found, reason);
        let made = gptq(Cpu::detect(), &weight, &factor, format, Clip::None).unwrap();
        if reason.is_some() {
            assert_eq!(bytes(&made), bytes(&rounded), "{reason:?}");
        }
    }
}

#[test]
fn odd_weights_have_finite_codes() {
    let mut random = Random(3);
    let cols = 70;
    let hessian = hessian(&correlated(&mut random, 200, cols), cols);
    let factor = HessianFactor::new(&hessian, &GptqOptions::default(), &[]).unwrap();
    let one_hot = |at: usize| (0..cols).map(|i| if i == at { 3.0 } else { 0.0 }).collect::<Vec<f32>>();
    let alternating = |v: f32| (0..cols).map(|i| if i % 2 == 0 { v } else { -v }).collect::<Vec<f32>>();
    let outputs = [
        vec![0.0; cols],
        vec![0.25; cols],
        vec![f32::from_bits(1); cols],
        vec![f32::MIN_POSITIVE; cols],
        one_hot(0),
        one_hot(69),
        alternating(f32::MAX),
        alternating(1e30),
        alternating(1e-30),
    ];
    let weight = Matrix::from_f32(outputs.concat(), outputs.len(), cols);
    for bits in [Bits::Four, Bits::Eight] {
        for group in [None, Some(32)] {
            for clip in [Clip::None, Clip::Search] {
                let made = gptq(Cpu::detect(), &weight, &factor, IntFormat { bits, group }, clip).unwrap();
                made.check().unwrap();
                assert!((0..cols).all(|col| made.code(0, col) == 0 && made.code(2, col) == 0));
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut values = vec![1.0; 300 * 8];
    values[203 * 8 + 5] = f32::NAN;
    let hessian = hessian(&correlated(&mut Random(2), 50, 8), 8);
    let format = IntFormat::per_channel(Bits::Eight);
    for excluded in [vec![], vec![5]] {
        let factor = HessianFactor::new(&hessian, &GptqOptions::default(), &excluded).unwrap();
        let error =
            gptq(Cpu::detect(), &Matrix::from_f32(values.clone(), 300, 8), &factor, format, Clip::None).unwrap_err();
        assert_eq!(error.code(), "WEIGHT_NOT_FINITE");
        assert!(error.to_string().contains("output 203 for input 5 is NaN"), "{error}");
    }
    let factor = HessianFactor::new(&hessian, &GptqOptions::default(), &[]).unwrap();
    let error = gptq(Cpu::detect(), &Matrix::from_f32(vec![1.0; 9], 1, 9), &factor, format, Clip::None).unwrap_err();
    assert_eq!(error.to_string(), "second moments of 8 inputs, expected 9 inputs");
    let grouped = IntFormat { bits: Bits::Four, group: Some(48) };
    assert_eq!(
        gptq(Cpu::detect(), &Matrix::from_f32(vec![1.0; 8], 1, 8), &factor, grouped, Clip::None).unwrap_err().code(),
        "WEIGHT_SHAPE"
    );
}

#[test]
fn excluded_columns_have_no_part_in_scales_or_errors() {
    let mut random = Random(8);
    let cols = 96;
    let hessian = hessian(&correlated(&mut random, 300, cols), cols);
    let mut weight = matrix(&mut random, 20, cols);
    let format = IntFormat { bits: Bits::Four, group: Some(32) };
    let excluded = [0, 40, 95];
    let factor = HessianFactor::new(&hessian, &GptqOptions::default(), &excluded).unwrap();
    weight.make_mut().chunks_mut(cols).for_each(|row| excluded.iter().for_each(|column| row[*column] = 100.0));
    let loud = gptq(Cpu::detect(), &weight, &factor, format, Clip::Search).unwrap();
    weight.make_mut().chunks_mut(cols).for_each(|row| excluded.iter().for_each(|column| row[*column] = -3.0));
    let quiet = gptq(Cpu::detect(), &weight, &factor, format, Clip::Search).unwrap();
    assert_eq!(bytes(&loud), bytes(&quiet));
    assert!(excluded.iter().all(|column| (0..20).all(|row| loud.code(row, *column) == 0)));
}

#[test]
fn threads_and_parts_change_no_byte() {
    let mut random = Random(4);
    let cols = 700;
    let rows: Vec<f32> = correlated(&mut random, 400, cols).concat().iter().map(|v| *v as f32).collect();
    let backend = mquant_kernels::CpuBackend::new(mquant_kernels::Cpu::detect());
    let weight = matrix(&mut random, 230, cols);
    let format = IntFormat { bits: Bits::Four, group: Some(128) };
    let make = |threads: usize| {
        Threads::new(threads).unwrap().run(|| {
            let mut hessian = Hessian::new(cols);
            hessian.add(&backend, &mquant_kernels::Rows::from_vec(rows.clone(), cols));
            let factor = HessianFactor::new(&hessian, &GptqOptions::default(), &[]).unwrap();
            let made = gptq(Cpu::detect(), &weight, &factor, format, Clip::Search).unwrap();
            (bytes(&made), factor)
        })
    };
    let (expected, factor) = make(1);
    for threads in 2..=4 {
        assert_eq!(make(threads).0, expected, "{threads} threads");
    }
    let part = gptq(Cpu::detect(), &weight.row_range(0..PANEL), &factor, format, Clip::Search).unwrap();
    assert_eq!(part.codes.as_ref(), &expected.0[..part.codes.as_ref().len()]);
}
