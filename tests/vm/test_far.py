#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Far memory on stock kernels: every byte comes back right, within the limit; what is lost is
said, and is never zeroes.

    donor1 (QEMU)                        borrower1 (QEMU, the same kernel)
    ramsterd, 64 MiB  <----- verbs ----  far-client: 16 MiB of far memory, of which 4 in RAM

Usage: test_far.py [KERNEL...]      FAR_TESTS names some of TESTS below.
"""
import json
import os
import random
import re
import shutil
import subprocess
import time

from lab import fabric, scenario
from lab.modules import TREE
from lab.scenario import MIB, expect, run, say, wait_during

COST = 250
CASES = ("61", "612")
DONATE = "64M"


def program(name):
    """One of put_programs(), as a guest starts it."""
    return f"LD_LIBRARY_PATH=/share/far /share/far/{name}"


CLIENT = program("far-client")
PERF = program("ramster-perf")


def put_programs(lab):
    """The clients, ramster-perf and the library, where the guests see them."""
    target = lab.share / "far"
    target.mkdir()
    for name in ("libramster-rdma/far-client", "libramster-rdma/swaptest-far",
                 "libramster-rdma/libramster-rdma.so.1", "bench/ramster-perf"):
        shutil.copy(scenario.build_directory() / name, target)


def command(lab, test, options="", who=""):
    return f"{who} env {CLIENT} {lab.donors[0].ip} {test} {options} 2>&1"


def report(code, output, name):
    """What the client has said; LabError unless all is well."""
    for line in output.splitlines():
        if line.startswith(("ok - ", "not ok - ", "# ")):
            say(f"{name}: {line}")
    expect(code == 0 and "not ok" not in output and "\nok - " in output,
           f"{name}: every check; exit code {code}:\n{output}")


def client(lab, test, options="", who="", name=None):
    report(*lab.borrowers[0].sh(command(lab, test, options, who), timeout=300), name or test)


def start(lab, test, options):
    job = lab.borrowers[0].spawn("exec" + command(lab, test, options))
    wait_during(job, "ready", lambda: "ready" in job.output(), 120)
    return job


def test_system(lab):
    """System calls work for root, and fail cleanly for others."""
    client(lab, "system")
    # devices of rdma are for everybody where udev runs; userfaultfd is not
    lab.borrowers[0].check("chmod 666 /dev/infiniband/*; "
                           "echo 0 >/proc/sys/vm/unprivileged_userfaultfd")
    client(lab, "system", who="setpriv --reuid=65534 --clear-groups", name="system, nobody")


def test_revoke(lab):
    """The donor wants most of its memory back, and all, and gives it again, under load."""
    job = start(lab, "verify", "seconds=20 timeout=60000")
    wait_during(job, "slabs are lent", lambda: lab.donor_status()["granted_bytes"] > 8 << 20)
    for size in ("56M", DONATE):
        answer = lab.donors[0].check(f"ramsterctl revoke {size} --deadline 15s", 60)
        expect("of which 0 B were fenced" in answer, f"nothing is fenced: {answer}")
        lab.ctl(f"donate {size}")
        time.sleep(2)   # of load
    report(*job.wait(240), "revoke")


def test_lost(lab):
    """The donor dies: one word of it from the callback, SIGBUS, never a wrong byte or a hang."""
    job = start(lab, "lost", "seconds=120 timeout=8000")
    wait_during(job, "slabs are lent", lambda: lab.donor_status()["granted_bytes"] > 8 << 20)
    lab.kill_daemon()
    killed = time.monotonic()
    wait_during(job, "the callback", lambda: "the first lost page" in job.output())
    say(f"lost: the program was told after {time.monotonic() - killed:.1f} s")
    code, output = job.wait(240)
    report(code, output, "lost")
    expect(re.search(r"first lost page: Input/output error", output), "-EIO is what it is told")
    lab.start_daemon(donate=DONATE)


def put_sort(lab):
    """examples/sort, and a file of 8 MiB for it; returns what sort(1) makes of it."""
    target = lab.share / "far"
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{TREE}/include",
                    "-o", target / "sort", TREE / "examples/sort.c",
                    target / "libramster-rdma.so.1"], check=True)
    numbers = random.Random(4)
    with open(target / "input", "wb") as file:
        while file.tell() < 8 * MIB:
            file.write(numbers.randbytes(numbers.randrange(120)).replace(b"\n", b"") + b"\n")
        file.write(b"the last line has no end")
    return subprocess.run(["sort", target / "input"], env={"LC_ALL": "C"}, check=True,
                          stdout=subprocess.PIPE).stdout


def start_sort(lab):
    command = f"./sort {lab.donors[0].ip} 2 input /run/output 2>&1"
    return lab.borrowers[0].spawn(f"cd /share/far && LD_LIBRARY_PATH=. exec {command}")


def start_sort_remote(lab):
    """A sort that has pages on the donor."""
    job = start_sort(lab)
    wait_during(job, "its pages on the donor",
                lambda: lab.donor_status()["granted_bytes"] > 4 * MIB)
    return job


def check_sorted(lab, code, output, expected):
    expect(code == 0, f"sort ends well, exit code {code}: {output}")
    lab.borrowers[0].check("cp /run/output /share/far/; rm /run/output", 120)
    expect((lab.share / "far/output").read_bytes() == expected, "the same as sort(1)")
    expect(re.search(r"\b(\d+) KiB", output) and int(re.search(r"(\d+) KiB", output)[1]) <= 2048,
           f"the limit is kept: {output}")


def check_gave_up(lab, code, output):
    expect(code == 1 and output.count("\n") == 1 and "memory is lost" in output,
           f"one clear error; exit code {code}: {output}")
    lab.borrowers[0].check("test ! -e /run/output")


def test_sort(lab):
    """A file four times the limit, compared with sort(1); the same while the donor takes most back,
    is stopped and started, dies."""
    expected = put_sort(lab)
    code, output = start_sort(lab).wait(300)
    say(f"sort: {output.strip()}")
    check_sorted(lab, code, output, expected)

    job = start_sort_remote(lab)
    answer = lab.donors[0].check("ramsterctl revoke 56M --deadline 30s", 60)
    lab.ctl("donate 56M")
    code, output = job.wait(300)
    say(f"sort, most revoked: exit code {code}: {output.strip()}")
    expect("of which 0 B were fenced" in answer, f"nothing is fenced: {answer}")
    check_sorted(lab, code, output, expected)

    job = start_sort_remote(lab)
    lab.stop_daemon()
    lab.start_daemon(donate=DONATE)
    code, output = job.wait(300)
    say(f"sort, its donor restarted: exit code {code}: {output.strip()}")
    if code:    # no room here for all that does not shrink
        check_gave_up(lab, code, output)
    else:
        check_sorted(lab, code, output, expected)

    job = start_sort_remote(lab)
    lab.kill_daemon()
    code, output = job.wait(180)
    say(f"sort, its donor killed: exit code {code}: {output.strip()}")
    check_gave_up(lab, code, output)
    lab.start_daemon(donate=DONATE)


# arguments: what is said of them, with exit status 2
WRONG = {
    "frob 10.0.0.1": "frob is no test",
    "get_lat": "name a donor",
    "get_bw 10.0.0.1 -n 0": "0 is not a number of iterations (-n) from 1",
    "get_lat 10.0.0.1 -q 2": "a latency is of one page",
    "put_lat 10.0.0.1 -l 4M": "-l is for far",
    "far 10.0.0.1 -s 64K": "pages of far memory have 4K",
    "far 10.0.0.1 -l 512K": "-l 524288 is not a multiple of 4K from 1M to half of -m",
    "swap 10.0.0.1": "it takes no donor",
    "swap -s 8K": "pages of swap have 4K",
}


def perf_swap(lab):
    """Pages that are counted were read from the module's device."""
    borrower = lab.borrowers[0]
    code, output = borrower.sh(f"{PERF} swap -F 2>&1", 30)
    expect(code == 1 and "no swap is on" in output, f"exit code {code}: {output}")
    lab.load_module("size=32M slab_size=2M")
    lab.swapon(page_cluster=0)
    reads = lab.sysfs("reads")
    output = borrower.check(f"{PERF} swap -F -n 300 -m 8M -t 2 --verify "
                            "--out_json=/run/perf.json && cat /run/perf.json", 120)
    reads = lab.sysfs("reads") - reads
    got = json.loads(output[output.index("{"):])
    say(f"perf: swap: {got['iterations']} pages, {got['verified']} checked, {reads} read")
    expect(got["iterations"] == 600 <= got["verified"] and reads >= 600 + 2 * 200
           and scenario.DEVICE in got["swap"], f"all are counted: {got}, {reads} reads")
    lab.swapoff()
    lab.unload_module()


def test_perf(lab):
    """ramster-perf: each test with every page checked, wrong arguments, a donor that dies."""
    borrower, donor = lab.borrowers[0], lab.donors[0].ip
    for arguments, words in WRONG.items():
        code, output = borrower.sh(f"{PERF} {arguments} 2>&1", 30)
        expect(code == 2 and words in output, f"{arguments}: exit code {code}: {output}")
    for name in ("put_lat", "get_lat", "put_bw", "get_bw", "far"):
        output = borrower.check(f"{PERF} {name} {donor} -F -n 300 -m 8M --verify "
                                "--out_json=/run/perf.json && cat /run/perf.json", 120)
        got = json.loads(output[output.index("{"):])
        say(f"perf: {name}: {got['iterations']} pages, {got['verified']} checked")
        expect(got["iterations"] == 300 <= got["travelled"]
               and got["verified"] >= min(300, got["pages"]), f"all are counted: {got}")
    perf_swap(lab)
    job = borrower.spawn(f"exec env {PERF} far {donor} -F -D 100 2>&1")
    wait_during(job, "faults", lambda: "Pages:" in job.output(), 60)
    lab.kill_daemon()
    code, output = job.wait(60)
    expect(code == 1 and "lost with its donor" in output, f"exit code {code}: {output}")
    lab.start_daemon(donate=DONATE)


# what runs on one pair of machines, in this order
TESTS = {
    "advice": lambda lab: client(lab, "advice"),
    "verify": lambda lab: client(lab, "verify", "seconds=15"),
    "tight": lambda lab: client(lab, "verify", "seconds=8 limit=1 brings=4 threads=8",
                                name="verify, 1 MiB"),
    "counters": lambda lab: client(lab, "counters", "seconds=15"),
    "system": test_system,
    "revoke": test_revoke,
    "lost": test_lost,
    "sort": test_sort,
    "perf": test_perf,
}


# of them, on a newer kernel, what it does otherwise: a lost page is poisoned there
TESTS_OF = {"612": ("verify", "system", "lost")}


def test(kernel):
    with fabric.open_fabric(kernel, donate=DONATE, tools=()) as lab:
        put_programs(lab)
        for name in os.environ.get("FAR_TESTS", "").split() or TESTS_OF.get(kernel, TESTS):
            TESTS[name](lab)
        lab.wait_slabs(0)


if __name__ == "__main__":
    run(test, CASES)
