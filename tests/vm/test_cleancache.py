#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""cleancache: clean pages of files go to a donor's RAM when they leave memory, and come back.

    donor1 (UML)                        borrower1 (UML: the only kernel with cleancache)
    ramsterd          <---- verbs ----  ramster_rdma cleancache=1; filesystems on loop devices
                                        over files in memory, read in a cgroup of 80 MiB

    ext4, btrfs  a file that does not fit is read again and again; the disk is read once
    filter       what is read once stays off the wire, what is used again does not
    coherence    whatever changes a file, on whichever filesystem, reads give what is newest
    yields       swapped pages find room where pages of files lie
    faults       the donor revokes by force, dies, comes back: no read is wrong or fails

Usage: test_cleancache.py [CASE...]
"""
import re

from lab import fabric
from lab.scenario import expect, run, say, wait_during, wait_for

COST = 30
CASES = ("ext4", "btrfs", "filter", "coherence", "yields", "faults")
MKFS = {"ext4": "mkfs.ext4 -q -b 4096", "btrfs": "mkfs.btrfs -q -d single -m single"}
# not 2, of inodes: with its inode a file leaves cleancache too
DROP = "sync; echo 1 >/proc/sys/vm/drop_caches"
KERNEL = "/sys/kernel/debug/cleancache"     # what the kernel itself counts
PAGES = 256                                 # in a MiB
BTRFS_OWN = 16                              # pages of files of its own that it may read


class Disk:
    """A filesystem on a loop device of the borrower's, mounted."""

    def __init__(self, borrower, name, fs, mib):
        self._borrower, self.fs = borrower, fs
        self.image, self.path = f"/run/{name}.img", f"/mnt/{name}"
        borrower.check(f"truncate -s {mib}M {self.image} && {MKFS[fs]} {self.image} && "
                       f"mkdir {self.path}")
        self.mount()

    def mount(self):
        self.device = self._borrower.check(f"losetup -f --show {self.image}").strip()
        self._borrower.check(f"mount {self.device} {self.path}")

    def umount(self):
        self._borrower.check(f"umount {self.path} && losetup -d {self.device}")

    def write(self, name, mib):
        """A new file of random bytes, on the disk and not in memory; returns its MD5."""
        return self._borrower.check(
            f"dd if=/dev/urandom bs=1M count={mib} status=none | tee {self.path}/{name} | md5sum; "
            f"{DROP}", 120).split()[0]

    def pages_read(self):
        """How many pages have been read from the device."""
        stat = self._borrower.check(f"cat /sys/block/{self.device.removeprefix('/dev/')}/stat")
        return int(stat.split()[2]) // 8


def in_cgroup(lab, command):
    """The command, to be run with 80 MiB for all it does."""
    group = f"{lab.cgroups}/readers"
    return (f"mkdir -p {group} && echo 80M >{group}/memory.max && "
            f"(echo $BASHPID >{group}/cgroup.procs && {command})")


def counters(lab):
    """Our counters, and as "kernel_NAME" those of the kernel."""
    text = lab.borrowers[0].check(f"cd {KERNEL} && grep -H . *")
    pairs = (line.split(":") for line in text.split())
    return lab.statistics() | {f"kernel_{name}": int(value) for name, value in pairs}


def since(lab, before):
    """What has been counted since counters() gave that, all of it in line with the kernel's."""
    now = counters(lab)
    d = {name: value - before[name] for name, value in now.items()}
    expect(d["cleancache_hits"] == d["kernel_succ_gets"] and
           d["cleancache_misses"] == d["kernel_failed_gets"], f"each get is counted: {d}")
    expect(sum(d[f"cleancache_{kind}puts"] for kind in ("", "filtered_", "dropped_", "failed_"))
           == d["kernel_puts"], f"each put is counted: {d}")
    expect(not now["crc_errors"] and not now["lost_pages"], f"no page came back wrong: {now}")
    return d


def expect_nothing_left(lab):
    """No filesystem is mounted, so no page of any is anywhere."""
    s = lab.statistics()
    expect(not any(s[name] for name in ("cleancache_pages", "cleancache_objects", "staged_pages",
                                        "remote_pages", "same_pages", "compressed_pages")),
           f"no page is left: {s}")
    seconds = lab.wait_slabs(0)
    expect(not lab.donor_status()["granted_bytes"], "the donor has its memory back")
    say(f"unmounted: all memory back at the donor after {seconds:.1f} s")


# ---- a file larger than memory

def read_again(lab, disk, mib, allowed):
    """Read the file three times; allowed: pages that may come from the disk more than once."""
    md5 = disk.write("f", mib)
    start = disk.pages_read()
    for _ in range(3):
        before, pages = counters(lab), disk.pages_read()
        output = lab.borrowers[0].check(in_cgroup(lab, f"md5sum {disk.path}/f"), 120)
        d, pages = since(lab, before), disk.pages_read() - pages
        say(f"{pages} pages from the disk, {d['cleancache_hits']} from the donor; "
            f"{d['cleancache_puts']} put, {d['cleancache_dropped_puts']} dropped")
        expect(output.split()[0] == md5, "what was written is read")
        others = d["cleancache_hits"] + d["cleancache_misses"] - mib * PAGES
        expect(0 <= others <= (BTRFS_OWN if disk.fs == "btrfs" else 0),
               f"a get for each page: {d}")
        expect(not d["cleancache_failed_puts"] and not d["cleancache_filtered_puts"],
               f"no put failed or was filtered: {d}")
    s = lab.statistics()
    expect(s["cleancache_pages"] == s["remote_pages"] + s["staged_pages"] + s["same_pages"],
           f"all pages have a name: {s}")
    again = disk.pages_read() - start - mib * PAGES
    expect(0 <= again <= allowed, f"{mib * PAGES} pages read once, and {allowed} at most twice, "
                                  f"not {again}")


def ext4(lab):
    """The filesystem is there before the module."""
    disk = Disk(lab.borrowers[0], "a", "ext4", 256)
    load(lab, 0)
    read_again(lab, disk, 200, 0)
    # which gives it a new pool; the old one goes when the new one is first asked
    lab.borrowers[0].check(f"mount -o remount,ro {disk.path} && mount -o remount,rw {disk.path} && "
                           + in_cgroup(lab, f"md5sum {disk.path}/f"), 120)
    disk.umount()
    expect_nothing_left(lab)


def btrfs(lab):
    """The filesystem comes after the module.

    It reads 4 MiB ahead at a time and makes room for it in one burst of puts, which may find no
    buffer free; and what it reads of its own trees does not go by cleancache.
    """
    load(lab, 0)
    disk = Disk(lab.borrowers[0], "b", "btrfs", 512)
    read_again(lab, disk, 200, 2 * 200 * PAGES * 3 // 100)
    disk.umount()
    expect_nothing_left(lab)


# ---- the filter

def filter_puts(lab):
    """Files share their blocks, so that 1 GiB of pages needs 64 MiB of disk."""
    borrower = lab.borrowers[0]
    disk = Disk(borrower, "b", "btrfs", 512)
    disk.write("once1", 64)
    for name in ("used", "too"):
        disk.write(name, 60)
    borrower.check(f"cd {disk.path} && for i in {{2..16}}; do cp --reflink once1 once$i; done; "
                   f"{DROP}")
    load(lab, 1)
    before = counters(lab)
    borrower.check(in_cgroup(lab, f"cat {disk.path}/once* >/dev/null"), 120)
    d = since(lab, before)
    puts = d["cleancache_puts"] + d["cleancache_dropped_puts"]
    say(f"1 GiB read once: {puts} of {d['kernel_puts']} puts passed the filter")
    expect(d["cleancache_filtered_puts"] > 0.9 * 940 * PAGES, f"most pages left memory: {d}")
    expect(puts < 1024 * PAGES * 5 // 100, f"less than 5 % were put: {d}")
    before = counters(lab)
    borrower.check(in_cgroup(lab, f"cd {disk.path}; for i in {{1..4}}; do "
                                  "cat used used too too >/dev/null; done"), 120)
    d = since(lab, before)
    say(f"two files in turns: {d['cleancache_puts']} put, {d['cleancache_hits']} came back")
    expect(d["cleancache_puts"] > 40 * PAGES and d["cleancache_hits"] > 20 * PAGES,
           f"pages that are used again are put and found: {d}")
    disk.umount()
    expect_nothing_left(lab)


# ---- coherence

# What happens to a file $f of 1 MiB, with /run/new as something new; the same is done to a copy
# that has no cleancache.
MAPPED = ("import mmap,sys; f=open(sys.argv[1],'r+b'); m=mmap.mmap(f.fileno(),0); "
          "m[50001:150001]=open('/run/new','rb').read(100000)")
CHANGES = (
    ("pages written", "dd if=/run/new of=$f bs=4k seek=30 count=50 conv=notrunc"),
    ("bytes written", "dd if=/run/new of=$f bs=1000 seek=77 count=3 conv=notrunc"),
    ("direct write", "dd if=/run/new of=$f bs=64k seek=2 count=8 conv=notrunc $direct"),
    ("mapped write", f'python3 -c "{MAPPED}" $f'),
    ("append", "head -c 10000 /run/new >>$f"),
    ("cut", "truncate -s 600001 $f"),
    ("extended", "truncate -s 1M $f"),
    ("cut and extended", "truncate -s 300001 $f; truncate -s 1M $f"),
    ("written behind a hole", "dd if=/run/new of=$f bs=4k seek=200 count=20 conv=notrunc"),
    ("hole", "fallocate -p -o 8192 -l 65536 $f"),
    ("odd hole", "fallocate -p -o 300001 -l 99999 $f"),
    ("written anew", "cat /run/new >$f"),
    ("replaced", "cp /run/new $f.new; mv $f.new $f"),
    ("removed and made", "rm $f; cp /run/new $f"),
)


def same(disks, what):
    """Shell: each disk's file is what its copy is."""
    return "".join(f"cmp {disk.path}/f /run/copy{i} || {{ echo {disk.path}: {what}; exit 1; }}; "
                   for i, disk in enumerate(disks))


def change(lab, disks, what, command, cached):
    """Do it where the page cache has the pages, or the donor. Then the copies are looked at three
    times: as the page cache, the disk, the donor has them."""
    script = ["set -e; dd if=/dev/urandom of=/run/new bs=1M count=1 status=none; " + DROP]
    if cached:
        script.append(same(disks, f"before {what}"))
    for i, disk in enumerate(disks):
        for file, direct in ((f"{disk.path}/f", "oflag=direct"), (f"/run/copy{i}", "")):
            script.append(f"f={file}; direct={direct}; ({command}) 2>/run/error || "
                          "{ cat /run/error; exit 1; }")
    script += [same(disks, f"{what}, memory"), DROP, same(disks, f"{what}, disk"), DROP,
               same(disks, f"{what}, donor")]
    lab.borrowers[0].check("\n".join(script))


def expect_inode_reused(lab, disk):
    """A new file gets the number of one that is gone, and nothing of its content."""
    numbers = lab.borrowers[0].check(
        f"cd {disk.path}; {DROP}; cmp f /run/copy0; {DROP}; stat -c %i f; rm f; "
        "cp /run/new f; stat -c %i f; cmp f /run/new && cp /run/new /run/copy0").split()
    expect(numbers[0] == numbers[1], f"an inode number is used again: {numbers}")


def change_outside(lab, disks):
    """Each image is replaced by one where the same file has other content, and mounted again."""
    borrower = lab.borrowers[0]
    for disk in disks:
        disk.umount()
    borrower.check("for i in /run/*.img; do cp $i $i.before; done")
    for disk in disks:
        disk.mount()
        borrower.check(f"dd if=/dev/urandom of={disk.path}/f bs=1M count=1 conv=notrunc "
                       "status=none")
    borrower.check("".join(f"cp {disk.path}/f /run/after{i}; {DROP}; " +
                           f"cmp {disk.path}/f /run/after{i}; "
                           for i, disk in enumerate(disks)) + DROP)
    pages = lab.sysfs("cleancache_pages")
    expect(pages > len(disks) * PAGES // 2, f"pages are at the donor, not {pages}")
    for disk in disks:
        disk.umount()
    borrower.check("for i in /run/*.img; do cp $i.before $i; done")
    for disk in disks:
        disk.mount()
    borrower.check(same(disks, "changed outside"))


def coherence(lab):
    """Three filesystems at once; of two the inodes have the same numbers."""
    borrower = lab.borrowers[0]
    load(lab, 0)
    disks = [Disk(borrower, "a", "ext4", 16), Disk(borrower, "b", "ext4", 16),
             Disk(borrower, "c", "btrfs", 128)]
    for i, disk in enumerate(disks):
        disk.write("f", 1)
        borrower.check(f"cp {disk.path}/f /run/copy{i}; {DROP}")
    before = counters(lab)
    for what, command in CHANGES:
        for cached in (False, True):
            change(lab, disks, what, command, cached)
    d = since(lab, before)
    say(f"{len(CHANGES)} ways to change a file: {d['cleancache_puts']} puts, "
        f"{d['cleancache_hits']} hits, {d['cleancache_invalidates']} invalidates")
    expect(d["cleancache_hits"] > len(CHANGES) * len(disks) * PAGES,
           f"there was something to be wrong: {d}")
    expect_inode_reused(lab, disks[0])
    change_outside(lab, disks)
    for disk in disks:
        disk.umount()
    expect_nothing_left(lab)


# ---- pages that must be kept

def yields(lab):
    """The donor is full of pages of files when a program swaps; there is no compressed tier."""
    disk = Disk(lab.borrowers[0], "a", "ext4", 192)
    disk.write("f", 160)
    load(lab, "0 zpool_percent=0")
    lab.borrowers[0].check(in_cgroup(lab, f"cat {disk.path}/f >/dev/null"))
    s = lab.statistics()
    expect(s["remote_pages"] > 60 * PAGES and s["vanished_pages"], f"the donor is full: {s}")
    lab.swapon()
    code, output = lab.swaptest("64M", "24M", "--rounds 2").wait(60)
    expect(code == 0, f"no page is lost or wrong:\n{output}")
    s = lab.statistics()
    say(f"{s['cleancache_evicted_pages']} pages of the file made room for swap")
    expect(not s["write_errors"], f"every page found room: {s}")
    lab.swapoff()
    lab.borrowers[0].check("blkdiscard /dev/ramster0")
    disk.umount()
    expect_nothing_left(lab)


# ---- faults

def passes(job):
    """How often the readers have found all files right."""
    return len(re.findall("^pass", job.output(), re.M))


def wait_pass(job):
    """Until all files have been read from now on."""
    before = passes(job)
    wait_during(job, "all files read", lambda: passes(job) >= before + 2)


def wait_counting(lab, job, name, pages):
    """Until a counter has grown by so many pages."""
    start = lab.sysfs(name)
    wait_during(job, f"{pages} more {name}", lambda: lab.sysfs(name) >= start + pages)


def faults(lab):
    borrower = lab.borrowers[0]
    disks = [Disk(borrower, "a", "ext4", 80), Disk(borrower, "b", "btrfs", 192)]
    sums = [f"{disk.write('f', 64)}  {disk.path}/f" for disk in disks]
    load(lab, 0)
    before = counters(lab)
    borrower.check("cat >/run/sums <<'END'\n" + "\n".join(sums) + "\nEND")
    job = borrower.spawn(in_cgroup(lab, "while md5sum -c --quiet /run/sums; do echo pass; done"))
    wait_counting(lab, job, "cleancache_hits", 1000)
    done = lab.ctl("revoke 300M --force")
    expect(done["fenced_bytes"], f"slabs with pages are fenced: {done}")
    wait_during(job, "pages vanished", lambda: lab.sysfs("vanished_pages"))
    wait_pass(job)
    say(f"revoked: {lab.sysfs('vanished_pages')} pages vanished")
    lab.ctl("donate 300M")
    wait_counting(lab, job, "cleancache_hits", 1000)
    say("lent again: hits go on")
    vanished = lab.sysfs("vanished_pages")
    lab.kill_daemon()
    wait_during(job, "the loss noticed", lambda: lab.sysfs("vanished_pages") > vanished)
    wait_pass(job)
    say(f"donor dead: {lab.sysfs('vanished_pages') - vanished} pages vanished")
    lab.start_daemon(donate="300M")
    wait_counting(lab, job, "cleancache_hits", 1000)
    say(f"donor back: hits go on; {passes(job)} times all was right")
    job.kill()
    wait_for("the readers gone", lambda: not job.running())
    since(lab, before)
    for disk in disks:
        disk.umount()
    expect_nothing_left(lab)


def load(lab, filtering):
    lab.load_module(f"size=128M slab_size=4M cleancache=1 cleancache_filter={filtering}")


# by case: what the donor lends in MiB, MiB of RAM of each machine, what is tested
TESTS = {
    "ext4": (300, 900, ext4),
    # the more RAM, the more buffers for bursts
    "btrfs": (300, 2048, btrfs),
    "filter": (300, 1024, filter_puts),
    "coherence": (64, 640, coherence),
    "yields": (64, 640, yields),
    "faults": (300, 900, faults),
}


def test(case):
    donate, mem, what = TESTS[case]
    with fabric.open_fabric("uml", donate=f"{donate}M", mem=mem,
                            name=f"test_cleancache-{case}") as lab:
        what(lab)


if __name__ == "__main__":
    run(test, CASES)
