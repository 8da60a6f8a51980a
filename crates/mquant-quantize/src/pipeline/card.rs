//! The model card of a bundle.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{QuantizeOptions, Summary};
use mquant_model::run::LoadedModel;

/// Its name.
pub(super) const FILE: &str = "README.md";

/// Its text.
pub(super) fn text(loaded: &LoadedModel, options: &QuantizeOptions<'_>, summary: &Summary) -> String {
    let base = loaded.checkpoint.dir().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let recipe = options.recipe;
    let mut kinds: BTreeMap<(String, u32, &str), usize> = BTreeMap::new();
    for (site, report) in &summary.sites {
        let component = site.to_string().split('.').next().unwrap_or_default().to_owned();
        *kinds.entry((component, report.weight_bits, report.input.as_str())).or_default() += 1;
    }
    let mut text = format!(
        "---\nlibrary_name: mquant\nbase_model: {base}\ntags: [quantized, mquant]\n---\n\n# {base}, quantised: {}\n\n{}.\n\n",
        recipe.name, recipe.description
    );
    text += "| component | weight bits | input | sites |\n|---|---|---|---|\n";
    for ((component, bits, input), sites) in kinds {
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {component} | {bits} | {input} | {sites} |");
    }
    let shown = options.samples.samples.len() - summary.skipped.len();
    let _ = write!(
        text,
        "\nShown {shown} samples for calibration. `mquant.json` holds the recipe, what was seen and done at every site, and \
         the hash of every file.\n\n```\nmquant run . --image photo.jpg --prompt \"What is this?\"\nmquant verify .\n```\n\n\
         ## Recipe\n\n```toml\n{}```\n",
        recipe.to_toml()
    );
    text
}
