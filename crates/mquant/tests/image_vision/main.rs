//! Resampling, sizes, patches and processor configuration against the reference.

mod picture;
mod processor;
mod resize;
