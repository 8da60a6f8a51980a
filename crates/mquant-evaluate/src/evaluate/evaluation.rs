//! One model judged by benchmarks, perhaps beside another: every answer kept as it comes, then all of it graded.

use std::ops::ControlFlow;

use super::grade::mean;
use super::{
    AnswerLine, Answerer, EvaluationRecord, Exam, FolderError, Graded, Journal, LikelihoodLine, ModelRecord,
    ResultFolder, Settings, examples, predictions,
};
use mquant_model::error::Result;
use mquant_model::run::{Engine, LoadedModel};

/// The schema of `evaluation.json`.
pub const SCHEMA: &str = "mquant.evaluation/1";
/// What is written when all is graded.
pub const EVALUATION: &str = "evaluation.json";
/// Samples shown of a benchmark.
const EXAMPLES: usize = 8;

/// A model that is judged.
#[derive(Clone, Debug)]
pub struct Judged<'a> {
    /// The model.
    pub loaded: &'a LoadedModel,
    /// What computes it.
    pub engine: &'a Engine,
    /// What is said of it.
    pub record: ModelRecord,
}

/// What is to be found out.
#[derive(Debug)]
pub struct Evaluation<'a> {
    /// In the order they are asked.
    pub exams: &'a [Exam<'a>],
    /// The model.
    pub model: Judged<'a>,
    /// What it is compared with.
    pub baseline: Option<Judged<'a>>,
    /// Samples computed together.
    pub batch: usize,
    /// How it is computed, for the record.
    pub settings: Settings,
    /// Where lines are kept; None keeps nothing.
    pub folder: Option<&'a ResultFolder>,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'p> {
    /// What is being done: `answering`, `answering (baseline)` or `comparing token by token`.
    pub doing: &'static str,
    /// With which benchmark.
    pub benchmark: &'p str,
    /// Steps done, of all benchmarks and stages; those an earlier run did among them.
    pub done: usize,
    /// All steps.
    pub of: usize,
}

/// Who is told, and may end it: a later run goes on where this one ended.
pub type Watch<'w> = dyn FnMut(Progress<'_>) -> ControlFlow<()> + 'w;

/// A stage of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Model,
    Baseline,
    Tokens,
}

impl Stage {
    fn doing(self) -> &'static str {
        match self {
            Stage::Model => "answering",
            Stage::Baseline => "answering (baseline)",
            Stage::Tokens => "comparing token by token",
        }
    }

    /// Where its lines are kept.
    fn journal(self, exam: &Exam<'_>) -> String {
        let folder = match self {
            Stage::Model => "model",
            Stage::Baseline => "baseline",
            Stage::Tokens => "tokens",
        };
        format!("lines/{folder}/{}.jsonl", exam.benchmark.name())
    }
}

/// Lines of all benchmarks.
struct Lines {
    model: Vec<Vec<AnswerLine>>,
    baseline: Vec<Vec<AnswerLine>>,
    tokens: Vec<Vec<LikelihoodLine>>,
}

impl Evaluation<'_> {
    /// Does what no earlier run has done, and grades it all. None if it was ended early.
    ///
    /// # Errors
    /// A model that cannot answer, too many samples that cannot be asked, or the system refuses.
    pub fn run(&self, watch: &mut Watch<'_>) -> Result<Option<EvaluationRecord>> {
        let Some(lines) = self.lines(watch)? else { return Ok(None) };
        let graded: Vec<Graded<'_>> = self
            .exams
            .iter()
            .enumerate()
            .map(|(i, exam)| Graded {
                exam: *exam,
                model: &lines.model[i],
                baseline: lines.baseline.get(i).map(Vec::as_slice),
                likelihoods: lines.tokens.get(i).map_or(&[][..], Vec::as_slice),
            })
            .collect();
        let benchmarks = graded.iter().map(|graded| {
            let mut record = graded.record();
            record.examples = examples::examples(graded, EXAMPLES);
            record
        });
        let record = EvaluationRecord {
            schema: SCHEMA.to_owned(),
            model: self.model.record.clone(),
            baseline: self.baseline.as_ref().map(|baseline| baseline.record.clone()),
            settings: self.settings.clone(),
            mean: mean(&graded),
            benchmarks: benchmarks.collect(),
        };
        if let Some(folder) = self.folder {
            self.write(folder, &record, &graded)?;
        }
        Ok(Some(record))
    }

    fn lines(&self, watch: &mut Watch<'_>) -> Result<Option<Lines>> {
        let stages = if self.baseline.is_some() { 3 } else { 1 };
        let of = stages * self.exams.iter().map(|exam| exam.questions().len()).sum::<usize>();
        let mut tally = Tally { done: 0, of, watch };
        let mut lines = Lines { model: Vec::new(), baseline: Vec::new(), tokens: Vec::new() };
        for exam in self.exams {
            lines.model.push(self.answers(Stage::Model, exam, &self.model, &mut tally)?);
            if tally.ended(exam, lines.model.last().map_or(0, Vec::len)) {
                return Ok(None);
            }
        }
        let Some(baseline) = &self.baseline else { return Ok(Some(lines)) };
        for exam in self.exams {
            lines.baseline.push(self.answers(Stage::Baseline, exam, baseline, &mut tally)?);
            if tally.ended(exam, lines.baseline.last().map_or(0, Vec::len)) {
                return Ok(None);
            }
        }
        for exam in self.exams {
            let (mut journal, known) = self.journal::<LikelihoodLine>(Stage::Tokens, exam)?;
            tally.done += known.len().min(exam.questions().len());
            let who = [&self.model, baseline].map(|judged| self.answerer(judged, exam));
            let found = exam.likelihoods([&who[0], &who[1]], known, &mut |line| {
                journal.as_mut().map_or(Ok(()), |journal| journal.append(line))?;
                Ok(tally.step(Stage::Tokens, exam))
            })?;
            journal.map_or(Ok(()), Journal::finish)?;
            let is_ended = tally.ended(exam, found.len());
            lines.tokens.push(found);
            if is_ended {
                return Ok(None);
            }
        }
        Ok(Some(lines))
    }

    fn answers(
        &self,
        stage: Stage,
        exam: &Exam<'_>,
        who: &Judged<'_>,
        tally: &mut Tally<'_, '_>,
    ) -> Result<Vec<AnswerLine>> {
        let (mut journal, known) = self.journal::<AnswerLine>(stage, exam)?;
        tally.done += known.iter().filter(|line| line.doc_id < exam.questions().len()).count();
        let lines = exam.answer(&self.answerer(who, exam), known, &mut |line| {
            journal.as_mut().map_or(Ok(()), |journal| journal.append(line))?;
            Ok(tally.step(stage, exam))
        })?;
        journal.map_or(Ok(()), Journal::finish)?;
        Ok(lines)
    }

    fn answerer<'a>(&self, who: &Judged<'a>, exam: &Exam<'_>) -> Answerer<'a> {
        Answerer { loaded: who.loaded, engine: who.engine, max_tokens: exam.known.max_new_tokens, batch: self.batch }
    }

    fn journal<L>(&self, stage: Stage, exam: &Exam<'_>) -> Result<(Option<Journal>, Vec<L>), FolderError>
    where
        L: serde::Serialize + serde::de::DeserializeOwned,
    {
        let Some(folder) = self.folder else { return Ok((None, Vec::new())) };
        let (journal, lines) = folder.journal(&stage.journal(exam))?;
        Ok((Some(journal), lines))
    }

    fn write(&self, folder: &ResultFolder, record: &EvaluationRecord, graded: &[Graded<'_>]) -> Result<()> {
        for graded in graded {
            let name = graded.exam.benchmark.name();
            let sides = [Some(("model", graded.model)), graded.baseline.map(|lines| ("baseline", lines))];
            for (side, lines) in sides.into_iter().flatten() {
                folder.write(&format!("predictions/{side}_{name}.tsv"), &predictions::table(&graded.exam, lines))?;
                folder.write(&format!("predictions/{side}_{name}.jsonl"), &predictions::lines(&graded.exam, lines))?;
            }
        }
        let text = serde_json::to_vec_pretty(record).expect("strings and numbers can be written");
        folder.write(EVALUATION, &text)?;
        Ok(())
    }
}

/// Steps done, and who is told.
struct Tally<'t, 'w> {
    done: usize,
    of: usize,
    watch: &'t mut Watch<'w>,
}

impl Tally<'_, '_> {
    fn step(&mut self, stage: Stage, exam: &Exam<'_>) -> ControlFlow<()> {
        self.done += 1;
        let benchmark = exam.benchmark.name();
        (self.watch)(Progress { doing: stage.doing(), benchmark, done: self.done, of: self.of })
    }

    /// Whether a benchmark has fewer lines than questions, because it was ended.
    fn ended(&self, exam: &Exam<'_>, lines: usize) -> bool {
        lines < exam.questions().len()
    }
}
