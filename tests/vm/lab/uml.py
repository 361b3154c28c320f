# SPDX-License-Identifier: GPL-2.0-only
"""User-mode Linux 5.10: the kernel, and the module built for it.

prepare() gives the kernel and a tree to build modules against, made once from
Debian's linux-source-5.10 and kept in the cache. uml_node.py boots it.
"""
import fcntl
import shutil
from pathlib import Path

from . import cache, modules, source

PARTS = Path(__file__).resolve().parent / "uml"
CONFIG = PARTS / "config"
PATCH = PARTS / "linux-5.10.patch"
# What an external module needs of the built tree; the rest goes.
KEPT = ("include", "scripts", "arch/um", "arch/x86", "Makefile", "Kbuild", ".config",
        "Module.symvers", "System.map")
FILES = ("linux", "kbuild/.config", "kbuild/Module.symvers", "kbuild/scripts/mod/modpost")


def _build(entry):
    log = entry / "build.log"
    tree = source.fetch(entry, log)
    source.compile_kernel(tree, log, "um", (CONFIG, PATCH), "linux")
    source.keep_kbuild(tree, entry / "kbuild", KEPT)
    source.run(log, "strip", "-o", entry / "linux", tree / "linux")
    shutil.rmtree(tree)


def prepare():
    """Cache entry (Path) with the executable kernel `linux` and the module build tree `kbuild`.

    The first call downloads 120 MB and compiles for 11 minutes on two cores.
    """
    return cache.entry("uml510", ["1", source.compiler(), CONFIG, PATCH], _build, FILES)


def build_module():
    """Build ramster_rdma.ko for the user-mode kernel; returns its path."""
    out = modules.OUT / "uml510"
    out.mkdir(parents=True, exist_ok=True)
    with open(out / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        modules.sync(out)
        modules.compile_module(out, prepare() / "kbuild", ["ARCH=um"])
    return out / modules.MODULE
