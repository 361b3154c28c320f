// SPDX-License-Identifier: GPL-2.0-only
/*
 * devcheck - write pages to a block device, read them back, and never accept a
 * wrong one.
 *
 *   devcheck [OPTION...] PHASE...
 *
 * Phases, in the order given: "fill" writes every page, "mix" writes, reads and
 * discards runs of pages at random, "verify" reads every page. Every write of a
 * page has contents of its own, some compressible, some of one word, some
 * neither. A page that cannot be read is lost: that may be, with --allow-lost;
 * what is read must be right. A page whose write failed may be as it was or as
 * it was meant to be. Half of the lost pages are written anew.
 *
 * Each thread has pages of its own. SIGTERM ends the phase. Exit status: 0 all
 * right, 1 wrong bytes, 2 wrong usage or no device, 3 pages lost without
 * --allow-lost, 4 failed writes without --allow-failed.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "pattern.h"

#define SHOWN_WRONG 10
#define MAX_THREADS 64
#define MAX_PHASES  16

struct phase {
	const char *name;
	void *(*run)(void *worker);
};

struct options {
	const char *device;
	uint64_t bytes, seed;
	double seconds;
	unsigned int threads, max_pages, reads, discards, version;
	bool allow_lost, allow_failed;
	const struct phase *phases[MAX_PHASES];
	unsigned int nphases;
};

/* A page may hold any version from good to last; of which zeroed is zeros, others a pattern. */
struct page {
	uint32_t good, last, zeroed;
};

struct worker {
	pthread_t thread;
	uint32_t first, end; /* its pages */
	uint64_t random;
	unsigned char *buf;
	double slowest_read, slowest_write; /* seconds */
};

static struct options opt = {
	.device = "/dev/ramster0",
	.bytes = 32u << 20,
	.seed = 1,
	.seconds = 10,
	.threads = 8,
	.max_pages = 16,
	.reads = 50,
	.discards = 5,
};
static struct {
	atomic_ullong reads, writes, lost, failed, wrong;
} total; /* pages */
static struct page *pages;
static struct worker workers[MAX_THREADS];
static int device;
static volatile sig_atomic_t stopped;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void on_stop(int signal)
{
	(void)signal;
	stopped = 1;
}

/* An error that has nothing to do with memory at donors: the test itself is broken. */
static void die(const char *what)
{
	fprintf(stderr, "devcheck: %s of %s: %m\n", what, opt.device);
	exit(2);
}

/* ---- contents ---- */

static unsigned int random_words(uint32_t version)
{
	switch (version % 8) {
	case 7:
		return 0;
	case 3:
		return PATTERN_WORDS;
	default:
		return PATTERN_WORDS / 2;
	}
}

static bool holds(const uint64_t *words, uint32_t page, uint32_t version)
{
	static const uint64_t zeros[PATTERN_WORDS];

	if (version == pages[page].zeroed)
		return !memcmp(words, zeros, PAGE);
	return pattern_check(words, random_words(version), pattern_seed(opt.seed, page, version)) ==
	       PATTERN_WORDS;
}

static void check(const void *data, uint32_t page)
{
	const struct page *p = &pages[page];
	const uint64_t *words = data;
	uint32_t version;

	for (version = p->last; version >= p->good && version <= p->last; version--)
		if (holds(words, page, version))
			return;
	if (atomic_fetch_add(&total.wrong, 1) < SHOWN_WRONG)
		printf("WRONG page %" PRIu32 ", version %" PRIu32 "..%" PRIu32 ": %016" PRIx64
		       " %016" PRIx64 " ... %016" PRIx64 "\n",
		       page, p->good, p->last, words[0], words[1], words[PATTERN_WORDS - 1]);
}

/* ---- input and output ---- */

static void note_time(double *slowest, double start)
{
	double took = now() - start;

	if (took > *slowest)
		*slowest = took;
}

/* False: the device reports an error. */
static bool transfer(struct worker *w, uint32_t page, uint32_t n, bool write)
{
	off_t at = (off_t)page * PAGE;
	double start = now();
	ssize_t got;

	got = write ? pwrite(device, w->buf, n * PAGE, at) : pread(device, w->buf, n * PAGE, at);
	note_time(write ? &w->slowest_write : &w->slowest_read, start);
	if (got < 0 && errno != EIO && errno != ENOSPC)
		die(write ? "write" : "read");
	return got == (ssize_t)(n * PAGE);
}

static bool write_run(struct worker *w, uint32_t page, uint32_t n)
{
	bool done;
	uint32_t i;

	for (i = 0; i < n; i++) {
		struct page *p = &pages[page + i];

		p->last++;
		pattern_fill((uint64_t *)(w->buf + (size_t)i * PAGE), random_words(p->last),
			     pattern_seed(opt.seed, page + i, p->last));
	}
	done = transfer(w, page, n, true);
	for (i = 0; done && i < n; i++)
		pages[page + i].good = pages[page + i].last;
	atomic_fetch_add(done ? &total.writes : &total.failed, n);
	return done;
}

static void read_run(struct worker *w, uint32_t page, uint32_t n, bool renew)
{
	uint32_t i;

	if (transfer(w, page, n, false)) {
		atomic_fetch_add(&total.reads, n);
		for (i = 0; i < n; i++)
			check(w->buf + (size_t)i * PAGE, page + i);
	} else if (n > 1) {
		for (i = 0; i < n; i++)
			read_run(w, page + i, 1, renew);
	} else {
		atomic_fetch_add(&total.lost, 1);
		if (renew && next_random(&w->random) % 2 && write_run(w, page, 1))
			read_run(w, page, 1, false);
	}
}

static void discard_run(uint32_t page, uint32_t n)
{
	uint64_t range[2] = { (uint64_t)page * PAGE, (uint64_t)n * PAGE };
	uint32_t i;

	if (ioctl(device, BLKDISCARD, range))
		die("discard");
	for (i = 0; i < n; i++) {
		struct page *p = &pages[page + i];

		p->last++;
		p->good = p->last;
		p->zeroed = p->last;
	}
}

/* ---- phases ---- */

static uint32_t run_at(const struct worker *w, uint32_t page)
{
	uint32_t left = w->end - page;

	return left < opt.max_pages ? left : opt.max_pages;
}

static void *fill(void *arg)
{
	struct worker *w = arg;
	uint32_t page;

	for (page = w->first; page < w->end && !stopped; page += run_at(w, page))
		write_run(w, page, run_at(w, page));
	return NULL;
}

static void *verify(void *arg)
{
	struct worker *w = arg;
	uint32_t page;

	for (page = w->first; page < w->end && !stopped; page += run_at(w, page))
		read_run(w, page, run_at(w, page), false);
	return NULL;
}

static void *mix(void *arg)
{
	double end = now() + opt.seconds;
	struct worker *w = arg;

	while (!stopped && now() < end) {
		uint32_t page =
			w->first + (uint32_t)(next_random(&w->random) % (w->end - w->first));
		uint32_t n = 1 + (uint32_t)(next_random(&w->random) % run_at(w, page));
		unsigned int dice = (unsigned int)(next_random(&w->random) % 100);

		if (dice < opt.reads)
			read_run(w, page, n, true);
		else if (dice < opt.reads + opt.discards)
			discard_run(page, n);
		else
			write_run(w, page, n);
	}
	return NULL;
}

static const struct phase phases[] = { { "fill", fill }, { "mix", mix }, { "verify", verify } };

static const struct phase *find_phase(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
		if (!strcmp(phases[i].name, name))
			return &phases[i];
	return NULL;
}

static void run_phase(const struct phase *phase)
{
	double start = now(), slowest_read = 0, slowest_write = 0;
	unsigned long long lost = total.lost;
	unsigned int i;

	stopped = 0;
	printf("%s begins\n", phase->name);
	for (i = 0; i < opt.threads; i++) {
		workers[i].slowest_read = 0;
		workers[i].slowest_write = 0;
		if (pthread_create(&workers[i].thread, NULL, phase->run, &workers[i]))
			die("threads for the use");
	}
	for (i = 0; i < opt.threads; i++) {
		struct worker *w = &workers[i];

		pthread_join(w->thread, NULL);
		if (w->slowest_read > slowest_read)
			slowest_read = w->slowest_read;
		if (w->slowest_write > slowest_write)
			slowest_write = w->slowest_write;
	}
	printf("%s: %.2f s read %llu written %llu lost %llu failed %llu wrong %llu lost-now %llu slowest-read %.0f ms slowest-write %.0f ms\n",
	       phase->name, now() - start, total.reads, total.writes, total.lost, total.failed,
	       total.wrong, total.lost - lost, slowest_read * 1e3, slowest_write * 1e3);
}

/* ---- the program ---- */

static void *get_memory(size_t bytes)
{
	void *p = aligned_alloc(PAGE, (bytes + PAGE - 1) / PAGE * PAGE);

	if (!p)
		die("memory for the use");
	memset(p, 0, bytes);
	return p;
}

static void prepare(void)
{
	uint32_t n = (uint32_t)(opt.bytes / PAGE), i;

	device = open(opt.device, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (device < 0)
		die("open");
	pages = get_memory(n * sizeof(*pages));
	for (i = 0; i < n; i++)
		pages[i] = (struct page){ .good = opt.version, .last = opt.version };
	for (i = 0; i < opt.threads; i++)
		workers[i] = (struct worker){
			.first = (uint32_t)((uint64_t)n * i / opt.threads),
			.end = (uint32_t)((uint64_t)n * (i + 1) / opt.threads),
			.random = opt.seed + i,
			.buf = get_memory(opt.max_pages * PAGE),
		};
}

static uint64_t parse_number(struct argp_state *state, const char *arg, uint64_t min, uint64_t max)
{
	char *end;
	uint64_t value = strtoull(arg, &end, 10);
	const char *units = "KMG", *unit = *end ? strchr(units, *end) : NULL;

	if (unit) {
		value <<= 10 * (unit - units + 1);
		end++;
	}
	if (end == arg || *end || value < min || value > max)
		argp_error(state,
			   "'%s' is not a number from %" PRIu64 " to %" PRIu64
			   " (K, M or G may follow)",
			   arg, min, max);
	return value;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'd':
		opt.device = arg;
		return 0;
	case 'm':
		opt.bytes = parse_number(state, arg, 1u << 20, 1ull << 40);
		return 0;
	case 's':
		opt.seconds = (double)parse_number(state, arg, 0, 1u << 20);
		return 0;
	case 't':
		opt.threads = (unsigned int)parse_number(state, arg, 1, MAX_THREADS);
		return 0;
	case 'n':
		opt.max_pages = (unsigned int)parse_number(state, arg, 1, 1024);
		return 0;
	case 'r':
		opt.reads = (unsigned int)parse_number(state, arg, 0, 100);
		return 0;
	case 'c':
		opt.discards = (unsigned int)parse_number(state, arg, 0, 100);
		return 0;
	case 'v':
		opt.version = (unsigned int)parse_number(state, arg, 0, 1u << 30);
		return 0;
	case 'x':
		opt.seed = parse_number(state, arg, 0, UINT64_MAX);
		return 0;
	case 'l':
		opt.allow_lost = true;
		return 0;
	case 'f':
		opt.allow_failed = true;
		return 0;
	case ARGP_KEY_ARG:
		if (!find_phase(arg) || opt.nphases == MAX_PHASES)
			argp_error(state, "'%s' is not fill, mix or verify, or one too many", arg);
		opt.phases[opt.nphases++] = find_phase(arg);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "no phase given");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "device", 'd', "PATH", 0, "(default /dev/ramster0)", 0 },
		{ "size", 'm', "SIZE", 0, "bytes to use, from the start (default 32M)", 0 },
		{ "seconds", 's', "N", 0, "length of mix (default 10)", 0 },
		{ "threads", 't', "N", 0, "that many requests at a time (default 8)", 0 },
		{ "max-pages", 'n', "N", 0, "longest request of mix (default 16)", 0 },
		{ "reads", 'r', "PERCENT", 0, "of mix (default 50)", 0 },
		{ "discards", 'c', "PERCENT", 0, "of mix (default 5)", 0 },
		{ "version", 'v', "N", 0,
		  "what the device holds: 0 zeros (default), 1 what a fill left", 0 },
		{ "seed", 'x', "N", 0, "of contents and order (default 1)", 0 },
		{ "allow-lost", 'l', NULL, 0, "reads that fail are no failure", 0 },
		{ "allow-failed", 'f', NULL, 0, "writes that fail are no failure", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.args_doc = "PHASE...",
		.doc = "Check that a block device gives back what it was given, or an error.",
	};
	struct sigaction stop = { .sa_handler = on_stop };
	unsigned int i;

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGTERM, &stop, NULL);
	prepare();
	for (i = 0; i < opt.nphases; i++)
		run_phase(opt.phases[i]);
	if (total.wrong)
		return 1;
	if (total.lost && !opt.allow_lost)
		return 3;
	return total.failed && !opt.allow_failed ? 4 : 0;
}
