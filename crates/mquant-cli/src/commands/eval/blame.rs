//! `mquant eval --blame`: which sites cost the accuracy, and the lines of a recipe that would mend it.

use std::path::Path;

use mquant::bundle::Manifest;
use mquant::disk::RealDisk;
use mquant::evaluate::{Answerer, Blame, EVALUATION, Exam, GroupCost, Referenced, Remedy, ResultFolder, Suspect};
use mquant::pipeline::PipelineError;
use mquant::recipe::Recipe;

use super::{EvalArgs, open};
use crate::failure::{CliError, Doing, Done, Failure};
use crate::globals::Globals;
use crate::output::{Output, talk};
use crate::progress::Progress;
use crate::report_page;
use crate::session::{self, Opened};
use crate::signals::{self, Hold};

/// Where it is kept.
const FILE: &str = "blame.json";
/// Characters of the whole divergence.
const BAR: usize = 20;

pub(super) fn run(
    args: &EvalArgs,
    exams: &[Exam<'_>],
    [quantised, float]: [&Opened; 2],
    globals: &Globals,
    output: &Output,
) -> Result<Done, Failure> {
    let doing = "find what costs the accuracy";
    let recipe = recipe_of(quantised)?;
    exams.iter().try_for_each(|exam| exam.check_senses(&float.loaded)).doing(doing)?;
    let engine = session::engine(&float.loaded, globals)?;
    let referenced =
        referenced(args, exams, &Answerer { loaded: &float.loaded, engine: &engine, max_tokens: 1, batch: 1 });
    if referenced.is_empty() {
        let found = "benchmarks without reference answers".to_owned();
        let expected = "at least one question with an answer".to_owned();
        return Err(CliError::Argument { argument: "--bench", found, expected }).doing(doing);
    }
    drop(engine);
    let options = session::options(globals)?;
    let suspect = Suspect { float: &float.loaded, quantised: &quantised.loaded, recipe: &recipe, engine: options };
    let hold = Hold::new();
    let progress = Progress::bar("giving sites their floats back", 1);
    let found = suspect.blame(&referenced, &mut |done, of| {
        progress.set_of(done as u64, of as u64);
        session::go_on()
    });
    drop((progress, hold));
    let Some(blame) = found.doing(doing)? else { return Ok(signals::interrupted()) };
    if let Some(path) = &args.output {
        keep(&blame, path, exams, [quantised, float], globals)?;
    }
    if output.is_json() {
        output.object("blame/1", &blame)?;
    } else {
        print(&blame, output)?;
    }
    Ok(signals::interrupted())
}

/// Writes it beside the evaluation of the same models, if there is one, whose page then shows it.
fn keep(
    blame: &Blame,
    path: &Path,
    exams: &[Exam<'_>],
    [quantised, float]: [&Opened; 2],
    globals: &Globals,
) -> Result<(), Failure> {
    let doing = "write what was found";
    let settings = open::settings(exams, [Some(&open::record(quantised)?), Some(&open::record(float)?)], globals)?;
    let folder = ResultFolder::open(&RealDisk::shared(), path, &settings).doing(doing)?;
    let mut object = serde_json::json!({"schema": "mquant.blame/1"});
    if let (Some(object), serde_json::Value::Object(found)) = (object.as_object_mut(), serde_json::json!(blame)) {
        object.extend(found);
    }
    folder.write(FILE, object.to_string().as_bytes()).doing(doing)?;
    if path.join(EVALUATION).is_file() {
        let written = report_page::write([path, quantised.loaded.checkpoint.dir()], Some(path))?;
        talk(&format!("report: {}", written.page.display()));
    }
    Ok(())
}

/// What a bundle was made by.
fn recipe_of(quantised: &Opened) -> Result<Recipe, Failure> {
    let doing = "read the bundle";
    let dir = quantised.loaded.checkpoint.dir();
    let manifest = Manifest::read(&*RealDisk::shared(), dir).doing(doing)?;
    let text = manifest.as_ref().and_then(|manifest| manifest.provenance.get("recipe")?.as_str());
    match text {
        Some(text) => Recipe::parse(text, "mquant.json").doing(doing),
        None => Err(PipelineError::NoRecipe { model: quantised.name.clone() }).doing(doing),
    }
}

/// Reference answers, as many of each benchmark.
fn referenced(args: &EvalArgs, exams: &[Exam<'_>], who: &Answerer<'_>) -> Vec<Referenced> {
    let (all, files) = (args.blame_samples.get(), exams.len().max(1));
    let of = |(i, exam): (usize, &Exam<'_>)| {
        let each = (all / files + usize::from(i < all % files)).max(1);
        let questions = exam.questions().len();
        let step = (questions / each).max(1);
        let found = (0..questions).step_by(step).filter_map(|doc_id| exam.referenced(who, doc_id));
        found.take(each).collect::<Vec<_>>()
    };
    exams.iter().enumerate().flat_map(of).collect()
}

fn print(blame: &Blame, output: &Output) -> Result<(), Failure> {
    output.text(&format!(
        "{} tokens of {} reference answers: {:.4} nats a token from the float model, {:.2} % the same top 1\n\n",
        blame.tokens,
        blame.samples,
        blame.kl,
        100.0 * blame.top1_agreement
    ))?;
    table("given back its floats", &blame.towers, output)?;
    output.text("\n")?;
    table("", &blame.kinds, output)?;
    if !blame.blocks.is_empty() {
        output.text("\n")?;
        table("", &blame.blocks, output)?;
    }
    let Some(worst) = blame.kinds.first() else { return Ok(()) };
    output.text("\n")?;
    let row = |remedy: &Remedy| {
        let bytes = format!("+{:.2} MB", remedy.bytes as f64 / 1e6);
        vec![remedy.change.to_string(), format!("{:.4}", remedy.kl), bytes]
    };
    let headings = [format!("{}: instead", worst.pattern), "KL (nats)".to_owned(), "bytes".to_owned()];
    output.table(&[&headings[0], &headings[1], &headings[2]], blame.remedies.iter().map(row).collect())?;
    output.text(&match &blame.advice {
        Some(step) => format!("\nadd this step at the end of the recipe (--json has the whole of it):\n\n{step}"),
        None => "\nnothing to mend there: little is lost, or no single change gives it back\n".to_owned(),
    })
}

fn table(heading: &str, costs: &[GroupCost], output: &Output) -> Result<(), Failure> {
    let row = |cost: &GroupCost| {
        // As wide as the longest, so that bars begin below one another in a column that is aligned right.
        let bar = format!("{:<BAR$}", "#".repeat((BAR as f64 * cost.share.clamp(0.0, 1.0)).round() as usize));
        vec![
            cost.pattern.clone(),
            cost.sites.to_string(),
            format!("{:.4}", cost.kl),
            format!("{:+.1} %", -100.0 * cost.share),
            format!("{:.2} %", 100.0 * cost.top1_agreement),
            bar,
        ]
    };
    let heading = if heading.is_empty() { "sites" } else { heading };
    output.table(&[heading, "sites", "KL (nats)", "change", "same top 1", ""], costs.iter().map(row).collect())
}
