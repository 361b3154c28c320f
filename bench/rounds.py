#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""make bench: every benchmark in turn, once in each round, and what they left as one report.

A host's speed changes by the hour, and with it some ratios: repetitions one right after the
other agree with each other and not with the next run. In rounds each figure is taken at
moments that lie minutes apart, so the spread that is stated has the host's in it.

A missed bar is in the report and stops nothing; nor does a benchmark that fails, which is missing
in that round. Exit status 1: one failed in every round, or nothing was measured.
"""
import argparse
import subprocess
import sys
import time
from pathlib import Path

from results import DIRECTORY

BENCH = Path(__file__).resolve().parent
# each round: what one repetition is, where it is not --repeat=1 alone
SCRIPTS = {
    "library.py": ["--repeat=1"],
    "compare-block.py": ["--repeat=1", "--runtime=1"],
    "compare-zstd.py": ["--boots=1"],
    "compare-swap.py": ["--repeat=1"],
    "compare-fronts.py": ["--repeat=1", "--pairs=2"],
    "scaling.py": ["--repeat=1"],
    "far.py": ["--repeat=1"],
}


def run(script, done):
    """One repetition more than are done. Has it measured? A missed bar is status 1 as well."""
    before = time.time()
    status = subprocess.run([sys.executable, BENCH / script, *SCRIPTS[script],
                             f"--round={done}"], check=False).returncode
    return status in (0, 1) and any(file.stat().st_mtime >= before
                                    for file in DIRECTORY.glob("*.json"))


def main():
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=list(SCRIPTS))
    args = parser.parse_args()
    measured, begin = dict.fromkeys(args.only, 0), time.monotonic()
    for number in range(args.rounds):
        for script in args.only:
            print(f"bench: round {number + 1} of {args.rounds}, {script}, "
                  f"{(time.monotonic() - begin) / 60:.0f} min", file=sys.stderr, flush=True)
            measured[script] += run(script, measured[script])
    for script, times in measured.items():
        if times < args.rounds:
            print(f"bench: {script} has measured in {times} of {args.rounds} rounds",
                  file=sys.stderr)
    reported = subprocess.run([sys.executable, BENCH / "report.py"], check=False).returncode
    return 1 if reported or not all(measured.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
