//! Why a block cannot be learned on.

use mquant_model::nn::{Modality, PartId, SiteId};
use thiserror::Error;

/// Why a block cannot be learned on.
#[derive(Debug, Error)]
pub enum LearnError {
    /// A site is not as the checkpoint has it.
    #[error("{site}: its {what} quantised; smoothing is learned on the float block")]
    Quantised {
        /// Which site.
        site: SiteId,
        /// What is quantised: `input is`, `weights are`, `channels are split and`.
        what: &'static str,
    },
    /// A norm of a block that reads several rows as one.
    #[error("{site}: its norm joins {repeat} rows; a block reads each row alone")]
    Repeat {
        /// Which site.
        site: SiteId,
        /// Rows read as one.
        repeat: usize,
    },
    /// A weight that does not fit what its site reads.
    #[error("{site}: a weight of {found} inputs; expected {expected}")]
    Inputs {
        /// Which site.
        site: SiteId,
        /// Channels that its site reads, or its rotation has.
        expected: usize,
        /// Inputs of the weight.
        found: usize,
    },
    /// A site that the block does not have.
    #[error("{site} is no site of {part}")]
    Site {
        /// The site named.
        site: SiteId,
        /// The block.
        part: PartId,
    },
    /// Vectors for a site that is not quantised.
    #[error("{site} has smoothing vectors, but nothing of it is quantised")]
    NotQuantised {
        /// Which site.
        site: SiteId,
    },
    /// A vector of the wrong length.
    #[error("{site}: the {modality} vector has {found} values; the site reads {expected} channels")]
    Length {
        /// Which site.
        site: SiteId,
        /// Which of its vectors.
        modality: Modality,
        /// Channels of the site.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// A vector with a value that nothing can be divided by.
    #[error("{site}: channel {channel} of the {modality} vector is {found}; expected a positive number")]
    NotPositive {
        /// Which site.
        site: SiteId,
        /// Which of its vectors.
        modality: Modality,
        /// Which value.
        channel: usize,
        /// The value.
        found: f32,
    },
    /// Rows of a modality without a vector.
    #[error("{site}: there are {modality} rows, but no {modality} vector")]
    NoVector {
        /// Which site.
        site: SiteId,
        /// Which modality.
        modality: Modality,
    },
    /// Numbers of bits that codes cannot have.
    #[error("{site}: {bits} bits for {what}; expected 2 to 16")]
    Bits {
        /// Which site.
        site: SiteId,
        /// `weights` or `activations`.
        what: &'static str,
        /// The bits asked for.
        bits: u32,
    },
    /// Groups that do not fill the inputs of a weight.
    #[error("{site}: {inputs} inputs cannot be quantised in groups of {group}")]
    Group {
        /// Which site.
        site: SiteId,
        /// Inputs of its weights.
        inputs: usize,
        /// Inputs of a group.
        group: usize,
    },
    /// Something that must be positive.
    #[error("{what} is {found}; expected {expected}")]
    Option {
        /// Which option.
        what: &'static str,
        /// Its value.
        found: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// No sample.
    #[error("there is no sample to learn from")]
    NoSample,
    /// Rows of a sample that do not belong together.
    #[error("sample {sample}: {what}")]
    Sample {
        /// Its index.
        sample: usize,
        /// What is wrong.
        what: String,
    },
    /// A loss or a vector became NaN or infinite.
    #[error("{part}: the loss on sample {sample} is not finite")]
    NotFinite {
        /// The block.
        part: PartId,
        /// Index of the sample.
        sample: usize,
    },
    /// Second moments that cannot be whitened with.
    #[error("{site}: the second moments of its {modality} rows are not positive definite with any damping")]
    Moments {
        /// Which site.
        site: SiteId,
        /// Rows of which modality.
        modality: Modality,
    },
    /// The automatic differentiation failed.
    #[error("tensor arithmetic")]
    Tensor(#[from] candle_core::Error),
}
