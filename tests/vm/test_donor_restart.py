#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A donor goes and comes back: after SIGTERM no page is lost, after SIGKILL all of its pages are,
after an absence those whose slab it has fenced meanwhile.

    donor1 (UML)                        borrower1 (UML)
    ramsterd, 64 MiB  <---- verbs ----  ramster_rdma
    TERM, start, KILL, start,           devcheck on the device, 24 MiB
    unheard for a while; link down

Usage: test_donor_restart.py [uml]
"""
import re
import time

from lab import fabric
from lab.scenario import DEVICE, expect, run, say, wait_during, wait_for

CASES = ("uml",)
DONATE = "64M"
PAGES = 24 * 256
IDLE = 3    # seconds after the last write in which the borrower gives empty slabs back


def devcheck(lab, arguments, allowed=0):
    """Run devcheck to its end; returns the figures of its last line by name."""
    code, output = lab.devcheck(f"--size 24M {arguments}").wait(240)
    expect(code == allowed, f"devcheck {arguments} ends with {allowed}, not {code}:\n{output}")
    pairs = re.findall(r"([a-z-]+) (\d+)", output.splitlines()[-1])
    return {key: int(value) for key, value in pairs}


def wait_remote(lab):
    """Until every page lies at the donor; returns how long that took."""
    return wait_for("all pages at the donor", lambda: lab.sysfs("remote_pages") >= PAGES - 1 and
                    not lab.sysfs("compressed_pages"), 120)[1]


def orderly(lab):
    """SIGTERM while pages are written and read: they move into the borrower's own memory."""
    job = lab.devcheck("--size 24M --seconds 3600 --discards 0 --seed 2 fill mix verify")
    wait_during(job, "pages on the donor", lambda: lab.sysfs("remote_pages") > 5000)
    lab.wait_io(job, 1000)
    start = time.monotonic()
    code = lab.stop_daemon()
    took = time.monotonic() - start
    expect(code == 0, f"ramsterd ends with 0, not {code}")
    lab.wait_io(job, 1000)
    s = lab.statistics()
    say(f"ramsterd stopped in {took:.1f} s; {s['evacuated_pages']} pages moved, "
        f"{s['compressed_pages']} lie here compressed")
    expect(not s["remote_pages"] and not s["lost_pages"], f"no page there, none lost: {s}")
    lab.start_daemon(donate=DONATE)
    wait_during(job, "pages with the new daemon", lambda: lab.sysfs("remote_pages") > 1000)
    lab.wait_io(job, 1000)
    lab.borrowers[0].check("pkill -TERM -x devcheck")
    code, output = job.wait(120)
    expect(code == 0, f"no wrong, lost or failed page; exit code {code}:\n{output}")
    say(output.strip().splitlines()[-1])


def beside_lost(lab):
    """Every other page is written anew; read together with those that are lost, it is there."""
    fio = (f"fio --name=n --filename={DEVICE} --direct=1 --ioengine=libaio --bs=4k --size=24M "
           "--iodepth=32 --iodepth_batch_submit=32 --iodepth_batch_complete_min=32 ")
    lab.borrowers[0].check(fio + "--rw=write:4k --io_size=12M")
    before = lab.statistics()
    lab.borrowers[0].sh(fio + "--rw=read --continue_on_error=read")
    after = lab.statistics()
    read, failed = (after[name] - before[name] for name in ("reads", "read_errors"))
    lost = after["lost_pages"]
    expect(read == PAGES and 0 < lost <= PAGES // 2 and failed == lost,
           f"of {read} pages read side by side {failed} fail, {lost} are lost")
    say(f"{lost} lost pages fail, {read - failed} beside them do not")


def sudden(lab):
    """SIGKILL while nothing is under way: each page that lay there is an error, and only those."""
    devcheck(lab, "fill")
    say(f"all pages at the donor after {wait_remote(lab):.1f} s")
    remote = lab.sysfs("remote_pages")
    lab.kill_daemon()
    lab.start_daemon(donate=DONATE)
    wait_for("the loss to be noticed", lambda: not lab.sysfs("slabs_revoking") and
             lab.sysfs("lost_pages") == remote, 60)
    found = devcheck(lab, "--version 1 --allow-lost verify")
    expect(found["lost"] == remote, f"{remote} lost pages read as errors: {found}")
    beside_lost(lab)
    found = devcheck(lab, "--seed 3 fill verify")
    expect(found["read"] == PAGES, f"new pages are fine: {found}")
    expect(not lab.sysfs("lost_pages"), "no page is lost any more")
    say(f"{remote} pages lost with the donor; {found['read']} written anew and verified, "
        f"all remote after {wait_remote(lab):.1f} s")


def fenced_unheard(lab):
    """A slab is fenced, and the word of it lost with the connection that it was sent on."""
    donor, borrower = lab.donors[0], lab.borrowers[0].ip
    time.sleep(IDLE)
    fenced, slab = lab.sysfs("slabs_fenced"), lab.ctl("slabs")["slabs"][0]["id"]
    # into the void; a link that is down would make rxe of 5.10 fail for good
    donor.check(f"ip neigh replace {borrower} lladdr 02:00:00:00:00:01 dev vec0 nud permanent")
    lab.ctl(f"revoke --slab {slab} --force --no-wait")
    wait_for("the donor to miss its borrower",
             lambda: lab.ctl("clients")["clients"][0]["state"] == "orphaned")
    donor.check(f"ip neigh del {borrower} dev vec0")
    start = time.monotonic()
    found = devcheck(lab, "--version 1 --seed 3 --allow-lost verify")
    took = time.monotonic() - start
    say(f"{found['lost']} pages were fenced unheard; all read {took:.1f} s after the return")
    expect(0 < found["lost"] <= 256, f"the slab's pages are lost, and no others: {found}")
    expect(lab.sysfs("slabs_fenced") == fenced + 1, "the borrower knows of one slab")


def deaf(lab):
    """The donor's link goes down, after which rxe of 5.10 sends nothing more, ever: whoever waits
    for an answer of its connection manager waits in vain. ramsterd does not."""
    donor = lab.donors[0]
    donor.check("ip link set vec0 down")
    wait_for("the donor to miss its borrower",
             lambda: lab.ctl("clients")["clients"][0]["state"] == "orphaned")
    took = []
    for _ in range(10):
        start = time.monotonic()
        lab.ctl("status", timeout=10)
        took.append(time.monotonic() - start)
        time.sleep(0.2)
    say(f"a donor that cannot send answers its operator within {max(took):.1f} s")


def test(engine):
    with fabric.open_fabric(engine, donate=DONATE, tools=("devcheck",)) as lab:
        lab.load_module("size=32M slab_size=1M zpool_percent=60")
        orderly(lab)
        sudden(lab)
        fenced_unheard(lab)
        deaf(lab)
        lab.unload_module()


if __name__ == "__main__":
    run(test, CASES)
