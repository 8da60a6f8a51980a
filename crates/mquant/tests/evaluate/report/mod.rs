//! The report: what is gathered from folders, what the page says, and what strangers cannot make it do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod made;
mod hostile;
mod page;
mod sizes;
mod sources;
mod text;
