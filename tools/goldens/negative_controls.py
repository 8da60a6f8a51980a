"""Plant a fault into transformers, one at a time, and see which goldens notice it.

usage: negative_controls.py [GOLDENS_DIR] [--bound 1e-4]     (default: crates/mquant/tests/goldens)

Prints, per model, a row for each fault and a column for each case: largest logit difference over the standard deviation
of the golden's logits, with a star when generated tokens change too. `none` and `other attention` are not faults: they
show what the same arithmetic in another order gives. Exit code 1: a fault stays below the bound in every case of every
model, or one of the two that are none does not.
"""

import argparse
import inspect
import json
import os
import sys
import textwrap

import torch
from safetensors.torch import load_file

import reference

HERE = os.path.dirname(os.path.abspath(__file__))


def rewrite(thing, method, right, wrong):
    """Gives an object a method in whose source `right` reads `wrong`."""
    source = textwrap.dedent(inspect.getsource(getattr(type(thing), method)))
    assert right in source, f"{method} has changed"
    names = dict(vars(sys.modules[type(thing).__module__]))
    exec(source.replace(right, wrong), names)
    setattr(thing, method, names[method].__get__(thing))


def other_attention(loaded):
    loaded.model.set_attn_implementation("eager")


def plain_positions(loaded):
    def index(input_ids, mm_token_type_ids=None, attention_mask=None, **_):
        positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)
        return positions[None].expand(3, -1, -1).clone(), torch.zeros(len(input_ids), 1, dtype=torch.long)

    loaded.model.model.get_rope_index = index


def text_after_last_frame(loaded):
    """Text after a video starts behind its largest position, time included, instead of behind its height and width."""
    right = "current_pos += max(grid_thw[1], grid_thw[2]) // spatial_merge_size"
    rewrite(loaded.model.model, "get_rope_index", right, "current_pos = int(vision_position_ids.max()) + 1")


def sections_reversed(loaded):
    for module in loaded.model.modules():
        if hasattr(module, "mrope_section"):
            module.mrope_section = module.mrope_section[::-1]


def rotary_base(loaded):
    rotary = loaded.model.model.language_model.rotary_emb
    count = rotary.inv_freq.numel()
    rotary.inv_freq = 1e5 ** (-torch.arange(count) / count)


def vision_height_width_swapped(loaded):
    rotary = loaded.model.model.visual.rotary_pos_emb
    right = rotary.forward
    rotary.forward = lambda x, positions: right(x, positions.flip(-1))


def vision_attends_across_pictures(loaded):
    def joined(right):
        return lambda hidden, cu_seqlens, **rest: right(hidden, cu_seqlens=cu_seqlens[[0, -1]], **rest)

    for block in loaded.model.model.visual.blocks:
        block.attn.forward = joined(block.attn.forward)


def last_frame_black(loaded):
    processor = loaded.processor.video_processor
    right = processor.patchify

    def padded(videos, **rest):
        odd = videos.shape[1] % 2
        return right(torch.cat([videos, torch.zeros_like(videos[:, :odd])], 1), **rest)

    processor.patchify = padded


def one_value_one_level_off(loaded):
    right = loaded.inputs

    def moved(conversations, fps=None):
        inputs = right(conversations, fps)
        for name in ("pixel_values", "pixel_values_videos"):
            if name in inputs:
                inputs[name][0, 0] += 1 / 255 / 0.27
        return inputs

    loaded.inputs = moved


def exact_gelu_in_blocks(loaded):
    for block in loaded.model.model.visual.blocks:
        block.mlp.act = torch.nn.GELU()


def tanh_gelu_in_merger(loaded):
    loaded.model.model.visual.merger.mlp[1] = torch.nn.GELU(approximate="tanh")


def rms_epsilon(part):
    def fault(loaded):
        for module in getattr(loaded.model.model, part).modules():
            if hasattr(module, "variance_epsilon"):
                module.variance_epsilon = 1e-5

    return fault


def layer_norm_epsilon(loaded):
    for module in loaded.model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-5


def no_bias(kind):
    def fault(loaded):
        for name, value in loaded.model.named_parameters():
            if name.endswith(f"{kind}.bias"):
                value.data.zero_()

    return fault


def full_attention_in(blocks):
    """`blocks`: from those with full attention and the number of blocks to those that have it by mistake."""

    def fault(loaded):
        visual = loaded.model.model.visual
        visual.fullatt_block_indexes = blocks(visual.fullatt_block_indexes, len(visual.blocks))

    return fault


def double_windows(loaded):
    loaded.model.model.visual.window_size *= 2


def vision(right, wrong):
    return lambda loaded: rewrite(loaded.model.model.visual, "forward", right, wrong)


def positions(right, wrong):
    return lambda loaded: rewrite(loaded.model.model, "get_rope_index", right, wrong)


def time_rounded(loaded):
    right = "(torch.arange(llm_grid_t, device=device) * time_interval).long()"
    wrong = "(torch.arange(llm_grid_t, device=device) * time_interval).round().long()"
    rewrite(loaded.model.model, "get_vision_position_ids", right, wrong)


def other_tokens_per_second(loaded):
    vision = loaded.model.config.vision_config
    vision.tokens_per_second = 6 - vision.tokens_per_second


def bf16_weights(loaded):
    for value in loaded.model.parameters():
        value.data = value.data.bfloat16().float()


NOT_FAULTS = {"none": lambda loaded: None, "other attention": other_attention}
FAULTS = {
    "plain positions": plain_positions,
    "text after last frame": text_after_last_frame,
    "rotary sections reversed": sections_reversed,
    "rotary base 1e5": rotary_base,
    "vision height-width swapped": vision_height_width_swapped,
    "vision attends across": vision_attends_across_pictures,
    "last frame black": last_frame_black,
    "one value one level off": one_value_one_level_off,
    "tanh gelu in merger": tanh_gelu_in_merger,
    "rms epsilon 1e-5": rms_epsilon("language_model"),
    "no key bias": no_bias("k_proj"),
    "no value bias": no_bias("v_proj"),
    "weights rounded to bf16": bf16_weights,
}
FAULTS_OF = {
    "qwen2_vl": {
        "exact gelu in blocks": exact_gelu_in_blocks,
        "layer norm epsilon 1e-5": layer_norm_epsilon,
    },
    "qwen2_5_vl": {
        "vision rms epsilon 1e-5": rms_epsilon("visual"),
        "full attention everywhere": full_attention_in(lambda full, depth: range(depth)),
        "full attention nowhere": full_attention_in(lambda full, depth: []),
        "full attention a block late": full_attention_in(lambda full, depth: [i + 1 for i in full]),
        "windows twice as wide": double_windows,
        "windows of one length": vision(
            "if layer_num in self",
            "even = torch.arange(0, seq_len, int(cu_window_seqlens.diff().max()))\n"
            "        cu_window_seqlens = torch.cat([even, cu_window_seqlens[-1:]])\n"
            "        if layer_num in self",
        ),
        "rotary in reading order": vision(
            "self.permute_input_for_window_attn(freq, window_index, seq_len=seq_len) for freq", "freq for freq"
        ),
        "tokens left in windows": vision("merged_hidden_states[reverse_indices, :]", "merged_hidden_states"),
        "tokens put back twice": vision("torch.argsort(window_index)", "window_index"),
        "no vision qkv bias": no_bias("attn.qkv"),
        "no vision gate bias": no_bias("mlp.gate_proj"),
        "no vision up bias": no_bias("mlp.up_proj"),
        "no vision down bias": no_bias("mlp.down_proj"),
        "one position a step": positions("tokens_per_second * next(second_per_grid_ts)", "1"),
        "one second a step": positions("* next(second_per_grid_ts)", "* torch.tensor(1.0)"),
        "seconds of the first video": positions(
            "iter(second_per_grid_ts) if", "iter(second_per_grid_ts[:1].expand(len(second_per_grid_ts))) if"
        ),
        "images take seconds": positions("time_interval = 1\n", "time_interval = 1; next(second_per_grid_ts)\n"),
        "time rounded": time_rounded,
        "other tokens per second": other_tokens_per_second,
    },
}


def difference(loaded, folder, case):
    """Largest relative logit difference of a case from its golden, and whether the generated tokens are the same."""
    messages = os.path.join(folder, f"{case.get('messages', case['name'])}.messages.json")
    try:
        ours, _ = reference.tensors(loaded, messages, fps=case.get("fps"))
    except StopIteration:
        return float("inf"), False
    golden = load_file(os.path.join(folder, f"{case['name']}.golden.safetensors"))
    logits = [name for name in golden if name.startswith("logits")]
    largest = max(((ours[n] - golden[n]).abs().max() / golden[n].std()).item() for n in logits)
    return largest, all(torch.equal(ours[n], golden[n]) for n in golden if n.startswith("generated"))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.path.join(HERE, "..", "..", "crates", "mquant", "tests", "goldens")
    arguments.add_argument("goldens", nargs="?", default=default)
    arguments.add_argument("--bound", type=float, default=1e-4)
    a = arguments.parse_args()
    wrong = []
    for family, faults in FAULTS_OF.items():
        largest = {}
        for folder in (os.path.join(a.goldens, family), os.path.join(a.goldens, f"{family}_published")):
            with open(os.path.join(folder, "cases.json"), encoding="utf-8") as file:
                cases = json.load(file)
            print(f"{os.path.basename(folder):28}", *(f"{case['name']:>11}" for case in cases))
            for name, plant in {**NOT_FAULTS, **FAULTS, **faults}.items():
                loaded = reference.Reference(folder)
                plant(loaded)
                seen = [difference(loaded, folder, case) for case in cases]
                largest[name] = max(largest.get(name, 0), *(d for d, _ in seen))
                print(f"{name:28}", *(f"{f'{d:.1e}' + ('' if same else '*'):>11}" for d, same in seen), flush=True)
        wrong += [f"{family}: {name}" for name, d in largest.items() if (d <= a.bound) != (name in NOT_FAULTS)]
    print(
        f"every fault is noticed beyond {a.bound:g}" if not wrong else f"beyond {a.bound:g}, wrong: {', '.join(wrong)}"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
