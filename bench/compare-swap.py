#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Swap over the wire, the same program on each device, on two QEMU machines.

    borrower (stock Debian kernel) --- Ethernet, rxe --- donor
      /dev/ramster0                                        ramsterd
      /dev/nvme0n1  (nvme-rdma)                            nvmet over a RAM disk

swaptest uses twice the memory of its cgroup, without readahead, so most random
accesses fault. (With three times, or 48 MiB in 24, nvme-rdma at times has the
whole cgroup under writeback and the kernel kills the program.) Devices take
turns in one boot; the table shows the median of the repetitions and the range.
Exit status 1: the bar is missed.
"""
import argparse
import json
import re
import statistics
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TREE / "tests/vm"))
from lab import cache  # noqa: E402
from lab.fabric import Fabric  # noqa: E402

BAR = 1.3       # faults/s against nvme-rdma
TARGET = """
set -e
modprobe -a brd nvmet nvmet-rdma
rmmod brd; modprobe brd rd_nr=1 rd_size=$((128 * 1024))
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
cd /sys/kernel/config/nvmet
mkdir -p subsystems/swap/namespaces/1 ports/1
echo 1 >subsystems/swap/attr_allow_any_host
echo -n /dev/ram0 >subsystems/swap/namespaces/1/device_path
echo 1 >subsystems/swap/namespaces/1/enable
echo ipv4 >ports/1/addr_adrfam; echo rdma >ports/1/addr_trtype
echo %s >ports/1/addr_traddr; echo 4420 >ports/1/addr_trsvcid
ln -s /sys/kernel/config/nvmet/subsystems/swap ports/1/subsystems/swap
"""
CONNECT = """
modprobe nvme-rdma && nvme connect -t rdma -a %s -s 4420 -n swap -i 2 >/dev/null &&
for i in $(seq 100); do [ -b /dev/nvme0n1 ] && exit 0; sleep 0.1; done; exit 1
"""


def measure(fabric, device, options):
    """One run of swaptest on device: faults/s over the random passes, and latencies."""
    fabric.swapon(device=device, page_cluster=0)
    job = fabric.swaptest(size=f"{options.size}M", limit=f"{options.size // 2}M",
                          arguments=f"--rounds {options.rounds}")
    code, output = job.wait(600)
    if code:
        raise SystemExit(f"swaptest on {device} ended with {code}:\n{output}")
    fabric.swapoff(device=device)
    passes = re.findall(r"pass \d+: .* (\d+) faults/s p50 (\d+) us p99 (\d+) us", output)
    seconds = float(re.search(r"total: ([\d.]+) s", output).group(1))
    random = passes[1:] or passes   # the first pass is in order
    return {"faults": statistics.mean(int(p[0]) for p in random),
            "p50": statistics.mean(int(p[1]) for p in random),
            "p99": statistics.mean(int(p[2]) for p in random), "seconds": seconds}


def shown(values, digits=0):
    return (f"{statistics.median(values):.{digits}f} "
            f"({min(values):.{digits}f}–{max(values):.{digits}f})")


def report(results, options):
    """The table, and whether the bar is met."""
    lines = [f"Kernel {options.kernel}, {options.size} MiB in a cgroup of {options.size // 2} MiB, "
             f"page-cluster 0, {options.repeat} runs", "",
             "| swap on | faults/s, random | major fault p50, µs | p99, µs | run, s |",
             "|---|---|---|---|---|"]
    for device, runs in results.items():
        column = {key: [run[key] for run in runs] for key in runs[0]}
        lines.append(f"| {device} | {shown(column['faults'])} | {shown(column['p50'])} | "
                     f"{shown(column['p99'])} | {shown(column['seconds'], 1)} |")
    ratio = (statistics.median(run["faults"] for run in results["ramster"]) /
             statistics.median(run["faults"] for run in results["nvme-rdma"]))
    met = ratio >= BAR
    lines += ["", f"faults/s, ramster ÷ nvme-rdma: {ratio:.2f} (wanted ≥ {BAR}): "
                  f"{'met' if met else 'MISSED'}"]
    return "\n".join(lines), met


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--kernel", default="61", choices=["510", "61", "612", "72"])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3, help="passes over the memory per run")
    parser.add_argument("--size", type=int, default=32, help="MiB that the program uses")
    parser.add_argument("--module", default="", help="more module parameters")
    options = parser.parse_args()
    results = {"nvme-rdma": [], "ramster": []}
    with Fabric(options.kernel, donate="128M", mem=512,
                name=f"compare-swap-{options.kernel}") as fabric:
        donor, borrower = fabric.donors[0], fabric.borrowers[0]
        donor.check(TARGET % donor.ip, 120)
        borrower.check(CONNECT % donor.ip, 120)
        fabric.load_module(f"size=128M slab_size=8M {options.module}")
        for i in range(options.repeat):
            for name, device in (("nvme-rdma", "/dev/nvme0n1"), ("ramster", "/dev/ramster0")):
                run = measure(fabric, device, options)
                results[name].append(run)
                cache.say(f"run {i + 1}: {name} {run['faults']:.0f} faults/s, "
                          f"p50 {run['p50']:.0f} µs, p99 {run['p99']:.0f} µs")
        borrower.check("nvme disconnect -n swap; true")
        fabric.unload_module()
    text, met = report(results, options)
    print(text)
    out = TREE / "build/bench"
    out.mkdir(parents=True, exist_ok=True)
    (out / f"compare-swap-{options.kernel}.md").write_text(text + "\n", encoding="utf-8")
    (out / f"compare-swap-{options.kernel}.json").write_text(json.dumps(results, indent=1))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
