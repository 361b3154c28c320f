#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Far memory against the wire and against the same faults without a wire, on stock 6.1, in turns.

    donor1 (QEMU)                        borrower1 (QEMU, the same kernel)
    ramsterd, perftest server            far-client bench: 16 MiB, of which 4 in RAM

Prints medians with their spread, and what became of the bars: a fault takes at most
a raw READ of 4 KiB and 1.3 times the same fault answered here; pages in order
come at least 3 times as fast as at random.

The fault answered here is one of a page that one word fills: the library has it in its index,
so it goes the whole way of a fault but over the wire. Faults over the wire, gets of the library
and raw READs take turns, each after a fault answered here: all find the same in the host's
caches. "Alone" is with nothing else between, as ib_read_lat is.

Usage: far.py [--repeat N] [--count N] [--kernel K] [--brings N]
"""
import argparse
import json
import statistics
import sys
import time
from pathlib import Path

from results import save, so_far, spread, takes_rounds

TREE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TREE / "tests/vm"))
from lab import fabric, scenario  # noqa: E402
import test_far  # noqa: E402

PORT = 18515
# both sides wait in the same way: perftest with -e?, the library's poll_us
MODES = {"polling": (False, 10000), "asleep": (True, 0)}


def raw_read(lab, count, events):
    """What ib_read_lat says is typical of 4 KiB, microseconds: polling, or asleep until told."""
    donor, borrower = lab.donors[0], lab.borrowers[0]
    arguments = f"-d rxe0 -x 1 -p {PORT} -s 4096 -n {count} -F{' -e' if events else ''}"
    server = donor.spawn(f"exec ib_read_lat {arguments} 2>&1")
    scenario.wait_for("perftest's server", lambda: not donor.sh(
        f"ss -ltn | grep -q :{PORT}")[0], 20)
    code, text = borrower.sh(f"ib_read_lat {arguments} {donor.ip} 2>&1", 120)
    if code:
        raise scenario.LabError(f"ib_read_lat failed:\n{text}\n{server.output()}")
    server.wait(30)
    row = [line.split() for line in text.splitlines() if line.split()[:1] == ["4096"]][-1]
    return float(row[4])


def far(lab, options):
    """All numbers of one run of far-client."""
    server = lab.donors[0].spawn(f"exec env {test_far.CLIENT} - raw 2>&1")
    scenario.wait_during(server, "raw READs are served", lambda: "ready" in server.output(), 20)
    try:
        text = lab.borrowers[0].check(test_far.command(lab, "bench", options), 600)
    finally:
        server.kill()
    scenario.expect("ok - every byte is right" in text and "not ok" not in text, text)
    result = {}
    for line in text.splitlines():
        if line.startswith("{"):
            result |= json.loads(line)
    return result


def report(mode, raw, runs):
    """The lines of a table, and the bars that were missed."""
    def of(what, figure="p50"):
        return [run[what][figure] for run in runs]

    rows = {"ib_read_lat, typical": raw, "raw READ alone, p50": of("raw_alone"),
            "raw READ, p50": of("raw"),
            "get of the library alone, p50": of("get_alone"),
            "get of the library, p50": of("get"),
            "fault answered here, alone, p50": of("local_alone"),
            "fault answered here, p50": of("local"),
            "fault over the wire, p50": of("remote"),
            "fault over the wire, p99": of("remote", "p99")}
    rates = {"at random": of("random", "pages_per_s"), "in order": of("sequential", "pages_per_s")}
    lines = ["", f"| {mode} | median (lowest–highest) | |", "|---|---|---|"]
    lines += [f"| {name} | {spread(values)} | µs |" for name, values in rows.items()]
    lines += [f"| {name} | {spread(values)} | pages/s |" for name, values in rates.items()]
    fault, local = (statistics.median(of(what)) for what in ("remote", "local"))
    bar = statistics.median(of("raw")) + 1.3 * local
    ratio = statistics.median(rates["in order"]) / statistics.median(rates["at random"])
    lines += ["", f"fault: {fault:.0f} µs, bar {bar:.0f} µs; in order {ratio:.1f} times as fast, "
              "bar 3"]
    missed = {"fault": fault > bar, "in order": ratio < 3}
    return lines, [f"{mode}: {what}" for what, miss in missed.items() if miss]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--kernel", default="61")
    parser.add_argument("--brings", type=int, default=1, help="threads of the library")
    takes_rounds(parser)
    args = parser.parse_args()
    raw, runs, missed = {mode: [] for mode in MODES}, {mode: [] for mode in MODES}, []
    with fabric.open_fabric(args.kernel, donate="64M", tools=(), name="bench-far") as lab:
        test_far.put_programs(lab)
        for machine in lab.machines:
            machine.favour()
        for i in range(args.repeat):
            for mode, (events, poll_us) in MODES.items():
                raw[mode].append(raw_read(lab, args.count, events))
                runs[mode].append(far(lab, f"count={args.count} brings={args.brings} "
                                      f"seed={args.round + i + 1} poll={poll_us}"))
                print(f"{time.strftime('%H:%M:%S')} {mode}: raw {raw[mode][-1]:.0f}; "
                      f"{runs[mode][-1]}", file=sys.stderr, flush=True)
    numbers = so_far("far", {"raw": raw, "runs": runs}, args.round)
    lines = []
    for mode in MODES:
        more, bars = report(mode, numbers["raw"][mode], numbers["runs"][mode])
        lines, missed = lines + more, missed + bars
    lines += ["", "Bars: " + ("missed: " + ", ".join(missed) if missed else "all met") + "."]
    text = "\n".join(lines)
    print(text)
    save("far", text, numbers)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
