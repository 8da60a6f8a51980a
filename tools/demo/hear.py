"""Teach the ears first: an audio tower of the Omni thinker's shape with a CTC head over the spoken units.

The classes are the decoder's own embeddings of the units, so what is heard enters the decoder much as the written word
would. usage: hear.py --bank BANK_DIR --demo models/demo --out DIR [--minutes M] [--init FILE]; writes DIR/tower.pt, curve.jsonl"""
import argparse, glob, json, math, os, random, time
os.environ.setdefault("OMP_NUM_THREADS", "1"); os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import numpy as np, torch
from tokenizers import Tokenizer
from safetensors.torch import load_file
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset
import speech

AUDIO = dict(num_mel_bins=128, d_model=128, encoder_layers=4, encoder_attention_heads=4, encoder_ffn_dim=384, n_window=100, output_dim=192, max_source_positions=1500)

class Bank:
    """Utterances in the shards that are there: (kind, units, samples)."""
    def __init__(self, folder):
        self.items, self.kinds = [], {}
        for name in sorted(glob.glob(f"{folder}/*.json")):
            x, at = np.load(name[:-4] + "npy", mmap_mode="r"), 0
            for kind, units, n in json.load(open(name)):
                self.kinds.setdefault(kind, []).append(len(self.items)); self.items.append((kind, units, x[at:at + n])); at += n
    def draw(self, rng, kind=None):
        return self.items[rng.choice(self.kinds[kind]) if kind else rng.randrange(len(self.items))]

def features(rng, x, train=True):
    """Mel features of a recording, half of the time of its compressed copy; in training at times with more noise than later."""
    x = speech.record(rng, x, *((8, 35) if train else (10, 30)))
    return speech.mel(speech.heard(speech.mp3(x)) if not train or rng.random() < .5 else x.astype(np.float32) / 32768)

def run_tower(tower, mels):
    """Rows of all sounds, one after the other, and how many each has; the same as the tower's own forward, but batched."""
    lengths = [len(m) for m in mels]; W = 2 * tower.n_window
    chunks = [torch.as_tensor(m[i:i + W]) for m in mels for i in range(0, len(m), W)]
    n = torch.tensor([len(c) for c in chunks]); x = torch.nn.utils.rnn.pad_sequence(chunks, batch_first=True).transpose(1, 2)
    rows = (n - 1) // 2 + 1
    h = F.gelu(tower.conv1(x)) * (torch.arange(x.shape[2]) < n[:, None])[:, None]
    h = F.gelu(tower.conv2(h)).transpose(1, 2); h = h + tower.positional_embedding.positional_embedding[:h.shape[1]]
    valid = torch.arange(h.shape[1]) < rows[:, None]; mask = torch.zeros(valid.shape).masked_fill(~valid, -1e9)[:, None, None]
    B, L, D = h.shape
    for l in tower.layers:
        a = l.self_attn; y = l.self_attn_layer_norm(h); split = lambda t: t.view(B, L, a.num_heads, -1).transpose(1, 2)
        q, k, v = split(a.q_proj(y)), split(a.k_proj(y)), split(a.v_proj(y))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.to(q.dtype)); h = h + a.out_proj(y.transpose(1, 2).reshape(B, L, D))
        h = h + l.fc2(F.gelu(l.fc1(l.final_layer_norm(h))))
    flat = h[valid]; counts = [(m - 1) // 2 + 1 for m in lengths]; out, at = [], 0
    for c in counts: out.append(flat[at:at + c // 2 * 2].view(c // 2, 2, D).mean(1)); at += c
    return tower.proj(tower.ln_post(torch.cat(out).float())), [c // 2 for c in counts]

class Head(torch.nn.Module):
    """CTC over the units: directions of the decoder's embeddings of the written units, and a blank."""
    def __init__(self, vectors):
        super().__init__(); v = vectors - vectors.mean(0)
        self.register_buffer("units", F.normalize(v, dim=-1)); self.scale = torch.nn.Parameter(torch.tensor(5.0))
        self.blank = torch.nn.Parameter(torch.zeros(vectors.shape[1])); self.bias = torch.nn.Parameter(torch.zeros(len(vectors) + 1))
    def forward(self, rows): return torch.cat([rows @ self.blank[:, None], self.scale * rows @ self.units.T], -1) + self.bias

def unit_vectors(tok, embed):
    """The mean embedding of the tokens of each unit as it is written after another word."""
    return torch.stack([embed[tok.encode(" " + u, add_special_tokens=False).ids].mean(0) for u in speech.UNITS])

NUMBER = {u: i + 1 for i, u in enumerate(speech.UNITS)}
def ctc(head, rows, counts, units):
    z = torch.nn.utils.rnn.pad_sequence(torch.split(head(rows.float()), counts)).log_softmax(-1)
    y = torch.tensor([NUMBER[u] for us in units for u in us])
    return F.ctc_loss(z, y, torch.tensor(counts), torch.tensor([len(u) for u in units]), zero_infinity=True), z

def distance(a, b):
    d = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, d[0] = d[0], i
        for j, y in enumerate(b, 1): last, d[j] = d[j], min(d[j] + 1, d[j - 1] + 1, last + (x != y))
    return d[-1]

def heard_units(z, counts):
    out = []
    for i, c in enumerate(counts):
        best = z[:c, i].argmax(-1).tolist(); out.append([speech.UNITS[k - 1] for j, k in enumerate(best) if k and (j == 0 or best[j - 1] != k)])
    return out

class Sounds(IterableDataset):
    def __init__(self, a): self.a = a
    def __iter__(self):
        rng = random.Random(50 + self.a.seed); step = 0
        while True:
            if step % 100 == 0: bank = Bank(self.a.bank)
            u = [bank.draw(rng) for _ in range(self.a.batch)]; step += 1
            yield [features(rng, x) for *_, x in u], [w for _, w, _ in u]

def main():
    from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import Qwen2_5OmniAudioEncoderConfig
    from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniAudioEncoder
    ap = argparse.ArgumentParser()
    for name in ("bank", "demo", "out", "init"): ap.add_argument("--" + name)
    ap.add_argument("--minutes", type=float, default=15); ap.add_argument("--batch", type=int, default=32); ap.add_argument("--lr", type=float, default=1.5e-3); ap.add_argument("--seed", type=int, default=0)
    a = ap.parse_args(); torch.set_num_threads(1); torch.manual_seed(a.seed); os.makedirs(a.out, exist_ok=True)
    embed = load_file(f"{a.demo}/model.safetensors")["model.embed_tokens.weight"].float()
    vectors = unit_vectors(Tokenizer.from_file(f"{a.demo}/tokenizer.json"), embed)
    tower = Qwen2_5OmniAudioEncoder._from_config(Qwen2_5OmniAudioEncoderConfig(**AUDIO)).float(); head = Head(vectors)
    with torch.no_grad(): tower.proj.weight.normal_(0, .04); tower.proj.bias.copy_(vectors.mean(0))
    if a.init: s = torch.load(a.init); tower.load_state_dict(s["tower"]); head.load_state_dict(s["head"])
    test = random.Random(777); test = [(features(test, x, False), w) for _, w, x in (speech.utterance(test) for _ in range(200))]
    params = list(tower.parameters()) + list(head.parameters())
    opt = torch.optim.AdamW([dict(params=[p for p in params if p.ndim > 1], weight_decay=.03), dict(params=[p for p in params if p.ndim <= 1], weight_decay=0)], lr=a.lr, betas=(.9, .98))
    def evaluate():
        with torch.no_grad():
            rows, counts = run_tower(tower, [m for m, _ in test]); _, z = ctc(head, rows, counts, [w for _, w in test])
        return round(100 * sum(distance(x, w) for x, (_, w) in zip(heard_units(z, counts), test)) / sum(len(w) for _, w in test), 1)
    curve = open(f"{a.out}/curve.jsonl", "a"); t0 = time.time(); step, mean, due = 0, None, 1
    def note(): k = dict(stage="hear", minutes=round((time.time() - t0) / 60, 1), step=step, loss=round(mean, 4), wer=evaluate()); print(json.dumps(k), flush=True); curve.write(json.dumps(k) + "\n"); curve.flush(); torch.save(dict(tower=tower.state_dict(), head=head.state_dict()), f"{a.out}/tower.pt")
    for mels, units in DataLoader(Sounds(a), batch_size=None, num_workers=1, prefetch_factor=4):
        done = (time.time() - t0) / (a.minutes * 60)
        if done >= 1: break
        for g in opt.param_groups: g["lr"] = a.lr * min(1, (step + 1) / 100) * (1 if done < .2 else .5 * (1 + math.cos(math.pi * (done - .2) / .8)) * .98 + .02)
        rows, counts = run_tower(tower, mels)
        loss, _ = ctc(head, rows, counts, units)
        loss.backward(); torch.nn.utils.clip_grad_norm_(params, 1.0); opt.step(); opt.zero_grad(set_to_none=True); step += 1
        mean = loss.item() if mean is None else .97 * mean + .03 * loss.item()
        if step % 50 == 0: print(f"{(time.time() - t0) / 60:.1f} min  step {step}  loss {mean:.4f}", flush=True)
        if (time.time() - t0) / 60 >= due: note(); due += 2
    note()
if __name__ == "__main__": main()
