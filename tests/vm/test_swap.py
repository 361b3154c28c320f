#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Swap into a donor's RAM on stock kernels; every page comes back right, all memory goes home.

    donor1 (QEMU)                       borrower1 (QEMU, the same kernel)
    ramsterd, 96 MiB  <---- verbs ----  ramster_rdma, swap on /dev/ramster0
    slabpages counts                    swaptest, 40 MiB in a cgroup of 12 MiB

Usage: test_swap.py [KERNEL...]
"""
import re
import time

from lab import fabric
from lab.scenario import MIB, expect, run, say, wait_during, wait_for

COST = 60
CASES = ("510", "61", "612", "72")
ON_DONOR = 24 * MIB     # must have lain there
PAUSE_S = 2
RSS_SLACK = 4 * MIB     # of ramsterd: what it allocates for its own use


def pages_on_donor(lab):
    """How many pages of the donor's memory the borrower has written."""
    return int(lab.donors[0].check("slabpages $(pgrep -x ramsterd)").split()[0])


def swap_and_verify(lab):
    """A program three times its cgroup's size; its pages are seen at the donor."""
    job = lab.swaptest("40M", "12M", "--rounds 2")
    pages, seconds = wait_for("pages on the donor", lambda: (
        n if (n := pages_on_donor(lab)) * 4096 >= ON_DONOR else not job.running() and n), 600)
    expect(pages * 4096 >= ON_DONOR, f"{ON_DONOR} bytes on the donor, found {pages * 4096}")
    granted = lab.donor_status()["granted_bytes"]
    say(f"{pages * 4096 / MIB:.0f} MiB lie on the donor after {seconds:.0f} s, "
        f"{granted / MIB:.0f} MiB are granted")
    code, output = job.wait(1200)
    expect(code == 0 and re.search(r"total:.* lost 0 wrong 0", output),
           f"no wrong page; exit code {code}:\n{output}")
    for line in re.findall(r"^pass.*", output, re.M):
        say(line)
    s = lab.statistics()
    say(f"device: read p50 {s['read_p50_ns'] // 1000} us, p99 {s['read_p99_ns'] // 1000} us; "
        f"{s['wire_read_bytes'] / MIB:.0f} MiB read, {s['wire_write_bytes'] / MIB:.0f} written")
    expect(not s["read_errors"] and not s["write_errors"] and not s["crc_errors"], "no error")


def expect_memory_back(lab, rss, what):
    """The donor lends nothing, and is as small as it was."""
    seconds = lab.wait_slabs(0)
    now = lab.donor_status()["rss_bytes"]
    expect(now < rss + RSS_SLACK, f"{what}: donor's RSS back at {rss}, it is {now}")
    say(f"{what}: donor's memory back after {seconds:.1f} s, RSS {now / MIB:.1f} MiB")


def program_exits(lab, rss):
    """With the program gone and swap still on, the donor has its memory back."""
    kept = lab.sysfs("remote_pages")
    lab.drain_swap()
    expect_memory_back(lab, rss, f"program gone (the kernel kept {kept} pages of it)")


def donor_pauses(lab):
    """Swapping out stands still for a while; what waits for memory waits too, and is not killed."""
    job = lab.swaptest("80M", "12M", "--rounds 1", group="paused")
    wait_during(job, "its pages on the donor", lambda: lab.sysfs("remote_pages") > 512, 300)
    lab.donors[0].freeze()
    time.sleep(PAUSE_S)
    lab.donors[0].thaw()
    code, output = job.wait(300)
    expect(code == 0, f"the program goes on; exit code {code}:\n{output}")
    lab.drain_swap(group="paused")
    say(f"a pause of {PAUSE_S} s while it swapped out, and the program went on")


def swap_goes_off(lab, rss):
    """A program is killed, and its swap taken away at once."""
    job = lab.swaptest("24M", "8M", "--seconds 600", group="killed")
    wait_during(job, "its pages on the donor", lambda: lab.sysfs("remote_pages") > 2048, 300)
    job.kill()
    job.wait(60)
    say(f"program killed; swapoff took {lab.swapoff():.1f} s")
    expect_memory_back(lab, rss, "swap off")


def test(kernel):
    with fabric.open_fabric(kernel, donate="96M", tools=("swaptest", "slabpages")) as lab:
        rss = lab.donor_status()["rss_bytes"]
        lab.load_module("size=256M slab_size=2M")
        lab.swapon()
        say(f"{kernel}: swap is on")
        swap_and_verify(lab)
        program_exits(lab, rss)
        donor_pauses(lab)
        swap_goes_off(lab, rss)
        say(f"rmmod took {lab.unload_module():.1f} s")


if __name__ == "__main__":
    run(test, CASES)
