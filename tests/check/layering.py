#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Who may include what. Reads #include lines; exit 1 and one line per violation.

Usage: layering.py [TREE]
"""
import re
import subprocess
import sys
from pathlib import Path

import tree

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)
COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)

# The only files that may speak RDMA.
VERBS = {"kmod/conn.h", "kmod/verbs.c", "libramster-rdma/verbs.c", "libramster-rdma/cm.c",
         "rdma-broker/verbs.c"}
# Folders whose quoted includes must lie in the folder itself, core/ or include/.
CLOSED = ("kmod", "libramster-rdma", "rdma-broker", "bench")

VERSION = re.compile(r"\b(LINUX_VERSION_\w+|KERNEL_VERSION|UTS_RELEASE)\b")
# What core/ leaves to its caller: memory, logs, clocks, sleep, locks, randomness.
IMPURE = re.compile(
    r"\b(malloc|calloc|realloc|free|alloca|k[mvz]\w*alloc\w*|kv?free\w*|v[mz]alloc\w*"
    r"|\w*printf|puts|printk\w*|pr_[a-z]+\w*|syslog|time|clock|clock_gettime|gettimeofday|ktime_\w+"
    r"|jiffies|[mu]sleep\w*|n?sleep|nanosleep|schedule\w*|spin_\w+|mutex_\w+|rcu_\w+|pthread_\w+"
    r"|s?rand(?:om)?|getrandom|get_random_\w+)\b(?=\s*\(|(?<=jiffies))")


def includes(text):
    """(system?, name) of every #include."""
    return [(quote == "<", name) for quote, name in INCLUDE.findall(text)]


def code(text):
    """The text without comments and string literals."""
    return COMMENT_OR_STRING.sub(" ", text)


def _resolve(root, path, name):
    """The file, relative to root, that a quoted include means; None if there is none."""
    top = root / path.parts[0]
    for base in ((root / path).parent, top, root / "core", root / "include"):
        found = (base / name).resolve()
        if found.is_file() and found.is_relative_to(root):
            return found.relative_to(root)
    return None


# What a published header may include. The library's is for programs on any C library.
PUBLISHED = {"ramster_rdma.h": ("stddef.h", "stdint.h")}


def _published(_root, path, text):
    if path.match("include/ramster/*.h"):
        allowed = PUBLISHED.get(path.name, ("linux/types.h",))
        for system, name in includes(text):
            if not (system and name in allowed):
                yield f"includes {name}: this header includes <{'>, <'.join(allowed)}> alone"


def _core(root, path, text):
    if path.parts[0] != "core" or path.name == "port.h":
        return
    for system, name in includes(text):
        found = None if system else _resolve(root, path, name)
        if not found or not (found.parts[0] == "core"
                             or found == Path("include/ramster/ramster_wire.h")):
            yield f"includes {name}: core/ includes its own headers and the wire header alone"
    for word in IMPURE.findall(code(text)):
        yield f"uses {word}: core/ takes memory, time and randomness from its caller"


def _rdma(_root, path, text):
    # The lab's borrowers break the protocol on purpose, which takes verbs of their own.
    if str(path) not in VERBS and not path.is_relative_to("tests/vm"):
        for _, name in includes(text):
            if name.startswith(("rdma/", "infiniband/")):
                yield f"includes {name}: RDMA is for {', '.join(sorted(VERBS))} alone"


def _version(_root, path, text):
    if path.is_relative_to("kmod/compat"):
        return
    for _, name in includes(text):
        if name in ("linux/version.h", "generated/utsrelease.h"):
            yield f"includes {name}: kernel versions are the business of kmod/compat/ alone"
    for word in VERSION.findall(code(text)):
        yield f"uses {word}: kernel versions are the business of kmod/compat/ alone"


def _closed(root, path, text):
    if path.parts[0] not in CLOSED:
        return
    allowed = (path.parts[0], "core", "include")
    for system, name in includes(text):
        if system:
            continue
        found = _resolve(root, path, name)
        if not found:
            yield f"includes {name}, which is not in {', '.join(allowed)}"
        elif found.parts[0] not in allowed:
            yield f"includes {found}: {path.parts[0]}/ uses {', '.join(allowed)} alone"


def _alone(root, path, _text):
    """A published header must compile with nothing before it, in C and in C++."""
    if not path.match("include/ramster/*.h"):
        return
    for compiler in (["gcc", "-x", "c", "-std=c99"], ["g++", "-x", "c++", "-std=c++11"]):
        command = [*compiler, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", "include", "-"]
        done = subprocess.run(command, cwd=root, text=True, check=False,
                              input=f"#include <{path.relative_to('include')}>\n",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            yield f"does not compile alone with {compiler[0]}:\n{done.stdout.strip()}"


RULES = (_published, _core, _rdma, _version, _closed, _alone)


def violations(root):
    """One line for every broken rule below root, and how many files were read."""
    found = []
    sources = [p for p in tree.files(root) if tree.is_c(p)]
    for path in sources:
        text = (root / path).read_text(encoding="utf-8")
        found += [f"{path} {what}" for rule in RULES for what in rule(root, path, text)]
    return found, len(sources)


def main():
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else tree.ROOT
    found, count = violations(root)
    for line in found:
        print(line)
    print(f"layering: {count} files, {len(found)} violations")
    return 1 if found or not count else 0


if __name__ == "__main__":
    sys.exit(main())
