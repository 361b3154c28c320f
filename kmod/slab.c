// SPDX-License-Identifier: GPL-2.0-only
/*
 * slab.c - the table of borrowed slabs: states, slots, references.
 *
 * Locks: slabs.lock (interrupts off; nests inside a page's index lock) guards
 * states, slots and lists. slab_event() is the only function that changes a
 * state. A slab whose slots are all free and whose only reference is the
 * table's can be reached by nobody once it is off the room list: finding it
 * takes an index entry, and there is none. That is when it is retired.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "slab.h"
#include "trace.h"

static u32 free_slots(const struct rmk_slab *slab)
{
	return slab->slots.n - slab->slots.used;
}

static void note_event(const struct rmk_slab *slab, enum core_lease_event event)
{
	struct rmk_slabs_stats *stats = &slab->slabs->stats;

	switch (event) {
	case CORE_LEASE_GRANT:
		stats->granted++;
		trace_ramster_grant(slab);
		break;
	case CORE_LEASE_REVOKE:
		stats->revoked++;
		trace_ramster_revoke(slab);
		break;
	case CORE_LEASE_FENCE:
		stats->fenced++;
		trace_ramster_fence(slab);
		break;
	case CORE_LEASE_RELEASE:
		stats->released++;
		trace_ramster_release(slab);
		break;
	default:
		break;
	}
}

/* The one place where a slab changes its state. False: the table has no such edge. */
static bool slab_event(struct rmk_slab *slab, enum core_lease_event event)
{
	struct rmk_slabs *slabs = slab->slabs;
	bool was_writable = core_lease_writable(slab->state), writable;
	int next = core_lease_next(slab->state, event);

	lockdep_assert_held(&slabs->lock);
	if (next < 0)
		return false;
	WRITE_ONCE(slab->state, next);
	writable = core_lease_writable(next);
	if (was_writable && !writable) {
		slabs->room_slots -= free_slots(slab);
		list_del_init(&slab->room_node);
	} else if (!was_writable && writable) {
		slabs->room_slots += free_slots(slab);
		if (free_slots(slab))
			list_add_tail(&slab->room_node, &slabs->room);
	}
	note_event(slab, event);
	return true;
}

static struct rmk_slab *lookup(struct rmk_slabs *slabs, const struct rmk_session *s, u64 id,
			       u32 generation)
{
	struct rmk_slab *slab;

	lockdep_assert_held(&slabs->lock);
	list_for_each_entry(slab, &slabs->all, node)
		if (slab->session == s && slab->id == id && slab->generation == generation)
			return slab;
	return NULL;
}

bool rmk_slabs_event(struct rmk_slabs *slabs, const struct rmk_session *s, u64 id, u32 generation,
		     enum core_lease_event event)
{
	struct rmk_slab *slab;
	bool changed;

	spin_lock_irq(&slabs->lock);
	slab = lookup(slabs, s, id, generation);
	changed = slab && slab_event(slab, event);
	spin_unlock_irq(&slabs->lock);
	return changed;
}

void rmk_slabs_event_all(struct rmk_slabs *slabs, const struct rmk_session *s,
			 enum core_lease_event event)
{
	struct rmk_slab *slab;

	spin_lock_irq(&slabs->lock);
	list_for_each_entry(slab, &slabs->all, node)
		if (slab->session == s)
			slab_event(slab, event);
	spin_unlock_irq(&slabs->lock);
}

u32 rmk_slabs_fence_orphans(struct rmk_slabs *slabs, const struct rmk_session *s)
{
	struct rmk_slab *slab;
	u32 n = 0;

	spin_lock_irq(&slabs->lock);
	list_for_each_entry(slab, &slabs->all, node)
		if (slab->session == s && core_lease_orphaned(slab->state))
			n += slab_event(slab, CORE_LEASE_FENCE);
	spin_unlock_irq(&slabs->lock);
	return n;
}

bool rmk_slab_refused(struct rmk_slab *slab)
{
	unsigned long flags;
	bool fenced;

	spin_lock_irqsave(&slab->slabs->lock, flags);
	fenced = slab_event(slab, CORE_LEASE_FENCE);
	spin_unlock_irqrestore(&slab->slabs->lock, flags);
	return fenced;
}

/* ---- coming and going ---- */

void rmk_slab_free(struct rmk_slab *slab)
{
	kvfree(slab->owner);
	kvfree(slab->slots.map);
	kfree_rcu(slab, rcu); /* rmk_slab_put() may still look at it */
}

static struct rmk_slab *slab_create(struct rmk_slabs *slabs, struct rmk_session *s,
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
	slab->slabs = slabs;
	slab->session = s;
	slab->id = msg->grant.slab_id;
	slab->addr = msg->grant.addr;
	slab->len = msg->grant.len;
	slab->rkey = msg->grant.rkey;
	slab->generation = msg->grant.generation;
	slab->state = CORE_LEASE_FREE;
	refcount_set(&slab->refs, 1);
	INIT_LIST_HEAD(&slab->room_node);
	if (!xa_alloc(&slabs->table, &slab->index, slab, XA_LIMIT(0, (1u << CORE_SLAB_BITS) - 1),
		      GFP_KERNEL))
		return slab;
free:
	rmk_slab_free(slab);
	return NULL;
}

bool rmk_slabs_known(struct rmk_slabs *slabs, const struct rmk_session *s, u64 id, u32 generation)
{
	bool known;

	spin_lock_irq(&slabs->lock);
	known = lookup(slabs, s, id, generation);
	spin_unlock_irq(&slabs->lock);
	return known;
}

int rmk_slabs_add(struct rmk_slabs *slabs, struct rmk_session *s, const struct core_msg *grant)
{
	struct rmk_slab *slab = slab_create(slabs, s, grant);

	if (!slab)
		return -ENOMEM;
	spin_lock_irq(&slabs->lock);
	slabs->stats.slabs++;
	slabs->stats.total_slots += slab->slots.n;
	list_add_tail(&slab->node, &slabs->all);
	slab_event(slab, CORE_LEASE_GRANT);
	spin_unlock_irq(&slabs->lock);
	return 0;
}

static bool may_retire(const struct rmk_slab *slab, bool surplus)
{
	if (slab->slots.used || refcount_read(&slab->refs) != 1)
		return false;
	switch (slab->state) {
	case CORE_LEASE_REVOKING:
	case CORE_LEASE_FENCED:
		return true;
	case CORE_LEASE_GRANTED:
		return surplus;
	default:
		return false; /* orphaned: when the connection is back */
	}
}

struct rmk_slab *rmk_slabs_retire(struct rmk_slabs *slabs, bool surplus, bool *release)
{
	struct rmk_slab *slab, *found = NULL;

	spin_lock_irq(&slabs->lock);
	list_for_each_entry(slab, &slabs->all, node) {
		if (!may_retire(slab, surplus))
			continue;
		found = slab;
		*release = slab_event(slab, CORE_LEASE_RELEASE);
		slab_event(slab, CORE_LEASE_RECLAIM);
		list_del(&slab->node);
		slabs->stats.slabs--;
		slabs->stats.total_slots -= slab->slots.n;
		break;
	}
	spin_unlock_irq(&slabs->lock);
	if (found)
		xa_erase(&slabs->table, found->index);
	return found;
}

void rmk_slabs_init(struct rmk_slabs *slabs, void (*retirable)(struct rmk_slabs *slabs))
{
	slabs->retirable = retirable;
	spin_lock_init(&slabs->lock);
	INIT_LIST_HEAD(&slabs->all);
	INIT_LIST_HEAD(&slabs->room);
	xa_init_flags(&slabs->table, XA_FLAGS_ALLOC);
}

void rmk_slabs_uninit(struct rmk_slabs *slabs)
{
	struct rmk_slab *slab, *next;

	list_for_each_entry_safe(slab, next, &slabs->all, node) {
		WARN_ON_ONCE(slab->slots.used);
		rmk_slab_free(slab);
	}
	xa_destroy(&slabs->table);
}

/* ---- slots ---- */

u32 rmk_slabs_alloc(struct rmk_slabs *slabs, u32 want, struct rmk_slab **slab, u32 *first)
{
	struct rmk_slab *s;
	unsigned long flags;
	u32 got = 0;

	spin_lock_irqsave(&slabs->lock, flags);
	s = list_first_entry_or_null(&slabs->room, struct rmk_slab, room_node);
	if (s) {
		got = core_slots_alloc(&s->slots, want, first);
		slabs->room_slots -= got;
		slabs->stats.used_slots += got;
		slabs->stats.max_used_slots =
			max(slabs->stats.max_used_slots, slabs->stats.used_slots);
		rmk_slab_get(s);
		*slab = s;
		if (!free_slots(s))
			list_del_init(&s->room_node);
	}
	spin_unlock_irqrestore(&slabs->lock, flags);
	return got;
}

void rmk_slab_free_slots(struct rmk_slab *slab, u32 first, u32 n)
{
	struct rmk_slabs *slabs = slab->slabs;
	bool was_full, retirable = false;
	unsigned long flags;

	spin_lock_irqsave(&slabs->lock, flags);
	was_full = !free_slots(slab);
	if (!WARN_ON_ONCE(core_slots_free(&slab->slots, first, n))) {
		slabs->stats.used_slots -= n;
		if (core_lease_writable(slab->state)) {
			slabs->room_slots += n;
			if (was_full)
				list_add_tail(&slab->room_node, &slabs->room);
		}
		retirable = !slab->slots.used && slab->state != CORE_LEASE_GRANTED;
	}
	spin_unlock_irqrestore(&slabs->lock, flags);
	if (retirable)
		slabs->retirable(slabs);
}

void rmk_slab_put(struct rmk_slab *slab)
{
	struct rmk_slabs *slabs = slab->slabs;
	bool retirable;

	rcu_read_lock(); /* the slab may go as soon as our reference has */
	WARN_ON_ONCE(refcount_dec_and_test(&slab->refs));
	retirable = READ_ONCE(slab->state) != CORE_LEASE_GRANTED;
	rcu_read_unlock();
	if (retirable)
		slabs->retirable(slabs);
}

struct rmk_slab *rmk_slabs_find(struct rmk_slabs *slabs, const struct core_remote *where)
{
	struct rmk_slab *slab = xa_load(&slabs->table, where->slab);

	if (!slab || !core_entry_fresh(where, slab->generation) || where->slot >= slab->slots.n)
		return NULL;
	rmk_slab_get(slab);
	return slab;
}

u32 rmk_slab_next_used(struct rmk_slab *slab, u32 from)
{
	u32 slot;

	spin_lock_irq(&slab->slabs->lock);
	slot = core_slots_next_used(&slab->slots, from);
	spin_unlock_irq(&slab->slabs->lock);
	return slot;
}

int rmk_slab_post(struct rmk_slab *slab, enum rmk_lane lane, struct rmk_wr *wr, u32 first)
{
	enum core_lease state;
	int err;

	/*
	 * A session that goes down orphans its slabs before it waits for RCU and
	 * opens new lanes: so an old grant is not used on a new session.
	 */
	rcu_read_lock();
	state = READ_ONCE(slab->state);
	if (core_lease_readable(state))
		err = rmk_session_post(slab->session, lane, wr,
				       slab->addr + ((u64)first << PAGE_SHIFT), slab->rkey);
	else
		err = state == CORE_LEASE_FENCED ? -EIO : -EAGAIN;
	rcu_read_unlock();
	return err == -ENOTCONN ? -EAGAIN : err;
}

/* ---- looking ---- */

static bool must_be_emptied(const struct rmk_slab *slab)
{
	return slab->slots.used &&
	       (slab->state == CORE_LEASE_REVOKING || slab->state == CORE_LEASE_FENCED);
}

static bool stays(const struct rmk_slab *slab)
{
	return slab->slots.used && slab->state == CORE_LEASE_GRANTED;
}

/* The slab of the smallest index from *cursor on that is wanted, with a reference. */
static struct rmk_slab *next_slab(struct rmk_slabs *slabs, u32 *cursor,
				  bool (*wanted)(const struct rmk_slab *slab))
{
	struct rmk_slab *slab, *best = NULL;

	lockdep_assert_held(&slabs->lock);
	list_for_each_entry(slab, &slabs->all, node)
		if (wanted(slab) && slab->index >= *cursor && (!best || slab->index < best->index))
			best = slab;
	if (best) {
		rmk_slab_get(best);
		*cursor = best->index + 1;
	}
	return best;
}

struct rmk_slab *rmk_slabs_next_to_empty(struct rmk_slabs *slabs, u32 *cursor, bool *fenced)
{
	struct rmk_slab *slab;

	spin_lock_irq(&slabs->lock);
	slab = next_slab(slabs, cursor, must_be_emptied);
	*fenced = slab && slab->state == CORE_LEASE_FENCED;
	spin_unlock_irq(&slabs->lock);
	return slab;
}

struct rmk_slab *rmk_slabs_next_used(struct rmk_slabs *slabs, u32 *cursor)
{
	struct rmk_slab *slab;

	spin_lock_irq(&slabs->lock);
	slab = next_slab(slabs, cursor, stays);
	spin_unlock_irq(&slabs->lock);
	return slab;
}

u64 rmk_slabs_used(const struct rmk_slabs *slabs)
{
	return READ_ONCE(slabs->stats.used_slots);
}

void rmk_slabs_held(struct rmk_slabs *slabs, const struct rmk_session *s, u32 *count,
		    u64 *used_slots)
{
	struct rmk_slab *slab;

	*count = 0;
	*used_slots = 0;
	spin_lock_irq(&slabs->lock);
	list_for_each_entry(slab, &slabs->all, node) {
		if (slab->session != s)
			continue;
		++*count;
		*used_slots += slab->slots.used;
	}
	spin_unlock_irq(&slabs->lock);
}

void rmk_slabs_stats(struct rmk_slabs *slabs, struct rmk_slabs_stats *out)
{
	struct rmk_slab *slab;

	spin_lock_irq(&slabs->lock);
	*out = slabs->stats;
	list_for_each_entry(slab, &slabs->all, node)
		out->revoking += slab->state == CORE_LEASE_REVOKING;
	spin_unlock_irq(&slabs->lock);
}
