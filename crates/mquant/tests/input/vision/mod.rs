//! Resampling, sizes, patches and processor configuration against the reference.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod picture;
mod processor;
mod resize;
