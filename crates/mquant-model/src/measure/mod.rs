//! How fast a loaded model is and what memory it takes.
//!
//! Enters: a [`Workload`] of random tokens and a synthetic picture. Leaves: [`Figures`], each the median of its repeats, and
//! what the time of each [`Phase`] went to. Invariant: nothing is remembered from one repeat to the next.

mod clipped;
mod clocked;
mod memory;
mod phase;
mod row_orders;

pub use clipped::{Clipped, ClippedShare};
pub use clocked::Clocked;
pub use memory::peak_rss_bytes;
pub use phase::{Arithmetic, Kind, Phase, Rates, Spent};
pub use row_orders::OrderedPrefill;

use std::sync::Arc;
use std::time::Instant;

use mquant_kernels::{CpuBackend, Level};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::Result;
use crate::input::MediaKind;
use crate::input::image::RgbImage;
use crate::run::{Batch, Engine, EngineOptions, Input, LoadedModel, Medium, Prompt, RunError, Sequence, argmax};
use row_orders::RowOrders;

/// What to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Tokens of the text; at least 1.
    pub prompt_tokens: usize,
    /// Width and height of a picture before the text.
    pub image: Option<(u32, u32)>,
    /// Tokens generated for each sequence after the prompt; end tokens do not end it.
    pub generate: usize,
    /// Sequences computed together; at least 1.
    pub batch: usize,
    /// How often; at least 1.
    pub repeat: usize,
    /// Seed of the tokens.
    pub seed: u64,
}

/// What was measured: medians over the repeats.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Threads that computed.
    pub threads: usize,
    /// Instructions that might be used.
    pub level: Level,
    /// Decoder rows the picture takes.
    pub image_tokens: Option<usize>,
    /// Seconds of the vision tower and projector for one picture that has been resized.
    pub vision_s: Option<f64>,
    /// Seconds from a prepared prompt of picture and text to the first token, of all sequences of the batch.
    pub first_token_s: f64,
    /// Tokens of text prompts computed each second, all sequences together.
    pub prefill_tokens_per_s: f64,
    /// Prefill of picture and text in each row order; None without a picture, for text alone has but one order.
    pub row_orders: Option<OrderedPrefill>,
    /// Tokens generated each second after the first, all sequences together; None when none was asked for.
    pub decode_tokens_per_s: Option<f64>,
    /// What the time of the vision tower and projector went to, in the repeat in the middle.
    pub vision: Option<Phase>,
    /// The same of computing the texts alone.
    pub prefill: Phase,
    /// The same of generating all tokens after the first.
    pub decode: Option<Phase>,
}

/// What one repeat took.
#[derive(Clone, Debug)]
struct Repeat {
    vision: Option<Phase>,
    prefill: Phase,
    first_token: f64,
    decode: Phase,
}

/// Computes a workload as `options` say. `watch` is told how many repeats are done.
///
/// # Errors
/// As [`Engine::new`]; and if the workload does not fit the context, the picture is empty or too elongated, or logits are
/// not finite.
pub fn measure(
    loaded: &LoadedModel,
    options: EngineOptions,
    workload: &Workload,
    watch: &mut dyn FnMut(usize),
) -> Result<Figures> {
    let clock = Arc::new(Clocked::new(Arc::new(CpuBackend::new(options.cpu))));
    let engine = Engine::new(loaded, options)?.with_backend(clock.clone());
    let bench = Bench { engine: &engine, clock: &clock };
    let mut engines = RowOrders::new(loaded, options)?;
    let Workload { generate, batch, repeat, .. } = *workload;
    let (text_tokens, batch) = (workload.prompt_tokens.max(1), batch.max(1));
    let mut rng = ChaCha8Rng::seed_from_u64(workload.seed);
    let patches = match workload.image {
        Some((width, height)) => Some(loaded.processor.image(&picture(width, height)?)?),
        None => None,
    };
    let (mut texts, mut pictured) = (Vec::new(), Vec::new());
    for _ in 0..batch {
        let mut ids = random_ids(loaded, text_tokens, &mut rng);
        texts.push(Prompt::arrange(&*loaded.layout, &ids, Vec::<Medium>::new())?);
        if let Some(patches) = &patches {
            ids.splice(0..0, loaded.layout.placeholder(MediaKind::Image));
            pictured.push(Prompt::arrange(&*loaded.layout, &ids, vec![(MediaKind::Image, patches.clone())])?);
        }
    }
    let longest = pictured.first().unwrap_or(&texts[0]).ids.len();
    if longest + generate > engine.context() {
        return Err(RunError::Context { needed: longest + generate, prompt: longest, limit: engine.context() }.into());
    }
    let (mut repeats, mut ordered) = (Vec::new(), Vec::new());
    for done in 1..=repeat.max(1) {
        repeats.push(bench.once(&texts, &pictured, generate)?);
        if !pictured.is_empty() {
            ordered.push(engines.prefill(&pictured)?);
        }
        watch(done);
    }
    let of = |seconds: fn(&Repeat) -> f64| median(repeats.iter().map(seconds).collect());
    let middle = |phase: fn(&Repeat) -> Option<Phase>| phase::middle(repeats.iter().filter_map(phase).collect());
    let vision = middle(|r| r.vision.clone());
    let decoded = generate > 0;
    Ok(Figures {
        threads: engine.threads(),
        level: options.cpu.level(),
        image_tokens: pictured.first().map(|p| p.ids.len() - text_tokens),
        vision_s: vision.is_some().then(|| of(|r| r.vision.as_ref().map_or(0.0, |v| v.seconds))),
        first_token_s: of(|r| r.first_token),
        prefill_tokens_per_s: (batch * text_tokens) as f64 / of(|r| r.prefill.seconds),
        row_orders: OrderedPrefill::of(&ordered, pictured.iter().map(|p| p.ids.len()).sum()),
        decode_tokens_per_s: decoded.then(|| (batch * generate) as f64 / of(|r| r.decode.seconds)),
        vision,
        prefill: middle(|r| Some(r.prefill.clone())).expect("there is at least one repeat"),
        decode: middle(|r| Some(r.decode.clone())).filter(|_| decoded),
    })
}

/// An engine, and the clock of its backend.
struct Bench<'a> {
    engine: &'a Engine,
    clock: &'a Clocked,
}

impl Bench<'_> {
    fn once(&self, texts: &[Prompt], pictured: &[Prompt], generate: usize) -> Result<Repeat, RunError> {
        let Self { engine, clock } = *self;
        let media = pictured.first().and_then(|p| p.media.first());
        let vision = media.map(|media| clock.phase(|| engine.encode(&[media], None)).1);
        let (computed, prefill) = clock.phase(|| first(engine, texts));
        let (mut sequences, mut first_ids) = computed?;
        let mut first_token = prefill.seconds;
        if !pictured.is_empty() {
            drop(sequences);
            let (computed, seconds) = timed(|| first(engine, pictured));
            (sequences, first_ids) = computed?;
            first_token = seconds;
        }
        let mut batch: Batch<'_, Sequence, Prompt> = Batch::new(engine);
        for (i, (sequence, id)) in sequences.into_iter().zip(first_ids).enumerate() {
            batch.push(i, sequence, Input::Token(id));
        }
        let (decoded, decode) = clock.phase(|| {
            for _ in 0..generate {
                batch.step(&mut |_, _, logits| Ok(Some(argmax(&logits?))))?;
            }
            Ok(())
        });
        decoded.map(|()| Repeat { vision, prefill, first_token, decode })
    }
}

/// Prompts in empty sequences, and the best token after each.
fn first(engine: &Engine, prompts: &[Prompt]) -> Result<(Vec<Sequence>, Vec<u32>), RunError> {
    let mut sequences: Vec<Sequence> = prompts.iter().map(|_| engine.sequence()).collect();
    let logits =
        engine.prefill_batch(&mut sequences.iter_mut().collect::<Vec<_>>(), &prompts.iter().collect::<Vec<_>>())?;
    Ok((sequences, (0..logits.rows()).map(|row| argmax(logits.row(row))).collect()))
}

/// What `f` gives, and the seconds it took.
fn timed<R>(f: impl FnOnce() -> R) -> (R, f64) {
    let started = Instant::now();
    let result = f();
    // A clock may not have moved.
    (result, started.elapsed().as_secs_f64().max(1e-9))
}

/// Ids of ordinary tokens, or of rows of the embedding that have no token.
fn random_ids(loaded: &LoadedModel, count: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
    let vocabulary = loaded.blueprint.vocabulary() as u32;
    let placeholders = MediaKind::ALL.map(|kind| loaded.layout.placeholder(kind));
    let ordinary = |id: &u32| !loaded.tokenizer.is_control(*id) && !placeholders.contains(&Some(*id));
    let drawn = std::iter::repeat_with(|| rng.random_range(0..vocabulary));
    // A vocabulary of nothing but control tokens must not be searched for ever.
    let mut ids: Vec<u32> = drawn.take(1000 + 20 * count).filter(ordinary).take(count).collect();
    ids.resize(count, (0..vocabulary).find(ordinary).unwrap_or(0));
    ids
}

/// A picture with fine and coarse structure in every channel.
fn picture(width: u32, height: u32) -> Result<RgbImage> {
    let colour = |x: u32, y: u32| [(x * 7 + y * 3) as u8, (x / 5 * 31 + y) as u8, (y / 9 * 57 + x * 2) as u8];
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| colour(x % 4096, y % 4096))).collect();
    Ok(RgbImage::new(width, height, pixels)?)
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (values[(n - 1) / 2] + values[n / 2]) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(vec![7.0]), 7.0);
    }

    #[test]
    fn pictures_have_their_size() {
        let made = picture(30, 20).unwrap();
        assert_eq!((made.width(), made.height()), (30, 20));
        assert!(picture(0, 20).is_err());
    }
}
