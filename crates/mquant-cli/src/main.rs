//! The `mquant` command: arguments enter, data leave on stdout, talk on stderr, and a documented exit code.

mod failure;
mod output;
mod exit;
mod globals;
mod progress;
mod recipe_arg;
mod report_page;
mod signals;
mod demo_model;
mod session;
mod media_args;
mod half_blocks;
mod sampling_args;
mod commands;
mod args;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == session::WORKER_ARGUMENT) {
        return mquant::input::chat_template::run_worker();
    }
    exit::catch_panics(|| {
        let cli = match args::parse() {
            Ok(cli) => cli,
            Err(done) => return done,
        };
        let output = output::Output::new(cli.globals.format());
        let done = signals::install().and_then(|()| cli.command.run(&cli.globals, &output));
        exit::report(done, &output)
    })
}
