//! `config.json` of a shape, in the form that its family is published in.

use serde_json::{Map, Value, json};

use super::shape::{AudioShape, HeadWeights, Shape, VisionBlocks, VisionShape};
use super::tokenizer::SpecialIds;

impl Shape {
    /// `config.json`.
    pub(super) fn config(&self, ids: &SpecialIds) -> Value {
        let tokens = json!({
            "bos_token_id": ids.end_of_text,
            "eos_token_id": ids.im_end,
            "vision_start_token_id": ids.vision_start,
            "vision_end_token_id": ids.vision_end,
            "vision_token_id": ids.vision_pad,
            "image_token_id": ids.image_pad,
            "video_token_id": ids.video_pad
        });
        let common = json!({
            "initializer_range": 0.02,
            "tie_word_embeddings": self.head == HeadWeights::Tied,
            "torch_dtype": "bfloat16",
            "use_cache": true
        });
        let vision = self.vision_config();
        match (self.vision.blocks, self.audio) {
            (_, Some(audio)) => {
                let indexes = json!({
                    "audio_token_index": ids.vision_pad,
                    "image_token_index": ids.image_pad,
                    "video_token_index": ids.video_pad,
                    "position_id_per_seconds": 25,
                    "seconds_per_chunk": 2
                });
                let thinker = json!({
                    "model_type": "qwen2_5_omni_thinker",
                    "text_config": joined([self.text_config("qwen2_5_omni_text", 32_768), common]),
                    "vision_config": vision,
                    "audio_config": self.audio_config(audio),
                    "tie_word_embeddings": self.head == HeadWeights::Tied
                });
                json!({
                    "architectures": ["Qwen2_5OmniModel"],
                    "enable_audio_output": false,
                    "model_type": "qwen2_5_omni",
                    "thinker_config": joined([thinker, indexes]),
                    "torch_dtype": "bfloat16"
                })
            }
            (VisionBlocks::Frames, None) => joined([
                json!({"architectures": ["Qwen2VLForConditionalGeneration"], "vision_config": vision}),
                self.text_config("qwen2_vl", 32_768),
                tokens,
                common,
            ]),
            (VisionBlocks::Windows { .. }, None) => joined([
                json!({"architectures": ["Qwen2_5_VLForConditionalGeneration"], "vision_config": vision}),
                self.text_config("qwen2_5_vl", 128_000),
                tokens,
                common,
            ]),
            (VisionBlocks::Deepstack { .. }, None) => joined([
                json!({
                    "architectures": ["Qwen3VLForConditionalGeneration"],
                    "model_type": "qwen3_vl",
                    "text_config": self.text_config("qwen3_vl_text", 262_144),
                    "vision_config": vision
                }),
                tokens,
                common,
            ]),
        }
    }

    /// The decoder's fields.
    fn text_config(&self, model_type: &str, context: usize) -> Value {
        let fields = json!({
            "attention_dropout": 0.0,
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "intermediate_size": self.mlp,
            "max_position_embeddings": context,
            "model_type": model_type,
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.kv_heads,
            "rms_norm_eps": 1e-6,
            "vocab_size": self.vocabulary
        });
        let section = self.mrope_section;
        let own = match self.vision.blocks {
            VisionBlocks::Deepstack { head_dim, .. } => json!({
                "attention_bias": false,
                "head_dim": head_dim,
                "rope_theta": 5_000_000.0,
                "rope_scaling": {"mrope_interleaved": true, "mrope_section": section, "rope_type": "default"}
            }),
            VisionBlocks::Frames | VisionBlocks::Windows { .. } => json!({
                "max_window_layers": self.layers,
                "rope_theta": 1_000_000.0,
                "rope_scaling": {"type": "mrope", "mrope_section": section},
                "sliding_window": 32_768,
                "use_sliding_window": false
            }),
        };
        joined([fields, own])
    }

    fn vision_config(&self) -> Value {
        let VisionShape { depth, width, heads, blocks } = self.vision;
        let common = json!({"depth": depth, "num_heads": heads, "spatial_merge_size": 2, "temporal_patch_size": 2});
        let own = match blocks {
            VisionBlocks::Frames => json!({
                "embed_dim": width,
                "mlp_ratio": 4,
                "in_chans": 3,
                "hidden_size": self.hidden,
                "patch_size": 14,
                "spatial_patch_size": 14
            }),
            VisionBlocks::Windows { mlp, full } => json!({
                "hidden_act": "silu",
                "hidden_size": width,
                "intermediate_size": mlp,
                "in_chans": 3,
                "out_hidden_size": self.hidden,
                "patch_size": 14,
                "spatial_patch_size": 14,
                "window_size": 112,
                "fullatt_block_indexes": full,
                "tokens_per_second": if self.audio.is_some() { 25 } else { 2 }
            }),
            VisionBlocks::Deepstack { mlp, levels, .. } => json!({
                "deepstack_visual_indexes": levels,
                "hidden_act": "gelu_pytorch_tanh",
                "hidden_size": width,
                "in_channels": 3,
                "intermediate_size": mlp,
                "model_type": "qwen3_vl",
                "num_position_embeddings": 2_304,
                "out_hidden_size": self.hidden,
                "patch_size": 16
            }),
        };
        joined([common, own])
    }

    fn audio_config(&self, AudioShape { layers, width, heads, mlp }: AudioShape) -> Value {
        json!({
            "model_type": "qwen2_5_omni_audio_encoder",
            "activation_function": "gelu",
            "d_model": width,
            "encoder_attention_heads": heads,
            "encoder_ffn_dim": mlp,
            "encoder_layers": layers,
            "max_source_positions": 1_500,
            "n_window": 100,
            "num_mel_bins": 128,
            "output_dim": self.hidden,
            "scale_embedding": false
        })
    }
}

/// The fields of all objects in one.
fn joined<const N: usize>(objects: [Value; N]) -> Value {
    let fields = objects.into_iter().filter_map(|object| match object {
        Value::Object(fields) => Some(fields),
        _ => None,
    });
    Value::Object(fields.flatten().collect::<Map<_, _>>())
}
