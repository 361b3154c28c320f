# SPDX-License-Identifier: GPL-2.0-only
"""Debian packages of other releases, without touching the host's apt.

The mirrors are the ones the host's apt is configured with. Every release has
its own lists in the cache folder, so that the resolver never mixes releases.
Signatures are checked with the host's debian-archive-keyring.
"""
import re
import subprocess
from functools import lru_cache

from . import cache

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
NAMES = ("bullseye", "bookworm", "trixie", "forky")


class AptError(RuntimeError):
    """A package or a mirror could not be had."""


def _run(*command, **how):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False, **how)
    if done.returncode:
        raise AptError(f"{' '.join(command[:1] + command[-2:])} failed:\n{done.stderr.strip()}")
    return done.stdout


@lru_cache
def _mirrors():
    """(archive, security archive or None) of the host's apt configuration."""
    text = _run("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)",
                "Created-By: Packages")
    sites = [line.split() for line in text.splitlines() if len(line.split()) == 2]
    main = [site for site, release in sites if re.fullmatch(r"[a-z]+(-updates)?", release)]
    security = [site for site, release in sites if release.endswith("-security")]
    if not main:
        raise AptError("apt has no Debian mirror configured: add one to /etc/apt/sources.list "
                       "and run apt-get update")
    return main[0], security[0] if security else None


def sources(release):
    """The sources.list lines of a release (with its security suite where it has one)."""
    main, security = _mirrors()
    lines = [f"deb [signed-by={KEYRING}] {main} {release} main"]
    if security and release != "forky":
        lines.append(f"deb [signed-by={KEYRING}] {security} {release}-security main")
    return lines


def acquire_options():
    """The host's settings for fetching (proxy, date checks), for tools with their own apt.conf."""
    wanted = re.compile(r"(Acquire::(?:https?::Proxy|Check-\S+|Retries)) \"(.+)\";")
    return [f'{key} "{value}"' for key, value in
            wanted.findall(_run("apt-config", "dump"))]


class Release:
    """One Debian release seen through a private apt state."""

    def __init__(self, name):
        self.name = name
        self._dir = cache.root() / "apt" / name
        for sub in ("lists/partial", "cache/archives/partial", "empty"):
            (self._dir / sub).mkdir(parents=True, exist_ok=True)
        self._list = self._dir / "sources.list"
        self._options = [f"-oDir::State::Lists={self._dir}/lists",
                         f"-oDir::Cache={self._dir}/cache",
                         f"-oDir::Etc::SourceList={self._list}",
                         f"-oDir::Etc::SourceParts={self._dir}/empty",
                         "-oDir::State::Status=/dev/null", "-oAPT::Sandbox::User=root"]

    def _apt(self, tool, *arguments, **how):
        """Run a tool of apt; one at a time, for they refuse to share their lists."""
        with cache.lock(f"apt-{self.name}"):
            return _run(tool, *self._options, *arguments, **how)

    def update(self):
        """Fetch the package lists anew."""
        self._list.write_text("\n".join(sources(self.name)) + "\n", encoding="ascii")
        cache.say(f"fetching package lists of {self.name}")
        self._apt("apt-get", "-qq", "update")

    def names(self, pattern):
        """Package names that match the regular expression as a whole."""
        names = self._apt("apt-cache", "pkgnames").split()
        return [name for name in names if re.fullmatch(pattern, name)]

    def closure(self, *packages):
        """Names of the packages and of all they depend on."""
        text = self._apt("apt-cache", "depends", "--recurse", "--no-recommends",
                         "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces",
                         "--no-enhances", *packages)
        return [line for line in text.splitlines() if re.match(r"[a-z0-9]", line)]

    def version(self, package):
        """The newest version of a package."""
        text = self._apt("apt-cache", "show", "--no-all-versions", package)
        return re.search(r"^Version: (\S+)", text, re.M).group(1)

    def download(self, packages, directory):
        """Fetch packages, a dict of name to version, into a directory."""
        wanted = [f"{name}={version}" for name, version in packages.items()]
        uris = self._apt("apt-get", "--print-uris", "download", *wanted)
        size = sum(int(line.split()[2]) for line in uris.splitlines() if line.startswith("'"))
        cache.say(f"downloading {len(wanted)} packages of {self.name}, {size >> 20} MiB")
        self._apt("apt-get", "-qq", "download", *wanted, cwd=directory)


def unpack(directory, target):
    """Unpack every .deb of a directory into target."""
    target.mkdir(parents=True, exist_ok=True)
    for deb in sorted(directory.glob("*.deb")):
        _run("dpkg-deb", "-x", str(deb), str(target))
