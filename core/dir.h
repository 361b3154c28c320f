/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * dir.h - the directory of a share: from a page's tag to the slot it lies in.
 *
 * A hash table of buckets without chains, laid out as ramster_wire.h says. The
 * donor changes it by put and erase; borrowers read one bucket over the wire and
 * search it by find, which believes nothing of what it sees.
 */
#ifndef CORE_DIR_H
#define CORE_DIR_H

#include "port.h"
#include "../include/ramster/ramster_wire.h"

#define CORE_DIR_NONE (~0u)

/*
 * Buckets of a share with so many slots (a power of two). Twice as many entries
 * as slots: with 16 to a bucket and half of them used, fewer than one page in
 * a hundred finds its bucket full (Poisson, mean 8: P(> 16) = 0.4 %).
 */
static inline u32 core_dir_buckets(u32 slots)
{
	return slots / (RAMSTER_DIR_WAYS / 2);
}

static inline u64 core_dir_bytes(u32 slots)
{
	return (u64)core_dir_buckets(slots) * RAMSTER_DIR_BUCKET_SIZE;
}

/* Byte of the directory at which a tag's bucket begins. */
static inline u64 core_dir_offset(u64 tag, u32 slots)
{
	return (tag & (core_dir_buckets(slots) - 1)) * RAMSTER_DIR_BUCKET_SIZE;
}

/*
 * Look for tag in a bucket that was read. False: it is not there, or names a
 * slot that the share has not.
 */
bool core_dir_find(const void *bucket, u64 tag, u32 slots, u32 *slot, u64 *check);

/*
 * Enter a page. If the tag was there its entry is replaced, if the bucket is full
 * some entry is. Returns the slot that the entry before named, or CORE_DIR_NONE.
 */
u32 core_dir_put(void *bucket, u64 tag, u32 slot, u64 check);

/* Take a tag out. Returns the slot that it named, or CORE_DIR_NONE. */
u32 core_dir_erase(void *bucket, u64 tag);

#endif /* CORE_DIR_H */
