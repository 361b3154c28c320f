// SPDX-License-Identifier: GPL-2.0-only
/*
 * offer.c - a page goes into a share: is it there already? If not it is written
 * into a slot that the donor has given us, and the donor told.
 *
 * An offer waits in the ring until the work takes it into the batch. It can be
 * withdrawn until its PUT is sent; the FLUSH that withdrew it is sent after.
 *
 * Lock: rmk_offers.lock, a leaf, interrupts off, guards the ring and who is in
 * an offer of the batch (offer.share).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>
#include <linux/xxhash.h>

#include "compat/kernel.h"
#include "offer.h"
#include "../core/dir.h"

/*
 * Offers that wait: each has a staging buffer, of which frontswap needs some
 * too. 4 MiB, which is what the largest readahead pushes out at once.
 */
#define RING 1024

struct offer {
	struct rmk_share *share; /* NULL: withdrawn */
	u64 object, tag, check;
	u32 buffer;
	u32 slot;
	struct page *page;
};

struct request {
	struct rmk_offers *offers;
	struct rmk_wr wr;
	struct rmk_span span;
	int err;
};

struct rmk_offers {
	struct rmk_shares *all;
	struct rmk_stage *stage;
	struct rmk_stats __percpu *stats;
	spinlock_t lock; /* see above */
	u32 head, tail;	 /* of the ring; taken at head % RING */
	struct offer ring[RING];

	/* The work's own, but for offer.share. */
	struct offer batch[RMK_OFFER_BATCH];
	u32 nbatch;
	struct request request[RMK_OFFER_BATCH];
	atomic_t pending;
	struct completion done;
	u8 *buckets; /* one per request */
};

int rmk_offer(struct rmk_offers *offers, struct rmk_share *share, const struct rmk_share_name *name,
	      const void *src)
{
	struct rmk_staged s;
	unsigned long flags;
	struct offer o;
	void *dst;
	bool taken;

	if (READ_ONCE(offers->tail) - READ_ONCE(offers->head) >= RING ||
	    !rmk_stage_take(offers->stage, &s))
		return -EAGAIN;
	dst = rmk_kmap(s.page);
	memcpy(dst, src, PAGE_SIZE);
	o = (struct offer){
		.share = share,
		.object = name->object,
		.tag = name->tag,
		.check = xxh64(dst, PAGE_SIZE, name->seed),
		.buffer = s.buffer,
		.page = s.page,
	};
	rmk_kunmap(dst);
	spin_lock_irqsave(&offers->lock, flags);
	taken = offers->tail - offers->head < RING;
	if (taken)
		offers->ring[offers->tail++ % RING] = o;
	spin_unlock_irqrestore(&offers->lock, flags);
	if (!taken) {
		rmk_stage_release(offers->stage, s.buffer);
		return -EAGAIN;
	}
	rmk_shares_kick(offers->all);
	return 0;
}

static void withdraw(struct offer *o, const struct rmk_share *share, u64 object, u64 tag)
{
	if (o->share == share && (!object || o->object == object) && (!tag || o->tag == tag))
		o->share = NULL;
}

void rmk_offers_withdraw(struct rmk_offers *offers, struct rmk_share *share, u64 object, u64 tag)
{
	unsigned long flags;
	u32 i;

	spin_lock_irqsave(&offers->lock, flags);
	for (i = offers->head; i != offers->tail; i++)
		withdraw(&offers->ring[i % RING], share, object, tag);
	for (i = 0; i < offers->nbatch; i++)
		withdraw(&offers->batch[i], share, object, tag);
	spin_unlock_irqrestore(&offers->lock, flags);
}

bool rmk_offers_waiting(const struct rmk_offers *offers)
{
	return READ_ONCE(offers->tail) != READ_ONCE(offers->head) || READ_ONCE(offers->nbatch);
}

/* ---- a batch: offers to one share ---- */

/* From the ring to the batch, where some may have waited for slots. Returns whose it is. */
static struct rmk_share *fill_batch(struct rmk_offers *offers)
{
	struct rmk_share *share = NULL;
	u32 i, n = 0;

	spin_lock_irq(&offers->lock);
	for (i = 0; i < offers->nbatch; i++) {
		if (offers->batch[i].share)
			offers->batch[n++] = offers->batch[i];
		else
			rmk_stage_release(offers->stage, offers->batch[i].buffer);
	}
	if (n)
		share = offers->batch[0].share;
	while (n < RMK_OFFER_BATCH && offers->head != offers->tail) {
		struct offer *o = &offers->ring[offers->head % RING];

		if (o->share && share && o->share != share)
			break;
		offers->head++;
		if (o->share) {
			share = o->share;
			offers->batch[n++] = *o;
		} else {
			rmk_stage_release(offers->stage, o->buffer);
		}
	}
	WRITE_ONCE(offers->nbatch, n);
	spin_unlock_irq(&offers->lock);
	return share;
}

/* Done with an offer: fill_batch() frees it. */
static void drop(struct rmk_offers *offers, struct offer *o, enum rmk_counter counted)
{
	spin_lock_irq(&offers->lock);
	if (o->share)
		rmk_count(offers->stats, counted, 1);
	o->share = NULL;
	spin_unlock_irq(&offers->lock);
}

static void drop_all(struct rmk_offers *offers, enum rmk_counter counted)
{
	u32 i;

	for (i = 0; i < offers->nbatch; i++)
		drop(offers, &offers->batch[i], counted);
}

/* ---- requests, all at once ---- */

static void request_done(struct rmk_wr *wr, int err)
{
	struct request *r = container_of(wr, struct request, wr);
	struct rmk_offers *offers = r->offers;

	r->err = err;
	if (atomic_dec_and_test(&offers->pending))
		complete(&offers->done);
}

static void post(struct request *r, struct rmk_share *share, const struct rmk_share_view *view,
		 bool write, u64 raddr, u32 rkey)
{
	enum rmk_lane lane = write ? RMK_LANE_WRITE : RMK_LANE_BULK;
	int err;

	r->wr.spans = &r->span;
	r->wr.nspans = 1;
	r->wr.write = write;
	r->wr.done = request_done;
	atomic_inc(&r->offers->pending);
	err = rmk_share_post(share, view, lane, &r->wr, raddr, rkey);
	if (err)
		request_done(&r->wr, err);
}

/* begin(), post(), wait(): requests end by themselves, or with the session. */
static void begin(struct rmk_offers *offers)
{
	reinit_completion(&offers->done);
	atomic_set(&offers->pending, 1);
}

static void wait(struct rmk_offers *offers)
{
	if (atomic_dec_and_test(&offers->pending))
		return;
	while (!wait_for_completion_timeout(&offers->done, 30 * HZ))
		pr_warn_ratelimited("a share's donor takes long\n");
}

/* Those that the share has already need not go. */
static void drop_known(struct rmk_offers *offers, struct rmk_share *share,
		       const struct rmk_share_view *view)
{
	u32 i, slot;
	u64 check;

	begin(offers);
	for (i = 0; i < offers->nbatch; i++) {
		struct request *r = &offers->request[i];
		u8 *bucket = offers->buckets + i * RAMSTER_DIR_BUCKET_SIZE;

		r->span = (struct rmk_span){
			.page = virt_to_page(bucket),
			.off = offset_in_page(bucket),
			.len = RAMSTER_DIR_BUCKET_SIZE,
		};
		post(r, share, view, false,
		     view->dir_addr + core_dir_offset(offers->batch[i].tag, view->slots),
		     view->dir_rkey);
	}
	wait(offers);
	for (i = 0; i < offers->nbatch; i++)
		if (!offers->request[i].err &&
		    core_dir_find(offers->buckets + i * RAMSTER_DIR_BUCKET_SIZE,
				  offers->batch[i].tag, view->slots, &slot, &check) &&
		    check == offers->batch[i].check)
			drop(offers, &offers->batch[i], RMK_SHARE_KNOWN_PUTS);
}

static void write_batch(struct rmk_offers *offers, struct rmk_share *share,
			const struct rmk_share_view *view)
{
	u32 i;

	begin(offers);
	for (i = 0; i < offers->nbatch; i++) {
		struct request *r = &offers->request[i];
		struct offer *o = &offers->batch[i];

		r->span = (struct rmk_span){ .page = o->page, .len = PAGE_SIZE };
		r->err = -ECANCELED;
		if (o->slot != CORE_DIR_NONE)
			post(r, share, view, true, view->page_addr + ((u64)o->slot << PAGE_SHIFT),
			     view->page_rkey);
	}
	wait(offers);
}

/* Is the offer still to be put? From here on a flush finds it at the donor. */
static bool commit(struct rmk_offers *offers, struct offer *o)
{
	bool wanted;

	spin_lock_irq(&offers->lock);
	wanted = o->share;
	o->share = NULL;
	spin_unlock_irq(&offers->lock);
	return wanted;
}

static void put_batch(struct rmk_offers *offers, struct rmk_share *share,
		      const struct rmk_share_view *view)
{
	u32 i;

	for (i = 0; i < offers->nbatch; i++) {
		struct offer *o = &offers->batch[i];
		struct core_msg msg = {
			.type = RAMSTER_MSG_SHARE_PUT,
			.put = {
				.share = view->number,
				.slot = o->slot,
				.object = o->object,
				.tag = o->tag,
				.check = o->check,
			},
		};

		if (o->slot == CORE_DIR_NONE)
			continue;
		if (offers->request[i].err) {
			/* the connection breaks, and slots count no more; or it was not posted */
			drop(offers, o, RMK_SHARE_DROPPED_PUTS);
			rmk_share_return_slot(share, o->slot);
		} else if (!commit(offers, o)) {
			rmk_share_return_slot(share, o->slot);
		} else if (rmk_session_send(view->session, &msg)) {
			rmk_session_break(view->session);
			rmk_count(offers->stats, RMK_SHARE_DROPPED_PUTS, 1);
		} else {
			rmk_count(offers->stats, RMK_SHARE_PUTS, 1);
		}
	}
}

/* Slots for those that are still wanted. Returns what kept one from it. */
static int take_slots(struct rmk_offers *offers, struct rmk_share *share)
{
	int err = 0;
	u32 i;

	for (i = 0; i < offers->nbatch; i++) {
		struct offer *o = &offers->batch[i];

		o->slot = CORE_DIR_NONE;
		if (READ_ONCE(o->share) && !err)
			err = rmk_share_take_slot(share, &o->slot);
	}
	return err;
}

/* Returns false when the rest has to wait for slots. */
static bool run_batch(struct rmk_offers *offers, struct rmk_share *share)
{
	struct rmk_share_view view;
	int err;

	if (!rmk_share_hold(share, false, &view)) {
		drop_all(offers, RMK_SHARE_DROPPED_PUTS);
		return true;
	}
	drop_known(offers, share, &view);
	err = take_slots(offers, share);
	write_batch(offers, share, &view);
	put_batch(offers, share, &view);
	if (err == -ENOSPC)
		drop_all(offers, RMK_SHARE_DROPPED_PUTS);
	rmk_share_release(share);
	return err != -EAGAIN;
}

bool rmk_offers_run(struct rmk_offers *offers)
{
	struct rmk_share *share = fill_batch(offers);

	return share && run_batch(offers, share);
}

struct rmk_offers *rmk_offers_create(struct rmk_shares *all)
{
	struct rmk_offers *offers = vzalloc(sizeof(*offers));
	struct rmk_store *store = rmk_shares_store(all);
	u32 i;

	if (!offers)
		return ERR_PTR(-ENOMEM);
	offers->buckets = kmalloc(RMK_OFFER_BATCH * RAMSTER_DIR_BUCKET_SIZE, GFP_KERNEL);
	if (!offers->buckets) {
		vfree(offers);
		return ERR_PTR(-ENOMEM);
	}
	offers->all = all;
	offers->stage = store->stage;
	offers->stats = store->stats;
	spin_lock_init(&offers->lock);
	init_completion(&offers->done);
	for (i = 0; i < RMK_OFFER_BATCH; i++)
		offers->request[i].offers = offers;
	return offers;
}

void rmk_offers_destroy(struct rmk_offers *offers)
{
	kfree(offers->buckets);
	vfree(offers);
}
