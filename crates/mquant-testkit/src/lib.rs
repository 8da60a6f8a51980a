//! Goldens and law suites for the tests of mquant. A test crate: it panics with what it found.
//!
//! A family is proven by running every law on its golden folders: see `crates/mquant/tests/laws`.

pub mod bare;
pub mod bundle;
pub mod golden;
pub mod laws;
pub mod sites;
