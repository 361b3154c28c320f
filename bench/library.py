#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""libramster-rdma against raw verbs, on the user-mode Linux pair, interleaved.

    node1: ramsterd, perftest servers       node2: library-bench, perftest clients

Prints a table of medians with their spread, and what became of the bars:
a get of 4 KiB takes at most 1.15 times what ib_read_lat says is typical, puts of
64 KiB at depth 32 move at least 90 % of what ib_write_bw does.

Usage: library.py [--repeat N] [--wire rxe|siw]
"""
import argparse
import importlib.util
import json
import statistics
import sys
import time
from pathlib import Path

TREE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TREE / "tests/vm"))
from lab import scenario, uml_node  # noqa: E402

spec = importlib.util.spec_from_file_location("compare_block", TREE / "bench/compare-block.py")
compare_block = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compare_block)

PROGRAM = scenario.build_directory() / "libramster-rdma/library-bench"
BROKER = scenario.build_directory() / "rdma-broker"
# row: perftest's tool, its column and factor; our arguments and number; which one is better
ROWS = {
    "4 KiB READ, one at a time (µs)":
        ("ib_read_lat -s 4096 -n 2000", 4, 1, "lat 4096 2000", "typical", min),
    "64 KiB WRITE, 32 under way (MB/s)":
        ("ib_write_bw -s 65536 -n 5000 -t 32", 3, 1.048576, "put 65536 5000 32", "mb_s", max),
    "64 KiB READ, 32 under way (MB/s)":
        ("ib_read_bw -s 65536 -n 5000 -t 32", 3, 1.048576, "get 65536 5000 32", "mb_s", max),
    "4 KiB READ, 32 under way (MB/s)":
        ("ib_read_bw -s 4096 -n 20000 -t 32", 3, 1.048576, "get 4096 20000 32", "mb_s", max),
}
BARS = {"4 KiB READ, one at a time (µs)": 1.15, "64 KiB WRITE, 32 under way (MB/s)": 0.90}


def ours(client, donor, arguments, number):
    """One number of library-bench."""
    verb, *rest = arguments.split()
    text = client.check(f"{PROGRAM} {donor.ip} {verb} {' '.join(rest)}", timeout=120)
    return json.loads(text.strip().splitlines()[-1])[number]


def row_of(name, raw, lib):
    """A line of the table; whether the bar is met (None: there is none)."""
    base, value = statistics.median(raw), statistics.median(lib)
    ratio = value / base
    met = None
    if name in BARS:
        met = ratio <= BARS[name] if ROWS[name][5] is min else ratio >= BARS[name]
    cells = [name] + [f"{statistics.median(v):.1f} ({min(v):.1f} – {max(v):.1f})"
                      for v in (raw, lib)] + [f"{ratio:.2f}"]
    return "| " + " | ".join(cells) + " |", met


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--wire", default="rxe")
    args = parser.parse_args()
    raw, lib = {row: [] for row in ROWS}, {row: [] for row in ROWS}
    with uml_node.Pair(wire=args.wire, name=f"bench-library-{args.wire}") as nodes:
        for node in nodes:
            node.favour()
        donor, client = nodes
        daemon = donor.spawn(f"exec {BROKER}/ramsterd --donate=160M")
        scenario.wait_during(daemon, "ramsterd answers",
                             lambda: not donor.sh(f"{BROKER}/ramsterctl status")[0], 20)
        client.check(f"ping -q -c 1 {donor.ip}")
        for _ in range(args.repeat):
            for name, (tool, column, factor, arguments, number, _) in ROWS.items():
                raw[name].append(compare_block.perftest(nodes, args.wire, tool, column) * factor)
                lib[name].append(ours(client, donor, arguments, number))
                print(f"{time.strftime('%H:%M:%S')} {name}: raw {raw[name][-1]:.1f}, "
                      f"library {lib[name][-1]:.1f}", file=sys.stderr, flush=True)
        daemon.kill("TERM")
    print("| | raw verbs | library | ratio |\n|---|---|---|---|")
    missed = []
    for name in ROWS:
        line, met = row_of(name, raw[name], lib[name])
        print(line)
        if met is False:
            missed.append(name)
    print("\nBars: " + ("missed: " + ", ".join(missed) if missed else "all met") + ".")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
