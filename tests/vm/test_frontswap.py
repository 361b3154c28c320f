#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""frontswap: pages go to a donor's RAM before they reach any swap device.

    donor1                              borrower1 (5.10: UML, or the stock kernel in QEMU)
    ramsterd          <---- verbs ----  ramster_rdma frontswap=1, swap on a loop device
                                        over a sparse file in memory; swaptest in a cgroup

    uml, 510      without write-through; the swap device is never written
    writethrough  the donor is killed under load, and nothing is lost
    late          the module comes when swap is in use; swap on /dev/ramster0 is left alone
    exclusive     the same, and a page that was loaded is forgotten
    full          what the donor has no room for goes to the swap device; pages come home by hand

Each ends with swapoff and all memory back at the donor. Usage: test_frontswap.py [CASE...]
"""
import contextlib
import re
import time

from lab import fabric
from lab.scenario import SYSFS, expect, run, say, wait_during, wait_for

COST = 35
CASES = ("uml", "writethrough-uml", "late-uml", "exclusive-uml", "full-uml", "510")
SECONDS = 30            # for swapoff, whatever happened to the donor
KEPT = 64               # freed swap slots wait in a per-CPU cache for so many to come together
# of swaptest by engine: memory, of which its cgroup holds
SIZES = {"uml": (300, 80), "510": (32, 12)}


def load(lab, parameters):
    lab.load_module(f"size=64M slab_size=2M frontswap=1 {parameters}")


def swap_on_file(lab, mib):
    """Swap on a loop device over a sparse file, which costs memory only where written; its name."""
    device = lab.borrowers[0].check(
        f"modprobe -q loop; truncate -s {mib}M /run/swapfile && chmod 600 /run/swapfile && "
        "losetup -f --show /run/swapfile").strip()
    lab.swapon(device=device)
    return device


def device_writes(lab, device):
    """How many requests of writes the device has completed."""
    stat = lab.borrowers[0].check(f"sync; cat /sys/block/{device.removeprefix('/dev/')}/stat")
    return int(stat.split()[4])


def wait_swapping(lab, job, pages=1000):
    """Until the job, which must go on, has stored and loaded so many more pages by frontswap."""
    names = ("frontswap_stores", "frontswap_loads")
    start = [lab.sysfs(name) for name in names]
    wait_during(job, f"{pages} pages by frontswap", lambda: all(
        lab.sysfs(name) >= before + pages for name, before in zip(names, start)))


def wait_pass(lab, job, mib):
    """Until the job has read and checked each of its pages, all of them from now on."""
    def passes():
        return re.findall(rf"^pass \d+: {mib * 256} pages.*", job.output(), re.M)
    lab.borrowers[0].check("pkill -USR1 -x swaptest")
    before = len(passes())
    wait_during(job, "a pass over all pages", lambda: len(passes()) > before)
    say(passes()[-1])


def expect_all_right(job, timeout=120):
    """The job's end; nothing may be lost or wrong."""
    code, output = job.wait(timeout)
    expect(code == 0 and re.search(r"total:.* lost 0 wrong 0", output),
           f"no lost or wrong page; exit code {code}:\n{output}")
    say(output.strip().splitlines()[-1])


@contextlib.contextmanager
def at_rest(lab, group):
    """swaptest stands still, with room in memory for all of its pages."""
    borrower = lab.borrowers[0]
    borrower.check(f"pkill -STOP -x swaptest && echo max >{lab.cgroups}/{group}/memory.max")
    yield
    borrower.check("pkill -CONT -x swaptest")


def stop(lab, job):
    """End a job that runs until told."""
    lab.borrowers[0].check("pkill -TERM -x swaptest")
    expect_all_right(job)


def swap_off(lab, device):
    """In time, and then nothing is left of what was stored."""
    say(f"swapoff took {lab.swapoff(device=device, timeout=SECONDS):.1f} s")
    s = lab.statistics()
    expect(not any(s[name] for name in ("frontswap_pages", "staged_pages", "remote_pages",
                                        "compressed_pages", "lost_pages", "same_pages")),
           f"no page is left: {s}")
    expect(not s["crc_errors"], f"no page came back wrong: {s}")


def through_frontswap(lab, engine):
    """All of a program's pages go by the front; memory returns when it ends; the module stays."""
    size, limit = SIZES[engine]
    borrower = lab.borrowers[0]
    load(lab, "frontswap_writethrough=0")
    device = swap_on_file(lab, size + 16)
    written = device_writes(lab, device)
    job = lab.swaptest(f"{size}M", f"{limit}M", "--seconds 3600")
    wait_during(job, "some of a pass in random order",
                lambda: re.search(r"progress: pass 2 [1-9]", job.output()), 300)
    s = lab.statistics()
    say(f"{s['remote_pages']} pages at the donor, {s['frontswap_stores']} stores, "
        f"{s['frontswap_loads']} loads; read p50 {s['read_p50_ns'] // 1000} us, "
        f"p99 {s['read_p99_ns'] // 1000} us")
    expect(s["frontswap_pages"] >= (size - limit) * 256 * 9 // 10, f"most pages by frontswap: {s}")
    expect(s["frontswap_loads"] >= (size - limit) * 256 * 9 // 10, f"and back: {s}")
    stop(lab, job)
    s = lab.statistics()
    expect(not s["frontswap_failed_stores"] and not s["frontswap_failed_loads"],
           f"nothing was refused: {s}")
    now = device_writes(lab, device)
    expect(now == written, f"no write of the swap device, it had {now - written}")
    lab.drain_swap()
    left, seconds = lab.sysfs("frontswap_pages"), lab.wait_slabs(0)
    say(f"program gone: {left} pages left, all slabs back at the donor after {seconds:.1f} s")
    swap_off(lab, device)
    start = time.monotonic()
    code, output = borrower.sh("rmmod ramster_rdma")
    expect(code and "in use" in output and time.monotonic() - start < 5,
           f"rmmod says at once that the module is in use, not {code}: {output}")


def writethrough(lab):
    """What the donor takes with it is read from the swap device."""
    load(lab, "")
    device = swap_on_file(lab, 112)
    written = device_writes(lab, device)
    job = lab.swaptest("96M", "32M", "--seconds 3600")
    wait_swapping(lab, job)
    expect(device_writes(lab, device) > written, "pages go to the swap device too")
    lab.kill_daemon()
    wait_during(job, "the loss noticed", lambda: lab.sysfs("written_off_pages"))
    wait_pass(lab, job, 96)
    s = lab.statistics()
    say(f"{s['written_off_pages']} pages went with the donor, "
        f"{s['frontswap_failed_loads']} were read from the device")
    expect(s["frontswap_failed_loads"] > 0, f"pages were read from the device: {s}")
    stop(lab, job)
    job = lab.swaptest("96M", "32M", "--seconds 3600", group="left")
    wait_during(job, "a pass with a dead donor", lambda: re.search("^pass", job.output(), re.M))
    with at_rest(lab, "left"):
        swap_off(lab, device)
    wait_pass(lab, job, 96)
    stop(lab, job)


def late(lab, exclusive):
    """A program has pages on the device when the front comes; both kinds come back."""
    device = swap_on_file(lab, 80)
    written = device_writes(lab, device)
    job = lab.swaptest("64M", "24M", "--seconds 3600")
    wait_during(job, "pages on the device", lambda: device_writes(lab, device) > written + 50)
    load(lab, f"frontswap_writethrough=0 frontswap_exclusive={exclusive}")
    wait_swapping(lab, job)
    wait_pass(lab, job, 64)
    s = lab.statistics()
    say(f"{s['frontswap_stores']} stores, {s['frontswap_loads']} loads, "
        f"{s['frontswap_pages']} pages, {s['remote_pages']} at the donor")
    stop(lab, job)
    swap_off(lab, device)
    expect_bypass(lab)


def expect_bypass(lab):
    """Swap on our own disk does not go by the front."""
    stores, writes = lab.sysfs("frontswap_stores"), lab.sysfs("writes")
    lab.swapon()
    expect_all_right(lab.swaptest("24M", "12M", "--rounds 1", group="disk"))
    expect(lab.sysfs("writes") > writes + 1000, "the disk is written")
    expect(lab.sysfs("frontswap_stores") == stores, "the front is not")
    lab.swapoff(timeout=SECONDS)


def shrink(lab, target):
    """Call pages home by hand until target are left; returns how many are."""
    lab.borrowers[0].check(f"echo {target} >{SYSFS}/frontswap_pages", SECONDS)
    left = lab.sysfs("frontswap_pages")
    expect(left <= target + KEPT, f"{target} pages left, found {left}")
    return left


def full(lab):
    """More than donor and compressed tier hold."""
    load(lab, "frontswap_writethrough=0 zpool_percent=1")
    device = swap_on_file(lab, 112)
    written = device_writes(lab, device)
    job = lab.swaptest("96M", "32M", "--seconds 3600")
    wait_during(job, "stores that fail", lambda: lab.sysfs("frontswap_failed_stores") > 1000)
    wait_pass(lab, job, 96)
    expect(device_writes(lab, device) > written, "the rest went to the swap device")
    before = lab.sysfs("frontswap_pages")
    expect(before > 3000, f"pages are by frontswap: {before}")
    with at_rest(lab, "t"):
        start = time.monotonic()
        left = [shrink(lab, target) for target in (before // 2, 0)]
        say(f"shrunk by hand from {before} pages to {left[0]}, then {left[1]}, "
            f"in {time.monotonic() - start:.1f} s")
    wait_pass(lab, job, 96)
    stop(lab, job)
    swap_off(lab, device)


# by case: engine, what the donor lends in MiB, MiB of RAM of each machine, what is tested
TESTS = {
    "uml": ("uml", 320, 640, lambda lab: through_frontswap(lab, "uml")),
    "writethrough-uml": ("uml", 128, 512, writethrough),
    "late-uml": ("uml", 128, 512, lambda lab: late(lab, 0)),
    "exclusive-uml": ("uml", 128, 512, lambda lab: late(lab, 1)),
    "full-uml": ("uml", 16, 512, full),
    "510": ("510", 64, 384, lambda lab: through_frontswap(lab, "510")),
}


def test(case):
    engine, donate, mem, what = TESTS[case]
    with fabric.open_fabric(engine, donate=f"{donate}M", mem=mem) as lab:
        what(lab)


if __name__ == "__main__":
    run(test, CASES)
