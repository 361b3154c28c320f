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


def save(name, text, numbers):
    """Write NAME.md, and the numbers that it is made of as NAME.json."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    (DIRECTORY / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    (DIRECTORY / f"{name}.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
