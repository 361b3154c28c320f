#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Several donors, several borrowers, and machines that are both.

    two-borrowers:  borrower1 --> donor1 <-- borrower2
    two-donors:     donor1 <-- borrower1 --> donor2 (is killed)
    both:           node1 <--> node2, each swaps into the other's RAM

All are UML nodes. Usage: test_many.py [two-borrowers|two-donors|both...]
"""
from lab import fabric
from lab.scenario import MIB, expect, run, say, wait_for

CASES = ("two-borrowers", "two-donors", "both")
PARAMETERS = "slab_size=1M zpool_percent=40"


def finished(job, timeout=240):
    """The job's last line; it must have ended well."""
    code, output = job.wait(timeout)
    expect(code == 0, f"{job.command} ends well, not with exit code {code}:\n{output}")
    return output.strip().splitlines()[-1]


def two_borrowers():
    """Each finds its own pages, though they lie side by side."""
    with fabric.open_fabric("uml", borrowers=2, donate="64M", tools=("devcheck",)) as lab:
        jobs = []
        for seed, borrower in enumerate(lab.borrowers):
            lab.load_module(f"size=32M {PARAMETERS}", borrower)
            jobs.append(lab.devcheck(f"--size 24M --seconds 8 --seed {seed} fill mix verify",
                                     borrower))
        wait_for("both to borrow", lambda: all(
            lab.sysfs("remote_pages", b) > 4000 for b in lab.borrowers), 60)
        clients = lab.ctl("clients")["clients"]
        say("granted: " + ", ".join(f"{c['peer']} {c['granted_bytes'] // MIB} MiB"
                                    for c in clients))
        expect(len({c["id"] for c in clients}) == 2 == len(clients), f"two clients: {clients}")
        for borrower, job in zip(lab.borrowers, jobs):
            say(f"{borrower.name} {finished(job)}")
        lab.unload_module(lab.borrowers[0])
        left = lab.ctl("clients")["clients"]
        expect(len(left) == 1 and left[0]["granted_bytes"], f"the other stays: {left}")
        check = "--size 24M --seed 9 fill verify"
        say(f"the other alone: {finished(lab.devcheck(check, lab.borrowers[1]))}")
        lab.unload_module(lab.borrowers[1])


def used_slots(lab):
    """Pages of the borrower at each donor, by address."""
    lines = lab.sysfs("donors").splitlines()
    return {line.split()[0]: int(line.split()[3]) for line in lines}


def two_donors():
    """Both are used; when one dies its pages are lost, and no others."""
    with fabric.open_fabric("uml", donors=2, donate="32M", tools=("devcheck",)) as lab:
        lab.load_module(f"size=64M {PARAMETERS}")
        finished(lab.devcheck("--size 40M fill"))
        wait_for("all pages remote", lambda: lab.sysfs("remote_pages") == 40 * 256, 60)
        used = used_slots(lab)
        say("pages at " + ", ".join(f"{name}: {n}" for name, n in used.items()))
        expect(min(used.values()) > 1000, f"both donors in use: {used}")
        lab.kill_daemon(lab.donors[1])
        lost = used[lab.donors[1].ip]
        wait_for("the loss to be noticed", lambda: lab.sysfs("lost_pages") == lost, 60)
        say(finished(lab.devcheck("--size 40M --version 1 --allow-lost verify")))
        expect(lab.sysfs("read_errors") >= lost, "lost pages are errors")
        expect(used_slots(lab)[lab.donors[0].ip] == used[lab.donors[0].ip], "others stay")
        say(finished(lab.devcheck("--size 40M --seed 5 fill verify")))
        lab.unload_module()


def both():
    """Two machines that swap into each other."""
    with fabric.open_fabric("uml", donors=2, both=True, donate="48M") as lab:
        jobs = []
        for node in lab.borrowers:
            lab.load_module(f"size=64M {PARAMETERS}", node)
            lab.swapon(node)
        for node in lab.borrowers:
            jobs.append(lab.swaptest("32M", "10M", "--rounds 3", node))
        for node in lab.borrowers:
            wait_for("pages over there",
                     lambda: lab.sysfs("remote_pages", node) > 3000, 120)
        for node, job in zip(lab.borrowers, jobs):
            say(f"{node.name} {finished(job)}")
            lab.swapoff(node)
            lab.unload_module(node)


def test(case):
    {"two-borrowers": two_borrowers, "two-donors": two_donors, "both": both}[case]()


if __name__ == "__main__":
    run(test, CASES)
