"""What Hugging Face transformers answers for a model folder and a file of OpenAI chat messages.

Enters: a folder as published (config, weights, processor, tokenizer) and messages whose media urls are paths relative
to the messages file; a video is a folder of frames, taken in the order of their names, and its part may name its sound
as `audio`; sounds are WAV files. Leaves: the tensors that `mquant logits` writes, under the same names (see
docs/goldens.md). Weights of any type are computed in float32, on one
thread.
"""

import json
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from PIL import Image
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    GenerationConfig,
    Qwen2_5OmniProcessor,
    Qwen2_5OmniThinkerForConditionalGeneration,
)
from transformers.utils import logging

from sounds import read_sound

logging.set_verbosity_error()
logging.disable_progress_bar()
torch.set_num_threads(1)

NEW_TOKENS = 12
OMNI_FPS = 2.0  # of a video of which nobody says how fast its frames follow one another


class Reference:
    """A model and its processor, as transformers loads them from one folder."""

    def __init__(self, folder):
        architecture = AutoModelForImageTextToText
        if AutoConfig.from_pretrained(folder).model_type == "qwen2_5_omni":  # of which only the part that reads is run
            architecture = Qwen2_5OmniThinkerForConditionalGeneration
        self.model = architecture.from_pretrained(folder, dtype=torch.float32).eval()
        self.processor = AutoProcessor.from_pretrained(folder)
        self.says_video_size = os.path.exists(os.path.join(folder, "processor_config.json"))
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
        media = {"images": images or None, "videos": videos or None}
        options = {"cap_pixels_per_frame": False} if videos else {}
        omni = isinstance(self.processor, Qwen2_5OmniProcessor)
        if omni:
            media |= self._sounds(conversations)
            options |= self._omni_options(videos, rates)
        elif any(rate is not None for rate in rates):
            options["video_metadata"] = [_metadata(len(frames), r) for frames, r in zip(videos, rates, strict=True)]
        inputs = self.processor(
            text=[self.prompt(c.messages) for c in conversations],
            padding=True,
            return_tensors="pt",
            videos_kwargs=options,
            **media,
        )
        if omni:
            self._complete(inputs, rates, media)
        return inputs

    def _sounds(self, conversations):
        """The processor's arguments for sounds, of which each is a video's or stands alone."""
        sounds, sources, videos = [], [], 0
        for c in conversations:
            sounds += c.sounds
            sources += [None if video is None else videos + video for video in c.sources]
            videos += len(c.videos)
        if not sounds:
            return {}
        out = {"audio": sounds}
        if any(video is not None for video in sources):
            assert len({video for video in sources if video is not None}) == videos, "either all videos sound or none"
            out |= {"load_audio_from_video": True, "audio_from_video_indices": sources}
        return out

    def _omni_options(self, videos, rates):
        """Rate and limits of the pixels of videos. Without a word the processor takes its class's limits, whatever the
        folder says: they are left where the folder says nothing."""
        if not videos:
            return {}
        size = self.processor.video_processor.size
        limits = {"size": {"shortest_edge": size.shortest_edge, "longest_edge": size.longest_edge}}
        return {"fps": rates[0] or OMNI_FPS} | (limits if self.says_video_size else {})

    def _complete(self, inputs, rates, media):
        """What the processor does not pass on: that videos sound, and rates that differ."""
        sounding = media.get("load_audio_from_video", False)
        seconds = [self.processor.video_processor.temporal_patch_size / (rate or OMNI_FPS) for rate in rates]
        if len(set(seconds)) > 1:
            assert not sounding, "the order of the tokens of videos that sound depends on their common rate"
            inputs["video_second_per_grid"] = torch.tensor(seconds)
        if sounding:
            inputs["use_audio_in_video"] = True

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
    """One conversation: messages in transformers' form and its media.

    Images; videos, which are lists of frames, and their rates; sounds, and the videos they belong to (number or none).
    """

    def __init__(self, messages, folder):
        self.messages, self.images, self.videos, self.rates, self.sounds, self.sources = [], [], [], [], [], []
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
            if "audio" in part:
                self._sound(os.path.join(folder, part["audio"]), len(self.videos) - 1)
            return {"type": "video"}
        if kind == "audio_url":
            self._sound(os.path.join(folder, part["audio_url"]["url"]), None)
            return {"type": "audio"}
        if kind == "text":
            return {"type": "text", "text": part["text"]}
        raise ValueError(f"unknown content part {kind!r}: expected text, image_url, video_url or audio_url")

    def _sound(self, path, video):
        self.sounds.append(read_sound(path))
        self.sources.append(video)


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

    One conversation: `input_ids`, `logits`, `generated`, and what `media_tensors` gives. A batch runs as one padded
    batch; each conversation's rows come back without their padding, as `input_ids.0`, `logits.0`, and so on. `fps`: as
    for `Reference.inputs`. `entering`: for one conversation also the tensors of `Reference.entering`.
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
        out |= media_tensors(inputs)
        if entering:
            out |= reference.entering(inputs)
    return {name: value.contiguous() for name, value in out.items()}, steps


def media_tensors(inputs):
    """Pixels, grids, seconds of a grid step, and the frames of sounds, one sound after the other, without padding."""
    out = {name: inputs[key].to(dtype) for key, (name, dtype) in MEDIA.items() if key in inputs}
    if "input_features" in inputs:
        real = inputs["feature_attention_mask"].bool()
        out["input_features"] = inputs["input_features"].transpose(1, 2)[real].float()
        out["feature_lengths"] = real.sum(-1).to(torch.int32)
    return out


MEDIA = {
    "pixel_values": ("pixel_values", torch.float32),
    "pixel_values_videos": ("pixel_values_videos", torch.float32),
    "image_grid_thw": ("image_grid_thw", torch.int32),
    "video_grid_thw": ("video_grid_thw", torch.int32),
    "second_per_grid_ts": ("second_per_grid_ts", torch.float32),
    "video_second_per_grid": ("second_per_grid_ts", torch.float32),
}
