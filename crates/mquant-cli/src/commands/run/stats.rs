//! `--stats`: what static scales cut off in this conversation.

use mquant::input::{AddGenerationPrompt, Message};
use mquant::measure::ClippedShare;
use serde::Serialize;

use super::answer::{Answer, Answerer};
use crate::failure::{Doing, Failure};
use crate::output;

/// Sites that are listed for people.
const WORST: usize = 8;

/// What one site lost in rows of one modality.
#[derive(Debug, Serialize)]
pub(super) struct SiteStats {
    site: String,
    modality: String,
    values: u64,
    /// Beyond the largest code.
    clipped: u64,
    /// Largest magnitude, in units of what the scale reaches.
    largest: f32,
}

/// Takes prompt and answer through the model once more, watched.
pub(super) fn of(answerer: &Answerer, messages: &[Message], answer: &Answer) -> Result<Vec<SiteStats>, Failure> {
    let loaded = &answerer.opened.loaded;
    let mut prompt = loaded.prepare(messages, AddGenerationPrompt::Yes).doing("prepare the prompt")?;
    prompt.extend_text(&answer.generated.ids);
    let mut share = ClippedShare::of(&loaded.model);
    answerer.engine.all_logits_batch(&[&prompt], Some(&mut share)).doing("watch the activations")?;
    let stats = share.seen().into_iter().map(|(site, modality, seen)| SiteStats {
        site: site.to_string(),
        modality: modality.to_string(),
        values: seen.values,
        clipped: seen.clipped,
        largest: seen.largest,
    });
    Ok(stats.collect())
}

/// The sites that lost most, on stderr.
pub(super) fn talk(stats: &[SiteStats]) {
    if stats.is_empty() {
        output::talk("no site of this model has static scales");
        return;
    }
    let (values, clipped) = stats.iter().fold((0, 0), |(v, c), s| (v + s.values, c + s.clipped));
    let share = |clipped: u64, values: u64| 1e6 * clipped as f64 / values.max(1) as f64;
    output::talk(&format!("cut off by static scales: {:.1} of a million values", share(clipped, values)));
    for site in stats.iter().take(WORST) {
        let SiteStats { site, modality, values, clipped, largest } = site;
        let name = format!("{site} ({modality})");
        output::talk(&format!(
            "  {name:<28}{:>9.1} of a million, largest {largest:.2} of the range",
            share(*clipped, *values)
        ));
    }
}
