// SPDX-License-Identifier: GPL-2.0-only
/*
 * far_client.c - far memory under test: every byte that is read is compared.
 *
 * far-client DONORS TEST [name=number...]
 *
 * Options: size, limit (MiB), threads (of the test), brings (of the library), seconds, count,
 * timeout (ms), slab (MiB), seed, poll (us), raw (port).
 * Tests: verify, counters, advice, system, lost, bench. Checks are lines "ok - ..." and
 * "not ok - ..."; the exit code is 1 if one is not ok. "raw" is what bench compares with: it
 * lets one bench read its memory by verbs alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <ramster/ramster_rdma.h>

#include "raw_read.h"

#define PAGE	4096u
#define WORDS	(PAGE / 8)
#define MIB	(1ull << 20)
#define THREADS 16

static struct {
	const char *name;
	uint64_t value;
} options[] = {
	{ "size", 16 },	   { "limit", 4 },    { "threads", 4 },	    { "brings", 2 },
	{ "seconds", 10 }, { "count", 2000 }, { "timeout", 20000 }, { "slab", 2 },
	{ "seed", 1 },	   { "poll", 200 },   { "raw", 7979 },
};

static const char *donors;
static struct rmr *fabric;
static struct rmr_far *far;
static uint8_t *base;
static uint64_t pages;
static uint32_t *versions; /* what was written last to each page; 0: nothing */
static int failures;
static uint64_t wrong; /* pages; atomic */

static uint64_t option(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (!strcmp(options[i].name, name))
			return options[i].value;
	}
	abort();
}

static void check(bool ok, const char *what)
{
	printf("%s - %s\n", ok ? "ok" : "not ok", what);
	failures += !ok;
}

static void must(const char *what, int err)
{
	if (!err)
		return;
	printf("not ok - %s: %s\n", what, strerror(-err));
	exit(1);
}

static void log_line(void *arg, int level, const char *line)
{
	(void)arg;
	(void)level;
	printf("# %s\n", line);
	fflush(stdout);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* ---- contents ---- */

static uint64_t word_of(uint64_t page, uint32_t version, uint64_t i)
{
	uint64_t x = (page << 20 ^ version) * 0x9e3779b97f4a7c15ull + i * 0xd6e8feb86659fd93ull;

	return version ? x ^ x >> 29 : 0;
}

static uint64_t *page_at(uint64_t page)
{
	return (uint64_t *)(void *)(base + page * PAGE);
}

static void fill(uint64_t page, uint32_t version)
{
	uint64_t *p = page_at(page), i;

	for (i = 0; i < WORDS; i++)
		p[i] = word_of(page, version, i);
	versions[page] = version;
}

static void compare(uint64_t page)
{
	const uint64_t *p = page_at(page);
	uint64_t i;

	for (i = 0; i < WORDS && p[i] == word_of(page, versions[page], i); i++)
		;
	if (i < WORDS && !__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED))
		printf("# page %llu, word %llu: %llx, expected %llx of version %u\n",
		       (unsigned long long)page, (unsigned long long)i, (unsigned long long)p[i],
		       (unsigned long long)word_of(page, versions[page], i), versions[page]);
}

/* ---- what the range takes ---- */

/* Bytes of the range that lie in RAM, as the kernel counts them. */
static uint64_t resident(void)
{
	unsigned long long from, to, rss, sum = 0;
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[256];
	bool ours = false;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
			ours = from >= (uintptr_t)base && to <= (uintptr_t)base + pages * PAGE;
		else if (ours && sscanf(line, "Rss: %llu kB", &rss) == 1)
			sum += rss << 10;
	}
	if (f)
		fclose(f);
	return sum;
}

static uint64_t most; /* of resident() */
static bool watching;

static void *watch(void *arg)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	uint64_t bytes;

	(void)arg;
	while (__atomic_load_n(&watching, __ATOMIC_RELAXED)) {
		bytes = resident();
		if (bytes > most)
			most = bytes;
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void show(void)
{
	struct rmr_far_stats s;
	struct rmr_stats r;

	rmr_far_stats(far, &s, sizeof(s));
	rmr_stats(fabric, &r, sizeof(r));
	printf("# resident %llu KiB, peak %llu of %llu; faults %llu, of writes %llu; zeroed %llu, "
	       "fetched %llu, ahead %llu; dropped %llu, written %llu, rescued %llu; stalls %llu, "
	       "lost %llu; remote %llu, zstd %llu\n",
	       (unsigned long long)s.resident >> 10, (unsigned long long)s.resident_peak >> 10,
	       (unsigned long long)s.limit >> 10, (unsigned long long)s.faults,
	       (unsigned long long)s.write_faults, (unsigned long long)s.zeroed,
	       (unsigned long long)s.fetched, (unsigned long long)s.fetched_ahead,
	       (unsigned long long)s.dropped, (unsigned long long)s.written,
	       (unsigned long long)s.rescued, (unsigned long long)s.stalls,
	       (unsigned long long)s.lost, (unsigned long long)r.remote_pages,
	       (unsigned long long)r.zstd_pages);
	fflush(stdout);
}

/*
 * The kernel counts a large range while pages come and go: one that moved ahead of it is
 * counted twice. So under load it is nearly right, and exact when nothing happens.
 */
static void check_limit(void)
{
	uint64_t idle = resident();
	struct rmr_far_stats s;

	rmr_far_stats(far, &s, sizeof(s));
	printf("# the kernel saw %llu KiB of the range resident at most, now %llu of %llu\n",
	       (unsigned long long)most >> 10, (unsigned long long)idle >> 10,
	       (unsigned long long)s.resident >> 10);
	check(s.resident_peak <= s.limit && most <= s.limit + s.limit / 16, "the limit is kept");
	check(most > s.limit / 2 && idle && idle <= s.resident, "what is resident is counted");
}

/* ---- setting up ---- */

static uint64_t told; /* pages that the callback named; atomic */

static void on_lost(void *arg, void *addr, int error)
{
	(void)arg;
	(void)addr;
	if (!__atomic_fetch_add(&told, 1, __ATOMIC_RELAXED))
		printf("# the first lost page: %s\n", strerror(-error));
}

static void open_all(void)
{
	struct rmr_far_options far_options;
	struct rmr_options o;

	rmr_options_init(&o);
	o.slab_bytes = option("slab") * MIB;
	o.poll_us = (uint32_t)option("poll");
	o.timeout_ms = (uint32_t)option("timeout");
	o.log = log_line;
	must("open", rmr_open(donors, &o, &fabric));
	must("connect", rmr_wait_connected(fabric, 20000));
	rmr_far_options_init(&far_options);
	far_options.threads = (uint32_t)option("brings");
	far_options.lost = on_lost;
	must("far", rmr_far_create(fabric, option("size") * MIB, option("limit") * MIB,
				   &far_options, &far));
	base = rmr_far_addr(far);
	pages = option("size") * MIB / PAGE;
	versions = calloc(pages, sizeof(*versions));
}

static void close_all(void)
{
	rmr_far_destroy(far);
	rmr_close(fabric);
}

/* ---- threads ---- */

static void run_threads(void *(*run)(void *))
{
	pthread_t threads[THREADS], watcher;
	uintptr_t i, n = option("threads");

	watching = true;
	pthread_create(&watcher, NULL, watch, NULL);
	for (i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, run, (void *)i);
	for (i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	__atomic_store_n(&watching, false, __ATOMIC_RELAXED);
	pthread_join(watcher, NULL);
}

/* Each thread has its pages: every threads-th, so that neighbours are another one's. */
static void *verify_thread(void *arg)
{
	uint64_t n = option("threads"), mine = (uintptr_t)arg, page, i;
	uint64_t state = option("seed") * 7919 + mine + 1;
	double end = now() + (double)option("seconds");

	for (i = 0; now() < end; i++) {
		page = next_random(&state) % (pages / n) * n + mine;
		compare(page);
		if (next_random(&state) & 1)
			fill(page, versions[page] + 1);
		if (i % 64 == 63) /* a run, to be fetched ahead */
			for (page = next_random(&state) % (pages / 2); i % 64 && page < pages - n;
			     i++)
				compare(page / n * n + mine), page += n;
	}
	return NULL;
}

static void test_verify(void)
{
	uint64_t page;

	printf("ready\n");
	fflush(stdout);
	run_threads(verify_thread);
	for (page = 0; page < pages; page++)
		compare(page);
	show();
	check(!wrong, "every byte is right");
	check_limit();
}

static uint64_t added; /* atomic */

/* All threads add to words of all pages, while these are being stored: no write may be lost. */
static void *counters_thread(void *arg)
{
	uint64_t state = option("seed") * 104729 + (uintptr_t)arg + 1, n = 0;
	double end = now() + (double)option("seconds");
	uint64_t page, hot;

	for (;;) {
		if (!(n & 63) && now() >= end)
			break;
		/* most of them to a few pages, so that they are written while they go */
		hot = next_random(&state) & 3;
		page = next_random(&state) % (hot ? pages / 8 : pages);
		__atomic_fetch_add(&page_at(page)[next_random(&state) % WORDS], 1,
				   __ATOMIC_RELAXED);
		n++;
	}
	__atomic_fetch_add(&added, n, __ATOMIC_RELAXED);
	return NULL;
}

static void test_counters(void)
{
	uint64_t sum = 0, i;

	run_threads(counters_thread);
	for (i = 0; i < pages * WORDS; i++)
		sum += page_at(0)[i];
	show();
	printf("# %llu writes, %llu found\n", (unsigned long long)added, (unsigned long long)sum);
	check(added > 1000 && sum == added, "no write is lost");
	check_limit();
}

/* ---- advice ---- */

static struct rmr_far_stats stats(void)
{
	struct rmr_far_stats s;

	rmr_far_stats(far, &s, sizeof(s));
	return s;
}

static void fill_all(void)
{
	uint64_t page;

	for (page = 0; page < pages; page++)
		fill(page, 1);
}

static uint64_t fetched_of(uint64_t from, uint64_t n)
{
	uint64_t before = stats().fetched + stats().fetched_ahead, page;

	for (page = from; page < from + n; page++)
		compare(page);
	return stats().fetched + stats().fetched_ahead - before;
}

static void test_pin(void)
{
	uint64_t n = 64, page;

	must("pin", rmr_far_advise(far, base, n * PAGE, RMR_FAR_PIN));
	check(stats().pinned == n * PAGE, "pages are pinned");
	for (page = n; page < pages; page++)
		compare(page);
	check(!fetched_of(0, n), "pinned pages stay while all others are read");
	check(rmr_far_advise(far, base, pages * PAGE, RMR_FAR_PIN) == -ENOMEM &&
		      stats().pinned == n * PAGE,
	      "more than fits cannot be pinned");
	must("unpin", rmr_far_advise(far, base, n * PAGE, RMR_FAR_UNPIN));
	for (page = n; page < pages; page++)
		compare(page);
	check(!stats().pinned && fetched_of(0, n), "pages that are not pinned any more go");
}

static void test_willneed(void)
{
	uint64_t n = 128, before = stats().fetched_ahead, faults;
	double end = now() + 20;

	must("willneed", rmr_far_advise(far, base, n * PAGE, RMR_FAR_WILLNEED));
	while (stats().fetched_ahead < before + n && now() < end)
		sched_yield();
	/* the last ones may be under way: a fault waits for them, without a get of its own */
	faults = stats().fetched;
	for (before = 0; before < n; before++)
		compare(before);
	check(stats().fetched == faults, "pages that will be needed are there");
}

static void test_dontneed(void)
{
	uint64_t page, from = 10, to = pages - 10;
	struct rmr_stats r;

	must("dontneed",
	     rmr_far_advise(far, base + from * PAGE, (to - from) * PAGE, RMR_FAR_DONTNEED));
	memset(versions + from, 0, (to - from) * sizeof(*versions));
	rmr_stats(fabric, &r, sizeof(r));
	check(r.remote_pages + r.zstd_pages + r.same_pages <= 20, "the fabric has forgotten them");
	check(stats().resident <= 20 * PAGE, "so has this machine");
	for (page = 0; page < pages; page++)
		compare(page);
	check(!wrong, "they are zeroes, the others as they were");
	check(rmr_far_advise(far, base + 1, PAGE, RMR_FAR_PIN) == -EINVAL &&
		      rmr_far_advise(far, base, pages * PAGE + PAGE, RMR_FAR_PIN) == -EINVAL &&
		      rmr_far_advise(far, base, PAGE, 9) == -EINVAL,
	      "what makes no sense is refused");
}

static void test_advice(void)
{
	fill_all();
	test_pin();
	test_willneed();
	check(!wrong, "every byte is right");
	test_dontneed();
	show();
}

/* ---- system calls ---- */

static void test_system(void)
{
	bool user_only = stats().user_mode_only;
	uint64_t page, failed = 0, done = 0;
	int fd = memfd_create("copy", 0);
	ssize_t n;

	fill_all();
	for (page = 0; page < pages / 2; page++) {
		n = pwrite(fd, page_at(page), PAGE, (off_t)(page * PAGE));
		if (n < 0 && errno == EFAULT)
			failed++;
		else
			done += n == PAGE;
	}
	printf("# %llu pages written, %llu calls failed\n", (unsigned long long)done,
	       (unsigned long long)failed);
	check(user_only == (geteuid() != 0), "who may use what userfaultfd");
	if (user_only)
		check(failed && failed + done == pages / 2, "EFAULT, and nothing worse");
	else
		check(done == pages / 2, "system calls may use far memory");
	for (page = 0; page < pages; page++)
		compare(page);
	check(!wrong, "every byte is right");
}

/* ---- pages that are lost ---- */

static __thread sigjmp_buf jump;

static void on_sigbus(int number)
{
	siglongjmp(jump, number);
}

static uint64_t lost_pages; /* atomic */

static void *lost_thread(void *arg)
{
	uint64_t n = option("threads"), mine = (uintptr_t)arg;
	volatile uint64_t page, lost = 0;
	volatile double end = now() + (double)option("seconds");

	while (now() < end && !lost) {
		for (page = mine; page < pages; page += n) {
			if (sigsetjmp(jump, 1))
				lost++;
			else
				compare(page);
		}
	}
	__atomic_fetch_add(&lost_pages, lost, __ATOMIC_RELAXED);
	return NULL;
}

/* A donor dies while all pages are read again and again. */
static void test_lost(void)
{
	struct sigaction action = { .sa_handler = on_sigbus };
	double start;

	fill_all();
	sigaction(SIGBUS, &action, NULL);
	printf("ready\n");
	fflush(stdout);
	run_threads(lost_thread);
	show();
	printf("# %llu accesses to lost pages, of %llu the program was told\n",
	       (unsigned long long)lost_pages, (unsigned long long)told);
	check(lost_pages && told, "lost pages are SIGBUS, and were named before");
	check(lost_pages >= told, "each page is told of once");
	check(!wrong, "no page is wrong");
	start = now();
	must("dontneed", rmr_far_advise(far, base, pages * PAGE, RMR_FAR_DONTNEED));
	memset(versions, 0, pages * sizeof(*versions));
	if (!sigsetjmp(jump, 1)) {
		uint64_t page;

		for (page = 0; page < pages; page++)
			compare(page);
		check(!wrong, "forgotten, they are zeroes and may be used again");
	} else {
		check(false, "forgotten pages are still SIGBUS");
	}
	printf("# which took %.1f s\n", now() - start);
}

/* ---- the bench ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static volatile uint64_t sink;

enum kind { REMOTE, LOCAL, GET, RAW, KINDS };

static const char *const kinds[] = { "remote", "local", "get", "raw" };

/*
 * What a read of a random page took, us; 0: it was here. Even pages lie on the donor. Odd ones
 * are filled by one word and lie in the index: their fault goes the whole way but over the wire.
 */
static double time_fault(uint64_t *state, enum kind kind)
{
	uint64_t page = (next_random(state) % pages & ~1ull) | (kind == LOCAL);
	uint64_t before = stats().fetched;
	double start = now(), end;

	sink = page_at(page)[page % WORDS];
	end = now();
	return stats().fetched != before ? (end - start) * 1e6 : 0;
}

/* Pages that lie on the donor, to get without far memory. */
#define GETS 256

static struct rmr_pool *gets;
static struct rmr_page get_page = { .object = 1 };

static void open_gets(void)
{
	uint8_t *memory = aligned_alloc(PAGE, PAGE);
	uint64_t state = option("seed"), i;

	must("pool", rmr_pool_create(fabric, RMR_PERSISTENT, PAGE, &gets));
	must("buffer", rmr_buf_register(fabric, memory, PAGE, &get_page.buf));
	get_page.addr = memory;
	for (i = 0; i < PAGE; i++)
		memory[i] = (uint8_t)next_random(&state);
	for (get_page.index = 0; get_page.index < GETS; get_page.index++)
		must("put", rmr_putv(gets, &get_page, 1));
}

static void close_gets(void)
{
	rmr_pool_destroy(gets);
	rmr_buf_unregister(get_page.buf);
	free(get_page.addr);
}

static double time_get(uint64_t *state)
{
	double start;

	get_page.index = next_random(state) % GETS;
	start = now();
	must("get", rmr_getv(gets, &get_page, 1));
	return (now() - start) * 1e6;
}

static struct raw *raw;

static double time_raw(void)
{
	double start = now();

	raw_read(raw);
	return (now() - start) * 1e6;
}

/* count times n kinds in turns; JSON of what they took, each name followed by suffix. */
static void bench_kinds(const enum kind *order, uint64_t n, const char *suffix)
{
	uint64_t count = option("count"), state = option("seed"), i, ntook[KINDS] = {};
	double *took[KINDS] = {}, us;
	enum kind k;

	for (k = 0; k < KINDS; k++)
		took[k] = malloc(count * n * sizeof(double));
	for (i = 0; i < count * n; i++) {
		k = order[i % n];
		us = k == RAW ? time_raw() : k == GET ? time_get(&state) : time_fault(&state, k);
		if (us)
			took[k][ntook[k]++] = us;
	}
	for (k = 0; k < KINDS; k++) {
		qsort(took[k], ntook[k], sizeof(double), by_value);
		if (ntook[k])
			printf("{\"%s%s\": {\"n\": %llu, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f}}\n",
			       kinds[k], suffix, (unsigned long long)ntook[k],
			       took[k][ntook[k] / 2], took[k][ntook[k] * 9 / 10],
			       took[k][ntook[k] * 99 / 100]);
		free(took[k]);
	}
}

/* Pages per second, a word of each: of all in order, or as many at random. */
static void bench_rate(const char *name, bool random)
{
	uint64_t state = option("seed") + 1, i, page, before = stats().fetched;
	double start = now(), took;

	for (i = 0; i < pages; i++) {
		page = random ? next_random(&state) % pages : i;
		sink = page_at(page)[page % WORDS];
	}
	took = now() - start;
	printf("{\"%s\": {\"pages_per_s\": %.0f, \"faults_with_get\": %llu}}\n", name,
	       (double)pages / took, (unsigned long long)(stats().fetched - before));
}

static void test_bench(void)
{
	/* what needs the wire comes after what does not: so all of them find the same in the caches */
	static const enum kind turns[] = { REMOTE, LOCAL, GET, LOCAL, RAW, LOCAL };
	static const enum kind alone[] = { LOCAL, GET, RAW };
	uint64_t page, i;

	fill_all();
	for (page = 1; page < pages; page += 2)
		for (i = 0; i < WORDS; i++)
			page_at(page)[i] = page;
	for (page = 0; page < pages; page++) /* none that is here now was written since it came */
		sink = page_at(page)[0];
	open_gets();
	raw = raw_open(donors, (uint16_t)option("raw"), !option("poll"));
	bench_kinds(turns, 6, "");
	for (i = 0; i < 3; i++)
		bench_kinds(&alone[i], 1, "_alone");
	raw_close(raw);
	close_gets();
	for (page = 0; page < pages; page += 2)
		compare(page);
	for (page = 1; page < pages; page += 2)
		for (i = 0; i < WORDS; i++)
			wrong += page_at(page)[i] != page;
	fill_all();
	bench_rate("random", true);
	bench_rate("sequential", false);
	for (page = 0; page < pages; page++)
		compare(page);
	show();
	check(!wrong, "every byte is right");
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "verify", test_verify }, { "counters", test_counters }, { "advice", test_advice },
	{ "system", test_system }, { "lost", test_lost },	  { "bench", test_bench },
};

static void read_options(int argc, char **argv)
{
	size_t k, len;
	int i;

	for (i = 3; i < argc; i++) {
		for (k = 0; k < sizeof(options) / sizeof(options[0]); k++) {
			len = strlen(options[k].name);
			if (!strncmp(argv[i], options[k].name, len) && argv[i][len] == '=')
				options[k].value = strtoull(argv[i] + len + 1, NULL, 0);
		}
	}
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc < 3) {
		fprintf(stderr, "usage: far-client DONORS TEST [name=number...]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	read_options(argc, argv);
	if (!strcmp(argv[2], "raw"))
		raw_serve((uint16_t)option("raw"));
	donors = argv[1];
	open_all();
	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (!strcmp(argv[2], tests[i].name))
			tests[i].run();
	}
	close_all();
	return failures > 0;
}
