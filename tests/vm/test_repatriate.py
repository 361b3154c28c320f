#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Pages that frontswap holds with a donor come home when memory is no longer short, not before.

    node1 (user-mode Linux)            node2
    ramsterd, 128 MiB  <---- verbs --  ramster_rdma frontswap=1, swap on a loop device
                                       ramsterd --donate=0 --repatriate=200ms
                                       swaptest, 48 MiB in a cgroup of 16 MiB, then of 64 MiB

Usage: test_repatriate.py
"""
from lab import fabric
from lab.scenario import expect, run, say, wait_during, wait_for

CASES = ("uml",)
HELD = 4096             # pages with the donor, to begin with
PRESSED_LOADS = 8192
STAYS = 64              # freed swap slots in the kernel's cache of one CPU are counted, not found


def pages(lab):
    return lab.sysfs("frontswap_pages")


def under_pressure(lab, job):
    """While the program swaps, no page is taken home that it has not asked for."""
    wait_during(job, "its pages on the donor", lambda: pages(lab) > HELD)
    start, low = lab.sysfs("frontswap_loads"), pages(lab)

    def pressed():
        nonlocal low
        low = min(low, pages(lab))
        return lab.sysfs("frontswap_loads") >= start + PRESSED_LOADS
    wait_during(job, f"{PRESSED_LOADS} pages loaded", pressed)
    say(f"under pressure: never less than {low} pages with the donor")
    expect(low > HELD // 2, f"pages stay while memory is short, not {low}")


def at_rest(lab, job):
    """With room for all, they come home by themselves, and the donor has its memory back."""
    group = f"{lab.cgroups}/t"
    lab.borrowers[0].check("kill -STOP $(pgrep -x swaptest); "
                           f"echo 64M >{group}/memory.max")
    held = pages(lab)
    _, seconds = wait_for("the pages to come home", lambda: pages(lab) <= STAYS, 90)
    say(f"at rest: {held} pages came home in {seconds:.0f} s")
    say(f"donor's memory back after {lab.wait_slabs(0):.1f} s more")
    before = lab.statistics()
    lab.borrowers[0].check("kill -CONT $(pgrep -x swaptest)")
    code, output = job.wait(300)
    expect(code == 0 and "lost 0 wrong 0" in output, f"no wrong page; exit {code}:\n{output}")
    stores = lab.statistics()["frontswap_stores"] - before["frontswap_stores"]
    expect(stores < held // 10, f"no thrash: {stores} pages went out again")


def test(engine):
    with fabric.open_fabric(engine, donate="128M", mem=512, tools=("swaptest",)) as lab:
        lab.load_module("size=64M slab_size=4M frontswap=1 frontswap_writethrough=0")
        borrower = lab.borrowers[0]
        borrower.spawn("exec ramsterd --donate=0 --repatriate=200ms --socket=/run/home.sock "
                       ">/run/home.log 2>&1")
        device = borrower.check("truncate -s 128M /run/swap && losetup -f --show /run/swap").strip()
        lab.swapon(device=device, page_cluster=0)
        job = lab.swaptest("48M", "16M", "--seconds 20")
        under_pressure(lab, job)
        at_rest(lab, job)
        lab.swapoff(device=device)


if __name__ == "__main__":
    run(test, CASES)
