//! Models quantised from end to end: what leaves, whatever enters, stops or breaks on the way.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at what it did not expect, and tells figures"
)]

mod folder;
mod job;
mod making;
mod presets;
mod transforms;
mod same_bytes;
mod resume;
mod degenerate;
mod modalities;
mod not_finite;
mod site_reports;
