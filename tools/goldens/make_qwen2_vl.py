"""Make tiny Qwen2-VL models with random weights and what transformers answers with them.

usage: make_qwen2_vl.py [OUT_DIR]      (default: crates/mquant/tests/goldens, whose model folders are replaced)

  qwen2_vl            as transformers 5 saves a model: nested config.json, processor_config.json, float32, own head
  qwen2_vl_published  as checkpoints were published: flat config.json, preprocessor_config.json, bf16 shards, tied head

Every model is written first and loaded back from its folder; the goldens are what the loaded model answers. The script
stops when its logits differ in any bit from those of the model in memory. Each case takes the first of a list of
questions for which no generated token is a media placeholder and no greedy choice is so close that rounding could
change it. The same versions give the same bytes; docs/goldens.md names them and describes the files.
"""

import json
import os
import shutil
import sys
from functools import partial

import torch
from safetensors.torch import save_file
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

import published_layout
import reference
from cases import CASES, QUESTIONS, Media

HERE = os.path.dirname(os.path.abspath(__file__))
TOKENIZER = os.path.join(HERE, "tokenizer.json")
SPECIAL = ["im_start", "im_end", "vision_start", "vision_end", "vision_pad", "image_pad", "video_pad"]
SPECIAL = [f"<|{name}|>" for name in SPECIAL]
CELL = 28 * 28  # pixels behind one image token
SMALLEST_MARGIN = 0.01  # of a generated token's logit over the next best, in standard deviations of the logits

PLAIN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' or part['type'] == 'image_url' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'video' or part['type'] == 'video_url' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NUMBERED_TEMPLATE = (
    "{% set pictures = namespace(value=0) %}{% set films = namespace(value=0) %}{% for turn in messages %}"
    "{% if loop.first and turn['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ turn['role'] }}\n"
    "{% if turn['content'] is string %}{{ turn['content'] }}<|im_end|>\n"
    "{% else %}{% for item in turn['content'] %}"
    "{% if item['type'] in ('image', 'image_url') or 'image' in item or 'image_url' in item %}"
    "{% set pictures.value = pictures.value + 1 %}{% if add_vision_id %}Picture {{ pictures.value }}: {% endif %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif item['type'] in ('video', 'video_url') or 'video' in item %}"
    "{% set films.value = films.value + 1 %}{% if add_vision_id %}Video {{ films.value }}: {% endif %}"
    "<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in item %}{{ item['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer():
    special = [t for t in SPECIAL if t != "<|im_end|>"]
    return PreTrainedTokenizerFast(
        tokenizer_file=TOKENIZER, eos_token="<|im_end|>", pad_token="<|endoftext|>", additional_special_tokens=special
    )


def config(text, vision, tied):
    ids, size = tokenizer().convert_tokens_to_ids, len(tokenizer())
    return Qwen2VLConfig(
        text_config=dict(
            vocab_size=size,
            max_position_embeddings=4096,
            bos_token_id=ids("<|endoftext|>"),
            eos_token_id=ids("<|im_end|>"),
            tie_word_embeddings=tied,
            **text,
        ),
        vision_config=dict(
            hidden_size=text["hidden_size"],
            mlp_ratio=4,
            patch_size=14,
            spatial_merge_size=2,
            temporal_patch_size=2,
            **vision,
        ),
        tie_word_embeddings=tied,
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
    )


def random_model(config, seed, dtype):
    """Weights rounded to `dtype`, held in f32. Blocks are louder than the embedding: a fault in one must be heard."""
    model = Qwen2VLForConditionalGeneration(config).float().eval()
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=rng)
            if value.ndim == 1:
                is_gain = name.endswith("weight")
                new = (1.0 if is_gain else 0.0) + 0.25 * noise
            elif "embed_tokens" in name:
                new = 0.3 * noise
            else:
                new = 1.3 * noise / value[0].numel() ** 0.5
            value.copy_(new.to(dtype))
    return model


def rope(theta, sections):
    return dict(rope_type="default", rope_theta=theta, mrope_section=sections)


def make_nested(folder):
    """Four heads share one key-value head; image and video have different pixel limits.

    Norm epsilon and rotary base are not those of the published checkpoints: a value built in is told from a value read.
    """
    model = random_model(
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
    processor = dict(limits, mean=mean, std=std, chat_template=NUMBERED_TEMPLATE, special_tokens=SPECIAL)
    published_layout.write_folder(folder, model, processor)
    return model


MODELS = {
    "qwen2_vl": (make_nested, ["one", "two", "wide", "text", "video", "image-video", "turns", "batch"]),
    "qwen2_vl_published": (make_published, ["two", "text", "video", "turns"]),
}


def write_messages(path, messages):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(messages, file, indent=1)
        file.write("\n")


def check_loaded(case, loaded, memory, inputs):
    """The folder says all there is to say: loaded from it, the model answers as the one in memory, bit for bit."""
    with torch.no_grad():
        if not torch.equal(loaded(**inputs).logits, memory(**inputs).logits):
            raise SystemExit(f"{case}: the model loaded from its folder answers differently from the one in memory")


def smallest_margin(steps):
    """Best minus second-best logit, the smallest over all generated tokens, in standard deviations of the logits."""
    best = steps.topk(2, -1).values
    return ((best[..., 0] - best[..., 1]) / steps.std()).min().item()


def generated(tensors):
    return {token for name, value in tensors.items() if name.startswith("generated") for token in value.tolist()}


def make_case(loaded, memory, path, messages_for):
    """Write the messages of the first question that gives safe tokens; return tensors, rendered prompts and margin."""
    placeholders = {loaded.model.config.image_token_id, loaded.model.config.video_token_id}
    for question in QUESTIONS:
        write_messages(path, messages_for(question))
        conversations, _ = reference.read_conversations(path)
        check_loaded(path, loaded.model, memory, loaded.inputs(conversations))
        tensors, steps = reference.tensors(loaded, path)
        margin = smallest_margin(steps)
        if margin >= SMALLEST_MARGIN and not placeholders & generated(tensors):
            return tensors, [loaded.prompt(c.messages) for c in conversations], margin
    raise SystemExit(f"{path}: with every question a generated token is a placeholder or too close a choice")


def make(out, name):
    folder = os.path.join(out, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    write, cases = MODELS[name]
    memory = write(folder)
    shutil.copyfile(TOKENIZER, os.path.join(folder, "tokenizer.json"))
    loaded = reference.Reference(folder)
    media, rendered = Media(folder, seed=100 * (1 + list(MODELS).index(name))), []
    for case in cases:
        path = os.path.join(folder, f"{case}.messages.json")
        tensors, prompts, margin = make_case(loaded, memory, path, partial(CASES[case], media))
        save_file(tensors, os.path.join(folder, f"{case}.golden.safetensors"))
        rendered.append({"name": case, "prompts": prompts})
        tokens = [len(value) for key, value in tensors.items() if key.startswith("input_ids")]
        distinct = len(generated(tensors))
        print(f"{name}/{case}: prompt tokens {tokens}, distinct generated {distinct}, margin {margin:.3f}", flush=True)
    write_messages(os.path.join(folder, "cases.json"), rendered)


def main():
    if len(sys.argv) > 2 or sys.argv[1:2] in (["-h"], ["--help"]):
        raise SystemExit(__doc__)
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "..", "crates", "mquant", "tests", "goldens")
    for name in MODELS:
        make(out, name)


if __name__ == "__main__":
    main()
