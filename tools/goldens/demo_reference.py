"""What transformers answers on benchmark files: the answers that mquant's float model must give, sample by sample.

usage: demo_reference.py MODEL_DIR BENCH_DIR [BENCH_DIR ...] OUT.json [--limit N] [--new-tokens 24] [--batch 32]

A BENCH_DIR holds VLMEvalKit TSV files (index, image and audio as base64 where there are any, question, answer). Every
question goes through the processor and the chat template as one user message, image first, then the sound; answers are
greedy and end at the end token, in float32 on one thread; a sample scores when the answer equals the expected one
exactly, outer white space aside. Of the benchmarks in WORD_ERRORS the score is the word error rate. Samples of equal
prompt length and media shape run together, so no prompt is padded. OUT.json: per benchmark its score in percent and for
every sample index, question, answer, prediction and whether it hit; and the mean of the scores that are exact matches.
"""

import argparse
import base64
import csv
import glob
import io
import json
import os
import string
import time

import torch
from PIL import Image
from transformers import GenerationConfig

import reference

LARGEST_FIELD = 1 << 28
WORD_ERRORS = {"DemoSpeech"}
RATE = 16000


def read_samples(path, limit):
    csv.field_size_limit(LARGEST_FIELD)
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))[:limit]


def read_sound(data):
    """Samples of a compressed file, mono at the rate models hear."""
    import soundfile  # not needed where nothing is heard

    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    if rate != RATE or samples.ndim != 1:
        raise ValueError(f"{rate} samples a second, {samples.ndim} axes; expected {RATE} and one")
    return samples


def prepare(loaded, sample):
    """Model inputs of one sample."""
    content, media = [], {}
    if "image" in sample:
        with Image.open(io.BytesIO(base64.b64decode(sample["image"]))) as file:
            media["images"] = [file.convert("RGB")]
        content.append({"type": "image"})
    if "audio" in sample:
        media["audio"] = [read_sound(base64.b64decode(sample["audio"]))]
        content.append({"type": "audio"})
    prompt = loaded.prompt([{"role": "user", "content": [*content, {"type": "text", "text": sample["question"]}]}])
    return loaded.processor(text=[prompt], return_tensors="pt", **media)


def groups_of_equal_shape(inputs, batch):
    """Lists of at most `batch` sample numbers whose prompts have one length and whose media have one shape."""
    by_shape = {}
    for i, one in enumerate(inputs):
        shape = [one["input_ids"].shape[1]]
        if "image_grid_thw" in one:
            shape += one["image_grid_thw"].flatten().tolist()
        if "feature_attention_mask" in one:
            shape.append(one["feature_attention_mask"].sum().item())
        by_shape.setdefault(tuple(shape), []).append(i)
    return [same[i : i + batch] for same in by_shape.values() for i in range(0, len(same), batch)]


def words(text):
    """Words in lower case without punctuation."""
    return text.lower().translate(str.maketrans("", "", string.punctuation)).split()


def word_errors(heard, said):
    """Fewest words to insert, delete or replace that make one list the other."""
    row = list(range(len(said) + 1))
    for i, a in enumerate(heard, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(said, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def score(name, rows):
    """In percent: exact matches, or word errors per word said."""
    if name not in WORD_ERRORS:
        return 100 * sum(row["hit"] for row in rows) / len(rows)
    errors = sum(word_errors(words(row["prediction"]), words(row["answer"])) for row in rows)
    return 100 * errors / sum(len(words(row["answer"])) for row in rows)


@torch.no_grad()
def answers(loaded, inputs, new_tokens):
    """Decoded answers of inputs of equal shape."""
    joined = {name: torch.cat([one[name] for one in inputs]) for name in inputs[0]}
    out = loaded.model.generate(**joined)[:, joined["input_ids"].shape[1] :]
    assert out.shape[1] <= new_tokens
    return [text.strip() for text in loaded.processor.tokenizer.batch_decode(out, skip_special_tokens=True)]


def answer_file(loaded, name, path, a):
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
    return {"score": score(name, rows), "samples": rows}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model")
    arguments.add_argument("benchmarks", nargs="+")
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
    for path in sorted(path for folder in a.benchmarks for path in glob.glob(os.path.join(folder, "*.tsv"))):
        name, start = os.path.basename(path).removesuffix(".tsv"), time.perf_counter()
        results[name] = answer_file(loaded, name, path, a)
        samples = len(results[name]["samples"])
        print(f"{name:16} {results[name]['score']:6.1f}  {samples} in {time.perf_counter() - start:.0f} s", flush=True)
    matches = [r["score"] for name, r in results.items() if name not in WORD_ERRORS]
    mean = sum(matches) / len(matches)
    print(f"{'mean':16} {mean:6.1f}")
    with open(a.out, "w", encoding="utf-8") as file:
        json.dump({"mean": mean, "benchmarks": results}, file, indent=1, ensure_ascii=False)
        file.write("\n")


if __name__ == "__main__":
    main()
