// SPDX-License-Identifier: GPL-2.0-only
/* perf_setup.c - what ramster-perf needs to measure, made and taken down. */
#include "perf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CONNECT_MS 20000
#define SLAB_BYTES (16u << 20)

int perf_complain(const char *what, int err)
{
	fprintf(stderr, "ramster-perf: %s: %s\n", what, strerror(-err));
	return 1;
}

/* One line for a failure of the fabric, with what to do next. */
static int explain(const struct perf_test *test, const char *what, int err)
{
	if (err == -ETIMEDOUT)
		fprintf(stderr, "ramster-perf: %s: no donor of %s answers: is ramsterd there?\n",
			what, test->donors);
	else if (err == -ENOSPC)
		fprintf(stderr,
			"ramster-perf: %s: donors have no room for %llu MiB: lend more "
			"(ramsterctl donate), or use less (-m)\n",
			what, (unsigned long long)(test->memory >> 20));
	else if (err == -EINVAL)
		fprintf(stderr, "ramster-perf: %s: %s is not a list of numeric addresses\n", what,
			test->donors);
	else if (err == -ENODEV)
		fprintf(stderr, "ramster-perf: %s: this machine has no RDMA device\n", what);
	else if (err == -EPERM)
		fprintf(stderr,
			"ramster-perf: %s: userfaultfd is not permitted: allow /dev/userfaultfd, or set "
			"sysctl vm.unprivileged_userfaultfd=1\n",
			what);
	else if (err == -ENOSYS)
		fprintf(stderr,
			"ramster-perf: %s: it needs Linux 5.7 on x86-64 or arm64, for userfaultfd with "
			"write-protection\n",
			what);
	else
		return perf_complain(what, err);
	return 1;
}

static size_t buffer_bytes(const struct perf_test *test)
{
	return test->page_bytes * test->depth * test->threads;
}

static int make_worker(struct perf_run *run, uint32_t number)
{
	const struct perf_test *test = run->test;
	struct perf_worker *w = &run->workers[number];
	uint64_t i;

	w->run = run;
	w->number = number;
	w->version = calloc(run->pages, sizeof(*w->version));
	w->spare = calloc(test->depth, sizeof(*w->spare));
	w->calls = calloc(test->depth, sizeof(*w->calls));
	if (!w->version || !w->spare || !w->calls)
		return -ENOMEM;
	if (run->memory) { /* far memory and swap have their own */
		w->memory = run->memory + number * test->depth * test->page_bytes;
		for (i = 0; i < test->depth; i++)
			w->spare[w->spares++] = w->memory + i * test->page_bytes;
	}
	return test->latency ? 0 : rmr_queue_create(run->fabric, test->depth, &w->queue);
}

static int connect_all(struct perf_run *run)
{
	const struct perf_test *test = run->test;
	struct rmr_options o;
	int err;

	rmr_options_init(&o);
	o.slab_bytes = SLAB_BYTES;
	if (test->events)
		o.poll_us = 0;
	err = rmr_open(test->donors, &o, &run->fabric);
	if (err)
		return explain(test, "open", err);
	err = rmr_wait_connected(run->fabric, CONNECT_MS);
	if (err)
		return explain(test, "connect", err);
	return 0;
}

static int make_workers(struct perf_run *run)
{
	uint32_t i;
	int err;

	run->workers = calloc(run->test->threads, sizeof(*run->workers));
	if (!run->workers)
		return perf_complain("threads", -ENOMEM);
	for (i = 0; i < run->test->threads; i++) {
		err = make_worker(run, i);
		if (err)
			return perf_complain("make a thread's queue", err);
	}
	return 0;
}

/* Registered memory for the calls under way, and pages to move. */
static int set_up_pool(struct perf_run *run)
{
	const struct perf_test *test = run->test;
	int err;

	err = rmr_pool_create(run->fabric, RMR_PERSISTENT, test->page_bytes, &run->pool);
	if (err)
		return perf_complain("make a pool", err);
	run->memory = mmap(NULL, buffer_bytes(test), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (run->memory == MAP_FAILED) {
		run->memory = NULL;
		return perf_complain("memory for the calls under way (-q, -t, -s)", -errno);
	}
	err = rmr_buf_register(run->fabric, run->memory, buffer_bytes(test), &run->buf);
	if (err)
		return perf_complain("register memory (see ulimit -l)", err);
	if (make_workers(run))
		return 1;
	err = perf_fill(run);
	return err ? explain(test, "put the pages to measure with", err) : 0;
}

static int set_up_far(struct perf_run *run)
{
	int err = make_workers(run);

	if (err)
		return err;
	err = perf_far_open(run);
	return err ? explain(run->test, "make far memory", err) : 0;
}

static int set_up_swap(struct perf_run *run)
{
	int err = make_workers(run);

	if (err)
		return err;
	err = perf_swap_open(run);
	if (err == -ENODEV)
		fputs("ramster-perf: no swap is on: see swapon(8), and ramster's README for "
		      "/dev/ramster0\n",
		      stderr);
	else if (err == -ENOSYS)
		fputs("ramster-perf: swap: this kernel's pages are not of 4K\n", stderr);
	else if (err)
		return perf_complain("memory to swap", err);
	return err ? 1 : 0;
}

int perf_set_up(struct perf_run *run)
{
	if (run->test->swap)
		return set_up_swap(run);
	if (connect_all(run))
		return 1;
	return run->test->far ? set_up_far(run) : set_up_pool(run);
}

void perf_tear_down(struct perf_run *run)
{
	uint64_t i;

	for (i = 0; run->workers && i < run->test->threads; i++) {
		if (run->workers[i].queue)
			rmr_queue_destroy(run->workers[i].queue);
		free(run->workers[i].version);
		free(run->workers[i].spare);
		free(run->workers[i].calls);
	}
	perf_far_close(run);
	perf_swap_close(run);
	if (run->buf)
		rmr_buf_unregister(run->buf);
	if (run->fabric)
		rmr_close(run->fabric);
	if (run->memory)
		munmap(run->memory, buffer_bytes(run->test));
	free(run->workers);
}
