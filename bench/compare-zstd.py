#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The compressed tier of /dev/ramster0 against zram, both with zstd, side by side.

    node 2: /dev/ramster0, its only donor does not answer     /dev/zram0

Both hold the same data, which compresses, and take turns row by row, in several boots:
one boot differs from the next by as much as the bars allow. The bars are
on the median of the ratios of neighbouring runs: 4 KiB random reads take on average
at most 1.05 times as long as zram's, random writes 1.1 times. Exit status 1: missed.
"""
import argparse
import importlib
import statistics
import sys
from pathlib import Path

from results import save, so_far, spread, takes_rounds

TREE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TREE / "tests/vm"))
from lab import uml, uml_node  # noqa: E402

compare_block = importlib.import_module("compare-block")

MIB = 1 << 20
# row: fio's pattern, queue depth, highest ratio of the mean latencies (None: no bar)
ROWS = {
    "4K randread qd1": ("randread", 1, 1.05),
    "4K randwrite qd1": ("randwrite", 1, 1.1),
    "4K randread qd32": ("randread", 32, None),
    "4K randwrite qd32": ("randwrite", 32, None),
}


def set_up(node, args):
    """Make both devices and fill them; returns name: path."""
    size, more = args.size * MIB, content(args)
    node.check(f"insmod {args.module} broker=10.7.7.1 wait=0 zpool_percent=60 size={size} "
               "slab_size=16M frontswap=0")
    devices = {"zram": compare_block.zram(node, size), "ramster": "/dev/ramster0"}
    for path in devices.values():
        compare_block.fio(node, path, size, "write", "64k", 4, *more)
        compare_block.fio(node, path, size, "randread", "4k", 1, runtime=1)
    return devices


def content(args):
    """fio's options: a new content for each page, so much of which zstd can remove."""
    return ["--refill_buffers", f"--buffer_compress_percentage={args.compress}",
            "--buffer_compress_chunk=4k"]


def measure(node, path, row, args):
    """One run: mean, p50 and p99 in µs, and requests per second."""
    pattern, depth, _ = ROWS[row]
    got = compare_block.fio(node, path, args.size * MIB, pattern, "4k", depth, *content(args),
                            runtime=args.runtime)
    percentile = got["clat_ns"]["percentile"]
    return {"iops": got["iops"], "mean_us": got["lat_ns"]["mean"] / 1e3,
            "p50_us": percentile["50.000000"] / 1e3, "p99_us": percentile["99.000000"] / 1e3}


def sizes(node):
    """Bytes of RAM that each takes for the same data."""
    used = node.check("cd /sys/block; cat zram0/mm_stat ramster0/ramster/zpool_used_bytes")
    zram, ramster = used.splitlines()[-2:]
    return {"zram": int(zram.split()[2]), "ramster": int(ramster)}


def boot(args, rows):
    """The repetitions of one boot, added to rows; returns the bytes taken and kernel warnings."""
    with uml_node.Pair(memory=f"{3 * args.size + 256}M", name="compare-zstd") as nodes:
        nodes[1].favour()
        devices = set_up(nodes[1], args)
        taken = sizes(nodes[1])
        for turn in range(args.repeat):
            for row in ROWS:
                order = list(devices.items())
                for name, path in order[::-1] if turn % 2 else order:
                    rows[row][name].append(measure(nodes[1], path, row, args))
                compare_block.note(f"{turn + 1}/{args.repeat} {row}, mean µs: " + ", ".join(
                    f"{name} {got[-1]['mean_us']:.1f}" for name, got in rows[row].items()))
        return taken, sum((node.warnings() for node in nodes), [])


def report(rows, taken, args):
    """The Markdown, and whether the bars are met."""
    runs = len(next(iter(rows.values()))["zram"])
    lines = [f"{runs // args.repeat} boots, {args.repeat} × {args.runtime} s per row, "
             f"{args.size} MiB of which zstd can remove {args.compress} %; RAM taken: " +
             ", ".join(f"{name} {count / MIB:.0f} MiB" for name, count in taken.items()), "",
             "| row | zram mean, µs | p50 / p99 | ramster mean, µs | p50 / p99 | "
             "ramster ÷ zram, pair by pair | wanted | |", "|---" * 8 + "|"]
    all_met = True
    for row, runs in rows.items():
        bar = ROWS[row][2]
        pairs = [b["mean_us"] / a["mean_us"] for a, b in zip(runs["zram"], runs["ramster"])]
        ratio, cells = statistics.median(pairs), [row]
        for name in ("zram", "ramster"):
            cells += [spread([r["mean_us"] for r in runs[name]], 1),
                      f"{compare_block.middle(runs[name], 'p50_us'):.1f} / "
                      f"{compare_block.middle(runs[name], 'p99_us'):.1f}"]
        met = bar is None or ratio <= bar
        all_met = all_met and met
        cells += [spread(pairs, 2), f"≤ {bar}" if bar else "",
                  "" if bar is None else "met" if met else "MISSED"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines), all_met


def main():
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--boots", type=int, default=5, metavar="N")
    parser.add_argument("--repeat", type=int, default=4, metavar="N", help="in each boot")
    parser.add_argument("--runtime", type=int, default=1, metavar="SECONDS", help="of each row")
    parser.add_argument("--size", type=int, default=96, metavar="MIB", help="of each device")
    parser.add_argument("--compress", type=int, default=60, metavar="PERCENT",
                        help="of the data that zstd can remove")
    parser.add_argument("--module", metavar="FILE", help="default: build it")
    takes_rounds(parser)
    args = parser.parse_args()
    args.module = args.module or uml.build_module()
    rows, warnings = {row: {"zram": [], "ramster": []} for row in ROWS}, []
    for _ in range(args.boots):
        taken, found = boot(args, rows)
        warnings += found
    numbers = so_far("compare-zstd", {"rows": rows, "ram_bytes": taken}, args.round)
    text, met = report(numbers["rows"], taken, args)
    text += "".join(f"\nkernel warning: {line}" for line in warnings)
    print(text)
    save("compare-zstd", text, numbers)
    return 0 if met and not warnings else 1


if __name__ == "__main__":
    sys.exit(main())
