"""A model folder in the layout of the published checkpoints of the Qwen2-VL line, without transformers' own writer.

Flat `config.json`, `preprocessor_config.json` with pixel limits, `chat_template.json`, bf16 weights in three shards
with an index, no `lm_head.weight`: the head is tied.
"""

import json
import os

import torch
from safetensors.torch import save_file

SHARDS = 3


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")


def write_weights(folder, state):
    """`state`: tensor name to tensor. Shards are filled in name order to equal sizes, so that blocks straddle them."""
    state = {name: value.to(torch.bfloat16).contiguous() for name, value in sorted(state.items())}
    total = sum(value.nbytes for value in state.values())
    shards, done = [{} for _ in range(SHARDS)], 0
    for name, value in state.items():
        shards[min(done * SHARDS // total, SHARDS - 1)][name] = value
        done += value.nbytes
    weight_map = {}
    for i, shard in enumerate(shards, 1):
        file = f"model-{i:05}-of-{SHARDS:05}.safetensors"
        save_file(shard, os.path.join(folder, file), metadata={"format": "pt"})
        weight_map.update({name: file for name in shard})
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    write_json(os.path.join(folder, "model.safetensors.index.json"), index)


def vision_config(vision):
    """The published form of a tower's configuration: `in_chans`, and `spatial_patch_size` beside `patch_size`."""
    if vision.model_type == "qwen2_5_vl_vision":
        return {
            "depth": vision.depth,
            "hidden_act": vision.hidden_act,
            "hidden_size": vision.hidden_size,
            "intermediate_size": vision.intermediate_size,
            "num_heads": vision.num_heads,
            "in_chans": vision.in_channels,
            "out_hidden_size": vision.out_hidden_size,
            "patch_size": vision.patch_size,
            "spatial_merge_size": vision.spatial_merge_size,
            "spatial_patch_size": vision.patch_size,
            "window_size": vision.window_size,
            "fullatt_block_indexes": list(vision.fullatt_block_indexes),
            "tokens_per_second": vision.tokens_per_second,
            "temporal_patch_size": vision.temporal_patch_size,
        }
    return {
        "depth": vision.depth,
        "embed_dim": vision.embed_dim,
        "mlp_ratio": vision.mlp_ratio,
        "num_heads": vision.num_heads,
        "in_chans": vision.in_channels,
        "hidden_size": vision.hidden_size,
        "patch_size": vision.patch_size,
        "spatial_merge_size": vision.spatial_merge_size,
        "spatial_patch_size": vision.patch_size,
        "temporal_patch_size": vision.temporal_patch_size,
    }


def flat_config(architecture, config):
    """The published form of a model's configuration: decoder fields at the top, rotary positions in the older words."""
    text = config.text_config
    return {
        "architectures": [architecture],
        "attention_dropout": 0.0,
        "bos_token_id": text.bos_token_id,
        "eos_token_id": text.eos_token_id,
        "vision_start_token_id": config.vision_start_token_id,
        "vision_end_token_id": config.vision_end_token_id,
        "vision_token_id": config.vision_end_token_id + 1,
        "image_token_id": config.image_token_id,
        "video_token_id": config.video_token_id,
        "hidden_act": "silu",
        "hidden_size": text.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": text.intermediate_size,
        "max_position_embeddings": text.max_position_embeddings,
        "max_window_layers": text.num_hidden_layers,
        "model_type": config.model_type,
        "num_attention_heads": text.num_attention_heads,
        "num_hidden_layers": text.num_hidden_layers,
        "num_key_value_heads": text.num_key_value_heads,
        "rms_norm_eps": text.rms_norm_eps,
        "rope_theta": text.rope_parameters["rope_theta"],
        "sliding_window": text.max_position_embeddings,
        "tie_word_embeddings": config.tie_word_embeddings,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.41.2",
        "use_cache": True,
        "use_sliding_window": False,
        "vision_config": vision_config(config.vision_config),
        "rope_scaling": {"type": "mrope", "mrope_section": list(text.rope_parameters["mrope_section"])},
        "vocab_size": text.vocab_size,
    }


def published_name(name):
    """Module path in transformers 5 to tensor name in a published checkpoint; None for the tied head."""
    if name == "lm_head.weight":
        return None
    return name.removeprefix("model.") if name.startswith("model.visual.") else name.replace("language_model.", "")


def write_generation_config(folder, bos, eos):
    write_json(
        os.path.join(folder, "generation_config.json"),
        {
            "bos_token_id": bos,
            "pad_token_id": bos,
            "do_sample": True,
            "eos_token_id": [eos, bos],
            "repetition_penalty": 1.0,
            "temperature": 0.01,
            "top_p": 0.001,
            "top_k": 1,
            "transformers_version": "4.37.0",
        },
    )


def write_chat(folder, chat_template, special_tokens, longest, **more):
    """The template, in its own file and in the tokenizer's, as published; `more`: further keys of the latter."""
    write_json(os.path.join(folder, "chat_template.json"), {"chat_template": chat_template})
    write_json(
        os.path.join(folder, "tokenizer_config.json"),
        {
            "additional_special_tokens": special_tokens,
            "bos_token": None,
            "chat_template": chat_template,
            "clean_up_tokenization_spaces": False,
            "eos_token": "<|im_end|>",
            "errors": "replace",
            "model_max_length": longest,
            "pad_token": "<|endoftext|>",
            "split_special_tokens": False,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "unk_token": None,
            **more,
        },
    )


def write_folder(folder, model, processor):
    """`processor`: class, min_pixels, max_pixels, mean, std, chat_template and special_tokens."""
    state = {published_name(name): value for name, value in model.state_dict().items() if published_name(name)}
    write_weights(folder, state)
    config = flat_config(type(model).__name__, model.config)
    write_json(os.path.join(folder, "config.json"), config)
    write_generation_config(folder, config["bos_token_id"], config["eos_token_id"])
    write_json(
        os.path.join(folder, "preprocessor_config.json"),
        {
            "min_pixels": processor["min_pixels"],
            "max_pixels": processor["max_pixels"],
            "patch_size": config["vision_config"]["patch_size"],
            "temporal_patch_size": config["vision_config"]["temporal_patch_size"],
            "merge_size": config["vision_config"]["spatial_merge_size"],
            "image_mean": processor["mean"],
            "image_std": processor["std"],
            "image_processor_type": "Qwen2VLImageProcessor",
            "processor_class": processor["class"],
        },
    )
    write_chat(folder, processor["chat_template"], processor["special_tokens"], config["max_position_embeddings"])


def qwen3_vl_config(config):
    """The published form of a Qwen3-VL configuration: nested, rotary positions and number type in the older words."""
    text, vision = config.text_config, config.vision_config
    rope = text.rope_parameters
    kept = "attention_bias attention_dropout bos_token_id eos_token_id head_dim hidden_act hidden_size"
    kept += " initializer_range intermediate_size max_position_embeddings model_type num_attention_heads"
    kept += " num_hidden_layers num_key_value_heads rms_norm_eps"
    tower = "depth hidden_act hidden_size in_channels initializer_range intermediate_size num_heads"
    tower += " num_position_embeddings out_hidden_size patch_size spatial_merge_size temporal_patch_size"
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "image_token_id": config.image_token_id,
        "model_type": "qwen3_vl",
        "text_config": {
            **{key: getattr(text, key) for key in kept.split()},
            "dtype": "bfloat16",
            "rope_scaling": {
                "mrope_interleaved": True,
                "mrope_section": list(rope["mrope_section"]),
                "rope_type": "default",
            },
            "rope_theta": rope["rope_theta"],
            "tie_word_embeddings": config.tie_word_embeddings,
            "use_cache": True,
            "vocab_size": text.vocab_size,
        },
        "tie_word_embeddings": config.tie_word_embeddings,
        "transformers_version": "4.57.0.dev0",
        "video_token_id": config.video_token_id,
        "vision_config": {
            "deepstack_visual_indexes": list(vision.deepstack_visual_indexes),
            **{key: getattr(vision, key) for key in tower.split()},
            "model_type": "qwen3_vl",
        },
        "vision_end_token_id": config.vision_end_token_id,
        "vision_start_token_id": config.vision_start_token_id,
    }


def write_qwen3_vl(folder, model, image_size, video_size, chat_template, special_tokens):
    """`image_size`, `video_size`: shortest_edge and longest_edge, which are numbers of pixels."""
    state = {name: value for name, value in model.state_dict().items() if name != "lm_head.weight"}
    write_weights(folder, state)
    config = qwen3_vl_config(model.config)
    write_json(os.path.join(folder, "config.json"), config)
    text, vision = config["text_config"], config["vision_config"]
    write_generation_config(folder, text["bos_token_id"], text["eos_token_id"])
    common = {
        "patch_size": vision["patch_size"],
        "temporal_patch_size": vision["temporal_patch_size"],
        "merge_size": vision["spatial_merge_size"],
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "processor_class": "Qwen3VLProcessor",
    }
    image = {"size": image_size, **common, "image_processor_type": "Qwen2VLImageProcessorFast"}
    write_json(os.path.join(folder, "preprocessor_config.json"), image)
    video = {"size": video_size, **common, "video_processor_type": "Qwen3VLVideoProcessor"}
    write_json(os.path.join(folder, "video_preprocessor_config.json"), video)
    write_chat(folder, chat_template, special_tokens, text["max_position_embeddings"])


# Small stand-ins for the parts of a published Omni model that speak: a reader must pass over them.
SPEAKING = {
    "talker.codec_head.weight": (10, 8),
    "talker.model.embed_tokens.weight": (10, 8),
    "talker.model.layers.0.self_attn.q_proj.weight": (8, 8),
    "talker.thinker_to_talker_proj.bias": (8,),
    "token2wav.code2wav_bigvgan_model.conv_pre.weight": (8, 4, 3),
    "token2wav.code2wav_dit_model.input_embed.proj.weight": (8, 8),
}


def omni_thinker_config(config, n_window):
    """The published form of the part that reads; `n_window` is the audio tower's."""
    text, vision, audio = config.text_config, config.vision_config, config.audio_config
    kept = "hidden_act hidden_size initializer_range intermediate_size max_position_embeddings max_window_layers"
    kept += " model_type num_attention_heads num_hidden_layers num_key_value_heads rms_norm_eps"
    kept += " vocab_size bos_token_id eos_token_id"
    rope = text.rope_parameters
    sounds = "activation_dropout activation_function attention_dropout d_model dropout encoder_attention_heads"
    sounds += " encoder_ffn_dim encoder_layers max_source_positions model_type num_mel_bins output_dim scale_embedding"
    return {
        "architectures": ["Qwen2OmniNaViTThinkerForConditionalGeneration"],
        "audio_config": {
            **{key: getattr(audio, key) for key in sounds.split()},
            "n_window": n_window,
            "num_hidden_layers": audio.encoder_layers,
            "init_std": 0.02,
            "encoder_layerdrop": 0.0,
        },
        "audio_end_token_id": config.audio_end_token_id,
        "audio_start_token_id": config.audio_start_token_id,
        "audio_token_index": config.audio_token_id,
        "bos_token_id": text.bos_token_id,
        "eos_token_id": text.eos_token_id,
        "ignore_index": -100,
        "image_token_index": config.image_token_id,
        "init_std": 0.02,
        "initializer_range": 0.02,
        "model_type": "qwen2_5_omni_thinker",
        "pad_token_id": text.bos_token_id,
        "position_id_per_seconds": config.position_id_per_seconds,
        "seconds_per_chunk": config.seconds_per_chunk,
        "text_config": {
            **{key: getattr(text, key) for key in kept.split()},
            "attention_dropout": 0.0,
            "init_std": 0.02,
            "rope_scaling": {"mrope_section": list(rope["mrope_section"]), "rope_type": "default", "type": "default"},
            "rope_theta": rope["rope_theta"],
            "sliding_window": text.max_position_embeddings,
            "tie_word_embeddings": False,
            "use_cache": True,
            "use_sliding_window": False,
        },
        "torch_dtype": "bfloat16",
        "user_token_id": config.user_token_id,
        "video_token_index": config.video_token_id,
        "vision_config": {
            "depth": vision.depth,
            "embed_dim": vision.hidden_size,
            "fullatt_block_indexes": list(vision.fullatt_block_indexes),
            "hidden_act": vision.hidden_act,
            "hidden_size": vision.hidden_size,
            "in_channels": vision.in_channels,
            "in_chans": vision.in_channels,
            "init_std": 0.02,
            "intermediate_size": vision.intermediate_size,
            "model_type": "qwen2_5_omni_vision_encoder",
            "num_heads": vision.num_heads,
            "out_hidden_size": vision.out_hidden_size,
            "patch_size": vision.patch_size,
            "spatial_merge_size": vision.spatial_merge_size,
            "spatial_patch_size": vision.patch_size,
            "temporal_patch_size": vision.temporal_patch_size,
            "tokens_per_second": config.position_id_per_seconds,
            "window_size": vision.window_size,
        },
        "vision_end_token_id": config.vision_end_token_id,
        "vision_start_token_id": config.vision_start_token_id,
        "vision_token_id": config.vision_end_token_id + 1,
    }


def omni_config(thinker):
    """The whole of a published Omni configuration around that of the part that reads."""
    speaking = {
        "audio_start_token_id": thinker["audio_start_token_id"],
        "audio_end_token_id": thinker["audio_end_token_id"],
        "embedding_size": 8,
        "head_dim": 4,
        "hidden_size": 8,
        "intermediate_size": 16,
        "model_type": "qwen2_5_omni_talker",
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "num_key_value_heads": 1,
        "rope_scaling": {"mrope_section": [0, 1, 1], "rope_type": "default", "type": "default"},
        "rope_theta": 1000000.0,
        "tts_codec_start_token_id": 7,
        "vocab_size": 10,
    }
    return {
        "architectures": ["Qwen2_5OmniModel"],
        "enable_audio_output": True,
        "enable_talker": True,
        "model_type": "qwen2_5_omni",
        "talker_config": speaking,
        "thinker_config": thinker,
        "token2wav_config": {
            "bigvgan_config": {"mel_dim": 4, "model_type": "qwen2_5_omni_bigvgan", "upsample_initial_channel": 8},
            "dit_config": {"dim": 8, "model_type": "qwen2_5_omni_dit", "num_hidden_layers": 1, "mel_dim": 4},
            "model_type": "qwen2_5_omni_token2wav",
        },
        "torch_dtype": "bfloat16",
        "transformers_version": "4.50.0.dev0",
    }


def write_omni(folder, model, n_window, limits, processor, chat_template, special_tokens, named_tokens):
    """`limits`: least and most pixels of an image; `processor`: further fields of its file.

    `named_tokens`: what the processor calls some special tokens.
    """
    # What transformers calls model.language_model is model in its files, and the towers stand beside it.
    renamed = [("model.language_model.", "model.")]
    renamed += [(f"model.{tower}.", f"{tower}.") for tower in ("audio_tower", "visual")]
    state = {}
    for name, value in model.state_dict().items():
        for own, published in renamed:
            if name.startswith(own):
                name = published + name.removeprefix(own)
                break
        state[f"thinker.{name}"] = value
    rng = torch.Generator().manual_seed(5)
    state |= {name: torch.randn(shape, generator=rng) for name, shape in SPEAKING.items()}
    write_weights(folder, state)
    thinker = omni_thinker_config(model.config, n_window)
    write_json(os.path.join(folder, "config.json"), omni_config(thinker))
    text, vision = thinker["text_config"], thinker["vision_config"]
    write_generation_config(folder, text["bos_token_id"], text["eos_token_id"])
    write_json(
        os.path.join(folder, "preprocessor_config.json"),
        {
            "chunk_length": 300,
            "dither": 0.0,
            "feature_extractor_type": "WhisperFeatureExtractor",
            "feature_size": 128,
            "hop_length": 160,
            "image_processor_type": "Qwen2VLImageProcessor",
            "max_pixels": limits[1],
            "merge_size": vision["spatial_merge_size"],
            "min_pixels": limits[0],
            "n_fft": 400,
            "n_samples": 4800000,
            "nb_max_frames": 30000,
            "padding_side": "right",
            "padding_value": 0.0,
            "patch_size": vision["patch_size"],
            "processor_class": "Qwen2_5OmniProcessor",
            "return_attention_mask": True,
            "sampling_rate": 16000,
            "temporal_patch_size": vision["temporal_patch_size"],
            **processor,
        },
    )
    write_chat(
        folder,
        chat_template,
        special_tokens,
        text["max_position_embeddings"],
        extra_special_tokens=named_tokens,
        processor_class="Qwen2_5OmniProcessor",
    )
