#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The module on a kernel that watches it: KASAN, lockdep, leaks, sleep in atomic context.

    donor1 (QEMU, stock 5.10)           borrower1 (QEMU, debug kernel, two CPUs)
    ramsterd, 24 MiB  <---- verbs ----  ramster_rdma, one of its fronts under load, or all
    revoke, SIGKILL, start, SIGKILL     allocations that fail, in half of the cases

    detectors       mistakes made on purpose: each is seen, and would fail a test
    FRONT           the load outlives what happens to the donor; nothing wrong, nothing leaked
    together        the fronts at once for ten minutes: swap on our disk and on another by
                    frontswap, files by cleancache; then the disk as a disk, instead of swap
    …-faults        the same, while one in ten allocations made by the module fails

The borrower's kernel log is the test: the lab fails on any warning. The donor, whose part runs in
userspace, has a stock kernel because rxe's side of it does not pass KASAN in 5.10.
Usage: test_debug.py [CASE...]
"""
import re
import shutil
from collections import namedtuple

from lab import fabric, modules, qemu
from lab.debug_kernel import PERCENT, PERCENT_CONNECTING, Faults, forget_leaks, scan
from lab.scenario import DEVICE, SYSFS, expect, run, say, wait_during, wait_for

CASES = ("detectors", "device", "device-faults", "swap", "swap-faults",
         "frontswap", "frontswap-faults", "cleancache", "cleancache-faults",
         "together", "together-faults")
LABEL = "debug"
KERNEL = "debug"
RAM = 768               # MiB; an eighth is KASAN's, and what is freed is kept for a while
CPUS = 2                # one is not enough to find all there is, and DEBUG_PREEMPT is off with it
DONATE, REVOKED = "24M", "12M"
TOGETHER = 600          # seconds of the borrower under all loads at once

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

# program: what makes the load; begin(lab) starts it and returns its Job; counters: statistics that
# tell of its progress; much: how far they go in a few seconds; end(lab): after the load
Front = namedtuple("Front", "program counters much begin end")


def empty_disk(lab):
    """Forced, for it is not looked at before: that may be lost."""
    lab.borrowers[0].check(f"blkdiscard -f {DEVICE}")


def begin_device(lab):
    empty_disk(lab)     # it may have been swap
    return lab.devcheck("--size 24M --threads 4 --seconds 3600 --allow-lost --allow-failed "
                        "fill mix verify")


def begin_swap(lab):
    lab.swapon(priority=1)
    return lab.swaptest("24M", "8M", "--seconds 3600 --allow-lost", group="swap")


def end_swap(lab):
    """If there are two swap areas, of both."""
    say(f"swapoff took {lab.swapoff(device='-a'):.1f} s")
    empty_disk(lab)


def swap_elsewhere(lab, arguments):
    lab.swapon(device=lab.loop_device("swapfile", 64), priority=1)
    return lab.swaptest("24M", "8M", f"--seconds 3600 {arguments}", group="frontswap")


def begin_frontswap(lab):
    """Pages are written through to a disk: whatever happens, none is lost."""
    return swap_elsewhere(lab, "")


def begin_both(lab):
    """With swap on our disk too, at the same priority: pages go to one as to the other."""
    return swap_elsewhere(lab, "--allow-lost")


def end_frontswap(lab):
    end_swap(lab)
    lab.borrowers[0].check("losetup -D")


def begin_cleancache(lab):
    borrower = lab.borrowers[0]
    device = lab.loop_device("image", 64)
    borrower.check(f"mkfs.ext4 -q -b 4096 {device} && mkdir -p /run/disk && "
                   f"mount {device} /run/disk")
    borrower.check(f"cat >/usr/local/bin/reader <<'END'\n{READER}END\n"
                   "chmod +x /usr/local/bin/reader")
    # the shell itself is not to be swapped to where pages are lost with their donor
    group = f"{lab.cgroups}/cleancache"
    borrower.check(f"mkdir -p {group} && echo 0 >{group}/memory.swap.max")
    return lab.in_cgroup("exec reader", "9M", group="cleancache")


def end_cleancache(lab):
    lab.borrowers[0].check("umount /run/disk && losetup -D", 120)


GETS = ("cleancache_hits", "cleancache_misses")
PUTS = ("cleancache_puts", "cleancache_dropped_puts", "cleancache_failed_puts",
        "cleancache_filtered_puts")
STORED = ("frontswap_stores", "frontswap_loads")
FRONTS = {
    "device": Front("devcheck", ("reads", "writes"), 10000, begin_device, empty_disk),
    "swap": Front("swaptest", ("reads", "writes"), 2000, begin_swap, end_swap),
    "frontswap": Front("swaptest", STORED, 2000, begin_frontswap, end_frontswap),
    "both": Front("swaptest", STORED, 2000, begin_both, end_frontswap),
    "cleancache": Front("reader", PUTS + GETS, 4000, begin_cleancache, end_cleancache),
}
# parameters of the module by case, and what is under load at once, one after the other
CLEANCACHE = "cleancache=1 cleancache_filter=0"
LOADS = {
    "device": ("", (("device",),)),
    "swap": ("", (("swap",),)),
    "frontswap": ("frontswap=1", (("frontswap",),)),
    "cleancache": (CLEANCACHE, (("cleancache",),)),
    "together": (f"frontswap=1 {CLEANCACHE}", (("swap", "both", "cleancache"),
                                               ("device", "frontswap", "cleancache"))),
}


# ---- what the kernel finds

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


# ---- fronts under load

class Load:
    """The programs that load some fronts at once. To wait_during() they are one job."""

    def __init__(self, lab, names):
        self.lab = lab
        self.fronts = [FRONTS[name] for name in names]
        self._jobs = [front.begin(lab) for front in self.fronts]
        self.command = " & ".join(names)
        self.since = self.uptime()

    def uptime(self):
        """Of the borrower, in seconds."""
        return float(self.lab.borrowers[0].check("cat /proc/uptime").split()[0])

    def running(self):
        """Whether all of them are."""
        return all(job.running() for job in self._jobs)

    def output(self):
        return "\n".join(job.output() for job in self._jobs)

    def _moved(self):
        s = self.lab.statistics()
        return [sum(s[name] for name in front.counters) for front in self.fronts]

    def work(self, text):
        """Until each of the loads has gone on for a while."""
        wanted = [start + front.much // len(self.fronts)
                  for start, front in zip(self._moved(), self.fronts)]
        seconds = wait_during(self, f"load {text}", lambda: all(
            now >= least for now, least in zip(self._moved(), wanted)), 600)[1]
        say(f"load {text}: {seconds:.0f} s")

    def wait_remote(self, pages, text):
        wait_during(self, f"pages {text}", lambda: self.lab.sysfs("remote_pages") > pages, 600)

    def end(self):
        """All of them are told to; what they have found, and the fronts out of use again."""
        for program in {front.program for front in self.fronts}:
            self.lab.borrowers[0].check(f"pkill -TERM -x {program}")
        for front, job in zip(self.fronts, self._jobs):
            code, output = job.wait(600)
            expect(code == 0, f"no wrong page; exit code {code}:\n{output}")
            say(output.strip().rpartition("\n")[2] or f"{front.program} found nothing wrong")
        say(f"{self.command}: {self.uptime() - self.since:.0f} s of the borrower's time")
        for front in self.fronts:
            front.end(self.lab)


def donor_dies(lab):
    pages = lab.sysfs("remote_pages")
    lab.kill_daemon()
    seconds = wait_for("the loss to be noticed", lambda: not lab.sysfs("remote_pages"), 120)[1]
    say(f"donor killed with about {pages} pages, noticed after {seconds:.1f} s")


def new_daemon(lab, load, faults):
    lab.start_daemon(donate=DONATE)
    faults.rate(PERCENT_CONNECTING)
    load.wait_remote(1000, "with the new daemon")
    faults.rate(PERCENT)


def check_revoke(before, after, done, faults):
    """Nothing was lost by it. before: statistics of when the load had a donor already."""
    gone = after["written_off_pages"] - before["written_off_pages"]
    if gone and faults.active:
        say(f"no memory to connect again in time: {gone} pages lost before the revoke")
        return
    expect(not done["fenced_bytes"] and not done["kept_bytes"], f"all slabs released: {done}")
    expect(before["lost_pages"] or after["read_errors"] == before["read_errors"],
           f"what was written can be read: {after}")


def trouble(lab, load, faults):
    """All that may happen to a donor; the load goes on."""
    before = lab.statistics()
    load.work("with a donor")
    done = lab.ctl(f"revoke {REVOKED} --deadline 120s", timeout=240)
    load.work("with half of it")
    check_revoke(before, lab.statistics(), done, faults)
    donor_dies(lab)
    load.work("without a donor")
    new_daemon(lab, load, faults)
    load.work("with a new one")
    donor_dies(lab)
    load.work("without it")


def state(lab):
    """Of the donor, as the borrower sees it."""
    return lab.borrowers[0].check(f"cat {SYSFS}/donors").split()[1]


def more_trouble(lab, load, faults):
    """What is not in trouble(): silence, an orderly end, force, and pages called home."""
    load.work("with a donor")
    # not freeze(): packets to a frozen machine stay in the sender's ring, and when one is sent
    # at last 5.10's rxe frees its queue pair with the work that was to clean it up
    lab.donors[0].check("tc qdisc add dev eth0 root netem loss 100%")
    wait_during(load, "the silence noticed", lambda: state(lab) != "live")
    faults.rate(PERCENT_CONNECTING)
    lab.donors[0].check("tc qdisc del dev eth0 root")
    wait_during(load, "the donor again", lambda: state(lab) == "live")
    faults.rate(PERCENT)
    load.work("after a silence")
    lab.stop_daemon()
    load.work("while the donor is away")
    new_daemon(lab, load, faults)
    lab.ctl(f"revoke {REVOKED} --force", timeout=240)
    load.work("after a revoke by force")
    lab.ctl(f"donate {REVOKED}")
    pages = lab.sysfs("frontswap_pages")
    lab.borrowers[0].check(f"echo {pages // 2} >{SYSFS}/frontswap_pages", 120)
    say(f"asked for {pages // 2} of frontswap's {pages} pages")


def check_statistics(lab):
    """After the load: no page is left anywhere, none was wrong, and the kernel counts alike."""
    s = lab.statistics()
    say(f"{s['retries']} retries, {s['read_errors']} read and {s['write_errors']} write errors, "
        f"{s['written_off_pages']} pages written off")
    expect(not s["crc_errors"], f"no page came back wrong, whoever noticed: {s}")
    expect(not any(s[name] for name in (
        "frontswap_pages", "cleancache_pages", "staged_pages", "remote_pages",
        "compressed_pages", "same_pages", "lost_pages")), f"no page is left: {s}")
    text = lab.borrowers[0].check("cd /sys/kernel/debug && grep . cleancache/* frontswap/*")
    kernel = {name: int(value) for name, value in (line.split(":") for line in text.split())}
    for names, theirs in ((GETS, ("cleancache/succ_gets", "cleancache/failed_gets")),
                          (PUTS, ("cleancache/puts",)),
                          (STORED, ("frontswap/succ_stores", "frontswap/loads"))):
        ours, other = sum(s[name] for name in names), sum(kernel[name] for name in theirs)
        expect(ours == other, f"{names} are {ours}, and the kernel counts {other}")


def exercise(case, faults):
    parameters, loads = LOADS[case.partition("-")[0]]
    with fabric.open_fabric(KERNEL, donor_kernel="510", donate=DONATE, mem=RAM, cpus=CPUS,
                            tools=("swaptest", "devcheck"), name=f"test_debug-{case}") as lab:
        borrower = lab.borrowers[0]
        forget_leaks(borrower)
        lab.load_module(f"size=64M slab_size=1M zpool_percent=20 {parameters}")
        for number, names in enumerate(loads):
            if number:
                lab.start_daemon(donate=DONATE)
            load = Load(lab, names)
            load.wait_remote(2000, "on the donor")
            with Faults(lab, faults) as injected:
                while len(loads) > 1 and load.uptime() < load.since + TOGETHER / len(loads):
                    more_trouble(lab, load, injected)
                trouble(lab, load, injected)
                load.end()
        check_statistics(lab)
        if not borrower.check("cat /sys/module/ramster_rdma/refcnt").strip("0\n"):
            say(f"rmmod took {lab.unload_module():.1f} s")
        say(f"kmemleak: {scan(borrower) or 'nothing'}")


def test(case):
    if case == "detectors":
        detectors()
    else:
        exercise(case, case.endswith("-faults"))


if __name__ == "__main__":
    run(test, CASES)
