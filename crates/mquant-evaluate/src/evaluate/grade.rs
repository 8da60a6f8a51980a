//! From lines to numbers: what a benchmark's answers amount to, how sure that is, and how two models differ.

use super::statistics::{Resampled, mcnemar_p, paired_units};
use super::{AnswerLine, Asked, BenchmarkRecord, Exam, Likelihood, LikelihoodLine, Paired, Question, Sat, Total, Unit};

/// A score that counts as right where only right and wrong are asked for.
const RIGHT: f64 = 0.5;

/// The answers of one model, or of two, to one benchmark.
#[derive(Clone, Copy, Debug)]
pub struct Graded<'a> {
    /// What was asked.
    pub exam: Exam<'a>,
    /// Answers of the model.
    pub model: &'a [AnswerLine],
    /// Answers of the baseline, if there is one.
    pub baseline: Option<&'a [AnswerLine]>,
    /// What both make of the reference answers.
    pub likelihoods: &'a [LikelihoodLine],
}

/// Scores of the mean over all benchmarks, in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Mean {
    /// Of the model.
    pub model: f64,
    /// Its 95 % interval.
    pub interval: [f64; 2],
    /// Of the baseline.
    pub baseline: Option<f64>,
    /// Model minus baseline.
    pub difference: Option<f64>,
    /// Its 95 % interval, samples paired.
    pub difference_interval: Option<[f64; 2]>,
}

impl<'a> Graded<'a> {
    /// Of one model alone.
    pub fn alone(exam: Exam<'a>, model: &'a [AnswerLine]) -> Self {
        Self { exam, model, baseline: None, likelihoods: &[] }
    }

    /// The questions that all models answered, with their scores.
    fn common(&self) -> (Vec<&'a Question>, Vec<f64>, Vec<f64>) {
        let questions = self.exam.questions();
        let theirs = |doc_id| {
            let Some(lines) = self.baseline else { return Some(0.0) };
            let at = lines.binary_search_by_key(&doc_id, |line: &AnswerLine| line.doc_id).ok()?;
            lines[at].problem.is_none().then_some(lines[at].score)
        };
        let mut common = (Vec::new(), Vec::new(), Vec::new());
        for line in self.model.iter().filter(|line| line.problem.is_none()) {
            let question = &questions[line.doc_id];
            // Where the answer is not published there is nothing to judge by.
            if let Some(score) = theirs(line.doc_id).filter(|_| !question.answers.is_empty()) {
                common.0.push(question);
                common.1.push(line.score);
                common.2.push(score);
            }
        }
        common
    }

    /// The benchmark's score; None where nothing can be judged.
    pub fn score(&self) -> Option<Total> {
        let (questions, scores, _) = self.common();
        let asked = Asked { columns: self.exam.benchmark.columns(), questions: &questions };
        let totals = self.exam.known.metric.totals(asked, &scores);
        totals.into_iter().next().filter(|_| !questions.is_empty())
    }

    /// As it is reported, without examples.
    pub fn record(&self) -> BenchmarkRecord {
        let (metric, name) = (self.exam.known.metric, self.exam.benchmark.name());
        let (questions, ours, theirs) = self.common();
        let asked = Asked { columns: self.exam.benchmark.columns(), questions: &questions };
        let our_units = metric.units(asked, &ours);
        let sat = |lines: &[AnswerLine], scores: &[f64], units: &[Unit]| Sat {
            totals: if questions.is_empty() { Vec::new() } else { metric.totals(asked, scores) },
            interval: Resampled::new(units, name).interval(),
            prompt_tokens: lines.iter().map(|line| line.prompt_tokens).sum(),
            answer_tokens: lines.iter().map(|line| line.answer_tokens).sum(),
            seconds: lines.iter().map(|line| line.seconds).sum(),
        };
        let baseline = self.baseline.map(|lines| {
            let units = metric.units(asked, &theirs);
            (sat(lines, &theirs, &units), paired_units(&our_units, &units))
        });
        let paired = baseline.as_ref().map(|(_, differences)| {
            let only = |a: &[f64], b: &[f64]| a.iter().zip(b).filter(|(a, b)| **a >= RIGHT && **b < RIGHT).count();
            let (model_only, baseline_only) = (only(&ours, &theirs), only(&theirs, &ours));
            Paired {
                difference: differences.iter().map(|unit| unit.value).sum(),
                interval: Resampled::new(differences, name).interval(),
                model_only,
                baseline_only,
                mcnemar_p: mcnemar_p(model_only, baseline_only),
            }
        });
        let mut likelihood = Likelihood::default();
        self.likelihoods.iter().for_each(|line| likelihood.add(&line.likelihood));
        let unusable = |line: &AnswerLine| Some(format!("sample {}: {}", line.index, line.problem.as_ref()?));
        let skipped = self.exam.benchmark.skipped().iter().map(ToString::to_string);
        BenchmarkRecord {
            name: self.exam.benchmark.name().to_owned(),
            metric: metric.name().to_owned(),
            samples: self.model.len(),
            skipped: skipped.chain(self.model.iter().filter_map(unusable)).collect(),
            model: sat(self.model, &ours, &our_units),
            baseline: baseline.map(|(sat, _)| sat),
            paired,
            tokens: likelihood.record(),
            examples: Vec::new(),
        }
    }
}

/// The mean of several benchmarks, each weighing the same; None if none has a score.
pub fn mean(graded: &[Graded<'_>]) -> Option<Mean> {
    let mut own = Vec::new();
    let mut base = Vec::new();
    let mut paired = Vec::new();
    for graded in graded {
        let (metric, name) = (graded.exam.known.metric, graded.exam.benchmark.name());
        let (questions, ours, theirs) = graded.common();
        let asked = Asked { columns: graded.exam.benchmark.columns(), questions: &questions };
        let Some(Total { value, of, .. }) = metric.totals(asked, &ours).into_iter().next() else { continue };
        if questions.is_empty() || of <= 0.0 {
            continue;
        }
        let units = metric.units(asked, &ours);
        if graded.baseline.is_some() {
            let their_units = metric.units(asked, &theirs);
            base.push(100.0 * their_units.iter().map(|unit| unit.value).sum::<f64>() / of);
            paired.push((Resampled::new(&paired_units(&units, &their_units), name), of));
        }
        own.push((100.0 * value / of, Resampled::new(&units, name), of));
    }
    let mean_of = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    if own.is_empty() {
        return None;
    }
    let model = mean_of(&own.iter().map(|(value, ..)| *value).collect::<Vec<_>>());
    let baseline = (base.len() == own.len()).then(|| mean_of(&base));
    Some(Mean {
        model,
        interval: Resampled::mean_percent(own.iter().map(|(_, resampled, of)| (resampled, *of))).interval(),
        baseline,
        difference: baseline.map(|baseline| model - baseline),
        difference_interval: baseline
            .map(|_| Resampled::mean_percent(paired.iter().map(|(resampled, of)| (resampled, *of))).interval()),
    })
}
