//! The rows of the table: MQuant built up step by step, what its parts are worth alone, and what it is compared with.

use mquant::bundle::InputFormat;
use mquant::quantize::Clip;
use mquant::recipe::{Quantize, Recipe, RecipeError, Step, Target, WeightMethod};

/// A recipe by the name of its row.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) recipe: Recipe,
    /// Whether each benchmark is answered by a model that was calibrated on others.
    pub(super) other_benchmarks: bool,
}

/// How weights are rounded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weights {
    /// To nearest, scales by the largest.
    Plain,
    /// GPTQ with searched scales, as the preset has it.
    Preset,
}

/// How static scales are shared in the decoder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scales {
    One,
    PerModality,
}

/// All rows, in order.
pub(super) fn all() -> Result<Vec<Row>, RecipeError> {
    let mquant = Recipe::preset("mquant-w4a8")?;
    let part = |name: &str, rotated: bool, weights, scales, split: bool| Row {
        name: name.to_owned(),
        recipe: built(&mquant, rotated, weights, scales, split),
        other_benchmarks: false,
    };
    let preset = |name: &str| Ok(Row { name: name.to_owned(), recipe: Recipe::preset(name)?, other_benchmarks: false });
    let mut rows = vec![
        part("static", false, Weights::Plain, Scales::One, false),
        part("+ rotation", true, Weights::Plain, Scales::One, false),
        part("+ GPTQ", true, Weights::Preset, Scales::One, false),
        part("+ per-modality", true, Weights::Preset, Scales::PerModality, false),
        part("+ column split = mquant-w4a8", true, Weights::Preset, Scales::PerModality, true),
        part("GPTQ, one scale, not rotated", false, Weights::Preset, Scales::One, false),
        part("GPTQ, per-modality, not rotated", false, Weights::Preset, Scales::PerModality, false),
        Row { name: "mquant-w4a8, other benchmarks shown".to_owned(), recipe: mquant.clone(), other_benchmarks: true },
    ];
    for name in ["w4a8-dynamic", "smoothquant-static", "mquant-w8a8-w4a8", "mquant-w8a8", "w4a16-g128"] {
        rows.push(preset(name)?);
    }
    Ok(rows)
}

/// The preset with some of it left out.
fn built(preset: &Recipe, rotated: bool, weights: Weights, scales: Scales, split: bool) -> Recipe {
    let mut recipe = preset.clone();
    recipe.steps.retain(|step| match step {
        Step::FuseNorms(_) | Step::RotateStream(_) | Step::RotateHeads(_) | Step::RotateOnline(_) => rotated,
        Step::SplitColumns(_) => split,
        Step::Smooth(_) | Step::SmoothModalities(_) | Step::Compensate(_) | Step::Quantize(_) => true,
    });
    for step in &mut recipe.steps {
        let Step::Quantize(Quantize { target: Target::Int { method, clip, input, .. }, .. }) = step else { continue };
        if weights == Weights::Plain {
            (*method, *clip) = (WeightMethod::Rtn, Clip::None);
        }
        if scales == Scales::One && *input == InputFormat::PerModality {
            *input = InputFormat::PerTensor;
        }
    }
    recipe
}
