"""Running engines in turns, one process at a time, and printing what came of it."""

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass

GIB = 1 << 30


@dataclass
class Done:
    """A process that ended well."""

    stdout: str
    stderr: str
    peak_rss_bytes: int


def run(name, command):
    """Runs a command to its end; one that fails ends this program with its last words."""
    print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        done = Done(out.read(), err.read(), usage.ru_maxrss * 1024)
    if process.returncode != 0:
        print(f"failed with code {process.returncode}\n{done.stderr[-2000:]}", file=sys.stderr)
        raise SystemExit(1)
    return done


def told(text):
    """Ends the line that `run` began."""
    print(text, file=sys.stderr, flush=True)


def need(found, fields, name):
    """Ends this program if an object lacks fields."""
    missing = [field for field in fields if field not in found]
    if missing:
        told(f"{name}: its output lacks {', '.join(missing)}")
        raise SystemExit(1)
    return found


def median(runs, field):
    """The median of a field over runs that have it, or None."""
    values = [run[field] for run in runs if run.get(field) is not None]
    return statistics.median(values) if values else None


def ratio(ours, theirs, more_is_better):
    """How many times better ours is, or None."""
    if not ours or not theirs:
        return None
    return ours / theirs if more_is_better else theirs / ours


def aligned(rows):
    """Rows of text as lines; all columns but the first are aligned right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    ]
