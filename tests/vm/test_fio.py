#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The device as an ordinary disk: fio verifies what it wrote, ext4 lives on it.

    donor1 (UML)                        borrower1 (UML)
    ramsterd, 24 MiB  <---- verbs ----  ramster_rdma --- fio, 32 MiB; ext4
                                          '--- what does not fit is compressed

Usage: test_fio.py [uml]
"""
import json
import re

from lab import fabric
from lab.scenario import DEVICE, expect, run, say, wait_for

CASES = ("uml",)
FIO = (f"fio --name=v --filename={DEVICE} --size=32M --direct=1 --ioengine=libaio --iodepth=32 "
       "--randseed=7 --output-format=json ")
VERIFY = ("--verify=crc32c --do_verify=1 --verify_fatal=1 --refill_buffers "
          "--buffer_compress_percentage=50 ")
JOBS = (
    ("sequential 128k", "--rw=write --bs=128k"),
    ("random 4k", "--rw=randwrite --bs=4k"),
    ("random 4k to 128k", "--rw=randwrite --bsrange=4k-128k"),
    ("larger than the disk takes at once", "--rw=randwrite --bs=1m"),
    ("more than it has commands", "--rw=randrw --bs=4k --iodepth=400 --iodepth_batch_submit=400"),
    ("nothing that waits", "--rw=randrw --bs=4k --nowait=1"),
    ("reads and writes", "--rw=randrw --rwmixread=30 --bsrange=4k-64k"),
)
# Copies beside each other, deletes and trims between them, and at last the sums from the disk.
EXT4 = f"""set -e
mkfs.ext4 -q -F {DEVICE} 40M
mkdir -p /run/disk; mount -o discard {DEVICE} /run/disk
cd /run/disk
for i in 1 2 3; do
    (mkdir $i; cp -r /usr/include/linux /usr/include/net* $i) &
done
wait
sync
rm -r 2
cp -r 1 4
find 1 3 4 -type f -print0 | sort -z | xargs -0 md5sum >/run/sums
cd /; fstrim /run/disk; umount /run/disk
echo 3 >/proc/sys/vm/drop_caches
mount {DEVICE} /run/disk
cd /run/disk; md5sum --quiet -c /run/sums; cd /
umount /run/disk
fsck.ext4 -fn {DEVICE}
wc -l </run/sums
"""


def fio(borrower, name, options):
    """One fio run that must succeed; returns its figures."""
    output = borrower.check(FIO + options, 240)
    job = json.loads(output[output.index("{"):])["jobs"][0]
    expect(not job["error"], f"fio {name} succeeds: {job}")
    return job


def write_and_verify(borrower):
    """What fio wrote it reads again."""
    for name, options in JOBS:
        job = fio(borrower, name, VERIFY + options)
        expect(job["write"]["io_bytes"] and job["read"]["io_bytes"], f"fio {name} verifies: {job}")
        say(f"{name}: {job['write']['bw'] / 1024:.0f} MiB/s written, "
            f"{job['read']['bw'] / 1024:.0f} read and verified")


def trim(lab):
    """What fio trimmed is zeros, and takes no room."""
    job = fio(lab.borrowers[0], "trim", "--rw=randtrim --bs=64k")
    lab.borrowers[0].check("devcheck --size 32M --version 0 verify", 120)
    wait_for("no page anywhere", lambda: lab.sysfs("mm_stat").split()[:4] == ["0"] * 4, 10)
    say(f"trim: {job['trim']['total_ios']} trims, all zeros; "
        f"donor empty after {lab.wait_slabs(0):.1f} s")


def neighbours(lab):
    """Pages submitted side by side, in one plug, leave together."""
    before = lab.statistics()
    fio(lab.borrowers[0], "neighbours", "--rw=write --bs=4k --size=8M "
        "--iodepth_batch_submit=32 --iodepth_batch_complete_min=32")
    after = lab.statistics()
    pages, requests = (after[name] - before[name] for name in ("writes", "wire_write_requests"))
    expect(pages == 2048 and 0 < requests <= pages / 8, f"{pages} pages in {requests} requests")
    say(f"neighbours: {pages} pages left in {requests} work requests")


def ext4(borrower):
    """A filesystem with files that come and go."""
    output = borrower.check(EXT4, 240)
    files = int(output.split()[-1])
    expect(files > 1000 and not re.search("differ|FIXED|MODIFIED", output),
           f"clean ext4:\n{output}")
    say(f"ext4: {files} files right, fsck clean")


def test(engine):
    with fabric.open_fabric(engine, donate="24M", tools=("devcheck",)) as lab:
        lab.load_module("size=64M slab_size=1M zpool_percent=60")
        write_and_verify(lab.borrowers[0])
        s = lab.statistics()
        expect(s["remote_pages"] > 1000 and s["compressed_pages"] > 100, f"both tiers in use: {s}")
        trim(lab)
        neighbours(lab)
        ext4(lab.borrowers[0])
        s = lab.statistics()
        expect(not s["read_errors"] and not s["write_errors"] and not s["crc_errors"], "no error")
        lab.unload_module()


if __name__ == "__main__":
    run(test, CASES)
