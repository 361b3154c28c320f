# SPDX-License-Identifier: GPL-2.0-only
"""Donors and borrowers on user-mode Linux nodes: scenario.py where speed matters.

Node 1, the first donor, is in the middle of the star. Logs are kept under
build/lab/run/NAME.
"""
import sys
from pathlib import Path

from . import scenario, uml, uml_node
from .modules import TREE

# In the path, and empty but for what we put there.
BIN = "/usr/local/sbin"
CGROUPS = ("cgroups=/sys/fs/cgroup; [ -e $cgroups/cgroup.procs ] || cgroups=/dev/cgroup; "
           "echo +memory >$cgroups/cgroup.subtree_control && echo -n $cgroups")


class UmlFabric(scenario.Scenario):
    """Running nodes; options as fabric.Fabric has, and wire: "rxe" or "siw"."""

    def __init__(self, donors=1, borrowers=1, donate="64M", both=False, mem=384,
                 daemon_options="", name=None, tools=("swaptest",), wire="rxe"):
        super().__init__()
        tools = scenario.programs() + [scenario.compile_tool(tool) for tool in tools]
        self.module = uml.build_module()
        self.daemon_options = daemon_options
        self.name = name or f"{Path(sys.argv[0]).stem}-uml"
        self.logs = TREE / "build/lab/run" / self.name
        count = donors if both else donors + borrowers
        self._fabric = uml_node.Fabric(count=count, wire=wire, memory=f"{mem}M", name=self.name)
        self.machines = self._fabric.nodes
        self.donors = self.machines[:donors]
        self.borrowers = self.machines if both else self.machines[donors:]
        try:
            for node in self.machines:
                node.check(f"mount -t tmpfs bin {BIN} && ln -s {' '.join(map(str, tools))} {BIN}")
                self.cgroups = node.check(CGROUPS)
            for donor in self.donors:
                self.start_daemon(donor, donate)
        except BaseException:
            self.end_machines()
            raise

    def log_path(self, machine, name):
        return machine.run / name, f"/run/lab/{name}"

    def end_machines(self):
        self._fabric.stop()
