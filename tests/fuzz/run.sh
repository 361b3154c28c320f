#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# run.sh FUZZER SEEDS WORK - fuzz for FUZZ_SECONDS (default 60) from the
# folder SEEDS; what is found goes to WORK/corpus and WORK/crash-*.
set -euo pipefail

fuzzer=$1 seeds=$2 work=$3
if [[ ! -d $seeds ]]; then
	echo "fuzz: no seed folder $seeds: every fuzzer starts from named seeds in the tree" >&2
	exit 1
fi
mkdir -p "$work/corpus"
exec "$fuzzer" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=5 -rss_limit_mb=1024 \
	-print_final_stats=1 -artifact_prefix="$work/" "$work/corpus" "$seeds"
