#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Programs on libramster-rdma against ramsterd, while the operator takes memory back.

    node1: ramsterd, ramsterctl             node2: library-client
           10.7.7.1        <------- verbs -------  checks every byte it gets
    node3: ramsterd, for "donors"    <---- verbs ----

Usage: test_library.py [TEST...]   (names of library_client.c's tests)
RAMSTER_BUILD is the build tree to take the programs from.
"""
import json
import os
import sys
import time

from lab import scenario, uml_node

COST = 60
BUILD = scenario.build_directory()
# how the programs are called; test_library_sanitized.py has them elsewhere
DAEMON = f"{BUILD}/rdma-broker/ramsterd"
CTL = f"{BUILD}/rdma-broker/ramsterctl"
CLIENT = f"{BUILD}/libramster-rdma/library-client"
OPTIONS = "--heartbeat=1s --grace=20s --donate=48M"
# ends a test that goes on
STOP = "/run/library-stop"
PLAIN = ("basics", "arguments", "sizes", "vectors", "queue", "threads", "full")

failures = []


def say(ok, what, detail=""):
    """One line per check; the detail of a failure below it."""
    print(f"{'ok' if ok else 'NOT OK'} - {what}", flush=True)
    if not ok:
        failures.append(what)
        print("    " + detail.strip().replace("\n", "\n    "), flush=True)


def start_donor(node, options=OPTIONS):
    """Run ramsterd; returns its job when it answers."""
    job = node.spawn(f"exec {DAEMON} {options}")
    scenario.wait_during(job, "it answers", lambda: not node.sh(f"{CTL} status")[0], 20)
    return job


def report(code, output, test):
    """The checks of the client's output, and its end."""
    for line in output.splitlines():
        if line.startswith(("ok - ", "not ok - ")):
            say(line.startswith("ok"), f"{test}: {line.split(' - ', 1)[1]}", output)
        elif line.startswith("# "):
            print(f"  {line}", flush=True)
    say(code == 0, f"{test}: ends well", f"exit code {code}\n{output}")


def start_client(node, donors, test, options=""):
    """Run a test that goes on while the operator acts; returns its job when it is ready."""
    node.check(f"rm -f {STOP}")
    job = node.spawn(f"exec env {CLIENT} {donors} seconds=300 until={STOP} {options} {test}")
    scenario.wait_during(job, "ready", lambda: "ready" in job.output(), 60)
    return job


def end_client(node, job, test, load=1):
    """After another while of load let it come to its end, and report."""
    time.sleep(load)
    node.check(f"touch {STOP}")
    report(*job.wait(180), test)


def granted(node):
    """Bytes that the donor has lent."""
    return json.loads(node.check(f"{CTL} status --json"))["granted_bytes"]


def revoke(node, size, deadline):
    """Take back and lend again; nothing may have to be fenced."""
    code, output = node.sh(f"{CTL} revoke {size} --deadline {deadline}s", timeout=deadline + 60)
    say(code == 0 and "of which 0 B were fenced" in output,
        f"{node.name} takes {size} back under load", output)
    node.check(f"{CTL} donate {size}")


def test_revoke(donor, client, deadline=10):
    """Most of the donation is asked back and given again, then all of it."""
    job = start_client(client, donor.ip, "revoke")
    for size in ("40M", "10M", "48M"):
        scenario.wait_during(job, "slabs are lent", lambda: granted(donor) > 4 << 20)
        time.sleep(1)  # of load
        revoke(donor, size, deadline)
    end_client(client, job, "revoke")


def test_donors(donor, client, other):
    """Two donors, no compressed tier: what one takes back goes to the other."""
    daemon = start_donor(other)
    job = start_client(client, f"{donor.ip},{other.ip}", "revoke", "zstd=0")
    for each in (donor, other, donor):
        scenario.wait_during(job, f"{each.name} lends", lambda e=each: granted(e) > 4 << 20)
        time.sleep(2)  # until the other one has said in a heartbeat what room it has
        revoke(each, "48M", 10)
    end_client(client, job, "donors")
    daemon.kill("TERM")


def test_quota(client, other):
    """A donor that says it has room, and denies it: pages make room for each other."""
    daemon = start_donor(other, OPTIONS.replace("--donate=48M", "--donate=96M --quota=48M"))
    report(*client.sh(f"exec env {CLIENT} {other.ip} full", timeout=240), "quota")
    daemon.kill("TERM")


def test_resume(donor, client):
    """The donor is silent for longer than is borne, but not for longer than it keeps slabs."""
    job = start_client(client, donor.ip, "resume")
    scenario.wait_during(job, "slabs are lent", lambda: granted(donor) > 4 << 20)
    donor.freeze()
    scenario.wait_during(job, "it is missed", lambda: "connecting again" in job.output())
    donor.thaw()
    scenario.wait_during(job, "it is back", lambda: "nothing lost" in job.output())
    end_client(client, job, "resume")


def test_fenced(donor, client):
    """Every other slab is fenced, and the word of it lost with its connection."""
    job = start_client(client, donor.ip, "fenced")
    scenario.wait_during(job, "slabs are lent", lambda: granted(donor) > 12 << 20)
    time.sleep(1)  # of load
    slabs = json.loads(donor.check(f"{CTL} slabs --json"))["slabs"][::2]
    where = f"{client.ip} $(ip -o route get {client.ip} | grep -o 'dev [^ ]*')"
    donor.check(f"ip neigh replace {where} lladdr 02:00:00:00:00:01 nud permanent")
    for slab in slabs:      # unless it was given back this moment
        donor.sh(f"{CTL} revoke --slab {slab['id']} --force --no-wait")
    scenario.wait_during(job, "it is missed", lambda: "connecting again" in job.output())
    donor.check(f"ip neigh del {where}")
    scenario.wait_during(job, "it is back", lambda: "nothing lost" in job.output())
    scenario.wait_during(job, "the fence is known",
                         lambda: "slabs meanwhile" in job.output())
    end_client(client, job, "fenced")
    donor.check(f"{CTL} donate {len(slabs)}M")


def test_killed(donor, client, daemon):
    """The donor dies under load and comes back."""
    job = start_client(client, donor.ip, "killed")
    scenario.wait_during(job, "slabs are lent", lambda: granted(donor) > 4 << 20)
    time.sleep(1)  # of load
    daemon.kill()
    daemon.wait(10)
    scenario.wait_during(job, "it is missed", lambda: "gone" in job.output())
    time.sleep(2)  # of gets of what is lost
    daemon = start_donor(donor)
    end_client(client, job, "killed", load=2)
    return daemon


def main():
    wire = os.environ.get("RAMSTER_WIRE", "rxe")
    names = sys.argv[1:] or [*PLAIN, "quota", "resume", "fenced", "revoke", "donors", "killed"]
    with uml_node.Fabric(3, wire, name=f"library-{wire}") as (donor, client, other):
        daemon = start_donor(donor)
        for name in names:
            if name == "quota":
                test_quota(client, other)
            elif name == "revoke":
                test_revoke(donor, client)
            elif name == "resume":
                test_resume(donor, client)
            elif name == "fenced":
                test_fenced(donor, client)
            elif name == "donors":
                test_donors(donor, client, other)
            elif name == "killed":
                daemon = test_killed(donor, client, daemon)
            else:
                report(*client.sh(f"exec env {CLIENT} {donor.ip} {name}", timeout=240), name)
        _, left = scenario.wait_for("all slabs come back", lambda: not granted(donor), 20)
        print(f"  the last slab came back after {left:.1f} s")
        daemon.kill("TERM")
        for node in (donor, client, other):
            say(not node.warnings(), f"{node.name}: no kernel warning",
                "\n".join(node.warnings()))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
