//! Outliers products against the equation, at every level and whatever becomes of the results.

use super::*;
use crate::activation;

/// A product with outlier columns, and the rows of both.
struct WithOutliers {
    main: Case,
    outliers: Case,
    x: QuantRows,
}

fn with_outliers(
    noise: &mut Noise,
    (m, k, n): (usize, usize, usize),
    count: usize,
    kind: (Bits, Option<usize>),
) -> WithOutliers {
    let main = case(noise, (m, k, n), kind.0, kind.1, Pattern::Random);
    let outliers = case(noise, (m, count, n), Bits::Eight, None, Pattern::Random);
    let x = main.x.clone().with_outliers(outliers.x.clone());
    WithOutliers { main, outliers, x }
}

/// y = main product with its bias, then the outlier product added.
fn expected(c: &WithOutliers) -> Vec<f32> {
    let main = equation(&c.main, &vec![0.0; c.x.rows() * c.main.w.rows]);
    let outputs = c.main.w.rows;
    let outliers = |at: usize| {
        let (i, j) = (at / outputs, at % outputs);
        let Case { x, w, .. } = &c.outliers;
        let sum: i64 = (0..w.cols).map(|k| i64::from(x.row(i)[k]) * i64::from(w.code(j, k))).sum();
        sum as f32 * x.scales()[i] * w.scales[j]
    };
    main.iter().enumerate().map(|(at, y)| y + outliers(at)).collect()
}

fn computed(cpu: Cpu, c: &WithOutliers, epilogue: Epilogue<'_>, output: Output<'_>) {
    let pack = |c: &Case| PackedWeight::pack(&c.w).expect("a weight that fits");
    let (weight, outliers) = (pack(&c.main), pack(&c.outliers));
    multiply(
        cpu,
        &c.x,
        &mut [Product {
            weight: &weight,
            bias: Some(&c.main.bias),
            outliers: Some(&outliers),
            branches: &[],
            epilogue,
            output,
        }],
    );
}

#[test]
fn side_products_are_added_before_anything_else() {
    let mut noise = Noise(11);
    let kinds = [(Bits::Four, None), (Bits::Eight, None), (Bits::Four, Some(32)), (Bits::Eight, Some(128))];
    // Whole panels and parts of one, one tile and several, inputs in one block and in several.
    for (m, k, n) in [(1, 40, 5), (7, 300, 64), (15, 500, 130), (9, 8000, 64)] {
        for (count, kind) in [1, 3, 8, 64, 70, 256].into_iter().zip(kinds.into_iter().cycle()) {
            let c = with_outliers(&mut noise, (m, k, n), count, kind);
            let want = expected(&c);
            let residual = noise.floats(m * n);
            let sum: Vec<f32> = residual.iter().zip(&want).map(|(r, y)| r + y).collect();
            let mut active = want.clone();
            activation::apply(Cpu::detect(), Activation::Gelu, &mut active);
            let scales: Vec<f32> = (0..m).map(|i| 1.0 + i as f32).collect();
            let active_rows = Rows::from_vec(active.clone(), n);
            let codes = |x: &Rows| {
                let given = crate::RowScales::Static(&scales);
                crate::row_prologue::quantized(
                    Cpu::detect(),
                    crate::SiteInput::Rows(x),
                    crate::RowPrologue::default(),
                    given,
                    None,
                )
            };
            for cpu in Cpu::levels() {
                for threads in [1, 3] {
                    let name =
                        format!("{} with {threads} threads, {:?}, {count} channels, {kind:?}", cpu.level(), (m, k, n));
                    let pool = crate::Threads::new(threads).expect("threads");
                    let mut y = Rows::from_vec(vec![f32::NAN; m * n], n);
                    pool.run(|| computed(cpu, &c, Epilogue::Nothing, Output::Write(&mut y)));
                    assert!(same_bits(y.as_slice(), &want), "{name}, written");
                    let mut y = Rows::from_vec(residual.clone(), n);
                    pool.run(|| computed(cpu, &c, Epilogue::Nothing, Output::Add(&mut y)));
                    assert!(same_bits(y.as_slice(), &sum), "{name}, added");
                    let mut y = Rows::zeros(m, n);
                    let epilogue = Epilogue::Activate(Activation::Gelu);
                    pool.run(|| computed(cpu, &c, epilogue, Output::Write(&mut y)));
                    assert!(same_bits(y.as_slice(), &active), "{name}, activated");
                    let mut y = QuantRows::zeros(m, n);
                    pool.run(|| computed(cpu, &c, epilogue, Output::Quantize(&scales, &mut y)));
                    assert!(y == codes(&active_rows), "{name}, quantised");
                }
            }
        }
    }
}

#[test]
fn extremes_of_side_codes_stay_exact() {
    let mut noise = Noise(12);
    for (a, w) in [(127, -128), (-128, -128), (127, 127), (-128, 127)] {
        let main = case(&mut noise, (6, 64, 64), Bits::Eight, None, Pattern::Constant(a, w));
        let outliers = case(&mut noise, (6, 256, 64), Bits::Eight, None, Pattern::Constant(a, w));
        let x = main.x.clone().with_outliers(outliers.x.clone());
        let c = WithOutliers { main, outliers, x };
        let want = expected(&c);
        for cpu in Cpu::levels() {
            let mut y = Rows::zeros(6, 64);
            computed(cpu, &c, Epilogue::Nothing, Output::Write(&mut y));
            assert!(same_bits(y.as_slice(), &want), "{} {a} · {w}", cpu.level());
        }
    }
}
