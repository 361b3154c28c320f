#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What users of libramster-rdma get: installed, compiled as the manual says, run.

    node1: ramsterd     <------- verbs -------     node2: examples/hello, examples/cache

The donor dies and comes back while the cache runs. Usage: test_library_examples.py
"""
import os
import re
import shutil
import subprocess
import sys

import test_library
from lab import scenario, uml_node
from lab.modules import TREE

RUN = TREE / "build/lab/run/library-examples-files"
ROOT = RUN / "root"
MANUAL = TREE / "libramster-rdma/man/ramster-rdma.7"
FILES, FILE_BYTES = 200, 40000
LINE = re.compile(r"(\d+) requests, ([\d.]+) % hits; a hit ([\d.]+) ms, a miss ([\d.]+) ms; (\d+) "
                  r"pages with (\d) of 1")
say = test_library.say


def install():
    """make install into ROOT; the environment in which pkg-config finds it there."""
    shutil.rmtree(RUN, ignore_errors=True)
    done = subprocess.run(["make", "-C", str(TREE), "install", f"DESTDIR={ROOT}"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    say(done.returncode == 0, "make install", done.stdout[-2000:])
    pc = next(ROOT.glob("usr/lib/**/ramster-rdma.pc"))
    return dict(os.environ, PKG_CONFIG_PATH=str(pc.parent), PKG_CONFIG_SYSROOT_DIR=str(ROOT))


def compile_examples(environment):
    """Each of examples/*.c by the line that the manual gives."""
    for source in sorted((TREE / "examples").glob("*.c")):
        command = (f"cc -Wall -Wextra -Werror -o {RUN / source.stem} {source} "
                   "$(pkg-config --cflags --libs ramster-rdma)")
        done = subprocess.run(command, shell=True, env=environment, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        say(done.returncode == 0, f"cc {source.name} $(pkg-config …)", done.stdout)


def check_manual():
    """The program in the manual is examples/hello.c; every function has a page."""
    example = MANUAL.read_text(encoding="utf-8").split(".EX\n")[1].split(".EE\n")[0]
    hello = (TREE / "examples/hello.c").read_text(encoding="utf-8")
    say(example.replace("\\e", "\\") == hello, "the manual's example is examples/hello.c")
    library = next(ROOT.glob("usr/lib/**/libramster-rdma.so.1"))
    listed = subprocess.run(["nm", "-D", "--defined-only", "--with-symbol-versions", library],
                            stdout=subprocess.PIPE, text=True, check=True).stdout
    exported = {line.split()[-1] for line in listed.splitlines()} - {"RMR_1"}
    header = (TREE / "include/ramster/ramster_rdma.h").read_text(encoding="utf-8")
    declared = set(re.findall(r"^(?:\w+ )+\**(rmr_\w+)\(", header, re.M))
    say(exported == {f"{name}@@RMR_1" for name in declared},
        f"{len(declared)} functions are declared and exported, nothing else",
        str(exported ^ {f"{name}@@RMR_1" for name in declared}))
    for name in sorted(declared):
        page = ROOT / f"usr/share/man/man3/{name}.3"
        text = page.read_text(encoding="utf-8") if page.exists() else ""
        for other in re.findall(r"^\.so (\S+)", text):
            text = (ROOT / "usr/share/man" / other).read_text(encoding="utf-8")
        say(f"{name}(" in text, f"man 3 {name}")


def lines_of(job):
    """(requests, % of hits, ms of a hit, of a miss, pages, donors alive) of each line so far."""
    return [tuple(map(float, match)) for match in LINE.findall(job.output())]


def test_cache(donor, client, daemon):
    """Hits are many and fast; a revoke, a dead donor make misses, and nothing worse."""
    files = RUN / "files"
    files.mkdir()
    for i in range(FILES):
        (files / str(i)).write_bytes(os.urandom(FILE_BYTES))
    environment = f"LD_LIBRARY_PATH={next(ROOT.glob('usr/lib/**/libramster-rdma.so.1')).parent}"
    job = client.spawn(f"exec env {environment} {RUN}/cache {donor.ip} {files} 15 20")
    scenario.wait_during(job, "hits", lambda: [x for x in lines_of(job) if x[1] > 50], 60)
    test_library.revoke(donor, "192M", deadline=10)
    daemon.kill()
    daemon.wait(10)
    scenario.wait_during(job, "the donor is missed", lambda: not lines_of(job)[-1][5], 60)
    daemon = test_library.start_donor(donor, "--heartbeat=1s --donate=256M")
    code, output = job.wait(60)
    for line in output.splitlines():
        print(f"  {line}")
    last = lines_of(job)[-1]
    say(code == 0 and "\n0 wrong objects" in output, "the cache ends well", output)
    say(last[5] == 1 and last[4] > 0, "pages lie with the donor that came back", output)
    say(last[2] * 3 < last[3], f"a hit takes {last[2]} ms, a miss {last[3]}", output)
    return daemon


def main():
    environment = install()
    compile_examples(environment)
    check_manual()
    library = next(ROOT.glob("usr/lib/**/libramster-rdma.so.1")).parent
    with uml_node.Pair(name="library-examples") as (donor, client):
        daemon = test_library.start_donor(donor, "--heartbeat=1s --donate=256M")
        code, output = client.sh(f"LD_LIBRARY_PATH={library} {RUN}/hello {donor.ip}")
        say(code == 0 and output == "hello from the other machine\n", "hello", output)
        daemon = test_cache(donor, client, daemon)
        daemon.kill("TERM")
        for node in (donor, client):
            say(not node.warnings(), f"{node.name}: no kernel warning",
                "\n".join(node.warnings()))
    return 1 if test_library.failures else 0


if __name__ == "__main__":
    sys.exit(main())
