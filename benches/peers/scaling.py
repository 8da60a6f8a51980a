"""Interleave `mquant bench` of one integer model with itself: static against per-token scales, lengths, threads, batches.

usage: scaling.py MQUANT STATIC_BUNDLE DYNAMIC_BUNDLE [--rounds 3] [--threads 2] [--lengths 256 512 1024 2048 4096]

The bundles hold the same weights; one has static scales, the other finds each row's own while running. stdout: an aligned
table of medians and what they say, then one line of JSON with every run. stderr: progress.
"""

import argparse
import json
import os

from interleave import aligned, median, run, told


def bench(a, name, bundle, tokens, threads, batch=1, generate=0):
    command = [a.mquant, "bench", bundle, "--prompt-tokens", str(tokens), "--image", "none", "--threads", str(threads)]
    command += ["--batch", str(batch), "--generate", str(generate), "--repeat", "2", "--no-limits", "--json"]
    result = json.loads(run(name, command).stdout)
    told(f"{result['prefill_tokens_per_s']:.1f} tokens/s")
    return result


def cases(a):
    """Name, and how to measure it."""
    for tokens in a.lengths:
        for kind, bundle in [("static", a.static), ("dynamic", a.dynamic)]:
            yield f"{kind} {tokens}", lambda name, b=bundle, n=tokens: bench(a, name, b, n, a.threads)
    yield "1 thread 512", lambda name: bench(a, name, a.static, 512, 1)
    for batch in (1, 8):
        yield f"batch {batch}", lambda name, b=batch: bench(a, name, a.static, 128, a.threads, b, 32)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("mquant")
    arguments.add_argument("static")
    arguments.add_argument("dynamic")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--lengths", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096])
    a = arguments.parse_args()
    runs = {}
    for i in range(a.rounds):
        for case, measure in cases(a):
            runs.setdefault(case, []).append(measure(f"round {i + 1} of {a.rounds}: {case}"))
    prefill = {case: median(found, "prefill_tokens_per_s") for case, found in runs.items()}
    decode = {case: median(found, "decode_tokens_per_s") for case, found in runs.items() if case.startswith("batch")}
    rows = [["tokens", "static", "per token", "static is", "time per token"]]
    for n in a.lengths:
        static, dynamic = prefill[f"static {n}"], prefill[f"dynamic {n}"]
        growth = f"{prefill[f'static {a.lengths[0]}'] / static:.2f}x of {a.lengths[0]}"
        rows.append([str(n), f"{static:.1f}", f"{dynamic:.1f}", f"{static / dynamic:.3f}x", growth])
    print("\n".join(aligned(rows)))
    if 512 in a.lengths:
        print(f"\n{a.threads} threads against 1, 512 tokens: {prefill['static 512'] / prefill['1 thread 512']:.2f}x")
        if 4096 in a.lengths:
            print(f"time per token, 4096 against 512: {prefill['static 512'] / prefill['static 4096']:.2f}x")
    print(f"decoding 8 sequences against 1: {decode['batch 8'] / decode['batch 1']:.2f}x tokens per second")
    settings = {"lengths": a.lengths, "threads": a.threads, "rounds": a.rounds, "bundle": os.path.basename(a.static)}
    print(json.dumps({"settings": settings, "runs": runs}))


if __name__ == "__main__":
    main()
