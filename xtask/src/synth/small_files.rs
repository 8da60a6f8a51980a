//! The files beside weights, configuration and tokenizer, in the form they were published in.

use serde_json::{Value, json};

use super::shape::{Shape, VisionBlocks};
use super::tokenizer::SpecialIds;

/// The template of the published-style reference model; it adds a system message where there is none.
const CHAT_TEMPLATE: &str = include_str!("../../../crates/mquant/tests/goldens/qwen2_vl_published/chat_template.json");

/// `chat_template.json`; of a model that hears, with the placeholder of sounds, which is `<|vision_pad|>`: the demo tokenizer
/// has no token for them.
pub(super) fn chat_template(shape: &Shape) -> Vec<u8> {
    if shape.audio.is_none() {
        return CHAT_TEMPLATE.as_bytes().to_vec();
    }
    let pictures = "{% if item['type'] in ('image', 'image_url')";
    let hears = "{% if item['type'] == 'audio' %}<|vision_pad|>{% elif item['type'] in ('image', 'image_url')";
    let template = CHAT_TEMPLATE.replacen(pictures, hears, 1);
    assert_ne!(template, CHAT_TEMPLATE, "the template has a place for pictures");
    template.into_bytes()
}

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
pub(super) fn preprocessor(shape: &Shape) -> Value {
    if let VisionBlocks::Deepstack { .. } = shape.vision.blocks {
        return json!({
            "size": {"longest_edge": 16_777_216, "shortest_edge": 65_536},
            "patch_size": 16,
            "temporal_patch_size": 2,
            "merge_size": 2,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
            "image_processor_type": "Qwen2VLImageProcessorFast",
            "processor_class": "Qwen3VLProcessor"
        });
    }
    let pictures = json!({
        "min_pixels": 3_136,
        "max_pixels": 12_845_056,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": if shape.audio.is_some() { "Qwen2_5OmniProcessor" } else { "Qwen2VLProcessor" }
    });
    let sounds = json!({
        "chunk_length": 300,
        "dither": 0.0,
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": 128,
        "hop_length": 160,
        "n_fft": 400,
        "n_samples": 4_800_000,
        "nb_max_frames": 30_000,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": true,
        "sampling_rate": 16_000
    });
    match (pictures, sounds) {
        (Value::Object(mut both), Value::Object(sounds)) if shape.audio.is_some() => {
            both.extend(sounds);
            Value::Object(both)
        }
        (pictures, _) => pictures,
    }
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
