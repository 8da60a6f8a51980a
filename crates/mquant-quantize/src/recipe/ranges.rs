//! Numbers and lists of a recipe within their bounds, whoever made it.

use super::{
    Compensate, Learning, Observer, Place, Quantize, Rank, Recipe, RecipeError, SiteSelector, Smooth, SmoothModalities,
    SplitColumns, Step, Target, WeightMethod,
};
use mquant_model::excerpt::quoted;

/// Characters of a name at most.
const NAME_CHARS: usize = 64;
/// Characters of a description at most.
const DESCRIPTION_CHARS: usize = 1000;
/// Steps at most.
const STEPS: usize = 256;

/// A field, its bounds, what was found, and whether it is within.
type Bound = (&'static str, &'static str, String, bool);

pub(super) fn check(recipe: &Recipe) -> Result<(), RecipeError> {
    let Recipe { name, description, seed, calibration, steps, .. } = recipe;
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let word = name.starts_with(letter) && name.chars().all(|c| letter(c) || c == '-') && name.len() <= NAME_CHARS;
    let share = match calibration.observer {
        Observer::Percentile(share) => share,
        Observer::MinMax | Observer::Mse => 1.0,
    };
    let within = |n: usize, least: usize, most: usize| (n.to_string(), (least..=most).contains(&n));
    let (samples, generated, tokens, count) = (
        within(calibration.samples, 1, 65536),
        within(calibration.generated_tokens, 0, 4096),
        within(calibration.max_tokens.unwrap_or(1), 1, 1 << 20),
        within(steps.len(), 0, STEPS),
    );
    let bounds: [Bound; 8] = [
        ("name", "at most 64 lower-case letters, digits and hyphens", quoted(name), word),
        (
            "description",
            "at most 1000 characters",
            quoted(description),
            description.chars().take(DESCRIPTION_CHARS + 1).count() <= DESCRIPTION_CHARS,
        ),
        ("seed", "at most 9223372036854775807", seed.to_string(), i64::try_from(*seed).is_ok()),
        ("calibration.samples", "1 to 65536", samples.0, samples.1),
        ("calibration.percentile", "above 0.5, at most 1", share.to_string(), share > 0.5 && share <= 1.0),
        ("calibration.max_tokens", "1 to 1048576", tokens.0, tokens.1),
        ("calibration.generated_tokens", "0 to 4096", generated.0, generated.1),
        ("step", "at most 256 tables", count.0, count.1),
    ];
    refuse(bounds.into(), || Place { step: None, at: None, ..recipe.place(0) })?;
    for (i, step) in steps.iter().enumerate() {
        refuse(of_step(step), || recipe.place(i))?;
    }
    Ok(())
}

fn refuse(bounds: Vec<Bound>, place: impl Fn() -> Place) -> Result<(), RecipeError> {
    match bounds.into_iter().find(|(.., within)| !within) {
        None => Ok(()),
        Some((field, expected, found, _)) => {
            Err(RecipeError::Range { place: Box::new(place()), field, expected, found })
        }
    }
}

fn is_share(value: f64) -> bool {
    value > 0.0 && value <= 1.0
}

fn of_step(step: &Step) -> Vec<Bound> {
    let mut bounds = Vec::new();
    if let Some(SiteSelector::AnyOf(patterns)) = step.sites() {
        bounds.push(("sites", "at least one pattern", "none".to_owned(), !patterns.is_empty()));
    }
    match step {
        Step::FuseNorms(_) | Step::RotateStream(_) | Step::RotateHeads(_) => {
            let towers = step.towers();
            let once = (1..towers.len()).all(|i| !towers[..i].contains(&towers[i]));
            let found = towers.iter().take(8).map(ToString::to_string).collect::<Vec<_>>().join(", ");
            bounds.push(("towers", "at least one tower, each once", format!("[{found}]"), once && !towers.is_empty()));
        }
        Step::RotateOnline(_) | Step::Quantize(Quantize { target: Target::Float, .. }) => {}
        Step::Smooth(Smooth { alpha, .. }) => {
            bounds.push(("alpha", "0 to 1", alpha.to_string(), (0.0..=1.0).contains(alpha)));
        }
        Step::SmoothModalities(SmoothModalities { alpha, learning, .. }) => {
            bounds.push(("alpha", "0 to 1", alpha.to_string(), (0.0..=1.0).contains(alpha)));
            if let Some(Learning { epochs, learning_rate, loss_weights, .. }) = learning {
                bounds.push(("epochs", "0 to 1000", epochs.to_string(), *epochs <= 1000));
                let rate = learning_rate.to_string();
                bounds.push(("learning_rate", "above 0, at most 1", rate, is_share(*learning_rate)));
                for weight in loss_weights.values() {
                    let is_within = (0.0..=1e6).contains(weight);
                    bounds.push(("loss_weights", "0 to 1000000", weight.to_string(), is_within));
                }
            }
        }
        Step::Compensate(Compensate { rank, .. }) => bounds.push(match rank {
            Rank::Ratio(ratio) => ("rank_ratio", "above 0, at most 1", ratio.to_string(), is_share(*ratio)),
            Rank::Absolute(rank) => ("rank", "1 to 65536", rank.to_string(), (1..=65536).contains(rank)),
            Rank::Budget(share) => ("budget", "above 0, at most 1", share.to_string(), is_share(*share)),
        }),
        Step::SplitColumns(SplitColumns { limits, .. }) => {
            let (ratio, at_most) = (limits.ratio, limits.at_most);
            bounds.push(("ratio", "1 to 1000000", ratio.to_string(), (1.0..=1e6).contains(&ratio)));
            bounds.push(("at_most", "1 to 256", at_most.to_string(), (1..=256).contains(&at_most)));
        }
        Step::Quantize(Quantize { target: Target::Int { format, method, .. }, .. }) => {
            let group = format.group.unwrap_or(32);
            bounds.push(("group_size", "32, 64 or 128", group.to_string(), [32, 64, 128].contains(&group)));
            if let WeightMethod::Gptq { damping, .. } = method {
                bounds.push(("damping", "above 0, at most 1", damping.to_string(), *damping > 0.0 && *damping <= 1.0));
            }
        }
    }
    bounds
}
