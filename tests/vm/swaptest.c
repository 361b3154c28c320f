// SPDX-License-Identifier: GPL-2.0-only
/*
 * swaptest - use more memory than there is, and check every byte of it.
 *
 * Run it in a memory cgroup smaller than --size, so that most pages lie in
 * swap. Every page holds a pattern of its own, half of it incompressible (or one
 * word over and over: --same), which changes each time the page is rewritten; so
 * a page of another place or of an earlier time is found out, not only a damaged
 * one. Each pass reads and checks all pages, the first in order, the others in
 * random order, and rewrites some.
 *
 * SIGTERM ends it after the page at hand, SIGUSR1 ends the pass and begins the
 * next, so that a complete pass can be had from any moment on.
 *
 * A page that the kernel cannot bring back (SIGBUS) is counted as lost, dropped
 * and written anew. Exit status: 0 all right, 1 wrong bytes, 2 wrong usage or no
 * memory, 3 pages lost without --allow-lost.
 */
#include <argp.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "pattern.h"
#include "swaptest.h"

#define SHOWN_WRONG 10 /* wrong pages that are described one by one */

struct options {
	uint64_t bytes;
	double seconds;	      /* 0: until rounds are done */
	unsigned long rounds; /* 0: until the time is over */
	unsigned int rewrite; /* percent of the pages per pass */
	unsigned int same;    /* percent of the pages that hold one word only */
	double progress;      /* seconds between two progress lines */
	uint64_t seed;
	bool allow_lost;
};

struct totals {
	uint64_t checked, faults, lost, wrong;
};

static struct options opt = { .bytes = 64u << 20,
			      .rounds = 0,
			      .rewrite = 25,
			      .progress = 2,
			      .seed = 1 };
static struct totals total;
static volatile sig_atomic_t stopped, pass_over;
static sigjmp_buf lost_jump;

static char *memory;
static uint32_t npages;
static uint32_t *order;	   /* page numbers in the order of the pass */
static uint32_t *touch_ns; /* per access of the pass */
static uint32_t *version;  /* how often each page was written */

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static uint64_t *page_words(uint32_t page)
{
	return (uint64_t *)(memory + (size_t)page * PAGE);
}

static uint64_t seed_of(uint32_t page)
{
	return pattern_seed(opt.seed, page, version[page]);
}

/* How many words of a page are random; all others are the same. */
static unsigned int random_words(uint32_t page)
{
	return page % 100 < opt.same ? 0 : PATTERN_WORDS / 2;
}

static void write_page(uint32_t page)
{
	version[page]++;
	pattern_fill(page_words(page), random_words(page), seed_of(page));
}

static void check_page(uint32_t page)
{
	const uint64_t *words = page_words(page);
	unsigned int word = pattern_check(words, random_words(page), seed_of(page));

	total.checked++;
	if (word < PATTERN_WORDS && total.wrong++ < SHOWN_WRONG)
		printf("WRONG page %" PRIu32 " version %" PRIu32 ": word %u is %016" PRIx64 "\n",
		       page, version[page], word, words[word]);
}

__attribute__((weak)) uint64_t tested_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_majflt;
}

static void on_bus_error(int signal)
{
	(void)signal;
	siglongjmp(lost_jump, 1);
}

static void on_stop(int signal)
{
	if (signal == SIGUSR1)
		pass_over = 1;
	else
		stopped = 1;
}

/* Bring a page in, check it and perhaps rewrite it; returns the time of the first access in ns. */
static uint32_t visit(uint32_t page, bool rewrite)
{
	double start = now(), elapsed;

	if (sigsetjmp(lost_jump, 1)) {
		total.lost++;
		madvise(page_words(page), PAGE, MADV_DONTNEED);
		write_page(page);
		return 0;
	}
	(void)*(volatile uint64_t *)page_words(page);
	elapsed = (now() - start) * 1e9;
	check_page(page);
	if (rewrite)
		write_page(page);
	return elapsed < UINT32_MAX ? (uint32_t)elapsed : UINT32_MAX;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The slowest accesses of a pass are those that took the major faults. */
static void report_pass(unsigned long pass, uint32_t visited, uint64_t faults, double seconds)
{
	uint32_t slow = faults < visited ? (uint32_t)faults : visited;
	const uint32_t *fault_ns = touch_ns + visited - slow;

	qsort(touch_ns, visited, sizeof(*touch_ns), compare);
	printf("pass %lu: %" PRIu32 " pages %.2f s %" PRIu64 " faults %.0f faults/s", pass, visited,
	       seconds, faults, (double)faults / seconds);
	if (slow)
		printf(" p50 %" PRIu32 " us p99 %" PRIu32 " us max %" PRIu32 " us",
		       fault_ns[slow / 2] / 1000, fault_ns[(uint64_t)slow * 99 / 100] / 1000,
		       fault_ns[slow - 1] / 1000);
	printf(" lost %" PRIu64 " wrong %" PRIu64 "\n", total.lost, total.wrong);
}

static void shuffle(uint64_t *state)
{
	uint32_t i;

	for (i = npages - 1; i > 0; i--) {
		uint32_t j = (uint32_t)(next_random(state) % (i + 1)), was = order[i];

		order[i] = order[j];
		order[j] = was;
	}
}

static void run_pass(unsigned long pass, uint64_t *state, double deadline)
{
	double start = now(), shown = start;
	uint64_t faults = tested_faults();
	uint32_t i;

	if (pass > 1)
		shuffle(state);
	pass_over = 0;
	for (i = 0; i < npages && !stopped && !pass_over; i++) {
		double t = now();

		touch_ns[i] = visit(order[i], next_random(state) % 100 < opt.rewrite);
		if (t > deadline)
			stopped = 1;
		if (t - shown >= opt.progress) {
			shown = t;
			printf("progress: pass %lu %u %% checked %" PRIu64 " lost %" PRIu64
			       " wrong %" PRIu64 "\n",
			       pass, (unsigned int)((uint64_t)i * 100 / npages), total.checked,
			       total.lost, total.wrong);
		}
	}
	faults = tested_faults() - faults;
	total.faults += faults;
	if (i)
		report_pass(pass, i, faults, now() - start);
}

static void *get_memory(size_t bytes, int flags)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1,
		       0);

	if (p == MAP_FAILED) {
		fprintf(stderr, "swaptest: no %zu bytes of memory: %m\n", bytes);
		exit(2);
	}
	return p;
}

__attribute__((weak)) char *tested_memory(size_t bytes)
{
	char *p = get_memory(bytes, 0);

	madvise(p, bytes, MADV_NOHUGEPAGE);
	return p;
}

__attribute__((weak)) void tested_end(void)
{
}

/* Everything but the tested memory is locked, so that only it faults. */
static void prepare(void)
{
	uint32_t i;

	npages = (uint32_t)(opt.bytes / PAGE);
	order = get_memory(npages * sizeof(*order), MAP_LOCKED | MAP_POPULATE);
	touch_ns = get_memory(npages * sizeof(*touch_ns), MAP_LOCKED | MAP_POPULATE);
	version = get_memory(npages * sizeof(*version), MAP_LOCKED | MAP_POPULATE);
	if (mlockall(MCL_CURRENT)) {
		fprintf(stderr, "swaptest: cannot lock its own memory: %m\n");
		exit(2);
	}
	memory = tested_memory((size_t)npages * PAGE);
	for (i = 0; i < npages; i++)
		order[i] = i;
}

static void write_all(void)
{
	double start = now();
	uint32_t i;

	for (i = 0; i < npages && !stopped; i++)
		write_page(i);
	npages = i;
	printf("written: %" PRIu32 " pages %.2f s\n", npages, now() - start);
}

static uint64_t parse_number(struct argp_state *state, const char *arg, uint64_t max)
{
	char *end;
	uint64_t value = strtoull(arg, &end, 10);
	const char *units = "KMG", *unit = *end ? strchr(units, *end) : NULL;

	if (unit) {
		value <<= 10 * (unit - units + 1);
		end++;
	}
	if (end == arg || *end || value > max)
		argp_error(state, "'%s' is not a number up to %" PRIu64 " (K, M or G may follow)",
			   arg, max);
	return value;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'm':
		opt.bytes = parse_number(state, arg, 1ull << 40);
		if (opt.bytes < PAGE)
			argp_error(state, "--size is less than a page");
		return 0;
	case 's':
		opt.seconds = (double)parse_number(state, arg, 1u << 20);
		return 0;
	case 'r':
		opt.rounds = parse_number(state, arg, 1u << 30);
		return 0;
	case 'w':
		opt.rewrite = (unsigned int)parse_number(state, arg, 100);
		return 0;
	case 'u':
		opt.same = (unsigned int)parse_number(state, arg, 100);
		return 0;
	case 'p':
		opt.progress = (double)parse_number(state, arg, 1u << 30) / 1000;
		return 0;
	case 'x':
		opt.seed = parse_number(state, arg, UINT64_MAX);
		return 0;
	case 'l':
		opt.allow_lost = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "size", 'm', "SIZE", 0, "memory to use (default 64M)", 0 },
		{ "seconds", 's', "N", 0, "end after so many seconds", 0 },
		{ "rounds", 'r', "N", 0, "end after so many passes (default 2 unless --seconds)",
		  0 },
		{ "rewrite", 'w', "PERCENT", 0, "pages to rewrite in a pass (default 25)", 0 },
		{ "same", 'u', "PERCENT", 0, "pages that hold one word only (default 0)", 0 },
		{ "progress", 'p', "MS", 0, "between progress lines (default 2000)", 0 },
		{ "seed", 'x', "N", 0, "seed of patterns and order (default 1)", 0 },
		{ "allow-lost", 'l', NULL, 0, "pages lost with a clean error are no failure", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.doc = "Fill memory, and check every byte of it in every pass.",
	};
	struct sigaction bus = { .sa_handler = on_bus_error };
	struct sigaction stop = { .sa_handler = on_stop };
	double start, deadline;
	unsigned long pass;
	uint64_t state;

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	if (!opt.rounds && opt.seconds == 0)
		opt.rounds = 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGBUS, &bus, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGUSR1, &stop, NULL);
	prepare();
	start = now();
	deadline = opt.seconds > 0 ? start + opt.seconds : 1e18;
	state = opt.seed;
	write_all();
	for (pass = 1; !stopped && (!opt.rounds || pass <= opt.rounds); pass++)
		run_pass(pass, &state, deadline);
	printf("total: %.2f s %" PRIu64 " checked %" PRIu64 " faults lost %" PRIu64
	       " wrong %" PRIu64 "\n",
	       now() - start, total.checked, total.faults, total.lost, total.wrong);
	tested_end();
	if (total.wrong)
		return 1;
	return total.lost && !opt.allow_lost ? 3 : 0;
}
