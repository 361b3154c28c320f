#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Swap through the block device and through frontswap, the same program on one pair of machines.

    borrower (UML 5.10) ------ rxe ------ donor
      block          swap on /dev/ramster0, which frontswap leaves alone
      frontswap      swap on /dev/nullb1, which is not written
      write-through  the same, and each page is written to /dev/nullb1 too

The module with frontswap stays until the machine goes, so each repetition
boots twice, without and with write-through; each boot runs the program on
both devices, in turns. /dev/nullb1 is null_blk's RAM disk, the least
that a swap device can cost. Exit status 1: the bar is missed.
"""
import argparse
import importlib
import statistics
import sys
from pathlib import Path

from results import save, so_far, spread, takes_rounds

TREE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TREE / "tests/vm"))
from lab import cache  # noqa: E402
from lab.uml_fabric import UmlFabric  # noqa: E402

compare_swap = importlib.import_module("compare-swap")

BAR = 1.0       # faults/s of frontswap against the block device, pair by pair
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


class Front(compare_swap.Swap):
    """The program on a front of the module, whose statistics count what this kernel does not."""

    link = "vec0"

    def moved(self):
        names = ("reads", "writes") if self.name == "block" else (
            "frontswap_loads", "frontswap_stores")
        return [self.fabric.sysfs(name) for name in names]


def run(way):
    """One run of the program through a front: its figures."""
    fabric, name = way.fabric, way.name
    stores, writes = fabric.sysfs("frontswap_stores"), device_writes(fabric)
    figures = way.turn()
    stores, writes = fabric.sysfs("frontswap_stores") - stores, device_writes(fabric) - writes
    if bool(stores) != (name != "block"):
        raise SystemExit(f"{name}: {stores} pages went by frontswap")
    if name == "frontswap" and writes > 100:    # mkswap's
        raise SystemExit(f"{name}: {writes} writes of the swap device")
    cache.say(f"{name} {figures['faults']:.0f} faults/s, "
              f"p50 {figures['p50']:.0f} µs, p99 {figures['p99']:.0f} µs")
    return figures


def boot(options, write_through):
    """One boot: pairs of runs, as {row: figures} of the block device and of frontswap."""
    with UmlFabric(donate=f"{3 * options.size}M", mem=3 * options.size + 256,
                   name="compare-fronts") as fabric:
        ways = [Front(fabric, "block", "/dev/ramster0", options),
                Front(fabric, "write-through" if write_through else "frontswap", DISK, options)]
        fabric.borrowers[0].check(MAKE_DISK % (options.size * 2, DISK))
        for machine in fabric.machines:
            machine.favour()
        fabric.load_module(f"size={options.size * 2}M slab_size=8M frontswap=1 "
                           f"frontswap_writethrough={int(write_through)} {options.module}")
        return [{way.name: run(way) for way in (ways[::-1] if (turn + options.round) % 2 else ways)}
                for turn in range(options.pairs)]


def report(pairs, options):
    """The table, and whether the bar is met."""
    lines = [f"UML 5.10, rxe, {options.size} MiB in a cgroup of {options.size // 2} MiB, "
             f"page-cluster 0, {len(pairs)} pairs of runs, {options.pairs} to a boot",
             "",
             "| swap through | ÷ block, pair by pair | "
             + " | ".join(what for what, _ in compare_swap.COLUMNS.values()) + " |",
             "|---" * (len(compare_swap.COLUMNS) + 2) + "|"]
    ratios = {}
    for name in ("block", "frontswap", "write-through"):
        runs = [pair for pair in pairs if name in pair]
        ratios[name] = [pair[name]["faults"] / pair["block"]["faults"] for pair in runs]
        cells = ["" if name == "block" else spread(ratios[name], 2)]
        cells += compare_swap.cells([pair[name] for pair in runs])
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    ratio = statistics.median(ratios["frontswap"])
    met = ratio >= BAR
    lines += ["", f"faults/s, frontswap ÷ block: {ratio:.2f} (wanted ≥ {BAR}): "
                  f"{'met' if met else 'MISSED'}"]
    return "\n".join(lines), met


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--repeat", type=int, default=2, help="boots of each kind")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each front in a boot")
    parser.add_argument("--rounds", type=int, default=3, help="passes over the memory per run")
    parser.add_argument("--size", type=int, default=64, help="MiB that the program uses")
    parser.add_argument("--module", default="", help="more module parameters")
    takes_rounds(parser)
    options = parser.parse_args()
    pairs = [pair for _ in range(options.repeat) for write_through in (False, True)
             for pair in boot(options, write_through)]
    pairs = so_far("compare-fronts", pairs, options.round)
    text, met = report(pairs, options)
    print(text)
    save("compare-fronts", text, pairs)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
