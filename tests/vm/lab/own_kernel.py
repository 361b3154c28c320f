# SPDX-License-Identifier: GPL-2.0-only
"""Kernels for QEMU that no distribution has: 5.10 from Debian's source with a configuration
of ours, everything built in. kernels.py makes them ready for the lab, as it does stock ones.
"""
import shutil
from pathlib import Path

from . import cache, source

PARTS = Path(__file__).resolve().parent / "qemu"
PATCH = PARTS / "linux-5.10.patch"
DEBUG = (PARTS / "debug.config").read_text(encoding="utf-8")
CHECKS = "# memory that is misused\n"   # in it: from here on it is the kernel's own checks
# So that idle time is measured and not sampled.
NO_TICKS = "CONFIG_NO_HZ_IDLE=y\n"
# name: configuration over allnoconfig. tmem: both tmem interfaces, which no stock kernel has, and
# no checks, for measurements.
KERNELS = {
    "debug": DEBUG,
    "tmem": DEBUG.partition(CHECKS)[0].replace("-ramlab-debug", "-ramlab-tmem") + NO_TICKS,
}

# What an external module needs of the built tree, and modprobe to know what is built in.
KEPT = ("include", "scripts", "arch/x86", "tools/objtool/objtool", "Makefile", "Kbuild",
        ".config", "Module.symvers", "System.map", "modules.order", "modules.builtin",
        "modules.builtin.modinfo")
FILES = ("vmlinux", "version", "kbuild/.config", "kbuild/Module.symvers",
         "kbuild/scripts/mod/modpost", "kbuild/tools/objtool/objtool")


def _build(entry, text):
    log, config = entry / "build.log", entry / "config"
    config.write_text(text, encoding="utf-8")
    tree = source.fetch(entry, log)
    source.compile_kernel(tree, log, "x86", (config, PATCH), "vmlinux")
    source.run(log, "strip", "-o", entry / "vmlinux", tree / "vmlinux")
    version = (tree / "include/config/kernel.release").read_text(encoding="ascii").strip()
    (entry / "version").write_text(version, encoding="ascii")
    source.keep_kbuild(tree, entry / "kbuild", KEPT)
    shutil.rmtree(tree)


def prepare(kernel):
    """Cache entry (Path) of a kernel: `vmlinux`, its `version`, the module build tree `kbuild`.

    The first call downloads 120 MB and compiles on two cores for half an hour (debug) or
    ten minutes.
    """
    config = KERNELS[kernel]
    return cache.entry(f"own-{kernel}", ["1", source.compiler(), config, PATCH],
                       lambda entry: _build(entry, config), FILES)
