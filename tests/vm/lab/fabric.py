# SPDX-License-Identifier: GPL-2.0-only
"""Donors and borrowers on QEMU machines, from the programs and module of this tree.

    with Fabric("61", donate="64M") as fabric:
        fabric.load_module("size=256M")
        fabric.swapon()
        job = fabric.swaptest(size="48M", limit="16M", arguments="--seconds 20")
        print(job.wait(120), fabric.donor_status()["granted_bytes"])

Machine numbers start at 1 with the donors. Leaving the block ends all
machines, keeps their logs under build/lab/logs/NAME and raises LabError when
a kernel has warned. Times are in seconds, sizes as the programs take them.
"""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import cache, modules
from .modules import TREE
from .qemu import LabError, Machine
from .qemu_net import Segment

DEVICE = "/dev/ramster0"
SYSFS = "/sys/block/ramster0/ramster"
PROGRAMS = ("rdma-broker/ramsterd", "rdma-broker/ramsterctl")
BOOT_SECONDS = 300      # on a machine that is busy with other things; 8 otherwise


def build_directory():
    """Where CMake has built the programs."""
    return Path(os.environ.get("RAMSTER_BUILD") or TREE / "build")


def _compile_swaptest(target):
    """Guests have no compiler, and hosts may have a newer C library: link it statically."""
    source = TREE / "tests/vm/swaptest.c"
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-static",
                        "-D_GNU_SOURCE", "-o", str(target), str(source)], check=True)
    return target


def _fill_share(share, kernel):
    """Put what the guests run into the directory they see as /share."""
    programs = [build_directory() / name for name in PROGRAMS]
    missing = [str(p) for p in programs if not p.exists()]
    if missing:
        raise LabError(f"not built: {', '.join(missing)}; run make first")
    programs.append(_compile_swaptest(TREE / "build/lab/bin/swaptest"))
    (share / "bin").mkdir(parents=True)
    for program in programs:
        shutil.copy(program, share / "bin")
    shutil.copy(modules.build(kernel), share)


class Fabric:
    """Running machines.

    both: every machine is donor and borrower (borrowers is ignored). donate: what each donor
    lends at once. mem: MiB of RAM of each machine. daemon_options: more for ramsterd.
    """

    def __init__(self, kernel="61", donors=1, borrowers=1, donate="64M", both=False, mem=384,
                 daemon_options="", name=None):
        self.name = name or f"{Path(sys.argv[0]).stem}-{kernel}"
        self.logs = TREE / "build/lab/logs" / self.name
        self.share = self.logs / "share"
        shutil.rmtree(self.logs, ignore_errors=True)
        _fill_share(self.share, kernel)
        self._daemon_options = daemon_options
        self._daemons = {}
        count = donors if both else donors + borrowers
        self._segment = Segment(count)
        self.machines = []
        for i in range(count):
            role = "node" if both else "donor" if i < donors else "borrower"
            number = i if role == "borrower" and not both else i
            label = f"{role}{number - donors + 1 if role == 'borrower' else number + 1}"
            self.machines.append(Machine(label, kernel, self.share, self.logs, number=i + 1,
                                         net=self._segment.netdev(i), mem=mem))
        self.donors = self.machines[:donors]
        self.borrowers = self.machines if both else self.machines[donors:]
        try:
            self._boot(donate)
        except BaseException:
            self._end()
            raise

    def _boot(self, donate):
        cache.say(f"booting {len(self.machines)} machines; logs in {self.logs}")
        for machine in self.machines:
            machine.start()
        for machine in self.machines:
            self._settle(machine)
        for donor in self.donors:
            self.start_daemon(donor, donate)

    @staticmethod
    def _settle(machine):
        machine.ready(BOOT_SECONDS)
        machine.check("cp /share/bin/* /usr/local/bin/")

    def restart(self, machine):
        """Boot a machine that was killed or stopped once more, at its place on the segment."""
        machine.start()
        self._settle(machine)

    # ---- donors

    def start_daemon(self, donor=None, donate="0"):
        """Run ramsterd on a donor and wait until it listens."""
        donor = donor or self.donors[0]
        log = f"/share/ramsterd-{donor.name}.log"
        self._daemons[donor] = donor.spawn(
            f"exec ramsterd --donate={donate} {self._daemon_options} >>{log} 2>&1")
        ready = ("until ramsterctl status --json 2>/dev/null | grep -q '\"listening\": *true'; do "
                 f"sleep 0.1; [ -d /proc/$(pgrep -x ramsterd || echo none) ] || exit 1; done")
        if donor.sh(ready, 30)[0]:
            said = (self.share / Path(log).name).read_text(errors="replace")
            raise LabError(f"ramsterd on {donor.name} ended at once:\n{said[-2000:]}")

    def stop_daemon(self, donor=None, timeout=60):
        """SIGTERM to ramsterd; returns its exit code."""
        donor = donor or self.donors[0]
        donor.check("pkill -TERM -x ramsterd")
        return self._daemons.pop(donor).wait(timeout)[0]

    def kill_daemon(self, donor=None):
        """SIGKILL to ramsterd."""
        donor = donor or self.donors[0]
        self._daemons.pop(donor).kill()

    def ctl(self, arguments, donor=None, timeout=60):
        """Run ramsterctl with --json on a donor; returns what it answers."""
        output = (donor or self.donors[0]).check(f"ramsterctl {arguments} --json", timeout)
        return json.loads(output)

    def donor_status(self, donor=None):
        return self.ctl("status", donor)

    # ---- borrowers

    def load_module(self, parameters="", borrower=None, brokers=None, timeout=60):
        """Load ramster_rdma; brokers: addresses, all other donors' unless given."""
        borrower = borrower or self.borrowers[0]
        if brokers is None:
            brokers = [donor.ip for donor in self.donors if donor is not borrower]
        borrower.check("modprobe -a $(modinfo -F depends /share/ramster_rdma.ko | tr , ' ')")
        borrower.check(f"insmod /share/ramster_rdma.ko broker={','.join(brokers)} {parameters} "
                       "|| { dmesg | tail -5; exit 1; }", timeout)

    def unload_module(self, borrower=None, timeout=60):
        (borrower or self.borrowers[0]).check("rmmod ramster_rdma", timeout)

    def sysfs(self, name, borrower=None):
        """The value of one statistics file: an int where it is one, else the text."""
        text = (borrower or self.borrowers[0]).check(f"cat {SYSFS}/{name}").strip()
        return int(text) if text.isdigit() else text

    def statistics(self, borrower=None):
        """All one-number statistics files, by name."""
        text = (borrower or self.borrowers[0]).check(f"cd {SYSFS} && grep -H . *")
        pairs = (line.split(":", 1) for line in text.splitlines())
        return {name: int(value) for name, value in pairs if value.strip().isdigit()}

    def swapon(self, borrower=None, device=DEVICE, page_cluster=None):
        """Swap to a device; page_cluster: log2 of the pages that a fault reads ahead."""
        borrower = borrower or self.borrowers[0]
        if page_cluster is not None:
            borrower.check(f"echo {page_cluster} >/proc/sys/vm/page-cluster")
        borrower.check(f"mkswap {device} && swapon {device}", 120)

    def swapoff(self, borrower=None, device=DEVICE, timeout=120):
        (borrower or self.borrowers[0]).check(f"swapoff {device}", timeout)

    def swaptest(self, size="48M", limit="16M", arguments="--rounds 3", borrower=None, group="t"):
        """Start the swap exerciser in a memory cgroup of its own; returns its Job."""
        return (borrower or self.borrowers[0]).spawn(
            f"mkdir -p /sys/fs/cgroup/{group} && echo {limit} >/sys/fs/cgroup/{group}/memory.max "
            f"&& echo $$ >/sys/fs/cgroup/{group}/cgroup.procs && "
            f"exec swaptest --size={size} {arguments}")

    # ---- the end

    def finish(self):
        """Keep the logs, end the machines; raises LabError when a kernel has warned."""
        found = []
        for machine in self.machines:
            if not self.logs.exists():
                break
            (self.logs / f"{machine.name}.dmesg").write_text(machine.dmesg(), encoding="utf-8")
            found += [f"{machine.name}: {splat}" for splat in machine.warnings()]
        self._end()
        if found:
            raise LabError(f"kernel warnings (logs in {self.logs}):\n" + "\n\n".join(found))

    def _end(self):
        for machine in self.machines:
            machine.stop()
        self._segment.close()

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
