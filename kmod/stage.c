// SPDX-License-Identifier: GPL-2.0-only
/*
 * stage.c - staging buffers.
 *
 * Lock: rmk_stage.lock, a leaf, interrupts off. It guards the lists and each
 * buffer's owners and generation. A buffer's page is written by who took it,
 * before the index names it, and only read after.
 */
#include <linux/highmem.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>

#include "compat/kernel.h"
#include "stage.h"

struct buffer {
	struct page *page;
	struct list_head node; /* of free or queue, or of nothing */
	u64 generation;	       /* how often it was taken */
	u32 nr, crc;
	u8 owners; /* index, queue, readers */
};

struct rmk_stage {
	spinlock_t lock; /* see above */
	struct list_head free, queue;
	wait_queue_head_t freed;
	u32 total, used, max_used, queued;
	struct buffer buffers[];
};

struct rmk_stage *rmk_stage_create(u32 nbuffers)
{
	struct rmk_stage *stage = vzalloc(struct_size(stage, buffers, nbuffers));
	u32 i;

	if (!stage)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&stage->lock);
	INIT_LIST_HEAD(&stage->free);
	INIT_LIST_HEAD(&stage->queue);
	init_waitqueue_head(&stage->freed);
	for (i = 0; i < nbuffers; i++) {
		struct buffer *b = &stage->buffers[i];

		b->page = alloc_page(GFP_KERNEL);
		if (!b->page) {
			rmk_stage_destroy(stage);
			return ERR_PTR(-ENOMEM);
		}
		list_add_tail(&b->node, &stage->free);
		stage->total++;
	}
	return stage;
}

void rmk_stage_destroy(struct rmk_stage *stage)
{
	u32 i;

	WARN_ON_ONCE(stage->used);
	for (i = 0; i < stage->total; i++)
		__free_page(stage->buffers[i].page);
	vfree(stage);
}

static void describe(struct rmk_stage *stage, struct buffer *b, struct rmk_staged *out)
{
	u32 i = b - stage->buffers;

	*out = (struct rmk_staged){
		.buffer = i,
		.nr = b->nr,
		.page = b->page,
		.entry = core_entry_staged(i, b->generation, b->crc),
	};
}

bool rmk_stage_take(struct rmk_stage *stage, struct rmk_staged *out)
{
	struct buffer *b;
	unsigned long flags;

	spin_lock_irqsave(&stage->lock, flags);
	b = list_first_entry_or_null(&stage->free, struct buffer, node);
	if (b) {
		list_del_init(&b->node);
		stage->used++;
		stage->max_used = max(stage->max_used, stage->used);
		b->owners = 1;
		b->generation++;
		describe(stage, b, out);
	}
	spin_unlock_irqrestore(&stage->lock, flags);
	return b;
}

void rmk_stage_filled(struct rmk_stage *stage, struct rmk_staged *out, u32 crc)
{
	struct buffer *b = &stage->buffers[out->buffer];
	unsigned long flags;

	spin_lock_irqsave(&stage->lock, flags);
	b->crc = crc;
	describe(stage, b, out);
	spin_unlock_irqrestore(&stage->lock, flags);
}

void rmk_stage_named(struct rmk_stage *stage, u32 buffer, u32 nr)
{
	struct buffer *b = &stage->buffers[buffer];
	unsigned long flags;

	spin_lock_irqsave(&stage->lock, flags);
	b->nr = nr;
	b->owners++;
	spin_unlock_irqrestore(&stage->lock, flags);
}

u32 rmk_stage_queue(struct rmk_stage *stage, u32 buffer, bool first)
{
	struct buffer *b = &stage->buffers[buffer];
	unsigned long flags;
	u32 queued;

	spin_lock_irqsave(&stage->lock, flags);
	if (first)
		list_add(&b->node, &stage->queue);
	else
		list_add_tail(&b->node, &stage->queue);
	queued = ++stage->queued;
	spin_unlock_irqrestore(&stage->lock, flags);
	return queued;
}

bool rmk_stage_next(struct rmk_stage *stage, struct rmk_staged *out)
{
	struct buffer *b;
	unsigned long flags;

	spin_lock_irqsave(&stage->lock, flags);
	b = list_first_entry_or_null(&stage->queue, struct buffer, node);
	if (b) {
		list_del_init(&b->node);
		stage->queued--;
		describe(stage, b, out);
	}
	spin_unlock_irqrestore(&stage->lock, flags);
	return b;
}

void rmk_stage_release(struct rmk_stage *stage, u32 buffer)
{
	struct buffer *b = &stage->buffers[buffer];
	unsigned long flags;
	bool freed;

	spin_lock_irqsave(&stage->lock, flags);
	freed = !--b->owners;
	if (freed) {
		/* the one used last is still in the CPU's cache */
		list_add(&b->node, &stage->free);
		stage->used--;
	}
	spin_unlock_irqrestore(&stage->lock, flags);
	/* a waiter who comes just now looks at used after it has queued up, or at its time-out */
	if (freed && waitqueue_active(&stage->freed))
		wake_up(&stage->freed);
}

/* Own the buffer, if it still is what e names. */
static bool hold(struct rmk_stage *stage, struct buffer *b, struct core_entry e)
{
	struct rmk_staged now;
	unsigned long flags;
	bool same;

	spin_lock_irqsave(&stage->lock, flags);
	describe(stage, b, &now);
	same = b->owners && core_entry_equal(now.entry, e);
	if (same)
		b->owners++;
	spin_unlock_irqrestore(&stage->lock, flags);
	return same;
}

bool rmk_stage_read(struct rmk_stage *stage, struct core_entry e, void *dst)
{
	struct buffer *b = &stage->buffers[core_entry_get_buffer(e)];
	void *src;

	if (!hold(stage, b, e))
		return false;
	src = rmk_kmap(b->page);
	copy_page(dst, src);
	rmk_kunmap(src);
	rmk_stage_release(stage, core_entry_get_buffer(e));
	return true;
}

u32 rmk_stage_queued(const struct rmk_stage *stage)
{
	return READ_ONCE(stage->queued);
}

u32 rmk_stage_used(const struct rmk_stage *stage)
{
	return READ_ONCE(stage->used);
}

u32 rmk_stage_max_used(const struct rmk_stage *stage)
{
	return READ_ONCE(stage->max_used);
}

u32 rmk_stage_total(const struct rmk_stage *stage)
{
	return stage->total;
}

bool rmk_stage_roomy(const struct rmk_stage *stage)
{
	return READ_ONCE(stage->used) <= stage->total / 8;
}

void rmk_stage_wait(struct rmk_stage *stage, bool roomy, long timeout)
{
	wait_event_timeout(stage->freed,
			   roomy ? rmk_stage_roomy(stage) : READ_ONCE(stage->used) < stage->total,
			   timeout);
}
