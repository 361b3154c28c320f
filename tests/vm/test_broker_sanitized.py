#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""ramsterd under AddressSanitizer and UBSan against borrowers, good and bad.

    donor (QEMU, stock Debian 6.1, rxe0 on 10.9.0.1)
      broker-client --- verbs, loopback ---> ramsterd (sanitized)

The sanitizers need an address space that user-mode Linux does not have.
Usage: test_broker_sanitized.py [TEST...]   (names of broker_client.c's tests)
RAMSTER_SAN_BUILD: the sanitized build tree, else "san" in RAMSTER_BUILD (default build).
"""
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from lab import qemu

COST = 70
TREE = Path(__file__).resolve().parents[2]
PLAIN = TREE / os.environ.get("RAMSTER_BUILD", "build")
BUILD = TREE / os.environ.get("RAMSTER_SAN_BUILD", PLAIN / "san")
RUN = TREE / "build/lab/run/broker-sanitized"
OPTIONS = "--heartbeat=1s --grace=4s --max-lanes=4 --quota=40M --donate=48M"
# What is freed is kept aside for a while, to see late uses: a quarter of a GiB of it by default,
# and each connection of the borrower's has a MiB. The guest has not got that much.
ENVIRONMENT = ("export LD_LIBRARY_PATH=/share/lib PATH=/share:$PATH "
               "ASAN_OPTIONS=quarantine_size_mb=32; cd /share;")
PROGRAMS = ("ramsterd", "ramsterctl", "broker-client")

failed = False


def say(ok, what, detail=""):
    """One line per check; the detail of a failure below it."""
    global failed
    print(f"{'ok' if ok else 'NOT OK'} - {what}", flush=True)
    if not ok:
        failed = True
        print("    " + detail.strip().replace("\n", "\n    "), flush=True)


def fill_share(share):
    """The programs, and of their libraries those that the guest has not got."""
    (share / "lib").mkdir(parents=True)
    for name in PROGRAMS:
        shutil.copy(BUILD / "rdma-broker" / name, share)
        listed = subprocess.run(["ldd", share / name], stdout=subprocess.PIPE, text=True,
                                check=True).stdout
        for path in re.findall(r"=> (/\S*lib(?:a|ub)san\S*)", listed):
            shutil.copy(path, share / "lib")


def main():
    shutil.rmtree(RUN, ignore_errors=True)
    share = RUN / "share"
    fill_share(share)
    with qemu.Machine("donor", "61", share, RUN, net="hubport,hubid=0", mem=640) as donor:
        daemon = donor.spawn(f"{ENVIRONMENT} exec ramsterd {OPTIONS}")
        deadline = time.monotonic() + 60
        while donor.sh(f"{ENVIRONMENT} ramsterctl status")[0]:
            if time.monotonic() > deadline or not daemon.running():
                raise qemu.LabError(f"ramsterd does not come up:\n{daemon.output()}")
        code, output = donor.sh(f"{ENVIRONMENT} broker-client {donor.ip} "
                                f"/run/ramster/ramsterd.sock {' '.join(sys.argv[1:])}",
                                timeout=900)
        for line in output.splitlines():
            if line.startswith(("ok", "not ok")):
                say(line.startswith("ok"), line.split(" - ", 1)[1], output)
        say(code == 0, "broker-client", output)
        donor.check("kill -TERM $(pidof ramsterd)")
        code, output = daemon.wait(60)
        (RUN / "ramsterd.log").write_text(output, encoding="utf-8")
        say(code == 0 and "Sanitizer" not in output and "runtime error" not in output,
            "ramsterd ends without a sanitizer's report", output[-6000:])
        say(not donor.warnings(), "no kernel warning", "\n".join(donor.warnings()))
    print(f"logs: {RUN}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
