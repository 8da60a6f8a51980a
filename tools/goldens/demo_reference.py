"""What transformers answers on benchmark files: the answers that mquant's float model must give, sample by sample.

usage: demo_reference.py MODEL_DIR BENCH_DIR OUT.json [--limit N] [--new-tokens 24] [--batch 32]

BENCH_DIR holds VLMEvalKit TSV files (index, image as base64, question, answer). Every question goes through the
processor and the chat template as one user message, image first; answers are greedy and end at the end token, in
float32 on one thread; a sample scores when the answer equals the expected one exactly, outer white space aside. Samples
of equal prompt length and image grid run together, so no prompt is padded. OUT.json: per benchmark its score in percent
and for every sample index, question, answer, prediction and whether it hit; and the mean of the scores.
"""

import argparse
import base64
import csv
import glob
import io
import json
import os
import time

import torch
from PIL import Image
from transformers import GenerationConfig

import reference

LARGEST_FIELD = 1 << 28


def read_samples(path, limit):
    csv.field_size_limit(LARGEST_FIELD)
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))[:limit]


def prepare(loaded, sample):
    """Model inputs of one sample."""
    with Image.open(io.BytesIO(base64.b64decode(sample["image"]))) as file:
        image = file.convert("RGB")
    content = [{"type": "image"}, {"type": "text", "text": sample["question"]}]
    prompt = loaded.prompt([{"role": "user", "content": content}])
    return loaded.processor(text=[prompt], images=[image], return_tensors="pt")


def groups_of_equal_shape(inputs, batch):
    """Lists of at most `batch` sample numbers whose prompts have one length and whose images have one grid."""
    by_shape = {}
    for i, one in enumerate(inputs):
        shape = (one["input_ids"].shape[1], *one["image_grid_thw"].flatten().tolist())
        by_shape.setdefault(shape, []).append(i)
    return [same[i : i + batch] for same in by_shape.values() for i in range(0, len(same), batch)]


@torch.no_grad()
def answers(loaded, inputs, new_tokens):
    """Decoded answers of inputs of equal shape."""
    joined = {name: torch.cat([one[name] for one in inputs]) for name in inputs[0]}
    out = loaded.model.generate(**joined)[:, joined["input_ids"].shape[1] :]
    assert out.shape[1] <= new_tokens
    return [text.strip() for text in loaded.processor.tokenizer.batch_decode(out, skip_special_tokens=True)]


def answer_file(loaded, path, a):
    """Score in percent and the answered samples of one benchmark file."""
    samples = read_samples(path, a.limit)
    inputs = [prepare(loaded, sample) for sample in samples]
    predictions = [None] * len(samples)
    for group in groups_of_equal_shape(inputs, a.batch):
        for i, text in zip(group, answers(loaded, [inputs[i] for i in group], a.new_tokens), strict=True):
            predictions[i] = text
    rows = []
    for sample, prediction in zip(samples, predictions, strict=True):
        row = {key: sample[key] for key in ("index", "question", "answer")}
        rows.append({**row, "prediction": prediction, "hit": prediction == sample["answer"]})
    return {"score": 100 * sum(row["hit"] for row in rows) / len(rows), "samples": rows}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model")
    arguments.add_argument("benchmarks")
    arguments.add_argument("out")
    arguments.add_argument("--limit", type=int)
    arguments.add_argument("--new-tokens", type=int, default=24)
    arguments.add_argument("--batch", type=int, default=32)
    a = arguments.parse_args()
    loaded = reference.Reference(a.model)
    loaded.model.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=a.new_tokens,
        eos_token_id=loaded.processor.tokenizer.eos_token_id,
        pad_token_id=loaded.processor.tokenizer.pad_token_id,
    )
    results = {}
    for path in sorted(glob.glob(os.path.join(a.benchmarks, "*.tsv"))):
        name, start = os.path.basename(path).removesuffix(".tsv"), time.perf_counter()
        results[name] = answer_file(loaded, path, a)
        samples = len(results[name]["samples"])
        print(f"{name:16} {results[name]['score']:6.1f}  {samples} in {time.perf_counter() - start:.0f} s", flush=True)
    mean = sum(r["score"] for r in results.values()) / len(results)
    print(f"{'mean':16} {mean:6.1f}")
    with open(a.out, "w", encoding="utf-8") as file:
        json.dump({"mean": mean, "benchmarks": results}, file, indent=1, ensure_ascii=False)
        file.write("\n")


if __name__ == "__main__":
    main()
