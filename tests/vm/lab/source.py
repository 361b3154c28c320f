# SPDX-License-Identifier: GPL-2.0-only
"""Linux 5.10 from Debian's source, configured and patched by us: what no stock kernel has.

uml.py makes a user-mode kernel of it, own_kernel.py one for QEMU.
"""
import os
import shutil
import subprocess

from . import apt, cache

RELEASE, PACKAGE = "bullseye", "linux-source-5.10"


class BuildError(RuntimeError):
    """A kernel or module build failed; the message names the log."""


def run(log, *command, cwd=None):
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


def compiler():
    """The compiler's version, an input of whatever is built here."""
    return subprocess.run(["gcc", "-dumpversion"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout


def fetch(scratch, log):
    """Debian's kernel source, unpacked in scratch; returns its directory."""
    release = apt.Release(RELEASE)
    release.update()
    debs = scratch / "debs"
    debs.mkdir()
    release.download({PACKAGE: release.version(PACKAGE)}, debs)
    apt.unpack(debs, scratch / "deb")
    run(log, "tar", "xf", scratch / f"deb/usr/src/{PACKAGE}.tar.xz", "-C", scratch)
    shutil.rmtree(debs)
    shutil.rmtree(scratch / "deb")
    return scratch / PACKAGE


def _missing_options(tree, config):
    """Lines of our configuration that kconfig did not take."""
    taken = set((tree / ".config").read_text(encoding="utf-8").splitlines())
    wanted = [line for line in config.read_text(encoding="utf-8").splitlines()
              if line.startswith("CONFIG_")]
    return [line for line in wanted if line not in taken]


def compile_kernel(tree, log, arch, parts, target):
    """Patch, configure and build the kernel in tree.

    parts: (configuration over allnoconfig, patch); target: of make, besides modules.
    """
    config, patch = parts
    run(log, "patch", "-p1", "--forward", "-i", patch, cwd=tree)
    run(log, "make", f"ARCH={arch}", "allnoconfig", f"KCONFIG_ALLCONFIG={config}", cwd=tree)
    if missing := _missing_options(tree, config):
        raise BuildError(f"kconfig refused {', '.join(missing)}: see their dependencies")
    jobs = os.cpu_count() or 1
    cache.say(f"compiling the kernel with {jobs} jobs")
    run(log, "nice", "make", f"ARCH={arch}", f"-j{jobs}", target, "modules", cwd=tree)


def keep_kbuild(tree, kbuild, kept):
    """Move what building a module needs of a built tree, kept, to kbuild, without the rest."""
    for name in kept:
        (kbuild / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).rename(kbuild / name)
    for path in [p for p in kbuild.rglob("*") if p.is_file()]:
        relative = path.relative_to(kbuild)
        if relative.parts[0] == "arch" and path.suffix in (".c", ".o", ".a", ".S", ".cmd"):
            path.unlink()
