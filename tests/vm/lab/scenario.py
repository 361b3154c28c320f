# SPDX-License-Identifier: GPL-2.0-only
"""Donors and borrowers, whatever machines they are: what tests ask of them.

fabric.py and uml_fabric.py bring up the machines and are used like this:

    with fabric.open_fabric("uml", donate="64M") as lab:
        lab.load_module("size=256M")
        lab.swapon()
        job = lab.swaptest(size="48M", limit="16M", arguments="--seconds 20")
        print(job.wait(120), lab.donor_status()["granted_bytes"])

Machines are numbered from 1, donors first. Leaving the block ends all
machines, keeps their logs and raises LabError when a kernel has warned.
Times are in seconds, sizes as the programs take them.
"""
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from . import cache
from .modules import TREE
from .qemu import LabError

DEVICE = "/dev/ramster0"
SYSFS = "/sys/block/ramster0/ramster"
MIB = 1 << 20
POLL_SECONDS = 0.1      # between two looks at something that tells nobody of its change
_began = time.monotonic()


def say(text):
    """A progress line, with the seconds since the test began."""
    print(f"{time.monotonic() - _began:6.1f}s  {text}", flush=True)


def expect(truth, text):
    """LabError unless truth."""
    if not truth:
        raise LabError(f"expected: {text}")


def wait_for(text, condition, timeout=60):
    """Look until condition() is true; returns (its value, seconds it took), LabError if late."""
    start = time.monotonic()
    while not (value := condition()):
        if time.monotonic() > start + timeout:
            raise LabError(f"not within {timeout} s: {text}")
        time.sleep(POLL_SECONDS)
    return value, time.monotonic() - start


def wait_during(job, text, condition, timeout=120):
    """wait_for() what must come before the job ends."""
    def still():
        if not job.running():
            raise LabError(f"ended before {text}: {job.command}\n{job.output()}")
        return condition()
    return wait_for(text, still, timeout)


def run(test, cases):
    """Run test(case) for each case, or those the command line names; exits 1 at the first that
    fails. tests/CMakeLists.txt makes a test of each case in a line CASES = (...).
    """
    for case in sys.argv[1:] or cases:
        try:
            test(case)
        except RuntimeError as error:  # LabError and others that explain themselves
            print(f"FAILED ({case}): {error}", flush=True)
            sys.exit(1)
        say(f"{case}: passed")


def build_directory():
    """Where CMake has built the programs."""
    return Path(os.environ.get("RAMSTER_BUILD") or TREE / "build").resolve()


def programs(names=("ramsterd", "ramsterctl")):
    """Paths of the broker's programs; LabError when they are not built."""
    paths = [build_directory() / "rdma-broker" / name for name in names]
    missing = [str(p) for p in paths if not p.exists()]
    if missing:
        raise LabError(f"not built: {', '.join(missing)}; run make first")
    return paths


def compile_tool(name):
    """Build tests/vm/NAME.c for the guests, which have no compiler and maybe an older C library:
    statically. Returns the program's path."""
    source, target = TREE / f"tests/vm/{name}.c", TREE / f"build/lab/bin/{name}"
    newest = max(p.stat().st_mtime for p in (source, *source.parent.glob("*.h")))
    if not target.exists() or target.stat().st_mtime < newest:
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-static",
                        "-D_GNU_SOURCE", "-pthread", "-o", str(target), str(source)], check=True)
    return target


class Scenario:
    """Running machines in their roles. An engine's class brings them up, sets

    machines, donors, borrowers: lists of machines;
    logs: the host's directory for what stays; name: of the run;
    module: path of ramster_rdma.ko as the machines see it;
    daemon_options: more for ramsterd

    and defines log_path(machine, name): (as the host sees it, as the machine sees it),
    and end_machines().
    """

    cgroups = "/sys/fs/cgroup"
    daemon_options = ""

    def __init__(self):
        self._daemons = {}

    # ---- donors

    def start_daemon(self, donor=None, donate="0"):
        """Run ramsterd on a donor and wait until it listens."""
        donor = donor or self.donors[0]
        ours, theirs = self.log_path(donor, f"ramsterd-{donor.name}.log")
        job = self._daemons[donor] = donor.spawn(
            f"exec ramsterd --donate={donate} {self.daemon_options} >>{theirs} 2>&1")

        def listens():
            if not job.running():
                raise LabError(f"ramsterd on {donor.name} ended at once:\n"
                               f"{ours.read_text(errors='replace')[-2000:]}")
            return not donor.sh("ramsterctl status --json | grep '\"listening\": *true'")[0]
        wait_for("ramsterd to listen", listens)

    def stop_daemon(self, donor=None, timeout=60):
        """SIGTERM to ramsterd; returns its exit code."""
        donor = donor or self.donors[0]
        donor.check("pkill -TERM -x ramsterd")
        return self._daemons.pop(donor).wait(timeout)[0]

    def kill_daemon(self, donor=None):
        """SIGKILL to ramsterd; returns when it is gone."""
        donor = donor or self.donors[0]
        donor.check("pkill -KILL -x ramsterd")
        self._daemons.pop(donor).wait(60)

    def ctl(self, arguments, donor=None, timeout=60):
        """Run ramsterctl with --json on a donor; returns what it answers, the last of several."""
        output = (donor or self.donors[0]).check(f"ramsterctl {arguments} --json", timeout)
        return json.loads(output.strip().splitlines()[-1])

    def donor_status(self, donor=None):
        return self.ctl("status", donor)

    def wait_slabs(self, count, donor=None, timeout=30):
        """Until a donor lends so many slabs at most; returns how long that took."""
        return wait_for(f"{count} slabs or less with borrowers",
                        lambda: self.donor_status(donor)["slabs"] <= count, timeout)[1]

    # ---- borrowers

    def load_dependencies(self, borrower):
        """Load what insmod does not load by itself."""

    def insmod(self, parameters="", borrower=None, brokers=None):
        """The command line that loads the module; brokers as for load_module()."""
        borrower = borrower or self.borrowers[0]
        if brokers is None:
            brokers = [donor.ip for donor in self.donors if donor is not borrower]
        if "frontswap" not in parameters:
            parameters += " frontswap=0"    # it would pin the module
        return f"insmod {self.module} broker={','.join(brokers)} {parameters}"

    def load_module(self, parameters="", borrower=None, brokers=None, timeout=60):
        """Load ramster_rdma; brokers: addresses, all other donors' unless given."""
        borrower = borrower or self.borrowers[0]
        self.load_dependencies(borrower)
        borrower.check(f"{self.insmod(parameters, borrower, brokers)} "
                       "|| { dmesg | tail -5; exit 1; }", timeout)

    def unload_module(self, borrower=None, timeout=60):
        """rmmod; returns the seconds it took."""
        start = time.monotonic()
        (borrower or self.borrowers[0]).check("rmmod ramster_rdma", timeout)
        return time.monotonic() - start

    def sysfs(self, name, borrower=None):
        """The value of one statistics file: an int where it is one, else the text."""
        text = (borrower or self.borrowers[0]).check(f"cat {SYSFS}/{name}").strip()
        return int(text) if text.isdigit() else text

    def statistics(self, borrower=None):
        """All one-number statistics files, by name."""
        text = (borrower or self.borrowers[0]).check(f"cd {SYSFS} && grep -H . *")
        pairs = (line.split(":", 1) for line in text.splitlines())
        return {name: int(value) for name, value in pairs if value.strip().isdigit()}

    def swapon(self, borrower=None, device=DEVICE, page_cluster=None, priority=None):
        """Swap to a device; page_cluster: log2 of the pages that a fault reads ahead. Areas of
        the same priority are filled in turns."""
        borrower = borrower or self.borrowers[0]
        if page_cluster is not None:
            borrower.check(f"echo {page_cluster} >/proc/sys/vm/page-cluster")
        options = "" if priority is None else f"--priority {priority}"
        borrower.check(f"mkswap {device} && swapon {options} {device}", 120)

    def loop_device(self, name, mib, borrower=None):
        """A loop device over a sparse file in memory, /run/NAME, which costs memory where it is
        written; returns the device."""
        return (borrower or self.borrowers[0]).check(
            f"modprobe -q loop; truncate -s {mib}M /run/{name} && chmod 600 /run/{name} && "
            f"losetup -f --show /run/{name}").strip()

    def swapoff(self, borrower=None, device=DEVICE, timeout=120):
        """Returns the seconds it took."""
        start = time.monotonic()
        (borrower or self.borrowers[0]).check(f"swapoff {device}", timeout)
        return time.monotonic() - start

    def swaptest(self, size="48M", limit="16M", arguments="--rounds 3", borrower=None, group="t"):
        """Start the swap exerciser in a memory cgroup of its own; returns its Job."""
        return self.in_cgroup(f"exec swaptest --size={size} {arguments}", limit, borrower, group)

    def in_cgroup(self, command, limit, borrower=None, group="t"):
        """Start a command in a memory cgroup of its own; returns its Job.

        Its output, which may be a file in memory, is not of the group: hence cat.
        """
        group = f"{self.cgroups}/{group}"
        return (borrower or self.borrowers[0]).spawn(
            f"set -o pipefail; mkdir -p {group} && echo {limit} >{group}/memory.max && "
            f"(echo $BASHPID >{group}/cgroup.procs && {command}) 2>&1 | cat")

    def drain_swap(self, borrower=None, group="t"):
        """Make the kernel let go of what it keeps in swap of a program of swaptest() that ended.

        Pages that were on their way out when it ended stay until memory is short, and freed
        slots stay in per-CPU caches until 64 have come together or a swap device goes.
        """
        (borrower or self.borrowers[0]).check(
            f"echo 0 >{self.cgroups}/{group}/memory.high; truncate -s 1M /run/other; "
            "modprobe -q loop; loop=$(losetup -f --show /run/other) && mkswap -q $loop && "
            "swapon $loop && swapoff $loop; code=$?; losetup -d $loop; exit $code")

    def devcheck(self, arguments, borrower=None):
        """Start the device checker; returns its Job. It leaves the CPU to those who watch it."""
        return (borrower or self.borrowers[0]).spawn(f"exec nice -n 19 devcheck {arguments}")

    def wait_io(self, job, pages, borrower=None, timeout=120):
        """Until job, which must go on, has read and written so many more pages."""
        def moved():
            text = (borrower or self.borrowers[0]).check(f"cd {SYSFS} && cat reads writes")
            return sum(map(int, text.split()))
        start = moved()
        return wait_during(job, f"{pages} pages of load", lambda: moved() >= start + pages,
                           timeout)[1]

    # ---- the end

    def finish(self):
        """End the machines; raises LabError when a kernel has warned."""
        found = [f"{m.name}: {splat}" for m in self.machines for splat in m.warnings()]
        self.end_machines()
        if found:
            raise LabError(f"kernel warnings (logs in {self.logs}):\n" + "\n\n".join(found))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.finish()
            return
        try:
            self.finish()
        except LabError as error:  # beside the failure that ended the test
            cache.say(str(error))
        cache.say(f"failed; logs in {self.logs}")
