//! How far a site on integers is from itself in floats, on rows of one modality at a time: its activation in codes, and
//! what its linears make of them. Both are the engine's: the same kernels, by the same [`Site`].

use mquant_kernels::{Backend, IntWeight, OutlierColumns, PackError, PackedWeight, RowPrologue, Rows, SiteInput};
use rayon::prelude::*;

use super::result::{QuantizedLinear, QuantizedSite, QuantizedWeight};
use super::rounding::rounded;
use super::sampled_rows::SampledByModality;
use crate::calibrate::statistics::scaled;
use mquant_model::input::{Modality, ModalitySpans};
use mquant_model::measure::ClippedShare;
use mquant_model::nn::{
    ForwardBatch, ForwardContext, InputQuant, Linear, ModalityGains, Site, SiteMut, SiteObserver, Weight,
};

/// Values of results that are held at once, in floats and on integers.
const VALUES: usize = 1 << 20;
/// Outputs that are computed at once at least.
const OUTPUTS: usize = 64;
/// Parts of 1 dB that ratios are rounded to.
const DB_STEPS: f64 = 1e2;
/// Parts of 1 that shares are rounded to.
const SHARE_STEPS: f64 = 1e6;

/// Squares of what should be, and of what is missing.
#[derive(Clone, Copy, Debug, Default)]
struct Squares {
    signal: f64,
    noise: f64,
}

/// Compares a site, its float weights after all transforms, with what was made of it; the result goes into its report.
pub(super) fn measure(
    backend: &dyn Backend,
    float: &SiteMut<'_>,
    made: &mut QuantizedSite,
    rows: &SampledByModality,
) -> Result<(), PackError> {
    let mut report = std::mem::take(&mut made.report);
    for (modality, x) in rows {
        let name = modality.to_string();
        let spans = ModalitySpans::uniform(*modality, x.rows());
        let multiplied = made.gains.as_ref().and_then(|gains| scaled(x, &spans, gains.factors()));
        let coded = multiplied.as_ref().unwrap_or(x);
        report.measured_rows.insert(name.clone(), x.rows() as u64);
        if made.input != InputQuant::Float {
            report
                .input_sqnr_db
                .extend(input_squares(backend, made, *modality, coded).decibels().map(|db| (name.clone(), db)));
            report.clipped.insert(name.clone(), rounded(clipped(made, *modality, coded), SHARE_STEPS));
        }
        let output = output_squares(backend, float, made, *modality, x)?;
        report.output_sqnr_db.extend(output.decibels().map(|db| (name.clone(), db)));
        if made.branches.iter().any(|branch| branch.modality == *modality) {
            let bare = without_branches(made);
            let output = output_squares(backend, float, &bare, *modality, x)?;
            report.output_sqnr_db_without_branch.extend(output.decibels().map(|db| (name, db)));
        }
    }
    made.report = report;
    Ok(())
}

impl Squares {
    /// 10·log₁₀(signal/noise); None without signal or without noise.
    fn decibels(self) -> Option<f64> {
        let Self { signal, noise } = self;
        (signal > 0.0 && noise > 0.0).then(|| rounded(10.0 * (signal / noise).log10(), DB_STEPS))
    }

    fn add(&mut self, other: Self) {
        self.signal += other.signal;
        self.noise += other.noise;
    }

    /// Of rows, added up in their order.
    fn of(exact: &Rows, found: impl Fn(usize, &mut [f64]) + Sync) -> Self {
        let rows = (0..exact.rows()).into_par_iter().map_init(
            || vec![0f64; exact.features()],
            |values, row| {
                found(row, values);
                let mut squares = Self::default();
                for (exact, found) in exact.row(row).iter().zip(values) {
                    squares.signal += f64::from(*exact).powi(2);
                    squares.noise += (*found - f64::from(*exact)).powi(2);
                }
                squares
            },
        );
        let mut all = Self::default();
        rows.collect::<Vec<_>>().into_iter().for_each(|squares| all.add(squares));
        all
    }
}

fn input_squares(backend: &dyn Backend, made: &QuantizedSite, modality: Modality, x: &Rows) -> Squares {
    let filled = |input: &InputQuant| match input {
        InputQuant::PerTensor(scale) => vec![*scale; x.rows()],
        InputQuant::PerModality(scales) => vec![scales.of(modality); x.rows()],
        InputQuant::Float | InputQuant::PerToken | InputQuant::PerTokenSix => Vec::new(),
    };
    let main = filled(&made.input);
    let beside = made.split.as_ref().map(|split| (split, filled(&split.input)));
    let split = beside
        .as_ref()
        .map(|(split, filled)| OutlierColumns { channels: &split.channels, scales: split.input.scales(filled) });
    let codes = backend.quantize(SiteInput::Rows(x), RowPrologue::default(), made.input.scales(&main), split);
    let channels = made.split.as_ref().map_or(&[][..], |split| &split.channels);
    Squares::of(x, |row, values| {
        let scale = f64::from(codes.scales()[row]);
        values.iter_mut().zip(codes.row(row)).for_each(|(v, code)| *v = f64::from(*code) * scale);
        if let Some(side) = codes.outliers() {
            let scale = f64::from(side.scales()[row]);
            let codes = channels.iter().zip(side.row(row));
            codes.for_each(|(channel, code)| values[*channel as usize] = f64::from(*code) * scale);
        }
    })
}

fn without_branches(made: &QuantizedSite) -> QuantizedSite {
    let mut bare = QuantizedSite { branches: Vec::new(), ..made.clone() };
    bare.linears.iter_mut().for_each(|linear| linear.branches.clear());
    bare
}

fn clipped(made: &QuantizedSite, modality: Modality, x: &Rows) -> f64 {
    let mut share = ClippedShare::of_site(made.id, &made.input, made.split.as_ref());
    share.observe(made.id, x, pass_of(modality, x.rows()).rows());
    share.seen().first().map_or(0.0, |(_, _, clipped)| clipped.share())
}

/// Of all results of all linears; of none where weights stay float.
fn output_squares(
    backend: &dyn Backend,
    float: &SiteMut<'_>,
    made: &QuantizedSite,
    modality: Modality,
    x: &Rows,
) -> Result<Squares, PackError> {
    let pass = pass_of(modality, x.rows());
    let at_once = (VALUES / x.rows().max(1)).max(OUTPUTS);
    // The rows come from behind the norm.
    let gains = made.gains.as_ref().map(|gains| ModalityGains::new(gains.factors().clone(), None));
    let branches = made.packed_branches()?;
    let mut all = Squares::default();
    for (linear, quantized) in float.linears.iter().zip(&made.linears) {
        let (Some(weight), QuantizedWeight::Int(codes)) = (linear.weight.float(), &quantized.weight) else { continue };
        for first in (0..weight.rows()).step_by(at_once) {
            let outputs = first..weight.rows().min(first + at_once);
            let bias = linear.bias.as_ref().map(|bias| bias[outputs.clone()].to_vec());
            let exact = Linear::plain(Weight::Float(weight.row_range(outputs.clone())), bias);
            let exact =
                Site::float(made.id, None, [exact]).one(SiteInput::Rows(x), &mut ForwardContext::new(backend, &pass));
            let found = Site {
                input: made.input.clone(),
                split: made.split.clone(),
                gains: gains.clone(),
                branches: branches.clone(),
                ..Site::float(made.id, None, [packed(codes, quantized, outputs)?])
            };
            let found = found.one(SiteInput::Rows(x), &mut ForwardContext::new(backend, &pass));
            all.add(Squares::of(&exact, |row, values| {
                values.iter_mut().zip(found.row(row)).for_each(|(to, v)| *to = f64::from(*v));
            }));
        }
    }
    Ok(all)
}

/// Some outputs of a linear, as they are installed.
fn packed(codes: &IntWeight, linear: &QuantizedLinear, outputs: std::ops::Range<usize>) -> Result<Linear, PackError> {
    let weight = PackedWeight::pack(&codes.row_range(outputs.clone()))?;
    let side = linear.side.as_ref().map(|side| PackedWeight::pack(&side.row_range(outputs.clone()))).transpose()?;
    let branches = linear.branches.iter().map(|branch| PackedWeight::pack(&branch.row_range(outputs.clone())));
    let branches = branches.collect::<Result<_, _>>()?;
    let bias = linear.bias.as_ref().map(|bias| bias[outputs].to_vec());
    Ok(Linear { weight: Weight::Int(weight), bias, side, branches })
}

/// Rows of one modality; what only attention asks for is left empty.
fn pass_of(modality: Modality, rows: usize) -> ForwardBatch {
    ForwardBatch {
        sequences: std::iter::once(0..rows).collect(),
        order: (0..rows as u32).collect(),
        spans: ModalitySpans::uniform(modality, rows),
        ..ForwardBatch::default()
    }
}

#[cfg(test)]
mod tests {
    use mquant_kernels::{Bits, Cpu, CpuBackend, Matrix, scale_of};

    use super::*;
    use crate::quantize::{IntFormat, rtn};
    use mquant_model::nn::{ColumnSplit, ModalityScales, SiteId};

    const INPUTS: usize = 40;
    const OUTPUTS: usize = 9;
    /// A channel computed beside the others.
    const BESIDE: usize = 7;

    /// Numbers between −1 and 1 without a pattern.
    fn noise(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
        };
        (0..count).map(next).collect()
    }

    fn float() -> [Linear; 2] {
        [1, 2].map(|seed| Linear {
            weight: Weight::Float(Matrix::from_f32(noise(OUTPUTS * INPUTS, seed), OUTPUTS, INPUTS)),
            bias: Some(noise(OUTPUTS, seed + 10)),
            side: None,
            branches: Vec::new(),
        })
    }

    fn rows() -> SampledByModality {
        let with_outlier = |seed| {
            let mut values = noise(20 * INPUTS, seed);
            values.iter_mut().skip(BESIDE).step_by(INPUTS).for_each(|v| *v *= 50.0);
            Rows::from_vec(values, INPUTS)
        };
        SampledByModality::from([(Modality::Text, with_outlier(5)), (Modality::Vision, with_outlier(6))])
    }

    fn made(input: InputQuant, beside: InputQuant, bits: Bits) -> QuantizedSite {
        let linears = float().map(|linear| {
            let mut main = linear.weight.float().unwrap().to_f32();
            let side: Vec<f32> = main.iter_mut().skip(BESIDE).step_by(INPUTS).map(std::mem::take).collect();
            let codes = rtn(&Matrix::from_f32(main, OUTPUTS, INPUTS), IntFormat::per_channel(bits)).unwrap();
            let side = rtn(&Matrix::from_f32(side, OUTPUTS, 1), IntFormat::per_channel(Bits::Eight)).unwrap();
            let weight = QuantizedWeight::Int(codes);
            QuantizedLinear { weight, bias: linear.bias, side: Some(side), branches: Vec::new() }
        });
        let split = Some(ColumnSplit { channels: vec![BESIDE as u32], input: beside });
        let (id, report) = (SiteId::HEAD, super::super::SiteReport::default());
        bare(id, linears.into(), input, split, report)
    }

    fn bare(
        id: SiteId,
        linears: Vec<QuantizedLinear>,
        input: InputQuant,
        split: Option<ColumnSplit>,
        report: super::super::SiteReport,
    ) -> QuantizedSite {
        let (norm, gains, rotation, branches) = (None, None, None, Vec::new());
        QuantizedSite { id, linears, norm, gains, rotation, input, split, branches, report }
    }

    fn measured(mut site: QuantizedSite) -> QuantizedSite {
        let [first, second] = float();
        let mut float = Site::float(SiteId::HEAD, None, [first, second]);
        let backend = CpuBackend::new(Cpu::detect());
        measure(&backend, &SiteMut::of(&mut float), &mut site, &rows()).unwrap();
        site
    }

    /// The plain sums: input dB, share beyond the scale, output dB.
    fn expected(site: &QuantizedSite, x: &Rows, scale: impl Fn(&[f32], &InputQuant) -> f32) -> [f64; 3] {
        let decibels = |signal: f64, noise: f64| 10.0 * (signal / noise).log10();
        let (mut input, mut output, mut beyond) = ([0f64; 2], [0f64; 2], 0f64);
        for i in 0..x.rows() {
            let row = x.row(i);
            let others: Vec<f32> = row.iter().enumerate().filter(|(c, _)| *c != BESIDE).map(|(_, v)| *v).collect();
            let main = scale(&others, &site.input);
            let beside = scale(&row[BESIDE..=BESIDE], &site.split.as_ref().unwrap().input);
            let coded: Vec<f64> = row
                .iter()
                .enumerate()
                .map(|(channel, v)| {
                    let scale = if channel == BESIDE { beside } else { main };
                    beyond += f64::from(u8::from(channel != BESIDE && v.abs() / scale > 127.5));
                    f64::from((v * (1.0 / scale)).round_ties_even().clamp(-127.0, 127.0)) * f64::from(scale)
                })
                .collect();
            for (v, coded) in row.iter().zip(&coded) {
                input[0] += f64::from(*v).powi(2);
                input[1] += (f64::from(*v) - coded).powi(2);
            }
            for (float, made) in float().iter().zip(&site.linears) {
                let QuantizedWeight::Int(codes) = &made.weight else { panic!("no codes") };
                let side = made.side.as_ref().unwrap();
                let weights = float.weight.float().unwrap().to_f32();
                for j in 0..OUTPUTS {
                    let bias = f64::from(made.bias.as_ref().unwrap()[j]);
                    let (mut exact, mut found) = (bias, bias);
                    for channel in 0..INPUTS {
                        exact += f64::from(row[channel]) * f64::from(weights[j * INPUTS + channel]);
                        let weight = match channel {
                            BESIDE => f64::from(side.code(j, 0)) * f64::from(side.scales[j]),
                            _ => f64::from(codes.code(j, channel)) * f64::from(codes.scales[j]),
                        };
                        found += coded[channel] * weight;
                    }
                    output[0] += exact * exact;
                    output[1] += (exact - found).powi(2);
                }
            }
        }
        let share = beyond / (x.rows() * (INPUTS - 1)) as f64;
        [decibels(input[0], input[1]), share, decibels(output[0], output[1])]
    }

    fn check(site: &QuantizedSite, scale: impl Fn(Modality, &[f32], &InputQuant) -> f32) {
        for (modality, x) in rows() {
            let [input, share, output] = expected(site, &x, |row, input| scale(modality, row, input));
            let name = modality.to_string();
            let report = &site.report;
            println!("{name}: input {input:.3} dB, beyond {share:.4}, output {output:.3} dB");
            assert!((report.input_sqnr_db[&name] - input).abs() < 0.01, "{report:?}");
            assert!((report.clipped[&name] - share).abs() < 1e-6, "{report:?}");
            assert!((report.output_sqnr_db[&name] - output).abs() < 0.01, "{report:?}");
            assert_eq!(report.measured_rows[&name], 20);
        }
    }

    #[test]
    fn a_static_site_is_as_far_from_itself_as_plain_sums_say() {
        // Too small a scale for text: some of it is beyond.
        let scales = |text: f32, vision: f32| {
            InputQuant::PerModality(ModalityScales { text: text / 127.0, vision: vision / 127.0, audio: 1.0 })
        };
        let site = measured(made(scales(0.8, 1.0), scales(50.0, 50.0), Bits::Eight));
        check(&site, |modality, _, input| match input {
            InputQuant::PerModality(scales) => scales.of(modality),
            _ => panic!("not static"),
        });
        let report = &site.report;
        assert!(report.clipped["text"] > 0.1 && report.clipped["vision"] == 0.0, "{report:?}");
        assert!(report.input_sqnr_db["text"] + 5.0 < report.input_sqnr_db["vision"], "{report:?}");
    }

    #[test]
    fn scales_found_while_running_clip_nothing() {
        let site = measured(made(InputQuant::PerToken, InputQuant::PerToken, Bits::Four));
        check(&site, |_, row, _| scale_of(row.iter().fold(0.0, |most: f32, v| most.max(v.abs())), 127.0));
        assert!(site.report.clipped.values().all(|share| *share == 0.0));
    }

    #[test]
    fn a_wrong_weight_scale_shows_in_the_output_alone() {
        let right = made(InputQuant::PerToken, InputQuant::PerToken, Bits::Eight);
        let mut wrong = right.clone();
        let QuantizedWeight::Int(codes) = &mut wrong.linears[1].weight else { panic!("no codes") };
        codes.scales.iter_mut().for_each(|scale| *scale *= 1.05);
        let (right, wrong) = (measured(right).report, measured(wrong).report);
        assert_eq!(right.input_sqnr_db, wrong.input_sqnr_db);
        for (modality, db) in &right.output_sqnr_db {
            assert!(wrong.output_sqnr_db[modality] < db - 3.0, "{modality}: {db} {:?}", wrong.output_sqnr_db);
        }
    }

    #[test]
    fn what_stays_float_has_no_error_and_silence_no_ratio() {
        let mut site = made(InputQuant::Float, InputQuant::PerToken, Bits::Eight);
        site.split = None;
        for (made, float) in site.linears.iter_mut().zip(float()) {
            (made.weight, made.side) = (QuantizedWeight::Float(float.weight.float().unwrap().clone()), None);
        }
        let report = measured(site).report;
        assert!(report.input_sqnr_db.is_empty() && report.clipped.is_empty() && report.output_sqnr_db.is_empty());
        assert_eq!(report.measured_rows.len(), 2);
        assert_eq!(Squares { signal: 0.0, noise: 0.0 }.decibels(), None);
        assert_eq!(Squares { signal: 100.0, noise: 1.0 }.decibels(), Some(20.0));
    }

    #[test]
    fn many_outputs_are_compared_part_by_part() {
        // Three parts of outputs at the row count of a closer look.
        let (rows, outputs) = (512, 5000);
        let linear = |values: Vec<f32>| Linear {
            weight: Weight::Float(Matrix::from_f32(values, outputs, 8)),
            bias: None,
            side: None,
            branches: Vec::new(),
        };
        let weights = noise(outputs * 8, 3);
        let mut float = Site::float(SiteId::HEAD, None, [linear(weights.clone())]);
        let codes = rtn(&Matrix::from_f32(weights, outputs, 8), IntFormat::per_channel(Bits::Eight)).unwrap();
        let linears =
            vec![QuantizedLinear { weight: QuantizedWeight::Int(codes), bias: None, side: None, branches: Vec::new() }];
        let report = super::super::SiteReport::default();
        let input = InputQuant::Float;
        let mut made = bare(SiteId::HEAD, linears, input, None, report);
        let kept = SampledByModality::from([(Modality::Text, Rows::from_vec(noise(rows * 8, 4), 8))]);
        let backend = CpuBackend::new(Cpu::detect());
        measure(&backend, &SiteMut::of(&mut float), &mut made, &kept).unwrap();
        // Uniform weights and one scale an output: about the ratio of the weights themselves.
        let found = made.report.output_sqnr_db["text"];
        let QuantizedWeight::Int(codes) = &made.linears[0].weight else { panic!("no codes") };
        let plain = crate::quantize::relative_error(float.linears[0].weight.float().unwrap(), codes, &[], None);
        let plain = plain.unwrap().sqnr_db;
        assert!((found - plain).abs() < 0.3, "{found} {plain}");
        assert!(made.report.input_sqnr_db.is_empty());
    }
}
