// SPDX-License-Identifier: GPL-2.0-only
/*
 * remote.c - slabs borrowed from donors: asked for ahead of need, given back
 * when empty, emptied when revoked.
 *
 * Locks: remote.lock (interrupts off; taken inside a page's index lock) guards
 * slab states, slots, lists and what each donor was asked for. slab_event() is
 * the only function that changes a slab's state. Requests and releases are
 * sent by the control work, which is also the only one to take slabs out of
 * the table: a slab whose slots are all free and whose only reference is the
 * table's can be reached by nobody, because finding one takes an index entry
 * and allocating takes the room list.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/slab.h>
#include <linux/mm.h>
#include <linux/sysfs.h>
#include <linux/xarray.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/sched/mm.h>
#include <linux/jiffies.h>

#include "remote.h"
#include "../core/place.h"

/* Free slabs kept ahead of the writer while it writes, and the most kept before one goes back. */
#define RESERVE_SLABS	2
#define SURPLUS_SLABS	4
/* With nothing stored and nobody writing for this long, everything goes back. */
#define IDLE		(2 * HZ)
/* A donor that said no is not asked again for this long. */
#define DENIED_PAUSE	HZ
/* A request without an answer is forgotten after this. */
#define ASK_TIMEOUT	(5 * HZ)
#define TICK		(HZ / 2)

struct donor {
	struct rmk_session *session;
	u32 asked;			/* slabs that have neither come nor been denied */
	unsigned long asked_at;
	unsigned long denied_until;
	u32 slabs;
	u64 used_slots;
};

struct rmk_remote {
	const struct rmk_remote_ops *ops;
	void *owner;
	u64 slab_bytes;
	u32 slab_slots;
	struct workqueue_struct *wq;
	struct delayed_work control;
	struct rmk_session_ops session_ops;
	wait_queue_head_t live;
	struct xarray table;
	bool stopping;
	unsigned long wanted_at;	/* last write, jiffies */
	bool wanted;

	spinlock_t lock;
	struct donor donors[RMK_MAX_DONORS];
	u32 ndonors;
	struct list_head slabs, room;
	u64 room_slots;			/* free ones of writable slabs */
	struct rmk_remote_stats stats;
};

static void control_kick(struct rmk_remote *r)
{
	if (!READ_ONCE(r->stopping))
		mod_delayed_work(r->wq, &r->control, 0);
}

static struct donor *donor_of(struct rmk_remote *r, const struct rmk_session *s)
{
	u32 i;

	for (i = 0; i < r->ndonors; i++)
		if (r->donors[i].session == s)
			return &r->donors[i];
	return NULL;
}

/* ---- states ---- */

static u32 free_slots(const struct rmk_slab *slab)
{
	return slab->slots.n - slab->slots.used;
}

/* The one place where a slab changes its state. False: the table has no such edge. */
static bool slab_event(struct rmk_slab *slab, enum core_lease_event event)
{
	struct rmk_remote *r = slab->remote;
	bool was_writable = core_lease_writable(slab->state), writable;
	int next = core_lease_next(slab->state, event);

	lockdep_assert_held(&r->lock);
	if (next < 0)
		return false;
	WRITE_ONCE(slab->state, next);
	writable = core_lease_writable(next);
	if (was_writable && !writable) {
		r->room_slots -= free_slots(slab);
		list_del_init(&slab->room_node);
	} else if (!was_writable && writable) {
		r->room_slots += free_slots(slab);
		if (free_slots(slab))
			list_add(&slab->room_node, &r->room);
	}
	if (event == CORE_LEASE_REVOKE)
		r->stats.revoked++;
	else if (event == CORE_LEASE_FENCE)
		r->stats.fenced++;
	else if (event == CORE_LEASE_RELEASE)
		r->stats.released++;
	return true;
}

static void session_event(struct rmk_remote *r, struct rmk_session *s,
			  enum core_lease_event event)
{
	struct rmk_slab *slab;

	spin_lock_irq(&r->lock);
	donor_of(r, s)->asked = 0;
	list_for_each_entry(slab, &r->slabs, node)
		if (slab->session == s)
			slab_event(slab, event);
	spin_unlock_irq(&r->lock);
}

/* ---- slots ---- */

u32 rmk_remote_alloc(struct rmk_remote *r, u32 want, struct rmk_slab **slab, u32 *first)
{
	struct rmk_slab *s;
	unsigned long flags;
	u32 got = 0;
	bool low;

	spin_lock_irqsave(&r->lock, flags);
	s = list_first_entry_or_null(&r->room, struct rmk_slab, room_node);
	if (s) {
		got = core_slots_alloc(&s->slots, want, first);
		r->room_slots -= got;
		r->stats.used_slots += got;
		donor_of(r, s->session)->used_slots += got;
		rmk_slab_get(s);
		*slab = s;
		if (!free_slots(s))
			list_del_init(&s->room_node);
	}
	low = r->room_slots < (u64)RESERVE_SLABS * r->slab_slots;
	spin_unlock_irqrestore(&r->lock, flags);
	WRITE_ONCE(r->wanted_at, jiffies);
	/* the tick notices the rest; here only the moment when it gets tight */
	if (low && !rmk_remote_asking(r))
		rmk_remote_want(r);
	return got;
}

void rmk_slab_free_slots(struct rmk_slab *slab, u32 first, u32 n)
{
	struct rmk_remote *r = slab->remote;
	unsigned long flags;
	bool was_full, retire;

	spin_lock_irqsave(&r->lock, flags);
	was_full = !free_slots(slab);
	if (WARN_ON_ONCE(core_slots_free(&slab->slots, first, n)))
		goto unlock;
	r->stats.used_slots -= n;
	donor_of(r, slab->session)->used_slots -= n;
	if (core_lease_writable(slab->state)) {
		r->room_slots += n;
		if (was_full)
			list_add_tail(&slab->room_node, &r->room);
	}
	retire = !slab->slots.used && slab->state != CORE_LEASE_GRANTED;
	spin_unlock_irqrestore(&r->lock, flags);
	if (retire)
		control_kick(r);
	return;
unlock:
	spin_unlock_irqrestore(&r->lock, flags);
}

void rmk_slab_put(struct rmk_slab *slab)
{
	struct rmk_remote *r = slab->remote;
	bool retire;

	rcu_read_lock();	/* the slab may go as soon as our reference has */
	retire = READ_ONCE(slab->state) != CORE_LEASE_GRANTED;
	WARN_ON_ONCE(refcount_dec_and_test(&slab->refs));
	rcu_read_unlock();
	if (retire)
		control_kick(r);
}

struct rmk_slab *rmk_remote_find(struct rmk_remote *r, const struct core_remote *where)
{
	struct rmk_slab *slab = xa_load(&r->table, where->slab);

	if (!slab || !core_entry_fresh(where, slab->generation) || where->slot >= slab->slots.n)
		return NULL;
	rmk_slab_get(slab);
	return slab;
}

u32 rmk_slab_next_used(struct rmk_slab *slab, u32 from)
{
	u32 slot;

	spin_lock_irq(&slab->remote->lock);
	slot = core_slots_next_used(&slab->slots, from);
	spin_unlock_irq(&slab->remote->lock);
	return slot;
}

int rmk_slab_post(struct rmk_slab *slab, enum rmk_lane lane, struct rmk_wr *wr, u32 first)
{
	enum core_lease state = READ_ONCE(slab->state);
	int err;

	if (!core_lease_readable(state))
		return state == CORE_LEASE_FENCED ? -EIO : -EAGAIN;
	err = rmk_session_post(slab->session, lane, wr, slab->addr + ((u64)first << PAGE_SHIFT),
			       slab->rkey);
	return err == -ENOTCONN ? -EAGAIN : err;
}

void rmk_slab_refused(struct rmk_slab *slab)
{
	struct rmk_remote *r = slab->remote;
	unsigned long flags;
	bool fenced;

	spin_lock_irqsave(&r->lock, flags);
	fenced = slab_event(slab, CORE_LEASE_FENCE);
	spin_unlock_irqrestore(&r->lock, flags);
	if (fenced)
		r->ops->empty(r->owner);
}

/* ---- what donors say ---- */

static void on_live(void *owner, struct rmk_session *s, bool resumed)
{
	struct rmk_remote *r = owner;

	if (resumed)
		session_event(r, s, CORE_LEASE_RESUME);
	wake_up_all(&r->live);
	r->ops->changed(r->owner);
	control_kick(r);
}

static void on_down(void *owner, struct rmk_session *s)
{
	session_event(owner, s, CORE_LEASE_DISCONNECT);
}

static void on_lost(void *owner, struct rmk_session *s)
{
	struct rmk_remote *r = owner;

	session_event(r, s, CORE_LEASE_FENCE);
	r->ops->empty(r->owner);
	r->ops->changed(r->owner);
}

static struct rmk_slab *slab_of(struct rmk_remote *r, const struct rmk_session *s, u64 id,
				u32 generation)
{
	struct rmk_slab *slab;

	lockdep_assert_held(&r->lock);
	list_for_each_entry(slab, &r->slabs, node)
		if (slab->session == s && slab->id == id && slab->generation == generation)
			return slab;
	return NULL;
}

static void slab_free(struct rmk_slab *slab)
{
	kvfree(slab->owner);
	kvfree(slab->slots.map);
	kfree_rcu(slab, rcu);
}

static struct rmk_slab *slab_create(struct rmk_remote *r, struct rmk_session *s,
				    const struct core_msg *msg)
{
	struct rmk_slab *slab = kzalloc(sizeof(*slab), GFP_KERNEL);
	u32 n = msg->grant.len >> PAGE_SHIFT;
	u64 *map;

	if (!slab)
		return NULL;
	map = kvmalloc_array(CORE_SLOTS_WORDS(n), sizeof(*map), GFP_KERNEL);
	slab->owner = kvmalloc_array(n, sizeof(*slab->owner), GFP_KERNEL);
	core_slots_init(&slab->slots, map, map ? n : 0);
	if (!map || !slab->owner)
		goto free;
	slab->remote = r;
	slab->session = s;
	slab->id = msg->grant.slab_id;
	slab->addr = msg->grant.addr;
	slab->len = msg->grant.len;
	slab->rkey = msg->grant.rkey;
	slab->generation = msg->grant.generation;
	slab->state = CORE_LEASE_FREE;
	refcount_set(&slab->refs, 1);
	INIT_LIST_HEAD(&slab->room_node);
	if (!xa_alloc(&r->table, &slab->index, slab, XA_LIMIT(0, (1u << CORE_SLAB_BITS) - 1),
		      GFP_KERNEL))
		return slab;
free:
	slab_free(slab);
	return NULL;
}

static void send_release(struct rmk_session *s, u64 id, u32 generation)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SLAB_RELEASE,
		.slab = { .slab_id = id, .generation = generation },
	};

	/* If the ring is full or the connection gone, the donor hears of it when we resume or leave. */
	rmk_session_send(s, &msg);
}

static void on_grant(struct rmk_remote *r, struct rmk_session *s, const struct core_msg *msg)
{
	struct donor *d = donor_of(r, s);
	struct rmk_slab *slab;
	bool known;

	spin_lock_irq(&r->lock);
	if (d->asked)
		d->asked--;
	known = slab_of(r, s, msg->grant.slab_id, msg->grant.generation);
	spin_unlock_irq(&r->lock);
	if (known)	/* a resumed donor lists what we hold */
		return;
	if (msg->grant.len != r->slab_bytes) {
		pr_warn_ratelimited("donor %s: granted a slab of %llu bytes, %llu were asked for; giving it back\n",
				    rmk_session_name(s), msg->grant.len, r->slab_bytes);
		send_release(s, msg->grant.slab_id, msg->grant.generation);
		return;
	}
	slab = slab_create(r, s, msg);
	if (!slab) {
		send_release(s, msg->grant.slab_id, msg->grant.generation);
		return;
	}
	spin_lock_irq(&r->lock);
	d->slabs++;
	r->stats.slabs++;
	r->stats.granted++;
	r->stats.total_slots += slab->slots.n;
	list_add_tail(&slab->node, &r->slabs);
	slab_event(slab, CORE_LEASE_GRANT);
	spin_unlock_irq(&r->lock);
	r->ops->room(r->owner);
}

static void on_deny(struct rmk_remote *r, struct rmk_session *s, const struct core_msg *msg)
{
	struct donor *d = donor_of(r, s);

	spin_lock_irq(&r->lock);
	d->asked -= min(d->asked, msg->deny.count);
	d->denied_until = jiffies + DENIED_PAUSE;
	r->stats.denied += msg->deny.count;
	spin_unlock_irq(&r->lock);
}

static void on_slab_message(struct rmk_remote *r, struct rmk_session *s,
			    const struct core_msg *msg)
{
	enum core_lease_event event = msg->type == RAMSTER_MSG_SLAB_REVOKE ? CORE_LEASE_REVOKE :
									     CORE_LEASE_FENCE;
	struct rmk_slab *slab;
	bool changed = false;

	spin_lock_irq(&r->lock);
	slab = slab_of(r, s, msg->slab.slab_id, msg->slab.generation);
	if (slab) {
		slab->deadline = jiffies + msecs_to_jiffies(msg->slab.deadline_ms);
		changed = slab_event(slab, event);
	}
	spin_unlock_irq(&r->lock);
	if (!changed)	/* already given back, or said twice */
		return;
	if (event == CORE_LEASE_FENCE)
		pr_warn("donor %s: fenced slab %llu: %s\n", rmk_session_name(s),
			msg->slab.slab_id, core_reason_name(msg->slab.reason));
	r->ops->empty(r->owner);
	control_kick(r);
}

static void on_message(void *owner, struct rmk_session *s, const struct core_msg *msg)
{
	switch (msg->type) {
	case RAMSTER_MSG_SLAB_GRANT:
		on_grant(owner, s, msg);
		break;
	case RAMSTER_MSG_SLAB_DENY:
		on_deny(owner, s, msg);
		break;
	case RAMSTER_MSG_SLAB_REVOKE:
	case RAMSTER_MSG_SLAB_FENCED:
		on_slab_message(owner, s, msg);
		break;
	default:
		pr_warn_ratelimited("donor %s: unexpected %s, reconnecting\n",
				    rmk_session_name(s), core_msg_name(msg->type));
		rmk_session_break(s);
	}
}

/* ---- the control work: ask, give back ---- */

static bool idle(const struct rmk_remote *r)
{
	return !r->stats.used_slots && time_after(jiffies, READ_ONCE(r->wanted_at) + IDLE);
}

static bool may_retire(const struct rmk_remote *r, const struct rmk_slab *slab)
{
	if (slab->slots.used || refcount_read(&slab->refs) != 1)
		return false;
	switch (slab->state) {
	case CORE_LEASE_REVOKING:
	case CORE_LEASE_FENCED:
		return true;
	case CORE_LEASE_GRANTED:
		return idle(r) || r->room_slots > (u64)SURPLUS_SLABS * r->slab_slots;
	default:
		return false;	/* orphaned: when the connection is back */
	}
}

/* Take one slab out of use, for good. *release: the donor still counts on it. */
static struct rmk_slab *retire_one(struct rmk_remote *r, bool *release)
{
	struct rmk_slab *slab, *found = NULL;

	spin_lock_irq(&r->lock);
	list_for_each_entry(slab, &r->slabs, node) {
		if (!may_retire(r, slab))
			continue;
		found = slab;
		*release = slab_event(slab, CORE_LEASE_RELEASE);
		slab_event(slab, CORE_LEASE_RECLAIM);
		list_del(&slab->node);
		donor_of(r, slab->session)->slabs--;
		r->stats.slabs--;
		r->stats.total_slots -= slab->slots.n;
		break;
	}
	spin_unlock_irq(&r->lock);
	return found;
}

static void retire_slabs(struct rmk_remote *r)
{
	struct rmk_slab *slab;
	bool release;

	while ((slab = retire_one(r, &release))) {
		if (release)
			send_release(slab->session, slab->id, slab->generation);
		xa_erase(&r->table, slab->index);
		slab_free(slab);
	}
}

static void forget_unanswered(struct rmk_remote *r)
{
	u32 i;

	for (i = 0; i < r->ndonors; i++)
		if (time_after(jiffies, r->donors[i].asked_at + ASK_TIMEOUT))
			r->donors[i].asked = 0;
}

/* How many slabs to ask each donor for. */
static void plan(struct rmk_remote *r, u32 *count)
{
	struct core_place places[RMK_MAX_DONORS];
	u64 reserve = (u64)RESERVE_SLABS * r->slab_slots;
	u64 room = r->room_slots;
	u32 i;
	int pick;

	lockdep_assert_held(&r->lock);
	for (i = 0; i < r->ndonors; i++) {
		struct donor *d = &r->donors[i];

		room += (u64)d->asked * r->slab_slots;
		places[i] = (struct core_place){
			.live = rmk_session_live(d->session) && !d->asked &&
				time_after(jiffies, d->denied_until),
			.free_bytes = rmk_session_free_bytes(d->session),
			.held_bytes = d->slabs * r->slab_bytes,
		};
	}
	for (; room < reserve; room += r->slab_slots) {
		pick = core_place_pick(places, r->ndonors, r->slab_bytes);
		if (pick < 0)
			return;
		count[pick]++;
		places[pick].free_bytes -= r->slab_bytes;
		places[pick].held_bytes += r->slab_bytes;
	}
}

static void ask(struct rmk_remote *r)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SLAB_REQUEST,
		.request.slab_bytes = r->slab_bytes,
	};
	u32 count[RMK_MAX_DONORS] = { 0 }, i;

	spin_lock_irq(&r->lock);
	forget_unanswered(r);
	if (r->stats.used_slots || !idle(r))
		plan(r, count);
	for (i = 0; i < r->ndonors; i++) {
		if (!count[i])
			continue;
		r->donors[i].asked = count[i];
		r->donors[i].asked_at = jiffies;
	}
	spin_unlock_irq(&r->lock);
	for (i = 0; i < r->ndonors; i++) {
		if (!count[i])
			continue;
		msg.request.count = count[i];
		if (!rmk_session_send(r->donors[i].session, &msg))
			continue;
		spin_lock_irq(&r->lock);
		r->donors[i].asked = 0;
		spin_unlock_irq(&r->lock);
	}
}

static void control_work(struct work_struct *work)
{
	struct rmk_remote *r = container_of(to_delayed_work(work), struct rmk_remote, control);
	unsigned int noio = memalloc_noio_save();

	WRITE_ONCE(r->wanted, false);
	retire_slabs(r);
	ask(r);
	memalloc_noio_restore(noio);
	if (!READ_ONCE(r->stopping))
		queue_delayed_work(r->wq, &r->control, TICK);
}

void rmk_remote_want(struct rmk_remote *r)
{
	WRITE_ONCE(r->wanted_at, jiffies);
	if (!READ_ONCE(r->wanted)) {	/* one kick until the work has looked */
		WRITE_ONCE(r->wanted, true);
		control_kick(r);
	}
}

bool rmk_remote_asking(struct rmk_remote *r)
{
	u32 i;

	for (i = 0; i < r->ndonors; i++)
		if (READ_ONCE(r->donors[i].asked))
			return true;
	return false;
}

u64 rmk_remote_room(struct rmk_remote *r)
{
	return READ_ONCE(r->room_slots);
}

struct rmk_slab *rmk_remote_next_to_empty(struct rmk_remote *r, u32 *cursor, bool *fenced)
{
	struct rmk_slab *slab, *best = NULL;

	spin_lock_irq(&r->lock);
	list_for_each_entry(slab, &r->slabs, node) {
		if (slab->index < *cursor || !slab->slots.used)
			continue;
		if (slab->state != CORE_LEASE_REVOKING && slab->state != CORE_LEASE_FENCED)
			continue;
		if (!best || slab->index < best->index)
			best = slab;
	}
	if (best) {
		rmk_slab_get(best);
		*cursor = best->index + 1;
		*fenced = best->state == CORE_LEASE_FENCED;
	}
	spin_unlock_irq(&r->lock);
	return best;
}

/* ---- life ---- */

struct rmk_remote *rmk_remote_create(u64 slab_bytes, const struct rmk_remote_ops *ops,
				     void *owner)
{
	struct rmk_remote *r = kzalloc(sizeof(*r), GFP_KERNEL);

	if (!r)
		return ERR_PTR(-ENOMEM);
	r->wq = alloc_ordered_workqueue("ramster_control", WQ_MEM_RECLAIM);
	if (!r->wq) {
		kfree(r);
		return ERR_PTR(-ENOMEM);
	}
	r->ops = ops;
	r->owner = owner;
	r->slab_bytes = slab_bytes;
	r->slab_slots = slab_bytes >> PAGE_SHIFT;
	r->wanted_at = jiffies - IDLE;
	r->session_ops = (struct rmk_session_ops){
		.live = on_live,
		.down = on_down,
		.lost = on_lost,
		.message = on_message,
	};
	spin_lock_init(&r->lock);
	INIT_LIST_HEAD(&r->slabs);
	INIT_LIST_HEAD(&r->room);
	init_waitqueue_head(&r->live);
	xa_init_flags(&r->table, XA_FLAGS_ALLOC);
	INIT_DELAYED_WORK(&r->control, control_work);
	queue_delayed_work(r->wq, &r->control, TICK);
	return r;
}

int rmk_remote_add_donor(struct rmk_remote *r, const struct sockaddr_storage *addr,
			 const char *name, const u8 *client_id)
{
	struct rmk_session *s;

	if (r->ndonors == RMK_MAX_DONORS)
		return -ENOSPC;
	s = rmk_session_create(addr, name, client_id, &r->session_ops, r);
	if (IS_ERR(s))
		return PTR_ERR(s);
	spin_lock_irq(&r->lock);
	r->donors[r->ndonors] = (struct donor){
		.session = s,
		.denied_until = jiffies - 1,
	};
	r->ndonors++;
	spin_unlock_irq(&r->lock);
	return 0;
}

static bool any_live(struct rmk_remote *r)
{
	u32 i;

	for (i = 0; i < r->ndonors; i++)
		if (rmk_session_live(r->donors[i].session))
			return true;
	return false;
}

int rmk_remote_wait_live(struct rmk_remote *r, u32 timeout_ms)
{
	return wait_event_timeout(r->live, any_live(r), msecs_to_jiffies(timeout_ms)) ?
		       0 : -ETIMEDOUT;
}

void rmk_remote_stop(struct rmk_remote *r)
{
	u32 i;

	WRITE_ONCE(r->stopping, true);
	cancel_delayed_work_sync(&r->control);
	for (i = 0; i < r->ndonors; i++)
		rmk_session_stop(r->donors[i].session);
	cancel_delayed_work_sync(&r->control);	/* a late kick that saw stopping unset */
}

void rmk_remote_destroy(struct rmk_remote *r)
{
	struct rmk_slab *slab, *next;
	u32 i;

	list_for_each_entry_safe(slab, next, &r->slabs, node) {
		WARN_ON_ONCE(slab->slots.used);
		slab_free(slab);
	}
	xa_destroy(&r->table);
	for (i = 0; i < r->ndonors; i++)
		rmk_session_free(r->donors[i].session);
	destroy_workqueue(r->wq);
	kfree(r);
}

/* ---- statistics ---- */

void rmk_remote_stats(struct rmk_remote *r, struct rmk_remote_stats *out)
{
	struct rmk_slab *slab;

	spin_lock_irq(&r->lock);
	*out = r->stats;
	list_for_each_entry(slab, &r->slabs, node)
		out->revoking += slab->state == CORE_LEASE_REVOKING;
	spin_unlock_irq(&r->lock);
}

ssize_t rmk_remote_show_donors(struct rmk_remote *r, char *buf)
{
	ssize_t len = 0;
	u32 i;

	for (i = 0; i < r->ndonors; i++) {
		struct donor *d = &r->donors[i];
		u64 free = rmk_session_free_bytes(d->session);

		len += sysfs_emit_at(buf, len, "%s %s %u %llu %llu\n", rmk_session_name(d->session),
				     rmk_session_state_name(d->session), READ_ONCE(d->slabs),
				     READ_ONCE(d->used_slots), free == U64_MAX ? 0 : free);
	}
	return len;
}
