//! One site from floats to integers: which channels are split off, scales, codes.

use std::collections::BTreeMap;

use mquant_kernels::{Bits, Cpu, IntWeight, Matrix, SMALLEST_SCALE, scale_of};

use super::PipelineError;
use super::report::SiteReport;
use super::result::{QuantizedLinear, QuantizedSite, QuantizedWeight};
use super::smoothing;
use crate::calibrate::statistics::{SeenRows, SiteStatistics};
use crate::quantize::{
    Clip, DampingOutcome, GptqOptions, HessianFactor, IntFormat, NearestReason, gptq, relative_error, rtn, rtn_clipped,
};
use crate::recipe::{Observer, Sinks, SitePlan, Target, WeightMethod};
use crate::transform::columns_to_split;
use mquant_model::bundle::InputFormat;
use mquant_model::input::Modality;
use mquant_model::nn::{ColumnSplit, InputQuant, Linear, ModalityGains, ModalityScales, SiteMut};

/// A first token's activation this many times as large as all others is an attention sink.
const SINK: f32 = 8.0;
/// Rows of a modality below which its range is a guess.
const FEW_ROWS: u64 = 32;

/// What is the same for all sites of a job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Instructions that may be used.
    pub(super) cpu: Cpu,
    pub(super) observer: Observer,
    pub(super) sinks: Sinks,
    /// How float matrices are stored.
    pub(super) floats: mquant_kernels::Dtype,
}

/// The channels of a site that are computed beside the main product.
pub(super) fn side_channels(site: &SiteMut<'_>, plan: &SitePlan, seen: Option<&SiteStatistics>) -> Vec<u32> {
    let (Some(limits), Some(seen), true) = (plan.split, seen, plan.target.input() != InputFormat::Float) else {
        return Vec::new();
    };
    let activations = seen.channels();
    let mut weights = vec![0f32; activations.len()];
    let mut row = vec![0f32; activations.len()];
    for linear in site.linears.iter() {
        let Some(matrix) = linear.weight.float() else { continue };
        for output in 0..matrix.rows() {
            matrix.read_rows(output..output + 1, &mut row);
            weights.iter_mut().zip(&row).for_each(|(most, w)| *most = most.max(w.abs()));
        }
    }
    columns_to_split(&weights, &activations, limits)
}

/// Quantises a site whose float weights have passed all transforms.
pub(super) fn quantize(
    site: &SiteMut<'_>,
    plan: &SitePlan,
    seen: Option<&SiteStatistics>,
    side: Vec<u32>,
    rules: Rules,
    Smoothed { factors, report }: Smoothed,
) -> Result<QuantizedSite, PipelineError> {
    let seen = seen.filter(|seen| seen.rows() > 0);
    let mut report = SiteReport { weight_bits: plan.target.bits(), ..report };
    let (input, split) = match plan.target {
        Target::Float => (InputQuant::Float, None),
        Target::Int { .. } => inputs(plan.target, seen, side, rules, &mut report),
    };
    let channels = split.as_ref().map_or(&[][..], |split| &split.channels);
    let linears = match plan.target {
        Target::Float => site.linears.iter().map(|linear| Ok(as_float(linear, rules.floats))).collect(),
        Target::Int { format, method, clip, .. } => {
            let method = Method { cpu: rules.cpu, format, method, clip };
            integer_linears(site, method, seen, channels, &mut report)
        }
    }?;
    report.input = name_of(&input).to_owned();
    report.side_columns = channels.to_vec();
    let (norm, rotation) = (site.norm.clone(), site.rotation.clone());
    let is_codes = !factors.is_empty() && plan.target != Target::Float;
    let gains = is_codes.then(|| ModalityGains::new(factors, site.norm.as_ref()));
    let branches = Vec::new();
    Ok(QuantizedSite { id: site.id, linears, norm, gains, rotation, input, split, branches, report })
}

/// What smoothing by modality left to a site, and what a report is to say of it.
#[derive(Debug, Default)]
pub(super) struct Smoothed {
    pub(super) factors: BTreeMap<Modality, Vec<f32>>,
    pub(super) report: SiteReport,
}

#[derive(Clone, Copy)]
struct Method {
    cpu: Cpu,
    format: IntFormat,
    method: WeightMethod,
    clip: Clip,
}

fn as_float(linear: &Linear, dtype: mquant_kernels::Dtype) -> QuantizedLinear {
    let matrix = linear.weight.float().expect("a site is quantised once").to_dtype(dtype);
    let weight = QuantizedWeight::Float(matrix);
    QuantizedLinear { weight, bias: linear.bias.clone(), side: None, branches: Vec::new() }
}

fn integer_linears(
    site: &SiteMut<'_>,
    Method { cpu, format, method, clip }: Method,
    seen: Option<&SiteStatistics>,
    channels: &[u32],
    report: &mut SiteReport,
) -> Result<Vec<QuantizedLinear>, PipelineError> {
    let wrong = |source| PipelineError::Weight { site: site.id, source };
    let all = seen.and_then(smoothing::all_moments);
    let hessian = seen.and_then(|seen| seen.hessian.as_ref().or(all.as_ref()));
    let factor = match (method, hessian) {
        (WeightMethod::Gptq { damping, act_order }, Some(hessian)) => {
            let excluded: Vec<usize> = channels.iter().map(|c| *c as usize).collect();
            let factor = HessianFactor::new(hessian, &GptqOptions { damping, act_order }, &excluded).map_err(wrong)?;
            report.hessian = help(factor.rung(), damping);
            Some(factor)
        }
        (WeightMethod::Gptq { .. }, None) => {
            report.notes.push("no activation was seen: weights are rounded to nearest".to_owned());
            None
        }
        (WeightMethod::Rtn, _) => None,
    };
    let mut least: Option<f64> = None;
    let linear = |linear: &Linear| {
        let weight = linear.weight.float().expect("a site is quantised once");
        let (main, beside) = part(weight, channels);
        let codes = match &factor {
            Some(factor) => gptq(cpu, &main, factor, format, clip),
            None => rtn_clipped(cpu, &main, format, clip),
        };
        let codes = codes.map_err(wrong)?;
        let sqnr = relative_error(&main, &codes, &[], None).map_err(wrong)?.sqnr_db;
        least = Some(least.map_or(sqnr, |least| least.min(sqnr)));
        let side = beside.map(|beside| rtn(&beside, IntFormat::per_channel(Bits::Eight)));
        let side: Option<IntWeight> = side.transpose().map_err(wrong)?;
        let (weight, bias) = (QuantizedWeight::Int(codes), linear.bias.clone());
        Ok(QuantizedLinear { weight, bias, side, branches: Vec::new() })
    };
    let linears = site.linears.iter().map(linear).collect();
    report.weight_sqnr_db = least;
    linears
}

/// How a Hessian had to be helped, if it had.
fn help(rung: DampingOutcome, asked: f64) -> Option<String> {
    match rung {
        DampingOutcome::Damped { damping } if damping == asked => None,
        DampingOutcome::Damped { damping } => Some(format!("damped by {damping} instead of {asked}")),
        DampingOutcome::Nearest(reason) => {
            let reason = match reason {
                NearestReason::NothingSeen => "no activation other than 0 was seen",
                NearestReason::NotFinite => "a second moment is not finite",
                NearestReason::Indefinite => "it is not positive definite with any damping",
            };
            Some(format!("rounded to nearest: {reason}"))
        }
    }
}

/// The weight with zeros in the channels, and what was in them.
pub(super) fn part(weight: &Matrix, channels: &[u32]) -> (Matrix, Option<Matrix>) {
    if channels.is_empty() {
        return (weight.clone(), None);
    }
    let (rows, cols) = (weight.rows(), weight.cols());
    let mut main = weight.clone();
    let mut beside = Vec::with_capacity(rows * channels.len());
    for row in main.make_mut().chunks_exact_mut(cols) {
        for channel in channels {
            beside.push(std::mem::take(&mut row[*channel as usize]));
        }
    }
    (main, Some(Matrix::from_f32(beside, rows, channels.len())))
}

/// How the activation and its split channels become codes.
fn inputs(
    target: Target,
    seen: Option<&SiteStatistics>,
    side: Vec<u32>,
    rules: Rules,
    report: &mut SiteReport,
) -> (InputQuant, Option<ColumnSplit>) {
    let (format, largest) = (target.input(), target.input_bits().largest());
    let is_static = matches!(format, InputFormat::PerTensor | InputFormat::PerModality);
    let Some(seen) = seen else {
        if is_static {
            report.notes.push("no activation was seen: scales are found while running, one a row".to_owned());
        }
        let input = match format {
            InputFormat::Float => InputQuant::Float,
            InputFormat::PerTokenSix => InputQuant::PerTokenSix,
            _ => InputQuant::PerToken,
        };
        return (input, None);
    };
    note_rows(seen, is_static, report);
    let has_sink = seen.modalities.get(&Modality::Text).is_some_and(|rows| rows.first_token > SINK * rows.other_tokens);
    let format = match rules.sinks {
        Sinks::PerToken if is_static && has_sink => InputFormat::PerToken,
        _ => format,
    };
    let main = |rows: &SeenRows| range(rows, rules.observer, &side, largest);
    for (modality, rows) in &seen.modalities {
        report.absmax.insert(modality.to_string(), rows.absmax(|c| !side.contains(&c)));
    }
    let input = scales((format, largest), seen, main);
    match &input {
        InputQuant::PerTensor(scale) => {
            report.scales.extend(seen.modalities.keys().map(|m| (m.to_string(), *scale)));
        }
        InputQuant::PerModality(s) => {
            report.scales.extend(seen.modalities.keys().map(|m| (m.to_string(), s.of(*m))));
        }
        InputQuant::Float | InputQuant::PerToken | InputQuant::PerTokenSix => {}
    }
    if side.is_empty() {
        return (input, None);
    }
    let of_side = scales((format, largest), seen, |rows| rows.absmax(|c| side.contains(&c)));
    (input, Some(ColumnSplit { channels: side, input: of_side }))
}

fn note_rows(seen: &SiteStatistics, is_static: bool, report: &mut SiteReport) {
    for (modality, rows) in &seen.modalities {
        report.rows.insert(modality.to_string(), rows.rows);
        if !is_static {
            continue;
        }
        if rows.rows < FEW_ROWS {
            report.notes.push(format!("only {} rows of {modality} were seen", rows.rows));
        }
        if *modality == Modality::Text && rows.first_token > SINK * rows.other_tokens {
            report.notes.push(format!(
                "the first token reaches {:.1}, all others {:.1}: an attention sink",
                rows.first_token, rows.other_tokens
            ));
        }
    }
}

/// The largest magnitude that is to have a code of its own.
fn range(rows: &SeenRows, observer: Observer, side: &[u32], most: f32) -> f32 {
    match (observer, &rows.histogram) {
        (Observer::Percentile(share), Some(histogram)) => histogram.percentile(share),
        (Observer::Mse, Some(histogram)) => histogram.mse_scale(most as u32) * most,
        _ => rows.absmax(|channel| !side.contains(&channel)),
    }
}

/// A modality that was never seen takes the largest range of the others: it clips the least of whatever may come.
fn scales((format, code): (InputFormat, f32), seen: &SiteStatistics, range: impl Fn(&SeenRows) -> f32) -> InputQuant {
    let largest = seen.modalities.values().map(&range).fold(0.0, f32::max);
    let scale = |range: f32| scale_of(range, code).max(SMALLEST_SCALE);
    match format {
        InputFormat::Float => InputQuant::Float,
        InputFormat::PerToken => InputQuant::PerToken,
        InputFormat::PerTokenSix => InputQuant::PerTokenSix,
        InputFormat::PerTensor => InputQuant::PerTensor(scale(largest)),
        InputFormat::PerModality => {
            let of = |modality| scale(seen.modalities.get(&modality).map_or(largest, &range));
            let (text, vision, audio) = (of(Modality::Text), of(Modality::Vision), of(Modality::Audio));
            InputQuant::PerModality(ModalityScales { text, vision, audio })
        }
    }
}

fn name_of(input: &InputQuant) -> &'static str {
    match input {
        InputQuant::Float => "float",
        InputQuant::PerTensor(_) => "per_tensor",
        InputQuant::PerModality(_) => "per_modality",
        InputQuant::PerToken => "per_token",
        InputQuant::PerTokenSix => "per_token_6bit",
    }
}

/// The sites of a part that are quantised, by what their plan wants to know.
pub(super) fn wants_hessian(plan: &SitePlan) -> bool {
    matches!(plan.target, Target::Int { method: WeightMethod::Gptq { .. }, .. })
}

/// Whether a site's ranges need more than the largest magnitudes.
pub(super) fn wants_histogram(plan: &SitePlan, observer: Observer) -> bool {
    let is_static = matches!(plan.target.input(), InputFormat::PerTensor | InputFormat::PerModality);
    is_static && observer != Observer::MinMax
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{InputBits, Sinks};

    /// Rows whose channels reach these magnitudes.
    fn seen(channels: [f32; 3], first_token: f32) -> SeenRows {
        let other_tokens = channels.iter().copied().fold(0.0, f32::max);
        SeenRows { rows: 100, channels: channels.to_vec(), first_token, other_tokens, ..SeenRows::default() }
    }

    fn made(
        format: InputFormat,
        modalities: &[(Modality, SeenRows)],
        sinks: Sinks,
    ) -> (InputQuant, Option<ColumnSplit>) {
        let seen = SiteStatistics { modalities: modalities.iter().cloned().collect(), hessian: None };
        let cpu = Cpu::detect();
        let rules = Rules { cpu, observer: Observer::MinMax, sinks, floats: mquant_kernels::Dtype::F32 };
        let (format, input) = (IntFormat::per_channel(Bits::Four), format);
        let (method, clip, input_bits) = (WeightMethod::Rtn, Clip::None, InputBits::Eight);
        let target = Target::Int { format, method, clip, input, input_bits };
        inputs(target, Some(&seen), vec![1], rules, &mut SiteReport::default())
    }

    #[test]
    fn each_modality_has_the_scale_of_its_own_rows_without_split_channels() {
        let both = [(Modality::Text, seen([0.5, 9.0, 0.254], 0.0)), (Modality::Vision, seen([20.0, 99.0, 25.4], 0.0))];
        let (input, split) = made(InputFormat::PerModality, &both, Sinks::Keep);
        let scales = |text: f32, vision: f32| {
            InputQuant::PerModality(ModalityScales {
                text: text / 127.0,
                vision: vision / 127.0,
                audio: vision / 127.0,
            })
        };
        assert_eq!(input, scales(0.5, 25.4));
        assert_eq!(split, Some(ColumnSplit { channels: vec![1], input: scales(9.0, 99.0) }));
        let (input, _) = made(InputFormat::PerTensor, &both, Sinks::Keep);
        assert_eq!(input, InputQuant::PerTensor(25.4 / 127.0));
        // What was never seen takes the largest range there is.
        let (input, _) = made(InputFormat::PerModality, &both[..1], Sinks::Keep);
        assert_eq!(input, scales(0.5, 0.5));
    }

    #[test]
    fn an_attention_sink_may_have_a_scale_for_each_row() {
        let sink = [(Modality::Text, seen([1.0, 0.0, 1.0], 9.0))];
        assert!(matches!(made(InputFormat::PerTensor, &sink, Sinks::Keep).0, InputQuant::PerTensor(_)));
        assert_eq!(made(InputFormat::PerTensor, &sink, Sinks::PerToken).0, InputQuant::PerToken);
        let none = [(Modality::Text, seen([1.0, 0.0, 1.0], 7.0))];
        assert!(matches!(made(InputFormat::PerTensor, &none, Sinks::PerToken).0, InputQuant::PerTensor(_)));
    }
}
