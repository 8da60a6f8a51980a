//! What came of it, in a sentence and a few figures.

use serde::Serialize;

use super::numbers::{count, fixed, number, percent, signed, signed_range, size, times};
use super::shown_text::visible_line;
use super::{BundleRecord, Report};
use crate::evaluate::{BenchmarkRecord, EvaluationRecord, Mean, ModelRecord, Sat};

/// Benchmarks that a sentence names.
const NAMED: usize = 4;

/// The top of the page.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Verdict {
    pub(super) sentences: Vec<Sentence>,
    /// Of the one evaluation or bundle that there is.
    pub(super) figures: Vec<Figure>,
    /// Of several.
    pub(super) overview: Option<Overview>,
}

/// The figures of several, side by side.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Overview {
    pub(super) labels: Vec<String>,
    pub(super) rows: Vec<OverviewRow>,
}

/// The figures of one evaluation or bundle, for each label.
#[derive(Clone, Debug, Serialize)]
pub(super) struct OverviewRow {
    pub(super) name: String,
    pub(super) figures: Vec<Option<Figure>>,
}

/// A sentence about one evaluation or bundle.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sentence {
    pub(super) tone: Tone,
    /// The sentence.
    pub(super) text: String,
    /// How sure it is.
    pub(super) caution: Option<String>,
}

/// Whether something is worse than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Tone {
    Good,
    Bad,
    Neutral,
}

/// A number with its meaning.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    pub(super) label: String,
    pub(super) value: String,
    pub(super) more: String,
}

/// A difference's interval as one of gains, whatever the score counts.
pub(super) fn gain([low, high]: [f64; 2], lower_is_better: bool) -> [f64; 2] {
    if lower_is_better { [-high, -low] } else { [low, high] }
}

/// What the 95 % interval of a gain says.
pub(super) fn tone(interval: [f64; 2]) -> Tone {
    match interval {
        [_, high] if high < 0.0 => Tone::Bad,
        [low, _] if low > 0.0 => Tone::Good,
        _ => Tone::Neutral,
    }
}

/// Whether a benchmark has a score that counts in a mean.
pub(super) fn scored(benchmark: &BenchmarkRecord) -> bool {
    benchmark.model.totals.first().is_some_and(|total| total.of > 0.0)
}

/// The top of a report's page.
pub(super) fn verdict(report: &Report) -> Verdict {
    let mut verdict = Verdict::default();
    let mut all: Vec<(String, Vec<Figure>)> = Vec::new();
    for evaluation in &report.evaluations {
        verdict.sentences.push(of_evaluation(evaluation));
        let mut found = figures(evaluation);
        let judged = report.bundles.iter().find(|bundle| bundle.identity == evaluation.model.identity);
        found.extend(judged.and_then(weakest));
        all.push((name(&evaluation.model), found));
    }
    for bundle in report.bundles.iter().filter(|_| report.evaluations.is_empty()) {
        verdict.sentences.push(of_bundle(bundle));
        let more = format!("weights of {}", visible_line(&bundle.name));
        let size = Figure { label: "Size".to_owned(), value: size(bundle.weight_bytes()), more };
        all.push((visible_line(&bundle.name), [size].into_iter().chain(weakest(bundle)).collect()));
    }
    if all.len() > 1 {
        verdict.overview = Some(overview(all));
    } else {
        verdict.figures = all.into_iter().flat_map(|(_, figures)| figures).collect();
    }
    verdict
}

fn overview(all: Vec<(String, Vec<Figure>)>) -> Overview {
    let mut labels: Vec<String> = Vec::new();
    for figure in all.iter().flat_map(|(_, figures)| figures) {
        if !labels.contains(&figure.label) {
            labels.push(figure.label.clone());
        }
    }
    let row = |(name, figures): (String, Vec<Figure>)| OverviewRow {
        name,
        figures: labels.iter().map(|label| figures.iter().find(|f| f.label == *label).cloned()).collect(),
    };
    let rows = all.into_iter().map(row).collect();
    Overview { labels, rows }
}

fn name(model: &ModelRecord) -> String {
    visible_line(&if model.form == "float" || model.form.is_empty() {
        model.name.clone()
    } else {
        format!("{} ({})", model.name, model.form)
    })
}

/// Mean over benchmarks of what was reached of what could be, in percent.
fn share<'a>(sats: impl Iterator<Item = (&'a BenchmarkRecord, &'a Sat)>) -> Option<f64> {
    let shares: Vec<f64> = sats
        .filter_map(|(benchmark, sat)| Some((benchmark, sat.totals.first()?)))
        .filter(|(_, total)| total.of > 0.0)
        .map(|(benchmark, total)| total.percent(benchmark.lower_is_better))
        .filter(|s| s.is_finite())
        .collect();
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}

/// What was reached on average by the model and by the baseline, in percent.
fn reached(evaluation: &EvaluationRecord) -> (Option<f64>, Option<f64>) {
    match &evaluation.mean {
        Some(Mean { model, baseline, .. }) => (Some(*model), *baseline),
        None => (
            share(evaluation.benchmarks.iter().map(|b| (b, &b.model))),
            share(evaluation.benchmarks.iter().filter_map(|b| Some((b, b.baseline.as_ref()?)))),
        ),
    }
}

/// The difference of the means with its interval, where it is known.
fn mean_difference(evaluation: &EvaluationRecord) -> Option<(f64, [f64; 2])> {
    let mean = evaluation.mean.as_ref()?;
    mean.difference.zip(mean.difference_interval)
}

/// Such as `−0.29 points (−0.63 to 0.00)`.
fn points((difference, interval): (f64, [f64; 2])) -> String {
    format!("{} points ({})", signed(difference, 2), signed_range(interval, 2))
}

fn of_evaluation(evaluation: &EvaluationRecord) -> Sentence {
    let EvaluationRecord { model, baseline, benchmarks, .. } = evaluation;
    let (Some(reached), float) = reached(evaluation) else {
        let text = format!("{}: no benchmark was answered.", name(model));
        return Sentence { tone: Tone::Neutral, text, caution: None };
    };
    let reached = fixed(reached, 2);
    let rates = benchmarks.iter().filter(|b| scored(b) && b.lower_is_better).map(|b| visible_line(&b.name));
    let rates = rates.collect::<Vec<_>>().join(", ");
    let note = (!rates.is_empty()).then(|| format!("The error rate of {rates} counts as what is missing from 100 %."));
    let Some(baseline) = baseline else {
        let text = format!("{} reaches {reached} %. It was not compared with another model.", name(model));
        return Sentence { tone: Tone::Neutral, text, caution: note };
    };
    let float = float.map_or_else(|| "-".to_owned(), |float| fixed(float, 2));
    let other = if baseline.form == "float" { "the float model".to_owned() } else { name(baseline) };
    let average = match benchmarks.iter().filter(|b| scored(b)).count() {
        0 | 1 => String::new(),
        n => format!(" on average of {n} benchmarks"),
    };
    let (claim, tone) = claim(evaluation);
    let smaller = ratio(baseline.bytes, model.bytes).filter(|r| (r - 1.0).abs() > 0.005).map(|ratio| match ratio {
        r if r > 1.0 => format!("; {} smaller", times(r)),
        r => format!("; {} larger", times(1.0 / r)),
    });
    let text = format!(
        "{} reaches {reached} %{average}, {other} {float} %: {claim}{}.",
        name(model),
        smaller.unwrap_or_default()
    );
    let words: Vec<String> = caution(benchmarks).into_iter().chain(note).collect();
    Sentence { tone, text, caution: (!words.is_empty()).then(|| words.join(" ")) }
}

/// Whether something was lost: on average, and on which benchmarks.
fn claim(evaluation: &EvaluationRecord) -> (String, Tone) {
    let paired = evaluation.benchmarks.iter().filter_map(|b| Some((b, b.paired.as_ref()?.interval)));
    let tones: Vec<(&str, Tone)> =
        paired.map(|(b, interval)| (b.name.as_str(), tone(gain(interval, b.lower_is_better)))).collect();
    let mean = mean_difference(evaluation);
    let of = |wanted: Tone| {
        let names: Vec<_> =
            tones.iter().filter(|(_, tone)| *tone == wanted).map(|(name, _)| visible_line(name)).collect();
        match names.len() {
            0 => None,
            n if n > NAMED => Some(format!("{} and {} more", names[..NAMED].join(", "), n - NAMED)),
            _ => Some(names.join(", ")),
        }
    };
    let on_average = mean.map_or(Tone::Neutral, |(_, interval)| tone(interval));
    let (words, tone) = match (of(Tone::Bad), of(Tone::Good)) {
        _ if tones.is_empty() => ("not compared sample by sample".to_owned(), Tone::Neutral),
        (None, None) if on_average == Tone::Bad => ("a measurable loss on average".to_owned(), Tone::Bad),
        (None, None) => ("no measurable loss".to_owned(), Tone::Good),
        (Some(bad), None) => (format!("a measurable loss on {bad}"), Tone::Bad),
        (None, Some(good)) if on_average == Tone::Bad => {
            (format!("a measurable loss on average, a gain on {good}"), Tone::Bad)
        }
        (None, Some(good)) => (format!("no measurable loss, and a gain on {good}"), Tone::Good),
        (Some(bad), Some(good)) => (format!("a measurable loss on {bad}, a gain on {good}"), Tone::Bad),
    };
    match mean {
        Some(mean) if mean != (0.0, [0.0; 2]) => (format!("{}, {words}", points(mean)), tone),
        _ => (words, tone),
    }
}

/// How large a loss could still be, or is.
fn caution(benchmarks: &[BenchmarkRecord]) -> Option<String> {
    let losses = benchmarks.iter().filter_map(|b| {
        let of = b.model.totals.first()?.of;
        let [low, high] = gain(b.paired?.interval, b.lower_is_better);
        (low.is_finite() && of > 0.0).then_some((100.0 * low / of, [low, high], b))
    });
    let (_, [low, high], worst) = losses.min_by(|a, b| a.0.total_cmp(&b.0))?;
    let samples = format!("{} samples", count(worst.samples as u64));
    let name = visible_line(&worst.name);
    Some(if high < 0.0 {
        format!(
            "The largest loss is on {name}: {} to {} points ({samples}, 95 % confidence).",
            number(-high),
            number(-low)
        )
    } else if low == 0.0 {
        "On no benchmark do the samples show any loss.".to_owned()
    } else if low < 0.0 {
        format!(
            "What the samples cannot rule out: a loss of up to {} points on {name} ({samples}, 95 % confidence).",
            number(-low)
        )
    } else {
        format!("The least gain is on {name}: at least {} points ({samples}, 95 % confidence).", number(low))
    })
}

fn ratio(of: u64, to: u64) -> Option<f64> {
    (of > 0 && to > 0).then(|| of as f64 / to as f64)
}

fn figures(evaluation: &EvaluationRecord) -> Vec<Figure> {
    let EvaluationRecord { model, baseline, benchmarks, .. } = evaluation;
    let mut figures = Vec::new();
    let mut add =
        |label: &str, value: String, more: String| figures.push(Figure { label: label.to_owned(), value, more });
    if let (Some(reached), float) = reached(evaluation) {
        let more = match (float, mean_difference(evaluation)) {
            (Some(float), Some(difference)) => format!("{} against {} %", points(difference), fixed(float, 2)),
            (Some(float), None) => format!("{} points against {} %", signed(reached - float, 2), fixed(float, 2)),
            (None, _) => "nothing to compare with".to_owned(),
        };
        add("Score", format!("{} %", fixed(reached, 2)), more);
    }
    if model.bytes > 0 {
        let more = match baseline.as_ref().and_then(|baseline| Some((baseline, ratio(baseline.bytes, model.bytes)?))) {
            Some((baseline, ratio)) if ratio < 0.995 => {
                format!("{} larger than {}", times(1.0 / ratio), size(baseline.bytes))
            }
            Some((baseline, ratio)) if ratio < 1.005 => format!("like the {} compared with", size(baseline.bytes)),
            Some((baseline, ratio)) => format!("{} smaller than {}", times(ratio), size(baseline.bytes)),
            None => "of weights".to_owned(),
        };
        add("Size", size(model.bytes), more);
    }
    let total = |sats: &mut dyn Iterator<Item = &Sat>| {
        sats.fold((0.0, 0.0), |(tokens, seconds), sat| {
            (tokens + sat.prompt_tokens as f64 + sat.answer_tokens as f64, seconds + sat.seconds)
        })
    };
    let (tokens, seconds) = total(&mut benchmarks.iter().map(|b| &b.model));
    if seconds > 0.0 {
        let (float_tokens, float_seconds) = total(&mut benchmarks.iter().filter_map(|b| b.baseline.as_ref()));
        let speed = tokens / seconds;
        let more = if float_seconds > 0.0 && float_tokens > 0.0 {
            let float = float_tokens / float_seconds;
            format!("tokens a second, {} as fast as {}", times(speed / float), number(float))
        } else {
            "tokens a second, prompts and answers".to_owned()
        };
        add("Speed", number(speed), more);
    }
    let seen = benchmarks.iter().filter_map(|b| b.tokens);
    let (count, agreed) = seen
        .fold((0.0, 0.0), |(count, agreed), t| (count + t.tokens as f64, agreed + t.top1_agreement * t.tokens as f64));
    if count > 0.0 {
        add("Same next token", percent(agreed / count), "of the reference answers' tokens".to_owned());
    }
    figures
}

fn of_bundle(bundle: &BundleRecord) -> Sentence {
    let recipe =
        bundle.fingerprint.get("recipe").and_then(|recipe| recipe.split_whitespace().next()).unwrap_or("quantised");
    let text = format!(
        "{} ({}): {} of weights, not yet judged on a benchmark.",
        visible_line(&bundle.name),
        visible_line(recipe),
        size(bundle.weight_bytes())
    );
    let caution = Some("Compare it with the float model to see what it costs: mquant eval.".to_owned());
    Sentence { tone: Tone::Neutral, text, caution }
}

/// The site or unit whose output has the largest error.
fn weakest(bundle: &BundleRecord) -> Option<Figure> {
    let sites = bundle.provenance.sites.iter().flat_map(|(site, report)| {
        report.output_sqnr_db.iter().map(move |(modality, db)| (format!("{site}, {modality}"), *db))
    });
    let units =
        bundle.provenance.units.iter().filter_map(|unit| Some((visible_line(&unit.unit), unit.output_sqnr_db?)));
    let least = |all: &mut dyn Iterator<Item = (String, f64)>| {
        all.filter(|(_, db)| db.is_finite()).min_by(|a, b| a.1.total_cmp(&b.1))
    };
    let (place, db) = least(&mut { sites }).or_else(|| least(&mut { units }))?;
    Some(Figure {
        label: "Weakest place".to_owned(),
        value: format!("{} dB", fixed(db, 1)),
        more: format!("signal to noise, at {place}"),
    })
}
