#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A donor that dies takes pages with it, but nobody ever reads a wrong one.

    donor1                              borrower1
    ramsterd, 96 MiB  <---- verbs ----  ramster_rdma
    SIGKILL, start, SIGKILL, start ...  devcheck on the device, then swaptest in swap

Usage: test_donor_killed.py [61|uml...]
"""
import re

from lab import fabric
from lab.scenario import MIB, expect, run, say, wait_during, wait_for

COST = 60
CASES = ("61", "uml")
KILLS = {"61": 3, "uml": 20}
DONATE = "96M"
SECONDS = 30            # for swapoff, and for rmmod, with a dead donor


def lend_again(lab):
    """A new ramsterd; returns when pages lie there again."""
    lab.start_daemon(donate=DONATE)
    return wait_for("pages with the new daemon",
                    lambda: lab.sysfs("remote_pages") > 1000, 120)[1]


def checked(job, timeout):
    """The job's last figures; it must have ended well."""
    code, output = job.wait(timeout)
    expect(code == 0, f"{job.command} ends well, not with exit code {code}:\n{output}")
    return output.strip().splitlines()[-1]


def unload(lab):
    """rmmod, in time."""
    took = lab.unload_module(timeout=SECONDS)
    say(f"rmmod with a dead donor took {took:.1f} s")


def kill_under_device(lab, kills):
    """Random I/O, while its donor dies again and again, at last for good."""
    lab.load_module("size=64M slab_size=1M zpool_percent=60")
    job = lab.devcheck("--size 32M --threads 8 --seconds 3600 --allow-lost fill mix verify")
    wait_during(job, "pages on the donor", lambda: lab.sysfs("remote_pages") > 1000)
    for number in range(1, kills + 1):
        lab.wait_io(job, 1000)
        lost = lab.sysfs("written_off_pages")
        lab.kill_daemon()
        wait_for("the loss to be noticed",
                 lambda: lab.sysfs("written_off_pages") > lost, 60)
        lost = lab.sysfs("written_off_pages") - lost
        lab.wait_io(job, 1000)
        if number < kills:
            say(f"kill {number}: {lost} pages lost; "
                f"remote again after {lend_again(lab):.1f} s")
        else:
            say(f"kill {number}: {lost} pages lost")
    lab.borrowers[0].check("pkill -TERM -x devcheck")
    say(checked(job, 120))
    expect(not lab.sysfs("crc_errors"), "no page came back wrong, whoever noticed")
    unload(lab)


def kill_under_swap(lab):
    """A program in swap: what it cannot get back it is told of by SIGBUS."""
    lab.start_daemon(donate=DONATE)
    lab.load_module("size=64M slab_size=1M zpool_percent=60")
    lab.swapon()
    job = lab.swaptest("32M", "10M", "--seconds 3600 --allow-lost --progress 1000")
    wait_during(job, "pages on the donor",
                lambda: lab.sysfs("remote_pages") * 4096 > 16 * MIB, 240)
    lab.kill_daemon()
    wait_during(job, "the program notices lost pages",
                lambda: re.search(r" lost [1-9]", job.output()), 120)
    say(f"the program lost pages: {job.output().strip().splitlines()[-1]}")
    wait_during(job, "a pass over pages lost and not lost",
                lambda: re.search(r"^pass.* lost [1-9]", job.output(), re.M), 300)
    lab.borrowers[0].check("pkill -TERM -x swaptest")
    say(checked(job, 120))
    say(f"swapoff with a dead donor took {lab.swapoff(timeout=SECONDS):.1f} s")
    unload(lab)


def test(engine):
    with fabric.open_fabric(engine, donate=DONATE, tools=("swaptest", "devcheck")) as lab:
        kill_under_device(lab, KILLS[engine])
        kill_under_swap(lab)


if __name__ == "__main__":
    run(test, CASES)
