#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# run.sh BUILD [ctest options] - run the tests of a build tree and print why
# any was skipped: ctest itself keeps that to its log.
set -uo pipefail

build=$1
shift
ctest --test-dir "$build" --output-on-failure --no-tests=error "$@"
status=$?
log=$build/Testing/Temporary/LastTest.log
if skips=$(grep -h '^skip:' "$log"); then
	echo "Skipped, with the reason each test gave:"
	echo "$skips"
fi
exit $status
