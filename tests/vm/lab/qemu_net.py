# SPDX-License-Identifier: GPL-2.0-only
"""One Ethernet segment of QEMU guests, over unix datagram sockets.

Two guests send to each other directly. More go through a learning switch, a
process of its own: `qemu_net.py DIRECTORY COUNT`. Sockets have names, so a
guest that comes back after a kill finds its place again.
"""
import ctypes
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

FRAME = 65536 + 128     # bytes; a guest may hand over a whole TCP segment before it is cut
QUEUE = 512             # frames; unix sockets queue 10 by default, which makes rxe retry
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1


def in_child():
    """What every process of the lab does before it starts: die with its parent, and live in a
    network namespace with longer socket queues.

    The host's setting stays as it is, and a guest can reach nothing but its segment. Without
    root the namespace stays as it was, and is slower.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0:
        Path("/proc/sys/net/unix/max_dgram_qlen").write_text(str(QUEUE), encoding="ascii")


class Segment:
    """A segment for count guests; use as a context manager or close() it."""

    def __init__(self, count):
        self._count = count
        self._dir = tempfile.TemporaryDirectory(prefix="lab-net-")
        self._switch = None
        if count > 2:
            self._switch = subprocess.Popen(
                [sys.executable, __file__, self._dir.name, str(count)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, preexec_fn=in_child)
            self._switch.stdout.readline()  # its sockets exist

    def netdev(self, index):
        """The QEMU -netdev option, without an id, of guest index (0…count-1)."""
        local = f"{self._dir.name}/{index}"
        remote = f"{self._dir.name}/{1 - index}" if self._count == 2 else f"{local}.switch"
        Path(local).unlink(missing_ok=True)  # left by a guest that was killed
        return (f"dgram,local.type=unix,local.path={local},remote.type=unix,"
                f"remote.path={remote}")

    def close(self):
        if self._switch:
            self._switch.kill()
            self._switch.wait()
            self._switch = None
        self._dir.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _switch(directory, count):
    """Forward frames until killed."""
    ports, where = {}, {}
    poll = select.poll()
    for i in range(count):
        port = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        port.bind(f"{directory}/{i}.switch")
        ports[port.fileno()] = (port, f"{directory}/{i}")
        poll.register(port, select.POLLIN)
    print("ready", flush=True)
    while True:
        for source, _ in poll.poll():
            port, _ = ports[source]
            frame = port.recv(FRAME)
            where[frame[6:12]] = source
            known = where.get(frame[:6])
            for target in [known] if known is not None else ports:
                if target == source:
                    continue
                try:
                    port.sendto(frame, ports[target][1])
                except OSError:
                    pass  # that guest is not there (any more): the frame is lost, as on a wire


if __name__ == "__main__":
    _switch(sys.argv[1], int(sys.argv[2]))
