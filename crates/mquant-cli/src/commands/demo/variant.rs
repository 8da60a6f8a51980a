//! A model quantised for the moment.

use std::path::PathBuf;
use std::time::Instant;

use mquant::bundle::PackedCache;
use mquant::calibrate::samples::{self, DataSource, Request, Visual};
use mquant::disk::RealDisk;
use mquant::pipeline::{self, Outcome, QuantizeOptions};
use mquant::recipe::Recipe;
use mquant::run::{LoadOptions, LoadedModel};

use crate::failure::{CliError, Doing, Failure};
use crate::globals::Globals;
use crate::session;

/// A quantised model in memory.
pub(super) struct Quantized {
    pub(super) loaded: LoadedModel,
    /// How long quantising took.
    pub(super) seconds: f64,
    // The bundle is mapped as long as the model lives.
    _folder: tempfile::TempDir,
}

/// The model, quantised into a temporary folder; None if it was interrupted.
pub(super) fn quantize(
    float: &LoadedModel,
    recipe: &Recipe,
    calibration: &[PathBuf],
    globals: &Globals,
) -> Result<Option<Quantized>, Failure> {
    let doing = format!("quantise the demo model with {}", recipe.name);
    let folder = tempfile::tempdir().map_err(|source| CliError::System { what: "a temporary folder", source });
    let folder = folder.doing(&doing)?;
    let output = folder.path().join(&recipe.name);
    let started = Instant::now();
    let sources = calibration.iter().map(|path| DataSource::at(path, None)).collect::<Result<Vec<_>, _>>();
    let count = recipe.calibration.samples;
    let request = Request { sources: sources.doing(&doing)?, count, visual: Visual::Needed };
    let gathered = samples::gather(&request).doing(&doing)?;
    let options = QuantizeOptions {
        recipe,
        samples: &gathered,
        output: &output,
        engine: session::options(globals)?,
        pixels: session::pixels(globals),
        provenance: serde_json::Value::Null,
    };
    let outcome = pipeline::quantize(float, &options, &RealDisk::shared(), &mut |_| session::go_on());
    if let Outcome::Interrupted = outcome.doing(&doing)? {
        return Ok(None);
    }
    let seconds = started.elapsed().as_secs_f64();
    let load = LoadOptions { packed_cache: PackedCache::Disabled, ..session::load_options(globals)? };
    let loaded = LoadedModel::open(&output.to_string_lossy(), &load).doing(&doing)?;
    Ok(Some(Quantized { loaded, seconds, _folder: folder }))
}
