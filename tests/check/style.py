#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Style checks that need no kernel: style.py format|shell|spelling|files."""
import re
import subprocess
import sys

import tree

# Licence by folder, for C files.
LICENCES = {
    "core": "GPL-2.0-only OR BSD-3-Clause",
    "include": "(GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause",
    "libramster-rdma": "GPL-2.0-only OR BSD-3-Clause",
}
DEFAULT_LICENCE = "GPL-2.0-only"
SPDX = re.compile(r"SPDX-License-Identifier: (.+?)(?: \*/)?$")

# Files of these names and endings are source; documents, patches and data are not.
SOURCE_NAMES = {"Makefile", "Kbuild", "CMakeLists.txt", ".clang-format"}
SOURCE_SUFFIXES = {".c", ".h", ".py", ".sh", ".cmake"}

MAX_LINES = 800
MAX_COLUMNS = 100


def run(command):
    """Run a checker over the tree; its output is the report."""
    return subprocess.run(command, cwd=tree.ROOT, check=False).returncode


def clang_format():
    """Every C file is as clang-format would write it."""
    sources = [str(f) for f in tree.files() if tree.is_c(f)]
    print(f"clang-format: {len(sources)} files; make format puts them right", flush=True)
    return run(["clang-format-14", "--dry-run", "-Werror", *sources])


def shell():
    """shellcheck, on everything that a shell runs."""
    scripts = [str(f) for f in tree.files()
               if f.suffix == ".sh" or tree.interpreter(f) in ("sh", "bash", "dash")]
    print(f"shellcheck: {' '.join(scripts)}", flush=True)
    return run(["shellcheck", "-x", *scripts])


def spelling():
    """codespell, on every text file."""
    texts = [str(f) for f in tree.files()]
    print(f"codespell: {len(texts)} files", flush=True)
    return run(["codespell", "--ignore-words", "tests/check/words.txt", *texts])


def _wrong_licence(path, lines):
    """What is wrong with the SPDX line, or None."""
    first = 1 if lines and lines[0].startswith("#!") else 0
    found = SPDX.search(lines[first]) if len(lines) > first else None
    if not found:
        return f"line {first + 1} has no SPDX-License-Identifier"
    want = LICENCES.get(path.parts[0], DEFAULT_LICENCE) if tree.is_c(path) else DEFAULT_LICENCE
    return None if found[1] == want else f"is under {found[1]}, in this folder it is {want}"


def problems(path, text):
    """What is wrong with one source file."""
    if not text:
        return
    lines = text.splitlines()
    wrong = _wrong_licence(path, lines)
    if wrong:
        yield wrong
    if len(lines) > MAX_LINES:
        yield f"has {len(lines)} lines, {MAX_LINES} at most: split it"
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            yield f"line {number} ends in white space"
        # clang-format is the judge of C
        if not tree.is_c(path) and len(line) > MAX_COLUMNS:
            yield f"line {number} has {len(line)} columns, {MAX_COLUMNS} at most"
    if not text.endswith("\n") or text.endswith("\n\n"):
        yield "does not end in one newline"


def source_files():
    """SPDX line first, no file too long, no stray white space."""
    sources = [f for f in tree.files() if f.suffix in SOURCE_SUFFIXES or f.name in SOURCE_NAMES
               or tree.interpreter(f)]
    found = [f"{f}: {what}" for f in sources
             for what in problems(f, (tree.ROOT / f).read_text(encoding="utf-8"))]
    print("\n".join(found + [f"files: {len(sources)} read, {len(found)} problems"]))
    return 1 if found else 0


CHECKS = {"format": clang_format, "shell": shell, "spelling": spelling, "files": source_files}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in CHECKS:
        sys.exit(f"usage: style.py {'|'.join(CHECKS)}")
    sys.exit(CHECKS[sys.argv[1]]())
