"""Compare two files of golden tensors, the reference first; exit with 1 when they differ beyond the bounds.

usage: compare_logits.py REFERENCE.safetensors OTHER.safetensors [--logits 2e-3] [--pixels 2e-3]

Bounds: `--logits` on the largest difference over the standard deviation of the reference's logits; `--pixels` on the
largest difference of a normalised pixel (one of 256 levels is about 0.015, so 2e-3 lets no level differ) or of a
frame of a sound. Ids, grids and greedy tokens must be equal, and both files must hold the same tensors, but what was
asked, not answered, and what enters the decoder may be in one alone. Exit code 2: a file cannot be read.
"""

import argparse
import sys

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])
# May be in one file alone.
ASKED = {"second_per_grid_ts", "feature_lengths", "position_ids", "deepstack_features"}
ASKED |= {f"{kind}_features" for kind in ("image", "video", "audio")}


def levels(pixels):
    """Rows of flattened patches [channel, time, height, width] back to the 256 levels they were normalised from."""
    channels = pixels.reshape(len(pixels), len(MEAN), -1)
    return ((channels * STD[:, None] + MEAN[:, None]) * 255).round()


def same(a, b):
    unequal = int((a != b).sum())
    return unequal == 0, "equal" if unequal == 0 else f"{unequal} of {a.numel()} differ"


def compare_pixels(a, b, bound):
    largest = (a - b).abs().max().item()
    moved = (levels(a) - levels(b)).abs()
    share = f"{int((moved > 0).sum())} of {moved.numel()} levels differ, by {int(moved.max())} at most"
    return largest <= bound, f"largest difference {largest:.2e}, {share}"


def compare_frames(a, b, bound):
    largest = (a - b).abs().max().item()
    return largest <= bound, f"largest difference {largest:.2e}"


def compare_logits(a, b, bound):
    relative = ((a - b).abs().max() / a.std()).item()
    agree = (a.argmax(-1) == b.argmax(-1)).float().mean().item()
    return relative <= bound, f"largest difference / std {relative:.2e}, same best token at {100 * agree:.1f} %"


def compare(name, a, b, bounds):
    """Whether tensor `name` agrees, and how, in words."""
    if a is None or b is None:
        return name in ASKED, "only in " + ("the other file" if a is None else "the reference")
    if a.shape != b.shape:
        return False, f"shape {list(a.shape)} against {list(b.shape)}"
    if a.dtype != b.dtype:
        return False, f"type {a.dtype} against {b.dtype}"
    if a.is_floating_point() and not (a.isfinite().all() and b.isfinite().all()):
        return False, "not finite"
    if name.startswith("logits"):
        return compare_logits(a, b, bounds.logits)
    if name.startswith("pixel_values"):
        return compare_pixels(a, b, bounds.pixels)
    if name.endswith("_features"):
        return compare_frames(a, b, bounds.pixels)
    return same(a, b)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("reference")
    arguments.add_argument("other")
    arguments.add_argument("--logits", type=float, default=2e-3)
    arguments.add_argument("--pixels", type=float, default=2e-3)
    bounds = arguments.parse_args()
    try:
        a, b = load_file(bounds.reference), load_file(bounds.other)
    except (OSError, SafetensorError) as error:
        print(error, file=sys.stderr)
        return 2
    ok = True
    for name in sorted(a.keys() | b.keys()):
        good, words = compare(name, a.get(name), b.get(name), bounds)
        ok &= good
        print(f"{'ok ' if good else 'BAD'}  {name:20} {words}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
