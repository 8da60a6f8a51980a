//! `mquant logits`: every score of a conversation in a file, to compare with another implementation.

mod conversations;
mod tensors;

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use mquant::checkpoint::SafetensorsWriter;
use mquant::input::AddGenerationPrompt;
use mquant::kernels::Rows;
use mquant::run::{Batch, Engine, Input, Prompt, RunError, Sequence, argmax};
use serde::Serialize;

use crate::failure::{Doing, Done, Failure};
use crate::globals::Globals;
use crate::output::{Output, talk};
use crate::progress::Progress;
use crate::session;
use crate::signals::{self, Hold};
use conversations::Given;

/// Arguments of `mquant logits`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mquant logits path/to/model --messages one.json --out one.safetensors --generate 12
  mquant logits Qwen/Qwen2-VL-2B-Instruct --messages batch.json --out batch.safetensors --json

The messages are in OpenAI's chat form; media urls are relative to their file. A list of conversations is computed as one
batch. The file holds input_ids, logits, pixel_values, image_grid_thw, pixel_values_videos, video_grid_thw, input_features
and generated, those that exist; of a batch, input_ids.0, logits.0, generated.0 and so on.")]
pub(crate) struct LogitsArgs {
    /// A model folder or Hub id (org/name or org/name@revision)
    model: String,
    /// A JSON file: a list of messages, or a list of such lists
    #[arg(long, value_name = "FILE")]
    messages: PathBuf,
    /// The safetensors file to write; it is there whole or not at all
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Greedy tokens to add, end tokens like any other
    #[arg(long, value_name = "N", default_value_t = 0)]
    generate: usize,
}

/// `mquant.logits/1`.
#[derive(Debug, Serialize)]
struct LogitsObject<'a> {
    model: &'a str,
    out: String,
    out_bytes: u64,
    conversations: Vec<ConversationRow>,
    tensors: Vec<TensorRow>,
    threads: usize,
    load_s: f64,
    prepare_s: f64,
    compute_s: f64,
    generate_s: f64,
}

#[derive(Debug, Serialize)]
struct ConversationRow {
    tokens: usize,
    images: usize,
    videos: usize,
    audios: usize,
    media_tokens: usize,
    /// The best next token.
    argmax: u32,
    generated: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct TensorRow {
    name: String,
    dtype: &'static str,
    shape: Vec<usize>,
}

pub(crate) fn run(args: &LogitsArgs, globals: &Globals, output: &Output) -> Result<Done, Failure> {
    let given = conversations::read(&args.messages)?;
    SafetensorsWriter::check_path(&args.out).doing("prepare the output")?;
    let opened = session::open(Some(&args.model), globals)?;
    let engine = session::engine(&opened.loaded, globals)?;

    let started = Instant::now();
    let prompts = given.conversations().iter();
    let prompts = prompts.map(|messages| opened.loaded.prepare(messages, AddGenerationPrompt::Yes));
    let prompts: Vec<Prompt> = prompts.collect::<Result<_, _>>().doing("prepare the prompt")?;
    let prepare_s = started.elapsed().as_secs_f64();

    let started = Instant::now();
    let progress = Progress::spinner("reading the prompt");
    let (logits, sequences) =
        engine.all_logits_batch(&prompts.iter().collect::<Vec<_>>(), None).doing("compute the logits")?;
    drop(progress);
    let compute_s = started.elapsed().as_secs_f64();

    let started = Instant::now();
    let generated = greedy(&engine, sequences, &logits, args.generate).doing("generate")?;
    let generate_s = started.elapsed().as_secs_f64();

    let tensors = match given {
        Given::One(_) => tensors::of_one(&prompts[0], &logits[0], &generated[0]),
        Given::Batch(_) => tensors::of_batch(&prompts, &logits, &generated),
    };
    let hold = Hold::new();
    let out_bytes = tensors::write(&args.out, &tensors).doing("write the logits")?;
    drop(hold);
    if output.is_json() {
        let rows = prompts.iter().zip(&logits).zip(generated);
        let object = LogitsObject {
            model: &opened.name,
            out: args.out.display().to_string(),
            out_bytes,
            conversations: rows.map(|((prompt, logits), generated)| conversation(prompt, logits, generated)).collect(),
            tensors: tensors.iter().map(tensors::Tensor::row).collect(),
            threads: engine.threads(),
            load_s: opened.load_time.as_secs_f64(),
            prepare_s,
            compute_s,
            generate_s,
        };
        output.object("logits/1", &object)?;
    } else {
        let tokens: usize = prompts.iter().map(|prompt| prompt.ids.len()).sum();
        talk(&format!("{}: {tokens} tokens, {} tensors, {out_bytes} bytes", args.out.display(), tensors.len()));
    }
    Ok(signals::interrupted())
}

fn conversation(prompt: &Prompt, logits: &Rows, generated: Vec<u32>) -> ConversationRow {
    use mquant::input::MediaKind;
    let count = |kind| prompt.media.iter().filter(|medium| medium.kind == kind).count();
    ConversationRow {
        tokens: prompt.ids.len(),
        images: count(MediaKind::Image),
        videos: count(MediaKind::Video),
        audios: count(MediaKind::Audio),
        media_tokens: prompt.media.iter().map(|medium| medium.row_count()).sum(),
        argmax: argmax(logits.row(logits.rows() - 1)),
        generated,
    }
}

/// The best token after each sequence, `count` times, all sequences in the same passes.
fn greedy(engine: &Engine, sequences: Vec<Sequence>, logits: &[Rows], count: usize) -> Result<Vec<Vec<u32>>, RunError> {
    let mut generated = vec![Vec::new(); sequences.len()];
    let mut batch: Batch<'_, Sequence, Prompt> = Batch::new(engine);
    for (i, (sequence, rows)) in sequences.into_iter().zip(logits).enumerate().filter(|_| count > 0) {
        let id = argmax(rows.row(rows.rows() - 1));
        generated[i].push(id);
        if count > 1 {
            batch.push(i, sequence, Input::Token(id));
        }
    }
    let progress = Progress::bar("generating", count as u64);
    while !batch.is_empty() {
        batch.step(&mut |i, _, logits| {
            let id = argmax(&logits?);
            generated[i].push(id);
            progress.set(generated[i].len() as u64);
            Ok((generated[i].len() < count).then_some(id))
        })?;
    }
    Ok(generated)
}
