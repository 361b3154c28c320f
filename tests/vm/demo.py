#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""make demo: a machine swaps into its neighbour's RAM, and gets everything back.

    donor1  10.9.0.1 -- Ethernet, MTU 9000, Soft-RoCE -- 10.9.0.2  borrower1
    ramsterd lends 48 MiB                      ramster_rdma: /dev/ramster0 is swap
                                               swaptest: 48 MiB in a 12 MiB cgroup

Both are QEMU guests with the stock kernel of Debian 12. swaptest checks every
page over and over, while half of the donation is revoked and given again. Ends
with "demo: ok" and exit code 0, or "demo: FAILED: what" and 1.
"""
import json
import os
import re
import sys
import textwrap
import time
import traceback

from lab import cache
from lab.fabric import Fabric
from lab.modules import TREE
from lab.qemu import LabError
from lab.scenario import MIB, SYSFS, wait_for

KERNEL = "61"
DONATION = 48           # MiB; swaptest has as much, so all of it is in use
HALF = DONATION // 2
PROGRAM, LIMIT = 48, 12  # MiB: of swaptest, and of its cgroup
PROVEN = 24             # MiB that must have lain on the donor
SAMPLE_SECONDS = 2.0
PASS_SECONDS = 600      # time-out: a pass takes 10 to 30 on an idle machine
REVOKE_SECONDS = 30
PAGE = 4096
COUNTERS = ("remote_pages", "compressed_pages", "same_pages", "lost_pages", "wire_write_bytes",
            "wire_read_bytes", "read_p50_ns", "read_p99_ns", "evacuated_pages", "shipped_pages",
            "slabs_fenced", "crc_errors", "read_errors", "write_errors")
BAD = ("bad", "lost_pages", "slabs_fenced", "crc_errors", "read_errors", "write_errors")

HEAD = ("        | borrower's swap, MiB     | donor, MiB  | wire, MiB   |    read, ms "
        "| the program\n"
        "      s |  remote  zstd  same-fill |  lent   RSS |   out    in |  p50    p99 "
        "| faults/s verified wrong")

began = time.monotonic()


def headline(title, text):
    """Begin a phase: what it shows, for somebody who sees it the first time."""
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}{title}{plain}\n{textwrap.fill(text, 95)}", flush=True)


def answer(job):
    """The output of a job that must succeed."""
    code, output = job.wait(60)
    if code:
        raise LabError(f"{job.machine.name}: exit code {code}: {job.command}\n{output}")
    return output


def row(label, value):
    print(f"  {label:<52} {value}", flush=True)


class Program:
    """swaptest on the borrower; its output is on the share: reading it costs the guest nothing."""

    def __init__(self, lab):
        self._log = lab.share / "swaptest.log"
        self._job = lab.swaptest(
            size=f"{PROGRAM}M", limit=f"{LIMIT}M", group="demo", arguments=
            "--rounds=100000 --same=8 --progress=200 >/share/swaptest.log 2>&1")
        self._machine = lab.borrowers[0]

    def _text(self):
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def state(self):
        """(pages checked so far, pages wrong or lost, passes that are complete)."""
        text = self._text()
        if not self._job.running():
            raise LabError(f"the program has ended:\n{text[-1000:]}")
        last = re.findall(r"checked (\d+) lost (\d+) wrong (\d+)", text)
        checked, lost, wrong = map(int, last[-1]) if last else (0, 0, 0)
        return checked, lost + wrong, len(self.passes())

    def passes(self):
        """Of every complete pass: (pages, faults/s, median and 99th percentile fault in us)."""
        whole = PROGRAM * MIB // PAGE
        found = re.findall(r"^pass \d+: (\d+) pages .* (\d+) faults/s"
                           r"(?: p50 (\d+) us p99 (\d+) us .*)? lost 0 wrong 0$",
                           self._text(), re.M)
        passes = [tuple(int(n or 0) for n in one) for one in found]
        return [one for one in passes if one[0] == whole]

    def begin_pass(self):
        self._machine.check("pkill -USR1 -x swaptest")

    def end(self):
        """Stop it; returns (pages checked, pages lost, pages wrong) of the whole run."""
        self._machine.check("pkill -TERM -x swaptest")
        code = self._job.wait(60)[0]
        total = re.search(r"^total: .* (\d+) checked .* lost (\d+) wrong (\d+)$", self._text(),
                          re.M)
        if code or not total:
            raise LabError(f"the program ended with exit code {code}:\n{self._text()[-1000:]}")
        return tuple(map(int, total.groups()))


class Watch:
    """Looks at both machines every two seconds, and prints a line of what is seen."""

    def __init__(self, lab, program):
        self._lab = lab
        self._program = program
        self._faults = None     # (time, count) of the last look
        self.now = {}

    def look(self):
        borrower, donor = self._lab.borrowers[0], self._lab.donors[0]
        ours = borrower.spawn(
            f"cd {SYSFS}; for f in {' '.join(COUNTERS)}; do read -r v <$f; echo $f $v; done; "
            "grep '^pgmajfault ' /sys/fs/cgroup/demo/memory.stat")
        theirs = donor.spawn("ramsterctl status --json")
        at = time.monotonic()
        now = {name: int(value) for name, value in
               (line.split() for line in answer(ours).splitlines())}
        status = json.loads(answer(theirs))
        now.update((name, status[name]) for name in ("granted_bytes", "rss_bytes"))
        now["checked"], now["bad"], now["passes"] = self._program.state()
        before = self._faults or (at - 1, now["pgmajfault"])
        now["rate"] = (now["pgmajfault"] - before[1]) / (at - before[0])
        self._faults = (at, now["pgmajfault"])
        self.now = now
        bad = {name: now[name] for name in BAD if now[name]}
        if bad:
            raise LabError(f"pages wrong or lost: {bad}")

    def show(self):
        n = self.now
        pages = [n[name] * PAGE / MIB for name in ("remote_pages", "compressed_pages",
                                                   "same_pages")]
        print(f"{time.monotonic() - began:7.0f} | {pages[0]:7.1f} {pages[1]:5.1f} {pages[2]:10.1f} "
              f"| {n['granted_bytes'] / MIB:5.0f} {n['rss_bytes'] / MIB:5.1f} "
              f"| {n['wire_write_bytes'] / MIB:5.0f} {n['wire_read_bytes'] / MIB:5.0f} "
              f"| {n['read_p50_ns'] / 1e6:4.1f} {n['read_p99_ns'] / 1e6:6.1f} "
              f"| {n['rate']:8.0f} {n['checked']:8} {n['bad']:5}", flush=True)

    def until(self, what, condition, timeout):
        """Look and show until condition(self.now)."""
        end = time.monotonic() + timeout
        while True:
            start = time.monotonic()
            self.look()
            self.show()
            if condition(self.now):
                return
            if time.monotonic() > end:
                raise LabError(f"not within {timeout} s: {what}")
            time.sleep(max(0.0, start + SAMPLE_SECONDS - time.monotonic()))

    def full_pass(self):
        """Until a pass that begins now is complete."""
        done = self._program.state()[2]
        self._program.begin_pass()
        # The pass at hand may have come to its end just before.
        done = max(done, self._program.state()[2])
        self.until("a full pass over all pages", lambda n: n["passes"] > done, PASS_SECONDS)


def on_donor(lab):
    """MiB of the donor's slabs that are not zero: lent zero, so this came by wire."""
    written, _ = lab.donors[0].check("slabpages $(pgrep -x ramsterd)").split()
    return int(written) * PAGE / MIB


def set_up(lab):
    headline("2. Lend and borrow",
             f"The donor lends {DONATION} MiB of its RAM. The borrower loads the kernel module, "
             "which offers that RAM as a disk, /dev/ramster0; the borrower swaps to it.")
    print(f"  donor#    ramsterctl donate {DONATION}M", flush=True)
    lab.ctl(f"donate {DONATION}M")
    parameters = "slab_size=4M size=128M"
    print(f"  borrower# {lab.insmod(parameters)}", flush=True)
    lab.load_module(parameters)
    print("  borrower# mkswap /dev/ramster0; swapon /dev/ramster0", flush=True)
    lab.swapon()


def fill(lab):
    """The program starts; returns (program, watch, MiB on the donor) after its first pass."""
    headline("3. Use more memory than there is",
             f"A program fills {PROGRAM} MiB in a cgroup that allows it {LIMIT} MiB, then reads "
             "every page back and checks every byte, over and over, and rewrites a quarter of "
             "them. What does not fit goes to the donor's RAM by RDMA.")
    print(HEAD, flush=True)
    program = Program(lab)
    watch = Watch(lab, program)
    watch.until("the first pass over all pages", lambda n: n["passes"] >= 1, PASS_SECONDS)
    there = on_donor(lab)
    print(f"  counted in the donor's memory: {there:.1f} MiB have arrived there", flush=True)
    # Slots that the borrower has freed since are not zero either.
    return program, watch, min(there, watch.now["remote_pages"] * PAGE / MIB)


def revoke(lab, watch):
    """Returns (pages checked meanwhile, seconds, MiB by which ramsterd shrank)."""
    headline("4. The donor wants its RAM back",
             f"The donor revokes {HALF} MiB while the program runs. The borrower moves those pages "
             "to the slabs that stay and, compressed, into its own RAM; then the donor's memory is "
             "free. The program notices nothing.")
    print(f"  donor#    ramsterctl revoke {HALF}M --deadline {REVOKE_SECONDS}s", flush=True)
    print(HEAD, flush=True)
    watch.look()
    before, start = dict(watch.now), time.monotonic()
    job = lab.donors[0].spawn(f"ramsterctl revoke {HALF}M --deadline {REVOKE_SECONDS}s")
    watch.until("the revoked RAM back with the donor", lambda _: not job.running(),
                REVOKE_SECONDS + 30)
    code, said = job.wait(0)
    took = time.monotonic() - start
    watch.look()
    if code:
        raise LabError(f"ramsterctl revoke: exit code {code}\n{said}")
    shrank = (before["rss_bytes"] - watch.now["rss_bytes"]) / MIB
    if shrank < HALF - 1:
        raise LabError(f"ramsterd shrank by {shrank:.1f} MiB only, not by {HALF}")
    print(f"  {HALF} MiB are back after at most {took:.1f} s; now a full pass over what is spread "
          "over donor and borrower", flush=True)
    checked = watch.now["checked"] - before["checked"]
    if not checked:
        raise LabError("the program verified nothing during the revoke")
    return before["checked"], checked, took, shrank


def donate_again(lab, watch):
    headline("5. The donor has room again",
             f"The donor lends {HALF} MiB once more: the compressed pages are shipped out to it, "
             "and the borrower has its own RAM back.")
    print(f"  donor#    ramsterctl donate {HALF}M", flush=True)
    print(HEAD, flush=True)
    held, shipped = watch.now["compressed_pages"], watch.now["shipped_pages"]
    lab.ctl(f"donate {HALF}M")
    watch.until("compressed pages shipped out to the donor",
                lambda n: n["compressed_pages"] <= held // 10, 60)
    print("  once more a full pass over all pages", flush=True)
    watch.full_pass()
    return watch.now["shipped_pages"] - shipped


def tear_down(lab, program):
    """Returns (what the program counted, seconds of swapoff and rmmod)."""
    headline("6. Everything back", "The program ends, swap and module go, and the donor has all "
             "of its RAM again.")
    totals = program.end()
    took = lab.swapoff() + lab.unload_module()
    wait_for("all memory back with the donor",
             lambda: not lab.donor_status()["granted_bytes"], 30)
    return totals, took


def demo(lab):
    """All phases on running machines; returns the table's rows."""
    set_up(lab)
    program, watch, most = fill(lab)
    if most < PROVEN:
        raise LabError(f"only {most:.1f} MiB lay on the donor; {PROVEN} are wanted")
    before, during, took, shrank = revoke(lab, watch)
    watch.full_pass()
    shipped = donate_again(lab, watch)
    last = watch.now
    passes = program.passes()
    (checked, lost, wrong), gone = tear_down(lab, program)
    wire_out, wire_in = (last[f"wire_{name}_bytes"] / MIB for name in ("write", "read"))
    return [
        ("pages of the program", f"{PROGRAM * MIB // PAGE}, in memory for {LIMIT * MIB // PAGE}"),
        ("pages verified before the revoke", before),
        ("pages verified while the RAM was taken back", during),
        ("pages verified after it", checked - before - during),
        ("pages wrong, pages lost", f"{wrong}, {lost}"),
        ("most that lay on the donor, counted there", f"{most:.1f} MiB"),
        ("RAM given back to the donor under load", f"{shrank:.1f} MiB within {took:.1f} s"),
        ("compressed pages shipped out afterwards", shipped),
        ("over the wire, out and in", f"{wire_out:.0f} MiB, {wire_in:.0f} MiB"),
        ("read from /dev/ramster0, median and 99 %",
         f"{last['read_p50_ns'] / 1e6:.2f} ms, {last['read_p99_ns'] / 1e6:.2f} ms"),
        ("page fault of the program, median and 99 %",
         f"{passes[-1][2] / 1e3:.2f} ms, {passes[-1][3] / 1e3:.2f} ms"),
        ("swapoff and rmmod", f"{gone:.1f} s"),
    ]


def main():
    headline("1. Two machines",
             "Two virtual machines with the stock kernel of Debian 12, joined by Ethernet. Each "
             "gets Soft-RoCE, which is RDMA in software. What is missing is downloaded and built "
             f"first, once, into {cache.root()}.")
    with Fabric(KERNEL, donate="0", name="demo", tools=("swaptest", "slabpages")) as lab:
        rows = demo(lab)
    print(flush=True)
    for one in [*rows, ("kernel warnings on either machine", 0),
                ("all of it took", f"{time.monotonic() - began:.0f} s")]:
        row(*one)
    print("\ndemo: ok", flush=True)


def run():
    logs = TREE / "build/lab/logs/demo"
    try:
        main()
        return 0
    except KeyboardInterrupt:
        print("\ndemo: interrupted; the machines are gone", flush=True)
        return 130
    except BrokenPipeError:     # nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # pylint: disable=broad-except # whatever it was, say it
        logs.mkdir(parents=True, exist_ok=True)
        (logs / "demo.trace").write_text(traceback.format_exc(), encoding="utf-8")
        first, _, rest = str(error).partition("\n")
        if rest:
            print(rest, file=sys.stderr)
        print(f"\ndemo: FAILED: {type(error).__name__ if not first else first}\n"
              f"demo: logs of both machines and of ramsterd are in {logs}", flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(run())
