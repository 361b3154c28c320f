# SPDX-License-Identifier: GPL-2.0-only
"""ramster_rdma.ko of this tree, built for a lab kernel.

The sources are copied to a build directory per kernel, so that builds share
no object files and the tree stays clean. Any warning is a failure.
"""
import fcntl
import os
import re
import subprocess
import time
from pathlib import Path

from . import cache, kernels, rootfs
from .source import BuildError

TREE = Path(__file__).resolve().parents[3]
OUT = TREE / "build/lab/ko"
MODULE = "ramster_rdma.ko"
HOST_COMPILER = "gcc-12"
# There is no vmlinux to take the kernel's types from.
OPTIONS = ["CONFIG_DEBUG_INFO_BTF_MODULES="]


def source_files(tree=TREE):
    """Files that a module build reads, relative to the tree."""
    names = [tree / "Kbuild", *tree.glob("*.[ch]")]
    for part in ("kmod", "core", "include"):
        names += [p for p in sorted((tree / part).rglob("*"))
                  if p.suffix in (".c", ".h") or p.name.startswith(("Kbuild", "Makefile"))]
    return [name.relative_to(tree) for name in names]


def sync(out, tree=TREE):
    """Make the sources under out those of the tree; returns whether anything changed.

    A file that is the same keeps its time stamp, so make rebuilds only what it must.
    """
    wanted = source_files(tree)
    changed = False
    for name in wanted:
        target, data = out / name, (tree / name).read_bytes()
        if not target.exists() or target.read_bytes() != data:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            changed = True
    for stale in set(p.relative_to(out) for p in out.rglob("*.[ch]")) - set(wanted):
        if not stale.name.endswith(".mod.c"):
            (out / stale).unlink()
            changed = True
    return changed


def _chroot_command(root, out, command):
    """The command, to be run in the chroot root with the cache and out at their own places."""
    steps = [f'mkdir -p "{root}{path}" && mount --bind "{path}" "{root}{path}"'
             for path in (cache.root(), out)]
    steps += [f'mount -t proc proc "{root}/proc"', f'exec chroot "{root}" "$@"']
    # A mount namespace of its own: the mounts vanish with the command.
    return ["unshare", "--mount", "sh", "-ec", "\n".join(steps), "sh", *command]


def compile_module(out, headers, options=(), wrap=None):
    """Run kbuild over the sources in out; returns nothing, raises BuildError with the reason.

    headers: the kernel's build directory. wrap(command) may put the command elsewhere.
    """
    command = ["make", "-C", str(headers), f"M={out}", f"-j{os.cpu_count() or 1}", *options,
               "modules"]
    done = subprocess.run(["nice", *(wrap(command) if wrap else command)], text=True, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=dict(os.environ, LC_ALL="C"))
    (out / "build.log").write_text(done.stdout, encoding="utf-8")
    found = re.findall(r"^.*(?:\bwarning:|\berror:|WARNING:|ERROR:).*$", done.stdout, re.M)
    if done.returncode or found:
        for product in out.rglob("*.o"):    # that the next build warns again
            product.unlink()
        said = "\n".join(found) or "\n".join(done.stdout.splitlines()[-15:])
        raise BuildError(f"module build failed (all of it in {out}/build.log):\n{said}")


def build(kernel, tree=TREE, out=None, module=MODULE):
    """Build the module of a tree for a kernel, if a source has changed; returns its path."""
    out = out or OUT / kernel
    out.mkdir(parents=True, exist_ok=True)
    with open(out / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _build(kernel, tree, out, module)


def _build(kernel, tree, out, module):
    stamp = out / "built-for"
    chroot = rootfs.chroot(kernel)
    target = f"{kernels.prepare(kernel)} {chroot}"
    fresh = stamp.exists() and stamp.read_text(encoding="utf-8") == target
    if not sync(out, tree) and fresh and (out / module).exists():
        return out / module
    stamp.unlink(missing_ok=True)
    start = time.monotonic()
    headers = kernels.headers(kernel)
    if chroot:
        root, compiler = chroot
        compile_module(out, headers, [*OPTIONS, f"CC={compiler}"],
                       lambda command: _chroot_command(root, out, command))
    else:
        compile_module(out, headers, [*OPTIONS, f"CC={HOST_COMPILER}"])
    stamp.write_text(target, encoding="utf-8")
    cache.say(f"built {module} for {kernel} in {time.monotonic() - start:.0f} s")
    return out / module
