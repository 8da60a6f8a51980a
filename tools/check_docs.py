#!/usr/bin/env python3
"""Runs the commands of the documents as printed.

    python3 tools/check_docs.py [--mquant target/release/mquant] [--list] [README.md docs/cli.md ...]

Every fenced block of README.md and docs/ must have a language. The commands of `sh` and `console` blocks run one by one, in a
scratch folder per document, with `mquant` on the path. A command whose exit status is not 0 fails the check. If a block cannot
run here (it downloads, compiles, or needs other packages), mark it in the line before it

    <!-- not run: needs the network -->

and the check lists the block with its reason. `text`, `json` and `toml` blocks are not commands; any other language needs a
mark. The check also fails if a relative link names no file or heading, if text names a source file (`nn/site.rs`) that does not
exist, or if it mentions a command or flag of `mquant` that `--help` does not list.

A scratch folder holds what the documents name:

    models        the repository's models
    model         a float checkpoint: the stress variant of the demo model
    bundle        the model quantised by mquant-w4a8, unless the document makes it
    picture.png   the picture of question 1 of DemoTextVQA, a sign
    photos/       pictures       frames/       the frames of a video
    questions.tsv, DocVQA_VAL.tsv             questions with pictures and answers
    chat.json     a conversation with picture.png
"""

import argparse
import base64
import csv
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILT = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release/mquant"
COMMANDS = {"sh", "console"}
PLAIN = {"text", "json", "toml"}
MARK = re.compile(r"^\s*<!-- not run: (.+?) -->\s*$")
FENCE = re.compile(r"^\s*(`{3,})\s*(\S*)")
SECONDS = 600


class Block:
    """A fenced block: its language, the reason of its mark, and its lines with the number of the first."""

    def __init__(self, document, line, language, reason):
        self.document, self.line, self.language, self.reason = document, line, language, reason
        self.lines = []

    def commands(self):
        """Its commands, each with its line: continued lines are joined, prompts and comments are dropped."""
        found, command, start = [], "", 0
        for number, line in enumerate(self.lines, self.line + 1):
            if self.language == "console" and not command:
                if not line.startswith("$ "):
                    continue
                line = line[2:]
            if not command:
                start = number
                if not line.strip() or line.lstrip().startswith("#"):
                    continue
            command += line
            if command.endswith("\\"):
                command = command[:-1]
                continue
            found.append((start, command.strip()))
            command = ""
        if command:
            found.append((start, command.strip()))
        return found


def documents():
    return [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def parse(document):
    """The blocks of a document, and its text outside of them as (line, text)."""
    blocks, text, problems = [], [], []
    block, fence, reason, marked = None, "", None, 0
    for number, line in enumerate(document.read_text("utf-8").split("\n"), 1):
        opened = FENCE.match(line)
        if block is not None:
            if opened and not opened.group(2) and len(opened.group(1)) >= len(fence):
                blocks.append(block)
                block = None
            else:
                block.lines.append(line)
        elif opened:
            fence = opened.group(1)
            block = Block(document, number, opened.group(2), reason)
            reason = None
        elif MARK.match(line):
            reason, marked = MARK.match(line).group(1), number
        else:
            if reason is not None:
                problems.append((document, marked, "a mark `not run` without a block in the next line"))
                reason = None
            text.append((number, line))
    if block is not None:
        problems.append((document, block.line, "a block that does not end"))
    for block in blocks:
        if block.reason is not None and block.language in PLAIN:
            problems.append((document, block.line, f"a mark `not run` on a block of {block.language}"))
        if block.reason is None and block.language not in COMMANDS | PLAIN:
            language = block.language or "no language"
            problems.append((document, block.line, f"a block of {language}: expected sh, console, text, json or toml, or a mark"))
        if block.reason is None and block.language in COMMANDS and not block.commands():
            problems.append((document, block.line, "a block without a command"))
    return blocks, text, problems


def heading_anchor(heading):
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", "")).replace(" ", "-")


def anchors(path):
    headings, fenced = set(), False
    for line in path.read_text("utf-8").split("\n"):
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced and re.match(r"#{1,6} ", line):
            headings.add(heading_anchor(line.lstrip("#")))
    return headings


def check_links(document, text):
    problems = []
    for number, line in text:
        for target in re.findall(r"\]\(([^)\s]+)\)", line):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            path = (document.parent / name) if name else document
            if not path.exists():
                problems.append((document, number, f"a link to {target}: there is no such file"))
            elif anchor and anchor not in anchors(path):
                problems.append((document, number, f"a link to {target}: there is no such heading"))
    return problems


def check_files(document, text, sources):
    """Problems of the source files that text names by a path or the end of one."""
    problems = []
    for number, line in text:
        for named in re.findall(r"`([\w/-]+\.rs)`", line):
            if not any(source.endswith(f"/{named}") for source in sources):
                problems.append((document, number, f"`{named}`: there is no such file"))
    return problems


def sources():
    """Every Rust file of the repository."""
    folders = [ROOT / "crates", ROOT / "xtask"]
    return [path.as_posix() for folder in folders for path in folder.rglob("*.rs")]


class Help:
    """The commands and flags of `mquant`, from its own help."""

    def __init__(self, mquant):
        self.mquant, self.of = mquant, {}
        listed = re.search(r"Commands:\n(.*?)\n\n", self.read(), re.S).group(1)
        for name in re.findall(r"^  (\w+)", listed, re.M):
            if name != "help":
                self.of[name] = set(re.findall(r"(?<!\w)--[a-z][a-z-]*", self.read(name)))
        self.all = set().union(*self.of.values())

    def read(self, *command):
        return subprocess.run([self.mquant, *command, "--help"], check=True, capture_output=True, text=True).stdout

    def check(self, document, text):
        """Problems of the commands that `mquant …` in backquotes names."""
        problems = []
        for number, line in text:
            for code in re.findall(r"`mquant ([^`]+)`", line):
                words = code.replace("\\|", "|").split("|")[0].split()
                name = words[0]
                if name.startswith("-") or name.isupper() or not re.fullmatch(r"[a-z]+", name):
                    continue
                if name not in self.of:
                    problems.append((document, number, f"`mquant {name}`: there is no such command"))
                    continue
                flags = {flag for word in words[1:] for flag in re.findall(r"(?<!\w)--[a-z][a-z-]*", word)}
                for flag in sorted(flags - self.of[name]):
                    problems.append((document, number, f"`mquant {name}` has no {flag}"))
        return problems


def png(width, height, pixel):
    """A PNG file of RGB pixels, pixel(x, y) each."""
    rows = b"".join(b"\0" + b"".join(bytes(pixel(x, y)) for x in range(width)) for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def rows_of(name, count):
    """Rows of a benchmark of the demo model."""
    csv.field_size_limit(1 << 30)
    with open(ROOT / "models/demo/bench" / name, encoding="utf-8", newline="") as file:
        return [row for _, row in zip(range(count), csv.DictReader(file, delimiter="\t"))]


def write_tsv(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def prepare(folder):
    """What the documents name, but for `bundle`."""
    os.symlink(ROOT / "models", folder / "models")
    shutil.copytree(ROOT / "models/demo-stress", folder / "model")
    signs = rows_of("DemoTextVQA.tsv", 40)
    (folder / "picture.png").write_bytes(base64.b64decode(signs[1]["image"]))
    (folder / "photos").mkdir()
    for i, row in enumerate(signs[2:10] + rows_of("DemoCount.tsv", 8)):
        (folder / f"photos/{i:02}.png").write_bytes(base64.b64decode(row["image"]))
    (folder / "frames").mkdir()
    for step in range(4):
        circle = lambda x, y: (220, 30, 30) if (x - 20 - 20 * step) ** 2 + (y - 42) ** 2 < 200 else (240, 240, 240)
        (folder / f"frames/{step:02}.png").write_bytes(png(112, 84, circle))
    write_tsv(folder / "questions.tsv", signs)
    write_tsv(folder / "DocVQA_VAL.tsv", rows_of("DemoDocVQA.tsv", 60))
    question = [
        {"type": "image_url", "image_url": {"url": "picture.png"}},
        {"type": "text", "text": "What does the sign say?"},
    ]
    (folder / "chat.json").write_text(json.dumps([{"role": "user", "content": question}]), "utf-8")


def run(command, folder, path):
    environment = {**os.environ, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    arguments = ["bash", "-euo", "pipefail", "-c", command]
    try:
        return subprocess.run(
            arguments, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired as stopped:
        said = (stopped.stderr or b"").decode("utf-8", "replace")
        return subprocess.CompletedProcess(arguments, "none", "", f"{said}\nstill running after {SECONDS} s")


def makes_bundle(commands):
    return any(re.search(r"quantize .*--output (\./)?bundle(\s|$)", command) for _, command in commands)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("documents", nargs="*", type=Path, help="documents to check [default: README.md and docs/]")
    parser.add_argument("--mquant", type=Path, default=BUILT, help="the program to run [default: target/release/mquant]")
    parser.add_argument("--scratch", type=Path, help="a folder to work in and to keep [default: a temporary one]")
    parser.add_argument("--list", action="store_true", help="list the commands and run none")
    arguments = parser.parse_args()
    chosen = [path.resolve() for path in arguments.documents] or documents()
    parsed = [(document, *parse(document)) for document in chosen]
    name = lambda document: document.relative_to(ROOT) if document.is_relative_to(ROOT) else document

    problems = [problem for _, _, _, own in parsed for problem in own]
    rust = sources()
    for document, _, text, _ in parsed:
        problems += check_links(document, text)
        problems += check_files(document, text, rust)
    skipped = [block for _, blocks, _, _ in parsed for block in blocks if block.reason is not None]
    if arguments.list:
        for document, blocks, _, _ in parsed:
            for block in blocks:
                if block.language in COMMANDS and block.reason is None:
                    for line, command in block.commands():
                        print(f"{name(document)}:{line}: {command}")
        return report(problems, skipped, 0, 0.0, name)

    mquant = arguments.mquant.resolve()
    if not mquant.is_file():
        sys.exit(f"there is no {mquant}: build it with `cargo build --release`, or name one with --mquant")
    known = Help(mquant)
    for document, _, text, _ in parsed:
        problems += known.check(document, text)

    started, ran = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="mquant-docs-") as temporary:
        scratch = arguments.scratch.resolve() if arguments.scratch else Path(temporary)
        path = scratch / "bin"
        path.mkdir(parents=True)
        os.symlink(mquant, path / "mquant")
        prepared = scratch / "prepared"
        prepared.mkdir()
        prepare(prepared)
        made = run("mquant quantize ./model --recipe mquant-w4a8 --calibration photos/ --output ./bundle", prepared, path)
        if made.returncode != 0:
            sys.exit(f"cannot prepare a bundle:\n{made.stderr}")
        for document, blocks, _, _ in parsed:
            blocks = [block for block in blocks if block.language in COMMANDS and block.reason is None]
            commands = [command for block in blocks for command in block.commands()]
            if not commands:
                continue
            folder = scratch / str(name(document)).strip("/").replace("/", "-").removesuffix(".md")
            leave = shutil.ignore_patterns("bundle*") if makes_bundle(commands) else shutil.ignore_patterns("bundle-report")
            shutil.copytree(prepared, folder, symlinks=True, ignore=leave)
            for line, command in commands:
                begun = time.monotonic()
                result = run(command, folder, path)
                ran += 1
                print(f"{time.monotonic() - begun:6.1f} s  {name(document)}:{line}: {command}", flush=True)
                if result.returncode != 0:
                    said = "\n".join(f"    {said}" for said in result.stderr.rstrip().split("\n")[-20:])
                    problems.append((document, line, f"exit status {result.returncode}: {command}\n{said}"))
        return report(problems, skipped, ran, time.monotonic() - started, name)


def report(problems, skipped, ran, seconds, name):
    for block in skipped:
        first = next((command for _, command in block.commands()), "") if block.language in COMMANDS else ""
        shown = first or next((line for line in block.lines if line.strip()), "")
        print(f"not run  {name(block.document)}:{block.line}: {block.reason} ({shown})")
    for document, line, problem in problems:
        print(f"error: {name(document)}:{line}: {problem}", file=sys.stderr)
    print(f"{ran} commands in {seconds:.0f} s, {len(skipped)} blocks not run, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
