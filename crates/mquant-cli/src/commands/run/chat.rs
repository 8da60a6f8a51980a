//! A conversation at the terminal. Lines beginning with `/` are for the program, everything else for the model.

use std::path::PathBuf;

use mquant::input::{Content, MediaSource, Message};
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Behavior, Config, Editor};

use super::answer::Answerer;
use super::report;
use crate::exit::complain;
use crate::failure::{CliError, Done, Failure};
use crate::media_args::{check_opens, user_message};
use crate::output::{Output, talk};
use crate::signals;

const HELP: &str = "\
/image FILE   add an image to the next message
/video FILE   add a video (a folder of frames, an animated GIF or WebP)
/audio FILE   add a sound (WAV, FLAC, MP3, OGG/Vorbis, M4A, AAC)
/clear        forget the conversation
/exit         leave (also Ctrl-D)
/help         this list";

/// A line as it is meant.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Say(String),
    Add(Content),
    Clear,
    Exit,
    Help,
    Nothing,
    Unknown(String),
}

/// Talks until the user leaves.
pub(super) fn chat(
    answerer: &mut Answerer,
    system: Vec<Message>,
    mut pending: Vec<Content>,
    output: &Output,
) -> Result<Done, Failure> {
    // The prompt goes to the terminal itself: stdout holds answers and nothing else.
    let config = Config::builder().behavior(Behavior::PreferTerm).build();
    let mut editor: Editor<(), MemHistory> =
        Editor::with_history(config, MemHistory::new()).map_err(|e| terminal_failed(&e))?;
    talk("Type a message; /help lists the commands.");
    let mut messages = system.clone();
    loop {
        let line = match editor.readline("> ") {
            Ok(line) => line,
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => return Ok(Done::Complete),
            Err(e) => return Err(terminal_failed(&e)),
        };
        // A line that cannot be recalled later is no reason to stop.
        let _ = editor.add_history_entry(line.as_str());
        match read(&line) {
            Line::Nothing => {}
            Line::Exit => return Ok(Done::Complete),
            Line::Help => talk(HELP),
            Line::Unknown(command) => talk(&format!("there is no {command}; /help lists the commands")),
            Line::Clear => {
                messages.clone_from(&system);
                pending.clear();
                answerer.forget();
            }
            Line::Add(content) => match check_opens(&content) {
                Ok(()) => pending.push(content),
                Err(failure) => complain(&failure),
            },
            Line::Say(text) => {
                messages.push(user_message(std::mem::take(&mut pending), text));
                match answerer.answer(&messages, output) {
                    Ok(answer) => {
                        report::summary(&answer);
                        messages.push(Message::plain("assistant", answer.generated.text));
                    }
                    Err(failure) if failure.is_of_stdout() => return Err(failure),
                    Err(failure) => {
                        complain(&failure);
                        messages.pop();
                    }
                }
                if let done @ Done::Interrupted { .. } = signals::interrupted() {
                    return Ok(done);
                }
            }
        }
    }
}

fn read(line: &str) -> Line {
    let line = line.trim();
    let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let source = || MediaSource::Path(PathBuf::from(rest.trim()));
    match command {
        "" => Line::Nothing,
        "/exit" | "/quit" => Line::Exit,
        "/help" => Line::Help,
        "/clear" => Line::Clear,
        "/image" => Line::Add(Content::Image(source())),
        "/video" => Line::Add(Content::Video(source().into())),
        "/audio" => Line::Add(Content::Audio(source())),
        _ if command.starts_with('/') => Line::Unknown(command.chars().take(40).collect()),
        _ => Line::Say(line.to_owned()),
    }
}

fn terminal_failed(e: &ReadlineError) -> Failure {
    let source = std::io::Error::other(e.to_string());
    Failure::new("read the terminal", CliError::System { what: "a line from the terminal", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_meant() {
        assert_eq!(read("  What is 1/2? "), Line::Say("What is 1/2?".to_owned()));
        assert_eq!(read(" "), Line::Nothing);
        assert_eq!(read("/exit"), Line::Exit);
        assert_eq!(read("/imagine"), Line::Unknown("/imagine".to_owned()));
        let path = MediaSource::Path("a photo.png".into());
        assert_eq!(read("/image  a photo.png "), Line::Add(Content::Image(path.clone())));
        assert_eq!(read("/audio a photo.png"), Line::Add(Content::Audio(path.clone())));
        assert_eq!(read("/video a photo.png"), Line::Add(Content::Video(path.into())));
    }
}
