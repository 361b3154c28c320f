#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Swap through the block device and through frontswap, the same program on one pair of machines.

    borrower (UML 5.10) ------ rxe ------ donor
      block          swap on /dev/ramster0, which frontswap leaves alone
      frontswap      swap on /dev/nullb1, which is not written
      write-through  the same, and each page is written to /dev/nullb1 too

The module with frontswap stays until the machine goes, so each repetition
boots twice, without and with write-through, and runs the program on both
devices in each boot, in turns. /dev/nullb1 is null_blk's RAM disk, the least
that a swap device can cost. Exit status 1: the bar is missed.
"""
import argparse
import importlib
import json
import statistics
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TREE / "tests/vm"))
from lab import cache  # noqa: E402
from lab.uml_fabric import UmlFabric  # noqa: E402

compare_swap = importlib.import_module("compare-swap")

BAR = 1.0       # faults/s of frontswap against the block device in the same boot
DISK = "/dev/nullb1"     # null_blk makes one of its own at boot
MAKE_DISK = """
set -e
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
cd /sys/kernel/config/nullb
mkdir swap && cd swap
echo %d >size; echo 1 >memory_backed; echo 0 >queue_mode; echo 4096 >blocksize
echo 1 >power
for i in $(seq 100); do [ -b %s ] && exit 0; sleep 0.1; done; exit 1
"""


def device_writes(fabric):
    """How many requests of writes the disk has completed."""
    return int(fabric.borrowers[0].check(f"cat /sys/block/{Path(DISK).name}/stat").split()[4])


def boot(options, write_through, turn):
    """One boot: {row: figures} of the block device and of frontswap."""
    front = "write-through" if write_through else "frontswap"
    rows = [("block", "/dev/ramster0"), (front, DISK)]
    found = {}
    with UmlFabric(donate=f"{3 * options.size}M", mem=3 * options.size + 256,
                   name="compare-fronts") as fabric:
        fabric.borrowers[0].check(MAKE_DISK % (options.size * 2, DISK))
        for machine in fabric.machines:
            machine.favour()
        fabric.load_module(f"size={options.size * 2}M slab_size=8M frontswap=1 "
                           f"frontswap_writethrough={int(write_through)} {options.module}")
        for name, device in rows[::-1] if turn % 2 else rows:
            stores = fabric.sysfs("frontswap_stores")
            writes = device_writes(fabric)
            found[name] = compare_swap.measure(fabric, device, options)
            took = fabric.sysfs("frontswap_stores") - stores
            if bool(took) != (name == front):
                raise SystemExit(f"{name}: {took} pages went by frontswap")
            writes = device_writes(fabric) - writes
            if name == "frontswap" and writes > 100:    # mkswap's
                raise SystemExit(f"{name}: {writes} writes of the swap device")
            cache.say(f"run {turn + 1}: {name} {found[name]['faults']:.0f} faults/s, "
                      f"p50 {found[name]['p50']:.0f} µs, p99 {found[name]['p99']:.0f} µs")
    return found


def report(boots, options):
    """The table, and whether the bar is met."""
    lines = [f"UML 5.10, rxe, {options.size} MiB in a cgroup of {options.size // 2} MiB, "
             f"page-cluster 0, {options.repeat} × 2 boots", "",
             "| swap through | faults/s, random | ÷ block, same boot | major fault p50, µs | "
             "p99, µs | run, s |", "|---|---|---|---|---|---|"]
    ratios = {}
    for name in ("block", "frontswap", "write-through"):
        runs = [b for b in boots if name in b]
        column = {key: [b[name][key] for b in runs] for key in runs[0][name]}
        ratios[name] = [b[name]["faults"] / b["block"]["faults"] for b in runs]
        ratio = "" if name == "block" else compare_swap.shown(ratios[name], 2)
        lines.append(f"| {name} | {compare_swap.shown(column['faults'])} | {ratio} | "
                     f"{compare_swap.shown(column['p50'])} | {compare_swap.shown(column['p99'])} | "
                     f"{compare_swap.shown(column['seconds'], 1)} |")
    ratio = statistics.median(ratios["frontswap"])
    met = ratio >= BAR
    lines += ["", f"faults/s, frontswap ÷ block: {ratio:.2f} (wanted ≥ {BAR}): "
                  f"{'met' if met else 'MISSED'}"]
    return "\n".join(lines), met


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3, help="passes over the memory per run")
    parser.add_argument("--size", type=int, default=64, help="MiB that the program uses")
    parser.add_argument("--module", default="", help="more module parameters")
    options = parser.parse_args()
    boots = [boot(options, write_through, turn) for turn in range(options.repeat)
             for write_through in (False, True)]
    text, met = report(boots, options)
    print(text)
    out = TREE / "build/bench"
    out.mkdir(parents=True, exist_ok=True)
    (out / "compare-fronts.md").write_text(text + "\n", encoding="utf-8")
    (out / "compare-fronts.json").write_text(json.dumps(boots, indent=1), encoding="utf-8")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
