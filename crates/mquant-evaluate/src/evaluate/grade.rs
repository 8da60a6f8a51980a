//! From lines to numbers: what a benchmark's answers amount to, how sure that is, and how two models differ.

use super::metric::percent;
use super::statistics::{Resampled, mcnemar_p};
use super::{AnswerLine, Asked, BenchmarkRecord, Exam, Likelihood, LikelihoodLine, Paired, Question, Sat, Total};

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

/// Scores of the mean over all benchmarks, in percent; of an error rate what is missing from 100, at least 0.
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
        let sat = |lines: &[AnswerLine], scores: &[f64], resampled: &Resampled| Sat {
            totals: if questions.is_empty() { Vec::new() } else { metric.totals(asked, scores) },
            interval: resampled.interval(),
            prompt_tokens: lines.iter().map(|line| line.prompt_tokens).sum(),
            answer_tokens: lines.iter().map(|line| line.answer_tokens).sum(),
            seconds: lines.iter().map(|line| line.seconds).sum(),
        };
        let resampled = Resampled::new(&metric.units(asked, &ours), name);
        let model = sat(self.model, &ours, &resampled);
        let other = self.baseline.map(|lines| {
            let other = Resampled::new(&metric.units(asked, &theirs), name);
            (sat(lines, &theirs, &other), resampled.minus(&other).interval())
        });
        let paired = other.as_ref().map(|(baseline, interval)| {
            let is_right = |score: &f64| metric.is_right(*score);
            let only = |a: &[f64], b: &[f64]| a.iter().zip(b).filter(|(a, b)| is_right(a) && !is_right(b)).count();
            let (model_only, baseline_only) = (only(&ours, &theirs), only(&theirs, &ours));
            let score = |sat: &Sat| sat.totals.first().map_or(0.0, |total| total.value);
            Paired {
                difference: score(&model) - score(baseline),
                interval: *interval,
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
            lower_is_better: metric.lower_is_better(),
            samples: self.model.len(),
            skipped: skipped.chain(self.model.iter().filter_map(unusable)).collect(),
            model,
            baseline: other.map(|(sat, _)| sat),
            paired,
            tokens: likelihood.record(),
            examples: Vec::new(),
        }
    }
}

/// The mean of several benchmarks, each weighing the same; None if none has a score.
pub fn mean(graded: &[Graded<'_>]) -> Option<Mean> {
    let (mut own, mut base) = (Vec::new(), Vec::new());
    for graded in graded {
        let (metric, name) = (graded.exam.known.metric, graded.exam.benchmark.name());
        let (questions, ours, theirs) = graded.common();
        let asked = Asked { columns: graded.exam.benchmark.columns(), questions: &questions };
        let share = |scores: &[f64]| {
            let total = metric.totals(asked, scores).into_iter().next().filter(|total| total.of > 0.0)?;
            let share = |value| percent(value, total.of, metric.lower_is_better());
            Some((share(total.value), Resampled::new(&metric.units(asked, scores), name).map(share)))
        };
        let Some(ours) = share(&ours).filter(|_| !questions.is_empty()) else { continue };
        own.push(ours);
        base.extend(graded.baseline.and_then(|_| share(&theirs)));
    }
    if own.is_empty() {
        return None;
    }
    let value = |shares: &[(f64, Resampled)]| shares.iter().map(|(value, _)| value).sum::<f64>() / shares.len() as f64;
    let resampled = |shares: &[(f64, Resampled)]| Resampled::mean(shares.iter().map(|(_, resampled)| resampled));
    let (model, interval) = (value(&own), resampled(&own));
    let baseline = (base.len() == own.len()).then(|| (value(&base), resampled(&base)));
    Some(Mean {
        model,
        interval: interval.interval(),
        baseline: baseline.as_ref().map(|(baseline, _)| *baseline),
        difference: baseline.as_ref().map(|(baseline, _)| model - baseline),
        difference_interval: baseline.map(|(_, resampled)| interval.minus(&resampled).interval()),
    })
}
