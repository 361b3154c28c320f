#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Compare /dev/ramster0 with other block devices on one pair of machines.

    node1 10.7.7.1 (target, donor)  ====vec0, rxe or siw====  node2 10.7.7.2 (fio)
      nvmet over /dev/ram0, ram1                                nvme-rdma, nvme-tcp
      ramsterd, RAM donated                                     /dev/ramster0
                                                                brd, zram (local)

All devices stand side by side in one boot, and every repetition measures all
of them row by row, in turns forwards and backwards, so that a slow moment of
the host meets them alike. Every
device is filled with incompressible data first. Medians are reported.
"""
import argparse
import json
import shutil
import statistics
import sys
import time
from pathlib import Path

from results import save, so_far, spread, takes_rounds

TREE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TREE / "tests/vm"))
from lab import scenario, uml, uml_node  # pylint: disable=wrong-import-position
import meter                   # pylint: disable=wrong-import-position

# one system call for eight requests, and for all ends that are there
BATCH = ["--iodepth_batch_submit=8", "--iodepth_batch_complete_min=1",
         "--iodepth_batch_complete_max=32"]
THREADS = ["--thread", "--numjobs=32", "--group_reporting"]
# name of the row: fio's pattern, block size, queue depth of a thread, unit reported, more for fio
ROWS = {
    "4K randread qd1": ("randread", "4k", 1, "iops", []),
    "4K randwrite qd1": ("randwrite", "4k", 1, "iops", []),
    "4K randread, 32 threads": ("randread", "4k", 1, "iops", THREADS),
    "4K randread qd32": ("randread", "4k", 32, "iops", []),
    "4K randwrite qd32": ("randwrite", "4k", 32, "iops", []),
    "4K randread qd32, 8 at a time": ("randread", "4k", 32, "iops", BATCH),
    "64K write qd16": ("write", "64k", 16, "MB/s", []),
    "64K read qd16": ("read", "64k", 16, "MB/s", []),
}
MIB = 1 << 20
POSTS = "ib_read_bw 4K, 16 to a post"   # rxe alone: siw's reads need a tick each
# what raw verbs reach on the same link: perftest's tool and options, its column, what to
# multiply it by (its "MB" are MiB), unit
VERBS = {
    "ib_read_lat 4K typical": ("ib_read_lat -s 4096 -n 2000", 4, 1, "µs"),
    "ib_read_bw 4K": ("ib_read_bw -s 4096 -n 10000", 3, MIB / 4096, "iops"),
    POSTS: ("ib_read_bw -s 4096 -n 20000 -t 32 -l 16", 3, MIB / 4096, "iops"),
    "ib_write_bw 64K": ("ib_write_bw -s 65536 -n 1000", 3, MIB / 1e6, "MB/s"),
    "ib_read_bw 64K": ("ib_read_bw -s 65536 -n 1000", 3, MIB / 1e6, "MB/s"),
}
BROKER = scenario.build_directory() / "rdma-broker"
SLAB = 16 * MIB
DONATE_MORE = 4 * SLAB     # slabs are asked for ahead of need
TICK_US = 4000       # less than a tick of the nodes (10 ms), far more than any wire takes
TRIES = 5            # of a perftest row: its latency can come out as "inf" here

NVMET = """
cd /sys/kernel/config/nvmet
mkdir -p subsystems/$1/namespaces/1 ports/$2
echo 1 >subsystems/$1/attr_allow_any_host
echo -n $3 >subsystems/$1/namespaces/1/device_path
echo 1 >subsystems/$1/namespaces/1/enable
echo ipv4 >ports/$2/addr_adrfam
echo $1 >ports/$2/addr_trtype
echo 10.7.7.1 >ports/$2/addr_traddr
echo 442$2 >ports/$2/addr_trsvcid
ln -s /sys/kernel/config/nvmet/subsystems/$1 ports/$2/subsystems/$1
"""

NVME = """
for try in {1..5}; do
	# 5.10 gives up after 3 s, which a busy host can take
	nvme connect -t $1 -a 10.7.7.1 -s 442$2 -n $1 && break
done
for try in {1..100}; do
	for c in /sys/class/nvme/nvme*; do
		d=$(echo $c/nvme*n1)
		[ "$(<$c/transport)" = $1 ] && [ -b /dev/${d##*/} ] && echo /dev/${d##*/} && exit
	done
	sleep 0.1
done
echo "no $1 namespace appeared within 10 s"; exit 1
"""


def script(text, *words):
    """A script with its positional parameters set."""
    return f"set -e -- {' '.join(map(str, words))}\n{text}"


def nvme(target, host, transport, port):
    """Export /dev/ram(port) of target over transport; returns host's device."""
    target.check(script(NVMET, transport, port, f"/dev/ram{port}"))
    return host.check(script(NVME, transport, port)).split()[-1]


def zram(host, size):
    """A zstd zram device of size bytes."""
    host.check(f"cd /sys/block/zram0; echo zstd >comp_algorithm; echo {size} >disksize")
    return "/dev/zram0"


def ramster(donor, borrower, module, size):
    """ramsterd with a donation on donor, the module on borrower."""
    donation = size + DONATE_MORE
    donor.spawn(f"exec {BROKER}/ramsterd --listen={donor.ip} --donate={donation}")
    donor.check(f"for try in {{1..100}}; do {BROKER}/ramsterctl status &>/dev/null && exit; "
                "sleep 0.1; done; exit 1", 30)
    borrower.check(f"insmod {module} broker={donor.ip} size={size} slab_size={SLAB} frontswap=0")
    return "/dev/ramster0"


def set_up(nodes, names, size, module):
    """Make the named devices; returns name: path on node 2."""
    one, two = nodes
    makers = {"brd": lambda: "/dev/ram0",
              "zram-zstd": lambda: zram(two, size),
              "nvme-rdma": lambda: nvme(one, two, "rdma", 0),
              "nvme-tcp": lambda: nvme(one, two, "tcp", 1),
              "ramster": lambda: ramster(one, two, module, size)}
    return {name: makers[name]() for name in names}


def fio(node, device, size, pattern, block, depth, *more, runtime=None):
    """One fio run; its JSON of the direction that pattern has."""
    command = ["fio", "--name=row", f"--filename={device}", f"--size={size}", f"--rw={pattern}",
               f"--bs={block}", f"--iodepth={depth}", "--direct=1", "--randrepeat=0",
               "--ioengine=" + ("psync" if depth == 1 else "libaio"),
               # all that have ended, not fio's one: a system call each would be half of all time
               f"--iodepth_batch_complete_max={depth}", "--output-format=json", *more]
    if runtime:
        command += ["--time_based", f"--runtime={runtime}"]
    text = node.check(" ".join(command), timeout=(runtime or 60) + 60)
    job = json.loads(text[text.index("{"):])["jobs"][0]
    if job["error"]:
        raise uml_node.LabError(f"fio on {device} ended with error {job['error']}")
    return job["write" if "write" in pattern else "read"]


def fill(node, device, size):
    """Write all of the range with data that neither compresses nor repeats."""
    fio(node, device, size, "write", "64k", 4, "--refill_buffers")


def measure(nodes, device, size, row, runtime):
    """One row: its value in the row's unit, latencies in microseconds, and what it cost."""
    pattern, block, depth, unit, more = ROWS[row]
    gauge = meter.Meter(*nodes)
    before = gauge.read()
    got = fio(nodes[1], device, size, pattern, block, depth, *more, runtime=runtime)
    value = got["iops"] if unit == "iops" else got["bw_bytes"] / 1e6
    percentile = got["clat_ns"]["percentile"]
    return {"value": value, "mean_us": got["lat_ns"]["mean"] / 1e3,
            "p50_us": percentile["50.000000"] / 1e3, "p99_us": percentile["99.000000"] / 1e3,
            **gauge.since(before, got["io_bytes"])}


def perftest(nodes, wire, tool, column):
    """One number of a perftest tool, node 2 the client."""
    one, two = nodes
    how = f"-F -d {wire}0 " + ("-R" if wire == "siw" else "-x 1")
    if wire == "siw" and "read" in tool:
        # siw sends from a kernel thread, which a client that polls would keep from its one CPU
        how += " -e"
    listens = ("rdma resource show cm_id | grep -q 'state LISTEN'" if wire == "siw"
               else "ss -Hltn 'sport = :18515' | grep -q .")
    for _ in range(TRIES):
        server = one.spawn(f"timeout 60 {tool} {how}")
        one.check(f"for try in {{1..200}}; do {listens} && exit; sleep 0.05; done; exit 1", 30)
        rc, text = two.sh(f"timeout 50 {tool} {how} 10.7.7.1")
        server.wait()
        rows = [line.split() for line in text.splitlines() if line.strip()[:1].isdigit()]
        if rc == 0 and rows and 0 < float(rows[-1][column]) < float("inf"):
            return float(rows[-1][column])
    raise uml_node.LabError(f"{tool} gave no number in {TRIES} tries; last output:\n{text}")


def run(nodes, args, size):
    """All repetitions: {row: {device: [results]}} and {tool: [numbers]}."""
    for node in nodes:
        node.favour()
    nodes[1].check(f"ping -q -c 1 {nodes[0].ip}")
    devices = set_up(nodes, args.devices, size, args.module)
    for name, path in devices.items():
        note(f"filling {name} ({path})")
        fill(nodes[1], path, size)
        measure(nodes, path, size, next(iter(ROWS)), 1)    # the first run after boot is slow
    rows = {row: {name: [] for name in devices} for row in ROWS}
    verbs = {name: [] for name in VERBS if args.wire == "rxe" or name != POSTS}
    for turn in range(args.repeat):
        for name, numbers in verbs.items():
            tool, column, factor, _ = VERBS[name]
            numbers.append(perftest(nodes, args.wire, tool, column) * factor)
        for row in ROWS:
            order = list(devices.items())
            for name, path in order[::-1] if (turn + args.round) % 2 else order:
                rows[row][name].append(measure(nodes, path, size, row, args.runtime))
            note(f"{turn + 1}/{args.repeat} {row}: " + ", ".join(
                f"{name} {got[-1]['value']:.0f}" for name, got in rows[row].items()))
    return rows, verbs


def note(text):
    """One progress line."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def middle(results, key="value"):
    """Median of one number of repeated results."""
    return statistics.median(r[key] for r in results)


def tables(rows, verbs):
    """The report as Markdown."""
    names = list(next(iter(rows.values())))
    lines = ["| row, median (lowest–highest) | " + " | ".join(names) + " |",
             "|---" * (len(names) + 1) + "|"]
    for row, by_name in rows.items():
        cells = [spread([r["value"] for r in by_name[name]]) for name in names]
        lines.append(f"| {row}, {ROWS[row][3]} | " + " | ".join(cells) + " |")
        if ROWS[row][2] == 1:
            cells = [f"{middle(by_name[n], 'mean_us'):.0f} / {middle(by_name[n], 'p50_us'):.0f} / "
                     f"{middle(by_name[n], 'p99_us'):.0f}" for n in names]
            lines.append("| … mean / p50 / p99, µs | " + " | ".join(cells) + " |")
    for key, what in meter.COLUMNS.items():
        lines += ["", f"| {what} | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        lines += [f"| {row} | " + " | ".join(f"{middle(by_name[n], key):.2f}" for n in names) +
                  " |" for row, by_name in rows.items()]
    lines += ["", "| raw verbs | median (lowest–highest) |", "|---|---|"]
    lines += [f"| {name}, {VERBS[name][3]} | {spread(numbers)} |"
              for name, numbers in verbs.items()]
    return "\n".join(lines)


def bars(rows, verbs):
    """(what, measured, wanted, met) for each bar that ramster has to pass."""
    def value(row, name, key="value"):
        return middle(rows[row][name], key)
    latency = statistics.median(verbs["ib_read_lat 4K typical"])
    bandwidth = statistics.median(verbs["ib_write_bw 64K"])
    qd1, qd32, big = "4K randread qd1", "4K randread qd32", "64K write qd16"
    mean = value(qd1, "ramster", "mean_us")
    limit = value(qd1, "brd", "mean_us") + 1.5 * latency
    checks = [
        (f"{qd1} ÷ nvme-rdma", value(qd1, "ramster") / value(qd1, "nvme-rdma"), 1.5),
        (f"{qd32} ÷ nvme-rdma", value(qd32, "ramster") / value(qd32, "nvme-rdma"), 2.0),
        (f"{big} ÷ nvme-rdma", value(big, "ramster") / value(big, "nvme-rdma"), 1.3),
        (f"{big} ÷ ib_write_bw", value(big, "ramster") / bandwidth, 0.7),
    ]
    result = [(what, f"{got:.2f}", f"≥ {bar}", got >= bar) for what, got, bar in checks]
    if latency < TICK_US:    # else perftest measured the scheduler, and the bar says nothing
        result.append((f"{qd1} mean, µs", f"{mean:.0f}",
                       f"≤ {limit:.0f} (brd + 1.5 × ib_read_lat)", mean <= limit))
    else:
        note(f"{qd1} mean is not judged: ib_read_lat is {latency:.0f} µs, a scheduler tick")
    return result


def possible(rows, verbs):
    """What the deep reads' bar leaves to the module: a line of the report."""
    row = "4K randread qd32"
    brd, nvme, ours = (1e6 / middle(rows[row][name]) for name in ("brd", "nvme-rdma", "ramster"))
    wire = 1e6 / statistics.median(verbs[POSTS])
    return (f"{row}: a read takes {brd:.1f} µs on brd, where it is fio's, and {wire:.1f} on the "
            f"wire alone ({POSTS}): {brd + wire:.1f} if nothing came in between, which is "
            f"{nvme / (brd + wire):.2f} times as fast as nvme-rdma with its {nvme:.1f}. With "
            f"ramster it takes {ours:.1f}.")


def main():
    """Returns the exit status: 0 measured (and all bars met, if ramster was), 1 a bar missed."""
    everything = ["brd", "zram-zstd", "nvme-rdma", "nvme-tcp", "ramster"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wire", choices=("rxe", "siw"), default="rxe")
    parser.add_argument("--repeat", type=int, default=5, metavar="N")
    parser.add_argument("--runtime", type=int, default=2, metavar="SECONDS", help="of each row")
    parser.add_argument("--size", type=int, default=96, metavar="MIB", help="of the tested range")
    parser.add_argument("--devices", nargs="+", choices=everything, default=everything)
    parser.add_argument("--module", metavar="FILE",
                        help="ramster_rdma.ko in the source tree (default: build it)")
    takes_rounds(parser)
    args = parser.parse_args()
    for tool in ("fio", "ib_read_lat", "nvme", "rdma", "ss"):
        if not shutil.which(tool):
            parser.error(f"{tool} is not installed: run scripts/deps.sh")

    if "ramster" in args.devices and not (BROKER / "ramsterd").exists():
        parser.error(f"{BROKER}/ramsterd is not built: run make")

    if "ramster" in args.devices and not args.module:
        args.module = uml.build_module()

    size = args.size * MIB
    options = [f"brd.rd_size={args.size << 10}", "brd.rd_nr=2"]
    memory = f"{3 * args.size + 320}M"
    with uml_node.Pair(wire=args.wire, memory=memory, name=f"compare-block-{args.wire}",
                       options=options) as nodes:
        rows, verbs = run(nodes, args, size)
        warnings = sum((node.warnings() for node in nodes), [])
    name = f"compare-block-{args.wire}"
    numbers = so_far(name, {"wire": args.wire, "rows": rows, "verbs": verbs}, args.round)
    rows, verbs = numbers["rows"], numbers["verbs"]
    repetitions = len(next(iter(verbs.values())))
    report = f"Wire {args.wire}, {repetitions} × {args.runtime} s per row, {args.size} MiB\n\n"
    report += tables(rows, verbs)
    met = not warnings
    if "ramster" in args.devices:
        checks = bars(rows, verbs)
        met = met and all(check[-1] for check in checks)
        report += "\n\n| bar | measured | wanted | |\n|---|---|---|---|\n" + "\n".join(
            f"| {a} | {b} | {c} | {'met' if d else 'MISSED'} |" for a, b, c, d in checks)
        if POSTS in verbs:
            report += "\n\n" + possible(rows, verbs)
    report += "".join(f"\nkernel warning: {line}" for line in warnings)
    save(name, report, numbers)
    print(report)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
