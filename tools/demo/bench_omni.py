"""Write the benchmark or calibration files that need ears. usage: bench_omni.py OUT_DIR SEED N
DemoSpeech (word error rate), DemoSound and DemoBoth (exact match); sounds are MP3 files, mono, 16 kHz."""
import base64, csv, io, os, random, sys
import speech
from asking import joint_scene, target
from bench import png

RATE = 24  # kbit/s

def sound(rng, x): return base64.b64encode(speech.mp3(speech.record(rng, x), RATE)).decode()

def asked(rng, qa, i, kinds):
    """Of the questions one that begins as the i-th of the kinds, or None."""
    return next((x[1:] for x in qa if x[1].startswith(kinds[i % len(kinds)])), None)

def alone(rng, n):
    heard, known = [], []
    while len(heard) < n:
        _, units, x = speech.utterance(rng); heard.append((sound(rng, x), *speech.questions(rng, units)[0][1:]))
    while len(known) < n:
        _, units, x = speech.utterance(rng); known.append((sound(rng, x), *asked(rng, speech.questions(rng, units), len(known), ["What is the first", "What is the last", "How many", "Is the word"])))
    return heard, known

def both(rng, n):
    out, kinds = [], ["What color is the spoken", "Is the spoken shape", "Is the spoken object", "Does the sign"]
    while len(out) < n:
        im, _, objs, sign = joint_scene(rng); key = target(rng, objs, sign)
        qa = asked(rng, speech.joint_questions(key[0], key[1:], objs, sign), len(out), kinds)
        if not qa or qa[1] in ("yes", "no") and qa[1] != ["yes", "no"][len(out) // len(kinds) % 2]: continue
        out.append((png(im), sound(rng, speech.utterance(rng, *key)[2]), *qa))
    return out

def write(path, head, rows):
    with open(path, "w", newline="") as f:
        t = csv.writer(f, delimiter="\t", lineterminator="\n"); t.writerow(["index", *head, "question", "answer"])
        for i, x in enumerate(rows): t.writerow([i, *x])

def main(out, seed, n):
    rng = random.Random(seed); os.makedirs(out, exist_ok=True); heard, known = alone(rng, n)
    write(f"{out}/DemoSpeech.tsv", ["audio"], heard); write(f"{out}/DemoSound.tsv", ["audio"], known); write(f"{out}/DemoBoth.tsv", ["image", "audio"], both(rng, n))
if __name__ == "__main__": main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
