// SPDX-License-Identifier: GPL-2.0-only
/*
 * library_bench.c - how long a get takes, how many bytes puts and gets move.
 *
 * library-bench DONORS lat BYTES COUNT        gets, one after the other, of pages of a
 *                                             registered buffer: the round trip, microseconds
 * library-bench DONORS put|get BYTES COUNT DEPTH   with DEPTH under way: MB/s
 *
 * Prints one line of JSON. For bench/library.py.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

#include <ramster/ramster_rdma.h>

#define WARM_UP 200

static struct rmr *fabric;
static struct rmr_pool *pool;
static struct rmr_buf *buf;
static uint8_t *memory;
static size_t bytes;
static unsigned int count, depth = 1, pages;

static void fail(const char *what, int err)
{
	fprintf(stderr, "library-bench: %s: %s\n", what, strerror(-err));
	exit(1);
}

static void must(const char *what, int err)
{
	if (err)
		fail(what, err);
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The clock is a system call in user-mode Linux; perftest, too, counts cycles. */
static uint64_t ticks(void)
{
#ifdef __x86_64__
	return __rdtsc();
#else
	return (uint64_t)(seconds() * 1e9);
#endif
}

static double ticks_per_us(void)
{
	double from = seconds();
	uint64_t start = ticks();

	while (seconds() < from + 0.1)
		;
	return (double)(ticks() - start) / ((seconds() - from) * 1e6);
}

static void set_up(const char *donors)
{
	struct rmr_stats stats;
	struct rmr_options o;
	struct rmr_page page;
	unsigned int i;
	uint64_t *p;
	size_t at;

	rmr_options_init(&o);
	o.slab_bytes = 16u << 20;
	pages = (unsigned int)((16u << 20) / bytes);
	must("open", rmr_open(donors, &o, &fabric));
	must("connect", rmr_wait_connected(fabric, 20000));
	must("pool", rmr_pool_create(fabric, RMR_PERSISTENT, bytes, &pool));
	memory = aligned_alloc(4096, bytes * (depth + 1));
	must("buffer", rmr_buf_register(fabric, memory, bytes * (depth + 1), &buf));
	for (i = 0; i <= depth; i++) /* nothing that compresses or repeats */
		for (at = 0, p = (uint64_t *)(memory + i * bytes); at < bytes / 8; at++)
			p[at] = (at + 1) * 0x9e3779b97f4a7c15ull ^ (uint64_t)rand() << 32;
	for (i = 0; i < pages; i++) {
		page = (struct rmr_page){ 1, i, memory, buf, 0 };
		must("put", rmr_putv(pool, &page, 1));
	}
	do { /* what came before the first slab was compressed is shipped by and by */
		poll(NULL, 0, 20);
		rmr_stats(fabric, &stats, sizeof(stats));
	} while (stats.remote_pages < pages);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void measure_latency(void)
{
	double *took = malloc(count * sizeof(*took)), per_us = ticks_per_us(), sum = 0;
	struct rmr_page page = { 1, 0, memory, buf, 0 };
	unsigned int i;
	uint64_t from;

	for (i = 0; i < WARM_UP + count; i++) {
		page.index = i % pages;
		from = ticks();
		must("get", rmr_getv(pool, &page, 1));
		if (i >= WARM_UP)
			sum += took[i - WARM_UP] = (double)(ticks() - from) / per_us;
	}
	qsort(took, count, sizeof(*took), compare);
	printf("{\"min\": %.2f, \"typical\": %.2f, \"mean\": %.2f, \"p99\": %.2f}\n", took[0],
	       took[count / 2], sum / count, took[count - count / 100 - 1]);
	free(took);
}

static void measure_bandwidth(bool put)
{
	struct rmr_queue *q;
	struct rmr_done done[16];
	struct rmr_page page = { 1, 0, NULL, buf, 0 };
	unsigned int started = 0, ended = 0, i;
	uint8_t *at;
	double from;
	int n;

	must("queue", rmr_queue_create(fabric, depth, &q));
	from = seconds();
	while (ended < count) {
		while (started < count && started - ended < depth) {
			/* all puts from one place, as ib_write_bw has it */
			at = memory + (put ? 0 : started % depth) * bytes;
			page.index = started % pages;
			page.addr = at;
			must("start", put ? rmr_queue_put(q, pool, &page, at) :
					    rmr_queue_get(q, pool, &page, at));
			started++;
		}
		n = rmr_queue_wait(q, done, 16, 20000);
		for (i = 0; i < (unsigned int)n; i++)
			must("end", done[i].result);
		ended += (unsigned int)n;
	}
	from = seconds() - from;
	printf("{\"mb_s\": %.1f, \"ops\": %.0f}\n", count * (double)bytes / from / 1e6,
	       count / from);
	rmr_queue_destroy(q);
}

int main(int argc, char **argv)
{
	if (argc < 5 || (argv[2][0] != 'l' && argc < 6)) {
		fprintf(stderr, "usage: library-bench DONORS lat|put|get BYTES COUNT [DEPTH]\n");
		return 2;
	}
	bytes = strtoul(argv[3], NULL, 0);
	count = (unsigned int)strtoul(argv[4], NULL, 0);
	if (argc > 5)
		depth = (unsigned int)strtoul(argv[5], NULL, 0);
	set_up(argv[1]);
	if (argv[2][0] == 'l')
		measure_latency();
	else
		measure_bandwidth(argv[2][0] == 'p');
	rmr_buf_unregister(buf);
	rmr_close(fabric);
	free(memory);
	return 0;
}
