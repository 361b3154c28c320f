// SPDX-License-Identifier: GPL-2.0-only
/*
 * perf_swap.c - ramster-perf swap: memory of this process that the kernel has put into swap, on
 * whatever device or front that is.
 *
 * MADV_PAGEOUT (Linux 5.4) puts it there: no memory need be short, nobody else is disturbed. A
 * page that had to be written stays in memory, in the swap cache, but is clean from then on: read
 * once more it goes with the next MADV_PAGEOUT. Unless more than half of all swap is in use: then
 * the kernel gives a page's place in swap up when it is read.
 */
#include "perf.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#define PAUSE_MS    2
#define OUT_SECONDS 20 /* without a page that goes */

static size_t part_bytes(const struct perf_run *run)
{
	return run->pages * run->test->page_bytes;
}

void perf_swap_names(char *names, size_t size)
{
	FILE *file = fopen("/proc/swaps", "re");
	char line[512], name[256];
	size_t len = 0;

	*names = 0;
	while (file && fgets(line, sizeof(line), file))
		if (line[0] == '/' && sscanf(line, "%255s", name) == 1 && len < size)
			len += (size_t)snprintf(names + len, size - len, "%s%s", len ? ", " : "",
						name);
	if (file)
		fclose(file);
	for (; *names; names++)
		if (strchr("\"\\", *names))
			*names = '?'; /* for JSON */
}

int perf_swap_readahead(void)
{
	FILE *file = fopen("/proc/sys/vm/page-cluster", "re");
	int cluster = 0;

	if (!file)
		return 1;
	if (fscanf(file, "%d", &cluster) != 1 || cluster < 0 || cluster > 20)
		cluster = 0;
	fclose(file);
	return 1 << cluster;
}

int perf_swap_open(struct perf_run *run)
{
	const struct perf_test *test = run->test;
	size_t bytes = part_bytes(run) * test->threads;
	char names[PERF_SWAP_NAMES];
	void *memory;
	uint64_t i;

	perf_swap_names(names, sizeof(names));
	if (!*names)
		return -ENODEV;
	if (sysconf(_SC_PAGESIZE) != (long)test->page_bytes)
		return -ENOSYS;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	run->swapped = memory;
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	for (i = 0; i < test->threads; i++) {
		run->workers[i].here = calloc(run->pages, 1);
		if (!run->workers[i].here)
			return -ENOMEM;
	}
	perf_touch_write(run, memory);
	return atomic_load(&run->stop) ? -EINTR : 0;
}

void perf_swap_close(struct perf_run *run)
{
	uint64_t i;

	for (i = 0; run->workers && i < run->test->threads; i++)
		free(run->workers[i].here);
	if (run->swapped)
		munmap(run->swapped, part_bytes(run) * run->test->threads);
}

/* Pages of a thread that are in memory, those in the swap cache too; tells which in w->here. */
static uint32_t count_here(struct perf_worker *w)
{
	uint32_t here = 0, i;

	if (mincore(w->memory, part_bytes(w->run), w->here))
		return w->run->pages;
	for (i = 0; i < w->run->pages; i++)
		here += w->here[i] & 1;
	return here;
}

/* Map those that are in the swap cache: MADV_PAGEOUT sees only what is mapped. */
static void touch_here(const struct perf_worker *w)
{
	const volatile uint8_t *page = w->memory;
	uint32_t i;

	for (i = 0; i < w->run->pages; i++, page += w->run->test->page_bytes)
		if (w->here[i] & 1)
			(void)*page;
}

void perf_swap_out(struct perf_worker *w)
{
	uint32_t here = count_here(w), least = here, enough = w->run->pages / 10;
	double went = perf_seconds();

	while (here > enough && !atomic_load(&w->run->stop)) {
		if (madvise(w->memory, part_bytes(w->run), MADV_PAGEOUT)) {
			perf_fail(w->run, "paging out", 0, -errno);
			return;
		}
		here = count_here(w);
		if (here < least) {
			least = here;
			went = perf_seconds();
		} else if (perf_seconds() > went + OUT_SECONDS) {
			perf_fail(w->run, "paging out (is half of swap in use?), page", here,
				  -ENOSPC);
			return;
		}
		if (here > enough) {
			poll(NULL, 0, PAUSE_MS); /* for what is being written */
			touch_here(w);
		}
	}
}
