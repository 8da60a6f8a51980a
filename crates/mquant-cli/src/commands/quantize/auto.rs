//! `mquant quantize --auto`: the recipe with the costliest sites in 8 bits, as many as a budget asks for or allows.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use mquant::bundle::{Manifest, PackedCache};
use mquant::disk::RealDisk;
use mquant::evaluate::{Afforded, Budget, Referenced, Suspect};
use mquant::input::AddGenerationPrompt;
use mquant::pipeline::{self, Outcome, PipelineError};
use mquant::recipe::Recipe;
use mquant::run::{LoadOptions, LoadedModel};

use super::{Made, Work, show};
use crate::failure::{CliError, Doing, Failure};
use crate::globals::Globals;
use crate::output::talk;
use crate::progress::Progress;
use crate::session;

/// What the name of an extended recipe ends with.
const EXTENDED: &str = "-auto";
/// What the name of the bundle by the unchanged recipe ends with.
const BASE: &str = ".base";

/// Whether the output is a bundle of the same model and samples that the same budget was spent on, by the recipe extended or,
/// where nothing was needed, as it is.
pub(super) fn is_complete(work: &Work<'_>) -> bool {
    let Some(there) = Manifest::read(&*RealDisk::shared(), work.output).ok().flatten() else { return false };
    let wanted = pipeline::fingerprint(work.loaded, &work.options(work.recipe, work.output));
    let made_by = there.fingerprint.get("recipe").and_then(|recipe| recipe.split(' ').next()).unwrap_or_default();
    let is_recipe = made_by == work.recipe.name || made_by == format!("{}{EXTENDED}", work.recipe.name);
    let is_same = wanted.iter().all(|(part, value)| part == "recipe" || there.fingerprint.get(part) == Some(value));
    is_recipe && is_same && there.provenance["given"]["budget"] == work.provenance()["budget"]
}

/// What is asked for.
pub(super) fn budget(target_drop: Option<f64>, bytes: Option<u64>) -> Result<Budget, Failure> {
    match (target_drop, bytes) {
        (Some(drop), None) => Ok(Budget::Drop(drop)),
        (None, Some(bytes)) => Ok(Budget::Bytes(bytes)),
        _ => {
            let found = "given without either or with both".to_owned();
            let expected = "--target-drop or --budget beside it".to_owned();
            Err(CliError::Argument { argument: "--auto", found, expected }).doing("begin")
        }
    }
}

/// Quantises by the recipe as it is, finds the sites that cost most, and extends the recipe. None if it was interrupted.
pub(super) fn extend(work: &Work<'_>, budget: Budget, globals: &Globals) -> Result<Option<Recipe>, Failure> {
    let referenced = referenced(work)?;
    let base = base_of(work.output);
    talk("first the recipe as it is:");
    let made = work.quantize(work.recipe, &base)?;
    if matches!(made, Made { outcome: Outcome::Interrupted, .. }) {
        return Ok(None);
    }
    let doing = "spend the budget";
    let load = LoadOptions { packed_cache: PackedCache::Disabled, ..session::load_options(globals)? };
    let quantised = LoadedModel::open(&base.to_string_lossy(), &load).doing(doing)?;
    let suspect =
        Suspect { float: work.loaded, quantised: &quantised, recipe: work.recipe, engine: session::options(globals)? };
    let progress = Progress::bar("weighing sites", 1);
    let found = suspect.afford(&referenced, budget, &mut |done, of| {
        progress.set_of(done as u64, of as u64);
        session::go_on()
    });
    drop(progress);
    let Some(afforded) = found.doing(doing)? else { return Ok(None) };
    tell(&afforded);
    if !afforded.is_reached {
        let Budget::Drop(asked) = budget else { return Ok(None) };
        let (reached, base) = (afforded.drop, base.display().to_string());
        return Err(PipelineError::Budget { asked, reached, base }).doing(doing);
    }
    let mut recipe = work.recipe.extended(&afforded.steps, &pipeline::sites(&work.loaded.model)).doing(doing)?;
    if !afforded.steps.is_empty() {
        recipe.name = format!("{}{EXTENDED}", recipe.name);
    }
    Ok(Some(recipe))
}

/// Removes the bundle by the unchanged recipe, which nothing needs any more.
pub(super) fn clear(output: &Path) {
    let base = base_of(output);
    if !base.exists() {
        return;
    }
    if let Err(e) = std::fs::remove_dir_all(&base) {
        talk(&format!("note: {} could not be removed ({e})", base.display()));
    }
}

fn base_of(output: &Path) -> PathBuf {
    let mut name = OsString::from(output);
    name.push(BASE);
    PathBuf::from(name)
}

/// The calibration samples that have an answer.
fn referenced(work: &Work<'_>) -> Result<Vec<Referenced>, Failure> {
    let mut referenced = Vec::new();
    for sample in &work.gathered.samples {
        let Some(answer) = &sample.answer else { continue };
        // One that cannot be used is told when the model is shown it.
        let Ok(prompt) = work.loaded.prepare(&sample.messages, AddGenerationPrompt::Yes) else { continue };
        let ids = work.loaded.encode_answer(answer).doing("read the calibration data")?;
        referenced.push(Referenced::new(prompt, &ids));
    }
    if referenced.is_empty() {
        let found = "samples without answers".to_owned();
        let expected = "samples that say what is right: .tsv, or .jsonl that ends with the assistant".to_owned();
        return Err(CliError::Argument { argument: "--calibration", found, expected }).doing("begin");
    }
    Ok(referenced)
}

fn tell(afforded: &Afforded) {
    let taken: Vec<&str> = afforded.choices.iter().filter(|c| c.is_taken).map(|c| c.pattern.as_str()).collect();
    talk(&format!(
        "{} of {} groups of sites get 8 bits (+{}): tokens other than the float model's {:.2} % -> {:.2} %",
        taken.len(),
        afforded.choices.len(),
        show::size(afforded.bytes),
        afforded.drop_before,
        afforded.drop
    ));
    if !taken.is_empty() {
        talk(&format!("  {}", taken.join(" ")));
    }
}
