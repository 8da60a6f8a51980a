"""Time transformers' Qwen2-VL: loading, the vision tower, prefill and decode; one JSON object on stdout.

usage: torch_model.py {f32,bf16} [MODEL_DIR] [--prompt-tokens 512] [--image 448x448] [--generate 16] [--threads 2]
                      [--repeat 1]

Without MODEL_DIR: random weights in the shapes of the 2B model, and `load_s` is null. Fields: `load_s`, `vision_s`,
`prefill_tokens_per_s`, `decode_tokens_per_s`, `peak_rss_bytes`, as `mquant bench --json` names them. Every stage runs
once unmeasured, then `--repeat` times; the median counts. Decode follows the prompt, one token a pass.
"""

import argparse
import json
import os
import resource
import statistics
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def config_2b():
    return Qwen2VLConfig(
        text_config=dict(
            hidden_size=1536,
            num_hidden_layers=28,
            num_attention_heads=12,
            num_key_value_heads=2,
            intermediate_size=8960,
            vocab_size=151936,
            max_position_embeddings=32768,
            rms_norm_eps=1e-6,
            tie_word_embeddings=True,
            rope_parameters=dict(rope_type="default", rope_theta=1e6, mrope_section=[16, 24, 24]),
        ),
        vision_config=dict(depth=32, embed_dim=1280, hidden_size=1536, num_heads=16),
        tie_word_embeddings=True,
    )


def random_model(dtype):
    """Weights repeat one block of noise: their values do not matter for speed, drawing two billion of them would."""
    torch.set_default_dtype(dtype)
    with torch.device("meta"):
        model = Qwen2VLForConditionalGeneration(config_2b())
    model = model.to_empty(device="cpu")
    model.tie_weights()
    noise = torch.randn(1 << 20).mul_(0.02).to(dtype)
    with torch.no_grad():
        for value in model.parameters():
            flat = value.view(-1)
            for start in range(0, len(flat), len(noise)):
                part = flat[start : start + len(noise)]
                part.copy_(noise[: len(part)])
        for module in model.modules():
            if hasattr(module, "original_inv_freq"):
                fresh = type(module)(module.config)
                module.inv_freq, module.original_inv_freq = fresh.inv_freq.float(), fresh.original_inv_freq.float()
    return model


def median_seconds(stage, repeat):
    stage()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        stage()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def decode_seconds(model, prompt, generate):
    """Seconds of one decoded token after the prompt: the median over `generate` passes, the first left out."""
    out = model(input_ids=prompt, use_cache=True, logits_to_keep=1)
    times = []
    for _ in range(generate + 1):
        token = out.logits[:, -1:].argmax(-1)
        start = time.perf_counter()
        out = model(input_ids=token, past_key_values=out.past_key_values, use_cache=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def vision_stage(model, size):
    vision = model.config.vision_config
    patch, features = vision.patch_size, vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    width, height = (int(side) // patch for side in size.split("x"))
    pixels = torch.randn(width * height, features, dtype=model.dtype)
    grid = torch.tensor([[1, height, width]])
    return lambda: model.model.visual(pixels, grid_thw=grid)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("dtype", choices=DTYPES)
    arguments.add_argument("model", nargs="?")
    arguments.add_argument("--prompt-tokens", type=int, default=512)
    arguments.add_argument("--image", default="448x448")
    arguments.add_argument("--generate", type=int, default=16)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--repeat", type=int, default=1)
    a = arguments.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    start = time.perf_counter()
    if a.model:
        model = Qwen2VLForConditionalGeneration.from_pretrained(a.model, dtype=DTYPES[a.dtype]).eval()
    else:
        model = random_model(DTYPES[a.dtype]).eval()
    load_s = time.perf_counter() - start if a.model else None
    # The ends of a vocabulary hold special tokens; a media placeholder without pixels would be refused.
    vocabulary = model.config.text_config.vocab_size
    prompt = torch.randint(vocabulary // 100 + 8, vocabulary - vocabulary // 100, (1, a.prompt_tokens))
    with torch.inference_mode():
        vision_s = median_seconds(vision_stage(model, a.image), a.repeat)
        prefill_s = median_seconds(lambda: model(input_ids=prompt, use_cache=True, logits_to_keep=1), a.repeat)
        token_s = decode_seconds(model, prompt, a.generate)
    result = {
        "load_s": load_s,
        "vision_s": vision_s,
        "prefill_tokens_per_s": a.prompt_tokens / prefill_s,
        "decode_tokens_per_s": 1 / token_s,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
