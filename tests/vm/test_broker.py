#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""ramsterd and ramsterctl against borrowers, good and bad.

    node1: ramsterd, ramsterctl             node2: broker-client
           10.7.7.1, fd07::1   <---- verbs ----   10.7.7.2, fd07::2
           control socket      <---- relay ----   its borrowers' view of the operator

Usage: test_broker.py [TEST...]   (names of broker_client.c's tests)
RAMSTER_BUILD is the build tree to take the programs from. RAMSTER_WIRE=siw tries iWARP, where
5.10's siw fails by itself: bad-requests (its rejects carry no reason), bad-access (a WRITE
succeeds before it arrives), IPv6 (a port takes one wildcard listener).
"""
import json
import os
import sys
import time
from pathlib import Path

from lab import scenario, uml_node

COST = 55
PROGRAMS = scenario.build_directory() / "rdma-broker"
SOCKET = "/run/ramster/ramsterd.sock"
CTL = f"{PROGRAMS}/ramsterctl"
OPTIONS = "--heartbeat=300ms --grace=2s --max-lanes=4 --quota=40M --donate=48M"
MIB = 1 << 20
UUID = "77777777-7777-7777-7777-777777777777" # as in broker_shares.c
OTHER = "88888888-8888-8888-8888-888888888888"
RELAY_PORT = 7471
RELAY_SOCKET = "/run/relay.sock"

# How the daemon must answer its operator: command, exit code, words of the answer.
COMMANDS = (
    ("status", 0, "48 MiB"),
    ("slabs", 0, "no slabs"),
    ("clients", 0, "no clients"),
    ("donate 1000G", 1, "at most"),
    ("donate 16M --numa 99", 1, "NUMA"),
    ("donate 16M", 0, "64 MiB donated"),
    ("revoke 1G", 1, "only 64 MiB are donated"),
    ("revoke 16M", 0, "done: 16 MiB back"),
    ("revoke --slab 99", 1, "no slab 99"),
    ("revoke", 2, "either a size"),
    ("revoke 1x", 2, "not a size"),
    ("revoke 1M --deadline 1y", 2, "not a time"),
    ("donate", 2, "say how much"),
    ("shared list", 0, "no file system is shared"),
    (f"shared deny {UUID}", 1, "is not allowed to be shared"),
    (f"shared allow {UUID}", 0, "256 MiB of the donation"),
    (f"shared allow {UUID} 16M", 0, "16 MiB of the donation"),
    (f"shared allow {UUID.upper()}", 0, "16 MiB of the donation"),
    (f"shared allow {OTHER} 1G", 0, "1 GiB of the donation"),
    ("shared list", 0, OTHER),
    ("shared list --json", 0, '"allowed_bytes":16777216'),
    ("status", 0, "2 are allowed"),
    (f"shared deny {UUID} --deadline 1s", 0, "done: 0 B back"),
    (f"shared deny {OTHER} --no-wait", 0, "is not shared any more"),
    ("shared list", 0, "no file system is shared"),
    (f"shared allow {UUID} 3M", 2, "not a power of two"),
    (f"shared allow {UUID} 2G", 2, "not a power of two"),
    (f"shared allow {UUID} big", 2, "not a size"),
    (f"shared allow {UUID} 1M 1M", 2, "unexpected"),
    (f"shared allow {UUID} 1M --force", 2, "say allow"),
    ("shared allow sda1", 2, "not the UUID of a file system"),
    ("shared allow", 2, "say allow"),
    ("shared lend", 2, "none of allow, deny and list"),
    ("shared", 2, "say allow"),
    ("fly", 2, "unknown command"),
    ("--socket /nowhere status", 1, "is it running"),
)

# What comes in on the control socket, and words of what must come out.
LINES = (
    (b'{"command":"status"}\n', b'"donation_bytes":50331648'),
    (b'{"command":"fly"}\n', b"unknown command"),
    (b'{"command":"status","bytes":1}\n', b"not used here"),
    (b'{"command":"donate","bytes":-1}\n', b"out of range"),
    (b'{"command":"revoke"}\n', b"give one of"),
    (b"[1]\n", b"not an object"),
    (b"\x00\xff\n", b"not JSON"),
    (b"x" * 70000, b"too long"),
    (b'{"command":"status"}\n{"command":"slabs"}\n', b'"slabs":[]'),
)

# Runs on the node: sends each line on a connection of its own.
TALK = f"""
import socket, sys
for data, want in {LINES!r}:
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect("{SOCKET}")
    try:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    got = b""
    try:
        while chunk := s.recv(65536):
            got += chunk
    except OSError:
        pass
    if want not in got:
        sys.exit(f"{{data[:60]!r}}: {{got!r}} has no {{want!r}}")
# Half a line and silence, and more of them than there is room for.
idle = [socket.socket(socket.AF_UNIX) for _ in range(40)]
for s in idle:
    s.connect("{SOCKET}")
    try:
        s.sendall(b'{{"comm')
    except OSError:
        pass
"""

# Carries a stream socket from one node to the other: relay.py listen|connect.
RELAY = f"""
import socket, sys, threading

def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

def dial():
    if sys.argv[1] == "connect":
        return socket.create_connection(("10.7.7.1", {RELAY_PORT}))
    s = socket.socket(socket.AF_UNIX)
    s.connect("{SOCKET}")
    return s

if sys.argv[1] == "connect":
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("{RELAY_SOCKET}")
    listener.listen(16)
else:
    listener = socket.create_server(("", {RELAY_PORT}))
while True:
    near = listener.accept()[0]
    try:
        far = dial()
    except OSError:
        near.close()
        continue
    for pair in ((near, far), (far, near)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""

failures = []


def say(ok, what, detail=""):
    """One line per check; the detail of a failure below it."""
    print(f"{'ok' if ok else 'NOT OK'} - {what}", flush=True)
    if not ok:
        failures.append(what)
        print("    " + detail.strip().replace("\n", "\n    "), flush=True)


def status(node):
    """The daemon's word on itself."""
    return json.loads(node.check(f"{CTL} status --json"))


def wait_status(node, **wanted):
    """Until the status has these values; what it was last, if not in time, is an error."""
    deadline = time.monotonic() + 20
    while any((now := status(node))[key] != value for key, value in wanted.items()):
        if time.monotonic() > deadline:
            raise uml_node.LabError(f"not {wanted}: {now}")


def start(node, options=OPTIONS, launcher=""):
    """Run ramsterd; returns its job when it answers."""
    job = node.spawn(f"exec {launcher} {PROGRAMS}/ramsterd {options}")
    deadline = time.monotonic() + 20
    while node.sh(f"{CTL} status")[0]:
        if time.monotonic() > deadline or not job.running():
            raise uml_node.LabError(f"ramsterd does not come up:\n{job.output()}")
    return job


def end(job, seconds, sig="TERM"):
    """Signal it and wait; (exit code or None, seconds it took, output)."""
    began = time.monotonic()
    job.kill(sig)
    try:
        code, output = job.wait(seconds)
    except uml_node.LabError as error:
        return None, time.monotonic() - began, str(error)
    return code, time.monotonic() - began, output


def test_commands(node):
    """ramsterctl: answers, exit codes, and lines that it would never send."""
    for command, want, words in COMMANDS:
        code, output = node.sh(f"{CTL} {command}")
        say(code == want and words in output, f"ramsterctl {command}", f"exit {code}\n{output}")
    (node.run / "talk.py").write_text(TALK, encoding="utf-8")
    code, output = node.sh("python3 /run/lab/talk.py", timeout=120)
    say(code == 0, "control socket: strange lines", output)
    mode = node.check(f"stat -c %a {os.path.dirname(SOCKET)}").strip()
    say(mode == "755", "control socket: its directory can be entered", mode)
    code, output = node.sh("setpriv --reuid 65534 --clear-groups python3 -c 'import socket;"
                           f'socket.socket(socket.AF_UNIX).connect("{SOCKET}")\'')
    say(code != 0 and "PermissionError" in output, "control socket: closed to others", output)
    say(status(node)["donation_bytes"] == 48 * MIB, "the daemon still answers")


def relay(donor, borrower):
    """Let programs on the borrower's node reach the control socket at RELAY_SOCKET."""
    for node, end_of in ((donor, "listen"), (borrower, "connect")):
        (node.run / "relay.py").write_text(RELAY, encoding="utf-8")
        node.spawn(f"exec python3 /run/lab/relay.py {end_of}")
    borrower.check(f"for i in $(seq 100); do [ -S {RELAY_SOCKET} ] && "
                   f"{CTL} -s {RELAY_SOCKET} status && exit 0; sleep 0.1; done; exit 1")


def test_borrowers(donor, borrower, names):
    """Every test of broker_client.c, over IPv4; over IPv6 and to itself the good one."""
    relay(donor, borrower)
    for node, address, chosen in ((borrower, donor.ip, names), (borrower, donor.ip6, ["serves"]),
                                  (donor, donor.ip, ["serves"])):
        socket = SOCKET if node is donor else RELAY_SOCKET
        code, output = node.sh(f"{PROGRAMS}/broker-client {address} {socket} {' '.join(chosen)}",
                               timeout=600)
        for line in output.splitlines():
            if line.startswith(("ok", "not ok")):
                say(line.startswith("ok"), f"{node.name} to {address}: {line.split(' - ', 1)[1]}",
                    output)
        say(code == 0, f"{node.name} to {address}: broker-client", output)


def test_memory(node):
    """What is lent is resident, what came back is not."""
    before = status(node)["rss_bytes"]
    holder = node.spawn(f"exec {PROGRAMS}/broker-client {node.ip} {SOCKET} hold")
    deadline = time.monotonic() + 20
    while (now := status(node))["granted_bytes"] < 16 * MIB and time.monotonic() < deadline:
        pass
    grown = now["rss_bytes"] - before
    say(15 * MIB <= grown <= 18 * MIB, "16 MiB granted are resident", f"{grown} bytes more")
    code, output = node.sh(f"{CTL} revoke 48M --deadline 1s", timeout=60)
    after = status(node)
    say(code == 0 and "16 MiB were fenced" in output, "revoke of a borrower that does not move",
        output)
    say(after["rss_bytes"] - before < 2 * MIB and not after["granted_bytes"],
        "and none of it stays resident", str(after))
    holder.kill()
    node.check(f"{CTL} donate 48M")


def test_shared(node):
    """Memory of a share: made when somebody joins, kept without members, back when denied."""
    before = status(node)
    node.check(f"{CTL} shared allow {UUID} 32M")
    say(status(node)["rss_bytes"] - before["rss_bytes"] < 2 * MIB, "allowing takes no memory")
    sharer = node.spawn(f"exec {PROGRAMS}/broker-client {node.ip} {SOCKET} share-in")
    wait_status(node, share_members=1)
    grown = status(node)["rss_bytes"] - before["rss_bytes"]
    # 48 bytes of directory and some 30 of books for each page, where they are touched.
    say(32 * MIB <= grown <= 36 * MIB, "a share of 32 MiB is resident", f"{grown} bytes more")
    sharer.kill("KILL")
    wait_status(node, share_members=0)
    now = status(node)
    say(now["granted_bytes"] == 32 * MIB == now["shared_bytes"], "and stays without members",
        str(now))
    code, output = node.sh(f"{CTL} revoke 16M")
    say(code == 0 and "done: 16 MiB back" in output and status(node)["shared_bytes"],
        "a revoke takes what nobody has first", output)
    code, output = node.sh(f"{CTL} revoke 1M")
    say(code == 0 and f"share {UUID} (32 MiB) released" in output, "then shares", output)
    now = status(node)
    say(now["rss_bytes"] - before["rss_bytes"] < 2 * MIB and not now["granted_bytes"],
        "and none of it stays resident", str(now))
    node.check(f"{CTL} donate 17M")
    node.check(f"{CTL} shared deny {UUID}")


def test_no_memory(node):
    """A daemon that may lock 28 MiB cannot map a larger share, nor pin one again and again."""
    job = start(node, OPTIONS + f" --heartbeat=3s --shared='{UUID} 32M'",
                f"prlimit --memlock={28 * MIB} "
                "setpriv --bounding-set -ipc_lock,-sys_resource")
    command = f"exec {PROGRAMS}/broker-client {node.ip} {SOCKET} share-in"
    code, output = node.sh(command)
    say(code == 1 and not status(node)["granted_bytes"], "a share too large to be locked", output)
    node.check(f"{CTL} shared allow {UUID} 8M")
    sharers = []
    while len(sharers) < 8 and all(sharer.running() for sharer in sharers):
        sharers.append(node.spawn(command))
        deadline = time.monotonic() + 20
        while (status(node)["share_members"] < len(sharers) and sharers[-1].running()
               and time.monotonic() < deadline):
            pass
    now = status(node)
    say(1 < len(sharers) < 8 and now["share_members"] == len(sharers) - 1
        and now["shared_bytes"] == 8 * MIB,
        "a member too many to be registered; the others stay", f"{len(sharers)} {now}")
    for sharer in sharers:
        sharer.kill("KILL")
    wait_status(node, share_members=0)
    code, _, output = end(job, 30)
    say(code == 0 and f"cannot back share {UUID} of 32 MiB" in output and
        f"cannot back share {UUID} of 8 MiB" in output, "the log says so", output)


def test_stop(node, job):
    """A stop asks back, waits no longer than it said, and leaves nothing."""
    code, seconds, output = end(job, 30)
    say(code == 0 and seconds < 5, "stop with nothing lent", f"{code} {seconds:.1f} s\n{output}")
    say("ERROR: AddressSanitizer" not in output and "runtime error" not in output,
        "no sanitizer report", output)
    job = start(node, OPTIONS + " --stop-deadline=1s")
    node.spawn(f"exec {PROGRAMS}/broker-client {node.ip} {SOCKET} hold")
    deadline = time.monotonic() + 20
    while status(node)["granted_bytes"] < 16 * MIB and time.monotonic() < deadline:
        pass
    code, seconds, output = end(job, 30)
    say(code == 0 and 0.5 < seconds < 10, "stop while a borrower holds on",
        f"{code} {seconds:.1f} s\n{output}")
    say("ERROR: AddressSanitizer" not in output and "LeakSanitizer" not in output,
        "no sanitizer report", output)
    job = start(node, OPTIONS + f" --stop-deadline=1s --shared='{UUID} 1M' --shared={OTHER}")
    say(status(node)["shares_allowed"] == 2, "two shared file systems by the command line")
    node.spawn(f"exec {PROGRAMS}/broker-client {node.ip} {SOCKET} share-in")
    wait_status(node, share_members=1)
    code, seconds, output = end(job, 30)
    say(code == 0 and 0.5 < seconds < 10, "stop while a borrower stays in a share",
        f"{code} {seconds:.1f} s\n{output}")
    code, output = node.sh(f"{PROGRAMS}/ramsterd --shared='{UUID} 3M'")
    say(code == 2 and "out of range" in output, "a share of no size is refused", output)
    test_no_memory(node)
    job = start(node)
    say(status(node)["donation_bytes"] == 48 * MIB, "it starts again")
    end(job, 10, "KILL")
    job = start(node)
    say(status(node)["donation_bytes"] == 48 * MIB, "and after a SIGKILL")
    code, output = node.sh(f"{PROGRAMS}/ramsterd --donate=1M")
    say(code == 1 and "another ramsterd" in output, "a second one is refused", output)
    end(job, 10)


def test_no_device(node):
    """Without a device it says what to do, or waits for one."""
    # link rxe0/1 state ACTIVE physical_state LINK_UP netdev vec0
    link = node.check("rdma link").split()
    device, netdev = link[1].partition("/")[0], link[link.index("netdev") + 1]
    node.check(f"rdma link delete {device}")
    code, output = node.sh(f"{PROGRAMS}/ramsterd")
    say(code == 1 and "rdma link add" in output, "no device: it says what to do", output)
    job = start(node, "--wait")
    say(not status(node)["listening"], "no device: it waits")
    node.check(f"rdma link add {device} type {device[:-1]} netdev {netdev}")
    deadline = time.monotonic() + 20
    while not (listening := status(node)["listening"]) and time.monotonic() < deadline:
        pass
    say(listening, "it listens when there is one", job.output())
    code, _, output = end(job, 10)
    say(code == 0, "and ends", output)


def main():
    wire = os.environ.get("RAMSTER_WIRE", "rxe")
    with uml_node.Pair(wire=wire, name=f"broker-{wire}") as (node, other):
        if len(sys.argv) == 1:
            test_no_device(other)
        job = start(node)
        try:
            if len(sys.argv) == 1:
                test_commands(node)
            test_borrowers(node, other, sys.argv[1:])
            if len(sys.argv) == 1:
                test_memory(node)
                test_shared(node)
                test_stop(node, job)
        finally:
            if job.running():
                job.kill("TERM")
            print(f"ramsterd's log: {node.run / '1.out'}")
        for each in (node, other):
            say(not each.warnings(), f"{each.name}: no kernel warning",
                "\n".join(each.warnings()))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
