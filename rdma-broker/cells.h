/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cells.h - the books of a share: which slots are given to whom, which page lies
 * in each, and the directory that tells the borrowers.
 *
 * There is a cell for each slot. A slot is empty; given to a holder who is to
 * put a page there; or full, with an entry in the directory. Slots are given
 * in runs. A run is empty, lent to a holder, or filled; the one that was
 * filled first is emptied and given anew when none is empty.
 *
 * Pure: no clock, no verbs, no log. Nothing here may be called from two threads.
 */
#ifndef RMB_CELLS_H
#define RMB_CELLS_H

#include <stdint.h>

#include "../include/ramster/ramster_wire.h"

#define RMB_RUN_SLOTS RAMSTER_SHARE_SLOTS_MAX
/* Runs that one holder may have at a time; of a small share a quarter, but one. */
#define RMB_HOLD_MAX 4

struct rmb_cell;
struct rmb_run;

/* Somebody who fills slots; zeroed at first, and in place until rmb_cells_leave(). */
struct rmb_holder {
	struct rmb_run *runs[RMB_HOLD_MAX];
	unsigned int n;
};

struct rmb_cells {
	void *dir; /* core_dir_bytes(slots), zero at first; the caller's */
	uint32_t slots;
	uint32_t pages;	  /* slots that are full */
	uint64_t evicted; /* pages that had to make room, since the start */
	uint64_t seed;
	unsigned int hold_max;
	struct rmb_cell *cells;
	uint32_t *heads; /* chains of cells by object */
	struct rmb_run *runs;
	struct rmb_run *empty, *filled; /* filled: first one first */
};

/*
 * seed is random, so that nobody can choose objects that share a chain. 0 or
 * -ENOMEM. All but dir is freed by _uninit, which takes zeroed cells, too.
 */
int rmb_cells_init(struct rmb_cells *c, void *dir, uint32_t slots, uint64_t seed);
void rmb_cells_uninit(struct rmb_cells *c);

/*
 * Give up to count (1 .. RMB_RUN_SLOTS) slots from *first on. Returns how many: 0
 * if the holder has enough, or all runs are lent.
 */
uint32_t rmb_cells_give(struct rmb_cells *c, struct rmb_holder *holder, uint32_t count,
			uint32_t *first);
/* The page is in its slot. -ENOENT: that slot is not the holder's to put. object, tag: not 0. */
int rmb_cells_put(struct rmb_cells *c, struct rmb_holder *holder, uint32_t slot, uint64_t object,
		  uint64_t tag, uint64_t check);
/* Forget a page, all pages of an object, all. Returns how many. */
uint32_t rmb_cells_flush_page(struct rmb_cells *c, uint64_t tag);
uint32_t rmb_cells_flush_object(struct rmb_cells *c, uint64_t object);
uint32_t rmb_cells_flush_all(struct rmb_cells *c);
/* What the holder was given and has not put is nobody's again. */
void rmb_cells_leave(struct rmb_cells *c, struct rmb_holder *holder);

#endif /* RMB_CELLS_H */
