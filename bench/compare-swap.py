#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Swap over the wire, the same program on each device, on two QEMU machines.

    borrower (stock Debian kernel) --- Ethernet, rxe --- donor
      /dev/ramster0                                        ramsterd
      nvme-rdma, nvme-tcp                                  nvmet over RAM disks
      nbd                                                  nbd-server over a RAM disk
      far memory of the library, no swap                   ramsterd
      zram with zstd, a disk, zswap with zstd over the disk: without the donor

swaptest uses twice the memory of its cgroup, without readahead, so most random
accesses fault. (With three times, or 48 MiB in 24, nvme-rdma at times has the
whole cgroup under writeback and the kernel kills the program.) On far memory it
has no cgroup, but may have as much in RAM (tests/vm/swaptest_far.c). Devices take
turns in one boot; the table shows the median of the repetitions and the range.
Exit status 1: the bar is missed.
"""
import argparse
import re
import statistics
import sys
import tempfile
from pathlib import Path

from results import save, so_far, spread, takes_rounds

TREE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TREE / "tests/vm"))
import meter           # noqa: E402
from lab import cache  # noqa: E402
from lab.fabric import Fabric  # noqa: E402
import test_far        # noqa: E402

BAR = 1.3       # faults/s against nvme-rdma
PAGE = 4096
# key: what it is, digits
COLUMNS = {
    "faults": ("faults/s, random", 0), "in_order": ("faults/s, in order", 0),
    "p50": ("major fault p50, µs", 0), "p99": ("p99, µs", 0),
    "out_mb_s": ("swapped out, MB/s", 1), "seconds": ("run, s", 1),
    **{key: (what, 1) for key, what in meter.COLUMNS.items()},
}
DISK_MIB = 128
# On the donor: three RAM disks, two behind nvmet and one behind nbd-server.
SERVE = f"""
set -e
modprobe -a brd nvmet nvmet-rdma nvmet-tcp
rmmod brd; modprobe brd rd_nr=3 rd_size=$(({DISK_MIB} * 1024))
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
cd /sys/kernel/config/nvmet
serve() {{
    mkdir -p subsystems/$1/namespaces/1 ports/$4
    echo 1 >subsystems/$1/attr_allow_any_host
    echo -n $3 >subsystems/$1/namespaces/1/device_path
    echo 1 >subsystems/$1/namespaces/1/enable
    echo ipv4 >ports/$4/addr_adrfam; echo $2 >ports/$4/addr_trtype
    echo %s >ports/$4/addr_traddr; echo $4 >ports/$4/addr_trsvcid
    ln -s /sys/kernel/config/nvmet/subsystems/$1 ports/$4/subsystems/$1
}}
serve swap-rdma rdma /dev/ram0 4420
serve swap-tcp tcp /dev/ram1 4421
(echo "[generic]"; echo "[swap]"; echo exportname=/dev/ram2) >/run/nbd.conf
nbd-server -C /run/nbd.conf
"""
NVME = """
modprobe nvme-{0} && nvme connect -t {0} -a {1} -s {2} -n swap-{0} -i 2 >/dev/null
for i in $(seq 100); do
    for n in /sys/class/nvme-subsystem/*; do
        grep -qx swap-{0} $n/subsysnqn && cd $n && for d in nvme*n1; do
            [ -b /dev/$d ] && echo /dev/$d && exit 0
        done
    done
    sleep 0.1
done
exit 1
"""


def nvme(transport, port):
    """How to begin with an nvme peer: a command that prints its device."""
    return lambda ip: NVME.format(transport, ip, port)


# name: the command on the borrower that prints the device, given the donor's address
DEVICES = {
    "ramster": lambda ip: "echo /dev/ramster0",
    "nvme-rdma": nvme("rdma", 4420),
    "nvme-tcp": nvme("tcp", 4421),
    "nbd": lambda ip: f"modprobe nbd && nbd-client -N swap {ip} /dev/nbd0 >&2 && "
                      "echo /dev/nbd0",
    "zram": lambda ip: "modprobe zram && echo zstd >/sys/block/zram0/comp_algorithm && "
                       f"echo {DISK_MIB}M >/sys/block/zram0/disksize && echo /dev/zram0",
    "disk": lambda ip: "echo /dev/vdc",
    "far memory": lambda ip: "echo none",
    "zswap": lambda ip: "cd /sys/module/zswap/parameters && modprobe -q zstd; echo zstd "
                        ">compressor && echo zsmalloc >zpool && echo /dev/vdc",
}
# Pages that came and went; what zswap takes is counted apart.
MOVED = "awk '/^[pz]swpin /{i += $2} /^[pz]swpout /{o += $2} END {print i, o}' /proc/vmstat"


class Swap:
    """The program in a cgroup, with swap on a device."""

    link = "eth0"   # the borrower's

    def __init__(self, fabric, name, device, options):
        self.fabric, self.name, self.device, self.options = fabric, name, device, options

    def moved(self):
        """Pages that came and went, since the machine began."""
        return list(map(int, self.fabric.borrowers[0].check(MOVED).split()))

    def start(self):
        size = self.options.size
        return self.fabric.swaptest(size=f"{size}M", limit=f"{size // 2}M",
                                    arguments=f"--rounds {self.options.rounds}")

    def run(self):
        """figures() of one run of the program."""
        code, output = self.start().wait(600)
        if code:
            raise SystemExit(f"swaptest on {self.name} ended with {code}:\n{output}")
        return self.figures(output)

    def figures(self, output):
        """Of what it said: faults/s in order and at random, latencies, how long it took."""
        passes = re.findall(r"pass \d+: .* (\d+) faults/s p50 (\d+) us p99 (\d+) us", output)
        random = passes[1:] or passes   # the first pass is in order
        return {"faults": statistics.mean(int(p[0]) for p in random),
                "p50": statistics.mean(int(p[1]) for p in random),
                "p99": statistics.mean(int(p[2]) for p in random),
                "seconds": float(re.search(r"total: ([\d.]+) s", output).group(1)),
                "in_order": int(passes[0][0])}

    def measure(self):
        """run()'s figures, and what it cost."""
        gauge = meter.Meter(self.fabric.donors[0], self.fabric.borrowers[0], self.link)
        before, start = gauge.read(), self.moved()
        figures = self.run()
        came, went = (now - then for now, then in zip(self.moved(), start))
        cost = gauge.since(before, (came + went) * PAGE)
        return {**figures, "out_mb_s": went * PAGE / figures["seconds"] / 1e6, **cost}

    def turn(self):
        """measure() with swap on the device from before to after."""
        self.fabric.swapon(device=self.device, page_cluster=0)
        figures = self.measure()
        self.fabric.swapoff(device=self.device)
        return figures


class Zswap(Swap):
    """With a compressed cache before the device, of an eighth of the program's size."""

    def _allow(self, limit):
        """Let it take limit MiB, the rest goes to the disk; 0: off. From 5.19 on that is memory of
        the program's cgroup."""
        group = f"{self.fabric.cgroups}/t"
        self.fabric.borrowers[0].check(
            f"mkdir -p {group} && cd {group} && "
            f"if [ -e memory.zswap.max ]; then echo {limit}M >memory.zswap.max; fi && "
            f"echo {'Y' if limit else 'N'} >/sys/module/zswap/parameters/enabled")

    def turn(self):
        self._allow(self.options.size // 8)
        figures = super().turn()
        self._allow(0)
        return figures


class Far(Swap):
    """The program on far memory; there is no device."""

    _moved = (0, 0)     # in this turn

    def moved(self):
        return self._moved

    def start(self):
        size = self.options.size
        return self.fabric.borrowers[0].spawn(
            f"env RAMSTER_DONORS={self.fabric.donors[0].ip} RAMSTER_LIMIT={size // 2} "
            f"{test_far.program('swaptest-far')} --size {size}M --rounds {self.options.rounds}")

    def figures(self, output):
        counts = re.search(r"far memory: (\d+) pages came, (\d+) went", output).groups()
        self._moved = tuple(map(int, counts))
        return super().figures(output)

    def turn(self):
        self._moved = (0, 0)
        return self.measure()


KINDS = {"zswap": Zswap, "far memory": Far}


def cells(runs):
    """A row's, of COLUMNS."""
    return [spread([run[key] for run in runs], digits) for key, (_, digits) in COLUMNS.items()]


def report(results, options):
    """The table, and whether the bar is met."""
    lines = [f"Kernel {options.kernel}, {options.size} MiB in a cgroup of {options.size // 2} MiB, "
             f"page-cluster 0, {len(results['ramster'])} runs", "",
             "| swap on | " + " | ".join(what for what, _ in COLUMNS.values()) + " |",
             "|---" * (len(COLUMNS) + 1) + "|"]
    for name, runs in results.items():
        lines.append(f"| {name} | " + " | ".join(cells(runs)) + " |")
    ratio = (statistics.median(run["faults"] for run in results["ramster"]) /
             statistics.median(run["faults"] for run in results["nvme-rdma"]))
    met = ratio >= BAR
    lines += ["", f"faults/s, ramster ÷ nvme-rdma: {ratio:.2f} (wanted ≥ {BAR}): "
                  f"{'met' if met else 'MISSED'}"]
    return "\n".join(lines), met


def run_all(disk, names, options):
    """{name: [figures]}; disk is a file of the host's, the borrower's disk."""
    results = {name: [] for name in names}
    with Fabric(options.kernel, donate="128M", mem=512, more={"disks": [disk]},
                name=f"compare-swap-{options.kernel}") as fabric:
        donor, borrower = fabric.donors[0], fabric.borrowers[0]
        donor.check(SERVE % donor.ip, 120)
        fabric.load_module(f"size=128M slab_size=8M {options.module}")
        test_far.put_programs(fabric)
        ways = [KINDS.get(name, Swap)(
            fabric, name, borrower.check(DEVICES[name](donor.ip), 120).split()[-1], options)
                for name in names]
        for i in range(options.repeat):
            for way in ways[::-1 if (i + options.round) % 2 else 1]:
                run, name = way.turn(), way.name
                results[name].append(run)
                cache.say(f"run {i + 1}: {name} {run['faults']:.0f} faults/s, "
                          f"p50 {run['p50']:.0f} µs, p99 {run['p99']:.0f} µs")
        borrower.check("nvme disconnect -n swap-rdma; nvme disconnect -n swap-tcp; "
                       "nbd-client -d /dev/nbd0; true")
        fabric.unload_module()
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--kernel", default="61", choices=["510", "61", "612", "72"])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2, help="passes over the memory per run")
    parser.add_argument("--size", type=int, default=32, help="MiB that the program uses")
    parser.add_argument("--module", default="", help="more module parameters")
    parser.add_argument("--devices", nargs="+", choices=DEVICES, default=list(DEVICES))
    takes_rounds(parser)
    options = parser.parse_args()
    names = list(dict.fromkeys(["ramster", "nvme-rdma", *options.devices]))
    with tempfile.NamedTemporaryFile() as disk:
        disk.truncate(DISK_MIB << 20)
        results = run_all(disk.name, names, options)
    name = f"compare-swap-{options.kernel}"
    results = so_far(name, results, options.round)
    text, met = report(results, options)
    print(text)
    save(name, text, results)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
