//! `mquant inspect`: towers, sites, parameters and bytes of a model, and what images would cost.

mod anatomy;
mod show;

use clap::Args;
use mquant::input::MediaKind;
use mquant::run::LoadedModel;
use serde::Serialize;

use crate::failure::{Doing, Done, Failure};
use crate::globals::Globals;
use crate::output::Output;
use crate::sampling_args::end_tokens;
use crate::session;
use anatomy::{Component, SiteRow, TowerRow};

/// Arguments of `mquant inspect`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mquant inspect                                  # the bundled demo model
  mquant inspect path/to/model --image 1920x1080 --max-pixels 1003520
  mquant inspect Qwen/Qwen2-VL-2B-Instruct --json

Equal blocks are shown as one line; --json lists every site.")]
pub(crate) struct InspectArgs {
    /// A model folder or Hub id (org/name or org/name@revision) [default: the bundled demo model]
    model: Option<String>,
    /// A size whose tokens to count; may be given more than once
    #[arg(long, value_name = "WxH", value_parser = size,
          default_values = ["224x224", "448x448", "1024x768", "1920x1080"])]
    image: Vec<Size>,
}

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    width: u32,
    height: u32,
}

fn size(text: &str) -> Result<Size, String> {
    let sides = text.split_once(['x', 'X']).and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let (width, height) =
        sides.filter(|(w, h)| *w > 0 && *h > 0).ok_or("expected a width and a height such as 448x448")?;
    Ok(Size { width, height })
}

/// `mquant.inspect/1`.
#[derive(Debug, Serialize)]
struct Inspection {
    model: String,
    family: String,
    context: usize,
    vocabulary: usize,
    /// Whether the head reads the token embedding.
    head_tied: bool,
    parameters: u64,
    /// In memory.
    weights_bytes: u64,
    /// As stored, of all tensors of the folder.
    stored_bytes: u64,
    tensors: usize,
    files: usize,
    /// Parts of the folder that are not run.
    unused: Vec<UnusedRow>,
    components: Vec<Component>,
    towers: Vec<TowerRow>,
    sites: Vec<SiteRow>,
    chat_template: TemplateRow,
    tokenizer: TokenizerRow,
    end_tokens: Vec<u32>,
    images: Vec<ImageRow>,
    load_s: f64,
}

#[derive(Debug, Serialize)]
struct TemplateRow {
    file: String,
    source_bytes: usize,
}

#[derive(Debug, Serialize)]
struct TokenizerRow {
    tokens: usize,
}

/// Tensors of a part that is not run.
#[derive(Debug, Serialize)]
struct UnusedRow {
    /// The beginning of their names.
    prefix: &'static str,
    tensors: usize,
    /// As stored.
    stored_bytes: u64,
}

/// What an image costs.
#[derive(Debug, Serialize)]
struct ImageRow {
    width: u32,
    height: u32,
    /// Patches in time, rows, columns.
    grid: [usize; 3],
    patches: usize,
    tokens: usize,
}

pub(crate) fn run(args: &InspectArgs, globals: &Globals, output: &Output) -> Result<Done, Failure> {
    let opened = session::open(args.model.as_deref(), globals)?;
    let loaded = &opened.loaded;
    let images = args.image.iter().map(|size| image(loaded, *size)).collect::<Result<Vec<_>, _>>()?;
    let anatomy = anatomy::of(&loaded.model);
    let entries = loaded.checkpoint.entries();
    let mut files: Vec<&str> = entries.iter().map(|tensor| &*tensor.file).collect();
    files.sort_unstable();
    files.dedup();
    let inspection = Inspection {
        model: opened.name.clone(),
        family: loaded.checkpoint.config().string("model_type").doing("inspect the model")?.to_owned(),
        context: loaded.blueprint.context(),
        vocabulary: loaded.blueprint.vocabulary(),
        head_tied: anatomy.head_tied,
        parameters: anatomy.components.iter().map(|c| c.parameters).sum(),
        weights_bytes: anatomy.components.iter().map(|c| c.weights_bytes).sum(),
        stored_bytes: entries.iter().map(|tensor| tensor.bytes.as_ref().len() as u64).sum(),
        tensors: entries.len(),
        files: files.len(),
        unused: unused(loaded),
        components: anatomy.components,
        towers: anatomy.towers,
        sites: anatomy.sites,
        chat_template: TemplateRow {
            file: loaded.template.file().to_owned(),
            source_bytes: loaded.template.source().len(),
        },
        tokenizer: TokenizerRow { tokens: loaded.tokenizer.vocabulary() },
        end_tokens: end_tokens(loaded)?,
        images,
        load_s: opened.load_time.as_secs_f64(),
    };
    if output.is_json() {
        output.object("inspect/1", &inspection)?
    } else {
        show::show(&inspection, output)?
    }
    Ok(Done::Complete)
}

fn unused(loaded: &LoadedModel) -> Vec<UnusedRow> {
    let row = |prefix: &&'static str| {
        let own = loaded.checkpoint.entries().iter().filter(|tensor| tensor.name.starts_with(prefix));
        let stored_bytes = own.clone().map(|tensor| tensor.bytes.as_ref().len() as u64).sum();
        UnusedRow { prefix, tensors: own.count(), stored_bytes }
    };
    let rows = loaded.blueprint.naming().unused.iter().map(row);
    rows.filter(|row| row.tensors > 0).collect()
}

fn image(loaded: &LoadedModel, size: Size) -> Result<ImageRow, Failure> {
    let Size { width, height } = size;
    let grid = loaded.processor.image_grid(width, height).doing(format!("count the tokens of {width}x{height}"))?;
    let tokens = loaded.layout.tokens(MediaKind::Image, grid);
    Ok(ImageRow { width, height, grid: [grid.t, grid.h, grid.w], patches: grid.patches(), tokens })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_sides() {
        assert_eq!(size("640x480"), Ok(Size { width: 640, height: 480 }));
        for wrong in ["", "640", "640x", "x480", "0x480", "640x-1", "640x480x3", "1e3x5", "99999999999x1"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
