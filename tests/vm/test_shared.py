#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Shares: two machines that mount one image read-only see each other's clean pages.

    borrower1 (UML)                   donor1 (UML)                  borrower2 (UML)
    ramster_rdma     ---- verbs ----> ramsterd, "shared allow" <---- verbs ---- ramster_rdma
    cleancache=1                                                    cleancache=1
    one ext4 image, a file of the host's, on a loop device of each that cannot be written

    pages    what one has put the other gets, flushed by one it is gone for both; without leave,
             nothing
    faults   the donor takes the share back, dies, restarts while both read: no read is wrong
    content  the image changes while nobody has it mounted: no page of before is seen

Usage: test_shared.py [CASE...]
"""
from lab import fabric
from lab.scenario import SYSFS, expect, run, say, wait_during, wait_for

COST = 40
CASES = ("pages", "faults", "content")
UUID = "5ca1ab1e-0000-4000-8000-00000000cafe"
MIB = 32            # of the file
PAGES = MIB * 256
SHARE = "64M"
PATH = "/mnt/shared"
# A MiB at a time; all at once would be a burst in which most pages find no buffer.
LET_GO = (f"for i in $(seq 0 {MIB - 1}); do "
          f"dd if={PATH}/f of=/dev/null bs=1M skip=$i count=1 iflag=nocache status=none; "
          f"until grep -qx 0 {SYSFS}/stage_buffers_used; do :; done; done")
DROP_PAGES = "echo 1 >/proc/sys/vm/drop_caches"
DROP_INODES = "echo 2 >/proc/sys/vm/drop_caches"


class Image:
    """An ext4 image that every machine can mount."""

    def __init__(self, lab):
        self._lab = lab
        # borrower1's folder of logs: one of the host's, whose files all see and it may write
        self.path, self._writable = lab.log_path(lab.borrowers[0], "shared.img")
        lab.borrowers[0].check(f"truncate -s {MIB + 32}M {self._writable} && "
                               f"mkfs.ext4 -q -b 4096 -U {UUID} {self._writable}")
        for machine in lab.borrowers:
            machine.check(f"mkdir -p {PATH}")

    def write(self):
        """New content of the file, as long as nobody has it mounted; returns its MD5."""
        return self._lab.borrowers[0].check(
            f"device=$(losetup -f --show {self._writable}) && mount $device {PATH} && "
            f"dd if=/dev/urandom bs=1M count={MIB} status=none | tee {PATH}/f | md5sum && "
            f"umount {PATH} && losetup -d $device", 120).split()[0]

    def mount(self, machine):
        machine.check(f"losetup -r /dev/loop0 {self.path} && mount -o ro /dev/loop0 {PATH}")

    def umount(self, machine):
        machine.check(f"umount {PATH} && losetup -d /dev/loop0")


def pages_read(machine):
    """How many pages have been read from the device."""
    return int(machine.check("cat /sys/block/loop0/stat").split()[2]) // 8


def read_file(lab, machine, md5):
    """Read it, checked; returns how many pages came from the disk and how many from the share."""
    before, disk = lab.statistics(machine), pages_read(machine)
    output = machine.check(f"md5sum {PATH}/f", 120)
    after, disk = lab.statistics(machine), pages_read(machine) - disk
    expect(output.split()[0] == md5, "what was written is read")
    return disk, after["share_hits"] - before["share_hits"]


def states(lab):
    """What each borrower says of its share."""
    return [machine.check("cat /sys/block/ramster0/ramster/shares").split()[1]
            for machine in lab.borrowers]


def wait_states(lab, state):
    wait_for(f"shares {state}", lambda: all(s == state for s in states(lab)))


def shared(lab):
    """The donor's row of the share, or nothing."""
    rows = lab.ctl("shared list")["shares"]
    return rows[0] if rows else None


def wait_put(lab, machine):
    """Until all that machine has offered is at the donor, or was there."""
    def settled():
        s = lab.statistics(machine)
        return s["share_puts"] + s["share_known_puts"] + s["share_dropped_puts"] >= PAGES * 9 // 10
    wait_for("nearly all pages offered", settled)


def load(lab):
    for machine in lab.borrowers:
        lab.load_module("size=64M slab_size=4M cleancache=1 cleancache_filter=0", machine)


def begin(lab, allow=True):
    """Both have it mounted, and their first get behind them. Returns the image and the MD5."""
    load(lab)
    image = Image(lab)
    md5 = image.write()
    if allow:
        lab.ctl(f"shared allow {UUID} {SHARE}")
    mount_all(lab, image)
    if allow:
        wait_states(lab, "joined")
    return image, md5


def mount_all(lab, image):
    for machine in lab.borrowers:
        image.mount(machine)
        machine.check(f"head -c 1 {PATH}/f >/dev/null")


def umount_all(lab, image):
    for machine in lab.borrowers:
        image.umount(machine)
    for machine in lab.borrowers:
        wait_for("no share left", lambda m=machine: not m.check(
            "cat /sys/block/ramster0/ramster/shares"))


# ---- what one has put, the other gets

def nothing_without_leave(lab, md5):
    one, two = lab.borrowers
    read_file(lab, one, md5)
    one.check(LET_GO)
    disk, hits = read_file(lab, two, md5)
    two.check(LET_GO)
    say(f"not allowed: borrower2 reads {disk} pages from the disk, {hits} from the share")
    expect(disk >= PAGES - 64 and not hits, "who is not allowed gets nothing")
    for machine in lab.borrowers:
        s = lab.statistics(machine)
        expect(not s["share_puts"] and s["cleancache_pages"] > PAGES // 2,
               f"its pages are its own: {s}")
    expect(shared(lab) is None, "and the donor keeps nothing for it")


def one_puts_other_gets(lab, md5):
    one, two = lab.borrowers
    for machine in lab.borrowers:       # what is its own from before
        read_file(lab, machine, md5)
        expect(lab.statistics(machine)["cleancache_pages"] < 64, "none is left of its own")
    one.check(LET_GO)
    wait_put(lab, one)
    s = lab.statistics(one)
    say(f"borrower1 put {s['share_puts']}, dropped {s['share_dropped_puts']}")
    two.check(f"umount {PATH} && mount -o ro /dev/loop0 {PATH} && head -c 1 {PATH}/f >/dev/null")
    wait_states(lab, "joined")
    disk, hits = read_file(lab, two, md5)
    say(f"borrower2's first read: {hits} of {PAGES} pages from the share, {disk} from the disk")
    expect(hits >= PAGES * 9 // 10 and disk <= PAGES // 10, "nine in ten came from the share")
    two.check(LET_GO)
    wait_put(lab, two)
    s = lab.statistics(two)
    expect(s["share_known_puts"] >= PAGES * 8 // 10, f"what is there is not put again: {s}")
    disk, hits = read_file(lab, one, md5)
    expect(hits >= PAGES * 9 // 10, "a get leaves the page there")
    row = shared(lab)
    expect(row["members"] == 2 and row["pages"] >= PAGES * 9 // 10, f"the donor knows: {row}")


def one_flushes_for_both(lab, md5):
    """With its inode a file leaves the share, whoever had put it."""
    one, two = lab.borrowers
    for machine in lab.borrowers:
        machine.check(f"{LET_GO}; {DROP_PAGES}")

    def emptied():      # the kernel drops a few inodes at a time
        one.check(DROP_INODES)
        return shared(lab)["pages"] < 64
    wait_for("the donor's share empty", emptied)
    disk, hits = read_file(lab, two, md5)
    say(f"flushed by borrower1: borrower2 gets {hits}, and {disk} pages from the disk")
    expect(hits < 64 and disk > PAGES - 64, "what one has flushed the other does not get")


def pages(lab):
    image, md5 = begin(lab, allow=False)
    nothing_without_leave(lab, md5)
    lab.ctl(f"shared allow {UUID} {SHARE}")
    wait_states(lab, "joined")
    one_puts_other_gets(lab, md5)
    one_flushes_for_both(lab, md5)
    umount_all(lab, image)
    s = [lab.statistics(machine) for machine in lab.borrowers]
    expect(not any(x["crc_errors"] or x["lost_pages"] for x in s), f"nothing went wrong: {s}")
    lab.ctl(f"shared deny {UUID}")
    wait_for("the donor's memory back", lambda: not lab.donor_status()["granted_bytes"])


# ---- the donor takes it back

def faults(lab):
    image, md5 = begin(lab)
    jobs = []
    for machine in lab.borrowers:
        machine.check(f"echo '{md5}  {PATH}/f' >/run/sums")
        jobs.append(machine.spawn("while md5sum -c --quiet /run/sums; do echo pass; "
                                  f"{LET_GO}; done"))

    def hits():
        return min(lab.sysfs("share_hits", machine) for machine in lab.borrowers)

    def wait_hits(what):
        start = hits()
        wait_during(jobs[0], f"hits {what}", lambda: hits() > start + 1000)
        say(f"{what}: hits go on")

    def wait_passes():
        before = [job.output().count("pass") for job in jobs]
        wait_during(jobs[0], "all read twice", lambda: all(
            job.output().count("pass") > n + 1 for job, n in zip(jobs, before)))

    wait_hits("two readers")
    lab.ctl(f"shared deny {UUID}")
    wait_for("the donor's share gone", lambda: shared(lab) is None)
    wait_passes()
    lab.ctl(f"shared allow {UUID} {SHARE}")
    wait_hits("denied and allowed")
    lab.ctl("revoke 300M --force")
    wait_passes()
    lab.ctl("donate 300M")
    wait_hits("fenced and donated")
    lab.kill_daemon()
    wait_passes()
    lab.start_daemon(donate="300M")
    lab.ctl(f"shared allow {UUID} {SHARE}")
    wait_hits("donor killed and back")
    for job in jobs:
        job.kill()
        wait_for("the reader gone", lambda j=job: not j.running())
        expect("FAILED" not in job.output(), f"no read was wrong:\n{job.output()}")
    umount_all(lab, image)


# ---- another content

def content(lab):
    image, md5 = begin(lab)
    one, two = lab.borrowers
    for turn in range(3):
        read_file(lab, one, md5)
        one.check(LET_GO)
        wait_for("pages put", lambda: shared(lab)["pages"] > PAGES // 2)
        disk, hits = read_file(lab, two, md5)
        say(f"content {turn}: borrower2 gets {hits} pages from the share")
        expect(hits > PAGES // 2, "the share serves what is there now")
        umount_all(lab, image)
        md5 = image.write()
        mount_all(lab, image)
        wait_states(lab, "joined")
    umount_all(lab, image)


TESTS = {"pages": pages, "faults": faults, "content": content}


def test(case):
    with fabric.open_fabric("uml", borrowers=2, donate="300M", mem=512,
                            name=f"test_shared-{case}") as lab:
        TESTS[case](lab)


if __name__ == "__main__":
    run(test, CASES)
