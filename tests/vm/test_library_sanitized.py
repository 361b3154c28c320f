#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""libramster-rdma under AddressSanitizer with UBSan, and under ThreadSanitizer.

    donor (QEMU, stock Debian 6.1, rxe0 on 10.9.0.1)
      library-client (sanitized) --- verbs, loopback ---> ramsterd

The sanitizers need an address space that user-mode Linux does not have.
Usage: test_library_sanitized.py [asan|tsan [TEST...]]   (names of library_client.c's tests)
"""
import re
import shutil
import subprocess
import sys

import test_library
from lab import qemu, scenario
from lab.modules import TREE

COST = 120
CASES = ("asan", "tsan")
FLAGS = {"asan": "-fsanitize=address,undefined -fno-sanitize-recover=all",
         "tsan": "-fsanitize=thread"}
TESTS = ("basics", "arguments", "sizes", "vectors", "queue", "threads", "full", "revoke", "killed")
SETTINGS = "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1"
RUN = TREE / "build/lab/run"


def build(case):
    """The library and its client in a tree of their own; returns the tree."""
    tree = TREE / "build" / case
    for command in (["cmake", "-S", str(TREE), "-B", str(tree), "-DBUILD_TESTING=OFF",
                     f"-DCMAKE_C_FLAGS={FLAGS[case]} -fno-omit-frame-pointer -U_FORTIFY_SOURCE"],
                    ["cmake", "--build", str(tree), "--target", "library-client"]):
        subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return tree


def fill_share(share, tree):
    """The programs, and of their libraries those that the guest has not got."""
    (share / "lib").mkdir(parents=True)
    client = tree / "libramster-rdma/library-client"
    for program in [*scenario.programs(), client]:
        shutil.copy(program, share)
    listed = subprocess.run(["ldd", client], stdout=subprocess.PIPE, text=True, check=True).stdout
    for path in re.findall(r"=> (/\S*lib(?:asan|ubsan|tsan|ramster-rdma)\S*)", listed):
        shutil.copy(path, share / "lib")


def run_tests(machine, tests):
    """What test_library.py does, on one machine and slower."""
    daemon = test_library.start_donor(machine)
    for name in tests:
        if name == "revoke":
            test_library.test_revoke(machine, machine, deadline=60)
        elif name == "killed":
            daemon = test_library.test_killed(machine, machine, daemon)
        else:
            test_library.report(*machine.sh(f"env {test_library.CLIENT} {machine.ip} seconds=10 "
                                            f"{name}", timeout=600), name)
    machine.check("kill -TERM $(pidof ramsterd)")


def test(case, tests=TESTS):
    """One sanitizer."""
    run = RUN / f"library-{case}"
    shutil.rmtree(run, ignore_errors=True)
    fill_share(run / "share", build(case))
    test_library.DAEMON = "/share/ramsterd"
    test_library.CTL = "/share/ramsterctl"
    test_library.CLIENT = f"{SETTINGS} LD_LIBRARY_PATH=/share/lib /share/library-client"
    test_library.OPTIONS = "--heartbeat=3s --grace=12s --donate=48M"
    with qemu.Machine("donor", "61", run / "share", run, net="hubport,hubid=0",
                      mem=1536) as machine:
        run_tests(machine, tests)
        test_library.say(not machine.warnings(), "no kernel warning",
                         "\n".join(machine.warnings()))
    if test_library.failures:
        raise qemu.LabError(", ".join(test_library.failures))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        test(sys.argv[1], sys.argv[2:])
    else:
        scenario.run(test, CASES)
