#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# deps.sh - install the Debian packages that building and testing need.
#
# Does nothing where all are there; needs root only where something is missing.
# Services that come with packages are not started.
set -euo pipefail

packages=(
	# building the broker, the library, the module
	gcc g++ make cmake pkg-config python3 git
	bc bison flex libelf-dev libssl-dev kmod cpio patch xz-utils zstd rsync
	libibverbs-dev librdmacm-dev rdma-core ibverbs-providers libsystemd-dev libinih-dev
	libjansson-dev uuid-dev uthash-dev libnuma-dev libzstd-dev
	# tests and checks
	libcunit1-dev sparse shellcheck clang libclang-rt-14-dev clang-format codespell
	# the lab: QEMU guests; user-mode nodes run the host's programs
	qemu-system-x86 mmdebstrap debian-archive-keyring ca-certificates e2fsprogs
	busybox-static iproute2 iputils-ping procps util-linux
	btrfs-progs fio perftest nvme-cli rdmacm-utils librdmacm1 ibverbs-utils
	# plots of the benchmarks
	gnuplot-nox
)

installed() {
	dpkg-query -W -f '${Status}\n' "$1" 2>/dev/null | grep -q ' installed$'
}

missing=()
for package in "${packages[@]}"; do
	installed "$package" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
	exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "deps.sh: missing packages: ${missing[*]}" >&2
	echo "deps.sh: run scripts/deps.sh as root" >&2
	exit 1
fi

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
own_policy=
cleanup() {
	rm -f "$log"
	[ -z "$own_policy" ] || rm -f "$policy"
}
trap cleanup EXIT

if [ ! -e "$policy" ]; then
	own_policy=1
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive

install_missing() {
	apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1
}

echo "deps.sh: installing ${#missing[@]} packages: ${missing[*]}"
if ! install_missing; then
	echo "deps.sh: apt does not have them all, updating its lists"
	apt-get update >"$log" 2>&1 || { tail -20 "$log" >&2; exit 1; }
	install_missing || { tail -20 "$log" >&2; exit 1; }
fi
echo "deps.sh: done"
