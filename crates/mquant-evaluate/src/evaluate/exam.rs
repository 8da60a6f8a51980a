//! A benchmark put to a model: prompts as published, answers as they come, each with its score.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Answerer, Benchmark, BenchmarkError, EvaluateError, Known, Likelihood, Part, Question, Referenced, Said,
    reference_logits,
};
use mquant_data::benchmark::{Medium, MediumKind};
use mquant_model::error::{Class, Result};
use mquant_model::input::{AddGenerationPrompt, Content, MediaKind, Message};
use mquant_model::run::{LoadedModel, Prompt};

/// Share of samples that may turn out unusable when they are asked, beyond the first.
const MAX_UNUSABLE: f64 = 0.05;

/// Prompts that are ready before they are asked for.
const AHEAD: usize = 8;

/// Tokens of reference answers from which on no other is computed with them: each has a score for the whole vocabulary.
const TOKENS_AT_ONCE: usize = 256;

/// A benchmark, how it is asked and how it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Exam<'a> {
    /// The questions.
    pub benchmark: &'a Benchmark,
    /// Metric, prompt and longest answer.
    pub known: &'a Known,
    /// Questions asked, from the first; None asks all.
    pub limit: Option<usize>,
}

/// What came of one question, as a line of a journal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AnswerLine {
    /// Place of the question in the benchmark, from 0.
    pub doc_id: usize,
    /// The file's own name of it.
    pub index: String,
    /// What the model said.
    pub prediction: String,
    /// From 0 to 1; below 0 where there are more errors than words.
    pub score: f64,
    /// Rows of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the answer.
    pub answer_tokens: usize,
    /// Time since the line before.
    pub seconds: f64,
    /// Why it could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What two models make of the reference answer of one question, as a line of a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LikelihoodLine {
    /// Place of the question in the benchmark, from 0.
    pub doc_id: usize,
    /// Of its reference answer; of no token where it cannot be used.
    #[serde(flatten)]
    pub likelihood: Likelihood,
}

/// Is told every line, and may end it.
pub type Keep<'k, L> = dyn FnMut(&L) -> Result<ControlFlow<()>> + 'k;

impl<'a> Exam<'a> {
    /// The questions that are asked.
    pub fn questions(&self) -> &'a [Question] {
        let all = self.benchmark.questions();
        &all[..self.limit.unwrap_or(usize::MAX).min(all.len())]
    }

    /// SHA-256 of everything that is asked but pictures and sounds, in hexadecimal; the same however few are asked.
    pub fn identity(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        self.benchmark.columns().iter().for_each(|column| add(column));
        self.benchmark.questions().iter().flat_map(|question| &question.fields).for_each(|field| add(field));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Checks that a model can hear where the benchmark has sounds.
    ///
    /// # Errors
    /// If not.
    pub fn check_senses(&self, loaded: &LoadedModel) -> Result<(), EvaluateError> {
        match self.benchmark.has_sounds() && loaded.layout.placeholder(MediaKind::Audio).is_none() {
            true => Err(EvaluateError::NoAudio { benchmark: self.benchmark.name().to_owned() }),
            false => Ok(()),
        }
    }

    /// What the model is given: pictures, sounds and text, as the benchmark is published.
    ///
    /// # Errors
    /// If a picture or sound cannot be read.
    pub fn messages(&self, question: usize) -> Result<Vec<Message>, BenchmarkError> {
        let media = self.benchmark.media(question)?;
        let (pictures, sounds): (Vec<Medium>, Vec<Medium>) =
            media.into_iter().partition(|medium| medium.kind == MediumKind::Picture);
        let parts = self.known.prompt.parts(&self.benchmark.questions()[question], pictures.len(), sounds.len());
        let content = parts.into_iter().map(|part| match part {
            Part::Picture(i) => pictures[i].content(),
            Part::Sound(i) => sounds[i].content(),
            Part::Text(text) => Content::Text(text),
        });
        Ok(vec![Message::parts("user", content.collect())])
    }

    /// Puts to a model what `known` lacks. Returns all lines in the order of the questions, as far as it was not ended.
    ///
    /// # Errors
    /// A model that does not hear what it is asked of; more samples unusable than may be, each told in a line; scores that are not finite; whatever `keep` returns.
    pub fn answer(
        &self,
        who: &Answerer<'_>,
        known: Vec<AnswerLine>,
        keep: &mut Keep<'_, AnswerLine>,
    ) -> Result<Vec<AnswerLine>> {
        self.check_senses(who.loaded)?;
        let log = RefCell::new(Log::new(self, known, |line: &AnswerLine| line.doc_id, keep));
        log.borrow().check_unusable()?;
        let missing = log.borrow().missing();
        let mut done = |doc_id: usize, said: Said| {
            let question = &self.questions()[doc_id];
            let mut log = log.borrow_mut();
            let line = AnswerLine {
                doc_id,
                index: question.index.clone(),
                score: self.known.metric.score(&said.text, question),
                prediction: said.text,
                prompt_tokens: said.prompt_tokens,
                answer_tokens: said.answer_tokens,
                seconds: log.lap(),
                problem: None,
            };
            log.add(line)
        };
        thread::scope(|scope| {
            // Pictures and sounds are read and prepared while those before them are computed.
            let (send, prepared) = mpsc::sync_channel(AHEAD);
            scope.spawn(move || {
                for doc_id in missing {
                    if send.send((doc_id, self.prompt(who, doc_id))).is_err() {
                        break;
                    }
                }
            });
            let mut next = || -> Result<Option<(usize, Prompt)>> {
                while let Ok((doc_id, prompt)) = prepared.recv() {
                    match prompt {
                        Ok(prompt) => return Ok(Some((doc_id, prompt))),
                        Err(e) if matches!(e.class(), Class::Bug | Class::Io) => {
                            return Err(self.named(doc_id, e).into());
                        }
                        Err(e) => {
                            let (index, problem) = (self.questions()[doc_id].index.clone(), Some(e.to_string()));
                            let mut log = log.borrow_mut();
                            let ended = log.add(AnswerLine { doc_id, index, problem, ..AnswerLine::default() })?;
                            log.check_unusable()?;
                            if ended.is_break() {
                                return Ok(None);
                            }
                        }
                    }
                }
                Ok(None)
            };
            who.answer(&mut next, &mut done)
        })?;
        Ok(log.into_inner().finish())
    }

    /// Compares what two models make of the reference answers that `known` lacks.
    ///
    /// # Errors
    /// The models have not the same tokens, scores that are not finite, or whatever `keep` returns.
    pub fn likelihoods(
        &self,
        [model, baseline]: [&Answerer<'_>; 2],
        known: Vec<LikelihoodLine>,
        keep: &mut Keep<'_, LikelihoodLine>,
    ) -> Result<Vec<LikelihoodLine>> {
        let mut log = Log::new(self, known, |line: &LikelihoodLine| line.doc_id, keep);
        let mut rest = log.missing().into_iter();
        loop {
            let (mut together, mut tokens) = (Vec::new(), 0);
            for doc_id in rest.by_ref() {
                match self.referenced(model, doc_id).zip(self.referenced(baseline, doc_id)) {
                    Some((ours, theirs)) => {
                        tokens += ours.answer;
                        together.push((doc_id, ours, theirs));
                    }
                    None if log.add(LikelihoodLine { doc_id, ..LikelihoodLine::default() })?.is_break() => {
                        return Ok(log.finish());
                    }
                    None => {}
                }
                if together.len() >= model.batch.max(1) || tokens >= TOKENS_AT_ONCE {
                    break;
                }
            }
            if together.is_empty() {
                return Ok(log.finish());
            }
            let ours: Vec<&Referenced> = together.iter().map(|(_, ours, _)| ours).collect();
            let theirs: Vec<&Referenced> = together.iter().map(|(_, _, theirs)| theirs).collect();
            let (scores, base) = (reference_logits(model.engine, &ours)?, reference_logits(baseline.engine, &theirs)?);
            for ((doc_id, ours, theirs), (scores, base)) in together.iter().zip(scores.iter().zip(&base)) {
                if scores.features() != base.features() || ours.ids() != theirs.ids() {
                    let (model, baseline) = (scores.features(), base.features());
                    return Err(EvaluateError::Vocabularies { model, baseline }.into());
                }
                let likelihood = Likelihood::of(scores, base, ours.ids());
                if log.add(LikelihoodLine { doc_id: *doc_id, likelihood })?.is_break() {
                    return Ok(log.finish());
                }
            }
        }
    }

    /// A question with its reference answer; None if it has none or cannot be used.
    pub fn referenced(&self, who: &Answerer<'_>, doc_id: usize) -> Option<Referenced> {
        let reference = self.known.metric.reference(&self.benchmark.questions()[doc_id])?;
        let prompt = self.prompt(who, doc_id).ok()?;
        let answer = who.loaded.encode_answer(reference).ok()?;
        let fits = prompt.ids.len() + answer.len() <= who.engine.context();
        (fits && !answer.is_empty()).then(|| Referenced::new(prompt, &answer))
    }

    fn prompt(&self, who: &Answerer<'_>, doc_id: usize) -> Result<Prompt> {
        let prompt = who.loaded.prepare(&self.messages(doc_id)?, AddGenerationPrompt::Yes)?;
        who.check_fits(&prompt)?;
        Ok(prompt)
    }

    fn named(&self, doc_id: usize, source: mquant_model::Error) -> EvaluateError {
        let index = mquant_model::excerpt::excerpt(&self.benchmark.questions()[doc_id].index);
        EvaluateError::Sample { benchmark: self.benchmark.name().to_owned(), index, source }
    }
}

/// Lines by question.
struct Log<'e, 'k, L> {
    exam: &'e Exam<'e>,
    lines: Vec<Option<L>>,
    keep: &'e mut Keep<'k, L>,
    doc_id: fn(&L) -> usize,
    lap: Instant,
}

impl<'e, 'k, L> Log<'e, 'k, L> {
    fn new(exam: &'e Exam<'e>, known: Vec<L>, doc_id: fn(&L) -> usize, keep: &'e mut Keep<'k, L>) -> Self {
        let mut lines: Vec<Option<L>> = exam.questions().iter().map(|_| None).collect();
        for line in known {
            // An earlier run may have been asked for more.
            if let Some(place) = lines.get_mut(doc_id(&line)) {
                *place = Some(line);
            }
        }
        Self { exam, lines, keep, doc_id, lap: Instant::now() }
    }

    fn missing(&self) -> Vec<usize> {
        self.lines.iter().enumerate().filter(|(_, line)| line.is_none()).map(|(doc_id, _)| doc_id).collect()
    }

    fn add(&mut self, line: L) -> Result<ControlFlow<()>> {
        let told = (self.keep)(&line)?;
        let place = (self.doc_id)(&line);
        self.lines[place] = Some(line);
        Ok(told)
    }

    /// Seconds since the last call.
    fn lap(&mut self) -> f64 {
        let lap = self.lap.elapsed().as_secs_f64();
        self.lap = Instant::now();
        lap
    }

    fn finish(self) -> Vec<L> {
        self.lines.into_iter().flatten().collect()
    }
}

impl Log<'_, '_, AnswerLine> {
    /// One that cannot be used is told; many are an error.
    fn check_unusable(&self) -> Result<(), EvaluateError> {
        let unusable: Vec<&AnswerLine> = self.lines.iter().flatten().filter(|line| line.problem.is_some()).collect();
        let most = (MAX_UNUSABLE * self.lines.len() as f64).max(1.0);
        if unusable.len() as f64 <= most {
            return Ok(());
        }
        let told = |line: &&AnswerLine| format!("{}: {}", line.index, line.problem.as_deref().unwrap_or_default());
        Err(EvaluateError::Unusable {
            benchmark: self.exam.benchmark.name().to_owned(),
            unusable: unusable.len(),
            of: self.lines.len(),
            first: unusable.iter().take(3).map(told).collect::<Vec<_>>().join("; "),
        })
    }
}
