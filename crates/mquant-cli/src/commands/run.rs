//! `mquant run`: answers one prompt, or chats.

use clap::Args;

use crate::args::Globals;
use crate::exit::{Done, Failure};
use crate::media_args::MediaArgs;
use crate::output::Output;
use crate::session;

/// Arguments of `mquant run`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mquant run --image photo.jpg --prompt 'What is this?'
  mquant run path/to/model --image a.png --image b.png --prompt 'What differs?' --temperature 0
  echo 'Name three colours.' | mquant run Qwen/Qwen2-VL-2B-Instruct --max-tokens 50 --json
  mquant run                     # chat; /help lists what can be typed")]
pub(crate) struct RunArgs {
    /// A model folder or Hub id (org/name[@revision]) [default: the bundled demo model]
    model: Option<String>,
    #[command(flatten)]
    media: MediaArgs,
    /// The question; without it, stdin, or a chat where stdin is a terminal
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
}

pub(crate) fn run(args: &RunArgs, globals: &Globals, output: &Output) -> Result<Done, Failure> {
    let opened = session::open(args.model.as_deref(), globals)?;
    let engine = session::engine(&opened.loaded, globals)?;
    output.text(&format!("{} {:?} {:?} {}\n", opened.name, args.media, args.prompt, engine.context()))?;
    Ok(Done::Complete)
}
