"""Plant a fault into transformers, one at a time, and see which goldens notice it.

usage: negative_controls.py [GOLDENS_DIR] [--bound 1e-4]     (default: crates/mquant/tests/goldens)

Prints, per model, a row for each fault and a column for each case: largest logit difference over the standard deviation
of the golden's logits, with a star when generated tokens change too. `none` and `other attention` are not faults: they
show what the same arithmetic in another order gives. Exit code 1: a fault stays below the bound in every case of every
model, or one of the two that are none does not.
"""

import argparse
import glob
import inspect
import os
import sys
import textwrap

import torch
from safetensors.torch import load_file
from transformers.models.qwen2_vl import modeling_qwen2_vl as qwen2_vl

import reference

HERE = os.path.dirname(os.path.abspath(__file__))


def other_attention(loaded):
    loaded.model.set_attn_implementation("eager")


def plain_positions(loaded):
    def index(input_ids, mm_token_type_ids=None, attention_mask=None, **_):
        positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)
        return positions[None].expand(3, -1, -1).clone(), torch.zeros(len(input_ids), 1, dtype=torch.long)

    loaded.model.model.get_rope_index = index


def text_after_last_frame(loaded):
    """Text after a video starts behind its largest position, time included, instead of behind its height and width."""
    model = loaded.model.model
    source = textwrap.dedent(inspect.getsource(type(model).get_rope_index))
    right = "current_pos += max(grid_thw[1], grid_thw[2]) // spatial_merge_size"
    assert right in source, "get_rope_index has changed"
    names = dict(vars(qwen2_vl))
    exec(source.replace(right, "current_pos = int(vision_position_ids.max()) + 1"), names)
    model.get_rope_index = names["get_rope_index"].__get__(model)


def sections_reversed(loaded):
    for module in loaded.model.modules():
        if hasattr(module, "mrope_section"):
            module.mrope_section = module.mrope_section[::-1]


def rotary_base(loaded):
    for module in loaded.model.modules():
        if isinstance(module, qwen2_vl.Qwen2VLRotaryEmbedding):
            count = module.inv_freq.numel()
            module.inv_freq = 1e5 ** (-torch.arange(count) / count)


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

    def moved(conversations):
        inputs = right(conversations)
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


def rms_epsilon(loaded):
    for module in loaded.model.modules():
        if hasattr(module, "variance_epsilon"):
            module.variance_epsilon = 1e-5


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
    "exact gelu in blocks": exact_gelu_in_blocks,
    "tanh gelu in merger": tanh_gelu_in_merger,
    "rms epsilon 1e-5": rms_epsilon,
    "layer norm epsilon 1e-5": layer_norm_epsilon,
    "no key bias": no_bias("k_proj"),
    "no value bias": no_bias("v_proj"),
    "weights rounded to bf16": bf16_weights,
}


def difference(loaded, path):
    """Largest relative logit difference of a case from its golden, and whether the generated tokens are the same."""
    ours, _ = reference.tensors(loaded, path)
    golden = load_file(path.replace(".messages.json", ".golden.safetensors"))
    logits = [name for name in golden if name.startswith("logits")]
    largest = max(((ours[n] - golden[n]).abs().max() / golden[n].std()).item() for n in logits)
    return largest, all(torch.equal(ours[n], golden[n]) for n in golden if n.startswith("generated"))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.path.join(HERE, "..", "..", "crates", "mquant", "tests", "goldens")
    arguments.add_argument("goldens", nargs="?", default=default)
    arguments.add_argument("--bound", type=float, default=1e-4)
    a = arguments.parse_args()
    largest = {}
    for folder in sorted(glob.glob(os.path.join(a.goldens, "qwen2_vl*"))):
        paths = sorted(glob.glob(os.path.join(folder, "*.messages.json")))
        cases = [os.path.basename(path).removesuffix(".messages.json") for path in paths]
        print(f"{os.path.basename(folder):28}", *(f"{case:>11}" for case in cases))
        for name, plant in {**NOT_FAULTS, **FAULTS}.items():
            loaded = reference.Reference(folder)
            plant(loaded)
            seen = [difference(loaded, path) for path in paths]
            largest[name] = max(largest.get(name, 0), *(d for d, _ in seen))
            print(f"{name:28}", *(f"{f'{d:.1e}' + ('' if same else '*'):>11}" for d, same in seen), flush=True)
    wrong = [name for name in FAULTS if largest[name] <= a.bound]
    wrong += [name for name in NOT_FAULTS if largest[name] > a.bound]
    print(
        f"every fault is noticed beyond {a.bound:g}" if not wrong else f"beyond {a.bound:g}, wrong: {', '.join(wrong)}"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
