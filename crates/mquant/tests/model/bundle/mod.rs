//! Bundles of the golden models: what is written reads back, what is broken is refused, what is kept is used.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folder;
mod format_1;
mod format_2;
mod kept_panels;
mod refusals;
mod round_trip;
mod site_product;
mod transformed;
mod writer;
