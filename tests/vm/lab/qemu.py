# SPDX-License-Identifier: GPL-2.0-only
"""Machines: QEMU guests with kernels of kernels.py.

A Machine is one guest. Commands go to its init (guest/init) over a
virtio-serial port and may run beside each other. The share, a directory of
the host, is at /share in the guest. A machine never outlives this process.
"""
import atexit
import base64
import contextlib
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import lru_cache
from pathlib import Path

from . import cache, kernels, qemu_net, rootfs

QEMU = "qemu-system-x86_64"
# The settings that were fastest under emulation: two vCPUs of one guest fight over locks, and a
# CPU model with AVX makes the guest pick code that is slow to translate.
EMULATED = ["-accel", "tcg,thread=multi,tb-size=256", "-cpu", "Nehalem"]
VIRTUALISED = ["-accel", "kvm", "-cpu", "host"]
# The guest's clock counts its instructions, whatever the host is busy with; idle it follows the
# host's. One takes so many ns: 8 is what an emulated CPU about does.
INSTRUCTION_NS = 8
COUNTED = ["-accel", "tcg,thread=single,tb-size=256", "-cpu", "Nehalem",
           "-icount", f"shift={INSTRUCTION_NS.bit_length() - 1}"]
CMDLINE = ("console=ttyS0 loglevel=5 panic=-1 oops=continue nokaslr no5lvl mitigations=off nopti "
           "random.trust_cpu=on tsc=reliable no_timer_check audit=0 selinux=0 apparmor=0 "
           "nowatchdog net.ifnames=0")
# What a kernel says when something is wrong with it. No kernel of the lab says any of it
# by itself at boot, so there is no list of exceptions. "Hardware memory corruption" is what 6.6
# and later call a page that a program has poisoned itself (UFFDIO_POISON), and then touches.
SPLAT = re.compile(
    r"WARNING:|BUG:|Oops|Call Trace|general protection|nable to handle|Kernel panic|stack-protector"
    r"|blocked for more than|rcu: INFO|detected stall|self-detected|soft lockup|hard LOCKUP"
    r"|(circular|recursive) locking|inconsistent lock state|suspicious RCU|DEBUG_LOCKS_WARN"
    r"|INFO: trying to register non-static key|lockdep is turned off"
    r"|sleeping function called|scheduling while atomic|refcount_t|ODEBUG:"
    r"|(?<!hardware memory )corruption"
    r"|Bad (page|rss-counter|swap)|Objects remaining|UBSAN|KASAN|KCSAN|kmemleak: [1-9]")

_live = set()


class LabError(RuntimeError):
    """A guest did not do what it was asked to."""


def _end_all():
    for machine in list(_live):
        machine.kill()


def _on_sigterm(number, _frame):
    sys.exit(128 + number)  # so that with blocks and atexit do their part


@lru_cache
def _guard():
    """Arrange that no guest outlives this process."""
    atexit.register(_end_all)
    if threading.current_thread() is threading.main_thread():
        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _on_sigterm)


@lru_cache
def _cpu_options(kernel):
    """KVM where a guest really boots with it; a device node alone says nothing."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return EMULATED
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    note = cache.root() / "kvm-probe"
    if not note.exists() or note.read_text().split()[0] != boot:
        works = _kvm_boots(kernels.prepare(kernel))
        cache.say("KVM works" if works else "KVM does not boot a guest here: emulating")
        note.write_text(f"{boot} {'works' if works else 'hangs'}")
    return VIRTUALISED if note.read_text().split()[1] == "works" else EMULATED


def _kvm_boots(entry):
    command = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-m", "256",
               *VIRTUALISED, "-kernel", str(entry / "vmlinux"), "-initrd", str(entry / "initrd"),
               "-append", f"{CMDLINE} labprobe", "-no-reboot", "-serial", "stdio"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, preexec_fn=qemu_net.in_child) as probe:
        try:
            return b"LAB-ALIVE" in probe.communicate(timeout=6)[0]
        except subprocess.TimeoutExpired:
            probe.kill()
            return False


def splats(log):
    """The faults that a kernel log tells of."""
    lines = log.splitlines()
    blocks, end = [], -1
    for i, line in enumerate(lines):
        if i >= end and SPLAT.search(line):
            end = i + 30
            blocks.append("\n".join(lines[max(0, i - 2):end]))
    return blocks


class Job:
    """A command that runs in a guest."""

    def __init__(self, machine, number, command):
        self.machine = machine
        self.id = f"j{number}"
        self.command = command
        self._done = threading.Event()
        self._result = None

    def finish(self, code, output):
        """Called by the machine's reader: the job's end. code None: the guest is gone."""
        self._result = (code, output)
        self._done.set()

    def running(self):
        return not self._done.is_set()

    def wait(self, timeout):
        """(exit code, output); after timeout seconds the command is killed and LabError raised."""
        if not self._done.wait(timeout):
            self.kill()
            self._done.wait(10)
            output = self._result[1] if self._result else "(the guest does not answer)"
            raise LabError(f"{self.machine.name}: no end after {timeout} s: {self.command}\n"
                           f"{output}")
        if self._result[0] is None:
            raise LabError(f"{self.machine.name} ended during: {self.command}")
        return self._result

    def output(self):
        """What it has printed so far."""
        if self._done.is_set():
            return self._result[1]
        return self.machine.sh(f"cat /run/lab/{self.id}.out")[1]

    def kill(self):
        """SIGKILL to the command and all it started."""
        if not self._done.is_set():
            self.machine.send(f"{self.id} kill\n")


class Machine:
    """One guest. share: host directory for /share. log_dir: where the console goes.
    net: QEMU -netdev options without the id, or None; number: last byte of its addresses and
    of its MAC. mem in MiB. cpus: of the guest; more than one is slow
    unless KVM works. disks: image files, in order from /dev/vdc. counted: its time is its
    instructions (INSTRUCTION_NS each), for measurements."""

    def __init__(self, name, kernel, share, log_dir, number=1, net=None, mem=384, rxe=True,
                 append="", disks=(), cpus=1, counted=False):
        self.name = name
        self.kernel = kernel
        self.ip = f"10.9.0.{number}"
        self.ip6 = f"fd00:9::{number}"
        self.console = Path(log_dir) / f"{name}.console"
        self._share = Path(share)
        self._number = number
        self._net = net
        self._mem = mem
        self._append = f"lab.name={name} lab.ip={number} lab.rxe={int(rxe)} {append}"
        self._disks = disks
        self._cpus = cpus
        self._counted = counted
        self._numbers = itertools.count()
        self._send_lock = threading.Lock()
        self._jobs, self._ready = {}, None
        self._process = self._control = None

    def _command(self, control_fd):
        entry = kernels.prepare(self.kernel)
        # Where there can be only one CPU, QEMU emulates locked instructions as plain ones. Linux
        # uses one as the barrier between offering a buffer and looking whether to notify; then
        # QEMU's own thread misses a notification now and then, and the network stands still.
        possible = max(self._cpus, 2)
        command = [
            QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35",
            *(COUNTED if self._counted else _cpu_options(self.kernel)),
            "-smp", f"{self._cpus},maxcpus={possible}", "-m", str(self._mem),
            "-no-reboot",
            "-kernel", str(entry / "vmlinux"), "-initrd", str(entry / "initrd"),
            "-append", f"{CMDLINE} {self._append}", "-serial", "chardev:console",
            "-chardev", f"file,id=console,path={self.console},append=on",
            "-device", "virtio-serial-pci", "-chardev", f"socket,id=control,fd={control_fd}",
            "-device", "virtserialport,chardev=control,name=lab", "-device", "virtio-rng-pci",
            "-fsdev", f"local,id=share,path={self._share},security_model=none",
            "-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]
        images = [(rootfs.guest(), "on"), (entry / "modules.img", "on"),
                  *((disk, "off") for disk in self._disks)]
        for i, (image, readonly) in enumerate(images):
            command += ["-drive", f"file={image},if=none,id=d{i},format=raw,readonly={readonly},"
                        "file.locking=off", "-device", f"virtio-blk-pci,drive=d{i}"]
        if self._net:
            mac = f"52:54:00:09:00:{self._number:02x}"
            command += ["-netdev", f"{self._net},id=n0",
                        "-device", f"virtio-net-pci,netdev=n0,mac={mac}"]
        return command

    def start(self):
        """Begin to boot; ready() waits for the end. Call from a thread that lives on."""
        _guard()
        self._jobs, self._ready = {}, Job(self, 0, "boot")
        lab = self._share / "lab"
        lab.mkdir(parents=True, exist_ok=True)
        shutil.copy(kernels.GUEST / "init", lab / "init")
        self.console.parent.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        with theirs, open(self.console.with_suffix(".qemu"), "wb") as out:
            self._process = subprocess.Popen(
                self._command(theirs.fileno()), stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, pass_fds=[theirs.fileno()], start_new_session=True,
                preexec_fn=qemu_net.in_child)
        self._control = ours
        self._started = time.monotonic()
        _live.add(self)
        threading.Thread(target=self._read, args=(ours, self._ready, self._jobs),
                         daemon=True).start()

    def ready(self, timeout=120):
        """Wait for the boot's end."""
        try:
            self._ready.wait(timeout)
        except LabError as error:
            said = self.console.with_suffix(".qemu").read_text(errors="replace").strip()
            tail = "\n".join(self.log().splitlines()[-15:])
            raise LabError(f"{self.name} (kernel {self.kernel}) did not boot in {timeout} s; "
                           f"console {self.console}:\n{tail}\n{said}") from error
        cache.say(f"{self.name}: kernel {self.kernel} up after "
                  f"{time.monotonic() - self._started:.1f} s")

    @staticmethod
    def _read(control, ready, jobs):
        with control.makefile("r", encoding="ascii", errors="replace") as lines:
            try:
                for line in lines:
                    number, code, *text = line.split()
                    output = base64.b64decode(text[0]).decode(errors="replace") if text else ""
                    job = ready if number == "ready" else jobs.pop(number)
                    job.finish(int(code), output)
            except OSError:
                pass  # the guest is gone
        for job in [ready, *list(jobs.values())]:
            if job.running():
                job.finish(None, "")

    def send(self, text):
        """Bytes to the guest's init; only jobs use this."""
        try:
            with self._send_lock:
                self._control.sendall(text.encode("ascii"))
        except OSError as error:
            raise LabError(f"{self.name} is not running") from error

    def spawn(self, command):
        """Start a shell command in the guest; returns a Job."""
        job = Job(self, next(self._numbers), command)
        self._jobs[job.id] = job
        self.send(f"{job.id} {base64.b64encode(command.encode()).decode()}\n")
        return job

    def sh(self, command, timeout=60):
        """Run a shell command in the guest; returns (exit code, output)."""
        return self.spawn(command).wait(timeout)

    def check(self, command, timeout=60):
        """Run a shell command that must succeed; returns its output."""
        code, output = self.sh(command, timeout)
        if code:
            raise LabError(f"{self.name}: exit code {code}: {command}\n{output}")
        return output

    def running(self):
        return self._process is not None and self._process.poll() is None

    def log(self):
        """The console so far."""
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def dmesg(self):
        """The kernel log: the guest's own while it answers, else what reached the console."""
        if self.running():
            try:
                return self.check("dmesg", timeout=20)
            except LabError:
                pass
        return self.log()

    def cpu_seconds(self):
        """CPU that the host has spent for it."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii")
        return sum(map(int, stat.rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def warnings(self):
        """Parts of the kernel log that tell of a kernel fault, each with its surroundings."""
        # The guest's log may have lost its beginning, the console lacks what is less than a
        # warning: one of them has it.
        return splats(self.dmesg()) or splats(self.log())

    def _end(self, number):
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._control:
            self._control.close()
        _live.discard(self)

    def stop(self):
        """End the guest; its disks are flushed, its system is not shut down."""
        self._end(signal.SIGTERM)

    def kill(self):
        """End the guest at once, as a power cut does."""
        self._end(signal.SIGKILL)

    def favour(self):
        """Give it a CPU of its own and precedence there, for measurements. Needs root."""
        cpus = sorted(os.sched_getaffinity(0))
        for thread in Path(f"/proc/{self._process.pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):   # a worker that has just ended
                os.sched_setaffinity(int(thread.name), [cpus[self._number % len(cpus)]])
        group = Path(f"/proc/{self._process.pid}/autogroup")
        if group.exists():  # its session's; where there is none, so is nobody else's
            group.write_text("-20", encoding="ascii")
        os.setpriority(os.PRIO_PGRP, self._process.pid, -20)

    def freeze(self):
        """Stop the guest's time: it is there, and silent."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self):
        self.start()
        self.ready()
        return self

    def __exit__(self, *_):
        self.stop()
