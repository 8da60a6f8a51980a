//! Laws every family obeys. Each takes a golden folder and panics where the law is broken.

mod cache;
mod function;
mod golden;
mod kernel;
mod order;
mod shared;
mod steps;
mod wiring;

pub use cache::{batch_equals_one_by_one, chunks_equal_whole, decode_equals_prefill, second_turn_continues};
pub use function::transforms_preserve_the_function;
pub use golden::{batch_equals_reference, equals_reference, frame_rates_equal_reference};
pub use kernel::kernels_do_not_matter;
pub use order::{modality_first_changes_no_bit, row_order_is_free};
pub use shared::threads_share_an_engine;
pub use steps::{
    a_cancelled_sequence_disturbs_nobody, a_caught_panic_changes_nothing, sequences_of_a_step_stand_alone,
};
pub use wiring::{sites_are_visited, wiring_tells_the_truth};

use mquant::input::AddGenerationPrompt;
use mquant::input::messages::Message;
use mquant::kernels::Rows;
use mquant::run::{Engine, EngineOptions, LoadedModel, Prompt};

/// Largest |Δ| of two sets of logits, in standard deviations of the second.
pub fn distance(ours: &Rows, reference: &Rows) -> f64 {
    assert_eq!((ours.rows(), ours.features()), (reference.rows(), reference.features()), "shapes of logits");
    let values = || reference.as_slice().iter().map(|v| f64::from(*v));
    let n = reference.as_slice().len() as f64;
    let mean = values().sum::<f64>() / n;
    let deviation = (values().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    let worst = ours.as_slice().iter().zip(values()).map(|(o, r)| (f64::from(*o) - r).abs());
    worst.fold(0.0, |a: f64, b| if b.is_nan() { f64::INFINITY } else { a.max(b) }) / deviation
}

fn engine(loaded: &LoadedModel, chunk: usize) -> Engine {
    Engine::new(loaded, EngineOptions { threads: 2, chunk, ..EngineOptions::default() }).expect("an engine")
}

fn prepare(loaded: &LoadedModel, messages: &[Message]) -> Prompt {
    loaded.prepare(messages, AddGenerationPrompt::Yes).expect("a prompt")
}

fn argmax(logits: &[f32]) -> u32 {
    let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]).then(b.cmp(a)));
    best.expect("a vocabulary") as u32
}
