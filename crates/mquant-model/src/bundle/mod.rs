//! A quantised model on disk, and how it comes into memory. `docs/format.md` describes the format for other programs.
//!
//! Enters: a checkpoint whose configuration has a `quantization_config`, and the tensors a family asks for. Leaves:
//! [`Weights`], from which the family builds its parts in the same lines as from a float checkpoint. The other way round, a
//! [`BundleWriter`] takes integer and float weights in the family's order and leaves a folder.
//!
//! Invariants: a bundle holds canonical codes and does not depend on the CPU that made or runs it. What is written reads back
//! as the same bits. [`Weights`] that were opened have codes, scales and input scales the kernels accept: building parts from
//! them cannot fail. Panels kept beside a bundle are a cache: without them, or with damaged ones, the model is the same.

mod canonical;
mod config;
mod error;
mod int_format;
mod json_layout;
mod manifest;
mod packed_cache;
mod site_quant;
mod small_files;
mod specs;
mod verify;
mod weights;
mod write;

pub use config::Quantization;
pub use error::BundleError;
pub use int_format::IntFormat;
pub use manifest::{FileHash, Fingerprint, MANIFEST, Manifest, ManifestError, hex};
pub use packed_cache::{PackedCache, PackedCacheUse};
pub use site_quant::{InputFormat, NormFormat, SiteQuant, WeightFormat};
pub use small_files::{SmallFile, small_files};
pub use specs::{
    bias_name, gain_name, input_scale_name, low_rank_a_name, low_rank_b_name, side_input_scale_name, side_weight_name,
};
pub use verify::{FileReport, FileState, Report, verify};
pub use weights::{NormShape, Weights};
pub use write::{BundleTarget, BundleWriteError, BundleWriter, FloatFormat, StaticScales};

/// The newest version of the format; every older one is read too.
pub const FORMAT_VERSION: usize = 2;
