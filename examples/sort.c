// SPDX-License-Identifier: GPL-2.0-only
/*
 * sort.c - sorts the lines of a file that is larger than the RAM it may use.
 *
 * The file is read into far memory. There runs of half the limit are sorted, one after the other,
 * and then merged into the output: each run is read in order, which far memory fetches
 * ahead. Nothing in the sort knows that most of its memory is on another machine.
 *
 * If memory is lost with its donor, the program says so in one line and ends with exit
 * code 1; an output that is not complete is removed.
 *
 * usage: sort DONORS LIMIT_MIB INPUT OUTPUT
 * The order is that of bytes, as of LC_ALL=C sort. LIMIT_MIB: of RAM for the file, 1
 * or more. To sort a run takes about as much again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ramster/ramster_rdma.h>

#define CHUNK 65536u

/* Text ends with a newline, and so does each line here. */
struct line {
	const char *at;
	size_t len;
};

struct run {
	struct line line; /* the one to come out next */
	const char *end;
};

static struct rmr *fabric;
static struct rmr_far *far;
static const char *unfinished; /* the output, while it is not complete */

static void fail(const char *what, int err)
{
	fprintf(stderr, "sort: %s: %s\n", what, strerror(err));
	if (unfinished)
		unlink(unfinished);
	exit(1);
}

/* A page is gone; whoever touches it would get SIGBUS. There is nothing to be saved. */
static void lost(void *arg, void *addr, int error)
{
	static bool told;

	(void)arg;
	(void)addr;
	while (__atomic_exchange_n(&told, true, __ATOMIC_RELAXED))
		pause(); /* several threads find pages gone: the first one ends us all */
	dprintf(STDERR_FILENO, "sort: part of the memory is lost: %s; nothing is sorted\n",
		strerror(-error));
	if (unfinished)
		unlink(unfinished);
	_exit(1);
}

static void *allocate(size_t bytes)
{
	void *p = malloc(bytes);

	if (!p)
		fail("memory for a run", ENOMEM);
	return p;
}

static struct line line_at(const char *at, const char *end)
{
	const char *newline = memchr(at, '\n', (size_t)(end - at));

	return (struct line){ at, (size_t)(newline - at) + 1 };
}

/* A line that ends comes before one that goes on, even with what is less than a newline. */
static int compare(const void *x, const void *y)
{
	const struct line *a = x, *b = y;
	int order = memcmp(a->at, b->at, (a->len < b->len ? a->len : b->len) - 1);

	return order ? order : (a->len > b->len) - (a->len < b->len);
}

/* read() into far memory would fail where system calls may not: see rmr_far_create(3). */
static size_t load(int fd, char *text, size_t size)
{
	static char chunk[CHUNK];
	size_t at = 0;
	ssize_t n;

	while (at < size && (n = read(fd, chunk, size - at < CHUNK ? size - at : CHUNK)) > 0) {
		memcpy(text + at, chunk, (size_t)n);
		at += (size_t)n;
	}
	if (at < size)
		fail("the input", EIO);
	if (size && text[size - 1] != '\n')
		text[size++] = '\n';
	return size;
}

/* Sort the lines of a run where they are. */
static void sort_run(char *text, size_t size)
{
	char *sorted = allocate(size), *to = sorted;
	const char *at, *end = text + size;
	struct line *lines;
	size_t n = 0, i;

	for (at = text; at < end; at++)
		n += *at == '\n';
	lines = allocate(n * sizeof(*lines));
	for (i = 0, at = text; i < n; at += lines[i++].len)
		lines[i] = line_at(at, end);
	qsort(lines, n, sizeof(*lines), compare);
	for (i = 0; i < n; i++)
		to = (char *)memcpy(to, lines[i].at, lines[i].len) + lines[i].len;
	memcpy(text, sorted, size);
	free(lines);
	free(sorted);
}

/* Cut the text at ends of lines and sort each part. Returns how many, and what they are. */
static size_t make_runs(char *text, size_t size, size_t bytes, struct run **runs)
{
	size_t at, n = 0, len;

	*runs = allocate((size / bytes + 1) * sizeof(**runs));
	for (at = 0; at < size; at += len) {
		len = size - at;
		if (len > bytes) /* the line at its end belongs to it */
			len = bytes - 1 + line_at(text + at + bytes - 1, text + size).len;
		sort_run(text + at, len);
		(*runs)[n].line = line_at(text + at, text + at + len);
		(*runs)[n++].end = text + at + len;
	}
	return n;
}

/* A heap of runs: let the one at i go down to where it belongs. */
static void sift(struct run *heap, size_t n, size_t i)
{
	struct run moving = heap[i];
	size_t child;

	while ((child = 2 * i + 1) < n) {
		if (child + 1 < n && compare(&heap[child + 1].line, &heap[child].line) < 0)
			child++;
		if (compare(&moving.line, &heap[child].line) <= 0)
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = moving;
}

static void put_line(FILE *f, const struct line *line)
{
	static char copy[CHUNK]; /* as in load() */
	size_t at, some;

	for (at = 0; at < line->len; at += some) {
		some = line->len - at < CHUNK ? line->len - at : CHUNK;
		fwrite(memcpy(copy, line->at + at, some), 1, some, f);
	}
}

static void merge(struct run *heap, size_t n, FILE *f)
{
	const char *next;
	size_t i;

	for (i = n / 2; i-- > 0;)
		sift(heap, n, i);
	while (n) {
		put_line(f, &heap[0].line);
		next = heap[0].line.at + heap[0].line.len;
		if (next < heap[0].end)
			heap[0].line = line_at(next, heap[0].end);
		else
			heap[0] = heap[--n];
		sift(heap, n, 0);
	}
}

static char *open_far(const char *donors, size_t bytes, size_t limit)
{
	struct rmr_far_options options;
	int err = rmr_open(donors, NULL, &fabric);

	if (!err)
		err = rmr_wait_connected(fabric, 10000);
	if (err)
		fail(donors, -err);
	rmr_far_options_init(&options);
	options.lost = lost;
	err = rmr_far_create(fabric, (bytes + 4095) & ~(size_t)4095, limit, &options, &far);
	if (err)
		fail("far memory", -err);
	return rmr_far_addr(far);
}

static void close_far(void)
{
	struct rmr_far_stats s;

	rmr_far_stats(far, &s, sizeof(s));
	fprintf(stderr,
		"sort: %llu KiB in RAM at most; %llu pages were waited for, %llu fetched ahead\n",
		(unsigned long long)s.resident_peak >> 10, (unsigned long long)s.fetched,
		(unsigned long long)s.fetched_ahead);
	rmr_far_destroy(far);
	rmr_close(fabric);
}

int main(int argc, char **argv)
{
	struct run *runs;
	struct stat st;
	size_t limit, size, n;
	char *text;
	FILE *out;
	int fd;

	if (argc != 5)
		return fprintf(stderr, "usage: sort DONORS LIMIT_MIB INPUT OUTPUT\n"), 2;
	fd = open(argv[3], O_RDONLY);
	if (fd < 0 || fstat(fd, &st))
		fail(argv[3], errno);
	limit = strtoull(argv[2], NULL, 0) << 20;
	text = open_far(argv[1], (size_t)st.st_size + 1, limit);
	size = load(fd, text, (size_t)st.st_size);
	n = make_runs(text, size, limit / 2, &runs);
	out = fopen(argv[4], "w");
	if (!out)
		fail(argv[4], errno);
	unfinished = argv[4];
	merge(runs, n, out);
	if (ferror(out) || fclose(out))
		fail(argv[4], errno);
	unfinished = NULL;
	free(runs);
	close_far();
	return 0;
}
