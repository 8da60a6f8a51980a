"""Interleave `mquant bench` of an integer model with llama.cpp and PyTorch bf16 on the same shapes; medians and ratios.

usage: int_2b.py MQUANT BUNDLE [--llama DIR --gguf FILE [--mmproj FILE --picture FILE]] [--torch PYTHON]
                 [--rounds 3] [--prompt-tokens 512] [--image 448x448] [--generate 32] [--threads 2] [--cpu LEVEL]

DIR holds llama-bench and, for the picture, llama-mtmd-cli. PYTHON has torch and transformers; it takes random weights in
the 2B shapes. `--cpu` caps mquant, to compare it with a llama.cpp built for the same instructions. Peers that are not
named are left out. In every round mquant, then each peer, one process at a time.
stdout: an aligned table, then one line of JSON with every run. stderr: progress. Exit code 1: a run failed; its last
words are on stderr. Whether a target is met does not change it.
"""

import argparse
import json
import os
import re

from interleave import GIB, aligned, median, need, ratio, run, told

TORCH_MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_model.py")
LLAMA, TORCH, MQUANT = "llama.cpp", "torch bf16", "mquant"
ROWS = [  # field, title, unit, how many of the field's own units one is, whether more is better
    ("vision_s", "vision", "s", 1, False),
    ("first_token_s", "first token", "s", 1, False),
    ("prefill_tokens_per_s", "prefill", "tokens/s", 1, True),
    ("decode_tokens_per_s", "decode", "tokens/s", 1, True),
    ("peak_rss_bytes", "peak memory", "GiB", GIB, False),
]
TARGETS = {  # how many times better mquant should be
    ("vision_s", LLAMA): 4.0,
    ("vision_s", TORCH): 2.0,
    ("first_token_s", LLAMA): 3.6,
    ("prefill_tokens_per_s", LLAMA): 2.7,
    ("prefill_tokens_per_s", TORCH): 2.0,
    ("decode_tokens_per_s", LLAMA): 1.3,
}
QUESTION = 50  # tokens of text after the picture, for the first token


def of_mquant(a, name):
    bench = [a.mquant, "bench", a.bundle, "--threads", str(a.threads), "--repeat", "3", "--json"]
    bench += ["--cpu", a.cpu] if a.cpu else []
    text = [*bench, "--prompt-tokens", str(a.prompt_tokens), "--image", "none", "--generate", str(a.generate)]
    result = need(json.loads(run(name, text).stdout), ["prefill_tokens_per_s", "decode_tokens_per_s"], name)
    told(f"prefill {result['prefill_tokens_per_s']:.1f}, decode {result['decode_tokens_per_s']:.1f} tokens/s")
    picture = [*bench, "--prompt-tokens", str(QUESTION), "--image", a.image, "--generate", "1", "--no-limits"]
    seen = need(json.loads(run(f"{name} picture", picture).stdout), ["vision_s", "first_token_s"], name)
    told(f"vision {seen['vision_s']:.2f} s, first token {seen['first_token_s']:.2f} s")
    a.image_tokens = seen["image"]["tokens"]
    peak = max(result["peak_rss_bytes"], seen["peak_rss_bytes"])
    seen_too = {"vision_s": seen["vision_s"], "first_token_s": seen["first_token_s"], "peak_rss_bytes": peak}
    return result | seen_too | {"image": seen["image"], "picture_phases": seen["phases"]}


def of_llama(a, name):
    bench = [os.path.join(a.llama, "llama-bench"), "-m", a.gguf, "-t", str(a.threads), "-r", "1", "-o", "json"]
    prefill = run(f"{name} prefill", [*bench, "-p", str(a.prompt_tokens), "-n", "0"])
    result = {"prefill_tokens_per_s": json.loads(prefill.stdout)[0]["avg_ts"]}
    told(f"{result['prefill_tokens_per_s']:.1f} tokens/s")
    decode = run(f"{name} decode", [*bench, "-p", "0", "-n", str(a.generate), "-d", str(a.prompt_tokens)])
    result["decode_tokens_per_s"] = json.loads(decode.stdout)[0]["avg_ts"]
    told(f"{result['decode_tokens_per_s']:.1f} tokens/s")
    peaks = [prefill.peak_rss_bytes, decode.peak_rss_bytes]
    if a.mmproj:
        command = [os.path.join(a.llama, "llama-mtmd-cli"), "-m", a.gguf, "--mmproj", a.mmproj, "--image", a.picture]
        command += ["-t", str(a.threads), "-c", "2048", "-n", "1", "--no-warmup", "-p", "?"]
        vision = run(f"{name} vision", command)
        took = re.search(r"batch encoding done in (\d+) ms", vision.stdout + vision.stderr)
        if not took:
            told(f"it did not say how long encoding took\n{vision.stderr[-2000:]}")
            raise SystemExit(1)
        result["vision_s"] = int(took[1]) / 1e3
        told(f"{result['vision_s']:.2f} s")
        # The picture's rows and the question at the speed of its prefill: what a conversation adds is not counted.
        result["first_token_s"] = result["vision_s"] + (a.image_tokens + QUESTION) / result["prefill_tokens_per_s"]
        peaks.append(vision.peak_rss_bytes)
    return result | {"peak_rss_bytes": max(peaks)}


def of_torch(a, name):
    command = [a.torch, TORCH_MODEL, "bf16", "--prompt-tokens", str(a.prompt_tokens), "--image", a.image]
    command += ["--generate", str(a.generate), "--threads", str(a.threads)]
    fields = [field for field, *_ in ROWS if field != "first_token_s"]
    result = need(json.loads(run(name, command).stdout), fields, name)
    told(f"prefill {result['prefill_tokens_per_s']:.1f}, decode {result['decode_tokens_per_s']:.1f} tokens/s")
    return result


def table(runs):
    """The medians of every engine, how many times better mquant is than each peer, and what it should be."""
    peers = list(runs)[1:]
    rows = [["", *runs, *(head for peer in peers for head in (f"vs {peer}", "target"))]]
    for field, title, unit, scale, more_is_better in ROWS:
        values = {engine: median(runs[engine], field) for engine in runs}
        row = [f"{title} ({unit})", *("-" if v is None else f"{v / scale:.2f}" for v in values.values())]
        for peer in peers:
            times, target = ratio(values[MQUANT], values[peer], more_is_better), TARGETS.get((field, peer))
            row.append("-" if times is None else f"{times:.2f}x")
            met = "" if times is None or target is None else " met" if times >= target else " missed"
            row.append("" if target is None else f">= {target:.1f}x{met}")
        rows.append(row)
    return aligned(rows)


def limits(runs):
    """What mquant made of the limits it measured in the same rounds."""
    fractions = {}
    for one in runs:
        for phase in one["phases"]:
            for field in ("ops_fraction", "product_ops_fraction", "bytes_fraction"):
                fractions.setdefault((phase["name"], field), []).append({field: phase[field]})
    return {f"{name} {field}": median(found, field) for (name, field), found in fractions.items()}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("mquant")
    arguments.add_argument("bundle")
    arguments.add_argument("--llama", metavar="DIR")
    arguments.add_argument("--gguf", metavar="FILE")
    arguments.add_argument("--mmproj", metavar="FILE")
    arguments.add_argument("--picture", metavar="FILE")
    arguments.add_argument("--torch", metavar="PYTHON")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--prompt-tokens", type=int, default=512)
    arguments.add_argument("--image", default="448x448")
    arguments.add_argument("--generate", type=int, default=32)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--cpu", metavar="LEVEL")
    a = arguments.parse_args()
    if bool(a.llama) != bool(a.gguf) or bool(a.mmproj) != bool(a.picture) or (a.mmproj and not a.llama):
        arguments.error("--llama needs --gguf and the other way round; --mmproj and --picture need each other and both")
    engines = {MQUANT: of_mquant}
    if a.llama:
        engines[LLAMA] = of_llama
    if a.torch:
        engines[TORCH] = of_torch
    runs = {name: [] for name in engines}
    for i in range(a.rounds):
        for name, measure in engines.items():
            runs[name].append(measure(a, f"round {i + 1} of {a.rounds}: {name}"))
    print("\n".join(table(runs)))
    of_limits = limits(runs[MQUANT])
    print("".join(f"\n{name.replace('_', ' ')}: {v:.3f}" for name, v in of_limits.items() if v is not None))
    settings = {k: v for k, v in vars(a).items() if k not in ("mquant", "bundle", "llama", "torch")}
    settings |= {k: os.path.basename(v) for k, v in settings.items() if isinstance(v, str) and os.sep in v}
    print(json.dumps({"settings": settings, "fractions": of_limits, "runs": runs}))


if __name__ == "__main__":
    main()
