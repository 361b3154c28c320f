# SPDX-License-Identifier: GPL-2.0-only
"""The files of the source tree, for the checks in this folder."""
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_SKIPPED = {".git", "build", "__pycache__", "LICENSES", "corpus"}


def files(root=ROOT):
    """Every source file below root, as a path relative to it; build products are left out."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(d for d in folders if d not in _SKIPPED)
        found += [(Path(folder) / name).relative_to(root) for name in sorted(names)]
    return [f for f in found if not f.name.endswith((".mod.c", ".o", ".ko", ".cmd", ".mod"))]


def is_c(path):
    """Is it C source or a header?"""
    return path.suffix in (".c", ".h")


def interpreter(path, root=ROOT):
    """The interpreter that a script's first line names, or an empty string."""
    with open(root / path, "rb") as f:
        first = f.readline(200)
    if not first.startswith(b"#!"):
        return ""
    return first.decode("utf-8", "replace").split("/")[-1].split()[-1]
