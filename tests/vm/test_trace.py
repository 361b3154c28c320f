#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tracepoints, latency histograms and counters tell the same story of every page.

    donor1                              borrower1
    ramsterd, 20 MiB  <---- verbs ----  ramster_rdma --- devcheck, 24 MiB; dd
    revoke 8M, donate 48M                 '--- events, debugfs, sysfs

Usage: test_trace.py [61]
"""
import re
from collections import Counter

from lab import fabric
from lab.scenario import DEVICE, MIB, expect, run, say, wait_for

CASES = ("61",)
TRACING = "/sys/kernel/debug/tracing"
HISTOGRAMS = "/sys/kernel/debug/ramster"
PLACES = ("remote", "zstd", "same", "staged", "empty")
PAGE, SLAB, DONATED = 4096, MIB, 20 * MIB
SIZE = 64 * MIB         # of the device
SAME = 256              # pages of one word
EVENT = re.compile(r": ramster_(\w+): (.*)$", re.M)
LONGEST = 30e9          # ns: what the block device waits for a donor


def clear_histograms(borrower):
    borrower.check(f"for file in {HISTOGRAMS}/*; do echo 0 >$file; done")
    left = {name: rows for name, rows in read_histograms(borrower).items() if rows}
    expect(not left, f"nothing in a histogram that was cleared, there is {left}")


def start_tracing(borrower):
    """From here on trace and histograms count the same things."""
    borrower.check(f"cd {TRACING} && echo 16384 >buffer_size_kb && echo 1 >events/ramster/enable")
    clear_histograms(borrower)


def read_events(borrower):
    """[(name, {field: value})] of the trace so far, the oldest first."""
    stats = borrower.check(f"cat {TRACING}/per_cpu/cpu0/stats")
    expect("overrun: 0\n" in stats, f"a trace without gaps:\n{stats}")
    events = []
    for name, fields in EVENT.findall(borrower.check(f"cat {TRACING}/trace", 120)):
        pairs = dict(field.split("=", 1) for field in fields.split())
        events.append((name, {key: int(value) if re.fullmatch(r"-?\d+", value) else value
                              for key, value in pairs.items()}))
    return events


def read_histograms(borrower):
    """{name: [(upper bound in ns, count)]}"""
    text = borrower.check(f"cd {HISTOGRAMS} && for file in *; do echo $file; cat $file; done")
    histograms = {}
    for line in text.splitlines():
        if ":" in line:
            upper, count = line.split(": ")
            histograms[name].append((float(upper), int(count)))
        else:
            name = line
            histograms[name] = []
    return histograms


def work(lab):
    """Ways that pages and slabs can go, one after the other, so that the order is known."""
    borrower = lab.borrowers[0]

    def devcheck(arguments):
        code, output = lab.devcheck(f"--size 24M --threads 2 {arguments}").wait(120)
        expect(code == 0, f"devcheck {arguments}:\n{output}")

    devcheck("fill")        # 4 MiB are compressed, and more while slabs are on their way
    wait_for("the donor full", lambda: lab.sysfs("slots_used") * PAGE == DONATED, 30)
    devcheck("--version 1 verify")
    borrower.check(f"dd if=/dev/zero of={DEVICE} bs=64k count={SAME // 16} seek=512 oflag=direct "
                   f"&& dd if={DEVICE} of=/dev/null bs=64k count={SAME // 16 * 2} skip=512 "
                   "iflag=direct", 60)
    done = lab.ctl(f"revoke {8 * MIB} --deadline 60s", timeout=90)
    expect(not done["fenced_bytes"], f"slabs released, not {done}")
    lab.ctl(f"donate {48 * MIB}")
    wait_for("compressed pages gone", lambda: not lab.sysfs("compressed_pages"), 60)
    devcheck("--version 1 verify")
    borrower.check(f"blkdiscard {DEVICE}")
    wait_for("all slabs given back", lambda: not lab.sysfs("slabs"), 30)


def check_fields(events, donor):
    """Each value is one that can be."""
    for name, e in events:
        text = f"{name} {e}"
        if "slab" in e:
            expect(e["bytes"] == SLAB and e["slab"] > 0 and e["donor"] == donor, text)
            continue
        expect(0 <= e["page"] < SIZE // PAGE, text)
        expect(set(e.values()) & set(PLACES), text)
        expect(not e.get("error") and 0 < e.get("ns", 1) < LONGEST, text)


def check_story(events):
    """Where a page lies follows from what happened to it."""
    place = {}
    for name, e in events:
        if "page" not in e:
            continue
        was = place.get(e["page"], "empty")
        said = e["from"] if name == "move" else e.get("where")
        expect(name == "put" or said == was, f"page {e['page']} was {was}: {name} {e}")
        if name != "get":
            place[e["page"]] = {"put": said, "move": e.get("to"), "flush": "empty"}[name]
    expect(set(place.values()) == {"empty"}, f"all discarded, not {Counter(place.values())}")


def check_counts(events, histograms, grew):
    """Trace, debugfs and sysfs agree."""
    by_place = Counter(f"{name}_{e['where']}" for name, e in events if "where" in e)
    for name, rows in histograms.items():
        counted, total = sum(count for _, count in rows), grew[name.replace("_", "s_")]
        expect(by_place[name] == counted == total,
               f"{name}: {by_place[name]} in the trace, {counted} in debugfs, {total} in sysfs")
        expect([upper for upper, _ in rows] == sorted(upper for upper, _ in rows),
               f"{name} in order: {rows}")
    for op, counter in (("get", "reads"), ("put", "writes")):
        total = sum(by_place[f"{op}_{place}"] for place in PLACES)
        expect(total == grew[counter], f"{total} {op} events, {counter} grew by {grew[counter]}")
    names = Counter(name for name, _ in events)
    for event, counter in (("grant", "slabs_granted"), ("revoke", "slabs_revoked"),
                           ("release", "slabs_released"), ("fence", "slabs_fenced"),
                           ("flush", "discards")):
        expect(names[event] == grew[counter],
               f"{names[event]} {event} events, {counter} grew by {grew[counter]}")
    moves = Counter((e["from"], e["to"]) for name, e in events if name == "move")
    expect(moves["remote", "zstd"] + moves["remote", "remote"] == grew["evacuated_pages"]
           and moves["zstd", "remote"] == grew["shipped_pages"], f"{moves} against {grew}")
    return by_place, names, moves


def test(engine):
    with fabric.open_fabric(engine, donate=DONATED, tools=("devcheck",)) as lab:
        borrower = lab.borrowers[0]
        lab.load_module(f"size={SIZE} slab_size={SLAB} zpool_percent=60")
        start_tracing(borrower)
        before = lab.statistics()
        work(lab)
        events = read_events(borrower)
        after, histograms = lab.statistics(), read_histograms(borrower)
        grew = {name: value - before.get(name, 0) for name, value in after.items()}
        expect(not grew["retries"], f"no request tried twice, {grew['retries']} were")
        say(f"{len(events)} events")
        check_fields(events, lab.donors[0].ip)
        check_story(events)
        by_place, names, moves = check_counts(events, histograms, grew)
        wanted = [by_place[f"{op}_{place}"] for op in ("get", "put")
                  for place in ("remote", "zstd", "same")]
        wanted += [names[name] for name in ("grant", "revoke", "release", "flush")]
        wanted += [moves["remote", "zstd"], moves["zstd", "remote"], by_place["get_empty"]]
        expect(all(wanted), f"each kind of event: {by_place} {names} {moves}")
        # who looks for a filesystem reads empty pages too
        expect(by_place["put_same"] == by_place["get_same"] == SAME <= by_place["get_empty"],
               f"{SAME} pages of one word and as many never written: {by_place}")
        expect(12 * MIB < after["slots_used_max"] * PAGE <= 48 * MIB and
               after["zpool_used_max_bytes"] > MIB, f"maxima that can be: {after}")
        for title, counts in (("pages", by_place), ("events", names), ("moves", moves)):
            say(f"{title}: {dict(counts)}")
        clear_histograms(borrower)
        expect(lab.sysfs("gets_remote") == after["gets_remote"], "sysfs counts on")
        lab.unload_module()
        borrower.check(f"test ! -e {HISTOGRAMS} && test ! -e {TRACING}/events/ramster")


if __name__ == "__main__":
    run(test, CASES)
