//! How a command ends: exit codes, error messages, and the one message of a defect.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | success; also when the reader of stdout went away |
//! | 2 | the command was called wrongly |
//! | 3 | the model folder is broken, or not as it was written |
//! | 4 | an image, prompt or messages file is wrong |
//! | 5 | well-formed, but not supported |
//! | 6 | too little memory, context or budget |
//! | 7 | not a finite number |
//! | 70 | a defect of `mquant` |
//! | 74 | the operating system refused to read or write |
//! | 75 | another run holds the lock |
//! | 130, 143 | interrupted by SIGINT, SIGTERM |

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use mquant::Class;

use crate::failure::{CliError, Done, ErrorReport, Failure};
use crate::output::{Output, format_asked_for, talk};

/// Tells a failure that does not end the command.
pub(crate) fn complain(failure: &Failure) {
    tell(&failure.report());
}

fn tell(report: &ErrorReport) {
    talk(&format!("error: {} [{}]", report.message, report.code));
    if let Some(hint) = &report.hint {
        talk(&format!("hint: {hint}"));
    }
}

/// Prints an error on stderr, and with `--json` an object on stdout.
pub(crate) fn print_error(report: &ErrorReport, output: &Output) {
    tell(report);
    if output.is_json() {
        let _ = output.object("error/1", report);
    }
}

/// Prints a failure, and gives the exit code.
pub(crate) fn report(result: Result<Done, Failure>, output: &Output) -> ExitCode {
    match result {
        Ok(Done::Complete) => ExitCode::SUCCESS,
        Ok(Done::Differs) => ExitCode::from(Class::Model.exit_code()),
        Ok(Done::Interrupted { exit_code }) => ExitCode::from(exit_code),
        Err(failure) if failure.reader_left => ExitCode::SUCCESS,
        Err(failure) => {
            let report = failure.report();
            print_error(&report, output);
            ExitCode::from(report.exit_code)
        }
    }
}

/// What the newest panic said, and where it came from if `RUST_BACKTRACE` asks. The library contains panics of the decoders
/// it calls, so a panic alone is not yet worth a message.
static LAST_PANIC: Mutex<(String, Option<String>)> = Mutex::new((String::new(), None));

/// Runs the whole command; a panic that reaches this is one clear message and exit code 70.
pub(crate) fn catch_panics(f: impl FnOnce() -> ExitCode) -> ExitCode {
    panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let words = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
        let said: String = words.unwrap_or("a panic without words").chars().take(200).collect();
        let place = info.location().map_or_else(String::new, |at| {
            let file = at.file().rsplit('/').take(3).collect::<Vec<_>>();
            format!(" ({}:{})", file.into_iter().rev().collect::<Vec<_>>().join("/"), at.line())
        });
        let trace = Backtrace::capture();
        let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
        *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = (said + &place, trace);
    }));
    panic::catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| {
        let (said, trace) = LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let problem = format!("this is a bug in mquant {}: {said}", env!("CARGO_PKG_VERSION"));
        let report = Failure::new("go on", CliError::Defect { problem }).report();
        print_error(&report, &Output::new(format_asked_for()));
        if let Some(trace) = trace {
            talk(&trace);
        }
        ExitCode::from(report.exit_code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_exit_code_70_and_a_recorded_message() {
        let code = catch_panics(|| panic!("index {} is out of bounds", 7));
        assert_eq!(code, ExitCode::from(70));
        let said = LAST_PANIC.lock().unwrap().0.clone();
        assert!(said.starts_with("index 7 is out of bounds (") && said.contains("exit.rs:"), "{said}");
        let _ = panic::take_hook();
    }
}
