"""Make tiny Qwen3-VL models with random weights and what transformers answers with them.

usage: make_qwen3_vl.py [OUT_DIR]      (default: crates/mquant/tests/goldens, whose model folders are replaced)

  qwen3_vl            as transformers 5 saves: processor_config.json, rope_parameters, float32, own head
  qwen3_vl_published  as published: preprocessor_config.json and video_preprocessor_config.json, rope_scaling,
                      bf16 shards, tied head

What holds for make_qwen2_vl.py holds here too. Rates of videos stand in the messages.
"""

from functools import partial

import torch
from transformers import (
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

import cases
import published_layout
import tiny_models
from tiny_models import NUMBERED_TEMPLATE, PLAIN_TEMPLATE, SPECIAL, random_model, rope, tokenizer

CELL = 32 * 32  # pixels behind one image token
HALF = [0.5, 0.5, 0.5]


def config(text, vision, tied):
    return Qwen3VLConfig(
        text_config=tiny_models.text_config(tied, **text),
        vision_config=dict(
            out_hidden_size=text["hidden_size"],
            patch_size=16,
            spatial_merge_size=2,
            temporal_patch_size=2,
            **vision,
        ),
        tie_word_embeddings=tied,
        **tiny_models.placeholders(),
    )


def interleaved(theta, sections):
    return rope(theta, sections) | dict(mrope_interleaved=True)


def pixels(least, most):
    """Limits of an image, or of all frames of a video together, in cells."""
    return dict(shortest_edge=least * CELL, longest_edge=most * CELL)


def make_nested(folder):
    """Heads twice as wide as the hidden size has room for; deep features of three blocks, not of the second.

    Heads of the tower are 24 wide, its MLPs of an odd width; its 8 x 8 positions are fewer than a picture's patches in
    one direction and more in the other. Norm epsilon and rotary base are not those of the published checkpoints.
    """
    model = random_model(
        Qwen3VLForConditionalGeneration,
        config(
            text=dict(
                hidden_size=64,
                intermediate_size=96,
                num_hidden_layers=4,
                num_attention_heads=4,
                num_key_value_heads=2,
                head_dim=32,
                rope_parameters=interleaved(1e4, [6, 5, 5]),
                rms_norm_eps=1e-3,
            ),
            vision=dict(
                depth=4,
                hidden_size=48,
                intermediate_size=171,
                num_heads=2,
                num_position_embeddings=64,
                deepstack_visual_indexes=[0, 2, 3],
            ),
            tied=False,
        ),
        seed=17,
        dtype=torch.float32,
    )
    model.save_pretrained(folder)
    Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=pixels(3, 12), patch_size=16, image_mean=HALF, image_std=HALF),
        video_processor=Qwen3VLVideoProcessor(size=pixels(8, 24)),
        tokenizer=tokenizer(),
        chat_template=PLAIN_TEMPLATE,
    ).save_pretrained(folder)
    return model


def make_published(folder):
    """Heads of 16 in a decoder of three layers, deep features of two blocks; 7 x 7 positions; tied head."""
    model = random_model(
        Qwen3VLForConditionalGeneration,
        config(
            text=dict(
                hidden_size=64,
                intermediate_size=192,
                num_hidden_layers=3,
                num_attention_heads=2,
                num_key_value_heads=1,
                head_dim=16,
                rope_parameters=interleaved(5e6, [4, 2, 2]),
                rms_norm_eps=1e-6,
            ),
            vision=dict(
                depth=4,
                hidden_size=48,
                intermediate_size=96,
                num_heads=3,
                num_position_embeddings=49,
                deepstack_visual_indexes=[1, 2],
            ),
            tied=True,
        ),
        seed=19,
        dtype=torch.bfloat16,
    )
    published_layout.write_qwen3_vl(folder, model, pixels(4, 20), pixels(4, 40), NUMBERED_TEMPLATE, SPECIAL)
    return model


# Four of six frames are taken at 24 a second, which is what a video of unknown rate counts as.
FOUR_OF_SIX = partial(cases.video, frames=6)
# At 2.2 frames a second five of six frames: an odd number, the middle one of the frames 2 and 3 in doubt. Its pixels
# are at the upper limit when four frames are counted and above it when five are.
FIVE_OF_SIX = partial(cases.video, size=(100, 61), frames=6, name="video-odd-frames", fps=2.2)
# A frame every two seconds: all are taken, and time is far ahead of the positions.
SLOW = partial(cases.video, frames=6, fps=0.5)
# Frames lower than a cell and below the lower limit: they grow twice.
SMALL = partial(cases.video, size=(40, 15), frames=4, name="video-small-frames", fps=3)

MODELS = {
    "qwen3_vl": (
        make_nested,
        [
            "one",
            "two",
            "wide",
            "tiny",
            "text",
            "turns",
            ("video", FOUR_OF_SIX),
            ("video-odd", FIVE_OF_SIX),
            ("video-slow", SLOW),
            ("video-small", SMALL),
            ("image-video", partial(cases.image_video, fps=1.5)),
            ("videos", partial(cases.videos, rates=({"fps": 0.8}, {}))),
            ("batch", partial(cases.batch, frames=6)),
        ],
    ),
    "qwen3_vl_published": (
        make_published,
        [
            ("two", partial(cases.two, sizes=((141, 40), (60, 141)))),
            "text",
            ("turns", partial(cases.turns, size=(60, 90))),
            ("video", partial(cases.video, frames=9, fps=3.9)),
        ],
    ),
}


if __name__ == "__main__":
    tiny_models.main(__doc__, MODELS, entering=True)
