// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/* index.c - packing of page index entries; index.h has the layout. */
#include "index.h"

#define WHERE_MASK 7ull
#define SLOT_SHIFT 3
#define SLAB_SHIFT (SLOT_SHIFT + CORE_SLOT_BITS)
#define GEN_SHIFT  (SLAB_SHIFT + CORE_SLAB_BITS)
/* of STAGED */
#define BUFFER_SHIFT 3
#define TAKEN_SHIFT  (BUFFER_SHIFT + CORE_BUFFER_BITS)

#define MASK(bits) ((1ull << (bits)) - 1)

core_static_assert(sizeof(struct core_entry) == 16, "an entry is 16 bytes");
core_static_assert((int)CORE_WHERES <= 1 + (int)WHERE_MASK, "where fits its bits");
core_static_assert(GEN_SHIFT + CORE_GENERATION_BITS == 64, "word0 is full");

struct core_entry core_entry_empty(void)
{
	return (struct core_entry){ CORE_EMPTY, 0 };
}

struct core_entry core_entry_lost(void)
{
	return (struct core_entry){ CORE_LOST, 0 };
}

struct core_entry core_entry_same(u64 word)
{
	return (struct core_entry){ CORE_SAME, word };
}

struct core_entry core_entry_remote(const struct core_remote *r)
{
	u64 word0 = CORE_REMOTE;

	word0 |= (r->slot & MASK(CORE_SLOT_BITS)) << SLOT_SHIFT;
	word0 |= (r->slab & MASK(CORE_SLAB_BITS)) << SLAB_SHIFT;
	word0 |= (r->generation & MASK(CORE_GENERATION_BITS)) << GEN_SHIFT;
	return (struct core_entry){ word0, r->crc };
}

struct core_entry core_entry_zstd(u64 handle, u32 crc)
{
	return (struct core_entry){ handle | CORE_ZSTD, crc };
}

struct core_entry core_entry_staged(u32 buffer, u64 generation, u32 crc)
{
	u64 word0 = CORE_STAGED;

	word0 |= (buffer & MASK(CORE_BUFFER_BITS)) << BUFFER_SHIFT;
	word0 |= generation << TAKEN_SHIFT;
	return (struct core_entry){ word0, crc };
}

enum core_where core_entry_where(struct core_entry e)
{
	return e.word0 & WHERE_MASK;
}

bool core_entry_equal(struct core_entry a, struct core_entry b)
{
	return a.word0 == b.word0 && a.word1 == b.word1;
}

struct core_remote core_entry_get_remote(struct core_entry e)
{
	return (struct core_remote){
		.slab = (e.word0 >> SLAB_SHIFT) & MASK(CORE_SLAB_BITS),
		.slot = (e.word0 >> SLOT_SHIFT) & MASK(CORE_SLOT_BITS),
		.generation = (u32)(e.word0 >> GEN_SHIFT),
		.crc = (u32)e.word1,
	};
}

u64 core_entry_get_handle(struct core_entry e)
{
	return e.word0 & ~WHERE_MASK;
}

u64 core_entry_get_word(struct core_entry e)
{
	return e.word1;
}

u32 core_entry_get_buffer(struct core_entry e)
{
	return (e.word0 >> BUFFER_SHIFT) & MASK(CORE_BUFFER_BITS);
}

u32 core_entry_get_crc(struct core_entry e)
{
	return (u32)e.word1;
}

bool core_entry_fresh(const struct core_remote *r, u32 slab_generation)
{
	return !((r->generation ^ slab_generation) & MASK(CORE_GENERATION_BITS));
}

struct core_entry core_index_set(struct core_entry *at, struct core_entry e)
{
	struct core_entry old = *at;

	*at = e;
	return old;
}

bool core_index_replace(struct core_entry *at, struct core_entry expect, struct core_entry e)
{
	if (!core_entry_equal(*at, expect))
		return false;
	*at = e;
	return true;
}
