// SPDX-License-Identifier: GPL-2.0-only
/*
 * cache.c - an object cache over a slow directory of files.
 *
 * The objects are the regular files of a directory. Those that were asked for are
 * kept in RAM of donors, in an ephemeral pool: a page of it may vanish whenever a
 * donor wants its RAM back, and then the file is read again. So the cache needs
 * no locking against the donors and no words for their failures: it only misses.
 *
 * Requests follow Zipf's law, as those to web caches and key-value stores do.
 * Every object that is served from the cache is compared with its file's checksum.
 *
 * usage: cache DONORS DIRECTORY [SECONDS [DELAY_MS]]
 * DELAY_MS: what the disk takes longer than it does, for each file (5).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <ramster/ramster_rdma.h>

#define PAGE	    16384
#define MAX_OBJECTS 65536

struct object {
	char *name;
	size_t len;
	uint64_t sum; /* of its content, when it was last read from disk */
};

struct cache {
	struct rmr *fabric;
	struct rmr_pool *pool;
	const char *directory;
	struct object *objects;
	unsigned int n, delay_ms;
	uint64_t asked, hits, hit_us, miss_us, wrong;
};

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* FNV-1a over words, the last one filled up with zeros. */
static uint64_t sum_of(const uint8_t *data, size_t len)
{
	uint64_t sum = 0xcbf29ce484222325ull, word;
	size_t i;

	for (i = 0; i < len; i += sizeof(word)) {
		word = 0;
		memcpy(&word, data + i, len - i < sizeof(word) ? len - i : sizeof(word));
		sum = (sum ^ word) * 0x100000001b3ull;
	}
	return sum;
}

static size_t pages_of(const struct object *o)
{
	return (o->len + PAGE - 1) / PAGE;
}

/* Pages of object number i, side by side at data, which has room for whole pages. */
static void list_pages(const struct object *o, uint64_t i, uint8_t *data, struct rmr_page *pages)
{
	size_t at;

	for (at = 0; at < pages_of(o); at++)
		pages[at] = (struct rmr_page){ .object = i, .index = at, .addr = data + at * PAGE };
}

static int read_file(struct cache *c, struct object *o, uint8_t *data)
{
	char path[4096];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", c->directory, o->name);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -errno;
	got = read(fd, data, o->len);
	close(fd);
	poll(NULL, 0, (int)c->delay_ms); /* the slow disk */
	if (got != (ssize_t)o->len)
		return got < 0 ? -errno : -EIO;
	o->sum = sum_of(data, o->len);
	return 0;
}

/* One request. data and pages have room for the largest object. */
static int serve(struct cache *c, uint64_t i, uint8_t *data, struct rmr_page *pages)
{
	struct object *o = &c->objects[i];
	uint64_t began = now_us();
	int err;

	list_pages(o, i, data, pages);
	c->asked++;
	/* a page that is missing is as good as all of them */
	if (o->sum && !rmr_getv(c->pool, pages, pages_of(o))) {
		c->hits++;
		c->hit_us += now_us() - began;
		c->wrong += sum_of(data, o->len) != o->sum;
		return 0;
	}
	memset(data + o->len, 0, pages_of(o) * PAGE - o->len);
	err = read_file(c, o, data);
	if (!err)
		rmr_putv(c->pool, pages, pages_of(o)); /* no room: the next one reads it again */
	c->miss_us += now_us() - began;
	return err;
}

static int list_directory(struct cache *c, size_t *largest)
{
	DIR *dir = opendir(c->directory);
	struct dirent *entry;
	struct stat st;

	*largest = 0;
	c->objects = calloc(MAX_OBJECTS, sizeof(*c->objects));
	if (!dir || !c->objects)
		return -errno;
	while (c->n < MAX_OBJECTS && (entry = readdir(dir))) {
		if (fstatat(dirfd(dir), entry->d_name, &st, 0) || !S_ISREG(st.st_mode) ||
		    !st.st_size)
			continue;
		c->objects[c->n].name = strdup(entry->d_name);
		c->objects[c->n++].len = (size_t)st.st_size;
		if ((size_t)st.st_size > *largest)
			*largest = (size_t)st.st_size;
	}
	closedir(dir);
	return c->n ? 0 : -ENOENT;
}

/* Cumulative weights 1, 1/2, 1/3, …; the search for a random one gives Zipf's law. */
static double *zipf_table(unsigned int n)
{
	double *table = calloc(n, sizeof(*table)), sum = 0;
	unsigned int i;

	for (i = 0; table && i < n; i++)
		table[i] = sum += 1.0 / (i + 1);
	return table;
}

static unsigned int zipf(const double *table, unsigned int n)
{
	double x = table[n - 1] * drand48();
	unsigned int low = 0, high = n - 1, middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (table[middle] < x)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static double mean_ms(uint64_t us, uint64_t n)
{
	return n ? (double)us / 1e3 / (double)n : 0;
}

static void show(const struct cache *c, uint64_t began)
{
	struct rmr_stats s;

	rmr_stats(c->fabric, &s, sizeof(s));
	printf("%5.1f s: %lu requests, %.1f %% hits; a hit %.2f ms, a miss %.2f ms; %lu pages with "
	       "%u of %u donors, %lu vanished\n",
	       (double)(now_us() - began) / 1e6, (unsigned long)c->asked,
	       c->asked ? 100.0 * (double)c->hits / (double)c->asked : 0.0,
	       mean_ms(c->hit_us, c->hits), mean_ms(c->miss_us, c->asked - c->hits),
	       (unsigned long)s.remote_pages, s.donors_live, s.donors, (unsigned long)s.vanished);
	fflush(stdout);
}

static int run(struct cache *c, size_t largest, unsigned int seconds)
{
	size_t most = (largest + PAGE - 1) / PAGE;
	struct rmr_page *pages = calloc(most, sizeof(*pages));
	uint8_t *data = aligned_alloc(4096, most * PAGE);
	uint64_t began = now_us(), shown = began;
	double *table = zipf_table(c->n);
	int err = pages && data && table ? 0 : -ENOMEM;

	while (!err && now_us() < began + seconds * 1000000ull) {
		err = serve(c, zipf(table, c->n), data, pages);
		if (now_us() < shown + 1000000)
			continue;
		shown = now_us();
		show(c, began);
	}
	show(c, began);
	free(table);
	free(data);
	free(pages);
	return err;
}

int main(int argc, char **argv)
{
	struct cache c = { .delay_ms = argc > 4 ? (unsigned int)atoi(argv[4]) : 5 };
	unsigned int i;
	size_t largest;
	int err;

	if (argc < 3)
		return fprintf(stderr, "usage: cache DONORS DIRECTORY [SECONDS [DELAY_MS]]\n"), 2;
	c.directory = argv[2];
	err = list_directory(&c, &largest);
	if (err)
		return fprintf(stderr, "%s: no files: %s\n", argv[2], strerror(-err)), 1;
	err = rmr_open(argv[1], NULL, &c.fabric);
	if (err)
		return fprintf(stderr, "%s: %s\n", argv[1], strerror(-err)), 1;
	if (rmr_wait_connected(c.fabric, 5000))
		fprintf(stderr, "no donor answers yet\n");
	err = rmr_pool_create(c.fabric, RMR_EPHEMERAL, PAGE, &c.pool);
	if (!err)
		err = run(&c, largest, argc > 3 ? (unsigned int)atoi(argv[3]) : 10);
	if (err)
		fprintf(stderr, "cache: %s\n", strerror(-err));
	rmr_close(c.fabric);
	for (i = 0; i < c.n; i++)
		free(c.objects[i].name);
	free(c.objects);
	printf("%lu wrong objects\n", (unsigned long)c.wrong);
	return err || c.wrong;
}
