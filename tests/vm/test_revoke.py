#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A donor takes half of its RAM back while it is in use; nobody notices. Then it lends again.

    donor1                              borrower1
    ramsterd, 40 MiB  <---- verbs ----  ramster_rdma
    revoke 20M, donate 60M              swaptest in swap, or devcheck on the device

Usage: test_revoke.py [61|uml...]
"""
import time

from lab import fabric
from lab.scenario import MIB, expect, run, say, wait_during, wait_for

CASES = ("61", "uml")
DEADLINE = {"61": 120, "uml": 20}   # seconds; evacuating takes a tenth of it on an idle machine
DONATED, REVOKED, AGAIN = 40 * MIB, 20 * MIB, 60 * MIB
RSS_SLACK = MIB


def start_load(lab, engine):
    """A program that uses about 34 MiB of the donor, and its name."""
    if engine == "uml":
        return lab.devcheck("--size 40M --seconds 3600 fill mix verify"), "devcheck"
    lab.swapon()
    return lab.swaptest("44M", "10M", "--seconds 3600"), "swaptest"


def revoke(lab, deadline):
    """Take half of the donation back."""
    before, start = lab.donor_status(), time.monotonic()
    done = lab.ctl(f"revoke {REVOKED} --deadline {deadline}s", timeout=deadline + 60)
    took, after = time.monotonic() - start, lab.donor_status()
    expect(not done["fenced_bytes"] and not done["kept_bytes"] and took < deadline,
           f"all slabs released within {deadline} s, not {done} after {took:.1f} s")
    expect(after["donation_bytes"] == DONATED - REVOKED, f"half is donated, not {after}")
    lent = REVOKED - before["free_bytes"]
    expect(lent > REVOKED // 2, f"most of it was in use, not {lent} bytes")
    fell = before["rss_bytes"] - after["rss_bytes"]
    expect(fell >= lent - RSS_SLACK, f"donor's RSS falls by {lent}, it fell by {fell}")
    say(f"revoked {REVOKED // MIB} MiB, {lent / MIB:.0f} of them in use, in {took:.1f} s; "
        f"donor's RSS fell by {fell / MIB:.1f} MiB")


def donate_again(lab):
    """What was compressed for want of room goes out."""
    shipped = lab.sysfs("shipped_pages")
    compressed = lab.sysfs("compressed_pages")
    expect(compressed > 1000, f"compressed pages, there are {compressed}")
    lab.ctl(f"donate {AGAIN}")
    seconds = wait_for("compressed pages gone", lambda: not lab.sysfs("compressed_pages"), 240)[1]
    shipped = lab.sysfs("shipped_pages") - shipped
    expect(shipped > 100, f"pages were shipped, only {shipped} of {compressed} were")
    say(f"lent again: {compressed} compressed pages gone after {seconds:.1f} s, {shipped} shipped")


def test(engine):
    with fabric.open_fabric(engine, donate=DONATED, tools=("swaptest", "devcheck")) as lab:
        lab.load_module("size=64M slab_size=1M zpool_percent=60")
        job, program = start_load(lab, engine)
        wait_during(job, "the donation in use",
                    lambda: lab.donor_status()["granted_bytes"] > DONATED - 4 * MIB, 240)
        say(f"{engine}: {program} uses {lab.sysfs('remote_pages') * 4096 / MIB:.0f} MiB there")
        lab.wait_io(job, 1000)
        revoke(lab, DEADLINE[engine])
        lab.wait_io(job, 4000)
        donate_again(lab)
        lab.wait_io(job, 4000)
        lab.borrowers[0].check(f"pkill -TERM -x {program}")
        code, output = job.wait(240)
        expect(code == 0, f"no wrong, lost or failed page; exit code {code}:\n{output}")
        say(output.strip().splitlines()[-1])
        s = lab.statistics()
        say(f"{s['slabs_revoked']} slabs revoked, {s['evacuated_pages']} pages evacuated, "
            f"{s['retries']} requests tried again")
        expect(s["evacuated_pages"] and not s["written_off_pages"], "evacuated, nothing lost")
        if program == "swaptest":
            lab.swapoff()
        lab.unload_module()


if __name__ == "__main__":
    run(test, CASES)
