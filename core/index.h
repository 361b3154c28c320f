/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * index.h - where each page of a device lies: one 16-byte entry per page.
 *
 * Entries are passed by value. The array belongs to the caller, who holds the
 * lock that covers an entry across each call. Rules that make the index
 * coherent (put-put-get returns the second put or nothing):
 *  - a put publishes its entry with core_index_set(), which returns the entry
 *    it replaced, to be freed by the caller: nobody else can free it;
 *  - whoever moves a page (evacuation, mover) publishes with
 *    core_index_replace(), which does nothing if the page changed meanwhile.
 */
#ifndef CORE_INDEX_H
#define CORE_INDEX_H

#include "port.h"

enum core_where {
	CORE_EMPTY = 0,	 /* never written, or discarded: reads as zeros */
	CORE_REMOTE = 1, /* in a slab */
	CORE_ZSTD = 2,	 /* in the compressed tier */
	CORE_SAME = 3,	 /* one 64-bit word repeated: held here */
	CORE_LOST = 4,	 /* was remote, its donor is gone: reads fail until rewritten */
	CORE_STAGED = 5, /* in a staging buffer, on its way to a tier */
	CORE_WHERES,	 /* how many there are */
};

/*
 * word0: bits 0-2 where.
 *   REMOTE: bits 3-21 slot (< 2^19), bits 22-45 slab (< 2^24), bits 46-63 generation (low 18 bits)
 *   ZSTD:   the tier's handle, whose low three bits must be zero
 *   STAGED: bits 3-22 buffer (< 2^20), bits 23-63 generation (low 41 bits)
 * word1: REMOTE, ZSTD, STAGED: crc32c of the page in the low half (high half 0); SAME: the word.
 */
struct core_entry {
	u64 word0, word1;
};

#define CORE_SLOT_BITS	     19
#define CORE_SLAB_BITS	     24
#define CORE_GENERATION_BITS 18
#define CORE_BUFFER_BITS     20

struct core_remote {
	u32 slab;	/* index in the borrower's slab table, < 2^CORE_SLAB_BITS */
	u32 slot;	/* page within the slab, < 2^CORE_SLOT_BITS */
	u32 generation; /* compared in its low CORE_GENERATION_BITS */
	u32 crc;
};

struct core_entry core_entry_empty(void);
struct core_entry core_entry_lost(void);
struct core_entry core_entry_same(u64 word);
struct core_entry core_entry_remote(const struct core_remote *r);
struct core_entry core_entry_zstd(u64 handle, u32 crc);
/* buffer < 2^CORE_BUFFER_BITS; generation: how often that buffer was taken, kept in 41 bits */
struct core_entry core_entry_staged(u32 buffer, u64 generation, u32 crc);

enum core_where core_entry_where(struct core_entry e);
bool core_entry_equal(struct core_entry a, struct core_entry b);
/* The following are defined only for the matching core_entry_where(). */
struct core_remote core_entry_get_remote(struct core_entry e);
u64 core_entry_get_handle(struct core_entry e);
u64 core_entry_get_word(struct core_entry e);
u32 core_entry_get_buffer(struct core_entry e);
u32 core_entry_get_crc(struct core_entry e);
/* generation of entry and slab agree */
bool core_entry_fresh(const struct core_remote *r, u32 slab_generation);

/* Publish e at *at; returns what was there. */
struct core_entry core_index_set(struct core_entry *at, struct core_entry e);
/* Publish e at *at if *at is still expect; returns whether it did. */
bool core_index_replace(struct core_entry *at, struct core_entry expect, struct core_entry e);

#endif /* CORE_INDEX_H */
