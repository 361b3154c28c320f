#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Far memory on stock kernels: every byte comes back right, within the limit; what is lost is
said, and is never zeroes.

    donor1 (QEMU)                        borrower1 (QEMU, the same kernel)
    ramsterd, 64 MiB  <----- verbs ----  far-client: 16 MiB of far memory, of which 4 in RAM

Usage: test_far.py [KERNEL...]
"""
import re
import shutil
import time

from lab import fabric, scenario
from lab.scenario import expect, run, say, wait_during

CASES = ("61", "612")
DONATE = "64M"
CLIENT = "LD_LIBRARY_PATH=/share/far /share/far/far-client"


def put_programs(lab):
    """The client and the library, where the guests see them."""
    target = lab.share / "far"
    target.mkdir()
    for name in ("far-client", "libramster-rdma.so.1"):
        shutil.copy(scenario.build_directory() / "libramster-rdma" / name, target)


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


def test(kernel):
    with fabric.open_fabric(kernel, donate=DONATE, tools=()) as lab:
        put_programs(lab)
        borrower = lab.borrowers[0]
        client(lab, "advice")
        client(lab, "verify", "seconds=15")
        client(lab, "verify", "seconds=8 limit=1 brings=4 threads=8", name="verify, 1 MiB")
        client(lab, "counters", "seconds=15")
        client(lab, "system")
        # devices of rdma are for everybody where udev runs; userfaultfd is not
        borrower.check("chmod 666 /dev/infiniband/*; echo 0 >/proc/sys/vm/unprivileged_userfaultfd")
        client(lab, "system", who="setpriv --reuid=65534 --clear-groups", name="system, nobody")
        test_revoke(lab)
        test_lost(lab)
        lab.wait_slabs(0)


if __name__ == "__main__":
    run(test, CASES)
