# SPDX-License-Identifier: GPL-2.0-only
"""Kernels made ready for the lab: stock ones of Debian, and those of own_kernel.py.

Two cache entries per kernel: the packages as downloaded (or what own_kernel.py
has built), and what is made of them: a vmlinux that QEMU boots directly (PVH;
unpacking a bzImage in an emulated guest costs 3 s), an initrd, a modules image
and a header tree to build modules against. Which version is newest is asked
once and recorded in versions.json, so nothing goes to the network while the
cache can serve; update() asks anew.
"""
import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

from . import apt, cache, own_kernel

GUEST = Path(__file__).parent / "guest"

# name: (release, pattern of the version in package names)
KERNELS = {
    "510": ("bullseye", r"5\.10\.0-\d+"),
    "61": ("bookworm", r"6\.1\.0-\d+"),
    "612": ("trixie", r"6\.12\.[\d.]+\+deb13[\d.]*"),
    "72": ("forky", r"7\.\d+\.[\d.]+\+deb14[\d.]*"),
}
# A current kernel's parts; everything else the closure names is not needed in a guest.
PARTS = re.compile(r"linux-(image|binary|modules|base|headers|kbuild)-\d.*")
# Modules that guests use, by path below kernel/; their dependencies come along.
WANTED = re.compile(
    r"(crypto|lib|arch/x86/crypto|arch/x86/lib|mm|drivers/nvme|drivers/virtio|fs/configfs)/"
    r"|drivers/infiniband/(core|sw)/"
    r"|drivers/block/(brd|loop|nbd|virtio_blk|null_blk|zram)\b"
    r"|drivers/(net/(virtio_net|veth|dummy)|char/virtio_console|md/dm-mod)\.ko"
    r"|fs/(ext4|btrfs|xfs|overlay|9p|jbd2)|net/9p/|net/sched/(sch_netem|sch_ingress|act_mirred)")
UNWANTED = re.compile(r"/(test_|tcrypt|kunit|.*_kunit|rcutorture|locktorture)")
BOOT = ("virtio_pci", "virtio_blk", "virtio_console", "virtio_net", "crc32c_generic", "ext4",
        "overlay", "9pnet_virtio", "9p")


def _record():
    return cache.root() / "versions.json"


def _recorded():
    try:
        return json.loads(_record().read_text(encoding="ascii"))
    except (OSError, ValueError):
        return {}


def _newest(names):
    def key(name):
        return [int(n) for n in re.findall(r"\d+", name)]
    return max(names, key=key)


def update(kernel):
    """Ask the mirror for the newest version of a kernel; returns package names and versions."""
    release, pattern = KERNELS[kernel]
    source = apt.Release(release)
    source.update()
    # The image meta-package may lag behind; a kernel counts once its headers are there.
    headers = source.names(f"linux-headers-{pattern}-amd64")
    if not headers:
        raise apt.AptError(f"{release} has no package linux-headers-{pattern}-amd64")
    newest = _newest(headers)
    names = source.closure(newest, newest.replace("headers", "image"))
    packages = {name: source.version(name) for name in sorted(names) if PARTS.fullmatch(name)}
    cache.say(f"kernel {kernel} is {newest.split('-', 2)[2]}")
    record = _recorded()
    record[kernel] = packages
    scratch = _record().with_suffix(".partial")
    scratch.write_text(json.dumps(record, indent=1), encoding="ascii")
    scratch.rename(_record())
    return packages


def _download(kernel, packages):
    def build(scratch):
        apt.Release(KERNELS[kernel][0]).download(packages, scratch)
        for deb in scratch.glob("*.deb"):
            deb.rename(scratch / (deb.name.split("_")[0] + ".deb"))
    return cache.entry(f"debs-{kernel}", [json.dumps(packages, sort_keys=True)], build,
                       [f"{name}.deb" for name in packages])


def _packages(kernel):
    """(packages, directory of their .deb files)."""
    packages = _recorded().get(kernel)
    if packages:
        try:
            return packages, _download(kernel, packages)
        except apt.AptError as error:
            cache.say(f"the recorded kernel {kernel} is not to be had any more, asking for the "
                      f"newest ({str(error).splitlines()[-1]})")
    packages = update(kernel)
    return packages, _download(kernel, packages)


def _extract_vmlinux(vmlinuz, target):
    """Unpack the ELF kernel from a bzImage (boot protocol 2.08 and later)."""
    image = vmlinuz.read_bytes()
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = ((image[0x1f1] or 4) + 1) * 512 + offset
    payload = image[start:start + length]
    tools = {b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zX": "xz", b"\x1f\x8b\x08\x00": "gzip"}
    tool = tools.get(payload[:4])
    if not tool:
        raise RuntimeError(f"{vmlinuz.name}: unknown compression {payload[:4]!r}")
    # Bytes after the compressed stream make the tools end with an error: judge by the result.
    done = subprocess.run([tool, "-dcq"], input=payload, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False)
    if done.stdout[:4] != b"\x7fELF":
        raise RuntimeError(f"{vmlinuz.name}: {tool} payload holds no ELF kernel")
    target.write_bytes(done.stdout)


def _depends(files):
    """Names of the modules that these module files depend on."""
    text = subprocess.run(["modinfo", *map(str, files)], stdout=subprocess.PIPE, text=True,
                          check=True).stdout
    lists = re.findall(r"^depends: +(\S+)$", text, re.M)
    # A soft dependency matters here: crc32c and zstd come by it.
    soft = re.findall(r"^softdep: +(?:pre|post): (.+)$", text, re.M)
    return {n.replace("-", "_") for line in lists for n in line.split(",")} | {
        n.replace("-", "_") for line in soft for n in line.split()}


def _pick_modules(source, target):
    """Copy the wanted modules and what they depend on from source to target, uncompressed."""
    files = {f.name.split(".ko")[0].replace("-", "_"): f
             for f in source.glob("kernel/**/*.ko*")}
    new = {n for n, f in files.items()
           if WANTED.match(str(f.relative_to(source / "kernel"))) and not UNWANTED.search(str(f))}
    have = set()
    while new:
        copies = []
        for name in new:
            copy = target / files[name].relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(files[name], copy)
            copies.append(copy)
        packed = [c for c in copies if c.suffix == ".xz"]
        if packed:
            subprocess.run(["xz", "-d", *map(str, packed)], check=True)
        copies = [c.with_suffix("") if c.suffix == ".xz" else c for c in copies]
        have |= new
        new = (_depends(copies) & files.keys()) - have
    _copy_lists(source, target)


def _copy_lists(source, target):
    """Copy what tells depmod and modprobe of modules that are built in."""
    for name in ("modules.builtin", "modules.order", "modules.builtin.modinfo"):
        if (source / name).exists():
            shutil.copy(source / name, target)


def make_ext4(tree, image, slack=8):
    """Pack a directory into a read-only ext4 image; slack in MiB."""
    used = subprocess.run(["du", "-sm", str(tree)], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.split()[0]
    with open(image, "wb") as f:
        f.truncate((int(used) * 11 // 10 + slack) << 20)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", "-d", str(tree),
                    str(image)], check=True)


def _make_initrd(tree, version, scratch, target):
    root = scratch / "initrd.tree"
    for name in ("bin", "proc", "sys", "dev", "mod", "ro", "rw", "new"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    shutil.copy(GUEST / "initramfs-init", root / "init")
    order = []
    for name in BOOT:
        done = subprocess.run(["modprobe", "-d", str(tree), "-S", version, "--show-depends", name],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              check=False)  # fails for what this kernel has not got as a module
        order += [line.split()[1] for line in done.stdout.splitlines()
                  if line.startswith("insmod")]
    order = list(dict.fromkeys(order))
    for module in order:
        shutil.copy(module, root / "mod")
    (root / "boot-modules").write_text("\n".join(Path(m).name for m in order) + "\n")
    with open(target, "wb") as f:
        subprocess.run("find . | cpio -o -H newc --quiet", shell=True, cwd=root, stdout=f,
                       check=True)
    shutil.rmtree(root)


def _make_headers(unpacked, version, target):
    """Move the header packages' trees to target and make them independent of their place."""
    for part in ("src", "lib"):
        (target / "usr" / part).mkdir(parents=True)
    for tree in unpacked.glob("usr/src/linux-headers-*"):
        tree.rename(target / "usr/src" / tree.name)
    for tree in unpacked.glob("usr/lib/linux-kbuild-*"):
        tree.rename(target / "usr/lib" / tree.name)
    makefile = target / f"usr/src/linux-headers-{version}/Makefile"
    makefile.write_text(makefile.read_text().replace("/usr/src/", "$(CURDIR)/../"))


def _pack(scratch, version, fill):
    """Make initrd and modules.img; fill(directory) puts there what the guest needs of modules."""
    tree = scratch / "tree"
    target = tree / "lib/modules" / version
    target.mkdir(parents=True)
    fill(target)
    subprocess.run(["depmod", "-b", str(tree), version], check=True)
    cache.say("packing modules and initrd")
    _make_initrd(tree, version, scratch, scratch / "initrd")
    make_ext4(tree / "lib/modules", scratch / "modules.img")
    shutil.rmtree(tree)


def _build(debs, scratch):
    unpacked = scratch / "unpacked"
    cache.say("unpacking")
    apt.unpack(debs, unpacked)
    base = next(d for d in (unpacked / "lib/modules", unpacked / "usr/lib/modules")
                if list(d.glob("*/kernel")))
    source = next(base.glob("*/kernel")).parent
    version = source.name
    (scratch / "version").write_text(version)
    vmlinuz = next(f for f in (unpacked / f"boot/vmlinuz-{version}", source / "vmlinuz")
                   if f.exists())
    _extract_vmlinux(vmlinuz, scratch / "vmlinux")
    _pack(scratch, version, lambda target: _pick_modules(source, target))
    _make_headers(unpacked, version, scratch / "headers")
    config = next(f for f in (unpacked / f"boot/config-{version}",
                              unpacked / f"usr/lib/modules/{version}/config") if f.exists())
    shutil.copy(config, scratch / "config")
    shutil.rmtree(unpacked)


def _build_own(built, scratch):
    """_build() for a kernel of own_kernel.py."""
    for source, name in (("vmlinux", "vmlinux"), ("version", "version"),
                         ("kbuild/.config", "config")):
        shutil.copy(built / source, scratch / name)
    _pack(scratch, (built / "version").read_text(),
          lambda target: _copy_lists(built / "kbuild", target))


def prepare(kernel):
    """The cache entry of a kernel: version, vmlinux, initrd, modules.img, config."""
    if kernel in own_kernel.KERNELS:
        source, build = own_kernel.prepare(kernel), _build_own
        origin = source.name
    else:
        (packages, source), build = _packages(kernel), _build
        origin = json.dumps(packages, sort_keys=True)
    inputs = [origin, Path(__file__), GUEST / "initramfs-init", Path("/bin/busybox")]
    return cache.entry(f"kernel-{kernel}", inputs, lambda scratch: build(source, scratch),
                       ["version", "vmlinux", "initrd", "modules.img"])


def headers(kernel):
    """The directory for make -C."""
    if kernel in own_kernel.KERNELS:
        return own_kernel.prepare(kernel) / "kbuild"
    path = prepare(kernel)
    return path / "headers/usr/src" / f"linux-headers-{(path / 'version').read_text()}"
