//! The files beside weights, configuration and tokenizer, in the form they were published in.

use serde_json::{Value, json};

use super::tokenizer::SpecialIds;

/// The template of the published-style reference model; it adds a system message where there is none.
pub(super) const CHAT_TEMPLATE: &str =
    include_str!("../../../crates/mquant/tests/goldens/qwen2_vl_published/chat_template.json");

/// `generation_config.json`.
pub(super) fn generation(ids: &SpecialIds) -> Value {
    json!({
        "bos_token_id": ids.end_of_text,
        "pad_token_id": ids.end_of_text,
        "do_sample": true,
        "eos_token_id": [ids.im_end, ids.end_of_text],
        "repetition_penalty": 1.0,
        "temperature": 0.01,
        "top_p": 0.001,
        "top_k": 1,
        "transformers_version": "4.37.0"
    })
}

/// `preprocessor_config.json`.
pub(super) fn preprocessor() -> Value {
    json!({
        "min_pixels": 3_136,
        "max_pixels": 12_845_056,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2VLProcessor"
    })
}

/// `tokenizer_config.json`.
pub(super) fn tokenizer() -> Value {
    json!({
        "additional_special_tokens": [
            "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"
        ],
        "bos_token": null,
        "clean_up_tokenization_spaces": false,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 32_768,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": false,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": null
    })
}
