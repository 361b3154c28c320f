# SPDX-License-Identifier: GPL-2.0-only
"""How the benchmarks show figures, and where they leave them for report.py."""
import json
import statistics
from pathlib import Path

DIRECTORY = Path(__file__).resolve().parents[1] / "build/bench"


def spread(values, digits=0):
    """median (lowest–highest)"""
    return (f"{statistics.median(values):.{digits}f} "
            f"({min(values):.{digits}f}–{max(values):.{digits}f})")


def takes_rounds(parser):
    """The option of every benchmark of bench/rounds.py."""
    parser.add_argument("--round", type=int, default=0, metavar="N",
                        help="N rounds are done: go on from what they left (default 0: anew)")


def join(before, now):
    """Both in one: list after list, key by key; keys of JSON are strings."""
    if isinstance(now, dict) and isinstance(before, dict):
        return {key: join(before.get(str(key)), value) for key, value in now.items()}
    return before + now if isinstance(now, list) and isinstance(before, list) else now


def so_far(name, numbers, rounds):
    """numbers, after those of NAME.json if there were rounds before this one."""
    file = DIRECTORY / f"{name}.json"
    if not rounds or not file.exists():
        return numbers
    return join(json.loads(file.read_text(encoding="utf-8")), numbers)


def save(name, text, numbers):
    """Write NAME.md, and the numbers that it is made of as NAME.json."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    (DIRECTORY / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    (DIRECTORY / f"{name}.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
