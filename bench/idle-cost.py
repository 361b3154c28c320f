#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What the module costs a machine that is not short of memory.

    node1 ramsterd  <==== verbs ====  node2 ramster_rdma loaded, connected, all fronts on
                                      node3 no module
    (user-mode Linux)                 both compile the same sources, in turns

The CPU time is the host's, of a node's kernel and all of its programs: wall
clocks and the nodes' own accounting are too coarse for one per cent.
"""
import argparse
import os
import statistics
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TREE / "tests/vm"))
from lab import uml, uml_node  # pylint: disable=wrong-import-position

BROKER = TREE / "build/rdma-broker"
WANTED = 1.01
WORK = ("for i in $(seq {turns}); do for f in " + str(TREE / "core") + "/*.c; do "
        "gcc -std=gnu11 -O2 -c -o /run/o.o $f || exit 1; done; done")


def cpu_seconds(node):
    """Of the node's kernel, its programs, and those of them that have ended."""
    total = 0
    leader = node._process.pid  # pylint: disable=protected-access
    for task in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = task.read_text(encoding="ascii").rsplit(")", 1)[1].split()
        except OSError:
            continue    # ended meanwhile: its parent has its time
        if int(fields[3]) == leader or int(task.parent.name) == leader:
            total += sum(map(int, fields[11:15]))
    return total / os.sysconf("SC_CLK_TCK")


def measure(node, turns):
    """CPU seconds of one round of work."""
    before = cpu_seconds(node)
    node.check(WORK.format(turns=turns), timeout=300)
    return cpu_seconds(node) - before


def main():
    """Returns the exit status: 1 when the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=10, metavar="N")
    parser.add_argument("--turns", type=int, default=10, metavar="N",
                        help="times that the sources are compiled in one round")
    args = parser.parse_args()
    module = uml.build_module()
    with uml_node.Fabric(count=3, name="idle-cost", memory="512M") as nodes:
        donor, loaded, plain = nodes
        donor.spawn(f"exec {BROKER}/ramsterd --listen={donor.ip} --donate=128M")
        donor.check(f"for try in {{1..100}}; do {BROKER}/ramsterctl status &>/dev/null && exit; "
                    "sleep 0.1; done; exit 1", 30)
        loaded.check(f"insmod {module} broker={donor.ip} size=1G frontswap=1 cleancache=1")
        for node in (loaded, plain):
            measure(node, 1)    # the first reads the compiler in
        rounds = []
        for turn in range(args.repeat):
            pair = [measure(node, args.turns)
                    for node in ((loaded, plain) if turn % 2 else (plain, loaded))]
            rounds.append(pair if turn % 2 else pair[::-1])
            print(f"{turn + 1}/{args.repeat}: loaded {rounds[-1][0]:.2f} s, "
                  f"not loaded {rounds[-1][1]:.2f} s", file=sys.stderr, flush=True)
        warnings = sum((node.warnings() for node in nodes), [])
    ratio = statistics.median(a / b for a, b in rounds)
    print("| | CPU seconds, median (lowest–highest) |\n|---|---|")
    for name, column in (("loaded, connected, fronts on", 0), ("not loaded", 1)):
        values = [r[column] for r in rounds]
        print(f"| {name} | {statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f}) |")
    print(f"\nloaded ÷ not loaded, median of the rounds: {ratio:.4f}, wanted ≤ {WANTED}: "
          f"{'met' if ratio <= WANTED else 'MISSED'}")
    print("".join(f"kernel warning: {line}\n" for line in warnings), end="")
    return 0 if ratio <= WANTED and not warnings else 1


if __name__ == "__main__":
    sys.exit(main())
