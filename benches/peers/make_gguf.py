"""Write random weights in the shapes of Qwen2-VL-2B as GGUF files, for measuring llama.cpp's speed.

usage: make_gguf.py LLAMA_CPP_SOURCE OUT_DIR [--quantize LLAMA_QUANTIZE] [--keep-f16]

OUT_DIR/text-f16.gguf is the decoder (3.1 GB, tied embedding), OUT_DIR/mmproj-F16.gguf tower and projector (1.3 GB),
OUT_DIR/img.png a picture of 448 x 448. With `--quantize`, that program makes OUT_DIR/text-Q4_0.gguf, and text-f16.gguf
goes unless it is to be kept. Values do not matter for speed; they repeat one block of noise. Needs numpy, the Python
package `gguf` (or the one in LLAMA_CPP_SOURCE/gguf-py), and LLAMA_CPP_SOURCE/models/ggml-vocab-qwen2.gguf.
"""

import argparse
import os
import struct
import subprocess
import sys
import zlib

import numpy as np

# The published configuration.
HIDDEN, BLOCKS, MLP, HEADS, KV_HEADS, VOCABULARY = 1536, 28, 8960, 12, 2, 151_936
KV_FEATURES = KV_HEADS * HIDDEN // HEADS
TOWER, TOWER_BLOCKS, TOWER_MLP, TOWER_HEADS, PATCH, MERGED = 1280, 32, 5120, 16, 14, 4
SPECIAL = {
    151_652: "<|vision_start|>",
    151_653: "<|vision_end|>",
    151_654: "<|vision_pad|>",
    151_655: "<|image_pad|>",
    151_656: "<|video_pad|>",
}
CONTROL, UNUSED = 3, 5  # token types of GGUF
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{m.role}}\n{{m.content}}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)


class Noise:
    """Weights that continue one block of noise, whose length divides no matrix."""

    def __init__(self, seed):
        self.block = (np.random.default_rng(seed).standard_normal((1 << 22) + 12_347, np.float32) * 0.02).astype("f4")
        self.at = 0

    def draw(self, *shape, dtype=np.float16):
        out = np.empty(int(np.prod(shape)), dtype)
        done = 0
        while done < len(out):
            some = min(len(out) - done, len(self.block) - self.at)
            out[done : done + some] = self.block[self.at : self.at + some]
            done, self.at = done + some, (self.at + some) % len(self.block)
        return out.reshape(shape)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer, gguf, source):
    vocabulary = gguf.GGUFReader(os.path.join(source, "models", "ggml-vocab-qwen2.gguf"))
    field = lambda name: list(vocabulary.fields[f"tokenizer.ggml.{name}"].contents())
    tokens, types = field("tokens"), field("token_type")
    unused = range(len(tokens), VOCABULARY)
    tokens += [f"[PAD{i}]" for i in unused]
    types += [UNUSED for _ in unused]
    for at, name in SPECIAL.items():
        tokens[at], types[at] = name, CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens[:VOCABULARY])
    writer.add_token_types(types[:VOCABULARY])
    writer.add_token_merges(field("merges"))
    writer.add_eos_token_id(151_645)
    writer.add_bos_token_id(151_643)
    writer.add_pad_token_id(151_643)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def write_text(path, gguf, source, noise):
    w = gguf.GGUFWriter(path, "qwen2vl")
    w.add_name("random weights in the shapes of Qwen2-VL-2B")
    w.add_block_count(BLOCKS)
    w.add_context_length(32_768)
    w.add_embedding_length(HIDDEN)
    w.add_feed_forward_length(MLP)
    w.add_head_count(HEADS)
    w.add_head_count_kv(KV_HEADS)
    w.add_rope_freq_base(1e6)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_dimension_sections([16, 24, 24, 0])
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    add_tokenizer(w, gguf, source)
    ones = np.ones(HIDDEN, np.float32)
    w.add_tensor("token_embd.weight", noise.draw(VOCABULARY, HIDDEN))
    w.add_tensor("output_norm.weight", ones)
    for block in range(BLOCKS):
        name = f"blk.{block}"
        for norm in ("attn_norm", "ffn_norm"):
            w.add_tensor(f"{name}.{norm}.weight", ones)
        for site, outputs in (("q", HIDDEN), ("k", KV_FEATURES), ("v", KV_FEATURES)):
            w.add_tensor(f"{name}.attn_{site}.weight", noise.draw(outputs, HIDDEN))
            w.add_tensor(f"{name}.attn_{site}.bias", noise.draw(outputs, dtype=np.float32))
        shapes = {
            "attn_output": (HIDDEN, HIDDEN),
            "ffn_gate": (MLP, HIDDEN),
            "ffn_up": (MLP, HIDDEN),
            "ffn_down": (HIDDEN, MLP),
        }
        for site, shape in shapes.items():
            w.add_tensor(f"{name}.{site}.weight", noise.draw(*shape))
    finish(w)


def write_tower(path, gguf, noise):
    w = gguf.GGUFWriter(path, "clip")
    w.add_name("random weights in the shapes of the tower of Qwen2-VL")
    w.add_clip_has_vision_encoder(True)
    w.add_clip_projector_type("qwen2vl_merger")
    w.add_vision_image_size(560)
    w.add_vision_patch_size(PATCH)
    w.add_vision_embedding_length(TOWER)
    w.add_vision_feed_forward_length(TOWER_MLP)
    w.add_vision_block_count(TOWER_BLOCKS)
    w.add_vision_head_count(TOWER_HEADS)
    w.add_vision_projection_dim(HIDDEN)
    w.add_vision_attention_layernorm_eps(1e-6)
    w.add_vision_image_mean([0.481, 0.457, 0.408])
    w.add_vision_image_std([0.268, 0.261, 0.275])
    w.add_vision_spatial_merge_size(2)
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16)

    def linear(name, outputs, inputs):
        w.add_tensor(f"{name}.weight", noise.draw(outputs, inputs))
        w.add_tensor(f"{name}.bias", noise.draw(outputs, dtype=np.float32))

    def norm(name):
        w.add_tensor(f"{name}.weight", np.ones(TOWER, np.float32))
        w.add_tensor(f"{name}.bias", noise.draw(TOWER, dtype=np.float32))

    for name in ("v.patch_embd.weight", "v.patch_embd.weight.1"):  # one for each of two frames
        w.add_tensor(name, noise.draw(TOWER, 3, PATCH, PATCH))
    norm("v.post_ln")
    linear("mm.0", TOWER * MERGED, TOWER * MERGED)
    linear("mm.2", HIDDEN, TOWER * MERGED)
    for block in range(TOWER_BLOCKS):
        name = f"v.blk.{block}"
        for site in ("ln1", "ln2"):
            norm(f"{name}.{site}")
        for site in ("attn_q", "attn_k", "attn_v", "attn_out"):
            linear(f"{name}.{site}", TOWER, TOWER)
        linear(f"{name}.ffn_up", TOWER_MLP, TOWER)
        linear(f"{name}.ffn_down", TOWER, TOWER_MLP)
    finish(w)


def write_picture(path, side=448):
    """An RGB PNG with structure, by hand: nothing but the standard library needs to be there."""
    y, x = np.mgrid[:side, :side]
    pixels = np.stack([x * 7 + y * 3, x // 5 * 31 + y, y // 9 * 57 + x * 2], -1).astype(np.uint8)
    rows = np.concatenate([np.zeros((side, 1), np.uint8), pixels.reshape(side, -1)], 1)  # filter 0
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header))
        f.write(chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b""))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("source")
    arguments.add_argument("out")
    arguments.add_argument("--quantize", metavar="LLAMA_QUANTIZE")
    arguments.add_argument("--keep-f16", action="store_true")
    a = arguments.parse_args()
    bundled = os.path.join(a.source, "gguf-py")
    if os.path.isdir(bundled):
        sys.path.insert(0, bundled)
    import gguf

    os.makedirs(a.out, exist_ok=True)
    path = lambda name: os.path.join(a.out, name)
    noise = Noise(0)
    write_picture(path("img.png"))
    write_tower(path("mmproj-F16.gguf"), gguf, noise)
    write_text(path("text-f16.gguf"), gguf, a.source, noise)
    if a.quantize:
        subprocess.run([a.quantize, path("text-f16.gguf"), path("text-Q4_0.gguf"), "Q4_0"], check=True)
        if not a.keep_f16:
            os.remove(path("text-f16.gguf"))


if __name__ == "__main__":
    main()
