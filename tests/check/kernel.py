#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own checks of the module's sources: kernel.py sparse|checkpatch.

sparse compiles the module against Debian's 6.1 headers with endian checks on;
checkpatch.pl comes from Debian's linux-source-6.1, kept in the lab's cache.
"""
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tree

sys.path.insert(0, str(tree.ROOT / "tests/vm"))
from lab import apt, cache, kernels, modules  # noqa: E402 (the path comes first)

SOURCE = "linux-source-6.1"
SCRIPTS = ("checkpatch.pl", "spelling.txt", "const_structs.checkpatch")

# What checkpatch may say without being heeded: where, what, and why.
EXCUSED = (
    ("", {"FILE_PATH_CHANGES"}, "there is no MAINTAINERS file here"),
    ("", {"OPEN_ENDED_LINE"}, "clang-format breaks there when a string fits no other way"),
    ("include", {"BIT_MACRO", "PREFER_DEFINED_ATTRIBUTE_MACRO"},
     "published headers have <linux/types.h> alone, not the kernel's macros"),
    ("include/ramster/ramster_rdma.h", {"PREFER_KERNEL_TYPES"},
     "for programs, which have C's own types"),
    ("core/port.h", {"PREFER_KERNEL_TYPES", "CAMELCASE"},
     "its userspace half makes the kernel's names from C's own"),
    ("kmod/compat", {"LINUX_VERSION_CODE", "DEPRECATED_API", "NEW_TYPEDEFS"},
     "this folder exists for other versions and what they call things"),
    ("kmod/compat/blk.h", {"MACRO_WITH_FLOW_CONTROL"},
     "the macros define whole functions, whose signatures differ by version"),
    ("kmod/compat/zstd.h", {"CAMELCASE"}, "zstd's names before 5.16"),
    ("kmod/ztier.c", {"CAMELCASE"}, "a field of zstd's parameters"),
)
COMPLAINT = re.compile(r"(?P<path>\S+?):\d+: (?:ERROR|WARNING|CHECK):(?P<type>\w+): ")


def _fetch_scripts(scratch):
    release = apt.Release("bookworm")
    release.update()
    debs = scratch / "debs"
    debs.mkdir()
    release.download({SOURCE: release.version(SOURCE)}, debs)
    cache.say("unpacking checkpatch.pl")
    apt.unpack(debs, debs / "root")
    subprocess.run(["tar", "-xJf", str(debs / f"root/usr/src/{SOURCE}.tar.xz"), "-C", str(scratch),
                    "--strip-components=2", *(f"{SOURCE}/scripts/{name}" for name in SCRIPTS)],
                   check=True)
    shutil.rmtree(debs)


def sources():
    """The files that are compiled into the module."""
    return [f for f in tree.files() if tree.is_c(f) and f.parts[0] in ("kmod", "core", "include")]


def excused(line):
    """Does EXCUSED cover this line of checkpatch's output?"""
    found = COMPLAINT.match(line)
    return found and any(Path(found["path"]).is_relative_to(where) and found["type"] in types
                         for where, types, _ in EXCUSED)


def checkpatch():
    """checkpatch.pl --strict on all that is compiled into the module."""
    scripts = cache.entry("checkpatch", [SOURCE, *SCRIPTS], _fetch_scripts, SCRIPTS)
    files = [str(tree.ROOT / f) for f in sources()]
    # It leaves a file behind where it runs.
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["perl", str(scripts / SCRIPTS[0]), "--no-tree", f"--root={tree.ROOT}", "--strict",
             "--terse", "--no-summary", "--show-types", "--max-line-length=100", "--file",
             *files], cwd=folder, check=False, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
    lines = done.stdout.replace(f"{tree.ROOT}/", "").splitlines()
    found = [line for line in lines if line.strip() and not excused(line)]
    print("\n".join(found + [f"checkpatch: {len(files)} files, {len(found)} complaints"]))
    return 1 if found or done.returncode not in (0, 1) or not files else 0


def sparse():
    """sparse with endian checks on every file of the module, as Kbuild runs it."""
    out = modules.OUT / "sparse"
    out.mkdir(parents=True, exist_ok=True)
    modules.sync(out)
    try:
        modules.compile_module(out, kernels.headers("61"), [
            *modules.OPTIONS, "C=2", "CHECK=sparse", "CF=-D__CHECK_ENDIAN__"])
    except modules.BuildError as error:
        print(error)
        return 1
    checked = len(re.findall(r"^  CHECK ", (out / "build.log").read_text("utf-8"), re.M))
    print(f"sparse: {checked} files")
    return 0 if checked else 1


CHECKS = {"checkpatch": checkpatch, "sparse": sparse}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in CHECKS:
        sys.exit(f"usage: kernel.py {'|'.join(CHECKS)}")
    sys.exit(CHECKS[sys.argv[1]]())
