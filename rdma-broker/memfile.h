/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * memfile.h - memory that is lent: a memfd of its own, mapped. Unmapping it gives
 * the pages back to the host at once, and the next one starts from zero pages.
 */
#ifndef RMB_MEMFILE_H
#define RMB_MEMFILE_H

#include <stdint.h>

struct rmb_memfile {
	uint8_t *addr; /* NULL: no memory (any more) */
	uint64_t bytes;
	int fd; /* -1: closed */
};

/*
 * Zero pages, not there yet: who touches or registers them faults them in. On
 * NUMA node if it has room (-1: any). 0, or a negative errno and no memory.
 */
int rmb_memfile_map(struct rmb_memfile *file, const char *name, uint64_t bytes, int node);
/* Make these pages be there. A negative errno where the host has none. */
int rmb_memfile_fill(struct rmb_memfile *file, uint64_t offset, uint64_t bytes);
/* Nothing is to be filled any more: the mapping alone keeps the memory, and files are limited. */
void rmb_memfile_close(struct rmb_memfile *file);
/* May be called again. */
void rmb_memfile_unmap(struct rmb_memfile *file);

#endif /* RMB_MEMFILE_H */
