// SPDX-License-Identifier: GPL-2.0-only
/*
 * perf_touch.c - ramster-perf far and swap: how long a program waits for a page that it touches.
 *
 * Each thread touches pages of its own part of the memory, at random. What was here is not
 * counted; mincore() tells before the time is taken.
 */
#include "perf.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile uint8_t sink;

static uint8_t *page_of(const struct perf_worker *w, uint32_t page)
{
	return w->memory + (uint64_t)page * w->run->test->page_bytes;
}

/* Who touches a page that was lost with its donor cannot go on. */
static void on_sigbus(int number)
{
	static const char words[] = "ramster-perf: a page is lost with its donor or disk\n";
	ssize_t ignored = write(STDERR_FILENO, words, sizeof(words) - 1);

	(void)number;
	(void)ignored;
	_exit(1);
}

void perf_touch_write(struct perf_run *run, uint8_t *memory)
{
	const struct sigaction action = { .sa_handler = on_sigbus };
	const struct perf_test *test = run->test;
	struct perf_worker *w;
	uint32_t i;

	sigaction(SIGBUS, &action, NULL);
	for (w = run->workers; w < run->workers + test->threads; w++) {
		w->memory = memory + w->number * (run->pages * test->page_bytes);
		for (i = 0; i < run->pages && !atomic_load(&run->stop); i++)
			perf_write_content(w, page_of(w, i), i);
	}
}

void perf_touch_all(struct perf_run *run)
{
	struct perf_worker *w;
	uint32_t i;

	for (w = run->workers; w < run->workers + run->test->threads; w++)
		for (i = 0; i < run->pages && !atomic_load(&run->stop); i++)
			sink = *page_of(w, i);
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

void perf_touch_run(struct perf_worker *w, uint64_t count, bool counted)
{
	uint64_t state = 0x9e3779b97f4a7c15ull + 2 * w->number + counted, done = 0, start;
	uint32_t page, touched = 0;
	uint8_t *addr;
	bool fault;

	while (done < count && !atomic_load(&w->run->stop)) {
		if (w->run->test->swap && touched++ % (w->run->pages / 2 + 1) == 0)
			perf_swap_out(w);
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
