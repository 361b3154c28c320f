#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The module on a kernel that watches it: KASAN, lockdep, leaks, sleep in atomic context.

    donor1 (QEMU, stock 5.10)           borrower1 (QEMU, debug kernel, two CPUs)
    ramsterd, 24 MiB  <---- verbs ----  ramster_rdma, one of its fronts under load
    revoke, SIGKILL, start, SIGKILL     allocations that fail, in half of the cases

    detectors       mistakes made on purpose: each is seen, and would fail a test
    FRONT           the load outlives what happens to the donor; nothing wrong, nothing leaked
    FRONT-faults    the same, while one in ten allocations made by the module fails

The borrower's kernel log is the test: the lab fails on any warning. The donor, whose part runs in
userspace, has a stock kernel because rxe's side of it does not pass KASAN in 5.10.
Usage: test_debug.py [CASE...]
"""
import re
import shutil
from collections import namedtuple

from lab import fabric, modules, qemu
from lab.scenario import DEVICE, SYSFS, expect, run, say, wait_during, wait_for

CASES = ("detectors", "device", "device-faults", "swap", "swap-faults",
         "frontswap", "frontswap-faults", "cleancache", "cleancache-faults")
LABEL = "debug"
KERNEL = "debug"
RAM = 768               # MiB; an eighth is KASAN's, and what is freed is kept for a while
CPUS = 2                # one is not enough to find all there is, and DEBUG_PREEMPT is off with it
DONATE, REVOKED = "24M", "12M"
PERCENT = 10            # of the module's allocations fail, or fewer while it has to connect, for
PERCENT_CONNECTING = 2  # that takes dozens, each of which must succeed
FAULTS = 1000000        # more than will ever be injected
# Return addresses to look at: the module, what it calls and the allocator. Deeper, it would be rxe
# that fails, which in 5.10 does not survive that (a MAD whose packet failed is used when freed).
DEPTH = 8
YOUNG = 6               # seconds; kmemleak says nothing of what is younger than five
KMEMLEAK = "/sys/kernel/debug/kmemleak"

# mistake of faulty.c, what the kernel says of it; a lock's is the last that lockdep reports,
# and lockdep stops when KASAN has found something
MISTAKES = (
    ("sleep-in-atomic", "BUG: sleeping function called from invalid context"),
    ("cpu-while-preemptible", r"BUG: using smp_processor_id\(\) in preemptible"),
    ("list-add-twice", "list_add double add"),
    ("free-with-timer", "ODEBUG: free active"),
    ("leak", r"kmemleak: \d+ new suspected memory leaks"),
    ("lock-order", "WARNING: possible circular locking dependency"),
    ("use-after-free", "BUG: KASAN: use-after-free"),
)

# Reads files of which a third fits in memory, and writes one of them anew, until told to end.
READER = """#!/bin/bash
trap 'exit 0' TERM
cd /run/disk || exit 2
while true; do
    for i in 1 2 3 4 5 6 7 8 9; do
        [ ! -e sum$i ] || md5sum --quiet -c sum$i || exit 1
        [ -e sum$i ] && [ $i != ${new:-1} ] && continue
        rm -f sum$i
        dd if=/dev/urandom bs=1M count=3 status=none | tee file$i | md5sum | sed s/-/file$i/ >sums
        mv sums sum$i
    done
    sync
    new=$((RANDOM % 9 + 1))
done
"""

# parameters: of the module; program: what makes the load, begin(lab) starts it and returns its
# Job; counters: statistics that tell of its progress; much: how far they go in a few seconds;
# end(lab): after the load
Front = namedtuple("Front", "parameters program counters much begin end")


def begin_device(lab):
    return lab.devcheck("--size 24M --threads 4 --seconds 3600 --allow-lost --allow-failed "
                        "fill mix verify")


def begin_swap(lab):
    lab.swapon()
    return lab.swaptest("24M", "8M", "--seconds 3600 --allow-lost")


def end_swap(lab):
    say(f"swapoff took {lab.swapoff():.1f} s")


def begin_frontswap(lab):
    """Pages are written through to a disk: whatever happens, none is lost."""
    lab.swapon(device=lab.loop_device("swapfile", 64))
    return lab.swaptest("24M", "8M", "--seconds 3600")


def end_frontswap(lab):
    say(f"swapoff took {lab.swapoff(device='-a'):.1f} s")
    s = lab.statistics()
    expect(not any(s[name] for name in ("frontswap_pages", "staged_pages", "remote_pages")),
           f"no page is left: {s}")


def begin_cleancache(lab):
    borrower = lab.borrowers[0]
    device = lab.loop_device("image", 64)
    borrower.check(f"mkfs.ext4 -q -b 4096 {device} && mkdir /run/disk && mount {device} /run/disk")
    borrower.check(f"cat >/usr/local/bin/reader <<'END'\n{READER}END\n"
                   "chmod +x /usr/local/bin/reader")
    return lab.in_cgroup("exec reader", "9M")


def end_cleancache(lab):
    lab.borrowers[0].check("umount /run/disk", 120)
    s = lab.statistics()
    expect(not s["cleancache_pages"], f"no page is left: {s}")


CLEANCACHE = ("cleancache_puts", "cleancache_dropped_puts", "cleancache_failed_puts",
              "cleancache_hits", "cleancache_misses")
FRONTS = {
    "device": Front("", "devcheck", ("reads", "writes"), 10000, begin_device, lambda lab: None),
    "swap": Front("", "swaptest", ("reads", "writes"), 2000, begin_swap, end_swap),
    "frontswap": Front("frontswap=1", "swaptest", ("frontswap_stores", "frontswap_loads"), 2000,
                       begin_frontswap, end_frontswap),
    "cleancache": Front("cleancache=1 cleancache_filter=0", "reader", CLEANCACHE, 4000,
                        begin_cleancache, end_cleancache),
}


# ---- what the kernel finds

def scan(machine):
    """Look for memory that nobody points to any more; a finding is a line in the kernel log."""
    machine.check(f"sleep {YOUNG}; echo scan >{KMEMLEAK}; echo scan >{KMEMLEAK}", 300)
    return machine.check(f"cat {KMEMLEAK}")


def make(machine, mistake):
    """Let the kernel find a mistake; returns what the lab finds in its log."""
    machine.check("dmesg -C")
    code, output = machine.sh(f"insmod /share/faulty.ko mistake={mistake}")
    expect(code and "temporarily unavailable" in output, f"{mistake} is made: {code} {output}")
    if mistake == "leak":
        scan(machine)
    return "\n".join(qemu.splats(machine.check("dmesg")))


def detectors():
    """Whatever the other cases rely on works on this kernel."""
    logs = modules.TREE / "build/lab/logs/test_debug-detectors"
    share = logs / "share"
    shutil.rmtree(logs, ignore_errors=True)
    share.mkdir(parents=True)
    module = modules.build(KERNEL, modules.TREE / "tests/vm/faulty",
                           modules.OUT / f"faulty-{KERNEL}", "faulty.ko")
    (share / "faulty.ko").write_bytes(module.read_bytes())
    with qemu.Machine("machine1", KERNEL, share, logs, mem=RAM, cpus=CPUS) as machine:
        leaks = scan(machine)
        expect(not machine.warnings(), f"a clean boot:\n{machine.warnings()}\n{leaks}")
        for mistake, report in MISTAKES:
            said = make(machine, mistake)
            expect(re.search(report, said), f"{mistake} is reported as {report}, not as {said!r}")
            say(f"{mistake}: {re.search(report, said).group()}")


# ---- allocations that fail

class Faults:
    """While in a with block, allocations that the module makes or lets others make fail, at a
    percentage that rate() changes. Does nothing unless active."""

    kinds = ("failslab", "fail_page_alloc")

    def __init__(self, lab, active):
        self._borrower = lab.borrowers[0]
        self._active = active

    def _set(self, name, value):
        self._borrower.check(f"for kind in {' '.join(self.kinds)}; do "
                             f"echo {value} >/sys/kernel/debug/$kind/{name} || exit; done")

    def rate(self, percent):
        if self._active:
            self._set("probability", percent)

    def _injected(self):
        """How many have failed, of each kind."""
        return {kind: FAULTS - int(self._borrower.check(f"cat /sys/kernel/debug/{kind}/times"))
                for kind in self.kinds}

    def __enter__(self):
        if not self._active:
            return self
        start, size = self._borrower.check(
            "cd /sys/module/ramster_rdma && cat sections/.text coresize").split()
        self._set("require-start", start)
        self._set("require-end", hex(int(start, 16) + int(size)))
        for name, value in (("stacktrace-depth", DEPTH), ("verbose", 0), ("times", FAULTS),
                            ("ignore-gfp-wait", "N"), ("interval", 1), ("probability", PERCENT)):
            self._set(name, value)
        self._borrower.check("echo 0 >/sys/kernel/debug/fail_page_alloc/min-order; "
                             "echo N >/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem")
        return self

    def __exit__(self, kind, *_):
        if not self._active:
            return
        self.rate(0)
        injected = self._injected()
        say(f"faults injected: {injected}")
        if kind is None:
            expect(injected["failslab"], "allocations have failed")


# ---- a front under load

def work(lab, front, job, text):
    """Until the load has gone on for a while."""
    def moved():
        return sum(lab.sysfs(name) for name in front.counters)
    start = moved()
    seconds = wait_during(job, f"{front.much} pages of load {text}",
                          lambda: moved() >= start + front.much, 600)[1]
    say(f"{front.much} pages of load {text} in {seconds:.0f} s")


def donor_dies(lab):
    pages = lab.sysfs("remote_pages")
    lab.kill_daemon()
    seconds = wait_for("the loss to be noticed", lambda: not lab.sysfs("remote_pages"), 120)[1]
    say(f"donor killed with about {pages} pages, noticed after {seconds:.1f} s")


def trouble(lab, front, job, faults):
    """All that may happen to a donor; the load goes on."""
    work(lab, front, job, "with a donor")
    done = lab.ctl(f"revoke {REVOKED} --deadline 120s", timeout=240)
    expect(not done["fenced_bytes"] and not done["kept_bytes"], f"all slabs released: {done}")
    work(lab, front, job, "with half of it")
    expect(not lab.sysfs("read_errors"), "what was written can be read")
    donor_dies(lab)
    work(lab, front, job, "without a donor")
    lab.start_daemon(donate=DONATE)
    faults.rate(PERCENT_CONNECTING)
    wait_during(job, "pages with the new daemon", lambda: lab.sysfs("remote_pages") > 1000, 300)
    faults.rate(PERCENT)
    work(lab, front, job, "with a new one")
    donor_dies(lab)
    work(lab, front, job, "without it")


def exercise(case, front, faults):
    with fabric.open_fabric(KERNEL, donor_kernel="510", donate=DONATE, mem=RAM, cpus=CPUS,
                            tools=("swaptest", "devcheck"), name=f"test_debug-{case}") as lab:
        borrower = lab.borrowers[0]
        borrower.check(f"echo clear >{KMEMLEAK}")
        lab.load_module(f"size=64M slab_size=1M zpool_percent=20 {front.parameters}")
        job = front.begin(lab)
        wait_during(job, "pages on the donor", lambda: lab.sysfs("remote_pages") > 2000, 600)
        with Faults(lab, faults) as injected:
            trouble(lab, front, job, injected)
            borrower.check(f"pkill -TERM -x {front.program}")
            code, output = job.wait(600)
        expect(code == 0, f"no wrong page; exit code {code}:\n{output}")
        say(output.strip().rpartition("\n")[2] or f"{front.program} found nothing wrong")
        s = lab.statistics()
        say(f"{s['retries']} retries, {s['read_errors']} read and {s['write_errors']} write errors")
        expect(not s["crc_errors"], f"no page came back wrong, whoever noticed: {s}")
        front.end(lab)
        if not borrower.check("cat /sys/module/ramster_rdma/refcnt").strip("0\n"):
            say(f"rmmod took {lab.unload_module():.1f} s")
        say(f"kmemleak: {scan(borrower) or 'nothing'}")


def test(case):
    if case == "detectors":
        detectors()
        return
    front, _, faults = case.partition("-")
    exercise(case, FRONTS[front], bool(faults))


if __name__ == "__main__":
    run(test, CASES)
