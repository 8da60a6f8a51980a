//! The published dimensions, and `config.json` in the flat form they were published in.

use serde_json::{Value, json};

use super::tokenizer::SpecialIds;

/// Dimensions of a Qwen2-VL model.
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
}

/// Dimensions of the vision tower.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VisionShape {
    /// Blocks.
    pub(crate) depth: usize,
    /// Features of its stream; its MLPs have four times as many.
    pub(crate) width: usize,
    /// Heads.
    pub(crate) heads: usize,
}

/// Where the head's weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadWeights {
    /// They are the embedding's.
    Tied,
    /// In a tensor of their own.
    Own,
}

/// The tower that all published models share.
const VISION: VisionShape = VisionShape { depth: 32, width: 1280, heads: 16 };

impl Shape {
    /// The models as published.
    pub(crate) fn published() -> [Self; 3] {
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
                mrope_section: [16, 24, 24],
                vision: VISION,
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
                mrope_section: [16, 24, 24],
                vision: VISION,
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
                mrope_section: [16, 24, 24],
                vision: VISION,
            },
        ]
    }

    /// `config.json`.
    pub(super) fn config(&self, ids: &SpecialIds) -> Value {
        json!({
            "architectures": ["Qwen2VLForConditionalGeneration"],
            "attention_dropout": 0.0,
            "bos_token_id": ids.end_of_text,
            "eos_token_id": ids.im_end,
            "vision_start_token_id": ids.vision_start,
            "vision_end_token_id": ids.vision_end,
            "vision_token_id": ids.vision_pad,
            "image_token_id": ids.image_pad,
            "video_token_id": ids.video_pad,
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "initializer_range": 0.02,
            "intermediate_size": self.mlp,
            "max_position_embeddings": 32_768,
            "max_window_layers": self.layers,
            "model_type": "qwen2_vl",
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.kv_heads,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1_000_000.0,
            "sliding_window": 32_768,
            "tie_word_embeddings": self.head == HeadWeights::Tied,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.41.2",
            "use_cache": true,
            "use_sliding_window": false,
            "vision_config": {
                "depth": self.vision.depth,
                "embed_dim": self.vision.width,
                "mlp_ratio": 4,
                "num_heads": self.vision.heads,
                "in_chans": 3,
                "hidden_size": self.hidden,
                "patch_size": 14,
                "spatial_merge_size": 2,
                "spatial_patch_size": 14,
                "temporal_patch_size": 2
            },
            "rope_scaling": {"type": "mrope", "mrope_section": self.mrope_section},
            "vocab_size": self.vocabulary
        })
    }
}
