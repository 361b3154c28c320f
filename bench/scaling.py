#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""How pages per second and their cost go with borrowers, donors, threads and stored pages.

    borrowers   node1: ramsterd         nodes 2 to 5: ramster-perf, 1 to 4 of them at once
    donors      node1: ramster-perf     nodes 2 to 5: ramsterd, 1 to 4 of them used
    threads     node1: ramsterd         node 2: ramster-perf with 1 to 4 threads
    stored      index-cost on the host: 10⁴ to 10⁷ pages that are simulated

User-mode nodes have one CPU each, and together no more than this host has: the
sum of the pages cannot grow beyond that. So the table has the CPU seconds per GiB of all
nodes, too, which stay the same where more machines would bring more pages.
"""
import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from results import save, so_far, spread, takes_rounds

TREE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TREE / "tests/vm"))
from lab import scenario, uml_node  # noqa: E402

compare_block = importlib.import_module("compare-block")
library = importlib.import_module("library")

INDEX = scenario.build_directory() / "bench/index-cost"
COUNTS = (1, 2, 3, 4)
STORED = (10**4, 10**5, 10**6, 10**7)
TESTS = ("get_bw -s 4K", "put_bw -s 4K")
MEMORY = "8M"           # of a borrower's pages
DEPTH = 32              # calls under way, shared by the threads
GIB = 1 << 30
FLAT = 1.2              # the most that an operation may cost against the fewest pages


def together(clients, donors, arguments, nodes):
    """ramster-perf on all clients at once: pages per second, and CPU seconds per GiB."""
    before = [node.cpu_seconds() for node in nodes]
    jobs = [client.spawn(library.perf_command(donors, arguments, f"/run/lab/perf{n}.json"))
            for n, client in enumerate(clients)]
    results = []
    for job in jobs:
        code, output = job.wait(180)
        if code:
            raise uml_node.LabError(f"{job.command} ended with {code}:\n{output}")
        results.append(library.perf_result(output))
    spent = sum(node.cpu_seconds() for node in nodes) - sum(before)
    moved = sum((r["iterations"] + 200 * r["threads"] + r["pages"]) * r["bytes"] for r in results)
    return {"pages_per_s": sum(r["ops_per_s"] for r in results),
            "cpu_s_per_gib": spent * GIB / moved}


def curve(name, args):
    """{test: {count: [figures]}} of a curve over machines or threads."""
    count = 2 if name == "threads" else 1 + max(COUNTS)
    with uml_node.Fabric(count=count, name=f"scaling-{name}", memory="384M") as nodes:
        for node in nodes:
            node.favour()
        hub, others = nodes[0], nodes[1:]
        donors = others if name == "donors" else [hub]
        for donor in donors:
            library.start_donor(donor, "96M" if name == "donors" else "224M")
        for node in others:
            node.check(f"ping -q -c 1 {hub.ip}")
        figures = {test: {n: [] for n in COUNTS} for test in TESTS}
        for turn in range(args.repeat):
            for test in TESTS:
                for n in COUNTS[::-1] if (turn + args.round) % 2 else COUNTS:
                    arguments = f"{test} -D {args.seconds} -m {MEMORY}"
                    depth = DEPTH // n if name == "threads" else DEPTH
                    arguments += f" -q {depth}" + (f" -t {n}" if name == "threads" else "")
                    clients = {"borrowers": others[:n], "donors": [hub],
                               "threads": others}[name]
                    used = others[:n] if name == "donors" else [hub]
                    got = together(clients, used, arguments, nodes)
                    figures[test][n].append(got)
                    compare_block.note(f"{turn + 1}/{args.repeat} {n} {name}, {test}: "
                                       f"{got['pages_per_s']:.0f} pages/s, "
                                       f"{got['cpu_s_per_gib']:.1f} s/GiB")
        warnings = sum((node.warnings() for node in nodes), [])
    if warnings:
        raise uml_node.LabError("kernel warnings:\n" + "\n".join(warnings))
    return figures


def stored(args):
    """{operation: {pages: [ns]}}: the sizes take turns."""
    figures = {}
    for _ in range(args.repeat):
        for pages in STORED:
            text = subprocess.run([str(INDEX), str(pages)], check=True, capture_output=True,
                                  text=True).stdout
            for operation, took in json.loads(text).items():
                if operation != "pages":
                    figures.setdefault(operation, {}).setdefault(pages, []).append(took)
        compare_block.note(f"stored pages: {pages} done")
    return figures


def wire(args):
    """{"get": [µs], "put": [µs]}: the whole operation, one at a time, few pages stored."""
    took = {"get": [], "put": []}
    with uml_node.Pair(name="scaling-wire", memory="384M") as nodes:
        for node in nodes:
            node.favour()
        library.start_donor(nodes[0], "64M")
        nodes[1].check(f"ping -q -c 1 {nodes[0].ip}")
        for _ in range(args.repeat):
            for name, values in took.items():
                got = library.perf(nodes[1], nodes[:1], f"{name}_lat -s 4K -n 2000")
                values.append(got["t_typical_us"])
    return took


def whole(operation, by_pages, took):
    """How much longer the whole operation takes with the most pages than with the fewest."""
    name = next((name for name in took if f" {name} " in f" {operation} "), None)
    if not name:
        return ""
    few = 1e3 * statistics.median(took[name])
    more = statistics.median(by_pages[STORED[-1]]) - statistics.median(by_pages[STORED[0]])
    return f"{(few + more) / few:.3f} ({'flat' if few + more <= FLAT * few else 'not flat'})"


def report(curves, index, took):
    """The Markdown."""
    lines = [f"{os.cpu_count()} CPUs of the host for all nodes; median (lowest–highest)"]
    for name, figures in curves.items():
        for key, what, digits in (("pages_per_s", "4 KiB pages/s, all together", 0),
                                  ("cpu_s_per_gib", "CPU of all nodes, s/GiB", 1)):
            lines += ["", f"| {name}: {what} | " + " | ".join(map(str, COUNTS)) + " |",
                      "|---" * (len(COUNTS) + 1) + "|"]
            for test, by_count in figures.items():
                cells = [spread([r[key] for r in by_count[n]], digits) for n in COUNTS]
                lines.append(f"| {test.split()[0]} | " + " | ".join(cells) + " |")
    if index:
        lines += ["", "| stored pages: ns per operation | " +
                  " | ".join(f"{pages:,}" for pages in STORED) +
                  " | last ÷ first | … of an operation over the wire |",
                  "|---" * (len(STORED) + 3) + "|"]
        for operation, by_pages in index.items():
            cells = [spread(by_pages[pages], 1) for pages in STORED]
            ratio = (statistics.median(by_pages[STORED[-1]]) /
                     statistics.median(by_pages[STORED[0]]))
            lines.append(f"| {operation} | " + " | ".join(cells) + f" | {ratio:.2f} | "
                         f"{whole(operation, by_pages, took)} |")
        lines += ["", "Over the wire an operation takes, µs: " + ", ".join(
            f"{name} {spread(values, 1)}" for name, values in took.items())]
    return "\n".join(lines)


def main():
    """Returns the exit status."""
    names = ("borrowers", "donors", "threads", "stored")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each point")
    parser.add_argument("--curves", nargs="+", choices=names, default=names)
    takes_rounds(parser)
    args = parser.parse_args()
    index, took = (stored(args), wire(args)) if "stored" in args.curves else ({}, {})
    curves = {name: curve(name, args) for name in args.curves if name != "stored"}
    numbers = so_far("scaling", {"curves": curves, "stored": index, "wire": took}, args.round)
    text = report(numbers["curves"], numbers["stored"], numbers["wire"])
    print(text)
    save("scaling", text, numbers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
