#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Which lines of core/ and libramster-rdma/ the tests execute; exit status 1 if too few do.

Builds all in a tree of its own (build/cov), runs the unit tests and, on that library,
test_library.py on user-mode nodes and test_far.py on emulated ones. The broker they use is the one
of `make all`. What a process that is killed has executed does not count. Ten minutes.
"""
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

TREE = Path(__file__).resolve().parents[1]
COV = TREE / "build/cov"
DATA = COV / "data"             # counters: a folder for each run, with paths as in COV below it
FOLDERS = ("core", "libramster-rdma")
FLAGS = "--coverage -O1 -fprofile-update=atomic"
ENOUGH = 90             # percent, of each folder
sys.path.insert(0, str(TREE / "tests/vm"))
from lab import fabric      # noqa: E402 (the path comes first)
import test_far             # noqa: E402
import test_library         # noqa: E402


def build():
    shutil.rmtree(DATA, ignore_errors=True)
    subprocess.run(["cmake", "-S", TREE, "-B", COV, f"-DCMAKE_C_FLAGS={FLAGS}",
                    "-DCMAKE_BUILD_TYPE=Debug"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", COV, "-j", str(os.cpu_count())], check=True,
                   stdout=subprocess.DEVNULL)


def run_units():
    environment = dict(os.environ, GCOV_PREFIX=str(DATA / "unit"))
    subprocess.run(["ctest", "--test-dir", COV, "-L", "unit", "--output-on-failure"], check=True,
                   env=environment)


def run_library():
    """On user-mode nodes, which share a folder with the host."""
    test_library.CLIENT = f"GCOV_PREFIX=/run/lab/client {COV}/libramster-rdma/library-client"
    if test_library.main():
        sys.exit("test_library.py failed")
    for folder in (TREE / "build/lab/run/library-rxe").glob("*/client"):
        shutil.copytree(folder, DATA / f"library-{folder.parent.name}")


def run_far():
    test_far.CLIENT = f"GCOV_PREFIX=/share/gcov {test_far.CLIENT}"
    with fabric.open_fabric("61", donate=test_far.DONATE, tools=(), name="coverage") as lab:
        test_far.put_programs(lab)
        for name in ("far-client", "libramster-rdma.so.1"):
            shutil.copy(COV / "libramster-rdma" / name, lab.share / "far")
        for name, run in test_far.TESTS.items():
            if name != "sort":
                run(lab)
        shutil.copytree(lab.share / "gcov", DATA / "far")


def gcov(counters, scratch):
    """{(file, line): executed?} of one file of counters."""
    notes = Path("/", *counters.relative_to(DATA).parts[1:]).with_suffix(".gcno")
    shutil.copy(counters, scratch / "x.gcda")
    shutil.copy(notes, scratch / "x.gcno")
    text = subprocess.run(["gcov", "--json-format", "--stdout", scratch / "x.gcda"], check=True,
                          cwd=COV, capture_output=True, text=True).stdout
    found = {}
    for file in json.loads(text)["files"]:
        path = (COV / file["file"]).resolve()
        if path.is_relative_to(TREE) and path.suffix == ".c":
            for line in file["lines"]:
                key = str(path.relative_to(TREE)), line["line_number"]
                found[key] = found.get(key, False) or line["count"] > 0
    return found


def merge():
    """{file: {line: executed?}} of all runs together."""
    merged = defaultdict(dict)
    scratch = COV / "scratch"
    scratch.mkdir(exist_ok=True)
    for counters in DATA.rglob("*.gcda"):
        for (file, line), executed in gcov(counters, scratch).items():
            if file.split("/")[0] in FOLDERS:
                merged[file][line] = merged[file].get(line, False) or executed
    return merged


def ranges(lines):
    """Neighbours put together: 3, 7–9."""
    parts = []
    for line in sorted(lines):
        if parts and line <= parts[-1][1] + 2:
            parts[-1][1] = line
        else:
            parts.append([line, line])
    return ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in parts)


def report(merged):
    """Prints the table; whether each folder has enough."""
    enough = True
    for folder in FOLDERS:
        files = {name: lines for name, lines in merged.items() if name.startswith(folder + "/")}
        for name, lines in sorted(files.items()):
            missed = [line for line, executed in lines.items() if not executed]
            print(f"{name:32} {100 - 100 * len(missed) / len(lines):5.1f} %  {ranges(missed)}")
        total = [executed for lines in files.values() for executed in lines.values()]
        percent = 100 * sum(total) / len(total)
        print(f"{folder:32} {percent:5.1f} % of {len(total)} lines\n")
        enough = enough and percent >= ENOUGH
    return enough


if __name__ == "__main__":
    build()
    run_units()
    run_library()
    run_far()
    sys.exit(0 if report(merge()) else 1)
