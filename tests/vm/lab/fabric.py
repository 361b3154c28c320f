# SPDX-License-Identifier: GPL-2.0-only
"""Donors and borrowers on QEMU machines, from the programs and module of this tree.

    with Fabric("61", donate="64M") as fabric:
        fabric.load_module("size=256M")

What can be done with them is in scenario.py. Logs are kept under
build/lab/logs/NAME.
"""
import shutil
import sys
from pathlib import Path

from . import cache, modules, scenario, uml_fabric
from .modules import TREE
from .qemu import LabError, Machine  # noqa: F401 (LabError: for users of Fabric)
from .qemu_net import Segment
from .scenario import DEVICE, SYSFS  # noqa: F401

BOOT_SECONDS = 300      # on a machine that is busy with other things; 8 otherwise


def _fill_share(share, kernel, tools):
    """Put what the guests run into the directory they see as /share."""
    programs = scenario.programs() + [scenario.compile_tool(name) for name in tools]
    (share / "bin").mkdir(parents=True)
    for program in programs:
        shutil.copy(program, share / "bin")
    shutil.copy(modules.build(kernel), share)


class Fabric(scenario.Scenario):
    """Running machines.

    both: every machine is donor and borrower (borrowers is ignored). donate: what each donor
    lends at once. mem: MiB of RAM of each machine. cpus: of each. daemon_options: more for
    ramsterd. tools: programs of tests/vm/*.c that the guests need. donor_kernel: another kernel
    for the donors, on machines of the usual size. more: other options of Machine, for the
    borrowers.
    """

    module = "/share/ramster_rdma.ko"

    def __init__(self, kernel="61", donors=1, borrowers=1, donate="64M", both=False, mem=384,
                 daemon_options="", name=None, tools=("swaptest",), cpus=1,
                 donor_kernel=None, more=None):
        super().__init__()
        self.name = name or f"{Path(sys.argv[0]).stem}-{kernel}"
        self.logs = TREE / "build/lab/logs" / self.name
        self.share = self.logs / "share"
        shutil.rmtree(self.logs, ignore_errors=True)
        _fill_share(self.share, kernel, tools)
        self.daemon_options = daemon_options
        labels = [f"node{i + 1}" for i in range(donors)] if both else (
            [f"donor{i + 1}" for i in range(donors)]
            + [f"borrower{i + 1}" for i in range(borrowers)])
        self._segment = Segment(len(labels))
        self.machines = []
        for i, label in enumerate(labels):
            options = {"kernel": kernel, "mem": mem, "cpus": cpus}
            if i >= donors:
                options |= more or {}
            elif donor_kernel:
                options = {"kernel": donor_kernel}
            self.machines.append(Machine(label, share=self.share, log_dir=self.logs, number=i + 1,
                                         net=self._segment.netdev(i), **options))
        self.donors = self.machines[:donors]
        self.borrowers = self.machines if both else self.machines[donors:]
        try:
            self._boot(donate)
        except BaseException:
            self.end_machines()
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

    def log_path(self, machine, name):
        return self.share / name, f"/share/{name}"

    def load_dependencies(self, borrower):
        borrower.check(f"modinfo -F depends {self.module} | tr , '\\n' | xargs -r modprobe -a")

    def finish(self):
        for machine in self.machines:
            if self.logs.exists():
                (self.logs / f"{machine.name}.dmesg").write_text(machine.dmesg(), encoding="utf-8")
        super().finish()

    def end_machines(self):
        for machine in self.machines:
            machine.stop()
        self._segment.close()


def open_fabric(engine, **options):
    """Machines of an engine: "uml" or a kernel of kernels.py; options as its class has."""
    return uml_fabric.UmlFabric(**options) if engine == "uml" else Fabric(engine, **options)
