"""Make tiny Qwen2-VL models with random weights and what transformers answers with them.

usage: make_qwen2_vl.py [OUT_DIR]      (default: crates/mquant/tests/goldens, whose model folders are replaced)

  qwen2_vl            as transformers 5 saves a model: nested config.json, processor_config.json, float32, own head
  qwen2_vl_published  as checkpoints were published: flat config.json, preprocessor_config.json, bf16 shards, tied head

Every model is written first and loaded back from its folder; the goldens are what the loaded model answers. The script
stops when its logits differ in any bit from those of the model in memory. Each case takes the first of a list of
questions for which no generated token is a media placeholder and no greedy choice is so close that rounding could
change it. The same versions give the same bytes; docs/goldens.md names them and describes the files.
"""

import torch
from transformers import (
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

import published_layout
import tiny_models
from tiny_models import CELL, NUMBERED_TEMPLATE, PLAIN_TEMPLATE, SPECIAL, random_model, rope, tokenizer


def config(text, vision, tied):
    return Qwen2VLConfig(
        text_config=tiny_models.text_config(tied, **text),
        vision_config=dict(
            hidden_size=text["hidden_size"],
            mlp_ratio=4,
            patch_size=14,
            spatial_merge_size=2,
            temporal_patch_size=2,
            **vision,
        ),
        tie_word_embeddings=tied,
        **tiny_models.placeholders(),
    )


def make_nested(folder):
    """Four heads share one key-value head; image and video have different pixel limits.

    Norm epsilon and rotary base are not those of the published checkpoints: a value built in is told from a value read.
    """
    model = random_model(
        Qwen2VLForConditionalGeneration,
        config(
            text=dict(
                hidden_size=128,
                intermediate_size=320,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=1,
                rope_parameters=rope(1e4, [4, 6, 6]),
                rms_norm_eps=1e-3,
            ),
            vision=dict(depth=2, embed_dim=96, num_heads=3),
            tied=False,
        ),
        seed=1,
        dtype=torch.float32,
    )
    model.save_pretrained(folder)
    Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=4 * CELL, max_pixels=20 * CELL),
        video_processor=Qwen2VLVideoProcessor(min_pixels=3 * CELL, max_pixels=8 * CELL),
        tokenizer=tokenizer(),
        chat_template=PLAIN_TEMPLATE,
    ).save_pretrained(folder)
    return model


def make_published(folder):
    """Six heads of 16 in two groups, tied head; one pair of pixel limits for images and videos."""
    model = random_model(
        Qwen2VLForConditionalGeneration,
        config(
            text=dict(
                hidden_size=96,
                intermediate_size=256,
                num_hidden_layers=3,
                num_attention_heads=6,
                num_key_value_heads=2,
                rope_parameters=rope(1e6, [2, 3, 3]),
                rms_norm_eps=1e-6,
            ),
            vision=dict(depth=2, embed_dim=64, num_heads=2),
            tied=True,
        ),
        seed=2,
        dtype=torch.bfloat16,
    )
    limits = dict(min_pixels=4 * CELL, max_pixels=12 * CELL)
    mean, std = Qwen2VLImageProcessor.image_mean, Qwen2VLImageProcessor.image_std
    processor = {"class": "Qwen2VLProcessor"}
    processor |= dict(limits, mean=mean, std=std, chat_template=NUMBERED_TEMPLATE, special_tokens=SPECIAL)
    published_layout.write_folder(folder, model, processor)
    return model


MODELS = {
    "qwen2_vl": (make_nested, ["one", "two", "wide", "text", "video", "image-video", "turns", "batch"]),
    "qwen2_vl_published": (make_published, ["two", "text", "video", "turns"]),
}


if __name__ == "__main__":
    tiny_models.main(__doc__, MODELS)
