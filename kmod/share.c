// SPDX-License-Identifier: GPL-2.0-only
/*
 * share.c - who is in which share, at which donor.
 *
 *   IDLE --join sent--> JOINING --joined--> JOINED --told to leave, broken, ended--> LEAVING
 *    ^                     |                                                            |
 *    +---- no, broken -----+------------------ last user gone, leave said --------------+
 *
 * Messages come in the session's work and only note what they say; all that is
 * sent is sent by the work here, one at a time, which is also the only one to
 * take shares out of the table.
 *
 * A flush goes to the donor behind the caller's back. Until the donor has
 * answered, nobody here finds anything in that share; so it does not matter that
 * other pages could be found in the meantime. Where too many flushes wait, or
 * some were lost with a connection, the whole share is flushed.
 *
 * Lock: rmk_shares.lock, a leaf, interrupts off, guards the table and all of
 * each share.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/jiffies.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/sysfs.h>
#include <linux/uuid.h>
#include <linux/workqueue.h>
#include <linux/xxhash.h>

#include "offer.h"
#include "share.h"

/* How often those who are in no share ask again: somebody may allow it meanwhile. */
#define RETRY (2 * HZ)
/* A donor that had no slots is not asked for some again for this long. */
#define NO_SLOTS_PAUSE (HZ / 10)
/* Fewer are left: ask for more. */
#define LOW_SLOTS 16
/* What a donor gives at once, what is left when it is asked, and what a batch brings back. */
#define MAX_SLOTS (RAMSTER_SHARE_SLOTS_MAX + LOW_SLOTS + RMK_OFFER_BATCH)
/* Flushes that wait to be sent; more become one of the whole share. */
#define MAX_FLUSHES 64
/* Sent and not answered. */
#define FLUSH_WINDOW 16

enum state { IDLE, JOINING, JOINED, LEAVING };

static const char *const state_names[] = { "idle", "joining", "joined", "leaving" };

struct flush {
	u64 object, tag;
};

struct rmk_share {
	struct rmk_shares *all;
	u8 uuid[RAMSTER_SHARE_UUID];
	u64 fingerprint;
	enum state state;
	struct rmk_share_view view; /* JOINING: session and number alone */
	u32 users;
	bool ending;
	bool tell; /* LEAVING: the donor waits for a word */
	bool was_joined;
	u32 donor; /* to ask next */
	unsigned long retry_at;

	struct flush flush[MAX_FLUSHES];
	u32 nflush;
	bool flush_all;
	u32 serial, flushed; /* sent, answered */

	/*
	 * To put into, a ring. The oldest goes first: a donor that sees more than
	 * RMB_HOLD_MAX of its runs begun and not filled gives no other.
	 */
	u32 slot[MAX_SLOTS];
	u32 first_slot, nslots;
	bool asked;
	unsigned long no_slots_until;
};

struct rmk_shares {
	struct rmk_store *store;
	struct rmk_offers *offers;
	struct workqueue_struct *wq;
	struct delayed_work work;
	spinlock_t lock; /* guards what follows, and all of each share */
	struct rmk_share *share[RMK_MAX_SHARES];
	u32 number; /* last one given */
};

void rmk_shares_kick(struct rmk_shares *all)
{
	mod_delayed_work(all->wq, &all->work, 0);
}

struct rmk_store *rmk_shares_store(struct rmk_shares *all)
{
	return all->store;
}

void rmk_share_name(const struct rmk_pool_key *key, u64 index, struct rmk_share_name *name)
{
	struct {
		struct rmk_pool_key key;
		__le64 index;
	} __packed page = { *key, cpu_to_le64(index) };

	name->object = xxh64(key, sizeof(*key), 0) ?: 1;
	name->tag = xxh64(&page, sizeof(page), 1) ?: 1;
	name->seed = xxh64(&page, sizeof(page), 2);
}

/* ---- users ---- */

static bool clean(const struct rmk_share *share)
{
	return !share->nflush && !share->flush_all && share->serial == share->flushed;
}

bool rmk_share_hold(struct rmk_share *share, bool must_be_clean, struct rmk_share_view *view)
{
	unsigned long flags;
	bool held;

	spin_lock_irqsave(&share->all->lock, flags);
	held = share->state == JOINED && (!must_be_clean || clean(share));
	if (held) {
		share->users++;
		*view = share->view;
	}
	spin_unlock_irqrestore(&share->all->lock, flags);
	return held;
}

void rmk_share_release(struct rmk_share *share)
{
	unsigned long flags;
	bool last;

	spin_lock_irqsave(&share->all->lock, flags);
	last = !--share->users && share->state == LEAVING;
	spin_unlock_irqrestore(&share->all->lock, flags);
	if (last)
		rmk_shares_kick(share->all);
}

int rmk_share_post(struct rmk_share *share, const struct rmk_share_view *view, enum rmk_lane lane,
		   struct rmk_wr *wr, u64 raddr, u32 rkey)
{
	int err = -ENOTCONN;

	/*
	 * Who closes the lanes has left the share, then waits for us: old keys never meet new
	 * lanes.
	 */
	rcu_read_lock();
	if (READ_ONCE(share->state) == JOINED)
		err = rmk_session_post(view->session, lane, wr, raddr, rkey);
	rcu_read_unlock();
	return err;
}

bool rmk_share_joined(const struct rmk_share *share)
{
	return READ_ONCE(share->state) == JOINED;
}

/* ---- slots ---- */

int rmk_share_take_slot(struct rmk_share *share, u32 *slot)
{
	int err = -ENOSPC;

	spin_lock_irq(&share->all->lock);
	if (share->nslots) {
		*slot = share->slot[share->first_slot];
		share->first_slot = (share->first_slot + 1) % MAX_SLOTS;
		share->nslots--;
		err = 0;
	} else if (share->asked || time_after(jiffies, share->no_slots_until)) {
		err = -EAGAIN;
	}
	spin_unlock_irq(&share->all->lock);
	return err;
}

void rmk_share_return_slot(struct rmk_share *share, u32 slot)
{
	spin_lock_irq(&share->all->lock);
	if (share->state == JOINED && share->nslots < MAX_SLOTS) {
		share->first_slot = (share->first_slot + MAX_SLOTS - 1) % MAX_SLOTS;
		share->slot[share->first_slot] = slot;
		share->nslots++;
	}
	spin_unlock_irq(&share->all->lock);
}

/* ---- flush ---- */

void rmk_share_flush(struct rmk_share *share, u64 object, u64 tag)
{
	unsigned long flags;
	bool kick;

	/* first: what is offered from here on comes after the flush */
	rmk_offers_withdraw(share->all->offers, share, object, tag);
	spin_lock_irqsave(&share->all->lock, flags);
	kick = share->state == JOINED;
	if (!kick)
		share->flush_all |= share->was_joined;
	else if (share->nflush < MAX_FLUSHES)
		share->flush[share->nflush++] = (struct flush){ object, tag };
	else
		share->flush_all = true;
	spin_unlock_irqrestore(&share->all->lock, flags);
	if (kick)
		rmk_shares_kick(share->all);
}

/* The next flush to send. */
static bool next_flush(struct rmk_share *share, struct core_msg *msg, struct rmk_session **s)
{
	struct flush f = { 0 };
	bool some;

	spin_lock_irq(&share->all->lock);
	some = share->state == JOINED && (share->flush_all || share->nflush) &&
	       share->serial - share->flushed < FLUSH_WINDOW;
	if (some && share->flush_all)
		share->nflush = 0;
	else if (some)
		f = share->flush[--share->nflush]; /* their order does not matter */
	if (some) {
		share->flush_all = false;
		msg->flush.share = share->view.number;
		msg->flush.serial = ++share->serial;
		*s = share->view.session;
	}
	spin_unlock_irq(&share->all->lock);
	msg->flush.object = f.object;
	msg->flush.tag = f.tag;
	return some;
}

static void send_flushes(struct rmk_share *share)
{
	struct core_msg msg = { .type = RAMSTER_MSG_SHARE_FLUSH };
	struct rmk_session *s;

	while (next_flush(share, &msg, &s)) {
		rmk_count(share->all->store->stats, RMK_SHARE_FLUSHES, 1);
		/* a broken session makes a flush of the whole share of those not answered */
		if (rmk_session_send(s, &msg))
			rmk_session_break(s);
	}
}

/* ---- what donors say, in their session's work ---- */

static struct rmk_share *find(struct rmk_shares *all, const struct rmk_session *s, u32 number)
{
	u32 i;

	lockdep_assert_held(&all->lock);
	for (i = 0; i < RMK_MAX_SHARES; i++) {
		struct rmk_share *share = all->share[i];

		if (share && share->state != IDLE && share->view.session == s &&
		    share->view.number == number)
			return share;
	}
	return NULL; /* we have left it meanwhile */
}

static void on_joined(struct rmk_share *share, const struct core_msg *msg)
{
	if (share->state != JOINING)
		return;
	share->view.dir_addr = msg->joined.dir_addr;
	share->view.page_addr = msg->joined.page_addr;
	share->view.dir_rkey = msg->joined.dir_rkey;
	share->view.page_rkey = msg->joined.page_rkey;
	share->view.slots = msg->joined.slots;
	share->serial = 0;
	share->flushed = 0;
	share->nslots = 0;
	share->asked = false;
	share->no_slots_until = jiffies - 1;
	share->was_joined = true;
	WRITE_ONCE(share->state, JOINED);
	pr_info("file system %pUb is shared at %s\n", share->uuid,
		rmk_session_name(share->view.session));
}

/* No longer usable; the work does the rest when the last user is gone. */
static void leave(struct rmk_share *share, bool tell)
{
	lockdep_assert_held(&share->all->lock);
	WRITE_ONCE(share->state, LEAVING);
	share->tell = tell;
	if (!clean(share)) {
		share->flush_all = true;
		share->nflush = 0;
	}
}

static void to_idle(struct rmk_share *share, unsigned long pause)
{
	lockdep_assert_held(&share->all->lock);
	WRITE_ONCE(share->state, IDLE);
	share->retry_at = jiffies + pause;
}

static void on_leave(struct rmk_share *share, const struct core_msg *msg)
{
	if (share->state == JOINING) {
		share->donor++; /* another one may have it */
		to_idle(share, RETRY);
	} else if (share->state == JOINED) {
		pr_info("file system %pUb is no longer shared at %s: %s\n", share->uuid,
			rmk_session_name(share->view.session), core_reason_name(msg->leave.reason));
		leave(share, true);
	}
}

static void on_slots(struct rmk_share *share, const struct core_msg *msg)
{
	u32 i;

	if (share->state != JOINED || !share->asked)
		return;
	share->asked = false;
	if (!msg->slots.count)
		share->no_slots_until = jiffies + NO_SLOTS_PAUSE;
	for (i = 0; i < msg->slots.count && share->nslots < MAX_SLOTS; i++)
		if (msg->slots.first + i < share->view.slots)
			share->slot[(share->first_slot + share->nslots++) % MAX_SLOTS] =
				msg->slots.first + i;
}

static u32 number_of(const struct core_msg *msg)
{
	switch (msg->type) {
	case RAMSTER_MSG_SHARE_JOINED:
		return msg->joined.share;
	case RAMSTER_MSG_SHARE_LEAVE:
		return msg->leave.share;
	case RAMSTER_MSG_SHARE_SLOTS:
		return msg->slots.share;
	default:
		return msg->flush.share;
	}
}

void rmk_shares_message(struct rmk_shares *all, struct rmk_session *s, const struct core_msg *msg)
{
	const struct core_msg leave = {
		.type = RAMSTER_MSG_SHARE_LEAVE,
		.leave.share = number_of(msg),
	};
	struct rmk_share *share;

	spin_lock_irq(&all->lock);
	share = find(all, s, number_of(msg));
	if (share) {
		switch (msg->type) {
		case RAMSTER_MSG_SHARE_JOINED:
			on_joined(share, msg);
			break;
		case RAMSTER_MSG_SHARE_LEAVE:
			on_leave(share, msg);
			break;
		case RAMSTER_MSG_SHARE_SLOTS:
			on_slots(share, msg);
			break;
		default: /* FLUSHED; they are answered in order */
			share->flushed = msg->flush.serial;
		}
	}
	spin_unlock_irq(&all->lock);
	/* a JOIN that was sent late, by a connection that came after ours was lost */
	if (!share && msg->type == RAMSTER_MSG_SHARE_JOINED && rmk_session_send(s, &leave))
		rmk_session_break(s);
	rmk_shares_kick(all);
}

void rmk_shares_broken(struct rmk_shares *all, struct rmk_session *s)
{
	u32 i;

	spin_lock_irq(&all->lock);
	for (i = 0; i < RMK_MAX_SHARES; i++) {
		struct rmk_share *share = all->share[i];

		if (!share || share->view.session != s)
			continue;
		if (share->state == JOINED)
			leave(share, false);
		else if (share->state == JOINING)
			to_idle(share, 0);
		else
			share->tell = false;
	}
	spin_unlock_irq(&all->lock);
	rmk_shares_kick(all);
}

/* ---- the work ---- */

static void send(struct rmk_session *s, const struct core_msg *msg)
{
	if (rmk_session_send(s, msg))
		rmk_session_break(s);
}

/* On the way out: one step, and what there is to say to whom. */
static bool step_out(struct rmk_share *share, struct core_msg *msg)
{
	bool say = false;

	lockdep_assert_held(&share->all->lock);
	/* what was flushed before the end is flushed: the donor hears of it before of the end */
	if (share->ending && share->state == JOINED && !share->nflush && !share->flush_all)
		leave(share, true);
	if (share->state == LEAVING && !share->users) {
		say = share->tell;
		to_idle(share, say ? RETRY : 0);
	} else if (share->ending && share->state == JOINING) {
		say = true;
		to_idle(share, 0);
	}
	if (say)
		*msg = (struct core_msg){
			.type = RAMSTER_MSG_SHARE_LEAVE,
			.leave.share = share->view.number,
		};
	return say;
}

/* On the way in. */
static bool step_in(struct rmk_share *share, struct core_msg *msg)
{
	struct rmk_shares *all = share->all;
	struct rmk_session *s;

	lockdep_assert_held(&all->lock);
	if (share->ending || share->state != IDLE || time_before(jiffies, share->retry_at))
		return false;
	s = rmk_remote_donor(all->store->remote, share->donor);
	if (!s || !rmk_session_live(s)) {
		share->donor = s ? share->donor + 1 : 0;
		share->retry_at = jiffies + (s ? 0 : RETRY);
		return false;
	}
	share->view = (struct rmk_share_view){ .session = s, .number = ++all->number };
	share->state = JOINING;
	*msg = (struct core_msg){
		.type = RAMSTER_MSG_SHARE_JOIN,
		.join = { .fingerprint = share->fingerprint, .share = all->number },
	};
	memcpy(msg->join.uuid, share->uuid, sizeof(msg->join.uuid));
	return true;
}

static bool step_slots(struct rmk_share *share, struct core_msg *msg)
{
	lockdep_assert_held(&share->all->lock);
	if (share->state != JOINED || share->asked || share->nslots >= LOW_SLOTS ||
	    time_before(jiffies, share->no_slots_until) || !rmk_offers_waiting(share->all->offers))
		return false;
	share->asked = true;
	*msg = (struct core_msg){
		.type = RAMSTER_MSG_SHARE_SLOTS,
		.slots = { .share = share->view.number, .count = RAMSTER_SHARE_SLOTS_MAX },
	};
	return true;
}

/* Returns false when the share is over. */
static bool step(struct rmk_share *share)
{
	struct rmk_shares *all = share->all;
	struct rmk_session *s;
	struct core_msg msg;
	bool say, over;

	send_flushes(share);
	spin_lock_irq(&all->lock);
	say = step_out(share, &msg) || step_in(share, &msg) || step_slots(share, &msg);
	s = share->view.session;
	over = share->ending && share->state == IDLE && !share->users;
	spin_unlock_irq(&all->lock);
	if (say)
		send(s, &msg);
	return !over;
}

static void forget(struct rmk_shares *all, u32 i)
{
	struct rmk_share *share = all->share[i];

	rmk_offers_withdraw(all->offers, share, 0, 0);
	spin_lock_irq(&all->lock);
	all->share[i] = NULL;
	spin_unlock_irq(&all->lock);
	kfree(share);
}

/* Is there any share? */
static bool step_all(struct rmk_shares *all)
{
	bool some = false;
	u32 i;

	for (i = 0; i < RMK_MAX_SHARES; i++) {
		if (!READ_ONCE(all->share[i]))
			continue;
		some = true;
		if (!step(all->share[i]))
			forget(all, i);
	}
	return some;
}

static void shares_work(struct work_struct *work)
{
	struct rmk_shares *all = container_of(to_delayed_work(work), struct rmk_shares, work);
	unsigned int noio = memalloc_noio_save();
	bool some;

	do
		some = step_all(all);
	while (rmk_offers_run(all->offers));
	memalloc_noio_restore(noio);
	/* one that waits for a donor, or for slots, has nobody to wake it */
	if (some)
		queue_delayed_work(all->wq, &all->work, NO_SLOTS_PAUSE);
}

/* ---- life ---- */

struct rmk_shares *rmk_shares_create(struct rmk_store *store)
{
	struct rmk_shares *all = kzalloc(sizeof(*all), GFP_KERNEL);

	if (!all)
		return ERR_PTR(-ENOMEM);
	all->store = store;
	spin_lock_init(&all->lock);
	INIT_DELAYED_WORK(&all->work, shares_work);
	all->wq = alloc_ordered_workqueue("ramster_shares", WQ_MEM_RECLAIM);
	if (!all->wq)
		goto free;
	all->offers = rmk_offers_create(all);
	if (IS_ERR(all->offers))
		goto destroy_wq;
	return all;
destroy_wq:
	destroy_workqueue(all->wq);
free:
	kfree(all);
	return ERR_PTR(-ENOMEM);
}

void rmk_shares_destroy(struct rmk_shares *all)
{
	rmk_offers_destroy(all->offers);
	destroy_workqueue(all->wq);
	kfree(all);
}

struct rmk_offers *rmk_shares_offers(struct rmk_shares *all)
{
	return all->offers;
}

struct rmk_share *rmk_share_create(struct rmk_shares *all, const u8 *uuid, u64 fingerprint)
{
	struct rmk_share *share = kzalloc(sizeof(*share), GFP_NOFS);
	u32 i;

	if (!share)
		return ERR_PTR(-ENOMEM);
	share->all = all;
	share->fingerprint = fingerprint;
	share->retry_at = jiffies;
	memcpy(share->uuid, uuid, sizeof(share->uuid));
	spin_lock_irq(&all->lock);
	for (i = 0; i < RMK_MAX_SHARES && all->share[i]; i++)
		;
	if (i < RMK_MAX_SHARES)
		WRITE_ONCE(all->share[i], share);
	spin_unlock_irq(&all->lock);
	if (i == RMK_MAX_SHARES) {
		kfree(share);
		return ERR_PTR(-ENOSPC);
	}
	rmk_shares_kick(all);
	return share;
}

void rmk_share_end(struct rmk_share *share)
{
	struct rmk_shares *all = share->all;

	spin_lock_irq(&all->lock);
	share->ending = true;
	spin_unlock_irq(&all->lock);
	rmk_shares_kick(all);
}

ssize_t rmk_shares_show(struct rmk_shares *all, char *buf)
{
	ssize_t len = 0;
	u32 i;

	spin_lock_irq(&all->lock);
	for (i = 0; i < RMK_MAX_SHARES; i++) {
		struct rmk_share *share = all->share[i];

		if (share)
			len += sysfs_emit_at(buf, len, "%pUb %s %s %u\n", share->uuid,
					     state_names[share->state],
					     share->state == IDLE ?
						     "-" :
						     rmk_session_name(share->view.session),
					     share->state == JOINED ? share->view.slots : 0);
	}
	spin_unlock_irq(&all->lock);
	return len;
}
