#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What the borrower's kernel keeps for every page that it stores elsewhere.

    donor1 (UML)                        borrower1 (UML)
    ramsterd, 320 MiB <---- verbs ----  ramster_rdma, 256 MiB, filled

Usage: test_metadata.py [uml]
"""
from lab import fabric
from lab.scenario import expect, run, say, wait_for

CASES = ("uml",)
MIB_STORED = 256
PAGES = MIB_STORED * 256
LIMIT = 24              # bytes per stored page


def test(engine):
    with fabric.open_fabric(engine, donate="320M", tools=("devcheck",), mem=640) as lab:
        for slab_size in ("1M", "64M"):
            lab.load_module(f"size={MIB_STORED}M slab_size={slab_size}")
            lab.borrowers[0].check(f"devcheck --size {MIB_STORED}M --max-pages 64 fill", 240)
            wait_for("all pages at the donor", lambda: lab.sysfs("remote_pages") == PAGES, 120)
            used = lab.sysfs("metadata_bytes")
            each = used / PAGES
            say(f"slabs of {slab_size}: {each:.2f} bytes per stored page ({used} for {PAGES})")
            expect(each <= LIMIT, f"at most {LIMIT} bytes per stored page, not {each:.2f}")
            lab.unload_module()


if __name__ == "__main__":
    run(test, CASES)
