//! `--image`, `--video` and `--audio`, in the order they stand on the command line.

use std::fs::File;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use mquant::input::{Content, FrameRate, MediaSource, Message, Video};

use crate::failure::{CliError, Failure};

/// Media of the first message.
#[derive(Clone, Debug, Default)]
pub(crate) struct MediaArgs {
    /// Images, videos and sounds as they were given.
    pub(crate) media: Vec<Content>,
}

impl MediaArgs {
    /// Whether every file can be opened, for a word before a model is loaded.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.media.iter().try_for_each(check_opens)
    }

    /// One message of the user: media first, then text.
    pub(crate) fn message(&self, text: String) -> Message {
        user_message(self.media.clone(), text)
    }
}

/// Whether a medium's file can be opened.
pub(crate) fn check_opens(content: &Content) -> Result<(), Failure> {
    let source = match content {
        Content::Image(source) | Content::Video(Video { source, .. }) | Content::Audio(source) => source,
        Content::Text(_) => return Ok(()),
    };
    let MediaSource::Path(path) = source else { return Ok(()) };
    let failed = |source| CliError::Read { file: path.display().to_string(), source };
    File::open(path).map(drop).map_err(|e| Failure::new("read the media", failed(e)))
}

/// One message of the user: media first, then text.
pub(crate) fn user_message(mut media: Vec<Content>, text: String) -> Message {
    if media.is_empty() {
        return Message::plain("user", text);
    }
    if !text.is_empty() {
        media.push(Content::Text(text));
    }
    Message::parts("user", media)
}

fn frame_rate(text: &str) -> Result<FrameRate, String> {
    let rate = text.parse().ok().and_then(FrameRate::new);
    rate.ok_or_else(|| format!("expected a number above 0 and at most {}", FrameRate::MAX))
}

impl Args for MediaArgs {
    fn augment_args(command: Command) -> Command {
        let argument = |name: &'static str| {
            let path = Arg::new(name).long(name).value_parser(value_parser!(PathBuf));
            path.value_name("FILE").action(ArgAction::Append)
        };
        let fps = Arg::new("fps").long("fps").value_name("N").value_parser(frame_rate).requires("video");
        let fps = fps.help("Frames a second of the videos, for models that place frames by time [default: 24]");
        command
            .arg(fps)
            .arg(argument("image").help("An image (PNG, JPEG, WebP, GIF, BMP); may be given more than once"))
            .arg(
                argument("video")
                    .help("A video: a folder of frames, or an animated GIF or WebP; may be given more than once"),
            )
            .arg(argument("audio").help(
                "A sound (WAV, FLAC, MP3, OGG/Vorbis, M4A, AAC) for models that hear; may be given more than once",
            ))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for MediaArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let fps = matches.get_one::<FrameRate>("fps").copied();
        let given = |name: &str, content: &dyn Fn(MediaSource) -> Content| {
            let indices = matches.indices_of(name).into_iter().flatten();
            let paths = matches.get_many::<PathBuf>(name).into_iter().flatten();
            let placed = indices.zip(paths.cloned());
            placed.map(|(at, path)| (at, content(MediaSource::Path(path)))).collect::<Vec<_>>()
        };
        let mut all = given("image", &Content::Image);
        all.extend(given("video", &|source| Content::Video(Video { source, fps, audio: None })));
        all.extend(given("audio", &Content::Audio));
        all.sort_by_key(|(at, _)| *at);
        Ok(Self { media: all.into_iter().map(|(_, content)| content).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_the_command_line() {
        let command = MediaArgs::augment_args(Command::new("test"));
        let matches = command.get_matches_from([
            "test",
            "--video",
            "a",
            "--image",
            "b",
            "--audio",
            "e",
            "--video=c",
            "--image",
            "d",
            "--audio=f",
        ]);
        let path = |name: &str| MediaSource::Path(name.into());
        let expected = [
            Content::Video(path("a").into()),
            Content::Image(path("b")),
            Content::Audio(path("e")),
            Content::Video(path("c").into()),
            Content::Image(path("d")),
            Content::Audio(path("f")),
        ];
        assert_eq!(MediaArgs::from_arg_matches(&matches).unwrap().media, expected);
    }

    #[test]
    fn a_rate_is_that_of_every_video() {
        let command = MediaArgs::augment_args(Command::new("test"));
        let matches = command.clone().get_matches_from(["test", "--video", "a", "--fps", "2.5", "--video=b"]);
        let fps = FrameRate::new(2.5);
        let video = |name: &str| Content::Video(Video { source: MediaSource::Path(name.into()), fps, audio: None });
        assert_eq!(MediaArgs::from_arg_matches(&matches).unwrap().media, [video("a"), video("b")]);
        for refused in [&["--fps", "2"][..], &["--video", "a", "--fps", "0"], &["--video", "a", "--fps", "nan"]] {
            assert!(command.clone().try_get_matches_from([&["test"], refused].concat()).is_err(), "{refused:?}");
        }
    }
}
