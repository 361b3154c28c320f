# SPDX-License-Identifier: GPL-2.0-only
"""What a benchmark leaves in build/bench for report.py."""
import json
from pathlib import Path

DIRECTORY = Path(__file__).resolve().parents[1] / "build/bench"


def save(name, text, numbers):
    """Write NAME.md, and the numbers that it is made of as NAME.json."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    (DIRECTORY / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    (DIRECTORY / f"{name}.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
