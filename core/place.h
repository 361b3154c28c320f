/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * place.h - which donor the next slab is asked from.
 */
#ifndef CORE_PLACE_H
#define CORE_PLACE_H

#include "port.h"

struct core_place {
	bool live;	/* connected, and not asked already */
	u64 free_bytes; /* the donor's last word on what it has left */
	u64 held_bytes; /* what we hold there now */
};

/*
 * Index of the donor to ask for a slab of slab_bytes, or -ENOSPC. Among the
 * live donors with room the one of which we hold least, so that load spreads
 * and one donor's loss hurts least; ties go to the one with more room, then
 * to the lower index.
 */
int core_place_pick(const struct core_place *donors, u32 n, u64 slab_bytes);

#endif /* CORE_PLACE_H */
