"""Answers with the scores that VLMEvalKit's own functions give them.

    python tools/metrics/make.py CHECKOUT OUT_DIR

CHECKOUT is a checkout of VLMEvalKit; numpy and pandas must be installed. Writes into OUT_DIR for each metric
METRIC.jsonl (one answer a line, with its score as Python prints it, and the letter or word that was read), and
METRIC.totals.jsonl (what the kit prints of them all); and prompts.jsonl (rows with the messages that the kit builds of
them). Lines are lists, the first one their headings. The same checkout gives the same bytes.
"""

import json
import os
import random
import string
import sys

from kit import Kit
from texts import changed, long, near, number, text

ROWS = 1000


def vqa_rows(rng):
    for i in range(ROWS):
        truth = text(rng)
        accepted = [changed(rng, truth, rng.choice([0, 0, 1, 2])) if rng.random() < 0.6 else text(rng, 2) for _ in range(10)]
        if i % 10 == 0:
            accepted = accepted[: rng.randrange(1, 9)]
        answer = rng.choice([rng.choice(accepted), changed(rng, truth), changed(rng, truth, 2), text(rng)])
        yield {"answer": long(rng) if i % 100 == 0 else answer, "accepted": accepted}


def anls_rows(rng):
    for i in range(ROWS):
        accepted = [text(rng, 6) for _ in range(rng.choice([1, 1, 2, 3, 5]))]
        answer = changed(rng, rng.choice(accepted), rng.randrange(8)) if rng.random() < 0.9 else text(rng)
        if i % 100 == 0:
            answer = long(rng)
            accepted.append(changed(rng, answer, 30))
        category = rng.choice(["table/list", "figure/diagram", "Yes/No", "ΑΣ"])
        yield {"answer": answer, "accepted": accepted, "category": category}


def relaxed_rows(rng):
    for i in range(ROWS):
        truth = number(rng) if rng.random() < 0.8 else text(rng, 2)
        accepted = [truth] + [number(rng) for _ in range(rng.choice([0, 0, 0, 1]))]
        answer = long(rng) if i % 200 == 0 else near(rng, truth) if rng.random() < 0.8 else changed(rng, truth)
        yield {"answer": answer, "accepted": accepted, "split": rng.choice(["test_human", "test_augmented"])}


CATEGORIES = [
    "Regular Text Recognition", "Irregular Text Recognition", "Artistic Text Recognition", "Handwriting Recognition",
    "Digit String Recognition", "Non-Semantic Text Recognition", "Scene Text-centric VQA", "Doc-oriented VQA",
    "Key Information Extraction", "Handwritten Mathematical Expression Recognition",
]  # fmt: skip


def ocrbench_rows(rng):
    for i in range(ROWS):
        accepted = [text(rng) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
        said = changed(rng, rng.choice(accepted), rng.choice([0, 1, 1, 2]))
        before, after = (text(rng, 3) if rng.random() < 0.4 else "" for _ in range(2))
        answer = long(rng, 60) + said if i % 100 == 0 else rng.choice(["", " ", "\n"]) .join([before, said, after])
        yield {"answer": answer, "accepted": accepted, "category": rng.choice(CATEGORIES[-4:] + CATEGORIES)}


PERCEPTION = "OCR artwork celebrity color count existence landmark position posters scene".split()
COGNITION = "code_reasoning commonsense_reasoning numerical_calculation text_translation".split()


def yes_or_no(rng):
    pieces = ["yes", "Yes", "YES", "no", "No", "NO", "yes.", "no,", "\"Yes\"", "(no)", "yes/no", "no-one", "yes;", "nope", "yeah",
              "not", "Yes!", "no\n", "１ yes", "ｙｅｓ", "noſ", "1,000", "1,0 no?", "know", "<yes>", "no_", "yes\u3000", "no\x1c"]  # fmt: skip
    if rng.random() < 0.4:
        return rng.choice(["Yes", "No", "yes.", "NO"])
    out = rng.choice(pieces)
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2, 3])):
        out += rng.choice([" ", ", ", ". ", "\n", "", "-", "."]) + (rng.choice(pieces) if rng.random() < 0.4 else text(rng, 1))
    return rng.choice(["", "", " ", "\n", "Answer: "]) + out


def mme_rows(rng):
    pictures = [(category, f"{i}.jpg") for i in range(36) for category in PERCEPTION + COGNITION]
    for category, picture in pictures:
        for _ in range(rng.choice([2, 2, 2, 2, 2, 2, 3])):
            yield {"answer": yes_or_no(rng), "accepted": [rng.choice(["Yes", "No"])], "category": category, "image_path": picture}


def yes_no_rows(rng):
    for _ in range(ROWS):
        row = {"answer": yes_or_no(rng), "accepted": [rng.choice(["Yes", "No"])]}
        yield row | {"category": rng.choice(["VD", "VS", "ß"]), "l2-category": rng.choice(["chart", "map", "VS"])}


def options(rng, least=2):
    letters = string.ascii_uppercase[: rng.choice([least, 2, 3, 4, 4, 4, 5, 9])]
    texts = [rng.choice(["cat", "a cat", "dog", "Teddy Bear", "A", "B and C", "12", "1", "None of the above", "the answer is B", "ΑΣ", "İ"])
             if rng.random() < 0.5 else text(rng, 2) for _ in letters]  # fmt: skip
    # An empty cell is no option.
    return {letter: words for letter, words in zip(letters, texts) if words} or {"A": "x"}


def chosen(rng, options, right):
    letter = right if rng.random() < 0.5 else rng.choice(list(options))
    words = options[letter]
    forms = [
        "{l}", "{l}.", "({l})", "{l}. {w}", "({l}) {w}", "{w}", "{w}.", "The answer is {l}", "The answer is {l}.", "answer is **{l}**",
        "The correct answer is {w}", "It is {w}, because of the {o}", "{l} or {o}", "both {l} and {p}", "Option {l}: {w}", "**{l}**",
        "{l}\n\n{w}", "I think it is {l}", "{p} is wrong, so the answer is {l}", "A cat is seen, {l}", "{l} because the picture shows it well",
        "the ANSWER  İS **{m}", "anſwer ıs {m} of {p} {l}", "answer\n is\x1c{l}", "Z", "Z {l}", "Cannot determine the answer {l}",
        "I can't process this file. {l}", "Failed to obtain answer via API. {w} {l}", "Failed to obtain answer via API {w}",
        "# {l}", "[{l}]", "{{{l}}}", "{l};{p}", "${l}$", "{l}/{p}", "<{l}>", "{l}、", "（{l}）", "", " ", "\n{l}\n", "{l} {l}",
        "a {w} b", "{o} {w}", "the answer is not {l}", "Answer is: {l}", "answer is {l}{p}", "{t} {l}", "{l} {t}", "{L}", "{L} {l}",
    ]  # fmt: skip
    other = rng.choice(list(options))
    form = rng.choice(forms).format(
        l=letter, m=letter.lower(), w=words, o=options[other], p=other, t=text(rng, 5), L=long(rng, 12)
    )
    return changed(rng, form) if rng.random() < 0.2 else form


def choice_rows(rng):
    for i in range(ROWS):
        cells = options(rng)
        right = rng.choice(list(cells))
        row = {"index": i, "answer": chosen(rng, cells, right), "accepted": [right], "options": cells, "split": "test"}
        yield row | {"category": rng.choice(["biology", "physics"]), "l2-category": rng.choice(["natural science", "attribute_reasoning"])}


def choice_open_rows(rng):
    for i in range(ROWS):
        if rng.random() < 0.3:
            truth = text(rng, 2)
            # A cell that pandas or `eval` would not keep as text is left to the reader of files.
            cells, accepted = {}, truth if truth.strip() else "24 cm"
            answer = rng.choice(["A", "B", changed(rng, accepted), f"It is {accepted}", text(rng), "Other answers", "(B)"])
        else:
            cells = options(rng)
            cells.setdefault("A", "first")
            accepted = rng.choice(list(cells))
            answer = chosen(rng, cells, accepted)
        row = {"index": i, "answer": answer, "accepted": [accepted], "options": cells}
        row |= {"split": rng.choice(["dev", "validation", "validation"]), "category": rng.choice(["Art", "Math"])}
        yield row | {"l2-category": rng.choice(["Humanities", "Science"])}


def choice_circular_rows(rng):
    rows = []
    for group in range(300):
        cells = options(rng, 4)
        letters, texts = list(cells), list(cells.values())
        right = rng.randrange(len(letters))
        extra = {"category": rng.choice(["ocr", "logic_reasoning", "celebrity"]), "l2-category": rng.choice(["coarse_perception", "attribute_reasoning"])}
        for turn in range(min(4, len(letters))):
            turned = dict(zip(letters, texts[turn:] + texts[:turn]))
            accepted = letters[(right - turn) % len(letters)]
            said = rng.choice([accepted, f"{accepted}. {turned[accepted]}", f"({accepted})"]) if rng.random() < 0.8 else chosen(rng, turned, accepted)
            # Some circles lack the row that they are counted by.
            if turn or group % 25:
                rows.append({"index": group + 1_000_000 * turn, "answer": said, "accepted": [accepted], "options": turned, "split": "dev"} | extra)
    rng.shuffle(rows)
    return rows


def table(rows, has_lists):
    """As a prediction file has them; accepted answers as a list or the only one as it is."""
    letters = sorted({letter for row in rows for letter in row.get("options", {})} | {"A", "B"})
    def cells(i, row):
        line = {"index": i, "question": "?", "prediction": row["answer"], "answer": repr(row["accepted"])}
        if "options" in row:
            line |= {letter: row["options"].get(letter) for letter in letters}
        if not has_lists:
            (line["answer"],) = row["accepted"]
        return line | {key: row[key] for key in ("index", "category", "l2-category", "split", "image_path") if key in row}
    return [cells(i, row) for i, row in enumerate(rows)]


def prompts(kit):
    rng = random.Random("prompts")
    kinds = [
        ("Alone", kit.image_vqa.OCRBench, "OCRBench"),
        ("Alone", kit.image_vqa.VizWiz, "VizWiz"),
        ("Alone", kit.image_yorn.ImageYORNDataset, "MME"),
        ("ShortAnswer", kit.image_vqa.ImageVQADataset, "TextVQA_VAL"),
        ("YesNo", kit.image_yorn.ImageYORNDataset, "AMBER"),
        ("Choice", kit.image_mcq.ImageMCQDataset, "MMBench_DEV_EN"),
        ("PlacedChoice", kit.image_mcq.MMMUDataset, "MMMU_DEV_VAL"),
    ]
    for style, kind, name in kinds:
        for i in range(24):
            row = {"question": text(rng, 8), "hint": None, "options": {}, "pictures": rng.choice([1, 1, 2, 4])}
            if "Choice" in style:
                row |= {"hint": rng.choice([None, text(rng, 9)]) or None, "options": rng.choice([{}, options(rng), options(rng)])}
            if style == "PlacedChoice" and i % 3:
                named = [f"<image {rng.randrange(row['pictures']) + 1}>" for _ in range(rng.randrange(1, 4))]
                row["question"] += " and ".join(named)
            message = kit.dataset(kind, name).build_prompt({**row, **row["options"]})
            parts = [int(part["value"]) if part["type"] == "image" else part["value"] for part in message]
            yield row | {"style": style, "set": name, "parts": [part for part in parts if part != ""]}


def main(checkout, out):
    kit = Kit(checkout)
    mcq = kit.multiple_choice

    def hit(method, name):
        def judge(line):
            return float(kit.vqa_eval.hit_calculate([kit.vqa_eval.process_line(line, method=method)], name)[0]), None
        return judge

    def ocrbench(line):
        return kit.rating(kit.image_vqa.OCRBench, "OCRBench", [line])[0]["Final Score"], None

    def yes_no(line):
        said = kit.yorn.YOrN_Extraction(line["prediction"])
        return float(said == line["answer"]), said if said != "Unknown" else ""

    def choice(line):
        read = mcq.prefetch_answer(line)
        return float(read == line["answer"]), read if read and read != "Z" else ""

    def choice_open(line):
        reformed = mcq.MMMU_preproc(mcq.pd.DataFrame([line])).iloc[0]
        right = line["answer"] if line["answer"] in list(string.ascii_uppercase) else "A"
        read = mcq.prefetch_answer(reformed)
        return float(read == right), read if read and read != "Z" else ""

    image_vqa, image_mcq, image_yorn = (m for m in (kit.image_vqa, kit.image_mcq, kit.image_yorn))
    metrics = {
        "vqa": (vqa_rows, hit("vqa_score", "TextVQA"), image_vqa.ImageVQADataset, "TextVQA_VAL"),
        "anls": (anls_rows, hit("anls", "DocVQA"), image_vqa.ImageVQADataset, "DocVQA_VAL"),
        "relaxed": (relaxed_rows, hit("relaxed_accuracy", "ChartQA"), image_vqa.ImageVQADataset, "ChartQA_TEST"),
        "ocrbench": (ocrbench_rows, ocrbench, image_vqa.OCRBench, "OCRBench"),
        "mme": (mme_rows, yes_no, image_yorn.ImageYORNDataset, "MME"),
        "yes_no": (yes_no_rows, yes_no, image_yorn.ImageYORNDataset, "Other"),
        "choice": (choice_rows, choice, image_mcq.ImageMCQDataset, "ScienceQA_TEST"),
        "choice_open": (choice_open_rows, choice_open, image_mcq.MMMUDataset, "MMMU_DEV_VAL"),
        "choice_circular": (choice_circular_rows, choice, image_mcq.ImageMCQDataset, "MMBench_DEV_EN"),
    }
    os.makedirs(out, exist_ok=True)

    def write(name, rows):
        rows = list(rows)
        with open(os.path.join(out, name), "w", encoding="utf-8", newline="\n") as file:
            for row in [list(rows[0])] + [list(row.values()) for row in rows]:
                file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")

    for name, (make, judge, kind, published) in metrics.items():
        rows = list(make(random.Random(name)))
        lines = table(rows, has_lists=name in ("vqa", "anls", "relaxed", "ocrbench"))
        for row, line in zip(rows, lines):
            score, read = judge(line)
            row["score"] = repr(float(score))
            if read is not None:
                row["read"] = read
        write(name + ".jsonl", rows)
        totals = []
        for record in kit.rating(kind, published, lines):
            split = record.pop("split", None)
            totals += [{"name": name, "split": split, "value": repr(float(value))} for name, value in record.items() if value == value]
        totals.sort(key=lambda total: (str(total["split"]), total["name"]))
        write(name + ".totals.jsonl", totals)
        print(name, len(rows), sum(float(row["score"]) for row in rows), totals[:3])
    write("prompts.jsonl", prompts(kit))


main(*sys.argv[1:])
