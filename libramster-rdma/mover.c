// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * mover.c - empties revoked slabs, writes off fenced ones, ships compressed
 * pages to donors that have room again, and lets pages go that may.
 *
 * Every move is a get followed by a put that publishes only if the page's
 * entry is still the one that was read: a page that is overwritten or flushed
 * meanwhile simply stays as the program made it.
 */
#include "mover.h"

#include "context.h"

/* While there is something to move: soon if some of it did, later if there was no room. */
#define RETRY_MS 5
#define STUCK_MS 100
/* While compressed pages wait for room: how often to look. */
#define SHIP_MS 250
#define IDLE_MS 60000
/* Bytes that are moved at a time, in up to RMR_MOVER_OPS pages. */
#define BATCH_BYTES (1u << 20)
/* Of eviction: pages that go at once, and how many are looked at for them. */
#define EVICT_PAGES 16
#define EVICT_LOOKS 512

void rmr_mover_kick(struct rmr_mover *m)
{
	rmr_worker_kick(&m->worker);
}

static bool lies_in(const struct rmr_slab *slab, struct core_entry e, u32 slot)
{
	struct core_remote where;

	if (core_entry_where(e) != CORE_REMOTE)
		return false;
	where = core_entry_get_remote(e);
	return where.slab == slab->index && where.slot == slot &&
	       core_entry_fresh(&where, slab->generation);
}

/* ---- moving ---- */

static bool batch_full(const struct rmr_mover *m)
{
	return m->nops == RMR_MOVER_OPS ||
	       (m->nops && m->nops * m->ops[m->nops - 1].page_bytes >= BATCH_BYTES);
}

/* False: no memory for it. */
static bool batch_add(struct rmr_mover *m, const struct rmr_key *key)
{
	struct rmr_op *op = &m->ops[m->nops];
	u32 page_bytes = rmr_key_page_bytes(key);

	if (rmr_op_reserve(op, page_bytes))
		return false;
	op->key = *key;
	op->page_bytes = page_bytes;
	op->addr = NULL;
	op->mem = NULL;
	m->nops++;
	return true;
}

static void run_all(struct rmr_mover *m, enum rmr_verb verb, bool (*wanted)(struct rmr_op *op))
{
	u32 i;

	for (i = 0; i < m->nops; i++) {
		if (!wanted(&m->ops[i]))
			continue;
		m->ops[i].verb = verb;
		rmr_op_start(&m->ops[i]);
	}
	for (i = 0; i < m->nops; i++)
		if (m->ops[i].verb == verb)
			rmr_io_wait(&m->caller, &m->ops[i]);
}

static bool always(struct rmr_op *op)
{
	op->remote_only = false;
	return true;
}

static bool read_from_slab(struct rmr_op *op)
{
	return !op->result && core_entry_where(op->entry) == CORE_REMOTE;
}

static bool read_from_ztier(struct rmr_op *op)
{
	op->remote_only = true;
	return !op->result && core_entry_where(op->entry) == CORE_ZSTD;
}

/* Read the batch and store it anew. Returns how many pages were moved. */
static u32 move_batch(struct rmr_mover *m, bool (*wanted)(struct rmr_op *op))
{
	u32 i, moved = 0;

	run_all(m, RMR_OP_GET, always);
	run_all(m, RMR_OP_MOVE, wanted);
	for (i = 0; i < m->nops; i++)
		moved += m->ops[i].verb == RMR_OP_MOVE && !m->ops[i].result;
	return moved;
}

/* ---- slabs that are taken back ---- */

/* Such a page goes at once. */
static void vanish(struct rmr *r, struct rmr_caller *c, const struct rmr_key *key,
		   struct core_entry e)
{
	if (!rmr_index_replace(&r->index, key, e, core_entry_empty()))
		return;
	rmr_io_free_entry(r, e);
	if (c)
		rmr_count(c, RMR_VANISHED);
}

/* Used slots whose pages are published there; a put that is under way is not yet. */
static void gather(struct rmr_mover *m, struct rmr_slab *slab, u32 *slot)
{
	struct rmr_key key;
	struct core_entry e;

	m->nops = 0;
	for (; !batch_full(m) && rmr_slab_next_used(slab, slot, &key); ++*slot) {
		e = rmr_index_peek(&m->r->index, &key);
		if (!lies_in(slab, e, *slot))
			continue;
		if (rmr_key_is_ephemeral(&key))
			vanish(m->r, &m->caller, &key, e);
		else if (!batch_add(m, &key))
			return;
	}
}

/* Returns whether anything moved. With no room for a batch, the next would not find any either. */
static bool evacuate(struct rmr_mover *m, struct rmr_slab *slab)
{
	u32 slot = 0, moved, i;
	bool any = false;

	while (rmr_slab_state(slab) == CORE_LEASE_REVOKING) {
		gather(m, slab, &slot);
		if (!m->nops)
			break;
		moved = move_batch(m, read_from_slab);
		for (i = 0; i < moved; i++)
			rmr_count(&m->caller, RMR_EVACUATED);
		if (!moved)
			break;
		any = true;
	}
	return any;
}

/* The donor has destroyed the slab: say so for each page that it held. */
static void write_off(struct rmr_mover *m, struct rmr_slab *slab)
{
	struct rmr *r = m->r;
	struct rmr_key key;
	struct core_entry e;
	u32 slot, lost = 0;

	for (slot = 0; rmr_slab_next_used(slab, &slot, &key); slot++) {
		e = rmr_index_peek(&r->index, &key);
		if (!lies_in(slab, e, slot))
			continue;
		if (rmr_key_is_ephemeral(&key)) {
			vanish(r, &m->caller, &key, e);
		} else if (rmr_index_replace(&r->index, &key, e, core_entry_lost())) {
			rmr_io_free_entry(r, e);
			lost++;
		}
	}
	if (lost)
		rmr_log(&r->log, 4, "%u pages were lost with a slab of donor %s", lost,
			rmr_session_name(slab->session));
}

static bool to_empty(const struct rmr_slab *slab)
{
	enum core_lease state = rmr_slab_state(slab);

	return __atomic_load_n(&slab->used_hint, __ATOMIC_RELAXED) &&
	       (state == CORE_LEASE_REVOKING || state == CORE_LEASE_FENCED);
}

static bool any_to_empty(const struct rmr_mover *m)
{
	struct rmr_slab *slab;
	u32 i;

	for (i = 0; (slab = rmr_slabs_at(&m->r->remote.slabs, i)); i++)
		if (to_empty(slab))
			return true;
	return false;
}

/* Returns in how many ms to look again; 0: there is nothing to empty. */
static u32 empty_slabs(struct rmr_mover *m)
{
	struct rmr_slabs *slabs = &m->r->remote.slabs;
	bool any = false, moved = false;
	struct rmr_slab *slab;
	u32 i;

	for (i = 0; (slab = rmr_slabs_at(slabs, i)); i++) {
		if (!to_empty(slab))
			continue;
		any = true;
		if (rmr_slab_state(slab) == CORE_LEASE_FENCED)
			write_off(m, slab);
		else
			moved |= evacuate(m, slab);
	}
	return moved ? RETRY_MS : any ? STUCK_MS : 0;
}

/* ---- compressed pages ---- */

/* Returns whether pages are left. */
static bool ship_shard(struct rmr_mover *m, u32 shard)
{
	struct core_entry entries[RMR_MOVER_OPS];
	struct rmr_key keys[RMR_MOVER_OPS];
	u32 bucket = 0, n, i, moved;

	while (bucket != ~0u) {
		n = rmr_index_walk(&m->r->index, shard, &bucket, CORE_ZSTD, keys, entries,
				   RMR_MOVER_OPS);
		for (i = 0; i < n;) {
			for (m->nops = 0; i < n && !batch_full(m); i++)
				if (!batch_add(m, &keys[i]))
					return true;
			moved = move_batch(m, read_from_ztier);
			if (!moved)
				return true;
			while (moved--)
				rmr_count(&m->caller, RMR_SHIPPED);
			if (any_to_empty(m)) /* what has a deadline comes first */
				return true;
		}
	}
	return false;
}

/* Returns whether pages are left. */
static bool ship(struct rmr_mover *m)
{
	u32 shard;

	if (!rmr_ztier_bytes(&m->r->ztier))
		return false;
	rmr_remote_want(&m->r->remote);
	for (shard = 0; shard < RMR_SHARDS; shard++)
		if (ship_shard(m, shard))
			return true;
	return rmr_ztier_bytes(&m->r->ztier);
}

static u32 mover_turn(void *arg)
{
	struct rmr_mover *m = arg;
	u32 again = empty_slabs(m);

	if (ship(m) && !again)
		again = SHIP_MS;
	return again ? again : IDLE_MS;
}

/* ---- eviction ---- */

/* A page that was read since it was last looked at gets another chance. */
static u32 evict_from(struct rmr *r, struct rmr_caller *c, struct rmr_slab *slab, u32 *looks)
{
	struct rmr_mover *m = &r->mover;
	struct core_entry e;
	struct rmr_key key;
	u32 gone = 0;

	for (; gone < EVICT_PAGES && *looks && rmr_slab_next_used(slab, &m->evict_slot, &key);
	     m->evict_slot++, --*looks) {
		if (!rmr_key_is_ephemeral(&key) || rmr_index_test_used(&r->index, &key))
			continue;
		e = rmr_index_peek(&r->index, &key);
		if (!lies_in(slab, e, m->evict_slot))
			continue;
		vanish(r, c, &key, e);
		gone++;
	}
	return gone;
}

u32 rmr_evict(struct rmr *r, struct rmr_caller *c, u32 page_bytes)
{
	struct rmr_mover *m = &r->mover;
	u32 end = rmr_slabs_end(&r->remote.slabs), turns, looks = EVICT_LOOKS, gone = 0;
	struct rmr_slab *slab;

	pthread_mutex_lock(&m->evict_lock);
	for (turns = 0; turns < 2 * end && !gone && looks; turns++) {
		slab = rmr_slabs_at(&r->remote.slabs, m->evict_slab);
		if (slab && core_lease_writable(rmr_slab_state(slab)) &&
		    __atomic_load_n(&slab->page_bytes, __ATOMIC_RELAXED) == page_bytes)
			gone = evict_from(r, c, slab, &looks);
		if (gone)
			break;
		m->evict_slot = 0;
		m->evict_slab = m->evict_slab + 1 < end ? m->evict_slab + 1 : 0;
	}
	pthread_mutex_unlock(&m->evict_lock);
	return gone;
}

/* ---- life ---- */

int rmr_mover_init(struct rmr_mover *m, struct rmr *r)
{
	int err = rmr_caller_init(&m->caller, r, true);
	u32 i;

	if (err)
		return err;
	m->r = r;
	pthread_mutex_init(&m->evict_lock, NULL);
	rmr_worker_init(&m->worker, mover_turn, m);
	for (i = 0; i < RMR_MOVER_OPS; i++)
		rmr_op_init(&m->ops[i], &m->caller);
	return 0;
}

int rmr_mover_start(struct rmr_mover *m)
{
	return rmr_worker_start(&m->worker);
}

void rmr_mover_stop(struct rmr_mover *m)
{
	rmr_worker_stop(&m->worker);
}

void rmr_mover_uninit(struct rmr_mover *m)
{
	u32 i;

	for (i = 0; i < RMR_MOVER_OPS; i++)
		rmr_op_uninit(&m->ops[i]);
	rmr_caller_uninit(&m->caller);
	rmr_worker_uninit(&m->worker);
	pthread_mutex_destroy(&m->evict_lock);
}
