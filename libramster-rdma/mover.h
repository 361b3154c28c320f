/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * mover.h - moves pages behind the program's back.
 */
#ifndef RMR_MOVER_H
#define RMR_MOVER_H

#include "io.h"

#define RMR_MOVER_OPS 16

struct rmr_mover {
	struct rmr_worker worker;
	struct rmr *r;
	struct rmr_caller caller;
	struct rmr_op ops[RMR_MOVER_OPS];
	u32 nops;

	pthread_mutex_t evict_lock; /* guards what follows */
	u32 evict_slab, evict_slot; /* where to look for pages that may go */
};

int rmr_mover_init(struct rmr_mover *m, struct rmr *r);
void rmr_mover_uninit(struct rmr_mover *m);
int rmr_mover_start(struct rmr_mover *m);
/* After the sessions: what it waits for has an end then. */
void rmr_mover_stop(struct rmr_mover *m);
/* There is something to move. Any thread. */
void rmr_mover_kick(struct rmr_mover *m);

/*
 * Let some pages of ephemeral pools go whose slots serve for pages of this size. c is who
 * asks. Returns how many went.
 */
u32 rmr_evict(struct rmr *r, struct rmr_caller *c, u32 page_bytes);

#endif /* RMR_MOVER_H */
