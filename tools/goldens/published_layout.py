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
