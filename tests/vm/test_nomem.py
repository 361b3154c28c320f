#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The whole machine is out of memory, not one cgroup: what keeps it going is the swap itself.

    donor1                              borrower1, 256 MiB of RAM
    ramsterd, 160 MiB <---- verbs ----  ramster_rdma, swap on /dev/ramster0
    24 MiB revoked meanwhile            swaptest, 264 MiB, no limit but the RAM

Usage: test_nomem.py [61|uml...]
"""
import re

from lab import fabric
from lab.scenario import MIB, expect, run, say, wait_during

CASES = ("uml",)


def test(engine):
    with fabric.open_fabric(engine, donate="160M", mem=256) as lab:
        # Soft-RoCE allocates each packet from what is kept free; devices do not.
        for machine in lab.machines:
            machine.check("echo 24576 >/proc/sys/vm/min_free_kbytes")
        lab.load_module("size=192M slab_size=4M zpool_percent=20")
        lab.swapon()
        job = lab.swaptest("264M", "max", "--rounds 1")
        wait_during(job, "48 MiB on the donor",
                    lambda: lab.sysfs("remote_pages") * 4096 > 48 * MIB, 300)
        free = lab.borrowers[0].check("awk '/MemAvailable/ {print $2}' /proc/meminfo")
        say(f"{int(free) // 1024} MiB available, "
            f"{lab.sysfs('remote_pages') * 4096 // MIB} MiB on the donor")
        lab.ctl("revoke 24M --deadline 60s", timeout=120)
        code, output = job.wait(900)
        expect(code == 0 and re.search(r"total:.* lost 0 wrong 0", output),
               f"no wrong or lost page; exit code {code}:\n{output}")
        for line in re.findall(r"^(?:pass|total).*", output, re.M):
            say(line)
        s = lab.statistics()
        expect(not s["read_errors"] and not s["write_errors"] and not s["crc_errors"],
               f"no error: {s}")
        say(f"{s['compressed_pages']} pages compressed, {s['retries']} requests tried again")
        say(f"swapoff took {lab.swapoff():.1f} s")
        lab.unload_module()


if __name__ == "__main__":
    run(test, CASES)
