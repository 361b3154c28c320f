#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""libramster-rdma against raw verbs, on the user-mode Linux pair, interleaved.

    node1: ramsterd, perftest's servers       node2: ramster-perf, perftest's clients

The table shows medians with their spread; the ratio is the median of those of
neighbouring runs. Bars: a get of 4 KiB takes at most 1.15 times what ib_read_lat says
is typical, puts of 64 KiB at depth 32 move at least 90 % of what ib_write_bw does.
Exit status 1: a bar is missed.
"""
import argparse
import importlib
import json
import statistics
import sys
from pathlib import Path

from results import save, so_far, spread, takes_rounds

TREE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TREE / "tests/vm"))
from lab import scenario, uml_node  # noqa: E402
import meter  # noqa: E402

compare_block = importlib.import_module("compare-block")

PERF = scenario.build_directory() / "bench/ramster-perf"
BROKER = scenario.build_directory() / "rdma-broker"
MB = 1.048576       # perftest's MiB
# row: perftest's tool, its column and factor; ramster-perf's arguments and number, by what
# it is divided; which is better; the bar of the ratio
ROWS = {
    "4 KiB get, one at a time, typical, µs":
        ("ib_read_lat -s 4096 -n 20000", 4, 1, "get_lat -s 4K -n 20000", "t_typical_us", 1,
         min, 1.15),
    "4 KiB put, one at a time, typical, µs":
        # perftest reports half of a round trip
        ("ib_write_lat -s 4096 -n 20000", 4, 2, "put_lat -s 4K -n 20000", "t_typical_us", 1,
         min, None),
    "64 KiB put, 32 under way, MB/s":
        ("ib_write_bw -s 65536 -n 30000 -t 32", 3, MB, "put_bw -s 64K -q 32 -n 30000",
         "bytes_per_s", 1e6, max, 0.9),
    "64 KiB get, 32 under way, MB/s":
        ("ib_read_bw -s 65536 -n 30000 -t 32", 3, MB, "get_bw -s 64K -q 32 -n 30000",
         "bytes_per_s", 1e6, max, None),
    "4 KiB get, 32 under way, MB/s":
        ("ib_read_bw -s 4096 -n 80000 -t 32", 3, MB, "get_bw -s 4K -q 32 -n 80000",
         "bytes_per_s", 1e6, max, None),
    "4 KiB put, 32 under way, MB/s":
        ("ib_write_bw -s 4096 -n 80000 -t 32", 3, MB, "put_bw -s 4K -q 32 -n 80000",
         "bytes_per_s", 1e6, max, None),
    # the library posts 16 at a time, too
    "4 KiB get, verbs 16 to a post, MB/s":
        ("ib_read_bw -s 4096 -n 80000 -t 32 -l 16", 3, MB, "get_bw -s 4K -q 32 -n 80000",
         "bytes_per_s", 1e6, max, None),
    "4 KiB put, verbs 16 to a post, MB/s":
        ("ib_write_bw -s 4096 -n 80000 -t 32 -l 16", 3, MB, "put_bw -s 4K -q 32 -n 80000",
         "bytes_per_s", 1e6, max, None),
}

COSTS = {"4 KiB get": "get_bw -s 4K", "4 KiB put": "put_bw -s 4K",
         "64 KiB get": "get_bw -s 64K", "64 KiB put": "put_bw -s 64K"}
COST_SECONDS = 4


def start_donor(node, donate):
    """ramsterd; returns its job when it answers."""
    daemon = node.spawn(f"exec {BROKER}/ramsterd --donate={donate}")
    scenario.wait_during(daemon, "ramsterd answers",
                         lambda: not node.sh(f"{BROKER}/ramsterctl status")[0], 20)
    return daemon


def perf_command(donors, arguments, out="/run/lab/perf.json"):
    """A ramster-perf command; its JSON comes after RESULT."""
    test, *rest = arguments.split()
    addresses = " ".join(donor.ip for donor in donors)
    return (f"{PERF} {test} {addresses} {' '.join(rest)} -F --out_json={out} && "
            f"echo RESULT && cat {out}")


def perf_result(output):
    """What perf_command() printed."""
    return json.loads(output.split("RESULT\n", 1)[1])


def perf(client, donors, arguments, timeout=120):
    """One run of ramster-perf: its result."""
    got = perf_result(client.check(perf_command(donors, arguments), timeout))
    if got["travelled"] < got["iterations"]:
        raise uml_node.LabError(f"ramster-perf {arguments}: not all pages travelled: {got}")
    return got


def run(nodes, args):
    """{row: {"verbs": [number], "library": [number]}}"""
    donor, client = nodes
    rows = {name: {"verbs": [], "library": []} for name in ROWS}
    for turn in range(args.repeat):
        for name, (tool, column, factor, arguments, key, by, *_) in ROWS.items():
            def verbs():
                rows[name]["verbs"].append(
                    compare_block.perftest(nodes, args.wire, tool, column) * factor)

            def library():
                rows[name]["library"].append(perf(client, [donor], arguments)[key] / by)
            for step in (library, verbs) if (turn + args.round) % 2 else (verbs, library):
                step()
            compare_block.note(f"{turn + 1}/{args.repeat} {name}: verbs "
                               f"{rows[name]['verbs'][-1]:.1f}, "
                               f"library {rows[name]['library'][-1]:.1f}")
    return rows


def costs(nodes):
    """{test: [figures]}: of a long run, in which connecting and borrowing hardly count."""
    donor, client = nodes
    gauge, found = meter.Meter(donor, client), {}
    for name, test in COSTS.items():
        before = gauge.read()
        got = perf(client, [donor], f"{test} -D {COST_SECONDS}")
        moved = (got["iterations"] + 200 + got["pages"]) * got["bytes"]  # warm-up, first puts
        found[name] = [gauge.since(before, moved)]
        compare_block.note(f"cost of {name}: {found[name][0]}")
    return found


def report(rows, spent, args):
    """The Markdown, and whether the bars are met."""
    repetitions = len(next(iter(rows.values()))["verbs"])
    lines = [f"Wire {args.wire}, {repetitions} repetitions", "",
             "| | raw verbs | library | library ÷ verbs, pair by pair | wanted | |",
             "|---" * 6 + "|"]
    all_met = True
    for name, got in rows.items():
        better, bar = ROWS[name][6:]
        pairs = [b / a for a, b in zip(got["verbs"], got["library"])]
        ratio = statistics.median(pairs)
        met = bar is None or (ratio <= bar if better is min else ratio >= bar)
        all_met = all_met and met
        wanted = "" if bar is None else f"{'≤' if better is min else '≥'} {bar}"
        lines.append(f"| {name} | {spread(got['verbs'], 1)} | {spread(got['library'], 1)} | "
                     f"{spread(pairs, 2)} | {wanted} | "
                     f"{'' if bar is None else 'met' if met else 'MISSED'} |")
    lines += ["", "| library, 32 under way | " + " | ".join(meter.COLUMNS.values()) + " |",
              "|---" * (len(meter.COLUMNS) + 1) + "|"]
    for name, runs in spent.items():
        cells = [f"{compare_block.middle(runs, key):.2f}" for key in meter.COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines), all_met


def main():
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--wire", choices=("rxe", "siw"), default="rxe")
    takes_rounds(parser)
    args = parser.parse_args()
    if not PERF.exists():
        parser.error(f"{PERF} is not built: run make")
    with uml_node.Pair(wire=args.wire, name=f"bench-library-{args.wire}") as nodes:
        for node in nodes:
            node.favour()
        start_donor(nodes[0], "160M")
        nodes[1].check(f"ping -q -c 1 {nodes[0].ip}")
        numbers = {"rows": run(nodes, args), "cost": costs(nodes)}
        warnings = sum((node.warnings() for node in nodes), [])
    name = f"library-{args.wire}"
    numbers = so_far(name, numbers, args.round)
    text, met = report(numbers["rows"], numbers["cost"], args)
    text += "".join(f"\nkernel warning: {line}" for line in warnings)
    print(text)
    save(name, text, numbers)
    return 0 if met and not warnings else 1


if __name__ == "__main__":
    sys.exit(main())
