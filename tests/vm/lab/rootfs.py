# SPDX-License-Identifier: GPL-2.0-only
"""File systems made by mmdebstrap: the guests' root image and the build chroot."""
import shutil
import subprocess
from pathlib import Path

from . import apt, cache, kernels

GUEST_RELEASE = "bookworm"
GUEST_PACKAGES = (
    "iproute2 iputils-ping kmod rdma-core ibverbs-utils ibverbs-providers librdmacm1 "
    "rdmacm-utils perftest nvme-cli nbd-server nbd-client procps fio udev util-linux mount "
    "e2fsprogs busybox strace libsystemd0 libinih1 libjansson4 libnuma1 zstd "
    "btrfs-progs").split()
# Kernels newer than the host's release are built with the compiler of their own: their headers
# need its flags, their tools its C library. kernel: (release, compiler)
COMPILERS = {"612": ("trixie", "gcc-14"), "72": ("forky", "gcc-16")}
TOOLS = ("make libelf1t64 pahole base-files bash dash coreutils sed grep mawk findutils "
         "diffutils").split()
# Nothing in a guest reads these.
USELESS = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/perl",
           "usr/lib/x86_64-linux-gnu/perl", "usr/lib/x86_64-linux-gnu/gconv",
           "var/cache/apt", "var/lib/apt/lists")


def _bootstrap(release, packages, target, variant):
    cache.say(f"installing {len(packages)} packages of {release} into a tree")
    options = [f"--aptopt={line}" for line in apt.acquire_options()]
    options += [f"--dpkgopt=path-exclude=/usr/share/{d}/*" for d in ("doc", "man", "locale")]
    done = subprocess.run(
        ["mmdebstrap", f"--variant={variant}", "--include=" + ",".join(packages), *options,
         release, str(target), "-"],
        input="\n".join(apt.sources(release)) + "\n", text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise apt.AptError(f"mmdebstrap {release} failed:\n{done.stdout[-3000:]}")


def _build_guest(scratch):
    tree = scratch / "tree"
    _bootstrap(GUEST_RELEASE, GUEST_PACKAGES, tree, "minbase")
    for path in USELESS:
        shutil.rmtree(tree / path, ignore_errors=True)
    for path in ("share", "lib/modules"):
        (tree / path).mkdir(exist_ok=True)
    kernels.make_ext4(tree, scratch / "root.ext4", slack=16)
    shutil.rmtree(tree)


def guest():
    """Path of the guests' root image (ext4, read-only)."""
    inputs = [GUEST_RELEASE, *GUEST_PACKAGES, *USELESS, "1"]
    return cache.entry("rootfs", inputs, _build_guest, ["root.ext4"]) / "root.ext4"


def _build_chroot(release, compiler, scratch):
    tree = scratch / "tree"
    # Unpacked is enough for a compiler: no maintainer script needs to run.
    _bootstrap(release, [compiler, *TOOLS], tree, "extract")
    for name in ("proc", "dev", "tmp", "root"):
        (tree / name).mkdir(exist_ok=True)
    (tree / "usr/bin/awk").symlink_to("mawk")
    (tree / "usr/bin/gcc").symlink_to(compiler)


def chroot(kernel):
    """(path, compiler) of the chroot in which modules for this kernel are built, or None."""
    if kernel not in COMPILERS:
        return None
    release, compiler = COMPILERS[kernel]
    entry = cache.entry(f"chroot-{release}", [release, compiler, *TOOLS, "1"],
                        lambda scratch: _build_chroot(release, compiler, scratch),
                        [f"tree/usr/bin/x86_64-linux-gnu-{compiler}"])
    return entry / "tree", compiler
