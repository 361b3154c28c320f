// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * slab.c - the table of borrowed slabs. slab_event() alone changes a state.
 */
#include "slab.h"

#include <stdlib.h>

int rmr_slabs_init(struct rmr_slabs *slabs, u64 slab_bytes, void (*retirable)(void *arg), void *arg)
{
	slabs->slab_bytes = slab_bytes;
	slabs->retirable = retirable;
	slabs->arg = arg;
	slabs->end = 0;
	pthread_mutex_init(&slabs->lock, NULL);
	slabs->table = calloc(RMR_MAX_SLABS, sizeof(struct rmr_slab *));
	return slabs->table ? 0 : -ENOMEM;
}

static void release_books(struct rmr_slab *slab)
{
	free(slab->map);
	free(slab->owner);
	slab->map = NULL;
	slab->owner = NULL;
}

void rmr_slabs_uninit(struct rmr_slabs *slabs)
{
	u32 i;

	for (i = 0; i < slabs->end; i++) {
		release_books(slabs->table[i]);
		pthread_mutex_destroy(&slabs->table[i]->lock);
		free(slabs->table[i]);
	}
	free(slabs->table);
	pthread_mutex_destroy(&slabs->lock);
}

u32 rmr_slabs_end(const struct rmr_slabs *slabs)
{
	return __atomic_load_n(&slabs->end, __ATOMIC_ACQUIRE);
}

struct rmr_slab *rmr_slabs_at(const struct rmr_slabs *slabs, u32 index)
{
	return index < rmr_slabs_end(slabs) ? slabs->table[index] : NULL;
}

/* ---- states ---- */

/* slabs.lock is held. False: the table has no such edge. */
static bool slab_event(struct rmr_slab *slab, enum core_lease_event event)
{
	int next = core_lease_next(rmr_slab_state(slab), event);

	if (next < 0)
		return false;
	pthread_mutex_lock(&slab->lock);
	__atomic_store_n(&slab->state, next, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&slab->lock);
	return true;
}

/* slabs.lock is held. */
static struct rmr_slab *lookup(struct rmr_slabs *slabs, const struct rmr_session *s, u64 id,
			       u32 generation)
{
	struct rmr_slab *slab;
	u32 i;

	for (i = 0; i < slabs->end; i++) {
		slab = slabs->table[i];
		if (rmr_slab_state(slab) != CORE_LEASE_FREE && slab->session == s &&
		    slab->id == id && slab->generation == generation)
			return slab;
	}
	return NULL;
}

bool rmr_slabs_known(struct rmr_slabs *slabs, const struct rmr_session *s, u64 id, u32 generation)
{
	bool known;

	pthread_mutex_lock(&slabs->lock);
	known = lookup(slabs, s, id, generation);
	pthread_mutex_unlock(&slabs->lock);
	return known;
}

bool rmr_slabs_event(struct rmr_slabs *slabs, const struct rmr_session *s, u64 id, u32 generation,
		     enum core_lease_event event)
{
	struct rmr_slab *slab;
	bool changed;

	pthread_mutex_lock(&slabs->lock);
	slab = lookup(slabs, s, id, generation);
	if (slab && event == CORE_LEASE_RESUME)
		slab->named = true;
	changed = slab && slab_event(slab, event);
	pthread_mutex_unlock(&slabs->lock);
	return changed;
}

void rmr_slabs_event_all(struct rmr_slabs *slabs, const struct rmr_session *s,
			 enum core_lease_event event)
{
	u32 i;

	pthread_mutex_lock(&slabs->lock);
	for (i = 0; i < slabs->end; i++)
		if (rmr_slab_state(slabs->table[i]) != CORE_LEASE_FREE &&
		    slabs->table[i]->session == s)
			slab_event(slabs->table[i], event);
	pthread_mutex_unlock(&slabs->lock);
}

void rmr_slabs_unname(struct rmr_slabs *slabs, const struct rmr_session *s)
{
	u32 i;

	pthread_mutex_lock(&slabs->lock);
	for (i = 0; i < slabs->end; i++)
		if (slabs->table[i]->session == s)
			slabs->table[i]->named = false;
	pthread_mutex_unlock(&slabs->lock);
}

/* A named one may be orphaned again meanwhile, by a request that has failed. */
u32 rmr_slabs_fence_unnamed(struct rmr_slabs *slabs, const struct rmr_session *s)
{
	u32 i, n = 0;

	pthread_mutex_lock(&slabs->lock);
	for (i = 0; i < slabs->end; i++)
		if (slabs->table[i]->session == s && !slabs->table[i]->named &&
		    core_lease_orphaned(rmr_slab_state(slabs->table[i])))
			n += slab_event(slabs->table[i], CORE_LEASE_FENCE);
	pthread_mutex_unlock(&slabs->lock);
	return n;
}

bool rmr_slab_refused(struct rmr_slabs *slabs, struct rmr_slab *slab)
{
	bool changed;

	pthread_mutex_lock(&slabs->lock);
	changed = slab_event(slab, CORE_LEASE_FENCE);
	pthread_mutex_unlock(&slabs->lock);
	return changed;
}

/* ---- coming and going ---- */

/* A struct that is nobody's; slabs.lock is held. */
static struct rmr_slab *take_struct(struct rmr_slabs *slabs)
{
	struct rmr_slab *slab;
	u32 i;

	for (i = 0; i < slabs->end; i++)
		if (rmr_slab_state(slabs->table[i]) == CORE_LEASE_FREE)
			return slabs->table[i];
	if (slabs->end == RMR_MAX_SLABS)
		return NULL;
	slab = calloc(1, sizeof(*slab));
	if (!slab)
		return NULL;
	slab->index = slabs->end;
	slab->state = CORE_LEASE_FREE;
	pthread_mutex_init(&slab->lock, NULL);
	slabs->table[slabs->end] = slab;
	__atomic_store_n(&slabs->end, slabs->end + 1, __ATOMIC_RELEASE);
	return slab;
}

/* Books for the smallest pages, so that they serve for all sizes. */
static bool make_books(struct rmr_slab *slab, u64 slab_bytes)
{
	u32 n = (u32)(slab_bytes / 4096);

	slab->map = calloc(CORE_SLOTS_WORDS(n), sizeof(*slab->map));
	slab->owner = calloc(n, sizeof(*slab->owner));
	if (slab->map && slab->owner)
		return true;
	release_books(slab);
	return false;
}

int rmr_slabs_add(struct rmr_slabs *slabs, struct rmr_session *s, const struct core_msg *grant)
{
	struct rmr_slab *slab;
	int err = -ENOMEM;

	pthread_mutex_lock(&slabs->lock);
	slab = take_struct(slabs);
	if (slab && make_books(slab, slabs->slab_bytes)) {
		pthread_mutex_lock(&slab->lock);
		slab->session = s;
		slab->id = grant->grant.slab_id;
		slab->addr = grant->grant.addr;
		slab->len = grant->grant.len;
		slab->rkey = grant->grant.rkey;
		slab->generation = grant->grant.generation;
		slab->named = true;
		slab->page_bytes = 0;
		memset(&slab->slots, 0, sizeof(slab->slots));
		pthread_mutex_unlock(&slab->lock);
		slab_event(slab, CORE_LEASE_GRANT);
		err = 0;
	}
	pthread_mutex_unlock(&slabs->lock);
	return err;
}

static bool may_retire(enum core_lease state, bool surplus)
{
	switch (state) {
	case CORE_LEASE_REVOKING:
	case CORE_LEASE_FENCED:
		return true;
	case CORE_LEASE_GRANTED:
		return surplus;
	default:
		return false; /* orphaned: when the connection is back */
	}
}

/* slabs.lock is held. Under slab.lock nobody can take a slot meanwhile. */
static bool retire(struct rmr_slab *slab, bool surplus, struct rmr_retired *out)
{
	enum core_lease state = rmr_slab_state(slab);
	bool done;

	if (!may_retire(state, surplus))
		return false;
	pthread_mutex_lock(&slab->lock);
	done = !slab->slots.used && !__atomic_load_n(&slab->refs, __ATOMIC_ACQUIRE);
	if (done) {
		out->session = slab->session;
		out->id = slab->id;
		out->generation = slab->generation;
		out->release = state != CORE_LEASE_FENCED;
		state = (enum core_lease)core_lease_next(out->release ? CORE_LEASE_RELEASED :
									CORE_LEASE_FENCED,
							 CORE_LEASE_RECLAIM);
		__atomic_store_n(&slab->state, state, __ATOMIC_RELEASE);
		release_books(slab);
	}
	pthread_mutex_unlock(&slab->lock);
	return done;
}

bool rmr_slabs_retire(struct rmr_slabs *slabs, bool surplus, struct rmr_retired *out)
{
	bool found = false;
	u32 i;

	pthread_mutex_lock(&slabs->lock);
	for (i = 0; i < slabs->end && !found; i++)
		found = retire(slabs->table[i], surplus, out);
	pthread_mutex_unlock(&slabs->lock);
	return found;
}

/* ---- slots ---- */

/* A hint without the lock: is it worth looking closer? */
static bool may_have_room(const struct rmr_slab *slab, u32 page_bytes, bool empty)
{
	u32 used = __atomic_load_n(&slab->used_hint, __ATOMIC_RELAXED);

	if (!core_lease_writable(rmr_slab_state(slab)))
		return false;
	if (!used || empty)
		return empty && !used;
	return __atomic_load_n(&slab->page_bytes, __ATOMIC_RELAXED) == page_bytes &&
	       used < slab->len / page_bytes;
}

static void set_used(struct rmr_slab *slab)
{
	__atomic_store_n(&slab->used_hint, slab->slots.used, __ATOMIC_RELAXED);
}

static bool take_slot(struct rmr_slab *slab, u32 page_bytes, const struct rmr_key *key, u32 *slot)
{
	bool took = false;

	pthread_mutex_lock(&slab->lock);
	if (core_lease_writable(rmr_slab_state(slab))) {
		if (!slab->slots.used && slab->page_bytes != page_bytes) {
			core_slots_init(&slab->slots, slab->map, (u32)(slab->len / page_bytes));
			__atomic_store_n(&slab->page_bytes, page_bytes, __ATOMIC_RELAXED);
		}
		took = slab->page_bytes == page_bytes && core_slots_alloc(&slab->slots, 1, slot);
	}
	if (took) {
		slab->owner[*slot] = *key;
		__atomic_add_fetch(&slab->refs, 1, __ATOMIC_RELAXED);
		set_used(slab);
	}
	pthread_mutex_unlock(&slab->lock);
	return took;
}

/* First among slabs of such pages, then (empty) among those without any. */
static struct rmr_slab *search(struct rmr_slabs *slabs, u32 *hint, u32 page_bytes,
			       const struct rmr_key *key, u32 *slot, bool empty)
{
	u32 i, at, end = rmr_slabs_end(slabs);
	struct rmr_slab *slab;

	for (i = 0; i < end; i++) {
		at = (*hint + i) % end;
		slab = slabs->table[at];
		if (may_have_room(slab, page_bytes, empty) &&
		    take_slot(slab, page_bytes, key, slot)) {
			*hint = at;
			return slab;
		}
	}
	return NULL;
}

struct rmr_slab *rmr_slabs_alloc(struct rmr_slabs *slabs, u32 *hint, u32 page_bytes,
				 const struct rmr_key *key, u32 *slot)
{
	struct rmr_slab *slab = search(slabs, hint, page_bytes, key, slot, false);

	return slab ? slab : search(slabs, hint, page_bytes, key, slot, true);
}

static void tell_retirable(struct rmr_slabs *slabs, enum core_lease state)
{
	if (state == CORE_LEASE_REVOKING || state == CORE_LEASE_FENCED)
		slabs->retirable(slabs->arg);
}

void rmr_slab_free_slot(struct rmr_slabs *slabs, struct rmr_slab *slab, u32 slot)
{
	enum core_lease state;

	pthread_mutex_lock(&slab->lock);
	core_slots_free(&slab->slots, slot, 1);
	set_used(slab);
	state = slab->slots.used ? CORE_LEASE_GRANTED : rmr_slab_state(slab);
	pthread_mutex_unlock(&slab->lock);
	tell_retirable(slabs, state);
}

struct rmr_slab *rmr_slabs_find(struct rmr_slabs *slabs, const struct core_remote *where)
{
	struct rmr_slab *slab = rmr_slabs_at(slabs, where->slab);

	return slab && core_entry_fresh(where, slab->generation) ? slab : NULL;
}

void rmr_slab_get(struct rmr_slab *slab)
{
	__atomic_add_fetch(&slab->refs, 1, __ATOMIC_RELAXED);
}

void rmr_slab_put(struct rmr_slabs *slabs, struct rmr_slab *slab)
{
	enum core_lease state = rmr_slab_state(slab);

	if (!__atomic_sub_fetch(&slab->refs, 1, __ATOMIC_ACQ_REL))
		tell_retirable(slabs, state);
}

bool rmr_slab_next_used(struct rmr_slab *slab, u32 *slot, struct rmr_key *key)
{
	bool found = false;

	pthread_mutex_lock(&slab->lock);
	if (slab->slots.used) {
		*slot = core_slots_next_used(&slab->slots, *slot);
		found = *slot < slab->slots.n;
		if (found)
			*key = slab->owner[*slot];
	}
	pthread_mutex_unlock(&slab->lock);
	return found;
}

/* ---- posting ---- */

int rmr_slab_post(struct rmr_slab *slab, u32 slot, struct rmr_wr *wr, void *addr,
		  struct rmr_devices *devices, struct rmr_mem *mem, u32 len)
{
	struct rmr_lane *lane = rmr_session_lane(slab->session, wr->port);
	struct rmr_transfer t = {
		.addr = addr,
		.len = len,
		.remote_addr = slab->addr + (u64)slot * len,
		.remote_key = slab->rkey,
	};
	enum core_lease state;
	int err;

	if (!lane)
		return rmr_slab_state(slab) == CORE_LEASE_FENCED ? -EIO : -EAGAIN;
	/*
	 * A session that goes down orphans its slabs before it closes its lanes,
	 * which takes this lock: so an old grant is not used on a new session.
	 */
	pthread_mutex_lock(&lane->lock);
	state = rmr_slab_state(slab);
	if (core_lease_readable(state))
		err = rmr_lane_post(lane, wr, &t, devices, mem);
	else
		err = state == CORE_LEASE_FENCED ? -EIO : -EAGAIN;
	pthread_mutex_unlock(&lane->lock);
	if (!err)
		rmr_port_posted(wr->port, lane);
	return err == -ENOTCONN ? -EAGAIN : err;
}

/* ---- counting ---- */

static u32 page_bytes_of(const struct rmr_slab *slab)
{
	return __atomic_load_n(&slab->page_bytes, __ATOMIC_RELAXED);
}

void rmr_slabs_count(struct rmr_slabs *slabs, const struct rmr_session *s,
		     struct rmr_slabs_count *out)
{
	struct rmr_slab *slab;
	enum core_lease state;
	u32 i, used;

	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&slabs->lock);
	for (i = 0; i < slabs->end; i++) {
		slab = slabs->table[i];
		state = rmr_slab_state(slab);
		if (state == CORE_LEASE_FREE || (s && slab->session != s))
			continue;
		used = __atomic_load_n(&slab->used_hint, __ATOMIC_RELAXED);
		out->held++;
		out->revoking += state == CORE_LEASE_REVOKING;
		out->empty += state == CORE_LEASE_GRANTED && !used;
		if (used)
			out->used_pages += (u64)used * page_bytes_of(slab) / 4096;
	}
	pthread_mutex_unlock(&slabs->lock);
}
