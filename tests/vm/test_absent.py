#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Loading with nobody to borrow from, or with parameters that make no sense.

    node1 (UML)                         borrower (UML)
    no ramsterd, or frozen  <-- ? --    insmod ramster_rdma

Usage: test_absent.py [uml]
"""
import time

from lab import fabric
from lab.scenario import expect, run, say, wait_for

CASES = ("uml",)
SECONDS = 10            # in which loading without a donor fails

# Parameters, and a word of the one error line that they cause.
BAD = (
    ("", "broker="),
    ("broker=", "broker="),
    ("broker=10.7.7", "10.7.7"),
    ("broker=10.7.7.1:99999", "99999"),
    ("broker=[fd07::1", "[fd07::1"),
    ("broker=" + ",".join(["10.7.7.1"] * 17), "16"),
    ("broker=10.7.7.1 size=12x", "size=12x"),
    ("broker=10.7.7.1 size=4K", "size=4K"),
    ("broker=10.7.7.1 size=17T", "size=17T"),
    ("broker=10.7.7.1 size=1T", "smaller size="),
    ("broker=10.7.7.1 slab_size=3M", "slab_size=3M"),
    ("broker=10.7.7.1 slab_size=2G", "slab_size=2G"),
    ("broker=10.7.7.1 zpool_percent=91", "zpool_percent=91"),
    ("broker=10.7.7.1 zpool_percent=all", "zpool_percent"),
)


def fails(lab, parameters, word):
    """insmod that must fail with one error line that has word in it; returns the line."""
    borrower = lab.borrowers[0]
    borrower.check("dmesg -C")
    start = time.monotonic()
    code, output = borrower.sh(f"insmod {lab.module} {parameters}", 60)
    took = time.monotonic() - start
    lines = borrower.check("dmesg --level=emerg,alert,crit,err --notime").splitlines()
    expect(code and took < SECONDS, f"insmod {parameters} fails within {SECONDS} s, not with "
           f"{code} after {took:.1f} s: {output}")
    expect(len(lines) == 1 and word in lines[0],
           f"insmod {parameters}: one line with '{word}', not\n" + "\n".join(lines))
    return lines[0], took


def bad_parameters(lab):
    """Each fails at once, and says why."""
    for parameters, word in BAD:
        line, _ = fails(lab, parameters, word)
        say(line)


def nobody_answers(lab):
    """Nobody listens; nobody has the address; the donor is silent."""
    donor = lab.donors[0]
    for what, address in (("nobody listens", donor.ip), ("nobody is there", "10.7.7.9")):
        line, took = fails(lab, f"broker={address} size=64M", "broker=")
        say(f"{what}, failed after {took:.1f} s: {line}")
    donor.freeze()
    line, took = fails(lab, f"broker={donor.ip} size=64M", "broker=")
    donor.thaw()
    say(f"silence, failed after {took:.1f} s: {line}")


def without_waiting(lab):
    """wait=0: pages are compressed until a donor appears, then they move there."""
    borrower = lab.borrowers[0]
    start = time.monotonic()
    lab.load_module("size=64M slab_size=1M zpool_percent=60 wait=0")
    say(f"wait=0: loaded after {time.monotonic() - start:.1f} s")
    borrower.check("devcheck --size 16M fill", 120)
    compressed = lab.sysfs("compressed_pages")
    expect(compressed == 4096, f"all pages compressed, not {compressed}")
    borrower.check("devcheck --size 16M --version 1 verify", 120)
    lab.start_daemon(donate="4M")
    seconds = wait_for("the donor full", lambda: lab.sysfs("remote_pages") == 1024, 60)[1]
    say(f"donor of 4 MiB appeared: full after {seconds:.1f} s")
    wait_for("the donor to refuse more", lambda: lab.sysfs("slabs_denied"), 60)
    lab.ctl("donate 60M")
    seconds = wait_for("all pages at the donor", lambda: lab.sysfs("remote_pages") == 4096, 60)[1]
    say(f"donor lends more: all {compressed} pages there after {seconds:.1f} s")
    borrower.check("devcheck --size 16M --version 1 verify", 120)
    lab.unload_module()


def test(engine):
    with fabric.open_fabric(engine, tools=("devcheck",), donate="0") as lab:
        lab.stop_daemon()
        bad_parameters(lab)
        nobody_answers(lab)
        without_waiting(lab)


if __name__ == "__main__":
    run(test, CASES)
