#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Load and unload, often, and while the donor dies or falls silent: nothing hangs, nothing stays.

    donor1 (UML)                        borrower1 (UML)
    ramsterd, 64 MiB  <---- verbs ----  insmod, I/O, rmmod, 50 times
    killed, frozen                      swapoff, rmmod

Usage: test_lifecycle.py [uml]
"""
import re
import time

from lab import fabric
from lab.scenario import MIB, expect, run, say, wait_during, wait_for

CASES = ("uml",)
LOADS = 50
SECONDS = 30            # for swapoff or rmmod, whatever the donor does
PARAMETERS = "size=64M slab_size=1M zpool_percent=60"
LEAK = 4 * MIB          # of memory over all loads: less than one page structure per load and slab
FREE = ("echo 3 >/proc/sys/vm/drop_caches; "
        "awk '/MemFree/ {print $2 * 1024}' /proc/meminfo")


def load_often(lab):
    """Every other time with I/O, half of them over IPv6; memory is what it was."""
    borrower, donor = lab.borrowers[0], lab.donors[0]
    start, free = time.monotonic(), None
    for number in range(LOADS):
        lab.load_module(PARAMETERS, brokers=[donor.ip6 if number % 4 > 1 else donor.ip])
        if number % 2 == 0:
            borrower.check(f"devcheck --size 4M --seed {number} fill verify", 60)
        lab.unload_module(timeout=SECONDS)
        if number == 4:
            free = int(borrower.check(FREE))
    lost = free - int(borrower.check(FREE))
    expect(lost < LEAK, f"memory back after each load; {lost} bytes are gone")
    wait_for("the donor to have no client", lambda: not lab.donor_status()["clients"], 30)
    lab.wait_slabs(0)
    say(f"{LOADS} loads: {(time.monotonic() - start) / LOADS:.2f} s each, "
        f"{lost // 1024} KiB less free memory")


def fill(lab):
    """Put 8 MiB on the donor."""
    lab.borrowers[0].check("devcheck --size 8M fill", 60)
    wait_for("pages on the donor", lambda: lab.sysfs("remote_pages") == 2048, 60)


def dead_donor(lab):
    """rmmod at once after the donor died, and some time later."""
    for what in ("at once", "when noticed"):
        lab.load_module(PARAMETERS)
        fill(lab)
        lab.kill_daemon()
        if what != "at once":
            wait_for("the loss to be noticed", lambda: lab.sysfs("lost_pages"), 60)
        say(f"donor killed, rmmod {what} took {lab.unload_module(timeout=SECONDS):.1f} s")
        lab.start_daemon(donate="64M")


def silent_donor(lab):
    """A donor that is there and says nothing: reads end, with errors, and so does all else."""
    donor = lab.donors[0]
    lab.load_module(PARAMETERS)
    job = lab.devcheck("--size 16M --seconds 3600 --allow-lost fill mix verify")
    wait_during(job, "pages on the donor", lambda: lab.sysfs("remote_pages") > 1000)
    lab.wait_io(job, 1000)
    donor.freeze()
    start = time.monotonic()
    wait_during(job, "lost pages", lambda: lab.sysfs("written_off_pages"), 60)
    noticed = time.monotonic() - start
    lab.wait_io(job, 1000)
    lab.borrowers[0].check("pkill -TERM -x devcheck")
    code, output = job.wait(120)
    slowest = int(re.search(r"^mix:.*slowest-read (\d+) ms", output, re.M)[1])
    expect(code == 0 and slowest < SECONDS * 1000, f"reads end, none wrong: {code}\n{output}")
    say(f"donor frozen: given up after {noticed:.1f} s, slowest read {slowest / 1000:.1f} s")
    say(f"rmmod took {lab.unload_module(timeout=SECONDS):.1f} s")
    thawed(lab)


def silent_donor_swap(lab):
    """The same with swap on, and nobody waits for the donor to be given up."""
    donor = lab.donors[0]
    lab.load_module(PARAMETERS)
    lab.swapon()
    job = lab.swaptest("24M", "8M", "--seconds 3600 --allow-lost")
    wait_during(job, "pages on the donor", lambda: lab.sysfs("remote_pages") > 2000)
    donor.freeze()
    job.kill()
    job.wait(SECONDS)
    say(f"donor frozen, program killed, swapoff took {lab.swapoff(timeout=SECONDS):.1f} s")
    say(f"rmmod took {lab.unload_module(timeout=SECONDS):.1f} s")
    thawed(lab)


def thawed(lab):
    """The donor wakes up, finds its borrower gone, and lets go."""
    lab.donors[0].thaw()
    wait_for("the donor to have no client", lambda: not lab.donor_status()["clients"], 60)
    say(f"donor thawed: empty after {lab.wait_slabs(0):.1f} s")


def test(engine):
    with fabric.open_fabric(engine, donate="64M", tools=("devcheck", "swaptest"),
                            daemon_options="--heartbeat=300ms --grace=3s") as lab:
        load_often(lab)
        dead_donor(lab)
        silent_donor(lab)
        silent_donor_swap(lab)


if __name__ == "__main__":
    run(test, CASES)
