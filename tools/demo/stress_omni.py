"""The tri-modal demo model's stress variant: the same function with the outliers of large models.
usage: stress_omni.py MODEL_DIR OUT_DIR CALIBRATION_DIR [CALIBRATION_DIR ...]
 1. decoder stream turned: one axis apart for pictures, one for sounds, the others principal axes (gains folded first);
    those two axes get a gain of 8 in every norm, so that each kind of media has an outlier channel of its own there;
 2. MLP channels most active on image tokens x 60 against their readers, and as many others most active on sounds;
 3. value channels x 16 in decoder and towers;
 4. gains (of sounds also biases) of some channels of the towers' norms x 40."""
import base64, csv, glob, io, os, sys
import torch
from PIL import Image
from transformers import Qwen2_5OmniProcessor, Qwen2_5OmniThinkerForConditionalGeneration
import finish_omni, speech

MLP, VALUE, TOWER, AXIS, GROUP = 60.0, 16.0, 40.0, 8.0, 10

def read(processor, r):
    """Model inputs of a sample and its answer."""
    content, media = [], {}
    if "image" in r: content.append({"type": "image"}); media["images"] = [Image.open(io.BytesIO(base64.b64decode(r["image"]))).convert("RGB")]
    if "audio" in r: content.append({"type": "audio"}); media["audio"] = [speech.heard(base64.b64decode(r["audio"]))]
    text = processor.apply_chat_template([{"role": "user", "content": [*content, {"type": "text", "text": r["question"]}]}], add_generation_prompt=True, tokenize=False)
    x = processor(text=[text + r["answer"]], return_tensors="pt", **media)
    return {k: v.double() if v.is_floating_point() else v for k, v in x.items()}

def scale_rows(a, rows, f):
    a.weight[rows] *= f
    if a.bias is not None: a.bias[rows] *= f

@torch.no_grad()
def main(src, out, *folders):
    g = torch.Generator().manual_seed(3); some = lambda n, k: torch.randperm(n, generator=g)[:k]
    model = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(src, dtype=torch.float64).eval(); processor = Qwen2_5OmniProcessor.from_pretrained(src)
    T, V, A = model.model.language_model, model.model.visual, model.model.audio_tower; c = model.config
    csv.field_size_limit(1 << 28); rows = [read(processor, r) for d in folders for f in sorted(glob.glob(f"{d}/*.tsv")) for r in list(csv.DictReader(open(f), delimiter="\t"))[:12]]
    tests = rows[::7]; before = [model(**x).logits for x in tests]
    # gains into their readers
    model.lm_head.weight.mul_(T.norm.weight); T.norm.weight.fill_(1)
    for l in T.layers:
        for w in (l.self_attn.q_proj, l.self_attn.k_proj, l.self_attn.v_proj): w.weight.mul_(l.input_layernorm.weight)
        for w in (l.mlp.gate_proj, l.mlp.up_proj): w.weight.mul_(l.post_attention_layernorm.weight)
        l.input_layernorm.weight.fill_(1); l.post_attention_layernorm.weight.fill_(1)
    # what the stream and the MLPs hold, by kind of token: text, pictures, sounds
    cov = torch.zeros(192, 192, dtype=torch.float64); mean = torch.zeros(3, 192, dtype=torch.float64); count = torch.zeros(3, 1); act = torch.zeros(len(T.layers), 3, 576, dtype=torch.float64); kind = [None]
    def stream(m, args, kw):
        x = (args[0] if args else kw["hidden_states"])[0]; cov.add_(x.T @ x / x.pow(2).mean()); u = x / x.pow(2).mean(1, keepdim=True).sqrt()
        mean.index_add_(0, kind[0], u); count.index_add_(0, kind[0], torch.ones(len(u), 1))
    def inner(i):
        def f(m, args):
            for k in kind[0].unique(): act[i, k] = torch.maximum(act[i, k], args[0][0][kind[0] == k].abs().amax(0))
        return f
    hooks = [l.register_forward_pre_hook(stream, with_kwargs=True) for l in T.layers] + [l.mlp.down_proj.register_forward_pre_hook(inner(i)) for i, l in enumerate(T.layers)]
    for x in rows: ids = x["input_ids"][0]; kind[0] = (ids == c.image_token_id).long() + 2 * (ids == c.audio_token_id); model(**x)
    for h in hooks: h.remove()
    mean /= count; apart = torch.linalg.qr(torch.stack([mean[1] - mean[0], mean[2] - mean[0]], 1))[0]; rest = torch.eye(192, dtype=torch.float64) - apart @ apart.T
    axes = torch.linalg.eigh(rest @ cov @ rest)[1].flip(1)[:, :190]; Q = torch.cat([apart, axes], 1); Q = torch.linalg.qr(Q)[0] * torch.sign((torch.linalg.qr(Q)[0] * Q).sum(0))
    order = torch.cat([torch.arange(2, 192), torch.tensor([0, 1])]); Q = Q[:, order]; own = [190, 191]
    T.embed_tokens.weight.copy_(T.embed_tokens.weight @ Q); model.lm_head.weight.copy_(model.lm_head.weight @ Q)
    for w in (V.merger.mlp[2], A.proj): w.weight.copy_(Q.T @ w.weight); w.bias.copy_(Q.T @ w.bias)
    for i, l in enumerate(T.layers):
        a, m = l.self_attn, l.mlp
        for w in (a.q_proj, a.k_proj, a.v_proj, m.gate_proj, m.up_proj): w.weight.copy_(w.weight @ Q)
        for w in (a.o_proj, m.down_proj): w.weight.copy_(Q.T @ w.weight)
        for norm, readers in ((l.input_layernorm, (a.q_proj, a.k_proj, a.v_proj)), (l.post_attention_layernorm, (m.gate_proj, m.up_proj))):
            norm.weight[own] *= AXIS
            for w in readers: w.weight[:, own] /= AXIS
        taken = torch.zeros(576, dtype=torch.bool)
        for k, others in ((1, [0, 2]), (2, [0, 1])):
            v = act[i, k]; lead = v / (act[i, others].amax(0) + 1e-6) * (v > v.median()); lead[taken] = -1
            pick = torch.argsort(lead, descending=True)[:GROUP]; taken[pick] = True; m.up_proj.weight[pick] *= MLP; m.down_proj.weight[:, pick] /= MLP
        for ch in some(64, 2).tolist():
            scale_rows(a.v_proj, [ch], VALUE)
            for h in range(3): a.o_proj.weight[:, (ch // 32 * 3 + h) * 32 + ch % 32] /= VALUE
    def norm(n, readers, width):
        ch = some(width, 2); n.weight[ch] *= TOWER
        if getattr(n, "bias", None) is not None: n.bias[ch] *= TOWER
        for w in readers: w.weight[:, ch] /= TOWER
    def values(v, o, width): ch = some(width, 3); scale_rows(v, ch, VALUE); o.weight[:, ch] /= VALUE
    for b in V.blocks: norm(b.norm1, (b.attn.q, b.attn.k, b.attn.v), 160); norm(b.norm2, (b.mlp.gate_proj, b.mlp.up_proj), 160); values(b.attn.v, b.attn.proj, 160)
    for l in A.layers:
        s = l.self_attn; norm(l.self_attn_layer_norm, (s.q_proj, s.k_proj, s.v_proj), 128); norm(l.final_layer_norm, (l.fc1,), 128); values(s.v_proj, s.out_proj, 128)
    after = [model(**x).logits for x in tests]
    print("largest logit change", max(float((x - y).abs().max()) for x, y in zip(before, after)), "of", float(before[0].std()), "in", len(tests), "samples")
    finish_omni.save(model, f"{src}/tokenizer.json", out)
if __name__ == "__main__": main(*sys.argv[1:])
