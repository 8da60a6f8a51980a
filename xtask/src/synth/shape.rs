//! The published dimensions, and `config.json` in the flat form they were published in.

use serde_json::{Value, json};

use super::tokenizer::SpecialIds;

/// Dimensions of a Qwen2-VL or Qwen2.5-VL model.
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

/// The sections of every published model.
const MROPE: [usize; 3] = [16, 24, 24];

impl Shape {
    /// The models as published.
    pub(crate) fn published() -> [Self; 7] {
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
            },
        ]
    }

    /// `config.json`.
    pub(super) fn config(&self, ids: &SpecialIds) -> Value {
        let (family, context, vision) = self.vision_config();
        json!({
            "architectures": [match family {
                "qwen2_vl" => "Qwen2VLForConditionalGeneration",
                _ => "Qwen2_5_VLForConditionalGeneration",
            }],
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
            "max_position_embeddings": context,
            "max_window_layers": self.layers,
            "model_type": family,
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
            "vision_config": vision,
            "rope_scaling": {"type": "mrope", "mrope_section": self.mrope_section},
            "vocab_size": self.vocabulary
        })
    }
    /// `model_type`, `max_position_embeddings` and `vision_config` of the family.
    fn vision_config(&self) -> (&'static str, usize, Value) {
        let VisionShape { depth, width, heads, blocks } = self.vision;
        match blocks {
            VisionBlocks::Frames => {
                let vision = json!({
                    "depth": depth,
                    "embed_dim": width,
                    "mlp_ratio": 4,
                    "num_heads": heads,
                    "in_chans": 3,
                    "hidden_size": self.hidden,
                    "patch_size": 14,
                    "spatial_merge_size": 2,
                    "spatial_patch_size": 14,
                    "temporal_patch_size": 2
                });
                ("qwen2_vl", 32_768, vision)
            }
            VisionBlocks::Windows { mlp, full } => {
                let vision = json!({
                    "depth": depth,
                    "hidden_act": "silu",
                    "hidden_size": width,
                    "intermediate_size": mlp,
                    "num_heads": heads,
                    "in_chans": 3,
                    "out_hidden_size": self.hidden,
                    "patch_size": 14,
                    "spatial_merge_size": 2,
                    "spatial_patch_size": 14,
                    "window_size": 112,
                    "fullatt_block_indexes": full,
                    "tokens_per_second": 2,
                    "temporal_patch_size": 2
                });
                ("qwen2_5_vl", 128_000, vision)
            }
        }
    }
}
