// SPDX-License-Identifier: GPL-2.0-only
/*
 * swaptest_far.c - swaptest on far memory: the program that bench/compare-swap.py runs on swap
 * devices, without one.
 *
 * From the environment: RAMSTER_DONORS, and RAMSTER_LIMIT, the MiB that may be in RAM. Nothing is
 * fetched ahead, as with a page-cluster of 0.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ramster/ramster_rdma.h>

#include "swaptest.h"

#define MIB	   (1ull << 20)
#define CONNECT_MS 20000

static struct rmr *fabric;
static struct rmr_far *far;

static void must(const char *what, int err)
{
	if (!err)
		return;
	fprintf(stderr, "swaptest: %s: %s\n", what, strerror(-err));
	exit(2);
}

static const char *setting(const char *name)
{
	const char *value = getenv(name);

	if (!value) {
		fprintf(stderr, "swaptest: %s is not set\n", name);
		exit(2);
	}
	return value;
}

static struct rmr_far_stats stats_now(void)
{
	struct rmr_far_stats stats;

	rmr_far_stats(far, &stats, sizeof(stats));
	return stats;
}

char *tested_memory(size_t bytes)
{
	struct rmr_far_options far_options;
	struct rmr_options options;

	rmr_options_init(&options);
	options.slab_bytes = 8 * MIB;
	must("RAMSTER_DONORS", rmr_open(setting("RAMSTER_DONORS"), &options, &fabric));
	must("connect", rmr_wait_connected(fabric, CONNECT_MS));
	rmr_far_options_init(&far_options);
	far_options.window_pages = 0;
	must("far memory",
	     rmr_far_create(fabric, bytes, strtoull(setting("RAMSTER_LIMIT"), NULL, 10) * MIB,
			    &far_options, &far));
	return rmr_far_addr(far);
}

uint64_t tested_faults(void)
{
	return stats_now().fetched;
}

void tested_end(void)
{
	struct rmr_far_stats stats = stats_now();

	printf("far memory: %" PRIu64 " pages came, %" PRIu64 " went\n", stats.fetched,
	       stats.written);
	rmr_far_destroy(far);
	rmr_close(fabric);
}
