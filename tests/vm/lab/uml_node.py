# SPDX-License-Identifier: GPL-2.0-only
"""User-mode Linux nodes joined by socket pairs.

    with uml_node.Pair(wire="rxe") as (one, two):
        rc, output = two.sh("ping -c 1 10.7.7.1")

Every node sees the host's files read-only, has 10.7.7.N and fd07::N, and one
RDMA device, rxe0 or siw0, over a link of MTU bytes. What it writes under
/run/lab appears in its run directory on the host (Node.run).
"""
import atexit
import contextlib
import ctypes
import fcntl
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from . import uml
from .modules import TREE
from .qemu import SPLAT, LabError

MTU = 9000          # bytes of IP; the vector device takes it from its option alone
LINK_BUFFER = 4 << 20
LINK_PACKETS = 512
SO_SNDBUFFORCE = 32
PR_SET_PDEATHSIG = 1
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


class Job:
    """A command that runs on a node (Node.spawn)."""

    def __init__(self, node, number, command):
        self._node, self._base = node, node.run / str(number)
        self.number, self.command, self.rc = number, command, None

    def output(self):
        """What it has written so far, both streams."""
        try:
            return self._base.with_suffix(".out").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def running(self):
        """Whether it has not ended yet."""
        self._node.pump(0)
        return self.rc is None

    def wait(self, timeout=60):
        """(exit code, output); after timeout seconds it is killed and LabError raised."""
        deadline = time.monotonic() + timeout
        while self.rc is None:
            left = deadline - time.monotonic()
            if left <= 0:
                self.kill()
                raise LabError(f"{self._node.name}: no end after {timeout} s: {self.command}\n"
                               f"{self.output()}")
            self._node.pump(left)
        return self.rc, self.output()

    def kill(self, sig="KILL"):
        """Signal it and all it started, if it still runs."""
        if self.running() and self.number:
            self._node.send(f"{self.number} {sig}")


class Node:
    """One running instance. Made by Fabric; number is 1..9, run its directory on the host."""

    def __init__(self, number, run, kernel, links, options):
        self.number, self.run, self.name = number, run, f"node{number}"
        self.ip, self.ip6 = f"10.7.7.{number}", f"fd07::{number}"
        self._jobs, self._next, self._buffer = {}, 1, b""
        self._logfile = run / "console.log"
        self._scratch = Path(tempfile.mkdtemp(prefix="ramlab-", dir="/dev/shm"))
        self._console, guest = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        shutil.copy("/proc/cpuinfo", run / "cpuinfo")
        (run / "seed").write_bytes(os.urandom(64))
        vectors = [f"vec{i}:transport=fd,fd={s.fileno()},mtu={MTU},depth=128"
                   for i, s in enumerate(links)]
        command = [kernel, "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",
                   f"init={uml.PARTS}/init", f"uml_dir={self._scratch}", "umid=node",
                   "con0=null,fd:1", f"con1=fd:{guest.fileno()}", "con=null", "ssl=null",
                   "printk.devkmsg=on", f"NODE={number}", f"RUN={run}", f"TREE={TREE}",
                   f"LINKS={len(links)}", *options, *vectors]
        with guest, open(self._logfile, "wb") as log:
            self._process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[guest.fileno(), *(s.fileno() for s in links)],
                env=dict(os.environ, TMPDIR=str(self._scratch)), start_new_session=True,
                preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM))
        self._ready = self._jobs[0] = Job(self, 0, "boot")

    def favour(self):
        """Give it a CPU of its own and precedence there, for measurements. Needs root.

        Its kernel and the program it runs are two processes that never run at
        once: apart, each system call takes twice as long. Only the kernel gets
        real-time priority, so that an interrupt is never late; the program,
        which may spin, must give way to it.
        """
        leader = self._process.pid
        cpus = sorted(os.sched_getaffinity(0))
        for thread in _threads_of_session(leader):
            with contextlib.suppress(ProcessLookupError):   # the last command's, just ending
                os.sched_setaffinity(thread, [cpus[self.number % len(cpus)]])
        for task in Path(f"/proc/{leader}/task").iterdir():
            os.sched_setscheduler(int(task.name), os.SCHED_FIFO | os.SCHED_RESET_ON_FORK,
                                  os.sched_param(1))
        # the programs are fair tasks; where autogroup is on, the session's value is theirs
        group = Path(f"/proc/{leader}/autogroup")
        if group.exists():
            group.write_text("-20", encoding="ascii")

    def cpu_seconds(self):
        """CPU that it has used on the host, its kernel and programs, those that ended too."""
        ticks = 0
        for process in _processes_of_session(self._process.pid):
            with contextlib.suppress(OSError):      # has ended meanwhile
                fields = (process / "stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
                ticks += sum(map(int, fields[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def ready(self, timeout=30):
        """Return when its network and RDMA device are up."""
        self._ready.wait(timeout)

    def running(self):
        """Whether the instance lives."""
        return self._process.poll() is None

    def send(self, line):
        """A line to the node's init; only jobs use this."""
        try:
            self._console.sendall(line.encode("ascii") + b"\n")
        except OSError as error:
            raise self._gone() from error

    def _gone(self):
        tail = "\n".join(self.log().splitlines()[-15:])
        return LabError(f"{self.name} is not running; the end of {self._logfile}:\n{tail}")

    def pump(self, timeout):
        """Take in ends of jobs, waiting up to timeout seconds for the first."""
        if not select.select([self._console], [], [], timeout)[0]:
            return
        data = self._console.recv(4096)
        if not data:
            raise self._gone()
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            number, status = map(int, line.split())
            self._jobs.pop(number).rc = status

    def spawn(self, command):
        """Start a bash script; returns its Job."""
        number, self._next = self._next, self._next + 1
        (self.run / f"{number}.cmd").write_text(command + "\n", encoding="utf-8")
        job = self._jobs[number] = Job(self, number, command)
        self.send(str(number))
        return job

    def sh(self, command, timeout=60):
        """Run a bash script; (exit code, output)."""
        return self.spawn(command).wait(timeout)

    def check(self, command, timeout=60):
        """Run a script that must succeed; returns its output."""
        rc, output = self.sh(command, timeout)
        if rc:
            raise LabError(f"{self.name}: exit code {rc}: {command}\n{output}")
        return output

    def log(self):
        """The kernel log so far; a dead node's too."""
        return self._logfile.read_text(encoding="utf-8", errors="replace")

    def warnings(self):
        """Lines of the kernel log that tell of a kernel fault."""
        return [line for line in self.log().splitlines() if SPLAT.search(line)]

    def freeze(self):
        """Stop the node's time: it is there, and silent."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        """Undo freeze."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self):
        """End the instance and all of its processes at once, as a power cut does."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        self._console.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    # An orderly end has nothing to save, and its own warnings would stand in the log.
    stop = kill


def _processes_of_session(leader):
    """What /proc has of a session's processes."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(ProcessLookupError):       # has ended meanwhile
            if os.getsid(int(process.name)) == leader:
                found.append(process)
    return found


def _threads_of_session(leader):
    """Thread ids of all processes of a session; those started later inherit their CPU."""
    found = []
    for process in _processes_of_session(leader):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += [int(task.name) for task in (process / "task").iterdir()]
    return found


def _link():
    """A packet link as two sockets.

    A unix socket queues ten packets unless its network namespace says more,
    which starves a link of 9000-byte packets; so it is made in a namespace of
    its own, entered by one thread, and the host's setting stays.
    """
    pair = []

    def make():
        if LIBC.unshare(CLONE_NEWNET) == 0:
            Path("/proc/sys/net/unix/max_dgram_qlen").write_text(
                str(LINK_PACKETS), encoding="ascii")
        pair.extend(socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    for sock in pair:
        sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, LINK_BUFFER)
    return pair


class Fabric:
    """count nodes in a star around node 1, ended with the with block or the program.

    wire: "rxe" or "siw". memory: of each node. name: of the run directory under
    build/lab/run, one user at a time. options: more of the kernel command line.
    """

    def __init__(self, count=2, wire="rxe", memory="512M", name=None, options=()):
        kernel = uml.prepare() / "linux"
        top = TREE / "build/lab/run" / (name or f"uml-{os.getpid()}")
        top.mkdir(parents=True, exist_ok=True)
        self._lock = open(top / "lock", "w", encoding="ascii")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"{top} is in use by another run; choose another name") from None
        pairs = [_link() for _ in range(count - 1)]
        self.nodes = []
        atexit.register(self.stop)
        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            for number in range(1, count + 1):
                run = top / f"node{number}"
                shutil.rmtree(run, ignore_errors=True)
                run.mkdir()
                links = [p[0] for p in pairs] if number == 1 else [pairs[number - 2][1]]
                self.nodes.append(Node(number, run, kernel, links,
                                       [f"mem={memory}", f"WIRE={wire}", *options]))
            for sock in sum(pairs, []):
                sock.close()
            for node in self.nodes:
                node.ready()
        except BaseException:
            self.stop()
            raise

    def stop(self):
        """End all nodes."""
        atexit.unregister(self.stop)
        for node in self.nodes:
            node.stop()
        self._lock.close()

    def __enter__(self):
        return self.nodes

    def __exit__(self, *_):
        self.stop()


class Pair(Fabric):
    """Two nodes."""
