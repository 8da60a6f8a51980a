//! `mquant recipes`: the recipes that come with the program.

use clap::Args;
use mquant::bundle::InputFormat;
use mquant::nn::{SiteId, SiteKind, Tower};
use mquant::recipe::{PRESETS, Preset, Recipe, Target};
use serde::Serialize;

use crate::failure::{Doing, Done, Failure};
use crate::output::Output;

/// Arguments of `mquant recipes`.
#[derive(Args, Debug)]
#[command(after_help = "\
vision, projector, language and head are bits of weights, with the size of groups that share a scale;
input is how activations of the language model become codes. To change a recipe, print it into a
file and edit that.

Examples:
  mquant recipes
  mquant recipes mquant-w4a8 > mine.toml
  mquant recipes --json")]
pub(crate) struct RecipesArgs {
    /// Print this recipe
    name: Option<String>,
}

/// What is printed of all.
#[derive(Debug, Serialize)]
struct Listed {
    recipes: Vec<RecipeReport>,
}

#[derive(Debug, Serialize)]
struct RecipeReport {
    name: String,
    description: String,
    steps: usize,
    vision: PartReport,
    projector: PartReport,
    language: PartReport,
    head: PartReport,
}

/// How one part of a model is quantised.
#[derive(Debug, Serialize)]
struct PartReport {
    weight_bits: u32,
    group_size: Option<usize>,
    input: &'static str,
}

/// What is printed of one.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    recipe: RecipeReport,
    toml: &'static str,
}

pub(crate) fn run(args: &RecipesArgs, output: &Output) -> Result<Done, Failure> {
    match &args.name {
        Some(name) => show(name, output)?,
        None => list(output)?,
    }
    Ok(Done::Complete)
}

fn show(name: &str, output: &Output) -> Result<(), Failure> {
    let doing = "print the recipe";
    let recipe = Recipe::preset(name).doing(doing)?;
    let toml = PRESETS.iter().find(|preset| preset.name == recipe.name).map_or("", |preset| preset.toml);
    if !output.is_json() {
        return output.text(toml);
    }
    output.object("recipe/1", &Shown { recipe: RecipeReport::new(&recipe).doing(doing)?, toml })
}

fn list(output: &Output) -> Result<(), Failure> {
    let report = |preset: &Preset| Recipe::preset(preset.name).and_then(|recipe| RecipeReport::new(&recipe));
    let recipes: Vec<RecipeReport> = PRESETS.iter().map(report).collect::<Result<_, _>>().doing("read the recipes")?;
    if output.is_json() {
        return output.object("recipes/1", &Listed { recipes });
    }
    let rows = recipes.iter().map(|recipe| {
        let RecipeReport { name, description, vision, projector, language, head, .. } = recipe;
        let bits = [vision, projector, language, head].map(PartReport::bits);
        let mut row = vec![name.clone()];
        row.extend(bits);
        row.extend([language.input.to_owned(), description.clone()]);
        row
    });
    output.table_left(&["name", "vision", "projector", "language", "head", "input", "description"], rows.collect())
}

impl RecipeReport {
    /// What a recipe does to a model with a vision tower, a projector and a decoder.
    fn new(recipe: &Recipe) -> Result<Self, mquant::recipe::RecipeError> {
        let inner = |tower| SiteId::block(tower, 0, SiteKind::Qkv);
        let (vision, language) = (inner(Tower::Vision), inner(Tower::Language));
        let projector = SiteId::projector(Tower::Vision, SiteKind::Up);
        let blocks = [Tower::Vision, Tower::Language].map(|tower| {
            [SiteKind::Qkv, SiteKind::Out, SiteKind::Up, SiteKind::Down].map(|kind| SiteId::block(tower, 0, kind))
        });
        let ends =
            [SiteId::patch(Tower::Vision), projector, SiteId::projector(Tower::Vision, SiteKind::Down), SiteId::HEAD];
        let sites: Vec<SiteId> = blocks.into_iter().flatten().chain(ends).collect();
        let plan = recipe.check(&sites)?;
        let of = |site| PartReport::new(plan.site(site).map_or(Target::Float, |site| site.target));
        Ok(Self {
            name: recipe.name.clone(),
            description: recipe.description.clone(),
            steps: recipe.steps.len(),
            vision: of(vision),
            projector: of(projector),
            language: of(language),
            head: of(SiteId::HEAD),
        })
    }
}

impl PartReport {
    fn new(target: Target) -> Self {
        let group_size = match target {
            Target::Int { format, .. } => format.group,
            Target::Float => None,
        };
        let input = match target.input() {
            InputFormat::Float => "float",
            InputFormat::PerTensor => "per_tensor",
            InputFormat::PerModality => "per_modality",
            InputFormat::PerToken => "per_token",
            InputFormat::PerTokenSix => "per_token_6bit",
        };
        Self { weight_bits: target.bits(), group_size, input }
    }

    fn bits(&self) -> String {
        match self.group_size {
            Some(group) => format!("{} g{group}", self.weight_bits),
            None => self.weight_bits.to_string(),
        }
    }
}
