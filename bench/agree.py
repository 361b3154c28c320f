#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Do two runs of make bench agree within the spread they state?

    make bench && cp build/bench/results.json first.json
    make bench && bench/agree.py first.json build/bench/results.json

Of every figure that both have measured at least three times, by part: in how many the spreads,
lowest to highest, meet, and in how many the median of each lies within the other's. Then those
whose spreads do not meet, the farthest apart first. Exit status 1: they are more than --tolerate
of a hundred.
"""
import argparse
import json
import statistics
import sys
from pathlib import Path

from results import spread

LEAST = 3   # a spread of fewer says nothing


def series(node, path=()):
    """{path: [numbers]}: every figure that was measured repeatedly."""
    if isinstance(node, dict):
        children = node.items()
    elif isinstance(node, list) and all(isinstance(run, dict) for run in node):
        keys = {key: None for run in node for key in run}
        children = [(key, [run[key] for run in node if key in run]) for key in keys]
    elif isinstance(node, list) and all(isinstance(n, (int, float)) for n in node):
        return {path: node} if len(node) >= LEAST else {}
    else:
        return {}
    found = {}
    for key, child in children:
        found |= series(child, (*path, key))
    return found


def meet(values, others):
    """Have the spreads anything in common?"""
    return min(values) <= max(others) and min(others) <= max(values)


def within(values, others):
    """Is the median of each between the lowest and the highest of the other?"""
    return all(min(a) <= statistics.median(b) <= max(a)
               for a, b in ((values, others), (others, values)))


def distance(values, others):
    """How many times the smaller median the larger one is."""
    low, high = sorted((statistics.median(values), statistics.median(others)))
    return high / low if low else float("inf")


def main():
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs=2, type=Path, metavar="RESULTS.JSON")
    parser.add_argument("--tolerate", type=float, default=0, metavar="PERCENT")
    args = parser.parse_args()
    first, second = (json.loads(run.read_text(encoding="utf-8"))["parts"] for run in args.runs)
    apart, all_compared = [], 0
    for part in sorted(first.keys() ^ second.keys()):
        print(f"only in one of them: {part}")
    print("| part | figures | spreads meet | medians within |\n|---|---|---|---|")
    for part in sorted(first.keys() & second.keys()):
        one, two = series(first[part]), series(second[part])
        both = sorted(one.keys() & two.keys(), key=str)
        bad = [path for path in both if not meet(one[path], two[path])]
        close = sum(within(one[path], two[path]) for path in both)
        print(f"| {part} | {len(both)} | {len(both) - len(bad)} | {close} |")
        apart += [(distance(one[path], two[path]), part, path, one[path], two[path])
                  for path in bad]
        all_compared += len(both)
    for factor, part, path, one, two in sorted(apart, key=lambda found: -found[0]):
        print(f"{factor:.2f} × apart: {part}: {' / '.join(map(str, path))}: "
              f"{spread(one, 2)}, {spread(two, 2)}")
    print(f"the spreads of {all_compared - len(apart)} of {all_compared} meet")
    return 1 if not all_compared or 100 * len(apart) > args.tolerate * all_compared else 0


if __name__ == "__main__":
    sys.exit(main())
