//! What is told of an answer: the object of `--json`, the line on a terminal.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use mquant::run::Finish;
use serde::Serialize;

use super::answer::{Answer, Answerer};
use super::stats::SiteStats;
use crate::output::{dim, talk};

/// `mquant.run/1`.
#[derive(Debug, Serialize)]
pub(super) struct RunObject<'a> {
    model: &'a str,
    text: &'a str,
    finish: &'static str,
    prompt_tokens: usize,
    images: usize,
    image_tokens: usize,
    videos: usize,
    video_tokens: usize,
    audios: usize,
    audio_tokens: usize,
    generated_tokens: usize,
    load_s: f64,
    prepare_s: f64,
    vision_s: f64,
    audio_s: f64,
    prefill_s: f64,
    decode_s: f64,
    prefill_tokens_per_s: f64,
    decode_tokens_per_s: f64,
    temperature: f32,
    top_p: f32,
    top_k: usize,
    repetition_penalty: f32,
    seed: u64,
    threads: usize,
    context: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<Vec<SiteStats>>,
}

pub(super) fn object<'a>(answerer: &'a Answerer, answer: &'a Answer, stats: Option<Vec<SiteStats>>) -> RunObject<'a> {
    let sampling = answerer.sampling;
    let generated = &answer.generated;
    RunObject {
        model: &answerer.opened.name,
        text: &generated.text,
        finish: match generated.finish {
            Finish::Stop => "stop",
            Finish::Length => "length",
            Finish::Interrupted => "interrupted",
        },
        prompt_tokens: answer.prompt_tokens,
        images: answer.images.count,
        image_tokens: answer.images.tokens,
        videos: answer.videos.count,
        video_tokens: answer.videos.tokens,
        audios: answer.audios.count,
        audio_tokens: answer.audios.tokens,
        generated_tokens: generated.ids.len(),
        load_s: answerer.opened.load_time.as_secs_f64(),
        prepare_s: answer.prepare_time.as_secs_f64(),
        vision_s: generated.prefill.vision.as_secs_f64(),
        audio_s: generated.prefill.audio.as_secs_f64(),
        prefill_s: generated.prefill.decoder.as_secs_f64(),
        decode_s: generated.decode_time.as_secs_f64(),
        prefill_tokens_per_s: rate(generated.prefill.rows, generated.prefill.decoder),
        decode_tokens_per_s: rate(generated.ids.len(), generated.decode_time),
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        repetition_penalty: sampling.repetition_penalty,
        seed: sampling.seed,
        threads: answerer.engine.threads(),
        context: answerer.engine.context(),
        stats,
    }
}

/// One dim line on stderr, on a terminal.
pub(super) fn summary(answer: &Answer) {
    if !stderr().is_terminal() {
        return;
    }
    let generated = &answer.generated;
    let effort = generated.prefill;
    let media = answer.images.tokens + answer.videos.tokens + answer.audios.tokens;
    let of_media = if media == 0 { String::new() } else { format!(" ({media} of media)") };
    talk(&dim(&format!(
        "{} prompt tokens{of_media}, {} read at {:.1} tok/s; {} answered at {:.1} tok/s",
        answer.prompt_tokens,
        effort.rows,
        rate(effort.rows, effort.vision + effort.audio + effort.decoder),
        generated.ids.len(),
        rate(generated.ids.len(), generated.decode_time),
    )));
}

/// Tokens in a second; 0 where there was no time to measure.
fn rate(tokens: usize, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 }
}
