//! `--image` and `--video`, in the order they stand on the command line.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use mquant::input::{Content, MediaSource};
use std::path::PathBuf;

/// Media of the first message.
#[derive(Clone, Debug, Default)]
pub(crate) struct MediaArgs {
    /// Images and videos as they were given.
    pub(crate) media: Vec<Content>,
}

impl Args for MediaArgs {
    fn augment_args(command: Command) -> Command {
        let argument = |name: &'static str| {
            let path = Arg::new(name).long(name).value_parser(value_parser!(PathBuf));
            path.value_name("FILE").action(ArgAction::Append)
        };
        command.arg(argument("image").help("An image (PNG, JPEG, WebP, GIF, BMP); may be given more than once")).arg(
            argument("video")
                .help("A video: a folder of frames, or an animated GIF or WebP; may be given more than once"),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for MediaArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |name: &str, content: fn(MediaSource) -> Content| {
            let indices = matches.indices_of(name).into_iter().flatten();
            let paths = matches.get_many::<PathBuf>(name).into_iter().flatten();
            let placed = indices.zip(paths.cloned());
            placed.map(|(at, path)| (at, content(MediaSource::Path(path)))).collect::<Vec<_>>()
        };
        let mut all = given("image", Content::Image);
        all.extend(given("video", Content::Video));
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
        let matches = command.get_matches_from(["test", "--video", "a", "--image", "b", "--video=c", "--image", "d"]);
        let path = |name: &str| MediaSource::Path(name.into());
        let expected = [
            Content::Video(path("a")),
            Content::Image(path("b")),
            Content::Video(path("c")),
            Content::Image(path("d")),
        ];
        assert_eq!(MediaArgs::from_arg_matches(&matches).unwrap().media, expected);
    }
}
