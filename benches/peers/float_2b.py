"""Interleave `mquant bench` with transformers in f32 and bf16 on the same shapes, and print medians and ratios.

usage: float_2b.py MQUANT_BINARY MODEL_DIR [--rounds 3] [--peers f32 bf16] [--python PYTHON] [--random]
                   [--prompt-tokens 512] [--image 448x448] [--generate 16] [--threads 2]

One process at a time: in every round mquant, then each peer, so that a machine that grows slower does so for all.
stdout: an aligned table, then one line of JSON with every run. stderr: progress. `--random` gives the peers random
weights in the 2B shapes instead of MODEL_DIR. Exit code 1: a run failed; its last words are on stderr.
"""

import argparse
import json
import os
import sys

from interleave import GIB, aligned, median, need, ratio, run, told

TORCH_MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_model.py")
ROWS = [  # field, title, unit, how many of the field's own units one is, whether more is better
    ("load_s", "load", "s", 1, False),
    ("vision_s", "vision", "s", 1, False),
    ("prefill_tokens_per_s", "prefill", "tokens/s", 1, True),
    ("decode_tokens_per_s", "decode", "tokens/s", 1, True),
    ("peak_rss_bytes", "peak memory", "GiB", GIB, False),
]


def measure(name, command):
    """The JSON object a run prints on stdout."""
    result = need(json.loads(run(name, command).stdout), [field for field, *_ in ROWS], name)
    told(f"prefill {result['prefill_tokens_per_s']:.1f} tokens/s")
    return result


def commands(a):
    shapes = ["--prompt-tokens", str(a.prompt_tokens), "--image", a.image]
    shapes += ["--generate", str(a.generate), "--threads", str(a.threads)]
    yield "mquant", [a.mquant, "bench", a.model, *shapes, "--no-limits", "--json"]
    for dtype in a.peers:
        model = [] if a.random else [a.model]
        yield f"torch {dtype}", [a.python, TORCH_MODEL, dtype, *model, *shapes]


def table(runs):
    """Rows of text: the medians of every engine, and mquant against each peer (above 1: mquant is better)."""
    engines = list(runs)
    rows = [["", *engines, *(f"vs {peer}" for peer in engines[1:])]]
    for field, title, unit, scale, more_is_better in ROWS:
        values = [median(runs[e], field) for e in engines]
        row = [f"{title} ({unit})", *("-" if v is None else f"{v / scale:.2f}" for v in values)]
        for peer in values[1:]:
            times = ratio(values[0], peer, more_is_better)
            row.append("-" if times is None else f"{times:.2f}x")
        rows.append(row)
    return aligned(rows)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("mquant")
    arguments.add_argument("model")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--peers", nargs="*", choices=["f32", "bf16"], default=["f32", "bf16"])
    arguments.add_argument("--python", default=sys.executable)
    arguments.add_argument("--random", action="store_true")
    arguments.add_argument("--prompt-tokens", type=int, default=512)
    arguments.add_argument("--image", default="448x448")
    arguments.add_argument("--generate", type=int, default=16)
    arguments.add_argument("--threads", type=int, default=2)
    a = arguments.parse_args()
    runs = {}
    for i in range(a.rounds):
        for name, command in commands(a):
            runs.setdefault(name, []).append(measure(f"round {i + 1} of {a.rounds}: {name}", command))
    print("\n".join(table(runs)))
    settings = {k: v for k, v in vars(a).items() if k not in ("mquant", "model", "python")}
    print(json.dumps({"settings": settings, "runs": runs}))


if __name__ == "__main__":
    main()
