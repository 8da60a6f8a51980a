"""Train the demo model (Qwen2-VL form) on procedural scenes.

One image carries many questions: every question and answer is a branch of its own that sees the image but no other branch
(block mask, positions restart after the image), so each is learnt exactly as it is asked at evaluation time.
usage: train.py --out DIR [--init DIR] [--minutes M] [--seed S] ; writes OUT/curve.jsonl beside the weights."""
import argparse, json, math, os, random, time
import numpy as np, torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.utils.data import DataLoader, IterableDataset
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
import scenes
from asking import MERGE, PATCH, more_questions, pixels

ap = argparse.ArgumentParser()
ap.add_argument("--out", required=True); ap.add_argument("--init"); ap.add_argument("--minutes", type=float, default=60)
ap.add_argument("--batch", type=int, default=32); ap.add_argument("--lr", type=float, default=1.2e-3); ap.add_argument("--threads", type=int, default=2)
ap.add_argument("--seed", type=int, default=0); ap.add_argument("--freeze-tower", action="store_true"); ap.add_argument("--presence", type=int, default=4, help="presence questions an image")
ap.add_argument("--strings", type=float, default=0, help="share of images that must show a random string"); ap.add_argument("--bind", type=float, default=0, help="initial weight of the binding probe"); ap.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
a = ap.parse_args()
torch.set_num_threads(a.threads); torch.manual_seed(a.seed); os.makedirs(a.out, exist_ok=True)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]

def tokenizer():
    for d in (a.out, a.init):
        if d and os.path.exists(f"{d}/tokenizer.json"): return Tokenizer.from_file(f"{d}/tokenizer.json")
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\d| ?[A-Z]| ?[a-z]+|\s+|[^\sA-Za-z\d]+"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel(); rng = random.Random(5); corpus = []
    for _ in range(3000):
        for _, q, ans in scenes.scene(rng, *rng.choice(scenes.SIZES))[1]: corpus += [f"user\n{q}", f"assistant\n{ans}"]
    t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=768, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return t

tok = tokenizer(); tok.save(f"{a.out}/tokenizer.json"); ID = {s: tok.token_to_id(s) for s in SPECIAL}
enc = lambda s: tok.encode(s, add_special_tokens=False).ids

BIND = dict(color=scenes.COLORS_L, mme=["yes", "no"])  # questions that need the shape they name found: the answer is probed at that word, half way up the decoder

def sample(rng, train=True):
    w, h = rng.choice(scenes.SIZES + scenes.SIZES[:3] * 3 if train else scenes.SIZES)
    im, qa = scenes.scene(rng, w, h)
    if train and rng.random() < a.strings:
        while qa[0][0] != "ocr": w, h = rng.choice(scenes.SIZES[:3]); im, qa = scenes.scene(rng, w, h)
    qa, caption = qa[:-1], qa[-1]
    if train and scenes.OBJECTS: qa = [x for x in qa if x[0] not in ("mme", "color")] + more_questions(rng, list(scenes.OBJECTS), a.presence)
    if train and rng.random() < .15: qa.append(caption)
    px, grid = pixels(im); gh, gw = grid[1] // MERGE, grid[2] // MERGE; n = gh * gw
    cells = np.zeros((n, len(scenes.LABELS)), np.float32)
    for x, y, l in scenes.MARKS: cells[min(int(y) // 28, gh - 1) * gw + min(int(x) // 28, gw - 1), scenes.LABELS[l]] = 1
    before = [ID["<|im_start|>"]] + enc("user\n") + [ID["<|vision_start|>"]]; s = len(before)
    ids = before + [ID["<|image_pad|>"]] * n + [ID["<|vision_end|>"]]
    after = s + max(gh, gw)
    pos = [(i,) * 3 for i in range(s)] + [(s, s + i // gw, s + i % gw) for i in range(n)] + [(after,) * 3]
    lab, seg, spans, binds = [-100] * len(ids), [0] * len(ids), [], []
    for b, (kind, q, ans) in enumerate(qa, 1):
        ask = enc(q) + [ID["<|im_end|>"]] + enc("\n") + [ID["<|im_start|>"]] + enc("assistant\n"); tgt = enc(ans) + [ID["<|im_end|>"]]
        spans.append((kind, len(ids) + len(ask), len(tgt)))
        if kind in BIND: binds.append((len(ids) + len(enc(q[:q.index(next(k for k in scenes.SHAPES if k in q)) + len(next(k for k in scenes.SHAPES if k in q))])) - 1, BIND[kind].index(ans) + (8 if kind == "mme" else 0)))
        pos += [(after + 1 + i,) * 3 for i in range(len(ask) + len(tgt))]
        ids += ask + tgt; lab += [-100] * len(ask) + tgt; seg += [b] * (len(ask) + len(tgt))
    return dict(px=px, grid=grid, ids=ids, lab=lab, seg=seg, pos=pos, cells=cells, spans=spans, binds=binds)

def collate(b):
    L = max(len(x["ids"]) for x in b); B = len(b)
    ids = torch.full((B, L), ID["<|endoftext|>"]); lab = torch.full((B, L), -100); seg = torch.full((B, L), -1); pos = torch.zeros((3, B, L), dtype=torch.long)
    for i, x in enumerate(b):
        n = len(x["ids"]); ids[i, :n] = torch.tensor(x["ids"]); lab[i, :n] = torch.tensor(x["lab"]); seg[i, :n] = torch.tensor(x["seg"]); pos[:, i, :n] = torch.tensor(x["pos"]).T
    see = torch.tril(torch.ones(L, L, dtype=torch.bool))[None] & ((seg[:, :, None] == seg[:, None, :]) | (seg[:, None, :] == 0))
    mask = torch.zeros(B, 1, L, L).masked_fill(~(see | torch.eye(L, dtype=torch.bool))[:, None], -1e9)
    binds = [(i, p, c) for i, x in enumerate(b) for p, c in x["binds"]]
    return dict(labels=lab, spans=[x["spans"] for x in b], binds=torch.tensor(binds).reshape(-1, 3), cells=torch.from_numpy(np.concatenate([x["cells"] for x in b])),
                inputs=dict(input_ids=ids, attention_mask=mask, position_ids=pos, mm_token_type_ids=(ids == ID["<|image_pad|>"]).int(),
                            pixel_values=torch.from_numpy(np.concatenate([x["px"] for x in b])), image_grid_thw=torch.tensor([x["grid"] for x in b])))

class Scenes(IterableDataset):
    def __iter__(self):
        info = torch.utils.data.get_worker_info(); rng = random.Random(1000 + a.seed * 7919 + (info.id if info else 0))
        while True: yield collate([sample(rng) for _ in range(a.batch)])

def build():
    if a.init: return Qwen2VLForConditionalGeneration.from_pretrained(a.init, dtype=torch.float32)
    return Qwen2VLForConditionalGeneration(Qwen2VLConfig(
        text_config=dict(vocab_size=tok.get_vocab_size(), hidden_size=192, intermediate_size=576, num_hidden_layers=5, num_attention_heads=6, num_key_value_heads=2, rms_norm_eps=1e-6, max_position_embeddings=2048,
                         rope_parameters=dict(rope_type="default", rope_theta=10000.0, mrope_section=[4, 6, 6]), tie_word_embeddings=True, bos_token_id=ID["<|endoftext|>"], eos_token_id=ID["<|im_end|>"]),
        vision_config=dict(depth=4, embed_dim=160, hidden_size=192, num_heads=5, mlp_ratio=4, patch_size=PATCH, spatial_merge_size=MERGE, temporal_patch_size=2),
        image_token_id=ID["<|image_pad|>"], video_token_id=ID["<|video_pad|>"], vision_start_token_id=ID["<|vision_start|>"], vision_end_token_id=ID["<|vision_end|>"], tie_word_embeddings=True))

model = build().to(a.device); move = lambda b: {k: v.to(a.device) for k, v in b["inputs"].items()}
probe = torch.nn.Linear(192, len(scenes.LABELS)).to(a.device); seen = {}  # reads each image token: which characters, shapes and colours are there
model.model.visual.merger.register_forward_hook(lambda m, i, o: seen.__setitem__("out", o))
bind = torch.nn.Linear(192, 10).to(a.device); model.model.language_model.layers[2].register_forward_hook(lambda m, i, o: seen.__setitem__("mid", o[0] if isinstance(o, tuple) else o))
if a.freeze_tower: model.model.visual.requires_grad_(False)
params = [p for m in (model, probe, bind) for p in m.parameters() if p.requires_grad]
opt = torch.optim.AdamW([dict(params=[p for p in params if p.ndim > 1], weight_decay=.03), dict(params=[p for p in params if p.ndim <= 1], weight_decay=0)], lr=a.lr, betas=(.9, .98))

@torch.no_grad()
def evaluate(batches=12):
    """Exact match under teacher forcing, which is what greedy decoding scores; scenes no training seed draws."""
    model.eval(); rng = random.Random(99); hit, tot = {}, {}
    for _ in range(batches):
        b = collate([sample(rng, train=False) for _ in range(16)]); ids = b["inputs"]["input_ids"]
        best = model(**move(b)).logits.argmax(-1).cpu()
        for i, spans in enumerate(b["spans"]):
            for kind, s, n in spans: tot[kind] = tot.get(kind, 0) + 1; hit[kind] = hit.get(kind, 0) + bool((best[i, s - 1:s + n - 1] == ids[i, s:s + n]).all())
    model.train(); return {k: round(100 * hit[k] / tot[k], 1) for k in sorted(tot)}

curve = open(f"{a.out}/curve.jsonl", "a"); t0 = time.time(); step = 0; mean = None; due = 0
def note(**k): print(json.dumps(k), flush=True); curve.write(json.dumps(k) + "\n"); curve.flush()
for b in DataLoader(Scenes(), batch_size=None, num_workers=1, prefetch_factor=6):
    done = (time.time() - t0) / (a.minutes * 60)
    if done >= 1: break
    if (time.time() - t0) / 60 >= due: model.save_pretrained(a.out); note(minutes=round(due), step=step, loss=mean, seed=a.seed, exact_match=evaluate()); due += 5
    lr = a.lr * min(1, (step + 1) / 200) * (1 if done < .1 else .5 * (1 + math.cos(math.pi * (done - .1) / .9)) * .98 + .02)
    for g in opt.param_groups: g["lr"] = lr
    with torch.autocast(a.device, torch.bfloat16): logits = model(**move(b)).logits.float()
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), b["labels"][:, 1:].flatten().to(a.device))
    aux = torch.nn.functional.binary_cross_entropy_with_logits(probe(seen["out"].float()), b["cells"].to(a.device), pos_weight=torch.tensor(4.0, device=a.device)) * 20
    at = b["binds"].to(a.device); found = torch.nn.functional.cross_entropy(bind(seen["mid"][at[:, 0], at[:, 1]].float()), at[:, 2]) if len(at) else 0
    (loss + aux * max(.02, .2 * (1 - done * 1.6)) + found * a.bind * max(.1, 1 - done)).backward(); torch.nn.utils.clip_grad_norm_(params, 1.0); opt.step(); opt.zero_grad(set_to_none=True); step += 1
    mean = round(loss.item() if mean is None else .98 * mean + .02 * loss.item(), 5)
    if step % 20 == 0: print(f"{(time.time() - t0) / 60:.1f} min  step {step}  loss {mean:.4f}  aux {aux.item():.3f}  bind {float(found):.3f}  lr {lr:.2e}", flush=True)
model.save_pretrained(a.out); note(minutes=round((time.time() - t0) / 60), step=step, loss=mean, seed=a.seed, exact_match=evaluate(64))
