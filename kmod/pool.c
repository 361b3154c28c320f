// SPDX-License-Identifier: GPL-2.0-only
/*
 * pool.c - from names to page numbers and back.
 *
 * An object has an xarray from index to number; each number has a cell that
 * says which name it has, so that a page can be found to evict. A number is
 * free, or named, or taken: by a get, or with its object about to be freed.
 *
 * Lock: rmk_pool.lock, interrupts off, over the store's, the stage's and the
 * slabs' locks. A put publishes under it: else its number could be evicted and
 * serve another name before the page is there.
 */
#include <linux/hashtable.h>
#include <linux/jhash.h>
#include <linux/llist.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "pool.h"

/* Of a filesystem's files with pages here; some hundred thousand is a lot. */
#define OBJECT_HASH_BITS 12
/* Pages that are evicted, and cells looked at for them, before interrupts may come in. */
#define EVICT_BATCH 32
#define EVICT_LOOK  1024
/* Cells that a call looks at: the loss of a donor may leave millions of names without pages. */
#define EVICT_CALL 16384

/*
 * Reclaim calls put, with interrupts off: what it allocates must not wait, and
 * must leave the reserves to those who free memory.
 */
#define PUT_GFP (GFP_NOWAIT | __GFP_NOMEMALLOC | __GFP_NOWARN)

struct object {
	struct hlist_node hash;
	struct llist_node dying;
	struct rmk_pool_key key;
	struct xarray pages; /* index: number, as a value */
	u64 npages;
	bool flushed;
};

struct cell {
	struct object *object; /* NULL: free or taken */
	u64 index;	       /* in the object; free: the next free number */
};

/* Of one segment of numbers. */
struct cells {
	struct cell cell[RMK_SEGMENT];
};

struct rmk_pool {
	struct rmk_store *store;
	struct rmk_writer *writer;
	u64 max_pages;
	spinlock_t lock;     /* guards what follows */
	struct xarray cells; /* by number >> RMK_SEGMENT_SHIFT */
	u32 free;	     /* first free number, or NONE */
	unsigned long hand;  /* number at which evicting goes on */
	u64 nnumbers;
	struct rmk_pool_stats stats; /* but metadata_bytes */
	struct llist_head dying;
	struct work_struct bury;
	DECLARE_HASHTABLE(objects, OBJECT_HASH_BITS);
};

#define NONE (~0u)

/* ---- cells ---- */

static struct cell *cell_of(struct rmk_pool *pool, u32 nr)
{
	struct cells *cells = xa_load(&pool->cells, nr >> RMK_SEGMENT_SHIFT);

	return &cells->cell[nr % RMK_SEGMENT];
}

static void push_free(struct rmk_pool *pool, u32 nr)
{
	struct cell *cell = cell_of(pool, nr);

	lockdep_assert_held(&pool->lock);
	cell->object = NULL;
	cell->index = pool->free;
	pool->free = nr;
}

static int grow(struct rmk_pool *pool)
{
	struct cells *cells;
	u32 first, i;
	int err;

	if (pool->nnumbers + RMK_SEGMENT > pool->max_pages)
		return -ENOSPC;
	cells = kmalloc(sizeof(*cells), PUT_GFP);
	if (!cells)
		return -ENOMEM;
	err = rmk_store_take(pool->store, 1, PUT_GFP, &first);
	if (err)
		goto free;
	err = xa_err(xa_store(&pool->cells, first >> RMK_SEGMENT_SHIFT, cells, PUT_GFP));
	if (err)
		goto give_back;
	rmk_store_set_ephemeral(pool->store, first);
	pool->nnumbers += RMK_SEGMENT;
	for (i = RMK_SEGMENT; i-- > 0;)
		push_free(pool, first + i);
	return 0;
give_back:
	rmk_store_give_back(pool->store, first);
free:
	kfree(cells);
	return err;
}

static u32 evict_some(struct rmk_pool *pool, u32 n, u64 *looked);

/* Where there are no more numbers the oldest pages give theirs. */
static int pop_free(struct rmk_pool *pool, u32 *nr)
{
	int err = pool->free == NONE ? grow(pool) : 0;
	u64 looked = 0;

	if (err) {
		evict_some(pool, EVICT_BATCH, &looked);
		if (pool->free == NONE)
			return err;
	}
	*nr = pool->free;
	pool->free = cell_of(pool, *nr)->index;
	return 0;
}

/* ---- objects ---- */

static u32 hash_of(const struct rmk_pool_key *key)
{
	return jhash2(key->word, RMK_POOL_KEY_WORDS, 0);
}

static struct object *find_object(struct rmk_pool *pool, const struct rmk_pool_key *key)
{
	struct object *o;

	lockdep_assert_held(&pool->lock);
	hash_for_each_possible(pool->objects, o, hash, hash_of(key))
		if (!memcmp(&o->key, key, sizeof(*key)))
			return o;
	return NULL;
}

static struct object *make_object(struct rmk_pool *pool, const struct rmk_pool_key *key)
{
	struct object *o = find_object(pool, key);

	if (o)
		return o;
	o = kzalloc(sizeof(*o), PUT_GFP);
	if (!o)
		return NULL;
	o->key = *key;
	xa_init(&o->pages);
	hash_add(pool->objects, &o->hash, hash_of(key));
	pool->stats.objects++;
	return o;
}

static void drop_if_empty(struct rmk_pool *pool, struct object *o)
{
	if (o->npages)
		return;
	hash_del(&o->hash);
	pool->stats.objects--;
	kfree(o);
}

/* Take the name from a number: it is then taken. May free the object. */
static bool unname(struct rmk_pool *pool, struct object *o, u64 index, u32 *nr)
{
	void *there = xa_erase(&o->pages, index);

	lockdep_assert_held(&pool->lock);
	if (!there)
		return false;
	*nr = xa_to_value(there);
	cell_of(pool, *nr)->object = NULL;
	o->npages--;
	pool->stats.pages--;
	drop_if_empty(pool, o);
	return true;
}

/* The number that a name has, or gets. */
static int name(struct rmk_pool *pool, struct object *o, u64 index, u32 *nr)
{
	void *there = xa_load(&o->pages, index);
	struct cell *cell;
	int err;

	if (there) {
		*nr = xa_to_value(there);
		return 0;
	}
	o->npages++; /* may pop_free() take all others, the object stays */
	err = pop_free(pool, nr);
	o->npages--;
	if (err)
		return err;
	err = xa_err(xa_store(&o->pages, index, xa_mk_value(*nr), PUT_GFP));
	if (err) {
		push_free(pool, *nr);
		return err;
	}
	cell = cell_of(pool, *nr);
	cell->object = o;
	cell->index = index;
	o->npages++;
	pool->stats.pages++;
	return 0;
}

/* ---- put, take, flush ---- */

static void forget(struct rmk_pool *pool, const struct rmk_pool_key *key, u64 index)
{
	struct object *o = find_object(pool, key);
	u32 nr;

	if (!o || !unname(pool, o, index, &nr))
		return;
	rmk_store_discard(pool->store, nr, 1);
	push_free(pool, nr);
}

static int publish(struct rmk_pool *pool, const struct rmk_pool_key *key, u64 index,
		   const struct rmk_staged *s)
{
	struct object *o = make_object(pool, key);
	u32 nr;
	int err;

	if (!o)
		return -ENOMEM;
	err = name(pool, o, index, &nr);
	if (err) {
		drop_if_empty(pool, o);
		return err;
	}
	return rmk_writer_publish(pool->writer, nr, s);
}

int rmk_pool_put(struct rmk_pool *pool, const struct rmk_pool_key *key, u64 index, const void *src)
{
	struct rmk_staged s;
	unsigned long flags;
	bool staged;
	int err;

	err = rmk_writer_stage(pool->writer, src, &s);
	staged = !err;
	spin_lock_irqsave(&pool->lock, flags);
	if (staged)
		err = publish(pool, key, index, &s);
	if (err)
		forget(pool, key, index); /* the copy of before is not to be found again */
	spin_unlock_irqrestore(&pool->lock, flags);
	if (err && staged)
		rmk_writer_drop(pool->writer, &s);
	return err;
}

bool rmk_pool_take(struct rmk_pool *pool, const struct rmk_pool_key *key, u64 index, u32 *nr)
{
	unsigned long flags;
	struct object *o;
	bool taken;

	spin_lock_irqsave(&pool->lock, flags);
	o = find_object(pool, key);
	taken = o && unname(pool, o, index, nr);
	spin_unlock_irqrestore(&pool->lock, flags);
	return taken;
}

void rmk_pool_release(struct rmk_pool *pool, u32 nr)
{
	unsigned long flags;

	rmk_store_discard(pool->store, nr, 1);
	spin_lock_irqsave(&pool->lock, flags);
	push_free(pool, nr);
	spin_unlock_irqrestore(&pool->lock, flags);
}

void rmk_pool_flush_page(struct rmk_pool *pool, const struct rmk_pool_key *key, u64 index)
{
	unsigned long flags;

	spin_lock_irqsave(&pool->lock, flags);
	forget(pool, key, index);
	spin_unlock_irqrestore(&pool->lock, flags);
}

/* A file may have a million pages: they are freed later, with interrupts on. */
static void detach(struct rmk_pool *pool, struct object *o)
{
	lockdep_assert_held(&pool->lock);
	hash_del(&o->hash);
	o->flushed = true;
	pool->stats.objects--;
	pool->stats.pages -= o->npages;
	llist_add(&o->dying, &pool->dying);
}

void rmk_pool_flush_object(struct rmk_pool *pool, const struct rmk_pool_key *key)
{
	unsigned long flags;
	struct object *o;

	spin_lock_irqsave(&pool->lock, flags);
	o = find_object(pool, key);
	if (o)
		detach(pool, o);
	spin_unlock_irqrestore(&pool->lock, flags);
	if (o)
		queue_work(system_unbound_wq, &pool->bury);
}

static void bury(struct work_struct *work)
{
	struct rmk_pool *pool = container_of(work, struct rmk_pool, bury);
	struct llist_node *dying = llist_del_all(&pool->dying);
	struct object *o, *next;
	unsigned long index;
	void *there;

	llist_for_each_entry_safe(o, next, dying, dying) {
		xa_for_each(&o->pages, index, there) {
			rmk_pool_release(pool, xa_to_value(there));
			cond_resched();
		}
		xa_destroy(&o->pages);
		kfree(o);
	}
}

/* ---- evict ---- */

static u32 evict_some(struct rmk_pool *pool, u32 n, u64 *looked)
{
	struct cells *cells;
	unsigned long at;
	struct cell *cell;
	u32 nr, done = 0;
	u64 end = min(*looked + EVICT_LOOK, pool->nnumbers);

	lockdep_assert_held(&pool->lock);
	while (done < n && *looked < end && pool->stats.pages) {
		at = pool->hand >> RMK_SEGMENT_SHIFT;
		cells = xa_find(&pool->cells, &at, ULONG_MAX, XA_PRESENT);
		if (!cells) {
			pool->hand = 0;
			continue;
		}
		if (at != pool->hand >> RMK_SEGMENT_SHIFT)
			pool->hand = at << RMK_SEGMENT_SHIFT;
		cell = &cells->cell[pool->hand % RMK_SEGMENT];
		nr = pool->hand++;
		++*looked;
		if (!cell->object || cell->object->flushed)
			continue;
		if (!unname(pool, cell->object, cell->index, &nr))
			continue;
		/* a name whose page has vanished makes no room */
		done += rmk_store_discard(pool->store, nr, 1);
		push_free(pool, nr);
	}
	rmk_count(pool->store->stats, RMK_EVICTED, done);
	return done;
}

u32 rmk_pool_evict(struct rmk_pool *pool, u32 n)
{
	unsigned long flags;
	u64 looked = 0;
	u32 done = 0;
	bool on;

	do {
		spin_lock_irqsave(&pool->lock, flags);
		done += evict_some(pool, min_t(u32, n - done, EVICT_BATCH), &looked);
		on = done < n && looked < min_t(u64, pool->nnumbers, EVICT_CALL) &&
		     pool->stats.pages;
		spin_unlock_irqrestore(&pool->lock, flags);
	} while (on);
	return done;
}

void rmk_pool_stats(struct rmk_pool *pool, struct rmk_pool_stats *out)
{
	unsigned long flags;

	spin_lock_irqsave(&pool->lock, flags);
	*out = pool->stats;
	/* an xarray node serves up to 64 pages */
	out->metadata_bytes = pool->nnumbers * sizeof(struct cell) +
			      pool->stats.objects * sizeof(struct object) +
			      pool->stats.pages * sizeof(void *);
	spin_unlock_irqrestore(&pool->lock, flags);
}

/* ---- life ---- */

struct rmk_pool *rmk_pool_create(struct rmk_store *store, struct rmk_writer *writer, u64 max_pages)
{
	struct rmk_pool *pool = kvzalloc(sizeof(*pool), GFP_KERNEL);

	if (!pool)
		return ERR_PTR(-ENOMEM);
	pool->store = store;
	pool->writer = writer;
	pool->max_pages = max_pages;
	pool->free = NONE;
	spin_lock_init(&pool->lock);
	xa_init(&pool->cells);
	init_llist_head(&pool->dying);
	INIT_WORK(&pool->bury, bury);
	hash_init(pool->objects);
	return pool;
}

void rmk_pool_destroy(struct rmk_pool *pool)
{
	struct cells *cells;
	unsigned long at;
	int i;

	for (i = 0; i < HASH_SIZE(pool->objects); i++) {
		spin_lock_irq(&pool->lock);
		while (!hlist_empty(&pool->objects[i]))
			detach(pool, hlist_entry(pool->objects[i].first, struct object, hash));
		spin_unlock_irq(&pool->lock);
		cond_resched();
	}
	queue_work(system_unbound_wq, &pool->bury);
	flush_work(&pool->bury);
	xa_for_each(&pool->cells, at, cells) {
		rmk_store_give_back(pool->store, at << RMK_SEGMENT_SHIFT);
		kfree(cells);
		cond_resched();
	}
	xa_destroy(&pool->cells);
	rmk_store_reap(pool->store);
	kvfree(pool);
}
