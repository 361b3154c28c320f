// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/* place.c - the choice of a donor; place.h has the rule. */
#include "place.h"

static bool better(const struct core_place *a, const struct core_place *b)
{
	if (a->held_bytes != b->held_bytes)
		return a->held_bytes < b->held_bytes;
	return a->free_bytes > b->free_bytes;
}

int core_place_pick(const struct core_place *donors, u32 n, u64 slab_bytes)
{
	int best = -ENOSPC;
	u32 i;

	for (i = 0; i < n; i++) {
		if (!donors[i].live || donors[i].free_bytes < slab_bytes)
			continue;
		if (best < 0 || better(&donors[i], &donors[best]))
			best = (int)i;
	}
	return best;
}
