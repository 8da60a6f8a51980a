//! The published dimensions.

/// Dimensions of a model of the Qwen line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// What the command line calls it.
    pub(crate) name: &'static str,
    /// Features of the decoder's stream.
    pub(crate) hidden: usize,
    /// Decoder blocks.
    pub(crate) layers: usize,
    /// Query heads.
    pub(crate) heads: usize,
    /// Key and value heads.
    pub(crate) kv_heads: usize,
    /// Features inside the decoder's MLPs.
    pub(crate) mlp: usize,
    /// Rows of the embedding.
    pub(crate) vocabulary: usize,
    /// Whether embedding and head share their weights.
    pub(crate) head: HeadWeights,
    /// Pairs of head features that turn with time, height and width.
    pub(crate) mrope_section: [usize; 3],
    /// The vision tower.
    pub(crate) vision: VisionShape,
    /// The audio tower, if it hears.
    pub(crate) audio: Option<AudioShape>,
}

/// Dimensions of an audio tower.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AudioShape {
    /// Blocks.
    pub(crate) layers: usize,
    /// Features of its stream.
    pub(crate) width: usize,
    /// Heads.
    pub(crate) heads: usize,
    /// Features inside its MLPs.
    pub(crate) mlp: usize,
}

/// Dimensions of the vision tower.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VisionShape {
    /// Blocks.
    pub(crate) depth: usize,
    /// Features of its stream.
    pub(crate) width: usize,
    /// Heads.
    pub(crate) heads: usize,
    /// What its blocks are.
    pub(crate) blocks: VisionBlocks,
}

/// The blocks of a vision tower.
#[derive(Clone, Copy, Debug)]
pub(crate) enum VisionBlocks {
    /// Of Qwen2-VL: MLPs four times as wide as the stream, attention within a frame.
    Frames,
    /// Of Qwen2.5-VL: gated MLPs, attention within windows but for some blocks.
    Windows {
        /// Features inside the MLPs.
        mlp: usize,
        /// Blocks whose attention sees a whole frame.
        full: &'static [usize],
    },
    /// Of Qwen3-VL: learned positions, mergers behind some blocks that feed the decoder.
    Deepstack {
        /// Features inside the MLPs.
        mlp: usize,
        /// Blocks with a merger behind.
        levels: &'static [usize],
        /// Features of a head of the decoder.
        head_dim: usize,
    },
}

/// Where the head's weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadWeights {
    /// They are the embedding's.
    Tied,
    /// In a tensor of their own.
    Own,
}

/// The tower that all Qwen2-VL models share.
const FRAMES: VisionShape = VisionShape { depth: 32, width: 1280, heads: 16, blocks: VisionBlocks::Frames };

/// The tower of the Qwen2.5-VL models, which differ in the width of its MLPs.
const fn windows(mlp: usize) -> VisionShape {
    let blocks = VisionBlocks::Windows { mlp, full: &[7, 15, 23, 31] };
    VisionShape { depth: 32, width: 1280, heads: 16, blocks }
}

/// The towers of the small and of the large Qwen3-VL models.
const SMALL_DEEPSTACK: VisionShape = VisionShape {
    depth: 24,
    width: 1024,
    heads: 16,
    blocks: VisionBlocks::Deepstack { mlp: 4096, levels: &[5, 11, 17], head_dim: 128 },
};
const LARGE_DEEPSTACK: VisionShape = VisionShape {
    depth: 27,
    width: 1152,
    heads: 16,
    blocks: VisionBlocks::Deepstack { mlp: 4304, levels: &[8, 16, 24], head_dim: 128 },
};

/// The audio tower of the Qwen2.5-Omni models.
const AUDIO: AudioShape = AudioShape { layers: 32, width: 1280, heads: 20, mlp: 5120 };

/// The sections of every published model with M-RoPE in sections, and with interleaved M-RoPE.
const MROPE: [usize; 3] = [16, 24, 24];
const INTERLEAVED_MROPE: [usize; 3] = [24, 20, 20];

impl Shape {
    /// The models as published.
    pub(crate) fn published() -> [Self; 13] {
        [
            Self {
                name: "qwen2-vl-2b",
                hidden: 1536,
                layers: 28,
                heads: 12,
                kv_heads: 2,
                mlp: 8960,
                vocabulary: 151_936,
                head: HeadWeights::Tied,
                mrope_section: MROPE,
                vision: FRAMES,
                audio: None,
            },
            Self {
                name: "qwen2-vl-7b",
                hidden: 3584,
                layers: 28,
                heads: 28,
                kv_heads: 4,
                mlp: 18_944,
                vocabulary: 152_064,
                head: HeadWeights::Own,
                mrope_section: MROPE,
                vision: FRAMES,
                audio: None,
            },
            Self {
                name: "qwen2-vl-72b",
                hidden: 8192,
                layers: 80,
                heads: 64,
                kv_heads: 8,
                mlp: 29_568,
                vocabulary: 152_064,
                head: HeadWeights::Own,
                mrope_section: MROPE,
                vision: FRAMES,
                audio: None,
            },
            Self {
                name: "qwen2.5-vl-3b",
                hidden: 2048,
                layers: 36,
                heads: 16,
                kv_heads: 2,
                mlp: 11_008,
                vocabulary: 151_936,
                head: HeadWeights::Tied,
                mrope_section: MROPE,
                vision: windows(3420),
                audio: None,
            },
            Self {
                name: "qwen2.5-vl-7b",
                hidden: 3584,
                layers: 28,
                heads: 28,
                kv_heads: 4,
                mlp: 18_944,
                vocabulary: 152_064,
                head: HeadWeights::Own,
                mrope_section: MROPE,
                vision: windows(3420),
                audio: None,
            },
            Self {
                name: "qwen2.5-vl-32b",
                hidden: 5120,
                layers: 64,
                heads: 40,
                kv_heads: 8,
                mlp: 27_648,
                vocabulary: 152_064,
                head: HeadWeights::Own,
                mrope_section: MROPE,
                vision: windows(3456),
                audio: None,
            },
            Self {
                name: "qwen2.5-vl-72b",
                hidden: 8192,
                layers: 80,
                heads: 64,
                kv_heads: 8,
                mlp: 29_568,
                vocabulary: 152_064,
                head: HeadWeights::Own,
                mrope_section: MROPE,
                vision: windows(3456),
                audio: None,
            },
            Self {
                name: "qwen3-vl-2b",
                hidden: 2048,
                layers: 28,
                heads: 16,
                kv_heads: 8,
                mlp: 6144,
                vocabulary: 151_936,
                head: HeadWeights::Tied,
                mrope_section: INTERLEAVED_MROPE,
                vision: SMALL_DEEPSTACK,
                audio: None,
            },
            Self {
                name: "qwen3-vl-4b",
                hidden: 2560,
                layers: 36,
                heads: 32,
                kv_heads: 8,
                mlp: 9728,
                vocabulary: 151_936,
                head: HeadWeights::Tied,
                mrope_section: INTERLEAVED_MROPE,
                vision: SMALL_DEEPSTACK,
                audio: None,
            },
            Self {
                name: "qwen3-vl-8b",
                hidden: 4096,
                layers: 36,
                heads: 32,
                kv_heads: 8,
                mlp: 12_288,
                vocabulary: 151_936,
                head: HeadWeights::Own,
                mrope_section: INTERLEAVED_MROPE,
                vision: LARGE_DEEPSTACK,
                audio: None,
            },
            Self {
                name: "qwen3-vl-32b",
                hidden: 5120,
                layers: 64,
                heads: 64,
                kv_heads: 8,
                mlp: 25_600,
                vocabulary: 151_936,
                head: HeadWeights::Own,
                mrope_section: INTERLEAVED_MROPE,
                vision: LARGE_DEEPSTACK,
                audio: None,
            },
            Self {
                name: "qwen2.5-omni-3b",
                hidden: 2048,
                layers: 36,
                heads: 16,
                kv_heads: 2,
                mlp: 11_008,
                vocabulary: 151_936,
                head: HeadWeights::Own,
                mrope_section: MROPE,
                vision: windows(3420),
                audio: Some(AUDIO),
            },
            Self {
                name: "qwen2.5-omni-7b",
                hidden: 3584,
                layers: 28,
                heads: 28,
                kv_heads: 4,
                mlp: 18_944,
                vocabulary: 152_064,
                head: HeadWeights::Own,
                mrope_section: MROPE,
                vision: windows(3420),
                audio: Some(AUDIO),
            },
        ]
    }
}
