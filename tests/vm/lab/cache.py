# SPDX-License-Identifier: GPL-2.0-only
"""Build products that are too dear to make twice, kept outside the tree.

An entry is a directory NAME-HASH, where HASH covers every input. It is built
in a scratch directory beside it and renamed when complete, so a half-made
entry is never seen. A manifest of file hashes, checked once per process,
catches an entry that was damaged later; such an entry is built anew.
"""
import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path

MANIFEST = ".manifest.json"
_verified = set()


def root():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = Path(base) / "ramster-lab"
    path.mkdir(parents=True, exist_ok=True)
    return path


def digest(*parts):
    """Hash of strings, bytes and files (Path) in order."""
    h = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part
        if isinstance(data, str):
            data = data.encode()
        h.update(len(data).to_bytes(8, "little"))
        h.update(data)
    return h.hexdigest()


def say(text):
    """One progress line."""
    print(f"lab: {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@contextmanager
def lock(name):
    """One process at a time; the others wait."""
    with open(root() / f".{name}.lock", "w", encoding="ascii") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def _file_hash(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def _seal(directory, files):
    """Record the named files' hashes; files is what consumers read, not every byte."""
    manifest = {name: _file_hash(directory / name) for name in files}
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=1))


def _intact(directory):
    try:
        manifest = json.loads((directory / MANIFEST).read_text())
        return all(_file_hash(directory / n) == h for n, h in manifest.items())
    except (OSError, ValueError):
        return False


def entry(name, inputs, build, files):
    """Path of the entry NAME for these inputs, built now if it is not there.

    inputs: strings, bytes and Paths that decide the content. build(scratch)
    fills the directory scratch and may raise; files lists the results
    (relative to the entry) whose hashes are checked. Older entries of the same
    name are removed once the new one stands.
    """
    path = root() / f"{name}-{digest(*inputs)[:16]}"
    if path in _verified:
        return path
    with lock(name):
        if path.exists() and not _intact(path):
            say(f"{path.name} is damaged: building it again")
            shutil.rmtree(path)
        if not path.exists():
            scratch = root() / f".{name}.partial"
            if scratch.exists():
                shutil.rmtree(scratch)
            scratch.mkdir()
            say(f"building {name} (kept in {root()})")
            start = time.monotonic()
            build(scratch)
            _seal(scratch, files)
            scratch.rename(path)
            say(f"built {name} in {time.monotonic() - start:.0f} s")
            for old in root().glob(f"{name}-" + "?" * 16):
                if old != path:
                    shutil.rmtree(old)
    _verified.add(path)
    return path
