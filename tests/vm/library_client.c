// SPDX-License-Identifier: GPL-2.0-only
/*
 * library_client.c - a program on libramster-rdma that checks every byte it gets.
 *
 * library-client DONORS TEST...: one line "ok - what" or "not ok - what" per check;
 * exit 1 if any failed. Tests that wait for the operator (tests/vm/test_library.py)
 * print "ready" and go on until the file until= is there, seconds= at most.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <ramster/ramster_rdma.h>

#define PAGE 4096u

static const char *donors;
static unsigned int seconds = 5;
static const char *until;
static uint64_t zstd_bytes = 8u << 20;
static int failures;
static pthread_mutex_t say_lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((format(printf, 2, 3))) static bool check(bool ok, const char *format, ...)
{
	va_list args;

	pthread_mutex_lock(&say_lock);
	printf("%s - ", ok ? "ok" : "not ok");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
	failures += !ok;
	pthread_mutex_unlock(&say_lock);
	return ok;
}

static void on_log(void *arg, int level, const char *line)
{
	(void)arg;
	fprintf(stderr, "# <%d> %s\n", level, line);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void defaults(struct rmr_options *o)
{
	rmr_options_init(o);
	o->slab_bytes = 1u << 20;
	o->zstd_bytes = zstd_bytes;
	o->log = on_log;
}

static struct rmr *open_with(const struct rmr_options *o)
{
	struct rmr *r = NULL;
	int err = rmr_open(donors, o, &r);

	if (!check(!err, "open %s: %d", donors, err))
		exit(1);
	err = rmr_wait_connected(r, 20000);
	check(!err, "a donor answers: %d", err);
	return r;
}

static struct rmr *open_fabric(void)
{
	struct rmr_options o;

	defaults(&o);
	return open_with(&o);
}

/* ---- contents: every word says which page and version it is of ---- */

static uint64_t word(uint64_t object, uint64_t index, uint64_t version, uint64_t at)
{
	uint64_t x = object * 0x9e3779b97f4a7c15ull ^ index * 0xbf58476d1ce4e5b9ull ^
		     version * 0x94d049bb133111ebull ^ at;

	x = (x ^ (x >> 31)) * 0xd6e8feb86659fd93ull;
	return x ^ (x >> 32);
}

static void fill(void *page, size_t len, uint64_t object, uint64_t index, uint64_t version)
{
	uint64_t *p = page;
	size_t i;

	for (i = 0; i < len / 8; i++)
		p[i] = word(object, index, version, i);
}

static bool holds(const void *page, size_t len, uint64_t object, uint64_t index, uint64_t version)
{
	const uint64_t *p = page;
	size_t i;

	for (i = 0; i < len / 8; i++)
		if (p[i] != word(object, index, version, i))
			return false;
	return true;
}

/* Wait until that many pages lie with donors; compressed ones are shipped by and by. */
static bool wait_remote(struct rmr *r, uint64_t pages)
{
	double end = now() + 20;
	struct rmr_stats s;

	do {
		rmr_stats(r, &s, sizeof(s));
		if (s.remote_pages >= pages)
			return true;
		poll(NULL, 0, 20);
	} while (now() < end);
	return false;
}

/* ---- tests ---- */

static void test_basics(void)
{
	enum { N = 1500 };
	struct rmr *r = open_fabric();
	uint8_t page[PAGE], zeros[PAGE] = { 0 };
	struct rmr_stats s;
	struct rmr_pool *pool;
	int i, bad = 0, err;

	check(!rmr_pool_create(r, RMR_PERSISTENT, PAGE, &pool), "a pool");
	check(rmr_get(pool, 1, 1, page) == -ENOENT, "what was never put is not there");
	for (i = 0; i < N; i++) {
		fill(page, PAGE, 1, i, 0);
		bad += rmr_put(pool, 1, i, page) != 0;
	}
	check(!bad, "put %d pages, %d failed", N, bad);
	check(wait_remote(r, N), "all of them come to lie with a donor");
	for (i = 0, bad = 0; i < N; i++)
		bad += rmr_get(pool, 1, i, page) || !holds(page, PAGE, 1, i, 0);
	check(!bad, "get them, %d wrong", bad);
	for (i = 0, bad = 0; i < N; i += 3) {
		fill(page, PAGE, 1, i, 1);
		bad += rmr_put(pool, 1, i, page) != 0;
		fill(page, PAGE, 1, i, 2);
		bad += rmr_put(pool, 1, i, page) != 0;
		bad += rmr_get(pool, 1, i, page) || !holds(page, PAGE, 1, i, 2);
	}
	check(!bad, "put, put, get gives the second, %d wrong", bad);
	check(!rmr_flush_page(pool, 1, 7) && rmr_get(pool, 1, 7, page) == -ENOENT &&
		      rmr_flush_page(pool, 1, 7) == -ENOENT,
	      "a flushed page is not there");
	err = rmr_put(pool, 1, 7, zeros);
	check(!err && !rmr_get(pool, 1, 7, page) && !memcmp(page, zeros, PAGE), "a page of zeros");
	fill(page, PAGE, 2, 0, 0);
	check(!rmr_put(pool, 2, 0, page) && rmr_flush_object(pool, 1) == N &&
		      rmr_get(pool, 1, 8, page) == -ENOENT && !rmr_get(pool, 2, 0, page),
	      "an object is flushed, another is not");
	rmr_stats(r, &s, sizeof(s));
	check(!s.crc_errors && s.remote_reads && s.remote_writes >= N && s.remote_pages <= 1,
	      "statistics: %lu reads, %lu writes, %lu pages", s.remote_reads, s.remote_writes,
	      s.remote_pages);
	rmr_pool_destroy(pool);
	rmr_stats(r, &s, sizeof(s));
	check(!s.remote_pages && !s.same_pages, "a destroyed pool leaves nothing");
	rmr_close(r);
}

static void test_arguments(void)
{
	static const char *const bad[] = { "",
					   ",",
					   "x",
					   "10.0.0.1:",
					   "10.0.0.1:70000",
					   "[fd00::1",
					   "[fd00::1]7",
					   "10.0.0.1,,10.0.0.2" };
	struct rmr_options o;
	struct rmr_pool *pool;
	struct rmr *r;
	char page[PAGE];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check(rmr_open(bad[i], NULL, &r) == -EINVAL, "donors \"%s\" are refused", bad[i]);
	defaults(&o);
	o.slab_bytes = 3u << 20;
	check(rmr_open(donors, &o, &r) == -EINVAL, "slabs of 3 MiB are refused");
	r = open_fabric();
	check(rmr_pool_create(r, 8, PAGE, &pool) == -EINVAL, "unknown flags");
	check(rmr_pool_create(r, 0, 2048, &pool) == -EINVAL, "pages of 2 KiB");
	check(rmr_pool_create(r, 0, 12288, &pool) == -EINVAL, "pages of 12 KiB");
	check(rmr_pool_create(r, 0, 2u << 20, &pool) == -EINVAL, "pages larger than slabs");
	check(!rmr_pool_create(r, 0, PAGE, &pool), "pages of 4 KiB");
	check(rmr_get_range(pool, 0, 0, 1, PAGE, page) == -EINVAL, "a range beyond the page");
	check(rmr_put_range(pool, 0, 0, 0, 8, page) == -ENOENT, "a part of no page");
	rmr_close(r);
	/* nobody there: all goes to the compressed tier, and closing does not hang */
	defaults(&o);
	check(!rmr_open("10.7.7.99", &o, &r), "a donor that there is not");
	check(!rmr_pool_create(r, 0, PAGE, &pool), "a pool");
	fill(page, PAGE, 1, 1, 1);
	check(!rmr_put(pool, 1, 1, page) && !rmr_get(pool, 1, 1, page) &&
		      holds(page, PAGE, 1, 1, 1),
	      "the compressed tier serves");
	check(rmr_wait_connected(r, 100) == -ETIMEDOUT, "nobody answers");
	rmr_close(r);
}

static void sizes_of(struct rmr *r, size_t bytes)
{
	enum { N = 6 };
	struct rmr_pool *pool;
	uint8_t *page = aligned_alloc(4096, bytes), part[100];
	int i, bad = 0;

	check(!rmr_pool_create(r, RMR_PERSISTENT, bytes, &pool), "a pool of %zu KiB", bytes >> 10);
	for (i = 0; i < N; i++) {
		fill(page, bytes, 3, i, bytes);
		bad += rmr_put(pool, 3, i, page) != 0;
	}
	bad += !wait_remote(r, N);
	for (i = 0; i < N; i++)
		bad += rmr_get(pool, 3, i, page) || !holds(page, bytes, 3, i, bytes);
	check(!bad, "pages of %zu KiB, %d wrong", bytes >> 10, bad);
	bad = rmr_get_range(pool, 3, 2, bytes - 900, 100, part) != 0;
	fill(page, bytes, 3, 2, bytes);
	bad += memcmp(part, page + bytes - 900, 100) != 0;
	memset(part, 0x5a, sizeof(part));
	bad += rmr_put_range(pool, 3, 2, 1001, sizeof(part), part) != 0;
	memcpy(page + 1001, part, sizeof(part));
	{
		uint8_t *again = malloc(bytes);

		bad += rmr_get(pool, 3, 2, again) || memcmp(again, page, bytes);
		free(again);
	}
	check(!bad, "parts of a page of %zu KiB", bytes >> 10);
	rmr_pool_destroy(pool);
	free(page);
}

static void test_sizes(void)
{
	struct rmr_options o;
	struct rmr *r;

	defaults(&o);
	o.slab_bytes = 4u << 20;
	o.zstd_bytes = 16u << 20;
	r = open_with(&o);
	sizes_of(r, 4096);
	sizes_of(r, 65536);
	sizes_of(r, 2u << 20);
	rmr_close(r);
}

static void test_vectors(void)
{
	enum { N = 100 };
	struct rmr *r = open_fabric();
	uint8_t *memory = aligned_alloc(4096, 2 * N * PAGE);
	struct rmr_page pages[N];
	struct rmr_pool *pool;
	struct rmr_buf *buf;
	int i, bad = 0;

	check(!rmr_buf_register(r, memory, N * PAGE, &buf), "register a buffer");
	check(!rmr_pool_create(r, RMR_PERSISTENT, PAGE, &pool), "a pool");
	for (i = 0; i < N; i++) {
		fill(memory + i * PAGE, PAGE, 4, i, 0);
		pages[i] = (struct rmr_page){ 4, i, memory + i * PAGE, i & 1 ? buf : NULL, 1 };
	}
	check(!rmr_putv(pool, pages, N), "put %d pages at once", N);
	check(wait_remote(r, N), "all of them lie with a donor");
	memset(memory, 0, 2 * N * PAGE);
	check(!rmr_getv(pool, pages, N), "get them at once");
	for (i = 0; i < N; i++)
		bad += pages[i].result || !holds(pages[i].addr, PAGE, 4, i, 0);
	check(!bad, "%d wrong", bad);
	rmr_flush_page(pool, 4, 50);
	check(rmr_getv(pool, pages, N) == -ENOENT && pages[50].result == -ENOENT &&
		      !pages[49].result && !pages[51].result,
	      "one of them is not there");
	pages[0].addr = memory + N * PAGE;
	pages[0].buf = buf;
	check(rmr_getv(pool, pages, 1) == -EINVAL, "memory that is not in the buffer");
	rmr_buf_unregister(buf);
	rmr_close(r);
	free(memory);
}

/* Keep depth calls under way by a queue, waiting by epoll on its descriptor. */
static void test_queue(void)
{
	enum { N = 2000, DEPTH = 32 };
	struct rmr *r = open_fabric();
	struct epoll_event event = { .events = EPOLLIN };
	uint8_t *memory = aligned_alloc(4096, DEPTH * PAGE);
	int epoll = epoll_create1(0), round, started, ended, bad = 0, i, n, sleeps = 0;
	struct rmr_page page = { 0 };
	struct rmr_queue *q;
	struct rmr_pool *pool;
	struct rmr_done done[8];
	struct rmr_buf *buf;
	bool busy[DEPTH];
	uint64_t what[DEPTH];

	check(!rmr_queue_create(r, DEPTH, &q), "a queue");
	check(!rmr_buf_register(r, memory, DEPTH * PAGE, &buf), "a buffer");
	check(!rmr_pool_create(r, RMR_PERSISTENT, PAGE, &pool), "a pool");
	epoll_ctl(epoll, EPOLL_CTL_ADD, rmr_queue_fd(q), &event);
	/* puts, gets; the same one by one and together */
	for (round = 0; round < 4; round++) {
		const bool get = round & 1, together = round & 2;

		memset(busy, 0, sizeof(busy));
		for (started = ended = 0; ended < N;) {
			if (together)
				rmr_queue_batch(q);
			for (i = 0; i < DEPTH && started < N; i++) {
				if (busy[i])
					continue;
				page = (struct rmr_page){ 5, started, memory + i * PAGE, buf, 0 };
				if (started % 5 == 0)
					page.buf = NULL;
				if (!get)
					fill(page.addr, PAGE, 5, started, together);
				what[i] = started++;
				busy[i] = true;
				bad += get ? rmr_queue_get(q, pool, &page, &busy[i]) != 0 :
					     rmr_queue_put(q, pool, &page, &busy[i]) != 0;
			}
			n = rmr_queue_poll(q, done, 8);
			for (i = 0; i < n; i++) {
				int at = (int)((bool *)done[i].tag - busy);

				bad += done[i].result != 0;
				if (get)
					bad += !holds(memory + at * PAGE, PAGE, 5, what[at],
						      together);
				busy[at] = false;
				ended++;
			}
			if (n || rmr_queue_arm(q))
				continue;
			sleeps++;
			if (epoll_wait(epoll, &event, 1, 20000) != 1) {
				check(false, "told of the end of a call");
				exit(1);
			}
		}
		check(!bad, "%d %s by a queue, %s, %d slept for, %d wrong", N,
		      get ? "gets" : "puts", together ? "together" : "one by one", sleeps, bad);
		if (!get)
			check(wait_remote(r, N), "all of them lie with a donor");
	}
	/* two puts of one page at once: the later one counts */
	for (i = 0, bad = 0; i < 300; i++) {
		fill(memory, PAGE, 6, 0, 2 * i);
		fill(memory + PAGE, PAGE, 6, 0, 2 * i + 1);
		page = (struct rmr_page){ 6, 0, memory, buf, 0 };
		if (i & 1)
			rmr_queue_batch(q);
		bad += rmr_queue_put(q, pool, &page, NULL) != 0;
		page.addr = memory + PAGE;
		bad += rmr_queue_put(q, pool, &page, NULL) != 0;
		for (n = 0; n < 2;)
			n += rmr_queue_wait(q, done, 8, 20000);
		bad += rmr_get(pool, 6, 0, memory + 2 * PAGE) ||
		       !holds(memory + 2 * PAGE, PAGE, 6, 0, 2 * i + 1);
	}
	check(!bad, "of two puts under way the later one counts, %d wrong", bad);
	/* what is held when the queue goes still counts */
	rmr_queue_batch(q);
	fill(memory, PAGE, 6, 1, 0);
	page = (struct rmr_page){ 6, 1, memory, buf, 0 };
	bad = rmr_queue_put(q, pool, &page, NULL);
	rmr_queue_destroy(q);
	check(!bad && !rmr_get(pool, 6, 1, memory + PAGE) && holds(memory + PAGE, PAGE, 6, 1, 0),
	      "a put under way when its queue is destroyed");
	rmr_buf_unregister(buf);
	rmr_close(r);
	free(memory);
}

/* ---- threads, and what the operator does meanwhile ---- */

struct worker {
	struct rmr_pool *pool;
	pthread_t thread;
	uint64_t object;
	unsigned int pages, flags;
	bool patient;		 /* errors are counted, not complained of */
	const bool *stop;	 /* atomic */
	struct rmr_queue *queue; /* NULL: calls that wait */
	uint64_t gets, puts, misses, lost, wrong, failed;
	double longest;
};

/* One call that waits, or one of a queue, held until it is waited for. */
static int call(struct worker *w, bool put, uint64_t i, void *page)
{
	const struct rmr_page p = { .object = w->object, .index = i, .addr = page };
	struct rmr_done done;
	int err;

	if (!w->queue)
		return put ? rmr_put(w->pool, w->object, i, page) :
			     rmr_get(w->pool, w->object, i, page);
	rmr_queue_batch(w->queue);
	err = put ? rmr_queue_put(w->queue, w->pool, &p, NULL) :
		    rmr_queue_get(w->queue, w->pool, &p, NULL);
	while (!err && !rmr_queue_wait(w->queue, &done, 1, 1000))
		;
	return err ? err : done.result;
}

/* Puts and gets at random; knows what each page must hold. */
static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t *version = calloc(w->pages, sizeof(*version)), i, seed = w->object;
	uint8_t page[PAGE];
	double began;
	int err;

	while (!__atomic_load_n(w->stop, __ATOMIC_RELAXED)) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		i = (seed >> 33) % w->pages;
		began = now();
		if (!version[i] || seed >> 60 < 5) {
			fill(page, PAGE, w->object, i, version[i] / 2 + 1);
			err = call(w, true, i, page);
			/* odd: not there */
			version[i] = (version[i] / 2 + 1) * 2 + !!err;
			w->puts++;
			w->failed += err != 0;
		} else {
			err = call(w, false, i, page);
			w->gets++;
			if (err == -ENOENT && (w->flags & RMR_EPHEMERAL || version[i] & 1))
				w->misses++;
			else if (err == -EIO || err == -ETIMEDOUT)
				w->lost++;
			else if (err || version[i] & 1 ||
				 !holds(page, PAGE, w->object, i, version[i] / 2))
				w->wrong++;
		}
		if (now() - began > w->longest)
			w->longest = now() - began;
	}
	free(version);
	return NULL;
}

static void sum_up(const struct worker *w, int n, struct worker *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (; n--; w++) {
		sum->gets += w->gets;
		sum->puts += w->puts;
		sum->misses += w->misses;
		sum->lost += w->lost;
		sum->wrong += w->wrong;
		sum->failed += w->failed;
		if (w->longest > sum->longest)
			sum->longest = w->longest;
	}
}

/* Until the operator has done what he wanted, or for some seconds. */
static void wait_end(void)
{
	double end = now() + seconds;

	while (now() < end && (!until || access(until, F_OK)))
		poll(NULL, 0, 50);
}

static void print_stats(struct rmr *r, struct rmr_stats *s)
{
	rmr_stats(r, s, sizeof(*s));
	printf("# slabs %u (%u asked back), pages: %lu remote, %lu zstd, %lu lost; evacuated %lu, "
	       "shipped %lu, vanished %lu, damaged %lu; live %u\n",
	       s->slabs, s->slabs_revoked, s->remote_pages, s->zstd_pages, s->lost_pages,
	       s->evacuated, s->shipped, s->vanished, s->crc_errors, s->donors_live);
	fflush(stdout);
}

/* What all workers of each kind have counted, and the statistics after their end. */
struct outcome {
	struct worker kept, vanishing;
	struct rmr_stats stats;
};

/* n threads on a pool each kind, until the end; the caller closes what is returned. */
static struct rmr *run_workers(int n, unsigned int pages, struct outcome *o)
{
	struct worker *kept = &o->kept, *vanishing = &o->vanishing;
	struct rmr *r = open_fabric();
	struct rmr_pool *pool[2];
	bool stop = false;
	struct worker w[32];
	int i;

	check(!rmr_pool_create(r, RMR_PERSISTENT, PAGE, &pool[0]) &&
		      !rmr_pool_create(r, RMR_EPHEMERAL, PAGE, &pool[1]),
	      "two pools");
	printf("ready\n");
	fflush(stdout);
	for (i = 0; i < n; i++) {
		w[i] = (struct worker){ .pool = pool[i >= n / 2],
					.object = (uint64_t)i + 1,
					.pages = pages,
					.flags = i >= n / 2 ? RMR_EPHEMERAL : 0,
					.stop = &stop };
		if (i & 1)
			check(!rmr_queue_create(r, 4, &w[i].queue), "a queue");
		pthread_create(&w[i].thread, NULL, work, &w[i]);
	}
	wait_end();
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < n; i++) {
		pthread_join(w[i].thread, NULL);
		if (w[i].queue)
			rmr_queue_destroy(w[i].queue);
	}
	sum_up(w, n / 2, kept);
	sum_up(w + n / 2, n - n / 2, vanishing);
	printf("# persistent: %lu gets, %lu puts, %lu lost, %lu puts failed; longest call %.3f s\n",
	       kept->gets, kept->puts, kept->lost, kept->failed, kept->longest);
	printf("# ephemeral: %lu gets, %lu puts, %lu missed, %lu puts failed; longest call %.3f s\n",
	       vanishing->gets, vanishing->puts, vanishing->misses, vanishing->failed,
	       vanishing->longest);
	check(!kept->wrong && !vanishing->wrong, "no wrong byte: %lu and %lu", kept->wrong,
	      vanishing->wrong);
	rmr_pool_destroy(pool[0]);
	rmr_pool_destroy(pool[1]);
	print_stats(r, &o->stats);
	return r;
}

static void test_threads(void)
{
	struct outcome o;
	struct rmr *r = run_workers(20, 60, &o);

	check(!o.kept.lost && !o.kept.failed && !o.stats.crc_errors, "nothing failed");
	check(o.vanishing.misses * 50 < o.vanishing.gets, "few pages vanished");
	rmr_close(r);
}

/* The operator revokes: nothing may be lost, all goes on. */
static void test_revoke(void)
{
	struct outcome o;
	struct rmr *r = run_workers(4, 900, &o);

	check(!o.kept.lost && !o.kept.failed && !o.stats.crc_errors && !o.stats.lost_pages,
	      "nothing was lost");
	check(o.stats.evacuated > 0, "pages were evacuated");
	rmr_close(r);
}

/* The donor is killed and comes back: losses are told, and it goes on. */
static void test_killed(void)
{
	struct outcome o;
	struct rmr *r = run_workers(4, 900, &o);
	struct rmr_pool *pool;
	uint8_t page[PAGE];
	int i, bad = 0;

	check(o.kept.lost > 0, "losses were told");
	check(o.vanishing.misses > 0, "ephemeral pages vanished");
	check(o.kept.longest < 40, "no call hung");
	check(!rmr_wait_connected(r, 60000), "the donor comes back");
	check(!rmr_pool_create(r, RMR_PERSISTENT, PAGE, &pool), "a pool");
	for (i = 0; i < 100; i++) {
		fill(page, PAGE, 7, i, 0);
		bad += rmr_put(pool, 7, i, page) != 0;
	}
	check(!bad && wait_remote(r, 100), "and takes pages again");
	rmr_close(r);
}

/* The connection breaks and comes back within the grace time. */
static void test_resume(void)
{
	struct outcome o;
	struct rmr *r = run_workers(4, 900, &o);

	check(!o.kept.lost && !o.kept.failed && !o.stats.crc_errors && !o.stats.lost_pages,
	      "nothing was lost");
	check(o.kept.longest > 2, "calls waited for the connection: %.1f s", o.kept.longest);
	rmr_close(r);
}

/* Slabs are fenced while nothing can be said; that is found out when the connection is back. */
static void test_fenced(void)
{
	struct outcome o;
	struct rmr *r = run_workers(4, 900, &o);

	check(!o.kept.failed && !o.stats.crc_errors, "no call failed but for what was lost");
	check(o.kept.lost > 0, "losses were told");
	check(o.kept.longest < 40, "no call hung");
	rmr_close(r);
}

/* More pages than there is room for. */
static void test_full(void)
{
	enum { N = 20000 };
	struct rmr_pool *pool, *kept;
	int i, failed = 0, there = 0, wrong = 0, err;
	uint8_t page[PAGE];
	struct rmr_options o;
	struct rmr_stats s;
	struct rmr *r;

	defaults(&o);
	o.zstd_bytes = 1u << 20;
	o.timeout_ms = 3000;
	r = open_with(&o);
	check(!rmr_pool_create(r, RMR_EPHEMERAL, PAGE, &pool) &&
		      !rmr_pool_create(r, RMR_PERSISTENT, PAGE, &kept),
	      "two pools");
	for (i = 0; i < N; i++) {
		fill(page, PAGE, 8, i, 0);
		failed += rmr_put(pool, 8, i, page) != 0;
	}
	for (i = 0; i < N; i++) {
		err = rmr_get(pool, 8, i, page);
		there += !err;
		wrong += err ? err != -ENOENT : !holds(page, PAGE, 8, i, 0);
	}
	print_stats(r, &s);
	check(s.vanished > 0 && there > N / 3 && there < N && !wrong,
	      "old pages make room for new ones: %d are there, %d puts failed, %d wrong", there,
	      failed, wrong);
	check(!rmr_get(pool, 8, N - 1, page), "the last one is there");
	for (i = 0, failed = 0; i < 500; i++) {
		fill(page, PAGE, 9, i, 0);
		failed += rmr_put(kept, 9, i, page) != 0;
	}
	check(!failed, "they make room for pages that are kept, %d failed", failed);
	for (i = 500; i < N && !failed; i++) {
		fill(page, PAGE, 9, i, 0);
		failed = rmr_put(kept, 9, i, page);
	}
	check(failed == -ENOSPC && rmr_get(kept, 9, i - 1, page) == -ENOENT,
	      "until there is no more room: %d after %d pages", failed, i);
	fill(page, PAGE, 9, 0, 1);
	err = rmr_put(kept, 9, 0, page);
	check(err == -ENOSPC ? rmr_get(kept, 9, 0, page) == -ENOENT : !err,
	      "a put that fails takes the old page with it");
	for (i = 1, wrong = 0; i < 500; i++)
		wrong += rmr_get(kept, 9, i, page) || !holds(page, PAGE, 9, i, 0);
	check(!wrong, "those that were kept are there, %d wrong", wrong);
	rmr_close(r);
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "basics", test_basics },   { "arguments", test_arguments }, { "sizes", test_sizes },
	{ "vectors", test_vectors }, { "queue", test_queue },	      { "threads", test_threads },
	{ "full", test_full },	     { "resume", test_resume },	      { "revoke", test_revoke },
	{ "killed", test_killed },   { "fenced", test_fenced },
};

int main(int argc, char **argv)
{
	size_t i;
	int at;

	if (argc < 3)
		return fprintf(stderr,
			       "usage: library-client DONORS [seconds=N] [until=FILE] [zstd=BYTES] TEST...\n"),
		       2;
	donors = argv[1];
	for (at = 2; at < argc; at++) {
		if (!strncmp(argv[at], "seconds=", 8))
			seconds = (unsigned int)atoi(argv[at] + 8);
		if (!strncmp(argv[at], "until=", 6))
			until = argv[at] + 6;
		if (!strncmp(argv[at], "zstd=", 5))
			zstd_bytes = strtoul(argv[at] + 5, NULL, 0);
		for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
			if (strcmp(argv[at], tests[i].name))
				continue;
			printf("# %s\n", tests[i].name);
			tests[i].run();
		}
	}
	return failures != 0;
}
