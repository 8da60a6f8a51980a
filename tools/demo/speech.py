"""Spoken digits, letters and words by espeak-ng: utterances, what may be asked of them, noise, codec and mel features.

usage: speech.py OUT_DIR SEED N [SHARD]     writes N utterances in shards that train_omni.py reads"""
import io, json, os, random, subprocess, sys, wave
import lameenc, numpy as np, soundfile, soxr
import scenes

RATE, LONGEST = 16000, 2.5
DIGITS = "zero one two three four five six seven eight nine".split()
LETTERS = list("abcdefghijklmnopqrstuvwxyz")
SIGNS = """stop open coffee hotel bank park taxi school market pizza bread milk water fire river mountain garden bridge
station museum music paper glass apple lemon cherry tiger rabbit winter summer""".split()
COLORS, SHAPES = scenes.COLORS_L, scenes.SHAPES
UNITS = DIGITS + LETTERS + COLORS + SHAPES + SIGNS
VOICES = ["en-us", "en-gb", "en-gb-scotland", "en-029", "en-us-nyc", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd"]
VARIANTS = [""] + [f"+m{i}" for i in range(1, 8)] + [f"+f{i}" for i in range(1, 6)]

def words(rng):
    """The kind of an utterance and its units. `shape`, `object`, `word`: one thing to look for in a picture, at times with a digit or letter beside it."""
    kind = rng.choices(["free", "shape", "object", "word"], [.6, .15, .1, .15])[0]
    if kind == "free":
        n = rng.choices([1, 2, 3, 4, 5], [.15, .25, .3, .2, .1])[0]
        return kind, [rng.choice(rng.choices([DIGITS, LETTERS, COLORS, SHAPES, SIGNS], [.3, .3, .1, .06, .24])[0]) for _ in range(n)]
    out = {"shape": lambda: [rng.choice(SHAPES)], "object": lambda: [rng.choice(COLORS), rng.choice(SHAPES)], "word": lambda: [rng.choice(SIGNS)]}[kind]()
    return kind, beside(rng, out)

def beside(rng, units):
    """The units, at times with a digit or letter before or after them."""
    if rng.random() < .35: units.insert(rng.choice([0, len(units)]), rng.choice(rng.choice([DIGITS, LETTERS])))
    return units

def say(rng, units):
    """Samples at 16 kHz (int16) of the units in a voice, speed and pitch drawn; silence at both ends cut to a little."""
    text = (", " if rng.random() < .2 else " ").join("[[eI]]" if u == "a" else u.upper() if len(u) == 1 else u for u in units)
    voice, speed, pitch = rng.choice(VOICES) + rng.choice(VARIANTS), rng.randint(130, 200), rng.randint(30, 70)
    out = subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text], capture_output=True, check=True).stdout
    with wave.open(io.BytesIO(out)) as f: rate, x = f.getframerate(), f.readframes(1 << 30)
    x = soxr.resample(np.frombuffer(x[:len(x) & -2], "<i2").astype(np.float32), rate, RATE)
    loud = np.flatnonzero(np.abs(x) > .01 * np.abs(x).max())
    pad = lambda: rng.randint(200, 1600)
    x = x[max(0, loud[0] - pad()):loud[-1] + pad()]
    return (x * 20000 / np.abs(x).max()).astype(np.int16)

def utterance(rng, *key):
    """An utterance of any kind, or one of a kind with words to look for."""
    while True:
        kind, units = (key[0], beside(rng, list(key[1:]))) if key else words(rng); x = say(rng, units)
        if len(x) <= LONGEST * RATE: return kind, units, x

def record(rng, x, quiet=10, clean=30):
    """A recording of the samples: coloured noise `quiet` to `clean` dB below them, some gain."""
    noise = np.random.default_rng(rng.getrandbits(32)).standard_normal(len(x)); slope = rng.choice([0, .5, 1])
    if slope:
        f = np.fft.rfft(noise); noise = np.fft.irfft(f / np.maximum(np.arange(len(f)), 20) ** slope, len(x))
    x = x.astype(np.float64); noise *= np.sqrt((x ** 2).mean() / (noise ** 2).mean()) * 10 ** (-rng.uniform(quiet, clean) / 20)
    x = x + noise
    return (x * rng.uniform(.15, .9) * 32767 / np.abs(x).max()).astype(np.int16)

def mp3(x, rate=24):
    e = lameenc.Encoder(); e.set_bit_rate(rate); e.set_in_sample_rate(RATE); e.set_channels(1); e.set_quality(2); e.silence()
    return bytes(e.encode(x.tobytes()) + e.flush())

def heard(data):
    """Samples in [-1, 1) of a compressed file."""
    x, rate = soundfile.read(io.BytesIO(data), dtype="float32"); assert rate == RATE and x.ndim == 1
    return x

def filters():
    from transformers.audio_utils import mel_filter_bank
    return mel_filter_bank(201, 128, 0.0, 8000.0, RATE, norm="slaney", mel_scale="slaney").astype(np.float32)
_mel = []
def mel(x):
    """Features [frames, 128] as the family's processor makes them: Whisper's, of the sound followed by zeros."""
    if not _mel: _mel.extend([filters(), np.hanning(401)[:-1].astype(np.float32)])
    frames = -(-len(x) // 160); x = np.concatenate([x[200:0:-1], x, np.zeros(400, np.float32)])
    f = np.lib.stride_tricks.sliding_window_view(x, 400)[::160][:frames] * _mel[1]
    p = np.abs(np.fft.rfft(f)) ** 2
    p = np.log10(np.maximum(p.astype(np.float32) @ _mel[0], 1e-10))
    return (np.maximum(p, p.max() - 8) + 4) / 4

def questions(rng, units):
    """What may be asked of a sound alone."""
    said = rng.choice(units) if rng.random() < .5 else rng.choice([u for u in UNITS if u not in units])
    return [("wer", "What is said?", " ".join(units)), ("sound", "What is the first word?", units[0]), ("sound", "What is the last word?", units[-1]),
            ("sound", "How many words are said?", str(len(units))),
            ("sound", f"Is the word {said} said? Please answer yes or no.", "yes" if said in units else "no")]

def joint_questions(kind, units, objects, sign):
    """What may be asked of a picture and a sound together. `sign`: the text the picture shows, or None."""
    shape = next((u for u in units if u in SHAPES), None); color = next((u for u in units if u in COLORS), None); word = next((u for u in units if u in SIGNS), None)
    yes, kinds, out = (lambda b: "yes" if b else "no"), [o[0] for o in objects], []
    if kind == "shape":
        out.append(("both", "Is the spoken shape in the image? Please answer yes or no.", yes(shape in kinds)))
        if kinds.count(shape) == 1: out.append(("both", "What color is the spoken shape?", next(c for k, c in objects if k == shape)))
    if kind == "object": out.append(("both", "Is the spoken object in the image? Please answer yes or no.", yes((shape, color) in objects)))
    if kind == "word": out.append(("both", "Does the sign say the spoken word? Please answer yes or no.", yes((sign or "").lower() == word)))
    return out

def main(out, seed, n, shard=2000):
    rng = random.Random(seed); os.makedirs(out, exist_ok=True)
    for s in range(0, n, shard):
        u = [utterance(rng) for _ in range(min(shard, n - s))]
        np.save(f"{out}/.{s}.npy", np.concatenate([x for *_, x in u]))
        json.dump([[k, w, len(x)] for k, w, x in u], open(f"{out}/{s:06}.json", "w")); os.rename(f"{out}/.{s}.npy", f"{out}/{s:06}.npy")
if __name__ == "__main__": main(sys.argv[1], *map(int, sys.argv[2:]))
