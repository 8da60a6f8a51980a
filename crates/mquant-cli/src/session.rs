//! A model opened as the command line asks.

use std::env;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use mquant::bundle::{PackedCache, PackedCacheUse};
use mquant::input::Isolation;
use mquant::input::vision_processor::PixelBounds;
use mquant::kernels::Threads;
use mquant::run::{Engine, EngineOptions, LoadOptions, LoadedModel, RunError};

use crate::demo_model;
use crate::failure::{CliError, Doing, Done, Failure};
use crate::globals::Globals;
use crate::output::talk;
use crate::progress::Progress;
use crate::signals;

/// The first argument of a process that renders a chat template and nothing else.
pub(crate) const WORKER_ARGUMENT: &str = "__render-chat-template";

/// A model in memory.
#[derive(Debug)]
pub(crate) struct Opened {
    /// As it was named, or the demo model's folder.
    pub(crate) name: String,
    pub(crate) loaded: LoadedModel,
    pub(crate) load_time: Duration,
}

/// Opens a folder or Hub id; without one, the bundled demo model.
pub(crate) fn open(model: Option<&str>, globals: &Globals) -> Result<Opened, Failure> {
    // A wrong level should be told before weights are touched.
    globals.cpu()?;
    let name = match model {
        Some(name) => name.to_owned(),
        None => demo_model::folder()?.to_string_lossy().into_owned(),
    };
    let options = load_options(globals)?;
    let started = Instant::now();
    let progress = Progress::spinner("loading the model");
    let loaded = LoadedModel::open(&name, &options).doing("load the model")?;
    drop(progress);
    if let PackedCacheUse::NotWritten { reason } = &loaded.packed_cache {
        talk(&format!(
            "note: the packed weights could not be kept beside the bundle ({reason}); every start packs them anew"
        ));
    }
    Ok(Opened { name, loaded, load_time: started.elapsed() })
}

/// How the command line asks to load.
pub(crate) fn load_options(globals: &Globals) -> Result<LoadOptions, Failure> {
    let program = env::current_exe()
        .map_err(|source| Failure::new("start", CliError::System { what: "the path of this program", source }))?;
    Ok(LoadOptions {
        isolation: Isolation::Worker { program, arguments: vec![WORKER_ARGUMENT.to_owned()] },
        pixels: pixels(globals),
        packed_cache: PackedCache::Enabled,
    })
}

/// Bounds on pictures that the command line asks for.
pub(crate) fn pixels(globals: &Globals) -> PixelBounds {
    PixelBounds { min: globals.min_pixels, max: globals.max_pixels }
}

/// How the command line asks to compute.
pub(crate) fn options(globals: &Globals) -> Result<EngineOptions, Failure> {
    Ok(EngineOptions {
        threads: globals.threads.map_or(0, usize::from),
        context: globals.context.map(usize::from),
        cpu: globals.cpu()?,
        row_order: globals.row_order,
        ..EngineOptions::default()
    })
}

/// The threads to compute it with.
pub(crate) fn engine(loaded: &LoadedModel, globals: &Globals) -> Result<Engine, Failure> {
    Engine::new(loaded, options(globals)?).doing("prepare to compute")
}

/// Whether long work is to go on: not after a signal.
pub(crate) fn go_on() -> ControlFlow<()> {
    if signals::interrupted() == Done::Complete { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// Threads without a model.
pub(crate) fn threads(globals: &Globals) -> Result<Threads, Failure> {
    let count = globals.threads.map_or(0, usize::from);
    let threads = Threads::new(count).map_err(|e| RunError::Threads { count, reason: e.to_string() });
    threads.doing("prepare to compute")
}
