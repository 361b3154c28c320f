// SPDX-License-Identifier: GPL-2.0-only
/*
 * perf_far.c - ramster-perf far: how long a program waits for a page of far memory.
 *
 * Each thread touches pages of its own part of the range, at random. What was here is not
 * counted; mincore() tells before the time is taken.
 */
#include "perf.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile uint8_t sink;

static uint8_t *page_of(const struct perf_worker *w, uint32_t page)
{
	return w->memory + (uint64_t)page * w->run->test->page_bytes;
}

/* Read every page once, so that none that is here was written since it came. */
static void settle(const struct perf_worker *w)
{
	uint32_t i;

	for (i = 0; i < w->run->pages && !atomic_load(&w->run->stop); i++)
		sink = *page_of(w, i);
}

/* Who touches a page that was lost with its donor cannot go on. */
static void on_sigbus(int number)
{
	static const char words[] = "ramster-perf: a page of far memory is lost with its donor\n";
	ssize_t ignored = write(STDERR_FILENO, words, sizeof(words) - 1);

	(void)number;
	(void)ignored;
	_exit(1);
}

int perf_far_open(struct perf_run *run)
{
	const struct sigaction action = { .sa_handler = on_sigbus };
	const struct perf_test *test = run->test;
	uint64_t part = run->pages * test->page_bytes;
	struct perf_worker *w;
	uint32_t i;
	int err;

	sigaction(SIGBUS, &action, NULL);
	err = rmr_far_create(run->fabric, part * test->threads, test->limit, NULL, &run->far);
	if (err)
		return err;
	for (w = run->workers; w < run->workers + test->threads; w++) {
		w->memory = (uint8_t *)rmr_far_addr(run->far) + w->number * part;
		for (i = 0; i < run->pages && !atomic_load(&run->stop); i++)
			perf_write_content(w, page_of(w, i), i);
	}
	for (w = run->workers; w < run->workers + test->threads; w++)
		settle(w);
	return atomic_load(&run->stop) ? -EINTR : perf_wait_remote(run);
}

void perf_far_close(struct perf_run *run)
{
	if (run->far)
		rmr_far_destroy(run->far);
}

static uint32_t next_page(const struct perf_worker *w, uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state % w->run->pages);
}

static bool is_here(const struct perf_worker *w, uint8_t *addr)
{
	unsigned char here = 1;

	return !mincore(addr, w->run->test->page_bytes, &here) && here & 1;
}

void perf_far_run(struct perf_worker *w, uint64_t count, bool counted)
{
	uint64_t state = 0x9e3779b97f4a7c15ull + 2 * w->number + counted, done = 0, start;
	uint32_t page;
	uint8_t *addr;
	bool fault;

	while (done < count && !atomic_load(&w->run->stop)) {
		page = next_page(w, &state);
		addr = page_of(w, page);
		fault = !is_here(w, addr);
		start = perf_ticks();
		sink = *addr;
		if (fault) {
			done++;
			if (counted) {
				perf_times_add(&w->times, perf_ns_since(start));
				atomic_fetch_add_explicit(&w->ops, 1, memory_order_relaxed);
			}
		}
		if (w->run->test->verify)
			perf_check_content(w, addr, page);
	}
}
