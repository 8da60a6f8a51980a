//! The built command from outside: arguments in; stdout, stderr and exit code out.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod command;
mod help;
mod errors;
mod run;
mod inspect;
mod kernels;
mod recipes;
mod logits;
mod verify;
mod report;
mod eval;
mod quantize;
mod quantize_stops;
mod signals;
