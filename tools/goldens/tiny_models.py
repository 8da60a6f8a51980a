"""Tiny random models of the Qwen2-VL line: what the generators of their goldens share.

A generator names its models: how each writes its folder, and its cases. Every model is written first and loaded back
from its folder; the goldens are what the loaded model answers. The script stops when its logits differ in any bit from
those of the model in memory. Each case takes the first of a list of questions for which no generated token is a media
placeholder and no greedy choice is so close that rounding could change it.
"""

import json
import os
import shutil
import sys
from functools import partial

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

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


def renamed_tokenizer(names, added):
    """JSON of the tokenizer with other names for some of its special tokens, and special tokens added at its end."""
    with open(TOKENIZER, encoding="utf-8") as file:
        out = json.load(file)
    for token in out["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    vocabulary = {names.get(token, token): number for token, number in out["model"]["vocab"].items()}
    first = len(vocabulary)
    for number, token in enumerate(added, first):
        vocabulary[token] = number
        out["added_tokens"].append({**out["added_tokens"][0], "id": number, "content": token})
    out["model"]["vocab"] = vocabulary
    return out


def tokenizer_of(json_object, **more):
    """`more`: names of further special tokens to the tokens."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(json_object)),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=more,
    )


def text_config(tied, words=None, **text):
    """Arguments of a decoder's configuration for the tokenizer at hand, or for another: `words`."""
    words = words or tokenizer()
    ids = words.convert_tokens_to_ids
    return dict(
        vocab_size=len(words),
        max_position_embeddings=4096,
        bos_token_id=ids("<|endoftext|>"),
        eos_token_id=ids("<|im_end|>"),
        tie_word_embeddings=tied,
        **text,
    )


def placeholders():
    """Arguments of a model's configuration that name the tokens around media."""
    names = dict(
        image_token_id="<|image_pad|>",
        video_token_id="<|video_pad|>",
        vision_start_token_id="<|vision_start|>",
        vision_end_token_id="<|vision_end|>",
    )
    return {name: tokenizer().convert_tokens_to_ids(token) for name, token in names.items()}


def random_model(architecture, config, seed, dtype):
    """Weights rounded to `dtype`, held in f32. Blocks are louder than the embedding: a fault in one must be heard."""
    model = architecture(config).float().eval()
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=rng)
            if value.ndim == 1:
                is_gain = name.endswith("weight")
                new = (1.0 if is_gain else 0.0) + 0.25 * noise
            elif "embed_tokens" in name:
                new = 0.3 * noise
            elif "pos_embed" in name:
                new = 0.6 * noise
            else:
                new = 1.3 * noise / value[0].numel() ** 0.5
            value.copy_(new.to(dtype))
    return model


def rope(theta, sections):
    return dict(rope_type="default", rope_theta=theta, mrope_section=sections)


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


def make_case(loaded, memory, path, messages_for, rates=(), entering=False):
    """Write the messages of the first question that gives safe tokens; return the answers, rendered prompts and margin.

    The first answer is that to the messages as they are; one more for each list in `rates`, the frames a second of each
    video. All of them must be safe.
    """
    media_tokens = set(reference.media_tokens(loaded.model.config).values())
    for question in QUESTIONS:
        write_messages(path, messages_for(question))
        conversations, _ = reference.read_conversations(path)
        answers = []
        for fps in (None, *rates):
            check_loaded(path, loaded.model, memory, loaded.inputs(conversations, fps))
            answers.append(reference.tensors(loaded, path, fps=fps, entering=entering))
        margin = min(smallest_margin(steps) for _, steps in answers)
        if margin >= SMALLEST_MARGIN and not any(media_tokens & generated(tensors) for tensors, _ in answers):
            return [tensors for tensors, _ in answers], [loaded.prompt(c.messages) for c in conversations], margin
    raise SystemExit(f"{path}: with every question a generated token is a placeholder or too close a choice")


def report(name, tensors, margin):
    tokens = [len(value) for key, value in tensors.items() if key.startswith("input_ids")]
    distinct = len(generated(tensors))
    print(f"{name}: prompt tokens {tokens}, distinct generated {distinct}, margin {margin:.3f}", flush=True)


def make(out, name, write, cases, seed, entering=False, vocabulary=None):
    """Make the model folder `name`: `write` writes the model and returns it.

    `cases`: names of cases, or a name and its function, and after them a dictionary where there are further goldens of
    the same messages: their names and the frames a second of each video. `entering`: as for `reference.tensors`.
    """
    folder = os.path.join(out, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    memory = write(folder)
    if vocabulary is None:
        shutil.copyfile(TOKENIZER, os.path.join(folder, "tokenizer.json"))
    else:
        write_messages(os.path.join(folder, "tokenizer.json"), vocabulary)
    loaded = reference.Reference(folder)
    media, rendered = Media(folder, seed), []
    for case in cases:
        case, messages_for, timed = (case, CASES[case], {}) if isinstance(case, str) else (*case, {})[:3]
        path = os.path.join(folder, f"{case}.messages.json")
        ask = partial(messages_for, media)
        answers, prompts, margin = make_case(loaded, memory, path, ask, timed.values(), entering)
        save_file(answers[0], os.path.join(folder, f"{case}.golden.safetensors"))
        rendered.append({"name": case, "prompts": prompts})
        report(f"{name}/{case}", answers[0], margin)
        for (other, fps), tensors in zip(timed.items(), answers[1:], strict=True):
            tensors = {key: value for key, value in tensors.items() if not key.startswith("pixel_values")}
            save_file(tensors, os.path.join(folder, f"{other}.golden.safetensors"))
            rendered.append({"name": other, "messages": case, "fps": fps, "prompts": prompts})
            report(f"{name}/{other}", tensors, margin)
    write_messages(os.path.join(folder, "cases.json"), rendered)


def main(doc, models, entering=False, vocabulary=None):
    """The command line of a generator. `models`: folder name to (function that writes the model, cases).

    `entering`: the goldens hold also what enters the decoder. `vocabulary`: JSON of another tokenizer.
    """
    if len(sys.argv) > 2 or sys.argv[1:2] in (["-h"], ["--help"]):
        raise SystemExit(doc)
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "..", "crates", "mquant", "tests", "goldens")
    for i, (name, (write, cases)) in enumerate(models.items()):
        make(out, name, write, cases, seed=100 * (1 + i), entering=entering, vocabulary=vocabulary)
