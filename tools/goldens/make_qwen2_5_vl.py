"""Make tiny Qwen2.5-VL models with random weights and what transformers answers with them.

usage: make_qwen2_5_vl.py [OUT_DIR]      (default: crates/mquant/tests/goldens, whose model folders are replaced)

  qwen2_5_vl            as transformers 5 saves: nested config.json, processor_config.json, float32, own head
  qwen2_5_vl_published  as published: flat config.json, preprocessor_config.json, bf16 shards, tied head

What holds for make_qwen2_vl.py holds here too. The goldens `video-fps` and `videos-fps` answer messages of other cases
with frames a second given; they hold no pixels, for they are those of the other case.
"""

from functools import partial

import torch
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

import cases
import published_layout
import tiny_models
from tiny_models import CELL, NUMBERED_TEMPLATE, PLAIN_TEMPLATE, SPECIAL, random_model, rope, tokenizer

# A longer `video` of fewer pixels: at 24 frames a second and 4 positions a second its four steps are at 0, 0, 0 and 1.
CLIP = dict(size=(62, 31), frames=7)


def config(text, vision, tied):
    return Qwen2_5_VLConfig(
        text_config=tiny_models.text_config(tied, **text),
        vision_config=dict(
            out_hidden_size=text["hidden_size"],
            patch_size=14,
            spatial_merge_size=2,
            temporal_patch_size=2,
            **vision,
        ),
        tie_word_embeddings=tied,
        **tiny_models.placeholders(),
    )


def make_nested(folder):
    """Windows of 2 x 2 tokens in the first and last block, full attention between; an odd width of the tower's MLPs.

    Norm epsilon and rotary base of the decoder are not those of the published checkpoints, and the tower's epsilon is
    another; heads of the tower are 24 wide; image and video have different pixel limits.
    """
    model = random_model(
        Qwen2_5_VLForConditionalGeneration,
        config(
            text=dict(
                hidden_size=64,
                intermediate_size=96,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=1,
                rope_parameters=rope(1e4, [4, 6, 6]),
                rms_norm_eps=1e-3,
            ),
            vision=dict(
                depth=3,
                hidden_size=48,
                intermediate_size=171,
                num_heads=2,
                window_size=56,
                fullatt_block_indexes=[1],
                tokens_per_second=4,
            ),
            tied=False,
        ),
        seed=13,
        dtype=torch.float32,
    )
    model.save_pretrained(folder)
    Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=2 * CELL, max_pixels=9 * CELL),
        video_processor=Qwen2VLVideoProcessor(min_pixels=2 * CELL, max_pixels=8 * CELL),
        tokenizer=tokenizer(),
        chat_template=PLAIN_TEMPLATE,
    ).save_pretrained(folder)
    return model


def make_published(folder):
    """Windows of 4 x 4 tokens as published, in the middle block; tied head; one pair of pixel limits."""
    model = random_model(
        Qwen2_5_VLForConditionalGeneration,
        config(
            text=dict(
                hidden_size=64,
                intermediate_size=192,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                rope_parameters=rope(1e6, [2, 3, 3]),
                rms_norm_eps=1e-6,
            ),
            vision=dict(
                depth=3,
                hidden_size=48,
                intermediate_size=190,
                num_heads=3,
                window_size=112,
                fullatt_block_indexes=[0, 2],
                tokens_per_second=2,
            ),
            tied=True,
        ),
        seed=7,
        dtype=torch.bfloat16,
    )
    limits = dict(min_pixels=2 * CELL, max_pixels=25 * CELL)
    mean, std = Qwen2VLImageProcessor.image_mean, Qwen2VLImageProcessor.image_std
    processor = {"class": "Qwen2_5_VLProcessor"}
    processor |= dict(limits, mean=mean, std=std, chat_template=NUMBERED_TEMPLATE, special_tokens=SPECIAL)
    published_layout.write_folder(folder, model, processor)
    return model


MODELS = {
    "qwen2_5_vl": (
        make_nested,
        [
            "one",
            "two",
            "wide",
            "text",
            "odd",
            ("video", partial(cases.video, **CLIP), {"video-fps": [3.0]}),
            "image-video",
            ("videos", cases.videos, {"videos-fps": [0.8, 0.05]}),
            "turns",
            ("batch", partial(cases.batch, **CLIP)),
        ],
    ),
    "qwen2_5_vl_published": (
        make_published,
        [
            ("two", partial(cases.two, sizes=((141, 40), (60, 141)))),
            "text",
            ("odd", partial(cases.odd, size=(141, 138))),
            ("video", cases.video, {"video-fps": [2.0]}),
            ("turns", partial(cases.turns, size=(60, 90))),
        ],
    ),
}


if __name__ == "__main__":
    tiny_models.main(__doc__, MODELS)
