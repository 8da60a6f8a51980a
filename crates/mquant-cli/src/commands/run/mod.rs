//! `mquant run`: answers one prompt, or chats.

mod answer;
mod chat;
mod report;
mod stats;

use std::io::{IsTerminal, Read, stdin};

use clap::Args;
use mquant::input::Message;
use mquant::input::chat_template::MAX_TEXT_BYTES;

use crate::failure::{CliError, Done, Failure};
use crate::globals::Globals;
use crate::media_args::MediaArgs;
use crate::output::Output;
use crate::sampling_args::SamplingArgs;
use crate::{session, signals};
use answer::Answerer;

/// Arguments of `mquant run`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mquant run --image photo.jpg --prompt 'What is this?'
  mquant run path/to/model --image a.png --image b.png --prompt 'What differs?' --temperature 0
  echo 'Name three colours.' | mquant run Qwen/Qwen2-VL-2B-Instruct --max-tokens 50 --json
  mquant run BUNDLE --image photo.jpg --prompt 'What is this?' --stats
  mquant run path/to/model --audio speech.wav --prompt 'What is said?'   # a model that hears
  mquant run                     # chat; /help lists what can be typed

The answer goes to stdout as it comes. Images, videos and sounds stand before the text of the first message, in the order given.")]
pub(crate) struct RunArgs {
    /// A model folder or Hub id (org/name or org/name@revision) [default: the bundled demo model]
    model: Option<String>,
    #[command(flatten)]
    media: MediaArgs,
    /// The question; without it, stdin is read, or a chat begins where stdin is a terminal
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// What the model is told before the question
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Say what share of each site's activation its static scale cut off: the conversation passes the model once more
    #[arg(long, requires = "prompt")]
    stats: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
}

/// Where the question comes from.
enum Question {
    Given(String),
    Chat,
}

pub(crate) fn run(args: &RunArgs, globals: &Globals, output: &Output) -> Result<Done, Failure> {
    args.sampling.check()?;
    args.media.check()?;
    let question = question(args, output)?;
    let opened = session::open(args.model.as_deref(), globals)?;
    let mut answerer = Answerer::new(opened, &args.sampling, globals)?;
    let history: Vec<Message> = args.system.iter().map(|text| Message::plain("system", text)).collect();
    match question {
        Question::Chat => chat::chat(&mut answerer, history, args.media.media.clone(), output),
        Question::Given(text) => {
            let messages = [history, vec![args.media.message(text)]].concat();
            let answer = answerer.answer(&messages, output)?;
            let stats = args.stats.then(|| stats::of(&answerer, &messages, &answer)).transpose()?;
            if output.is_json() {
                output.object("run/1", &report::object(&answerer, &answer, stats))?;
            } else {
                report::summary(&answer);
                stats.iter().for_each(|stats| stats::talk(stats));
            }
            Ok(signals::interrupted())
        }
    }
}

fn question(args: &RunArgs, output: &Output) -> Result<Question, Failure> {
    let text = match &args.prompt {
        Some(text) => text.clone(),
        None if !stdin().is_terminal() => read_stdin()?,
        None if output.is_json() => {
            let expected = "--prompt, or a question on stdin".to_owned();
            let error = CliError::Argument { argument: "--json", found: "given for a chat".to_owned(), expected };
            return Err(Failure::new("begin", error));
        }
        None => return Ok(Question::Chat),
    };
    if text.is_empty() && args.media.media.is_empty() {
        return Err(Failure::new("read the prompt", CliError::EmptyPrompt));
    }
    Ok(Question::Given(text))
}

/// All of stdin, without the line end that `echo` leaves.
fn read_stdin() -> Result<String, Failure> {
    let file = || "stdin".to_owned();
    let failed = |error| Failure::new("read the prompt", error);
    let mut bytes = Vec::new();
    let limit = MAX_TEXT_BYTES as u64;
    let read = stdin().lock().take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|source| failed(CliError::Read { file: file(), source }))?;
    if bytes.len() as u64 > limit {
        return Err(failed(CliError::TooLong { file: file(), limit }));
    }
    let text = String::from_utf8(bytes)
        .map_err(|e| failed(CliError::NotText { file: file(), at: e.utf8_error().valid_up_to() }))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |rest| rest.strip_suffix('\r').unwrap_or(rest));
    Ok(text.to_owned())
}
