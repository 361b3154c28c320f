// SPDX-License-Identifier: GPL-2.0-only
/*
 * slabpages - count the pages that borrowers have written into a donor's slabs.
 *
 *   slabpages PID          PID: of ramsterd
 *
 * Looks at the slabs' memory itself, so the count owes nothing to what anybody
 * says. A slab is zero when it is granted, hence what is not zero came over the
 * wire; what a borrower has freed since still counts. Prints one line, "WRITTEN
 * LENT", in pages. Exit status: 0, or 1 when the memory cannot be read.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096
#define SLAB "/memfd:ramster-slab" /* as rdma-broker/slab.c names it */

static const char zeros[PAGE];

/* Pages of [start, end) that are not zero. A slab may be taken back while we look: it ends there. */
static unsigned long count_written(int mem, unsigned long start, unsigned long end)
{
	unsigned long written = 0;
	char page[PAGE];

	for (; start < end; start += PAGE) {
		if (pread(mem, page, sizeof(page), (off_t)start) != sizeof(page))
			break;
		written += memcmp(page, zeros, sizeof(page)) != 0;
	}
	return written;
}

static int open_proc(const char *pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%s/%s", pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int main(int argc, char **argv)
{
	unsigned long start, end, lent = 0, written = 0;
	char line[512];
	FILE *maps;
	int mem, fd;

	if (argc != 2) {
		fprintf(stderr, "usage: slabpages PID-OF-RAMSTERD\n");
		return 1;
	}
	mem = open_proc(argv[1], "mem");
	fd = open_proc(argv[1], "maps");
	maps = fd < 0 ? NULL : fdopen(fd, "r");
	if (!maps || mem < 0) {
		fprintf(stderr, "slabpages: cannot read the memory of process %s: %m\n", argv[1]);
		return 1;
	}
	while (fgets(line, sizeof(line), maps)) {
		if (!strstr(line, SLAB) || sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		written += count_written(mem, start, end);
		lent += (end - start) / PAGE;
	}
	printf("%lu %lu\n", written, lent);
	fclose(maps);
	close(mem);
	return 0;
}
