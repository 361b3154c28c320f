/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * slots.h - which pages of one slab are in use: a bitmap and a cursor.
 *
 * Runs are handed out next-fit from the cursor, so pages that are swapped out
 * one after the other lie side by side and merge into one work request.
 * Callers serialise; no call allocates or sleeps.
 */
#ifndef CORE_SLOTS_H
#define CORE_SLOTS_H

#include "port.h"

struct core_slots {
	u64 *map; /* CORE_SLOTS_WORDS(n) words of the caller, bit set = in use */
	u32 n;	  /* slots, 1 .. 2^18 */
	u32 used;
	u32 cursor; /* where the next search starts */
};

#define CORE_SLOTS_WORDS(n) (((n) + 63u) / 64u)

/* Every slot free. map is zeroed here. */
void core_slots_init(struct core_slots *s, u64 *map, u32 n);

/*
 * Runs that one allocation looks at before it settles for the longest so far:
 * a fragmented map must not cost a walk of 2^17 runs under the caller's lock.
 */
#define CORE_SLOTS_SEARCH 256u

/*
 * Take up to want contiguous slots: a run of want if one is among the next
 * CORE_SLOTS_SEARCH runs from the cursor on, else the longest of these.
 * Returns its length (0: full) and its first slot.
 */
u32 core_slots_alloc(struct core_slots *s, u32 want, u32 *first);

/*
 * Give n slots back. Returns 0, or -EINVAL (and changes nothing) if any of them
 * is out of range or free.
 */
int core_slots_free(struct core_slots *s, u32 first, u32 n);

bool core_slots_test(const struct core_slots *s, u32 slot);

/* First slot in use at or after from; s->n if there is none. */
u32 core_slots_next_used(const struct core_slots *s, u32 from);

#endif /* CORE_SLOTS_H */
