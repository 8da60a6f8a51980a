//! What can be done to a model.

use std::collections::BTreeMap;
use std::fmt;

use super::SiteSelector;
use crate::quantize::{ActOrder, Clip, IntFormat};
use crate::transform::{ColumnLimits, HadamardFallback, RotationKind, SmoothingVectors};
use mquant_model::bundle::InputFormat;
use mquant_model::nn::{Modality, Tower};

/// One step of a recipe.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Norms lose their gains and biases, LayerNorms become RMSNorms.
    FuseNorms(FuseNorms),
    /// A residual stream is rotated (R1).
    RotateStream(RotateStream),
    /// Values are rotated in each head (R2).
    RotateHeads(RotateHeads),
    /// Activations are rotated while running (R4).
    RotateOnline(RotateOnline),
    /// Outliers of activations move into weights.
    Smooth(Smooth),
    /// Each modality divides an activation by a vector of its own (MAS).
    SmoothModalities(SmoothModalities),
    /// A low-rank branch makes good what the shared weight lacks for other modalities than text (CMC).
    Compensate(Compensate),
    /// Input channels with outliers are computed beside the others.
    SplitColumns(SplitColumns),
    /// Weights become codes, inputs get scales.
    Quantize(Quantize),
}

/// Towers that a step is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Towers {
    /// Every tower that the model has.
    All,
    /// These, which the model must have.
    Named(Vec<Tower>),
}

impl Towers {
    /// Those it may be about.
    pub fn as_slice(&self) -> &[Tower] {
        match self {
            Towers::All => &Tower::ALL,
            Towers::Named(towers) => towers,
        }
    }
}

/// LayerNorm to RMSNorm with centred writers; gains and biases into readers.
#[derive(Clone, Debug, PartialEq)]
pub struct FuseNorms {
    /// Whose norms.
    pub towers: Towers,
}

/// A rotation of a residual stream, folded into all that write and read it.
#[derive(Clone, Debug, PartialEq)]
pub struct RotateStream {
    /// Whose streams.
    pub towers: Towers,
    /// By what.
    pub kind: RotationKind,
}

/// A rotation of values in each head, folded into the value and output projections.
#[derive(Clone, Debug, PartialEq)]
pub struct RotateHeads {
    /// Whose heads.
    pub towers: Towers,
}

/// A Hadamard rotation of the activation while running; the weight has the inverse folded in.
#[derive(Clone, Debug, PartialEq)]
pub struct RotateOnline {
    /// Which activations.
    pub sites: SiteSelector,
    /// What to do where no Hadamard matrix has as many features.
    pub otherwise: HadamardFallback,
}

/// Scales that move outliers of an activation into the weights that read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Smooth {
    /// Which activations.
    pub sites: SiteSelector,
    /// From 0, activations stay, to 1, weights take all.
    pub alpha: f64,
}

/// Modality-aware smoothing (MASQuant, section 4.2): a vector for each modality, of which that of text is folded into the
/// weights and what makes the activation.
#[derive(Clone, Debug, PartialEq)]
pub struct SmoothModalities {
    /// Which activations, all in blocks of the decoder.
    pub sites: SiteSelector,
    /// From 0, weights decide where learning begins, to 1, activations do.
    pub alpha: f64,
    /// Whether modalities share a vector.
    pub vectors: SmoothingVectors,
    /// How vectors are learned; None to keep those that learning would begin with.
    pub learning: Option<Learning>,
}

/// How smoothing vectors are learned (MASQuant, section 4.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Learning {
    /// Times that all samples are shown.
    pub epochs: usize,
    /// Step of AdamW on the logarithm of the vectors.
    pub learning_rate: f64,
    /// Which weight meets the rows of which modality while vectors are learned.
    pub form: LearningForm,
    /// Weights of modalities in the loss; 1 where none is given.
    pub loss_weights: BTreeMap<Modality, f64>,
}

/// Which weight meets the rows of which modality while vectors are learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LearningForm {
    /// A quantised weight for each modality, as published; what runs is the shared one.
    Published,
    /// The shared weight and the branch, as it runs.
    Deployed,
}

/// Cross-modal compensation (MASQuant, section 4.3): low-rank branches for the rows of other modalities than text.
#[derive(Clone, Debug, PartialEq)]
pub struct Compensate {
    /// Which sites, all in blocks of the decoder.
    pub sites: SiteSelector,
    /// How large.
    pub rank: Rank,
}

/// The rank of a low-rank branch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rank {
    /// This share of the inputs or, where those are fewer, of all outputs of the site; rounded up.
    Ratio(f64),
    /// As many.
    Absolute(usize),
    /// Branches of the block take at most this share of the bytes of its integer weights, where they take most error away.
    Budget(f64),
}

/// Input channels with outliers are computed beside the others.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitColumns {
    /// Which activations.
    pub sites: SiteSelector,
    /// Which channels.
    pub limits: ColumnLimits,
}

/// Weights become codes, inputs get scales. A later step decides again the sites it names.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantize {
    /// Which sites.
    pub sites: SiteSelector,
    /// What becomes of them.
    pub target: Target,
}

/// What becomes of a site.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Target {
    /// Weights and inputs stay float, in 16 bits as published.
    #[default]
    Float,
    /// Weights become codes.
    Int {
        /// Bits, and inputs that share a scale.
        format: IntFormat,
        /// How codes are chosen.
        method: WeightMethod,
        /// How scales are chosen.
        clip: Clip,
        /// How the activation becomes codes.
        input: InputFormat,
        /// Bits of the activation.
        input_bits: InputBits,
    },
}

/// Bits of an activation. All run in 8-bit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum InputBits {
    /// Ranges map to 127.
    #[default]
    Eight,
    /// Ranges map to 31: what lies beyond a static range is not clipped until it reaches 127.
    Six,
}

impl InputBits {
    /// The code of the end of a range.
    pub fn largest(self) -> f32 {
        match self {
            InputBits::Eight => 127.0,
            InputBits::Six => 31.0,
        }
    }

    /// How many.
    pub fn count(self) -> u32 {
        match self {
            InputBits::Eight => 8,
            InputBits::Six => 6,
        }
    }
}

/// How codes are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightMethod {
    /// Each weight is rounded to the nearest.
    Rtn,
    /// Each column's error is made good by those not yet rounded.
    Gptq {
        /// Part of the mean second moment added to each.
        damping: f64,
        /// Which column comes first.
        act_order: ActOrder,
    },
}

impl Step {
    /// What it does, as `do` says.
    pub fn name(&self) -> &'static str {
        match self {
            Step::FuseNorms(_) => "fuse_norms",
            Step::RotateStream(_) => "rotate_stream",
            Step::RotateHeads(_) => "rotate_heads",
            Step::RotateOnline(_) => "rotate_online",
            Step::Smooth(_) => "smooth",
            Step::SmoothModalities(_) => "smooth_modalities",
            Step::Compensate(_) => "compensate",
            Step::SplitColumns(_) => "split_columns",
            Step::Quantize(_) => "quantize",
        }
    }

    /// The sites it names, if it names any.
    pub fn sites(&self) -> Option<&SiteSelector> {
        match self {
            Step::FuseNorms(_) | Step::RotateStream(_) | Step::RotateHeads(_) => None,
            Step::RotateOnline(RotateOnline { sites, .. })
            | Step::Smooth(Smooth { sites, .. })
            | Step::SmoothModalities(SmoothModalities { sites, .. })
            | Step::Compensate(Compensate { sites, .. })
            | Step::SplitColumns(SplitColumns { sites, .. })
            | Step::Quantize(Quantize { sites, .. }) => Some(sites),
        }
    }

    /// Whether the model must have every tower of [`towers`](Self::towers).
    pub fn names_towers(&self) -> bool {
        match self {
            Step::FuseNorms(FuseNorms { towers })
            | Step::RotateStream(RotateStream { towers, .. })
            | Step::RotateHeads(RotateHeads { towers }) => matches!(towers, Towers::Named(_)),
            _ => false,
        }
    }

    /// The towers it may be about, if it is about towers.
    pub fn towers(&self) -> &[Tower] {
        match self {
            Step::FuseNorms(FuseNorms { towers })
            | Step::RotateStream(RotateStream { towers, .. })
            | Step::RotateHeads(RotateHeads { towers }) => towers.as_slice(),
            _ => &[],
        }
    }
}

impl Target {
    /// Bits of a weight: 4, 8, or 16 where it stays float.
    pub fn bits(&self) -> u32 {
        match self {
            Target::Float => 16,
            Target::Int { format, .. } => format.bits.count(),
        }
    }

    /// Bits of the activation; 8 where it stays float.
    pub fn input_bits(&self) -> InputBits {
        match self {
            Target::Float => InputBits::Eight,
            Target::Int { input_bits, .. } => *input_bits,
        }
    }

    /// How the activation becomes codes.
    pub fn input(&self) -> InputFormat {
        match self {
            Target::Float => InputFormat::Float,
            Target::Int { input: InputFormat::PerToken, input_bits: InputBits::Six, .. } => InputFormat::PerTokenSix,
            Target::Int { input, .. } => *input,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
