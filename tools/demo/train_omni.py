"""Train the tri-modal demo model (the Omni thinker's form) on pictures, sounds and both.

A sample is a tree: a picture or nothing, below it questions and sounds, below each sound questions. Every branch sees what is
above it and nothing else (block mask, positions go on from what is above), so each question is learnt exactly as it is asked
at evaluation time.
usage: train_omni.py --init DIR --ears TOWER.pt --bank BANK_DIR --out DIR [--minutes M] [--seed S]; writes OUT/curve.jsonl beside the weights."""
import os
os.environ.setdefault("OMP_NUM_THREADS", "1"); os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import argparse, json, math, random, shutil, time
import numpy as np, torch
from tokenizers import Tokenizer
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset
from transformers import Qwen2_5OmniThinkerForConditionalGeneration
import hear, scenes, speech
from asking import MERGE, joint_scene, more_questions, pixels, target

class Tree:
    """Tokens with their positions, labels and segments; a segment sees itself and the segments above it."""
    def __init__(self, tok):
        self.tok, self.id = tok, lambda t: tok.token_to_id(t)
        self.ids, self.lab, self.pos, self.seg, self.above, self.spans, self.mels, self.units, self.px, self.binds = [], [], [], [], [], [], [], [], None, []
        self.root, self.next = self.add(None, 0, [self.id("<|im_start|>")] + self.enc("user\n"))
    def enc(self, text): return self.tok.encode(text, add_special_tokens=False).ids
    def add(self, parent, at, ids, pos=None, lab=None):
        """A segment below `parent`, from position `at`; the segment and the position after it."""
        s = len(self.above); self.above.append({s} | (self.above[parent] if parent is not None else set()))
        pos = pos or [(at + i,) * 3 for i in range(len(ids))]
        self.ids += ids; self.pos += pos; self.lab += lab or [-100] * len(ids); self.seg += [s] * len(ids)
        return s, max(max(p) for p in pos) + 1
    def picture(self, im):
        self.px, grid = pixels(im); self.grid = grid; h, w = grid[1] // MERGE, grid[2] // MERGE; p = self.next + 1
        pos = [(p - 1,) * 3] + [(p, p + i // w, p + i % w) for i in range(h * w)] + [(p + max(h, w),) * 3]
        self.root, self.next = self.add(self.root, 0, [self.id("<|vision_bos|>")] + [self.id("<|IMAGE|>")] * (h * w) + [self.id("<|vision_eos|>")], pos)
    def sound(self, mel, units):
        self.mels.append(mel); self.units.append(units)
        return self.add(self.root, self.next, [self.id("<|audio_bos|>")] + [self.id("<|AUDIO|>")] * (len(mel) // 2 // 2 if len(mel) % 2 == 0 else (len(mel) + 1) // 2 // 2) + [self.id("<|audio_eos|>")])
    def bind(self, kind, units, objects, sign):
        """What the last sound asks of the picture, to be found half way up the decoder where its word is heard and where it ends."""
        key = next(u for u in units if u in (speech.SIGNS if kind == "word" else scenes.SHAPES)); color = next((u for u in units if u in scenes.COLORS), None); kinds = [o[0] for o in objects]
        there = {"shape": key in kinds, "object": (key, color) in objects, "word": key == sign}[kind]
        hue = scenes.COLORS_L.index(dict(objects)[key]) if kind == "shape" and kinds.count(key) == 1 else -100
        self.binds.append((len(self.mels) - 1, len(self.ids) - 1, hear.NUMBER[key], hue, ["shape", "object", "word"].index(kind) * 2 + there))
    def question(self, kind, q, ans, below=None):
        parent, at = below or (self.root, self.next)
        ask = self.enc(q) + [self.id("<|im_end|>")] + self.enc("\n") + [self.id("<|im_start|>")] + self.enc("assistant\n"); tgt = self.enc(ans) + [self.id("<|im_end|>")]
        self.spans.append((kind, len(self.ids) + len(ask), len(tgt))); self.add(parent, at, ask + tgt, None, [-100] * len(ask) + tgt)

class Index(hear.Bank):
    """The bank by what is said."""
    def __init__(self, folder):
        super().__init__(folder); self.said = {}
        for i, (kind, units, _) in enumerate(self.items):
            if kind != "free": self.said.setdefault((kind, *(u for u in units if u not in speech.DIGITS + speech.LETTERS)), []).append(i)
    def saying(self, rng, *key): return self.items[rng.choice(self.said[key])]

def see(rng, tok, bank, a, train=True):
    t = Tree(tok)
    if train and rng.random() > a.joint or not train and rng.random() < .5:
        w, h = rng.choice(scenes.SIZES); im, qa = scenes.scene(rng, w, h); objs, sign, sounds = list(scenes.OBJECTS), None, 0
        if train and rng.random() < a.strings:
            while qa[0][0] != "ocr": im, qa = scenes.scene(rng, *rng.choice(scenes.SIZES[:3])); objs = list(scenes.OBJECTS)
    else: (im, qa, objs, sign), sounds = joint_scene(rng), a.sounds if train else 1
    t.picture(im); marks = list(scenes.MARKS); h, w = t.grid[1] // MERGE, t.grid[2] // MERGE
    t.cells = np.zeros((h * w, len(scenes.LABELS)), np.float32)
    for x, y, l in marks: t.cells[min(int(y) // 28, h - 1) * w + min(int(x) // 28, w - 1), scenes.LABELS[l]] = 1
    qa = qa[:-1]
    if train and sounds and sign in speech.SIGNS: qa = qa[1:]  # or signs would be read as one of the few words that are spoken
    if train and objs: qa = [x for x in qa if x[0] not in ("mme", "color")] + more_questions(rng, objs, 1)
    if train and sounds: qa = rng.sample(qa, min(len(qa), 2))  # the rest of the tree is about sounds
    for x in qa: t.question(*x)
    for _ in range(sounds):
        kind, units, x = bank.saying(rng, *target(rng, objs, sign)); below = t.sound(hear.features(rng, x, train), units); t.bind(kind, units, objs, sign)
        for q in speech.joint_questions(kind, units, objs, sign):
            if "spoken shape in" in q[1] and q[2] == "yes" and rng.random() < .35: continue  # as many yes as no
            t.question(*q, below)
        if train and rng.random() < .2: t.question(*speech.questions(rng, units)[0], below)
    return t

def listen(rng, tok, bank, a, train=True):
    t = Tree(tok)
    for _ in range(3 if train else 1):
        _, units, x = bank.draw(rng); below = t.sound(hear.features(rng, x, train), units)
        for q in speech.questions(rng, units): t.question(*q, below)
    t.cells = np.zeros((0, len(scenes.LABELS)), np.float32)
    return t

def collate(b, tok):
    L = max(len(t.ids) for t in b); B = len(b)
    ids = torch.zeros((B, L), dtype=torch.long); lab = torch.full((B, L), -100); pos = torch.zeros((3, B, L), dtype=torch.long); mask = torch.full((B, 1, L, L), -1e9)
    for i, t in enumerate(b):
        n = len(t.ids); ids[i, :n] = torch.tensor(t.ids); lab[i, :n] = torch.tensor(t.lab); pos[:, i, :n] = torch.tensor(t.pos).T; seg = torch.tensor(t.seg)
        sees = torch.tensor([[k in up for k in range(len(t.above))] for up in t.above]); mask[i, 0, :n, :n].masked_fill_(torch.tril(sees[seg][:, seg]), 0)
        mask[i, 0].fill_diagonal_(0)
    px = [t.px for t in b if t.px is not None]; first = np.cumsum([0] + [len(t.mels) for t in b])
    binds = torch.tensor([(i, first[i] + m, *rest) for i, t in enumerate(b) for m, *rest in t.binds], dtype=torch.long).reshape(-1, 6)
    return dict(binds=binds, ids=ids, lab=lab, pos=pos, mask=mask, spans=[t.spans for t in b], mels=[torch.from_numpy(m) for t in b for m in t.mels], units=[u for t in b for u in t.units],
                cells=torch.from_numpy(np.concatenate([t.cells for t in b])), px=torch.from_numpy(np.concatenate(px)) if px else None, grid=torch.tensor([t.grid for t in b if t.px is not None]))

class Trees(IterableDataset):
    def __init__(self, a, tok): self.a, self.tok = a, tok
    def __iter__(self):
        a = self.a; rng = random.Random(2000 + a.seed * 7919); bank = Index(a.bank)
        while True: yield collate([see(rng, self.tok, bank, a) for _ in range(a.see)] + [listen(rng, self.tok, bank, a) for _ in range(a.hear)], self.tok)

class Model(torch.nn.Module):
    """The thinker, with what is only needed to train it: the CTC head and a probe that reads the image tokens."""
    def __init__(self, a, tok):
        super().__init__(); self.thinker = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(a.init, dtype=torch.float32)
        s = torch.load(a.ears); self.head = hear.Head(hear.unit_vectors(tok, self.thinker.model.language_model.embed_tokens.weight.detach())); self.head.load_state_dict(s["head"])
        if a.new_ears: self.thinker.model.audio_tower.load_state_dict(s["tower"])
        self.hue, self.there = torch.nn.Linear(192, 8), torch.nn.Linear(192, 6); self.mid = {}
        self.thinker.model.language_model.layers[2].register_forward_hook(lambda m, i, o: self.mid.__setitem__("out", o[0] if isinstance(o, tuple) else o))
        self.probe = torch.nn.Linear(192, len(scenes.LABELS)); c = self.thinker.config; self.audio, self.image = c.audio_token_id, c.image_token_id
    def forward(self, b):
        """Hidden states [B, L, 192]; CTC loss; loss of the probe of pictures; loss of the probes that bind sounds to pictures."""
        m = self.thinker.model; x = m.language_model.embed_tokens(b["ids"]); heard = look = bound = torch.zeros(()); n = b["binds"]
        if b["mels"]:
            rows, counts = hear.run_tower(m.audio_tower, b["mels"]); x = x.masked_scatter((b["ids"] == self.audio)[..., None], rows.to(x.dtype))
            heard, z = hear.ctc(self.head, rows, counts, b["units"])
        if b["px"] is not None:
            rows = m.visual(b["px"], grid_thw=b["grid"]).pooler_output; x = x.masked_scatter((b["ids"] == self.image)[..., None], rows.to(x.dtype))
            look = F.binary_cross_entropy_with_logits(self.probe(rows.float()), b["cells"], pos_weight=torch.tensor(4.0)) * 20
        h = m.language_model(inputs_embeds=x, attention_mask=b["mask"].to(x.dtype), position_ids=b["pos"], use_cache=False).last_hidden_state
        if len(n):
            row = torch.stack([z[:counts[m], m, k].argmax() for m, k in n[:, [1, 3]].tolist()]); count = torch.tensor(counts)[n[:, 1]]
            for at in (n[:, 2], n[:, 2] - count + row):  # the sound's end; the row where its word is heard best
                x = self.mid["out"][n[:, 0], at].float(); there = self.there(x).view(-1, 3, 2)[torch.arange(len(n)), n[:, 5] // 2]
                bound = bound + F.cross_entropy(there, n[:, 5] % 2) / 2 + (F.cross_entropy(self.hue(x), n[:, 4]) / 2 if (n[:, 4] >= 0).any() else 0)
        return h, heard, look, bound

@torch.no_grad()
def evaluate(model, tok, test):
    """Exact match under teacher forcing, which is what greedy decoding scores; `wer` in percent, near what greedy decoding gives."""
    model.eval(); hit, tot, wrong, said = {}, {}, 0, 0
    for b in test:
        best = model.thinker.lm_head(model(b)[0]).argmax(-1)
        for i, spans in enumerate(b["spans"]):
            for kind, s, n in spans:
                got, want = best[i, s - 1:s + n - 1], b["ids"][i, s:s + n]
                if kind == "wer": w = tok.decode(want.tolist()).split(); wrong += hear.distance(tok.decode(got.tolist()).split(), w); said += len(w); continue
                tot[kind] = tot.get(kind, 0) + 1; hit[kind] = hit.get(kind, 0) + bool((got == want).all())
    model.train(); return {**{k: round(100 * hit[k] / tot[k], 1) for k in sorted(tot)}, "wer": round(100 * wrong / max(said, 1), 1)}

def main():
    ap = argparse.ArgumentParser()
    for name in ("init", "ears", "bank", "out"): ap.add_argument("--" + name, required=True)
    ap.add_argument("--minutes", type=float, default=40); ap.add_argument("--seed", type=int, default=0); ap.add_argument("--lr", type=float, default=6e-4); ap.add_argument("--tower-lr", type=float, default=3e-4, help="of both towers")
    ap.add_argument("--see", type=int, default=6, help="trees with a picture in a batch"); ap.add_argument("--hear", type=int, default=3, help="trees of sounds"); ap.add_argument("--sounds", type=int, default=3, help="sounds below a picture")
    ap.add_argument("--joint", type=float, default=.6, help="share of pictures with sounds"); ap.add_argument("--strings", type=float, default=.3); ap.add_argument("--ctc", type=float, default=.1); ap.add_argument("--look", type=float, default=.02); ap.add_argument("--bind", type=float, default=.5, help="weight of the binding probes, which falls to a tenth")
    ap.add_argument("--freeze-eyes", type=float, default=0, help="share of the time in which the vision tower rests"); ap.add_argument("--flat", type=float, default=.3, help="share of the time at the full rate"); ap.add_argument("--new-ears", action="store_true", help="the audio tower of --ears"); ap.add_argument("--bf16", action="store_true")
    a = ap.parse_args(); torch.set_num_threads(1); torch.manual_seed(a.seed); os.makedirs(a.out, exist_ok=True)
    tok = Tokenizer.from_file(f"{a.init}/tokenizer.json")
    if a.init != a.out: shutil.copy(f"{a.init}/tokenizer.json", a.out)
    model = Model(a, tok); towers = {id(p) for t in (model.thinker.model.audio_tower, model.thinker.model.visual) for p in t.parameters()}
    params = [p for p in model.parameters() if p.requires_grad]; opt = torch.optim.AdamW([dict(params=ps, weight_decay=wd, rate=r) for r, mine in ((a.lr, lambda p: id(p) not in towers), (a.tower_lr, lambda p: id(p) in towers))
        for wd, ps in ((.03, [p for p in params if mine(p) and p.ndim > 1]), (0, [p for p in params if mine(p) and p.ndim <= 1]))], betas=(.9, .98))
    rng = random.Random(99); bank = Index(a.bank); test = [collate([see(rng, tok, bank, a, False) for _ in range(12)] + [listen(rng, tok, bank, a, False) for _ in range(6)], tok) for _ in range(8)]
    curve = open(f"{a.out}/curve.jsonl", "a"); t0 = time.time(); step = 0; mean = None; due = 0; eyes = model.thinker.model.visual
    def save(): model.thinker.save_pretrained(a.out); torch.save(dict(tower=model.thinker.model.audio_tower.state_dict(), head=model.head.state_dict()), f"{a.out}/tower.pt")
    def note(): k = dict(stage="join", minutes=round((time.time() - t0) / 60, 1), step=step, loss=mean and round(mean, 4), seed=a.seed, exact_match=evaluate(model, tok, test)); print(json.dumps(k), flush=True); curve.write(json.dumps(k) + "\n"); curve.flush()
    for b in DataLoader(Trees(a, tok), batch_size=None, num_workers=1, prefetch_factor=3):
        done = (time.time() - t0) / (a.minutes * 60)
        if done >= 1: break
        if (time.time() - t0) / 60 >= due: save(); note(); due += 5
        for g in opt.param_groups: g["lr"] = g["rate"] * min(1, (step + 1) / 50) * (1 if done < a.flat else .5 * (1 + math.cos(math.pi * (done - a.flat) / (1 - a.flat))) * .98 + .02)
        eyes.requires_grad_(done >= a.freeze_eyes)
        with torch.autocast("cpu", torch.bfloat16, enabled=a.bf16):
            h, heard, look, bound = model(b); at = b["lab"][:, 1:] != -100; logits = model.thinker.lm_head(h[:, :-1][at])
        loss = F.cross_entropy(logits.float(), b["lab"][:, 1:][at])
        (loss + a.ctc * heard + a.look * look + a.bind * max(.1, 1 - done) * bound).backward(); torch.nn.utils.clip_grad_norm_(params, 1.0); opt.step(); opt.zero_grad(set_to_none=True); step += 1
        mean = loss.item() if mean is None else .97 * mean + .03 * loss.item()
        if step % 10 == 0: print(f"{(time.time() - t0) / 60:.1f} min  step {step}  loss {mean:.4f}  ctc {heard.item():.3f}  look {look.item():.3f}  bind {float(bound):.3f}  tokens {b['ids'].shape}", flush=True)
    save(); note()
if __name__ == "__main__": main()
