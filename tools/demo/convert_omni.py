"""The first demo model in the Omni thinker's form: what the tri-modal model starts from.

The decoder stays. LayerNorms of the tower become RMSNorms (what is written to the stream is centred, biases move to the
readers), its quick-GELU MLPs become SwiGLU with an `up` of one, qkv is split. That is the same function; then MLP channels
that say least are dropped, blocks outside FULL attend within windows and `up` gets weights of its own.
usage: convert_omni.py models/demo TOWER.pt OUT_DIR [HIDDEN]"""
import csv, base64, io, json, os, sys
import torch
from PIL import Image
from tokenizers import Tokenizer
from transformers import Qwen2_5OmniThinkerConfig, Qwen2_5OmniThinkerForConditionalGeneration, Qwen2VLForConditionalGeneration
import hear, speech
from asking import pixels

RENAMED = {"<|vision_start|>": "<|vision_bos|>", "<|vision_end|>": "<|vision_eos|>", "<|image_pad|>": "<|IMAGE|>", "<|video_pad|>": "<|VIDEO|>"}
ADDED = ["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
FULL, WINDOW = [1, 3], 112

def tokenizer(path):
    """JSON of the tokenizer: special tokens renamed and added, and merges that make each spoken unit one token after a space."""
    j = json.load(open(path)); m = j["model"]
    for t in j["added_tokens"]: t["content"] = RENAMED.get(t["content"], t["content"])
    m["vocab"] = {RENAMED.get(t, t): i for t, i in m["vocab"].items()}
    for t in ADDED:
        m["vocab"][t] = len(m["vocab"]); j["added_tokens"].append({**j["added_tokens"][0], "id": m["vocab"][t], "content": t})
    texts = [" " + u for u in speech.UNITS] + speech.DIGITS + [" said", " spoken", " word", " words", " first", " last", " sign", " say", "Does", "Is"]
    parts = {}
    for text in texts:
        tokens = Tokenizer.from_str(json.dumps(j)).encode(text, add_special_tokens=False).tokens
        for a, b in [("".join(tokens[:i]), tokens[i]) for i in range(1, len(tokens))]:
            m["merges"].append([a, b])
            if a + b not in m["vocab"]: parts[len(m["vocab"])] = a + b; m["vocab"][a + b] = len(m["vocab"])
    return j, parts

@torch.no_grad()
def tower(old, new):
    """The vision tower's weights, the function unchanged."""
    centre = lambda t: t - t.mean(0, keepdim=True)
    new.patch_embed.proj.weight.copy_(centre(old.patch_embed.proj.weight))
    for a, b in zip(old.blocks, new.blocks, strict=True):
        b.norm1.weight.copy_(a.norm1.weight); b.norm2.weight.copy_(a.norm2.weight)
        w, bias = a.attn.qkv.weight.chunk(3), (a.attn.qkv.bias + a.attn.qkv.weight @ a.norm1.bias).chunk(3)
        for p, w, bias in zip((b.attn.q, b.attn.k, b.attn.v), w, bias, strict=True): p.weight.copy_(w); p.bias.copy_(bias)
        b.attn.proj.weight.copy_(centre(a.attn.proj.weight)); b.attn.proj.bias.copy_(centre(a.attn.proj.bias))
        b.mlp.gate_proj.weight.copy_(1.702 * a.mlp.fc1.weight); b.mlp.gate_proj.bias.copy_(1.702 * (a.mlp.fc1.bias + a.mlp.fc1.weight @ a.norm2.bias))
        b.mlp.up_proj.weight.zero_(); b.mlp.up_proj.bias.fill_(1)
        b.mlp.down_proj.weight.copy_(centre(a.mlp.fc2.weight) / 1.702); b.mlp.down_proj.bias.copy_(centre(a.mlp.fc2.bias))
    a, b = old.merger, new.merger
    b.ln_q.weight.copy_(a.ln_q.weight); b.mlp.load_state_dict(a.mlp.state_dict()); b.mlp[0].bias.add_(a.mlp[0].weight @ a.ln_q.bias.repeat(4))

def build(ids, vocabulary, hidden, full, window):
    c = Qwen2_5OmniThinkerConfig(
        text_config=dict(vocab_size=vocabulary, hidden_size=192, intermediate_size=576, num_hidden_layers=5, num_attention_heads=6, num_key_value_heads=2, rms_norm_eps=1e-6, max_position_embeddings=2048,
                         rope_parameters=dict(rope_type="default", rope_theta=10000.0, mrope_section=[4, 6, 6]), tie_word_embeddings=False, bos_token_id=0, eos_token_id=2),
        vision_config=dict(depth=4, hidden_size=160, intermediate_size=hidden, num_heads=5, out_hidden_size=192, patch_size=14, spatial_merge_size=2, temporal_patch_size=2, window_size=window, fullatt_block_indexes=full),
        audio_config=hear.AUDIO, tie_word_embeddings=False, audio_token_index=ids["<|AUDIO|>"], image_token_index=ids["<|IMAGE|>"], video_token_index=ids["<|VIDEO|>"],
        vision_start_token_id=ids["<|vision_bos|>"], vision_end_token_id=ids["<|vision_eos|>"], audio_start_token_id=ids["<|audio_bos|>"], audio_end_token_id=ids["<|audio_eos|>"])
    return Qwen2_5OmniThinkerForConditionalGeneration(c).float().eval()

@torch.no_grad()
def main(demo, ears, out, hidden=448):
    torch.manual_seed(0); os.makedirs(out, exist_ok=True); old = Qwen2VLForConditionalGeneration.from_pretrained(demo, dtype=torch.float32).eval()
    was = Tokenizer.from_file(f"{demo}/tokenizer.json"); j, parts = tokenizer(f"{demo}/tokenizer.json"); ids = j["model"]["vocab"]
    json.dump(j, open(f"{out}/tokenizer.json", "w"), ensure_ascii=False, indent=1)
    size = -(-len(ids) // 16) * 16; print("tokens", len(ids), "rows", size)
    whole = build(ids, size, 640, [0, 1, 2, 3], WINDOW)
    E, T = old.model.language_model.embed_tokens.weight, whole.model.language_model
    T.load_state_dict({k: v for k, v in old.model.language_model.state_dict().items() if k != "embed_tokens.weight"}, strict=False)
    T.embed_tokens.weight.zero_(); T.embed_tokens.weight[:len(E)] = E
    for i, text in parts.items(): T.embed_tokens.weight[i] = E[was.encode(text.replace("Ġ", " "), add_special_tokens=False).ids].mean(0)
    for i, t in enumerate(ADDED): T.embed_tokens.weight[ids[t]] = E[[6, 3, 4][i]] + .02 * torch.randn(192)
    whole.lm_head.weight.copy_(T.embed_tokens.weight); tower(old.model.visual, whole.model.visual)
    # the same answers?
    csv.field_size_limit(10**8); rows = [r for f in sorted(os.listdir(f"{demo}/calibration")) for r in csv.DictReader(open(f"{demo}/calibration/{f}"), delimiter="\t")]
    worst, act, hooks = 0, [0] * 4, []
    pic = lambda r: (lambda p: (torch.from_numpy(p[0]), torch.tensor([p[1]])))(pixels(Image.open(io.BytesIO(base64.b64decode(r["image"]))).convert("RGB")))
    for r in rows[::8]:
        px, grid = pic(r); n = px.shape[0] // 4; x = torch.tensor([[1] + was.encode("user\n").ids + [3] + [6] * n + [4] + was.encode(r["question"]).ids + [2]])
        a = old(input_ids=x, attention_mask=torch.ones_like(x), mm_token_type_ids=(x == 6).int(), pixel_values=px, image_grid_thw=grid).logits
        b = whole(input_ids=x, attention_mask=torch.ones_like(x), pixel_values=px, image_grid_thw=grid).logits[..., :len(E)]
        worst = max(worst, float((a - b).abs().max()))
    print("largest logit change by the conversion", worst, "of", float(a.std())); assert worst < 1e-2
    sums = [[torch.zeros(640), torch.zeros(640), 0] for _ in range(4)]
    def see(i):
        def f(m, args): x = args[0]; sums[i][0].add_(x.sum(0)); sums[i][1].add_((x ** 2).sum(0)); sums[i][2] += len(x)
        return f
    hooks = [b.mlp.down_proj.register_forward_pre_hook(see(i)) for i, b in enumerate(whole.model.visual.blocks)]
    for r in rows[::2]: px, grid = pic(r); whole.model.visual(px, grid_thw=grid)
    for h in hooks: h.remove()
    new = build(ids, size, hidden, FULL, WINDOW); state = whole.state_dict()
    for i, (s1, s2, n) in enumerate(sums):
        p = f"model.visual.blocks.{i}.mlp."; mean = s1 / n; var = s2 / n - mean ** 2; down = state[p + "down_proj.weight"]
        order = torch.argsort(var * (down ** 2).sum(0), descending=True); keep, drop = order[:hidden].sort().values, order[hidden:]
        print("block", i, "dropped share of the MLP's variance", float((var * (down ** 2).sum(0))[drop].sum() / (var * (down ** 2).sum(0)).sum()))
        state[p + "down_proj.bias"] += down[:, drop] @ mean[drop]; state[p + "down_proj.weight"] = down[:, keep]
        for w in ("gate_proj", "up_proj"):
            for k in ("weight", "bias"): state[p + f"{w}.{k}"] = state[p + f"{w}.{k}"][keep]
        state[p + "up_proj.weight"] = torch.randn(hidden, 160) * .05 / 160 ** .5 * 4
    new.load_state_dict(state)
    if os.path.exists(ears): new.model.audio_tower.load_state_dict(torch.load(ears)["tower"])
    print("parameters", sum(p.numel() for p in new.parameters())); new.save_pretrained(out)
if __name__ == "__main__": main(*sys.argv[1:4], *map(int, sys.argv[4:]))
