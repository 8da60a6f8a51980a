//! Law 3: how a sequence is cut into passes, and what shares a pass with it, does not matter.

use mquant::input::messages::Message;
use mquant::kernels::Rows;
use mquant::run::{Prompt, Sequence};

use super::golden::greedy_batch;
use super::{distance, engine, prepare};
use crate::golden::GoldenFolder;

/// Float sums of another order.
const CLOSE: f64 = 3e-5;

fn one_row(logits: Vec<f32>) -> Rows {
    let features = logits.len();
    Rows::from_vec(logits, features)
}

/// Prefill of n tokens and decode of one equals prefill of n + 1.
///
/// # Panics
/// Where it does not.
pub fn decode_equals_prefill(folder: &GoldenFolder, case: &str) {
    let loaded = folder.load();
    let engine = engine(&loaded, 1024);
    let prompt = prepare(&loaded, &folder.messages(case));
    let whole = engine.all_logits(&prompt).expect("logits");
    // Decoding takes text: the tokens after the last medium, one by one, as far as each has the next position.
    let after_media = prompt.media.iter().map(|m| m.extent().end).max().unwrap_or(1).max(1);
    let follows = |row: &usize| prompt.positions[*row] == prompt.positions[*row - 1].map(|p| p + 1);
    let followed = (after_media + 1..prompt.ids.len()).rev().take_while(follows).count();
    let text_from = prompt.ids.len() - 1 - followed;
    let mut sequence = engine.sequence();
    engine.prefill(&mut sequence, &beginning(&prompt, text_from)).expect("logits");
    for row in text_from..prompt.ids.len() {
        let logits = engine.decode(&mut [&mut sequence], &[prompt.ids[row]]).expect("logits");
        let want = Rows::from_vec(whole.row(row).to_vec(), whole.features());
        let distance = distance(&logits, &want);
        assert!(distance < CLOSE, "{case}: decoding token {row} is {distance:e} away from prefill");
    }
}

/// The first rows of a prompt, followed by what follows them.
fn beginning(prompt: &Prompt, rows: usize) -> Prompt {
    let mut part = prompt.clone();
    part.ids.truncate(rows);
    part.positions.truncate(rows);
    part.media.retain(|m| m.extent().end <= rows);
    part.next_position = prompt.positions[rows][0];
    part
}

/// A prompt in chunks of any size equals the whole.
///
/// # Panics
/// Where it does not.
pub fn chunks_equal_whole(folder: &GoldenFolder, case: &str) {
    let loaded = folder.load();
    let prompt = prepare(&loaded, &folder.messages(case));
    let whole = engine(&loaded, usize::MAX).all_logits(&prompt).expect("logits");
    for chunk in [1, 3, 16, prompt.ids.len() - 1] {
        let parts = engine(&loaded, chunk).all_logits(&prompt).expect("logits");
        let distance = distance(&parts, &whole);
        assert!(distance < CLOSE, "{case}: chunks of {chunk} are {distance:e} away from the whole");
    }
}

/// Sequences computed together equal each alone, whatever the chunk.
///
/// # Panics
/// Where they do not.
pub fn batch_equals_one_by_one(folder: &GoldenFolder) {
    let loaded = folder.load();
    let prompts: Vec<Prompt> = folder.cases().iter().map(|c| prepare(&loaded, &folder.messages(c))).collect();
    for chunk in [7, 1024] {
        let engine = engine(&loaded, chunk);
        let mut sequences: Vec<Sequence> = prompts.iter().map(|_| engine.sequence()).collect();
        let mut together: Vec<&mut Sequence> = sequences.iter_mut().collect();
        let batch = engine.prefill_batch(&mut together, &prompts.iter().collect::<Vec<_>>()).expect("logits");
        for (i, prompt) in prompts.iter().enumerate() {
            let alone = one_row(engine.prefill(&mut engine.sequence(), prompt).expect("logits"));
            let distance = distance(&one_row(batch.row(i).to_vec()), &alone);
            assert!(distance < CLOSE, "sequence {i} in a batch is {distance:e} away from alone");
        }
        let together = greedy_batch(&engine, &prompts, 6);
        let alone: Vec<Vec<u32>> =
            prompts.iter().map(|p| greedy_batch(&engine, std::slice::from_ref(p), 6).remove(0)).collect();
        assert_eq!(together, alone, "greedy tokens in a batch");
    }
}

/// A second turn computed after the first equals the whole conversation computed anew, and computes only what is new.
///
/// # Panics
/// Where it does not.
pub fn second_turn_continues(folder: &GoldenFolder) {
    let loaded = folder.load();
    let engine = engine(&loaded, 1024);
    let (messages, case): (Vec<Message>, _) = (folder.turns(), "turns");
    let turn = messages.iter().position(|m| m.role == "assistant").expect("an assistant's turn");
    let first = prepare(&loaded, &messages[..turn]);
    let whole = prepare(&loaded, &messages);
    let mut sequence = engine.sequence();
    engine.prefill(&mut sequence, &first).expect("logits");
    assert!(whole.ids.starts_with(&first.ids), "{case}: the second turn continues the first");
    let continued = one_row(engine.prefill(&mut sequence, &whole).expect("logits"));
    assert_eq!(sequence.ids().collect::<Vec<_>>(), whole.ids);
    let anew = one_row(engine.prefill(&mut engine.sequence(), &whole).expect("logits"));
    let distance = distance(&continued, &anew);
    assert!(distance < CLOSE, "{case}: a continued conversation is {distance:e} away from one computed anew");
    // A change before the picture makes its rows new, but not what its tower gave.
    let mut edited = whole.clone();
    edited.ids[0] ^= 1;
    let (logits, stats) = engine.prefill_measured(&mut sequence, &edited).expect("logits");
    assert_eq!((stats.rows, stats.media), (whole.ids.len(), 0), "{case}: rows computed, pictures encoded");
    let anew = one_row(engine.prefill(&mut engine.sequence(), &edited).expect("logits"));
    assert!(
        super::distance(&one_row(logits), &anew) < CLOSE,
        "{case}: a picture remembered is another than one encoded"
    );
    // Another picture under the same ids must not be taken for the one remembered.
    let mut other = whole.clone();
    let media = other.media.first_mut().expect("a picture");
    media.key[0] ^= 1;
    let (_, stats) = engine.prefill_measured(&mut sequence, &other).expect("logits");
    assert!(stats.media > 0, "{case}: another picture was taken for the one remembered");
    assert_eq!(sequence.ids().count(), whole.ids.len());
}
