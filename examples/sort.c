// SPDX-License-Identifier: GPL-2.0-only
/*
 * sort.c - sorts the lines of a file that is larger than the RAM it may use.
 *
 * The file is read into far memory and sorted there by merging runs, first of 256 lines, then twice as
 * many: merging goes through memory in order, which far memory fetches ahead. Nothing in the
 * sort knows that most of its memory is on another machine.
 *
 * If memory is lost with its donor, the program says so once and ends with exit
 * code 1; the output file is made only when all is sorted.
 *
 * usage: sort DONORS LIMIT_MIB INPUT OUTPUT
 * The order is that of bytes, as of LC_ALL=C sort. LIMIT_MIB: of RAM for data, 1 or more.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ramster/ramster_rdma.h>

#define RUN   256
#define CHUNK 65536u

struct line {
	uint64_t at; /* in the text */
	uint64_t len;
};

static struct rmr *fabric;
static struct rmr_far *far;
static char *text; /* far memory: the file, then two arrays of lines */
static const char *unfinished;

static void fail(const char *what, int err)
{
	fprintf(stderr, "sort: %s: %s\n", what, strerror(err));
	exit(1);
}

/* A page is gone; whoever reads it next would get SIGBUS. There is nothing to be saved. */
static void lost(void *arg, void *addr, int error)
{
	static const char message[] = "sort: memory was lost with its donor; nothing is sorted\n";

	(void)arg;
	(void)addr;
	(void)error;
	if (write(STDERR_FILENO, message, sizeof(message) - 1) < 0 || !unfinished)
		_exit(1);
	unlink(unfinished);
	_exit(1);
}

static int compare(const struct line *a, const struct line *b)
{
	uint64_t len = a->len < b->len ? a->len : b->len;
	int order = memcmp(text + a->at, text + b->at, len);

	return order ? order : (a->len > b->len) - (a->len < b->len);
}

static int by_text(const void *a, const void *b)
{
	return compare(a, b);
}

/* Far memory may not be given to read(): where it is not privileged that fails. */
static uint64_t load(int fd, uint64_t size)
{
	static char chunk[CHUNK];
	uint64_t at = 0, lines = 0;
	ssize_t n;

	while (at < size && (n = read(fd, chunk, CHUNK)) > 0) {
		if ((uint64_t)n > size - at)
			n = (ssize_t)(size - at); /* it has grown */
		memcpy(text + at, chunk, (size_t)n);
		for (ssize_t i = 0; i < n; i++)
			lines += chunk[i] == '\n';
		at += (uint64_t)n;
	}
	if (at < size)
		fail("the input", at ? EIO : errno);
	return lines + (size && text[size - 1] != '\n');
}

static void split(struct line *lines, uint64_t n, uint64_t size)
{
	uint64_t i, at = 0;
	const char *end;

	for (i = 0; i < n; i++) {
		end = memchr(text + at, '\n', size - at);
		lines[i].at = at;
		lines[i].len = end ? (uint64_t)(end - text) - at : size - at;
		at += lines[i].len + 1;
	}
}

static void merge(const struct line *a, uint64_t na, const struct line *b, uint64_t nb,
		  struct line *out)
{
	while (na && nb) {
		if (compare(a, b) <= 0)
			*out++ = *a++, na--;
		else
			*out++ = *b++, nb--;
	}
	memcpy(out, na ? a : b, (na + nb) * sizeof(*out));
}

/* Returns where the result is. */
static struct line *sort(struct line *lines, struct line *other, uint64_t n)
{
	uint64_t run, i, middle, end;
	struct line *swap;

	for (i = 0; i < n; i += RUN)
		qsort(lines + i, n - i < RUN ? n - i : RUN, sizeof(*lines), by_text);
	for (run = RUN; run < n; run *= 2) {
		for (i = 0; i < n; i += 2 * run) {
			middle = n - i < run ? n : i + run;
			end = n - i < 2 * run ? n : i + 2 * run;
			merge(lines + i, middle - i, lines + middle, end - middle, other + i);
		}
		swap = lines;
		lines = other;
		other = swap;
	}
	return lines;
}

static void store(const char *path, const struct line *lines, uint64_t n)
{
	static char line[CHUNK];
	FILE *f = fopen(path, "w");
	uint64_t i, at, some;

	if (!f)
		fail(path, errno);
	unfinished = path;
	for (i = 0; i < n; i++) {
		for (at = 0; at < lines[i].len; at += some) {
			some = lines[i].len - at < CHUNK ? lines[i].len - at : CHUNK;
			memcpy(line, text + lines[i].at + at, some);
			fwrite(line, 1, some, f);
		}
		putc('\n', f);
	}
	if (ferror(f) || fclose(f)) {
		unlink(path);
		fail(path, errno);
	}
	unfinished = NULL;
}

static uint64_t pages_of(uint64_t bytes)
{
	return (bytes + 4095) & ~4095ull;
}

static void open_far(const char *donors, uint64_t bytes, uint64_t limit)
{
	struct rmr_far_options options;
	int err = rmr_open(donors, NULL, &fabric);

	if (!err)
		err = rmr_wait_connected(fabric, 10000);
	if (err)
		fail(donors, -err);
	rmr_far_options_init(&options);
	options.lost = lost;
	err = rmr_far_create(fabric, bytes, limit, &options, &far);
	if (err)
		fail("far memory", -err);
	text = rmr_far_addr(far);
}

int main(int argc, char **argv)
{
	struct rmr_far_stats stats;
	uint64_t size, room, n;
	struct line *lines;
	struct stat st;
	int fd;

	if (argc != 5)
		return fprintf(stderr, "usage: sort DONORS LIMIT_MIB INPUT OUTPUT\n"), 2;
	fd = open(argv[3], O_RDONLY);
	if (fd < 0 || fstat(fd, &st))
		fail(argv[3], errno);
	size = (uint64_t)st.st_size;
	/* each byte may be a line; pages that are never touched cost nothing */
	room = pages_of(size * sizeof(struct line));
	open_far(argv[1], pages_of(size + 1) + 2 * room, strtoull(argv[2], NULL, 0) << 20);
	n = load(fd, size);
	lines = (struct line *)(void *)(text + pages_of(size + 1));
	split(lines, n, size);
	store(argv[4], sort(lines, lines + room / sizeof(*lines), n), n);
	rmr_far_stats(far, &stats, sizeof(stats));
	fprintf(stderr,
		"sort: %llu lines, %llu MiB resident at most, %llu pages fetched, %llu ahead\n",
		(unsigned long long)n, (unsigned long long)stats.resident_peak >> 20,
		(unsigned long long)stats.fetched, (unsigned long long)stats.fetched_ahead);
	rmr_far_destroy(far);
	rmr_close(fabric);
	return 0;
}
