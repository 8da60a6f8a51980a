"""What Hugging Face transformers answers for a model folder and a file of OpenAI chat messages.

Enters: a folder as published (config, weights, processor, tokenizer) and messages whose media urls are paths relative
to the messages file; a video is a folder of frames, taken in the order of their names. Leaves: the tensors that
`mquant logits` writes, under the same names (see docs/goldens.md). Weights of any type are computed in float32, on one
thread.
"""

import json
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
torch.set_num_threads(1)

NEW_TOKENS = 12


class Reference:
    """A model and its processor, as transformers loads them from one folder."""

    def __init__(self, folder):
        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
        self.processor = AutoProcessor.from_pretrained(folder)
        self.processor.tokenizer.padding_side = "left"

    def prompt(self, messages):
        """The chat template's text, one placeholder per image or video, ending where the assistant begins."""
        return self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)

    def inputs(self, conversations, fps=None):
        """Model inputs of conversations as `read_conversations` gives them, left-padded to one length.

        `fps`: frames a second of each video, in the order of the videos; without, those of the messages, and for a
        video of which they say nothing what transformers assumes. Whether frames are sampled is the processor's own.
        """
        images = [x for c in conversations for x in c.images]
        videos = [x for c in conversations for x in c.videos]
        rates = [x for c in conversations for x in c.rates] if fps is None else fps
        options = {"cap_pixels_per_frame": False}
        if any(rate is not None for rate in rates):
            options["video_metadata"] = [_metadata(len(frames), r) for frames, r in zip(videos, rates, strict=True)]
        return self.processor(
            text=[self.prompt(c.messages) for c in conversations],
            images=images or None,
            videos=videos or None,
            padding=True,
            return_tensors="pt",
            videos_kwargs=options if videos else {},
        )

    @torch.no_grad()
    def answer(self, inputs, new_tokens=NEW_TOKENS):
        """Logits [conversation, position, vocabulary], the greedy continuation (end token ignored) and its logits."""
        logits = self.model(**inputs).logits.float()
        # Replaced, not passed: what a passed configuration leaves unset, the end token too, is taken from the model's.
        self.model.generation_config = GenerationConfig(do_sample=False, max_new_tokens=new_tokens, pad_token_id=0)
        out = self.model.generate(**inputs, output_logits=True, return_dict_in_generate=True)
        generated = out.sequences[:, inputs["input_ids"].shape[1] :]
        assert generated.shape[1] == new_tokens, "generation stopped early"
        assert torch.equal(generated[:, 0], logits[:, -1].argmax(-1)), (
            "generation and logits disagree on the first token"
        )
        return logits, generated, torch.stack(out.logits, 1).float()


    @torch.no_grad()
    def entering(self, inputs):
        """What enters the decoder with one conversation.

        `position_ids` [axis, token]; the rows put in the place of image, video and audio tokens, as `image_features`,
        `video_features` and `audio_features`; of a model that has them `deepstack_features` [layer, row, hidden], of
        images and videos in the order of their tokens.
        """
        seen = {}
        hook = self.model.get_decoder().register_forward_pre_hook(
            lambda _module, _arguments, named: seen.update(named), with_kwargs=True
        )
        self.model(**inputs)
        hook.remove()
        positions = seen["position_ids"]  # none: those of text, counted by the decoder itself
        if positions is None:
            positions = torch.arange(inputs["input_ids"].shape[1]).expand(3, 1, -1)
        out = {"position_ids": positions[:, 0].to(torch.int32)}
        for kind, token in media_tokens(self.model.config).items():
            rows = seen["inputs_embeds"][0][inputs["input_ids"][0] == token]
            if len(rows):
                out[f"{kind}_features"] = rows.float()
        if seen.get("deepstack_visual_embeds") is not None:
            out["deepstack_features"] = torch.stack(seen["deepstack_visual_embeds"]).float()
        return out


def media_tokens(config):
    """Kind of media to the id of its placeholder."""
    names = [(kind, f"{kind}_token_{word}") for kind in ("image", "video", "audio") for word in ("id", "index")]
    return {kind: getattr(config, name) for kind, name in names if hasattr(config, name)}


class Conversation:
    """One conversation: messages in transformers' form, its images, its videos (lists of frames) and their rates."""

    def __init__(self, messages, folder):
        self.messages, self.images, self.videos, self.rates = [], [], [], []
        for message in messages:
            content = message["content"]
            if not isinstance(content, str):
                content = [self._part(part, folder) for part in content]
            self.messages.append({"role": message["role"], "content": content})

    def _part(self, part, folder):
        kind = part["type"]
        if kind == "image_url":
            self.images.append(_picture(os.path.join(folder, part["image_url"]["url"])))
            return {"type": "image"}
        if kind == "video_url":
            frames = os.path.join(folder, part["video_url"]["url"])
            self.videos.append([_picture(os.path.join(frames, name)) for name in sorted(os.listdir(frames))])
            self.rates.append(part.get("fps"))
            return {"type": "video"}
        if kind == "text":
            return {"type": "text", "text": part["text"]}
        raise ValueError(f"unknown content part {kind!r}: expected text, image_url or video_url")


def _metadata(frames, fps):
    """A video of which every frame is given."""
    return {"total_num_frames": frames, "fps": fps, "frames_indices": list(range(frames))}


def _picture(path):
    with Image.open(path) as file:
        return file.convert("RGB")


def read_conversations(path):
    """The conversations of a messages file and whether the file holds a list of them (a batch) or just one."""
    with open(path, encoding="utf-8") as file:
        messages = json.load(file)
    folder = os.path.dirname(os.path.abspath(path))
    batch = bool(messages) and isinstance(messages[0], list)
    return [Conversation(m, folder) for m in (messages if batch else [messages])], batch


def tensors(reference, path, new_tokens=NEW_TOKENS, fps=None, entering=False):
    """The golden tensors of a messages file, and the logits of each generated token [conversation, step, vocabulary].

    One conversation: `input_ids`, `logits`, `generated`, and the pixels and grids its media have; of a model that asks
    for it, the seconds of a grid step. A batch runs as one padded batch; each conversation's rows come back without
    their padding, as `input_ids.0`, `logits.0`, and so on. `fps`: as for `Reference.inputs`. `entering`: for one
    conversation also the tensors of `Reference.entering`.
    """
    conversations, batch = read_conversations(path)
    inputs = reference.inputs(conversations, fps)
    logits, generated, steps = reference.answer(inputs, new_tokens)
    out = {}
    for i in range(len(conversations)):
        suffix, real = (f".{i}" if batch else ""), inputs["attention_mask"][i].bool()
        out[f"input_ids{suffix}"] = inputs["input_ids"][i][real].to(torch.int32)
        out[f"logits{suffix}"] = logits[i][real]
        out[f"generated{suffix}"] = generated[i].to(torch.int32)
    if not batch:
        for name, dtype in MEDIA.items():
            if name in inputs:
                out[name] = inputs[name].to(dtype)
        if entering:
            out |= reference.entering(inputs)
    return {name: value.contiguous() for name, value in out.items()}, steps


MEDIA = {
    "pixel_values": torch.float32,
    "pixel_values_videos": torch.float32,
    "image_grid_thw": torch.int32,
    "video_grid_thw": torch.int32,
    "second_per_grid_ts": torch.float32,
}
