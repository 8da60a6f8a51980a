"""Transcripts and answers with what transformers' EnglishTextNormalizer and jiwer make of them.

    python tools/metrics/wer.py SPELLINGS_JSON OUT_DIR [SPELLINGS_TXT]

SPELLINGS_JSON is english.json of openai-whisper (`whisper/normalizers/`, the same as normalizer.json of a Whisper model);
transformers, regex and jiwer must be installed. Writes into OUT_DIR wer.jsonl (an answer and its transcript a line, both
normalised, and 1 less the word error rate) and wer.totals.jsonl (the rate of all of them and of each category), and to
SPELLINGS_TXT the list of spellings that the metric has. The same versions give the same bytes.
"""

import json
import os
import random
import sys
from collections import defaultdict

import jiwer
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from texts import WORDS, changed, text

ROWS = 1200

ONES = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
POWERS = "hundred thousand million billion trillion quadrillion decillion".split()
ORDINALS = "zeroth first second third fourth fifth sixth seventh eighth nineth ninth tenth twelfth twentieth sixtieth hundredth millionth".split()
PLURALS = "ones twos sixes sevens tens twenties sixties hundreds thousands millions".split()
MONEY = "dollar dollars pound pounds euro euros cent cents percent per cent $5 $20 £3.50 €1,000 ¢7 $0.07 $0 5% 12.5% $ % ¢".split()
DIGITS = "0 1 1s 2 7 10 21 99 100 1960s 1,000 1,234,567 2.5 5.0 1.50 0.5 .5 5. 3rd 21st 4 th 2 nd a1 b22c 192.168.0.1 1-2 1/2 ½ ٣ ४२ ２".split()
GLUE = "and point double triple minus plus negative positive oh o zero a half and a half and and".split()
SPEECH = (
    "won't can't let's ain't y'all wanna gotta gonna i'ma imma woulda coulda shoulda ma'am mr mr. Mrs. st. dr prof capt gov ald "
    "gen sen rep pres rev hon asst assoc lt col jr sr esq I'd been he's been she'd gone it's gone they'd done it's got don't you're "
    "John's we'd they'll 't 'tis could've I'm 'm uh um hmm mm mhm mmm Um, uh. um-hum hum umm HMM can ' t don 't rock 'n' roll the "
    "colour grey centre theatre aeroplane programme organise organised travelling honour's analyse catalogue jewellery plough "
    "flier moulded café naïve résumé Straße Øre œuvre łódź þing đ Ångström ﬁne e\u0301clair №5 ™ ½ ² x² [noise] (laughs) <unk> "
    "[a> () (( ) ] < > well, so; then: \"quote\" end. stop! what? e.g. U.S.A. a.b.c ... .. well... - -- _under_ under_score @home #tag & * "
    "the a of to in it was that his her with as had for on at by which you not but from all they were she would been there who"
).split()


def spoken(rng):
    kind = rng.random()
    if kind < 0.3:
        return rng.choice(ONES + TENS + ONES[:9])
    if kind < 0.4:
        return rng.choice(POWERS)
    if kind < 0.5:
        return rng.choice(ORDINALS + PLURALS)
    if kind < 0.65:
        return rng.choice(MONEY)
    if kind < 0.8:
        return rng.choice(DIGITS)
    return rng.choice(GLUE)


def sentence(rng):
    kind = rng.random()
    if kind < 0.1:
        return text(rng, 9)
    words = []
    for _ in range(rng.randrange(1, 14)):
        if kind < 0.45:
            words.append(spoken(rng))
        elif kind < 0.6:
            words.append(rng.choice([spoken(rng), rng.choice(SPEECH), rng.choice(WORDS)]))
        else:
            words.append(rng.choice(SPEECH))
    joined = "".join(word + rng.choice([" "] * 12 + ["  ", "-", ", ", ". ", "\n", "\u00a0", "\x1c", "' ", " '", ""]) for word in words)
    return rng.choice([str, str, str, str.upper, str.capitalize])(joined)


def main(spellings, out, listed=None):
    with open(spellings, encoding="utf-8") as file:
        mapping = json.load(file)
    # Keys and values of several words are never met: the text is looked up word by word.
    words = {british: american for british, american in mapping.items() if " " not in british + american}
    if listed:
        with open(listed, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{british} {words[british]}\n" for british in sorted(words))
    normalise = EnglishTextNormalizer(mapping)
    rng = random.Random("wer")
    british = sorted(words)
    rows, groups = [], defaultdict(lambda: ([], []))
    while len(rows) < ROWS:
        truth = sentence(rng)
        if rng.random() < 0.2:
            truth += " " + rng.choice(british)
        if not normalise(truth).split():
            continue
        answer = changed(rng, truth, rng.choice([0, 1, 1, 2, 6])) if rng.random() < 0.85 else sentence(rng)
        heard, said = (" ".join(normalise(t).split()) for t in (truth, answer))
        category = rng.choice(["read", "spoken"])
        for name in ("Overall", category):
            groups[name][0].append(heard)
            groups[name][1].append(said)
        row = {"answer": answer, "accepted": [truth], "category": category, "heard": heard, "said": said}
        rows.append(row | {"score": repr(1.0 - jiwer.wer(heard, said))})
    totals = [{"name": name, "split": None, "value": repr(100.0 * jiwer.wer(*groups[name]))} for name in sorted(groups)]
    for name, lines in [("wer.jsonl", rows), ("wer.totals.jsonl", totals)]:
        with open(os.path.join(out, name), "w", encoding="utf-8", newline="\n") as file:
            for line in [list(lines[0])] + [list(line.values()) for line in lines]:
                file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(len(rows), totals, sum(row["heard"] == row["said"] for row in rows))


main(*sys.argv[1:])
