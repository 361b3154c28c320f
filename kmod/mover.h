/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mover.h - moves pages between tiers in the background.
 */
#ifndef RMK_MOVER_H
#define RMK_MOVER_H

#include "store.h"

struct rmk_mover;

/*
 * With memory of its own for one batch, so that it works when nothing can be
 * allocated. ERR_PTR(-ENOMEM).
 */
struct rmk_mover *rmk_mover_create(struct rmk_store *store);
/* There may be something to move. Any context. */
void rmk_mover_kick(struct rmk_mover *m);
/*
 * Ends and waits; must come before the remote is stopped. Sleeps, bounded by the
 * sessions' time-outs.
 */
void rmk_mover_destroy(struct rmk_mover *m);

#endif /* RMK_MOVER_H */
