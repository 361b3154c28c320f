#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Do two runs of make bench agree within the spread they state?

    make bench && cp build/bench/results.json first.json
    make bench && bench/agree.py first.json build/bench/results.json

Of every figure that both have measured at least three times, by part: in how many the spreads,
lowest to highest, meet, and in how many the median of each lies within the other's. Ratios first:
a figure divided by the same figure of its reference in the same turn, as the tables do; the speed
of the host, which may differ twofold from one hour to the next, is not in them. Then the figures
as they are. Of n and m measurements of one and the same thing the spreads part by chance in
2 n! m! / (n + m)! of all cases: their sum is what to expect. Exit status 1: more than twice as many
ratios are apart.
"""
import argparse
import json
import math
import statistics
import sys
from pathlib import Path

from results import spread

LEAST = 3      # a spread of fewer says nothing
DIGITS = 3     # that a table shows: what differs in those after them does not differ
# by what the tables divide; the first that a figure has for a neighbour
REFERENCES = ("verbs", "nvme-rdma", "zram", "block", "raw", "1", "10000")


def flatten(runs):
    """{path: [number or None]} of the runs of one thing, turn by turn."""
    if not any(isinstance(run, dict) for run in runs):
        return {(): runs}
    keys = {key: None for run in runs if run for key in run}
    return {(key, *path): values for key in keys
            for path, values in flatten([run.get(key) if run else None for run in runs]).items()}


def series(node, path=()):
    """{path: [number or None]}: every figure that was measured repeatedly, turn by turn."""
    if isinstance(node, list):
        return {(*path, *below): values for below, values in flatten(node).items()
                if all(isinstance(n, (int, float, type(None))) for n in values)}
    found = {}
    for key, child in node.items() if isinstance(node, dict) else ():
        found |= series(child, (*path, key))
    return found


def reference(path, figures):
    """The path of what the figure is divided by; None: nothing."""
    for name in REFERENCES:
        for i in range(len(path)):
            other = (*path[:i], name, *path[i + 1:])
            if other != path and len(figures.get(other, ())) == len(figures[path]):
                return other
    return None


def ratios(figures):
    """{path: [ratio]} of the figures that have a reference, turn by turn."""
    found = {}
    for path, values in figures.items():
        other = reference(path, figures)
        if other:
            found[path] = [a / b if a is not None and b else None
                           for a, b in zip(values, figures[other])]
    return found


def measured(figures):
    """Those measured often enough, as a table would round them."""
    found = {path: [float(f"{n:.{DIGITS}g}") for n in values if n is not None]
             for path, values in figures.items()}
    return {path: values for path, values in found.items() if len(values) >= LEAST}


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


def compare(kind, first, second):
    """Print how figures of a kind agree, by part. Returns how many are apart, and by chance."""
    print(f"| {kind} | figures | spreads meet | medians within |\n|---|---|---|---|")
    apart, compared, chance = [], 0, 0.0
    for part in sorted(first.keys() & second.keys()):
        one, two = measured(first[part]), measured(second[part])
        both = sorted(one.keys() & two.keys(), key=str)
        bad = [path for path in both if not meet(one[path], two[path])]
        close = sum(within(one[path], two[path]) for path in both)
        print(f"| {part} | {len(both)} | {len(both) - len(bad)} | {close} |")
        apart += [(distance(one[path], two[path]), part, path, one[path], two[path])
                  for path in bad]
        compared += len(both)
        chance += sum(2 / math.comb(len(one[path]) + len(two[path]), len(one[path]))
                      for path in both)
    print(f"\nThe spreads of {compared - len(apart)} of {compared} {kind} meet; by chance alone "
          f"{chance:.1f} would be apart.")
    for factor, part, path, one, two in sorted(apart, key=lambda found: -found[0]):
        print(f"- {factor:.2f} × apart: {part}: {' / '.join(map(str, path))}: "
              f"{spread(one, 2)}, {spread(two, 2)}")
    return len(apart), chance


def main():
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs=2, type=Path, metavar="RESULTS.JSON")
    first, second = ({part: series(node) for part, node in json.loads(
        run.read_text(encoding="utf-8"))["parts"].items()} for run in parser.parse_args().runs)
    for part in sorted(first.keys() ^ second.keys()):
        print(f"only in one of them: {part}")
    for part in [part for part in first if first[part] == second.get(part)]:
        print(f"the same measurement in both: {part}")
        del first[part], second[part]
    apart, chance = compare("ratios", *({part: ratios(figures) for part, figures in run.items()}
                                        for run in (first, second)))
    print()
    compare("figures", first, second)
    return 1 if not chance or apart > 2 * chance else 0


if __name__ == "__main__":
    sys.exit(main())
