# SPDX-License-Identifier: GPL-2.0-only
"""User-mode Linux 5.10: the kernel, and the module built for it.

prepare() gives the kernel and a tree to build modules against, made once from
Debian's linux-source-5.10 and kept in the cache. uml_node.py boots it.
"""
import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

from . import apt, cache

HERE = Path(__file__).resolve().parent
TREE = HERE.parents[2]
PARTS = HERE / "uml"
CONFIG = PARTS / "config"
PATCH = PARTS / "linux-5.10.patch"
RELEASE, PACKAGE = "bullseye", "linux-source-5.10"

# What an external module needs of the built tree; the rest goes.
KEPT = ("include", "scripts", "arch/um", "arch/x86", "Makefile", "Kbuild", ".config",
        "Module.symvers", "System.map")
FILES = ("linux", "kbuild/.config", "kbuild/Module.symvers", "kbuild/scripts/mod/modpost")


class BuildError(RuntimeError):
    """A kernel or module build failed; the message names the log."""


def _run(log, *command, cwd=None):
    """Run a command, appending its output to log; returns the output."""
    env = dict(os.environ, LC_ALL="C", KBUILD_BUILD_USER="lab", KBUILD_BUILD_HOST="lab",
               KBUILD_BUILD_TIMESTAMP="1970-01-01")
    done = subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    with open(log, "a", encoding="utf-8") as f:
        f.write(f"$ {' '.join(map(str, command))}\n{done.stdout}")
    if done.returncode:
        lines = done.stdout.splitlines()
        why = [line for line in lines if "error:" in line][:5] or lines[-15:]
        raise BuildError(f"{' '.join(map(str, command[:2]))} failed (all of it in {log}):\n"
                         + "\n".join(why))
    return done.stdout


def fetch_source(scratch, log):
    """Debian's kernel source, unpacked in scratch; returns its directory."""
    release = apt.Release(RELEASE)
    release.update()
    debs = scratch / "debs"
    debs.mkdir()
    release.download({PACKAGE: release.version(PACKAGE)}, debs)
    apt.unpack(debs, scratch / "deb")
    _run(log, "tar", "xf", scratch / f"deb/usr/src/{PACKAGE}.tar.xz", "-C", scratch)
    shutil.rmtree(debs)
    shutil.rmtree(scratch / "deb")
    return scratch / PACKAGE


def _missing_options(tree):
    """Lines of our configuration that kconfig did not take."""
    taken = set((tree / ".config").read_text(encoding="utf-8").splitlines())
    wanted = [line for line in CONFIG.read_text(encoding="utf-8").splitlines()
              if line.startswith("CONFIG_")]
    return [line for line in wanted if line not in taken]


def compile_kernel(tree, log):
    """Patch, configure and build the kernel in tree."""
    _run(log, "patch", "-p1", "--forward", "-i", PATCH, cwd=tree)
    _run(log, "make", "ARCH=um", "allnoconfig", f"KCONFIG_ALLCONFIG={CONFIG}", cwd=tree)
    if missing := _missing_options(tree):
        raise BuildError(f"kconfig refused {', '.join(missing)}: see their dependencies")
    jobs = os.cpu_count() or 1
    cache.say(f"compiling the user-mode kernel with {jobs} jobs (about 25 CPU minutes)")
    _run(log, "nice", "make", "ARCH=um", f"-j{jobs}", "linux", "modules", cwd=tree)


def install(tree, entry):
    """Move what is needed of a built tree into the cache entry."""
    kbuild = entry / "kbuild"
    for name in KEPT:
        (kbuild / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).rename(kbuild / name)
    for path in [p for p in kbuild.rglob("*") if p.is_file()]:
        relative = path.relative_to(kbuild)
        if relative.parts[0] == "arch" and path.suffix in (".c", ".o", ".a", ".S", ".cmd"):
            path.unlink()
    shutil.copy(tree / "linux", entry / "linux")
    _run(entry / "build.log", "strip", entry / "linux")


def _build(entry):
    log = entry / "build.log"
    tree = fetch_source(entry, log)
    compile_kernel(tree, log)
    install(tree, entry)
    shutil.rmtree(tree)


def prepare():
    """Cache entry (Path) with the executable kernel `linux` and the module build tree `kbuild`.

    The first call downloads 120 MB and compiles for 11 minutes on two cores.
    """
    compiler = subprocess.run(["gcc", "-dumpversion"], stdout=subprocess.PIPE, text=True,
                              check=True).stdout
    return cache.entry("uml510", ["1", compiler, CONFIG, PATCH], _build, FILES)


def _sources():
    """Files that a module build reads, relative to the tree."""
    names = [Path("Kbuild")]
    for part in ("kmod", "core", "include"):
        names += [p.relative_to(TREE) for p in sorted((TREE / part).rglob("*"))
                  if p.suffix in (".c", ".h") or p.name in ("Kbuild", "Makefile")]
    return names


def build_module():
    """Build ramster_rdma.ko for the user-mode kernel; returns its path.

    The sources are copied first, so that builds for several kernels do not
    share object files. A compiler or modpost warning is a failure.
    """
    out = TREE / "build/lab/ko/uml510"
    out.mkdir(parents=True, exist_ok=True)
    with open(out / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _make_module(out)


def _make_module(out):
    """build_module() in its directory."""
    wanted = _sources()
    for name in wanted:
        target = out / name
        data = (TREE / name).read_bytes()
        if not target.exists() or target.read_bytes() != data:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    for stale in [p for p in out.rglob("*.[ch]") if not p.name.endswith(".mod.c")
                  and p.relative_to(out) not in wanted]:
        stale.unlink()
    log = out / "build.log"
    log.unlink(missing_ok=True)
    text = _run(log, "nice", "make", "ARCH=um", "-C", prepare() / "kbuild", f"M={out}",
                f"-j{os.cpu_count() or 1}", "modules")
    if warnings := re.findall(r"^.*\bwarning:.*$", text, re.M | re.I):
        (out / "ramster_rdma.ko").unlink(missing_ok=True)
        raise BuildError(f"warnings in the module build ({log}):\n" + "\n".join(warnings))
    return out / "ramster_rdma.ko"
