//! Every combination of steps against the same steps one after the other.

use super::*;
use crate::features::Level;
use crate::threads::Threads;

const FEATURES: usize = 48;

fn noise(rows: usize, features: usize, seed: usize) -> Rows {
    let values = (0..rows * features).map(|i| (((i + seed) * 7919 % 4001) as f32 - 1900.0) * 3.1e-3).collect();
    Rows::from_vec(values, features)
}

fn scalar() -> Cpu {
    Cpu::detect().capped(Level::Scalar).unwrap()
}

fn bits(rows: &Rows) -> Vec<u32> {
    rows.as_slice().iter().map(|v| v.to_bits()).collect()
}

fn name_of(source: SiteInput<'_>, steps: RowPrologue<'_>) -> String {
    let source = match source {
        SiteInput::Rows(x) => format!("{} rows", x.rows()),
        SiteInput::Activated(f, x) => format!("{f:?} of {} rows", x.rows()),
        SiteInput::Gated(f, x, _) => format!("gated {f:?} of {} rows", x.rows()),
    };
    let norm = steps.norm.map(|norm| (matches!(norm.kind, NormStep::Rms), norm.repeat));
    format!("{source}, (RMS, repeat): {norm:?}, rotation: {:?}", steps.rotation.map(Hadamard::parts))
}

/// The steps one after the other, each on all rows, with the definition of each.
fn expected(source: SiteInput<'_>, steps: RowPrologue<'_>) -> Rows {
    let mut y = source.first().clone();
    match source {
        SiteInput::Rows(_) => {}
        SiteInput::Activated(f, _) => activation::apply(scalar(), f, y.as_mut_slice()),
        SiteInput::Gated(f, _, up) => {
            activation::apply(scalar(), f, y.as_mut_slice());
            y.as_mut_slice().iter_mut().zip(up.as_slice()).for_each(|(y, up)| *y *= up);
        }
    }
    if let Some(step) = steps.norm {
        for i in 0..y.rows() {
            let x = y.row(i).to_vec();
            match step.kind {
                NormStep::Rms => norm::rms(scalar(), &x, step.gain, step.eps, y.row_mut(i)),
                NormStep::Layer { bias } => norm::layer(scalar(), &x, step.gain, bias, step.eps, y.row_mut(i)),
            }
        }
        y = y.regroup(step.repeat);
    }
    if let Some(rotation) = steps.rotation {
        let mut rotated = Rows::zeros(y.rows(), rotation.features());
        for i in 0..y.rows() {
            rotated.row_mut(i)[..y.features()].copy_from_slice(y.row(i));
            rotation.rotate_row(scalar(), rotated.row_mut(i));
        }
        return rotated;
    }
    y
}

/// Calls `f` with every source, norm, regrouping and rotation.
fn every_combination(rows: usize, mut f: impl FnMut(SiteInput<'_>, RowPrologue<'_>)) {
    let (x, up) = (noise(rows, FEATURES, 5), noise(rows, FEATURES, 77));
    let gain: Vec<f32> = (0..FEATURES).map(|i| 0.4 + i as f32 * 0.03).collect();
    let bias: Vec<f32> = (0..FEATURES).map(|i| 0.2 - i as f32 * 0.01).collect();
    for repeat in [1, 2, 4] {
        let norm = |kind| Some(NormOf { kind, gain: &gain, eps: 1e-6, repeat });
        let rotation = Hadamard::new(FEATURES * repeat).unwrap();
        let padded = Hadamard::padded(FEATURES * repeat + 1).unwrap();
        for norm in [None, norm(NormStep::Rms), norm(NormStep::Layer { bias: &bias })] {
            for rotation in [None, Some(&rotation), Some(&padded)] {
                if norm.is_none() && repeat > 1 {
                    continue;
                }
                let steps = RowPrologue { norm, rotation, ..RowPrologue::default() };
                f(SiteInput::Rows(&x), steps);
                for activation in [Activation::Silu, Activation::QuickGelu, Activation::Gelu, Activation::GeluTanh] {
                    f(SiteInput::Activated(activation, &x), steps);
                    f(SiteInput::Gated(activation, &x, &up), steps);
                }
            }
        }
    }
}

#[test]
fn a_row_goes_through_its_steps_in_order() {
    for count in [1, 3] {
        let threads = Threads::new(count).unwrap();
        for n in [4, 60] {
            every_combination(n, |source, steps| {
                let want = expected(source, steps);
                for cpu in Cpu::levels() {
                    let got = threads.run(|| rows(cpu, source, steps));
                    assert_eq!((got.rows(), got.features()), (want.rows(), want.features()));
                    assert!(bits(&got) == bits(&want), "{} at {}", name_of(source, steps), cpu.level());
                }
            });
        }
    }
}

/// Rows 0, 3, 6, … take the first vector, 1, 4, 7, … the second, the others none.
#[test]
fn rows_take_their_own_gains() {
    let (x, up) = (noise(7, FEATURES, 5), noise(7, FEATURES, 77));
    let gain: Vec<f32> = (0..FEATURES).map(|i| 0.4 + i as f32 * 0.03).collect();
    let own = [0.5, -1.25].map(|first| (0..FEATURES).map(|i| first + i as f32 * 0.07).collect::<Vec<f32>>());
    let vectors = [Some(&own[0][..]), Some(&own[1][..]), None];
    let of_row = [0, 1, 2, 0, 1, 2, 0];
    let rotation = Hadamard::new(FEATURES).unwrap();
    let norm = |gain| NormOf { kind: NormStep::Rms, gain, eps: 1e-6, repeat: 1 };
    for rotation in [None, Some(&rotation)] {
        for has_norm in [false, true] {
            for source in [SiteInput::Rows(&x), SiteInput::Gated(Activation::Silu, &x, &up)] {
                let plain = expected(source, RowPrologue::default());
                let steps = RowPrologue {
                    norm: has_norm.then_some(norm(&gain)),
                    gains: Some(RowGains { vectors: &vectors, of_row: &of_row }),
                    rotation,
                };
                for cpu in Cpu::levels() {
                    let (got, codes) =
                        (rows(cpu, source, steps), quantized(cpu, source, steps, RowScales::PerToken, None));
                    assert!(codes == codes_of(&got, RowScales::PerToken), "codes at {}", cpu.level());
                    for i in 0..7 {
                        let of = vectors[usize::from(of_row[i])];
                        let mut row = Rows::from_vec(plain.row(i).to_vec(), FEATURES);
                        if !has_norm && let Some(of) = of {
                            row.as_mut_slice().iter_mut().zip(of).for_each(|(v, gain)| *v *= gain);
                        }
                        let norm = has_norm.then_some(norm(of.unwrap_or(&gain)));
                        let want =
                            expected(SiteInput::Rows(&row), RowPrologue { norm, rotation, ..RowPrologue::default() });
                        assert_eq!(got.row(i), want.row(0), "row {i} at {}", cpu.level());
                    }
                }
            }
        }
    }
}

#[test]
fn codes_are_those_of_the_rows_in_f32() {
    for count in [1, 3] {
        let threads = Threads::new(count).unwrap();
        for n in [4, 60] {
            every_combination(n, |source, steps| {
                let x = expected(source, steps);
                let given: Vec<f32> = (0..x.rows()).map(|i| 0.01 + i as f32 * 0.003).collect();
                for scales in [RowScales::Static(&given), RowScales::PerToken, RowScales::PerTokenSix] {
                    let want = codes_of(&x, scales);
                    for cpu in Cpu::levels() {
                        let got = threads.run(|| quantized(cpu, source, steps, scales, None));
                        assert!(got == want, "{} at {}", name_of(source, steps), cpu.level());
                    }
                }
            });
        }
    }
}

/// The codes of rows with scales: those of the definition, one by one.
fn codes_of(x: &Rows, scales: RowScales<'_>) -> QuantRows {
    let largest = |i: usize, code: f32| (x.row(i).iter().fold(0f32, |most, v| most.max(v.abs())) / code).max(1e-8);
    let scale = |i: usize| match scales {
        RowScales::Static(given) => given[i],
        RowScales::PerToken => largest(i, 127.0),
        RowScales::PerTokenSix => largest(i, 31.0),
    };
    let scales: Vec<f32> = (0..x.rows()).map(scale).collect();
    let code =
        |(at, v): (usize, &f32)| quantize_rows::quantize_scalar(*v, 1.0 / scales[at / x.features()], -127.0, 127.0);
    let codes: Vec<i8> = x.as_slice().iter().enumerate().map(code).collect();
    QuantRows::from_codes(&codes, x.features(), scales)
}

#[test]
fn split_channels_have_codes_of_their_own() {
    for (count, n) in [(1, 4), (3, 60)] {
        let threads = Threads::new(count).unwrap();
        every_combination(n, |source, steps| {
            let x = expected(source, steps);
            let features = x.features() as u32;
            let (few, many) = (vec![0], (0..features).filter(|c| c % 7 == 3 || c + 1 == features).collect::<Vec<_>>());
            let given = |of: f32| (0..x.rows()).map(|i| of + i as f32 * 0.003).collect::<Vec<f32>>();
            let (main, beside) = (given(0.01), given(0.4));
            for channels in [&few, &many, &(0..features).collect()] {
                let (mut rest, mut taken) = (x.clone(), Rows::zeros(x.rows(), channels.len()));
                for i in 0..x.rows() {
                    for (at, channel) in channels.iter().enumerate() {
                        taken.row_mut(i)[at] = x.row(i)[*channel as usize];
                        rest.row_mut(i)[*channel as usize] = 0.0;
                    }
                }
                for (scales, outliers) in [
                    (RowScales::Static(&main), RowScales::Static(&beside)),
                    (RowScales::PerToken, RowScales::PerToken),
                    (RowScales::Static(&main), RowScales::PerToken),
                ] {
                    let want = codes_of(&rest, scales).with_outliers(codes_of(&taken, outliers));
                    let columns = OutlierColumns { channels, scales: outliers };
                    for cpu in Cpu::levels() {
                        let got = threads.run(|| quantized(cpu, source, steps, scales, Some(columns)));
                        assert!(got == want, "{}, {channels:?} at {}", name_of(source, steps), cpu.level());
                    }
                }
            }
        });
    }
}

#[test]
fn a_large_split_channel_does_not_stretch_the_scale_of_a_row() {
    let mut x = noise(5, FEATURES, 3);
    (0..5).for_each(|i| x.row_mut(i)[9] = 1e4);
    let columns = OutlierColumns { channels: &[9], scales: RowScales::PerToken };
    let got = quantized(Cpu::detect(), SiteInput::Rows(&x), RowPrologue::default(), RowScales::PerToken, Some(columns));
    let outliers = got.outliers().unwrap();
    assert!(got.scales().iter().all(|scale| *scale < 0.1), "{:?}", got.scales());
    assert_eq!((outliers.row(0), outliers.scales()[0]), (&[127][..], 1e4 / 127.0));
    assert_eq!(x.row(0)[9], 1e4, "the source stays");
}

#[test]
fn a_few_rows_stay_on_the_thread_that_asks() {
    let run = std::thread::spawn(|| {
        let x = noise(TASK_ROWS, 96, 1);
        quantized(
            Cpu::detect(),
            SiteInput::Activated(Activation::Silu, &x),
            RowPrologue::default(),
            RowScales::PerToken,
            None,
        );
        ROW.with_borrow(|row| row.len())
    });
    assert_eq!(run.join().unwrap(), 96, "the scratch row of this thread");
}

#[test]
fn no_rows_are_no_work() {
    let x = Rows::zeros(0, 16);
    let y = quantized(Cpu::detect(), SiteInput::Rows(&x), RowPrologue::default(), RowScales::PerToken, None);
    assert_eq!((y.rows(), y.features()), (0, 16));
    assert_eq!(rows(Cpu::detect(), SiteInput::Rows(&x), RowPrologue::default()).rows(), 0);
}
