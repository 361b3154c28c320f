// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * pool.c - pools, buffers, and the calls that wait.
 */
#include <stdlib.h>

#include "context.h"

#define FORGET_BATCH 64 /* entries that leave the index at a time */
/* Of a range: how often the page may change between reading and storing it. */
#define RANGE_TRIES 1000

/* ---- pools ---- */

int rmr_pool_create(struct rmr *r, unsigned int flags, size_t page_bytes, struct rmr_pool **out)
{
	struct rmr_pool *pool;
	u32 count;

	if (flags & ~RMR_EPHEMERAL || page_bytes < RMR_PAGE_MIN || page_bytes > RMR_PAGE_MAX ||
	    page_bytes & (page_bytes - 1) || page_bytes > r->options.slab_bytes)
		return -EINVAL;
	count = __atomic_fetch_add(&r->pools, 1, __ATOMIC_RELAXED);
	pool = count < RMR_POOLS_MAX ? malloc(sizeof(*pool)) : NULL;
	if (!pool)
		return -ENOMEM;
	pool->r = r;
	pool->page_bytes = (u32)page_bytes;
	pool->number = count << 5 | core_ctz64(page_bytes / 4096) << 1 | flags;
	pthread_mutex_lock(&r->lock);
	TAILQ_INSERT_TAIL(&r->pool_list, pool, link);
	pthread_mutex_unlock(&r->lock);
	*out = pool;
	return 0;
}

static void free_entries(struct rmr *r, const struct core_entry *entries, u32 n)
{
	while (n--)
		rmr_io_free_entry(r, entries[n]);
}

void rmr_pool_destroy(struct rmr_pool *pool)
{
	struct core_entry entries[FORGET_BATCH];
	struct rmr *r = pool->r;
	u32 shard, bucket, n;

	for (shard = 0; shard < RMR_SHARDS; shard++) {
		bucket = 0;
		do {
			n = rmr_index_remove_pool(&r->index, pool->number, shard, &bucket, entries,
						  FORGET_BATCH);
			free_entries(r, entries, n);
		} while (n == FORGET_BATCH);
	}
	pthread_mutex_lock(&r->lock);
	TAILQ_REMOVE(&r->pool_list, pool, link);
	pthread_mutex_unlock(&r->lock);
	free(pool);
}

int rmr_flush_page(struct rmr_pool *pool, uint64_t object, uint64_t index)
{
	struct rmr_key key = rmr_key_of(pool, object, index);
	struct core_entry e = rmr_index_remove(&pool->r->index, &key);

	rmr_io_free_entry(pool->r, e);
	return core_entry_where(e) == CORE_EMPTY ? -ENOENT : 0;
}

int64_t rmr_flush_object(struct rmr_pool *pool, uint64_t object)
{
	struct rmr_key key = rmr_key_of(pool, object, 0);
	struct core_entry entries[FORGET_BATCH];
	int64_t sum = 0;
	u32 shard, n;

	for (shard = 0; shard < RMR_SHARDS; shard++) {
		do {
			n = rmr_index_remove_object(&pool->r->index, &key, shard, entries,
						    FORGET_BATCH);
			free_entries(pool->r, entries, n);
			sum += n;
		} while (n == FORGET_BATCH);
	}
	return sum;
}

/* ---- buffers ---- */

int rmr_buf_register(struct rmr *r, void *addr, size_t len, struct rmr_buf **out)
{
	struct rmr_buf *buf;
	int err;

	if (!len)
		return -EINVAL;
	buf = malloc(sizeof(*buf));
	if (!buf)
		return -ENOMEM;
	buf->r = r;
	rmr_mem_init(&buf->mem, addr, len);
	/* with devices that are used later it is registered then */
	err = rmr_mem_register(&r->remote.devices, &buf->mem);
	if (err) {
		rmr_buf_unregister(buf);
		return err;
	}
	*out = buf;
	return 0;
}

void rmr_buf_unregister(struct rmr_buf *buf)
{
	rmr_mem_uninit(&buf->mem);
	free(buf);
}

/* ---- calls that wait ---- */

/* To tell the device of larger pages costs nothing beside what it does with them. */
#define HOLD_BYTES 16384u

static bool contains(const struct rmr_mem *m, const u8 *addr, u32 len)
{
	return addr >= m->addr && len <= m->len && addr - m->addr <= (ptrdiff_t)(m->len - len);
}

int rmr_op_set(struct rmr_op *op, enum rmr_verb verb, const struct rmr_pool *pool,
	       const struct rmr_page *page)
{
	if (page->buf && !contains(&page->buf->mem, page->addr, pool->page_bytes))
		return -EINVAL;
	op->verb = verb;
	op->key = rmr_key_of(pool, page->object, page->index);
	op->page_bytes = pool->page_bytes;
	op->addr = page->addr;
	op->mem = page->buf ? &page->buf->mem : NULL;
	return op->mem ? 0 : rmr_op_reserve(op, pool->page_bytes);
}

void rmr_refuse(enum rmr_verb verb, struct rmr_pool *pool, const struct rmr_page *page)
{
	if (verb == RMR_OP_PUT)
		rmr_flush_page(pool, page->object, page->index);
}

/* Start up to RMR_THREAD_OPS of them, and wait for all. Returns the first error. */
static int run_batch(struct rmr_thread *t, enum rmr_verb verb, struct rmr_pool *pool,
		     struct rmr_page *pages, size_t n)
{
	struct rmr_op *op;
	int err = 0;
	size_t i;

	if (n > 1 && pool->page_bytes <= HOLD_BYTES)
		rmr_port_hold(&t->caller.port);
	for (i = 0; i < n; i++) {
		op = &t->ops[i];
		pages[i].result = rmr_op_set(op, verb, pool, &pages[i]);
		if (!pages[i].result)
			rmr_op_start(op);
		else
			rmr_refuse(verb, pool, &pages[i]);
	}
	rmr_port_push(&t->caller.port);
	for (i = 0; i < n; i++) {
		if (!pages[i].result) {
			rmr_io_wait(&t->caller, &t->ops[i]);
			pages[i].result = t->ops[i].result;
		}
		if (!err)
			err = pages[i].result;
	}
	return err;
}

static int run(enum rmr_verb verb, struct rmr_pool *pool, struct rmr_page *pages, size_t n)
{
	struct rmr_thread *t = rmr_thread_get(pool->r);
	size_t i, some;
	int err = 0, one;

	for (i = 0; !t && i < n; i++) {
		pages[i].result = -ENOMEM;
		rmr_refuse(verb, pool, &pages[i]);
	}
	if (!t)
		return -ENOMEM;
	for (i = 0; i < n; i += some) {
		some = n - i < RMR_THREAD_OPS ? n - i : RMR_THREAD_OPS;
		one = run_batch(t, verb, pool, pages + i, some);
		if (!err)
			err = one;
	}
	return err;
}

int rmr_putv(struct rmr_pool *pool, struct rmr_page *pages, size_t n)
{
	return run(RMR_OP_PUT, pool, pages, n);
}

int rmr_getv(struct rmr_pool *pool, struct rmr_page *pages, size_t n)
{
	return run(RMR_OP_GET, pool, pages, n);
}

int rmr_put(struct rmr_pool *pool, uint64_t object, uint64_t index, const void *page)
{
	struct rmr_page p = { .object = object, .index = index, .addr = (void *)(uintptr_t)page };

	return rmr_putv(pool, &p, 1);
}

int rmr_get(struct rmr_pool *pool, uint64_t object, uint64_t index, void *page)
{
	struct rmr_page p = { .object = object, .index = index, .addr = page };

	return rmr_getv(pool, &p, 1);
}

/* ---- ranges ---- */

static bool range_valid(const struct rmr_pool *pool, size_t offset, size_t len)
{
	return offset <= pool->page_bytes && len <= pool->page_bytes - offset;
}

/* The page, into the bounce buffer of the thread's first op. */
static int fetch(struct rmr_thread *t, struct rmr_pool *pool, uint64_t object, uint64_t index)
{
	struct rmr_page p = { .object = object, .index = index };
	struct rmr_op *op = &t->ops[0];
	int err = rmr_op_set(op, RMR_OP_GET, pool, &p);

	if (err)
		return err;
	rmr_op_start(op);
	rmr_io_wait(&t->caller, op);
	return op->result;
}

int rmr_get_range(struct rmr_pool *pool, uint64_t object, uint64_t index, size_t offset, size_t len,
		  void *data)
{
	struct rmr_thread *t = rmr_thread_get(pool->r);
	int err;

	if (!range_valid(pool, offset, len))
		return -EINVAL;
	if (!t)
		return -ENOMEM;
	err = fetch(t, pool, object, index);
	if (!err)
		memcpy(data, t->ops[0].bounce.addr + offset, len);
	return err;
}

/* A put that failed leaves nothing behind. */
static int forget(struct rmr_pool *pool, const struct rmr_op *op, int err)
{
	if (rmr_index_replace(&pool->r->index, &op->key, op->entry, core_entry_empty()))
		rmr_io_free_entry(pool->r, op->entry);
	return err;
}

int rmr_put_range(struct rmr_pool *pool, uint64_t object, uint64_t index, size_t offset, size_t len,
		  const void *data)
{
	struct rmr_thread *t = rmr_thread_get(pool->r);
	struct rmr_op *op;
	int err, tries;

	if (!range_valid(pool, offset, len))
		return -EINVAL;
	if (!t)
		return -ENOMEM;
	if (len == pool->page_bytes)
		return rmr_put(pool, object, index, data);
	op = &t->ops[0];
	for (tries = 0; tries < RANGE_TRIES; tries++) {
		err = fetch(t, pool, object, index);
		if (err)
			return err;
		memcpy(op->bounce.addr + offset, data, len);
		op->verb = RMR_OP_MOVE; /* over what was read, else again */
		op->remote_only = false;
		rmr_op_start(op);
		rmr_io_wait(&t->caller, op);
		if (op->result != -EAGAIN)
			return op->result ? forget(pool, op, op->result) : 0;
	}
	return -EAGAIN;
}
