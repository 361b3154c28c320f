/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * writer.h - write-behind: what fronts have staged goes to the tiers.
 */
#ifndef RMK_WRITER_H
#define RMK_WRITER_H

#include "store.h"

struct rmk_writer;

/* Empties the store's stage. With memory of its own. ERR_PTR(-ENOMEM). May sleep. */
struct rmk_writer *rmk_writer_create(struct rmk_store *store);
/*
 * Ends and waits for what is on its way; what is staged stays there. Before the
 * remote is stopped. Sleeps, bounded by the sessions' time-outs.
 */
void rmk_writer_destroy(struct rmk_writer *w);

/*
 * Store a copy of the page at src as page nr. A same-filled page is done with
 * at once. -EAGAIN: no buffer is free; -ENOENT: there is no page nr. On failure
 * the page holds what it held. Does not sleep. Process context, unless no page
 * of that front's is ever compressed.
 */
int rmk_writer_put(struct rmk_writer *w, u32 nr, const void *src);

/*
 * The same in two steps, for who must hold a lock while it publishes: stage,
 * then publish, or drop what is not or could not be published.
 */
int rmk_writer_stage(struct rmk_writer *w, const void *src, struct rmk_staged *s);
int rmk_writer_publish(struct rmk_writer *w, u32 nr, const struct rmk_staged *s);
void rmk_writer_drop(struct rmk_writer *w, const struct rmk_staged *s);

/* There may be room again. Any context. */
void rmk_writer_kick(struct rmk_writer *w);
/* Is there nowhere to write to? Then waiting for a buffer is in vain. */
bool rmk_writer_stuck(const struct rmk_writer *w);

#endif /* RMK_WRITER_H */
