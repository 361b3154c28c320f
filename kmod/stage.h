/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stage.h - staging buffers: pages that a front has handed over and that are
 * on their way to a tier.
 *
 * A front whose page may change, or vanish, as soon as its call returns copies
 * it into a buffer and publishes that. The writer (writer.h) stores it behind
 * the front's back; until then the page is read from the buffer.
 *
 * A buffer has up to two owners: the index, as long as an entry names it, and
 * the queue, from take until the writer is done with it. The last one out
 * frees it. All calls but create and destroy: any context, do not sleep.
 */
#ifndef RMK_STAGE_H
#define RMK_STAGE_H

#include <linux/types.h>

#include "../core/index.h"

struct page;
struct rmk_stage;

/* A buffer as the writer and the filler see it. */
struct rmk_staged {
	u32 buffer;
	u32 nr; /* page number */
	struct page *page;
	struct core_entry entry; /* what the index holds while it is staged */
	u64 start;		 /* ns, when the front handed it over; the filler's */
};

/* nbuffers: at most 2^CORE_BUFFER_BITS. May sleep. ERR_PTR(-ENOMEM). */
struct rmk_stage *rmk_stage_create(u32 nbuffers);
/* No buffer may be in use. */
void rmk_stage_destroy(struct rmk_stage *stage);

/* Take a free buffer, of the queue's: false if there is none. */
bool rmk_stage_take(struct rmk_stage *stage, struct rmk_staged *out);
/* The buffer is filled: makes out->entry. */
void rmk_stage_filled(struct rmk_stage *stage, struct rmk_staged *out, u32 crc);
/* The entry is about to be published for page nr: the index owns the buffer too. */
void rmk_stage_named(struct rmk_stage *stage, u32 buffer, u32 nr);
/*
 * To the end of the queue, or with first to its head: what the writer could not
 * store. Returns how many are queued now.
 */
u32 rmk_stage_queue(struct rmk_stage *stage, u32 buffer, bool first);
/* The oldest of the queue, for the writer: false if it is empty. */
bool rmk_stage_next(struct rmk_stage *stage, struct rmk_staged *out);

/* An owner gives the buffer up. */
void rmk_stage_release(struct rmk_stage *stage, u32 buffer);

/*
 * Copy what e names to dst. False: the buffer serves another page by now; the
 * index knows better.
 */
bool rmk_stage_read(struct rmk_stage *stage, struct core_entry e, void *dst);

u32 rmk_stage_queued(const struct rmk_stage *stage);   /* buffers in the queue */
u32 rmk_stage_used(const struct rmk_stage *stage);     /* buffers */
u32 rmk_stage_max_used(const struct rmk_stage *stage); /* at once, since load */
u32 rmk_stage_total(const struct rmk_stage *stage);
/* Are seven eighths of the buffers free? */
bool rmk_stage_roomy(const struct rmk_stage *stage);
/*
 * Wait until some buffer is free, or with roomy seven eighths of them; at most
 * timeout jiffies. Sleeps.
 */
void rmk_stage_wait(struct rmk_stage *stage, bool roomy, long timeout);

#endif /* RMK_STAGE_H */
