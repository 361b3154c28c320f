// SPDX-License-Identifier: GPL-2.0-only
/*
 * perf_run.c - the threads of ramster-perf.
 *
 * Each has pages of its own: object number + 1, index 0 to run->pages - 1, taken in
 * turn. Time is counted by the processor where it can be, as perftest does: asking
 * the kernel costs a system call on some machines.
 */
#include "perf.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

#define WARM_UP	     200   /* operations of a thread */
#define SAMPLE_MS    100   /* between two looks at the rate */
#define WAIT_MS	     60000 /* for one operation: more than the library ever takes */
#define FILL_SECONDS 60
#define ENDS	     64 /* taken from the queue at once */

static double ticks_per_ns;

double perf_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

#ifdef __x86_64__
uint64_t perf_ticks(void)
{
	return __rdtsc();
}
#else
uint64_t perf_ticks(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
#endif

static void calibrate(void)
{
	double from = perf_seconds();
	uint64_t start = perf_ticks();

	while (perf_seconds() < from + 0.1)
		;
	ticks_per_ns = (double)(perf_ticks() - start) / ((perf_seconds() - from) * 1e9);
}

uint64_t perf_ns_since(uint64_t start)
{
	return (uint64_t)((double)(perf_ticks() - start) / ticks_per_ns);
}

void perf_fail(struct perf_run *run, const char *what, uint64_t page, int err)
{
	if (!atomic_exchange(&run->failed, true)) {
		run->failed_what = what;
		run->failed_page = page;
		run->failed_err = err;
	}
	atomic_store(&run->stop, true);
}

/* ---- content: nothing that compresses, repeats, or is the same in two pages or versions ---- */

static uint64_t word_of(uint64_t seed, uint64_t at)
{
	uint64_t x = (seed + at + 1) * 0x9e3779b97f4a7c15ull;

	return x ^ x >> 29;
}

static uint64_t seed_of(const struct perf_worker *w, uint32_t page, uint32_t version)
{
	return ((uint64_t)w->number << 58 ^ (uint64_t)page << 26 ^ version) * 0xbf58476d1ce4e5b9ull;
}

void perf_write_content(const struct perf_worker *w, void *memory, uint32_t page)
{
	uint64_t seed = seed_of(w, page, w->version[page]), *word = memory, i;

	for (i = 0; i < w->run->test->page_bytes / sizeof(*word); i++)
		word[i] = word_of(seed, i);
}

void perf_check_content(struct perf_worker *w, const void *memory, uint32_t page)
{
	uint64_t seed = seed_of(w, page, w->version[page]), i;
	const uint64_t *word = memory;

	for (i = 0; i < w->run->test->page_bytes / sizeof(*word); i++) {
		if (word[i] != word_of(seed, i)) {
			perf_fail(w->run, "get", page, 0);
			return;
		}
	}
	atomic_fetch_add(&w->run->verified, 1);
}

/* ---- one at a time ---- */

static bool one(struct perf_worker *w, uint32_t page, bool put)
{
	struct perf_run *run = w->run;
	struct rmr_page p = { w->number + 1, page, w->memory, run->buf, 0 };
	int err = put ? rmr_putv(run->pool, &p, 1) : rmr_getv(run->pool, &p, 1);

	if (err)
		perf_fail(run, put ? "put" : "get", page, err);
	return !err;
}

/* What must be done before a put and after a get for --verify, outside the measured time. */
static void before_put(struct perf_worker *w, void *memory, uint32_t page)
{
	if (w->run->test->put && w->run->test->verify) {
		w->version[page]++;
		perf_write_content(w, memory, page);
	}
}

static void after_get(struct perf_worker *w, const void *memory, uint32_t page)
{
	if (!w->run->test->put && w->run->test->verify)
		perf_check_content(w, memory, page);
}

static void run_latency(struct perf_worker *w, uint64_t count, bool counted)
{
	const struct perf_test *test = w->run->test;
	uint64_t done, start;
	uint32_t page;

	for (done = 0; done < count && !atomic_load(&w->run->stop); done++) {
		page = (uint32_t)(done % w->run->pages);
		before_put(w, w->memory, page);
		start = perf_ticks();
		if (!one(w, page, test->put))
			return;
		if (counted) {
			perf_times_add(&w->times, perf_ns_since(start));
			atomic_fetch_add_explicit(&w->ops, 1, memory_order_relaxed);
		}
		after_get(w, w->memory, page);
	}
}

/* ---- many under way ---- */

static bool start_call(struct perf_worker *w, uint32_t page)
{
	struct perf_run *run = w->run;
	uint8_t *memory = w->spare[--w->spares];
	struct rmr_page *call = &w->calls[(size_t)(memory - w->memory) / run->test->page_bytes];
	int err;

	*call = (struct rmr_page){ w->number + 1, page, memory, run->buf, 0 };
	before_put(w, memory, page);
	err = run->test->put ? rmr_queue_put(w->queue, run->pool, call, call) :
			       rmr_queue_get(w->queue, run->pool, call, call);
	if (err) {
		w->spares++;
		perf_fail(run, run->test->put ? "put" : "get", page, err);
	}
	return !err;
}

/* Take in what has ended; false after a failure. */
static bool end_calls(struct perf_worker *w, bool counted)
{
	const struct perf_test *test = w->run->test;
	struct rmr_done done[ENDS];
	struct rmr_page *call;
	int n, i;

	n = test->events ? rmr_queue_wait(w->queue, done, ENDS, WAIT_MS) : 0;
	if (!test->events) {
		n = rmr_queue_poll(w->queue, done, ENDS);
		if (!n) /* polls for a while, then sleeps, as rmr_options.poll_us says */
			n = rmr_queue_wait(w->queue, done, ENDS, WAIT_MS);
	}
	if (n <= 0)
		perf_fail(w->run, test->put ? "put" : "get", 0, n ? n : -ETIMEDOUT);
	for (i = 0; i < n; i++) {
		call = done[i].tag;
		w->spare[w->spares++] = call->addr;
		if (done[i].result)
			perf_fail(w->run, test->put ? "put" : "get", call->index, done[i].result);
		else
			after_get(w, call->addr, (uint32_t)call->index);
	}
	if (counted && n > 0)
		atomic_fetch_add_explicit(&w->ops, (uint64_t)n, memory_order_relaxed);
	return n > 0;
}

static void run_bandwidth(struct perf_worker *w, uint64_t count, bool counted)
{
	const struct perf_test *test = w->run->test;
	struct perf_run *run = w->run;
	uint64_t started = 0;
	bool going = true;

	while (going) {
		rmr_queue_batch(w->queue);
		while (w->spares && started < count && !atomic_load(&run->stop))
			if (start_call(w, (uint32_t)(started % run->pages)))
				started++;
		if (w->spares == test->depth)
			return;
		going = end_calls(w, counted);
	}
}

/* ---- the course of it ---- */

static void *work(void *arg)
{
	struct perf_worker *w = arg;
	struct perf_run *run = w->run;
	const struct perf_test *test = run->test;
	void (*operate)(struct perf_worker *, uint64_t, bool) = test->touch   ? perf_touch_run :
								test->latency ? run_latency :
										run_bandwidth;

	operate(w, WARM_UP, false);
	pthread_mutex_lock(&run->lock);
	run->warm++;
	pthread_cond_broadcast(&run->changed);
	while (!run->go)
		pthread_cond_wait(&run->changed, &run->lock);
	pthread_mutex_unlock(&run->lock);

	operate(w, test->seconds ? UINT64_MAX : test->iterations, true);
	w->ended = perf_seconds();
	pthread_mutex_lock(&run->lock);
	run->running--;
	pthread_cond_broadcast(&run->changed);
	pthread_mutex_unlock(&run->lock);
	return NULL;
}

static uint64_t ops_of(const struct perf_run *run)
{
	uint64_t ops = 0, i;

	for (i = 0; i < run->test->threads; i++)
		ops += atomic_load(&run->workers[i].ops);
	return ops;
}

static double cpu_seconds(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

/* Wait for a sample's time, or until the last thread has ended: false then. */
static bool sleep_until_sample(struct perf_run *run)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += SAMPLE_MS * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (run->running && !err)
		err = pthread_cond_timedwait(&run->changed, &run->lock, &until);
	return run->running;
}

/* Until the threads have ended: samples of the rate, the progress line, the end of -D. */
static void watch(struct perf_run *run, double start)
{
	double now, end = start;
	uint64_t ops, i;

	while (sleep_until_sample(run)) {
		ops = ops_of(run);
		now = perf_seconds() - start;
		perf_rate_sample(&run->rate, ops, now);
		perf_progress(run, now, ops);
		if (run->test->seconds && now >= (double)run->test->seconds)
			atomic_store(&run->stop, true);
	}
	for (i = 0; i < run->test->threads; i++)
		if (run->workers[i].ended > end)
			end = run->workers[i].ended;
	perf_rate_sample(&run->rate, ops_of(run), end - start);
	perf_progress_end();
}

static void start_threads(struct perf_run *run)
{
	uint64_t i;
	int err;

	for (i = 0; i < run->test->threads; i++) {
		err = pthread_create(&run->workers[i].thread, NULL, work, &run->workers[i]);
		if (err) {
			perf_fail(run, "starting thread", i, -err);
			break;
		}
		run->running++;
	}
}

/* Swap has no fabric of its own. */
static void fabric_stats(struct perf_run *run, struct rmr_stats *stats)
{
	if (run->fabric)
		rmr_stats(run->fabric, stats, sizeof(*stats));
}

void perf_measure(struct perf_run *run)
{
	uint32_t started, i;
	double start, cpu;

	calibrate();
	pthread_mutex_lock(&run->lock);
	start_threads(run);
	started = run->running;
	while (run->warm < started)
		pthread_cond_wait(&run->changed, &run->lock);
	fabric_stats(run, &run->before);
	cpu = cpu_seconds();
	start = perf_seconds();
	run->go = true;
	pthread_cond_broadcast(&run->changed);
	watch(run, start);
	pthread_mutex_unlock(&run->lock);
	run->cpu_seconds = cpu_seconds() - cpu;
	fabric_stats(run, &run->after);
	for (i = 0; i < started; i++) {
		pthread_join(run->workers[i].thread, NULL);
		perf_times_merge(&run->times, &run->workers[i].times);
	}
}

/* ---- before and after ---- */

/* Pages that were put before there was room are compressed; the library ships them by and by. */
int perf_wait_remote(struct perf_run *run)
{
	double until = perf_seconds() + FILL_SECONDS;
	struct rmr_stats s;

	for (;;) {
		rmr_stats(run->fabric, &s, sizeof(s));
		if (!s.zstd_pages)
			return 0;
		if (perf_seconds() > until)
			return -ENOSPC;
		poll(NULL, 0, 20);
	}
}

int perf_fill(struct perf_run *run)
{
	struct rmr_page page;
	struct perf_worker *w;
	uint32_t i;
	int err;

	for (w = run->workers; w < run->workers + run->test->threads; w++) {
		for (i = 0; i < run->pages && !atomic_load(&run->stop); i++) {
			perf_write_content(w, w->memory, i);
			page = (struct rmr_page){ w->number + 1, i, w->memory, run->buf, 0 };
			err = rmr_putv(run->pool, &page, 1);
			if (err)
				return err;
		}
		for (i = 1; i < run->test->depth; i++) /* puts without --verify send this */
			perf_write_content(w, w->memory + i * run->test->page_bytes,
					   i % run->pages);
	}
	return atomic_load(&run->stop) ? -EINTR : perf_wait_remote(run);
}

void perf_verify_all(struct perf_run *run)
{
	struct perf_worker *w;
	uint32_t i;

	for (w = run->workers; w < run->workers + run->test->threads; w++)
		for (i = 0; i < run->pages; i++) {
			if (!one(w, i, false))
				return;
			perf_check_content(w, w->memory, i);
		}
}
