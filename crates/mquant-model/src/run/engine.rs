//! Prompts and tokens through the model: one sequence or many, whole or in chunks.

mod encode;
mod step;

use std::sync::Arc;
use std::time::{Duration, Instant};

use mquant_kernels::{Backend, Cpu, CpuBackend, Rows, Threads};

use super::{LoadedModel, Prompt, RowOrder, RunError, Sequence};
use crate::models::{MediaLayout, Model};
use crate::nn::{ForwardBatch, ForwardContext, Modality, ModalitySpans, ObserverRef, reborrow};

pub use step::{Input, StepItem, Stepped};

/// How to compute.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Threads; 0 takes one for each core.
    pub threads: usize,
    /// Rows of a prompt computed at once; more need more memory for activations.
    pub chunk: usize,
    /// Tokens a sequence may have; None takes the model's.
    pub context: Option<usize>,
    /// Instructions that may be used.
    pub cpu: Cpu,
    /// The order in which the decoder's rows are computed.
    pub row_order: RowOrder,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { threads: 0, chunk: 1024, context: None, cpu: Cpu::detect(), row_order: RowOrder::default() }
    }
}

/// Rows whose logits over the vocabulary are computed at once.
const LOGIT_ROWS_AT_ONCE: usize = 64;

/// What computing prompts took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepStats {
    /// Rows computed; those a sequence remembered are not.
    pub rows: usize,
    /// Images, videos and sounds that passed their tower; those a sequence remembered did not.
    pub media: usize,
    /// Time in the tower of images and videos.
    pub vision: Duration,
    /// Time in the tower of sounds.
    pub audio: Duration,
    /// Time in the decoder, and for the logits.
    pub decoder: Duration,
}

impl std::ops::AddAssign for StepStats {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.media += other.media;
        self.vision += other.vision;
        self.audio += other.audio;
        self.decoder += other.decoder;
    }
}

/// A model with the threads to compute it.
pub struct Engine {
    model: Arc<Model>,
    layout: Box<dyn MediaLayout>,
    backend: Arc<dyn Backend>,
    threads: Threads,
    chunk: usize,
    context: usize,
    row_order: RowOrder,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { threads, chunk, context, row_order, .. } = self;
        f.debug_struct("Engine")
            .field("threads", &threads.count())
            .field("chunk", chunk)
            .field("context", context)
            .field("row_order", row_order)
            .finish()
    }
}

impl Engine {
    /// An engine for a loaded model.
    ///
    /// # Errors
    /// If the context asked for is larger than the model's, or the system gives no threads.
    pub fn new(loaded: &LoadedModel, options: EngineOptions) -> Result<Self, RunError> {
        let limit = loaded.blueprint.context();
        let context = options.context.unwrap_or(limit);
        if context > limit || context == 0 {
            return Err(RunError::ContextTooLarge { asked: context, limit });
        }
        let threads = Threads::new(options.threads)
            .map_err(|e| RunError::Threads { count: options.threads, reason: e.to_string() })?;
        Ok(Self {
            model: loaded.model.clone(),
            layout: loaded.blueprint.layout(),
            backend: Arc::new(CpuBackend::new(options.cpu)),
            threads,
            chunk: options.chunk.max(1),
            context,
            row_order: options.row_order,
        })
    }

    /// The same engine with another backend to compute on.
    #[must_use]
    pub fn with_backend(self, backend: Arc<dyn Backend>) -> Self {
        Self { backend, ..self }
    }

    /// The same engine with another model of the same shape.
    #[must_use]
    pub fn with_model(self, model: Arc<Model>) -> Self {
        Self { model, ..self }
    }

    /// Tokens a sequence may have.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.threads.count()
    }

    /// An empty sequence.
    pub fn sequence(&self) -> Sequence {
        Sequence::new(self.model.decoder.new_cache())
    }

    /// Computes what of `prompt` the sequence does not remember yet, and returns the logits of the next token.
    ///
    /// # Errors
    /// If the prompt does not fit the context, or activations or logits are not finite.
    pub fn prefill(&self, sequence: &mut Sequence, prompt: &Prompt) -> Result<Vec<f32>, RunError> {
        Ok(self.prefill_measured(sequence, prompt)?.0)
    }

    /// [`prefill`](Self::prefill), with what it took.
    ///
    /// # Errors
    /// If the prompt does not fit the context, or activations or logits are not finite.
    pub fn prefill_measured(
        &self,
        sequence: &mut Sequence,
        prompt: &Prompt,
    ) -> Result<(Vec<f32>, StepStats), RunError> {
        let (logits, stats) = self.prefill_batch_measured(&mut [sequence], &[prompt])?;
        Ok((logits.into_vec(), stats))
    }

    /// [`prefill`](Self::prefill) of several sequences in the same passes: one row of logits for each.
    ///
    /// # Errors
    /// If a prompt does not fit the context, or activations or logits are not finite.
    ///
    /// # Panics
    /// If there is not one prompt for each sequence.
    pub fn prefill_batch(&self, sequences: &mut [&mut Sequence], prompts: &[&Prompt]) -> Result<Rows, RunError> {
        Ok(self.prefill_batch_measured(sequences, prompts)?.0)
    }

    /// [`prefill_batch`](Self::prefill_batch), with what it took.
    ///
    /// # Errors
    /// If a prompt does not fit the context, or activations or logits are not finite.
    ///
    /// # Panics
    /// If there is not one prompt for each sequence.
    pub fn prefill_batch_measured(
        &self,
        sequences: &mut [&mut Sequence],
        prompts: &[&Prompt],
    ) -> Result<(Rows, StepStats), RunError> {
        let mut last: Vec<Vec<f32>> = vec![Vec::new(); prompts.len()];
        let mut stats = self.advance(sequences, prompts, None, &mut |i, rows, _| {
            last[i] = rows.row(rows.rows() - 1).to_vec();
            Ok(())
        })?;
        let started = Instant::now();
        let features = self.model.decoder.embedding.0.cols();
        let logits = self.logits(&Rows::from_vec(last.concat(), features), None);
        for (i, prompt) in prompts.iter().enumerate() {
            check_finite(logits.row(i), prompt.ids.len())?;
        }
        stats.decoder += started.elapsed();
        Ok((logits, stats))
    }

    /// Takes what of the prompts the sequences do not remember through the decoder, all in the same passes. `each` is given
    /// the stream after the last block: the index of a prompt, its next rows, and the observer.
    fn advance(
        &self,
        sequences: &mut [&mut Sequence],
        prompts: &[&Prompt],
        mut observer: ObserverRef<'_>,
        each: &mut dyn FnMut(usize, Rows, ObserverRef<'_>) -> Result<(), RunError>,
    ) -> Result<StepStats, RunError> {
        assert_eq!(sequences.len(), prompts.len(), "sequences and prompts");
        for prompt in prompts {
            self.check_fits(prompt.ids.len(), prompt.ids.len())?;
        }
        let mut stats = StepStats::default();
        let mut open: Vec<usize> = (0..prompts.len()).collect();
        while !open.is_empty() {
            let mut items: Vec<StepItem<'_>> = Vec::with_capacity(open.len());
            for (i, sequence) in sequences.iter_mut().enumerate().filter(|(i, _)| open.contains(i)) {
                items.push(StepItem { sequence, input: Input::Prompt(prompts[i]) });
            }
            let (rows, took) = self.hidden(&mut items, reborrow(&mut observer));
            stats += took;
            let started = Instant::now();
            for (i, rows) in open.iter().zip(rows) {
                if let Some(rows) = rows? {
                    // After `each`: an observer of the head must see what enters it.
                    let finite = check_stream(&rows, sequences[*i].len());
                    each(*i, rows, reborrow(&mut observer))?;
                    finite?;
                }
            }
            stats.decoder += started.elapsed();
            open.retain(|i| sequences[*i].len() < prompts[*i].ids.len());
        }
        Ok(stats)
    }

    /// Appends one token to each sequence and returns the logits of the next: one row for each.
    ///
    /// # Errors
    /// If a sequence is as long as the context, before any is computed; or activations or logits are not finite.
    ///
    /// # Panics
    /// If there is not one id for each sequence.
    pub fn decode(&self, sequences: &mut [&mut Sequence], ids: &[u32]) -> Result<Rows, RunError> {
        assert_eq!(sequences.len(), ids.len(), "sequences and ids");
        for sequence in sequences.iter() {
            self.check_fits(sequence.len() + 1, sequence.len())?;
        }
        let items = sequences.iter_mut().zip(ids).map(|(sequence, id)| StepItem { sequence, input: Input::Token(*id) });
        let mut logits = Vec::with_capacity(ids.len() * self.vocabulary());
        for stepped in self.step(&mut items.collect::<Vec<_>>()).0 {
            match stepped? {
                Stepped::Logits(row) => logits.extend(row),
                Stepped::Prefilling => unreachable!("a token is computed in one step"),
            }
        }
        Ok(Rows::from_vec(logits, self.vocabulary()))
    }

    /// Logits after every row of several prompts, computed in the same passes, with an optional observer of every site:
    /// rows × vocabulary of each prompt, and the sequences that remember them.
    ///
    /// # Errors
    /// If a prompt does not fit the context, or activations or logits are not finite.
    pub fn all_logits_batch(
        &self,
        prompts: &[&Prompt],
        observer: ObserverRef<'_>,
    ) -> Result<(Vec<Rows>, Vec<Sequence>), RunError> {
        let mut sequences: Vec<Sequence> = prompts.iter().map(|_| self.sequence()).collect();
        let mut logits: Vec<Vec<f32>> = vec![Vec::new(); prompts.len()];
        let vocabulary = self.vocabulary();
        self.advance(&mut sequences.iter_mut().collect::<Vec<_>>(), prompts, observer, &mut |i, rows, observer| {
            for row in self.logits_in_parts(&rows, observer).chunks_exact(vocabulary) {
                check_finite(row, logits[i].len() / vocabulary + 1)?;
                logits[i].extend_from_slice(row);
            }
            Ok(())
        })?;
        Ok((logits.into_iter().map(|s| Rows::from_vec(s, vocabulary)).collect(), sequences))
    }

    /// Logits after the rows of several prompts from the row of each that `first` names, computed in the same passes: rows ×
    /// vocabulary of each prompt.
    ///
    /// # Errors
    /// If a prompt does not fit the context, or activations or logits are not finite.
    ///
    /// # Panics
    /// If there is not one first row for each prompt.
    pub fn logits_from_batch(&self, prompts: &[&Prompt], first: &[usize]) -> Result<Vec<Rows>, RunError> {
        assert_eq!(prompts.len(), first.len(), "prompts and first rows");
        let mut sequences: Vec<Sequence> = prompts.iter().map(|_| self.sequence()).collect();
        let mut wanted: Vec<Vec<f32>> = vec![Vec::new(); prompts.len()];
        let mut passed = vec![0; prompts.len()];
        let features = self.model.decoder.embedding.0.cols();
        self.advance(&mut sequences.iter_mut().collect::<Vec<_>>(), prompts, None, &mut |i, rows, _| {
            let skip = first[i].saturating_sub(passed[i]).min(rows.rows());
            wanted[i].extend_from_slice(rows.range(skip..rows.rows()));
            passed[i] += rows.rows();
            Ok(())
        })?;
        // All prompts' rows together: a head of many outputs is read once for all of them.
        let logits = self.logits_in_parts(&Rows::from_vec(wanted.concat(), features), None);
        let vocabulary = self.vocabulary();
        let mut rest = &logits[..];
        let mut each = Vec::new();
        for (wanted, prompt) in wanted.iter().zip(prompts) {
            let (own, after) = rest.split_at(wanted.len() / features * vocabulary);
            check_finite(own, prompt.ids.len())?;
            each.push(Rows::from_vec(own.to_vec(), vocabulary));
            rest = after;
        }
        Ok(each)
    }

    /// Logits after every row of one prompt: rows × vocabulary.
    ///
    /// # Errors
    /// If the prompt does not fit the context, or activations or logits are not finite.
    pub fn all_logits(&self, prompt: &Prompt) -> Result<Rows, RunError> {
        let (mut logits, _) = self.all_logits_batch(&[prompt], None)?;
        Ok(logits.remove(0))
    }

    /// Logits after each of any number of rows, row-major.
    fn logits_in_parts(&self, hidden: &Rows, mut observer: ObserverRef<'_>) -> Vec<f32> {
        let mut logits = Vec::with_capacity(hidden.rows() * self.vocabulary());
        for at in (0..hidden.rows()).step_by(LOGIT_ROWS_AT_ONCE) {
            let some = hidden.range(at..hidden.rows().min(at + LOGIT_ROWS_AT_ONCE)).to_vec();
            logits.extend(self.logits(&Rows::from_vec(some, hidden.features()), reborrow(&mut observer)).into_vec());
        }
        logits
    }

    /// Logits in a row.
    fn vocabulary(&self) -> usize {
        self.model.decoder.head.0.linears[0].weight.rows()
    }

    /// Logits of the next token after each of some rows.
    fn logits(&self, hidden: &Rows, mut observer: ObserverRef<'_>) -> Rows {
        let rows = hidden.rows();
        let pass = ForwardBatch {
            sequences: std::iter::once(0..rows).collect(),
            order: (0..rows as u32).collect(),
            spans: ModalitySpans::uniform(Modality::Text, rows),
            rope: self.model.decoder.rope.table(&[]),
            ..ForwardBatch::default()
        };
        self.threads.run(|| {
            let mut cx = ForwardContext::new(&*self.backend, &pass).watched(reborrow(&mut observer));
            self.model.decoder.logits(hidden, &mut cx)
        })
    }

    fn check_fits(&self, needed: usize, prompt: usize) -> Result<(), RunError> {
        if needed > self.context {
            return Err(RunError::Context { needed, prompt, limit: self.context });
        }
        Ok(())
    }
}

/// Rows of the stream that end a sequence of `tokens`.
fn check_stream(rows: &Rows, tokens: usize) -> Result<(), RunError> {
    match rows.as_slice().iter().position(|value| !value.is_finite()) {
        Some(at) => Err(RunError::ActivationsNotFinite { row: tokens - rows.rows() + at / rows.features() }),
        None => Ok(()),
    }
}

fn check_finite(logits: &[f32], tokens: usize) -> Result<(), RunError> {
    match logits.iter().position(|s| !s.is_finite()) {
        Some(token) => Err(RunError::NotFinite { token, tokens }),
        None => Ok(()),
    }
}
