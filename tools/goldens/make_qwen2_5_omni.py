"""Make a tiny Qwen2.5-Omni model with random weights, the part that reads, and what transformers answers with it.

usage: make_qwen2_5_omni.py [OUT_DIR]      (default: crates/mquant/tests/goldens, whose model folders are replaced)

  qwen2_5_omni            as transformers 5 saves the part that reads: processor_config.json, float32
  qwen2_5_omni_published  the same weights as published: parts that speak beside them, preprocessor_config.json,
                          bf16 shards; the audio tower attends within longer chunks

What holds for make_qwen2_vl.py holds here too. Rates and sounds of videos stand in the messages. In the first folder
the video's own pixel limits are passed to the processor, which would put its own in their place; in the second, which
has none, the processor's own hold.
"""

from functools import partial

import torch
from transformers import (
    Qwen2_5OmniProcessor,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniThinkerForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    WhisperFeatureExtractor,
)

import cases
import published_layout
import tiny_models
from tiny_models import CELL, random_model, rope

RENAMED = {
    "<|vision_start|>": "<|vision_bos|>",
    "<|vision_end|>": "<|vision_eos|>",
    "<|image_pad|>": "<|IMAGE|>",
    "<|video_pad|>": "<|VIDEO|>",
}
ADDED = ["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
NAMED = dict(
    image_token="<|IMAGE|>",
    audio_token="<|AUDIO|>",
    video_token="<|VIDEO|>",
    vision_bos_token="<|vision_bos|>",
    vision_eos_token="<|vision_eos|>",
    audio_bos_token="<|audio_bos|>",
    audio_eos_token="<|audio_eos|>",
)
SPECIAL = ["<|im_start|>", "<|im_end|>", *ADDED, "<|vision_bos|>", "<|vision_eos|>", "<|vision_pad|>"]
SPECIAL += ["<|IMAGE|>", "<|VIDEO|>"]
VOCABULARY = tiny_models.renamed_tokenizer(RENAMED, ADDED)

PLAIN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' or part['type'] == 'image_url' %}<|vision_bos|><|IMAGE|><|vision_eos|>"
    "{% elif part['type'] == 'video' or part['type'] == 'video_url' %}<|vision_bos|><|VIDEO|><|vision_eos|>"
    "{% elif part['type'] == 'audio' or part['type'] == 'audio_url' %}<|audio_bos|><|AUDIO|><|audio_eos|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# As the published one, it looks for sounds before videos and by keys: a video's part must come without its sound.
NUMBERED_TEMPLATE = (
    "{% set sounds = namespace(value=0) %}{% set pictures = namespace(value=0) %}{% set films = namespace(value=0) %}"
    "{% for turn in messages %}{% if loop.first and turn['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ turn['role'] }}\n"
    "{% if turn['content'] is string %}{{ turn['content'] }}<|im_end|>\n"
    "{% else %}{% for item in turn['content'] %}"
    "{% if item['type'] == 'image' or 'image' in item or 'image_url' in item %}"
    "{% set pictures.value = pictures.value + 1 %}{% if add_vision_id %}Picture {{ pictures.value }}: {% endif %}"
    "<|vision_bos|><|IMAGE|><|vision_eos|>"
    "{% elif item['type'] == 'audio' or 'audio' in item or 'audio_url' in item %}"
    "{% set sounds.value = sounds.value + 1 %}{% if add_audio_id %}Audio {{ sounds.value }}: {% endif %}"
    "<|audio_bos|><|AUDIO|><|audio_eos|>"
    "{% elif item['type'] == 'video' or 'video' in item %}"
    "{% set films.value = films.value + 1 %}{% if add_vision_id %}Video {{ films.value }}: {% endif %}"
    "<|vision_bos|><|VIDEO|><|vision_eos|>"
    "{% elif 'text' in item %}{{ item['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer():
    return tiny_models.tokenizer_of(VOCABULARY, **NAMED)


def placeholders():
    names = dict(
        audio_token_index="<|AUDIO|>",
        image_token_index="<|IMAGE|>",
        video_token_index="<|VIDEO|>",
        vision_start_token_id="<|vision_bos|>",
        vision_end_token_id="<|vision_eos|>",
        audio_start_token_id="<|audio_bos|>",
        audio_end_token_id="<|audio_eos|>",
    )
    return {name: tokenizer().convert_tokens_to_ids(token) for name, token in names.items()}


def model(n_window):
    """Weights that bf16 holds. The vision tower's MLPs are of an odd width, its heads 24 wide, those of sounds 12."""
    config = Qwen2_5OmniThinkerConfig(
        text_config=tiny_models.text_config(
            False,
            words=tokenizer(),
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            rope_parameters=rope(1e6, [4, 6, 6]),
            rms_norm_eps=1e-6,
        ),
        vision_config=dict(
            depth=3,
            hidden_size=48,
            intermediate_size=171,
            num_heads=2,
            out_hidden_size=64,
            patch_size=14,
            spatial_merge_size=2,
            temporal_patch_size=2,
            window_size=56,
            fullatt_block_indexes=[1],
        ),
        audio_config=dict(
            num_mel_bins=128,
            d_model=48,
            encoder_layers=2,
            encoder_attention_heads=4,
            encoder_ffn_dim=192,
            n_window=n_window,
            output_dim=64,
        ),
        tie_word_embeddings=False,
        **placeholders(),
    )
    return random_model(Qwen2_5OmniThinkerForConditionalGeneration, config, seed=23, dtype=torch.bfloat16)


def make_nested(folder):
    """Chunks of 50 frames, which are 25 rows: pairs of rows that are averaged reach over the end of a chunk."""
    memory = model(n_window=25)
    memory.save_pretrained(folder)
    Qwen2_5OmniProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=2 * CELL, max_pixels=9 * CELL),
        video_processor=Qwen2VLVideoProcessor(min_pixels=2 * CELL, max_pixels=8 * CELL),
        feature_extractor=WhisperFeatureExtractor(
            feature_size=128, chunk_length=30, return_attention_mask=True, sampling_rate=16000
        ),
        tokenizer=tokenizer(),
        chat_template=PLAIN_TEMPLATE,
    ).save_pretrained(folder)
    return memory


def make_published(folder):
    """Chunks of 200 frames, as published."""
    memory = model(n_window=100)
    processor = dict(image_mean=Qwen2VLImageProcessor.image_mean, image_std=Qwen2VLImageProcessor.image_std)
    published_layout.write_omni(
        folder, memory, 100, (2 * CELL, 25 * CELL), processor, NUMBERED_TEMPLATE, SPECIAL, NAMED
    )
    return memory


# 128 cells, the fewest of which the processor lets a frame consist; the sound is longer than its video.
LONG_SOUND = partial(cases.sounding, size=(64, 32), frames=2, samples=33000, fps=None)

MODELS = {
    "qwen2_5_omni": (
        make_nested,
        [
            "text",
            "audio",
            "audios",
            "audio-image",
            ("turns", cases.audio_turns),
            ("video", partial(cases.video, frames=6, fps=1.5)),
            ("image-video", cases.image_video),
            ("videos", partial(cases.videos, rates=({"fps": 0.8}, {}))),
            "sounding",
            "sounding-mix",
            ("batch", cases.audio_batch),
        ],
    ),
    "qwen2_5_omni_published": (
        make_published,
        [
            "text",
            ("audio", partial(cases.audio, samples=40003)),
            ("turns", cases.audio_turns),
            ("sounding", LONG_SOUND),
        ],
    ),
}


if __name__ == "__main__":
    tiny_models.main(__doc__, MODELS, entering=True, vocabulary=VOCABULARY)
