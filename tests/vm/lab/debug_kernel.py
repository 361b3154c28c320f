# SPDX-License-Identifier: GPL-2.0-only
"""What a guest with the debug kernel can be asked for: leaks, and allocations that fail."""
from .scenario import expect, say

PERCENT = 10            # of the module's allocations fail, or fewer while it has to connect, for
PERCENT_CONNECTING = 2  # that takes dozens, each of which must succeed
FAULTS = 1000000        # more than will ever be injected
# Return addresses to look at: the module, what it calls and the allocator. Deeper, it would be rxe
# that fails, which in 5.10 does not survive that (a MAD whose packet failed is used when freed).
DEPTH = 8
YOUNG = 6               # seconds; kmemleak says nothing of what is younger than five
KMEMLEAK = "/sys/kernel/debug/kmemleak"


def forget_leaks(machine):
    """Whatever has leaked up to now is not reported."""
    machine.check(f"echo clear >{KMEMLEAK}")


def scan(machine):
    """Look for memory that nobody points to any more; a finding is a line in the kernel log."""
    machine.check(f"sleep {YOUNG}; echo scan >{KMEMLEAK}; echo scan >{KMEMLEAK}", 300)
    return machine.check(f"cat {KMEMLEAK}")


class Faults:
    """While in a with block, allocations that the module makes or lets others make fail, at a
    percentage that rate() changes. Does nothing unless active."""

    kinds = ("failslab", "fail_page_alloc")

    def __init__(self, lab, active):
        self._borrower = lab.borrowers[0]
        self.active = active

    def _set(self, name, value):
        self._borrower.check(f"for kind in {' '.join(self.kinds)}; do "
                             f"echo {value} >/sys/kernel/debug/$kind/{name} || exit; done")

    def rate(self, percent):
        if self.active:
            self._set("probability", percent)

    def _injected(self):
        """How many have failed, of each kind."""
        return {kind: FAULTS - int(self._borrower.check(f"cat /sys/kernel/debug/{kind}/times"))
                for kind in self.kinds}

    def __enter__(self):
        if not self.active:
            return self
        start, size = self._borrower.check(
            "cd /sys/module/ramster_rdma && cat sections/.text coresize").split()
        self._set("require-start", start)
        self._set("require-end", hex(int(start, 16) + int(size)))
        for name, value in (("stacktrace-depth", DEPTH), ("verbose", 0), ("times", FAULTS),
                            ("ignore-gfp-wait", "N"), ("interval", 1), ("probability", PERCENT)):
            self._set(name, value)
        self._borrower.check("echo 0 >/sys/kernel/debug/fail_page_alloc/min-order; "
                             "echo N >/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem")
        return self

    def __exit__(self, kind, *_):
        if not self.active:
            return
        self.rate(0)
        injected = self._injected()
        say(f"faults injected: {injected}")
        if kind is None:
            expect(injected["failslab"], "allocations have failed")
