// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * context.c - opening and closing a fabric, and who calls.
 */
#include "context.h"

#include <stdlib.h>

void rmr_options_init(struct rmr_options *options)
{
	memset(options, 0, sizeof(*options));
	options->size = sizeof(*options);
	options->slab_bytes = RAMSTER_SLAB_DEFAULT;
	options->zstd_bytes = 64u << 20;
	options->poll_us = 200;
	options->timeout_ms = 30000;
}

/* ---- callers ---- */

/* The lowest that is free. Beyond 64 they share lanes with others anyway. */
static u32 take_number(struct rmr *r)
{
	u32 number;

	pthread_mutex_lock(&r->lock);
	number = ~r->numbers ? core_ctz64(~r->numbers) : 64 + r->ncallers;
	if (number < 64)
		r->numbers |= 1ull << number;
	r->ncallers++;
	pthread_mutex_unlock(&r->lock);
	return number;
}

static void give_number(struct rmr *r, u32 number)
{
	pthread_mutex_lock(&r->lock);
	if (number < 64)
		r->numbers &= ~(1ull << number);
	r->ncallers--;
	pthread_mutex_unlock(&r->lock);
}

int rmr_caller_init(struct rmr_caller *c, struct rmr *r, bool own)
{
	u32 number = 0;
	int err;

	memset(c, 0, sizeof(*c));
	c->r = r;
	TAILQ_INIT(&c->todo);
	TAILQ_INIT(&c->ended);
	if (!own)
		number = take_number(r);
	c->hint = number;
	err = rmr_port_init(&c->port, number, RMR_MAX_DONORS * RMR_LANES);
	if (err) {
		if (!own)
			give_number(r, number);
		return err;
	}
	c->port.bulk = own;
	pthread_mutex_lock(&r->lock);
	TAILQ_INSERT_TAIL(&r->callers, c, link);
	pthread_mutex_unlock(&r->lock);
	if (!own)
		rmr_remote_kick_sessions(&r->remote);
	return 0;
}

void rmr_caller_uninit(struct rmr_caller *c)
{
	struct rmr *r = c->r;
	u32 i;

	pthread_mutex_lock(&r->lock);
	TAILQ_REMOVE(&r->callers, c, link);
	for (i = 0; i < RMR_COUNTERS; i++)
		r->counters[i] += c->counters[i];
	pthread_mutex_unlock(&r->lock);
	if (!c->port.bulk)
		give_number(r, c->port.number);
	rmr_port_uninit(&c->port);
}

static void thread_free(void *arg)
{
	struct rmr_thread *t = arg;
	u32 i;

	for (i = 0; i < RMR_THREAD_OPS; i++)
		rmr_op_uninit(&t->ops[i]);
	rmr_caller_uninit(&t->caller);
	free(t);
}

static struct rmr_thread *thread_create(struct rmr *r)
{
	struct rmr_thread *t = calloc(1, sizeof(*t));
	u32 i;

	if (!t)
		return NULL;
	if (rmr_caller_init(&t->caller, r, false)) {
		free(t);
		return NULL;
	}
	for (i = 0; i < RMR_THREAD_OPS; i++)
		rmr_op_init(&t->ops[i], &t->caller);
	if (!pthread_setspecific(r->thread_key, t))
		return t;
	thread_free(t);
	return NULL;
}

struct rmr_thread *rmr_thread_get(struct rmr *r)
{
	struct rmr_thread *t = pthread_getspecific(r->thread_key);

	return t ? t : thread_create(r);
}

/* ---- what the remote tier tells ---- */

static void on_moving(void *owner)
{
	struct rmr *r = owner;

	rmr_mover_kick(&r->mover);
}

/* Wake who waits for a change. */
static void wake_waiting(struct rmr *r)
{
	struct rmr_caller *c;

	pthread_mutex_lock(&r->lock);
	TAILQ_FOREACH(c, &r->callers, link)
		if (__atomic_load_n(&c->waiting, __ATOMIC_ACQUIRE))
			rmr_port_wake(&c->port);
	pthread_mutex_unlock(&r->lock);
}

static void on_changed(void *owner)
{
	struct rmr *r = owner;

	__atomic_add_fetch(&r->epoch, 1, __ATOMIC_RELEASE);
	wake_waiting(r);
}

/* Time-outs, too, are told to who sleeps. */
static void on_tick(void *owner)
{
	wake_waiting(owner);
}

static u32 on_ports(void *owner)
{
	struct rmr *r = owner;
	u32 n;

	pthread_mutex_lock(&r->lock);
	n = r->ncallers;
	pthread_mutex_unlock(&r->lock);
	return n;
}

static const struct rmr_remote_ops remote_ops = {
	.moving = on_moving,
	.changed = on_changed,
	.tick = on_tick,
	.ports = on_ports,
};

/* ---- life ---- */

static void release_entry(void *owner, struct core_entry e)
{
	rmr_io_free_entry(owner, e);
}

static int set_options(struct rmr *r, const struct rmr_options *options)
{
	rmr_options_init(&r->options);
	if (options) {
		if (options->size < sizeof(options->size) || options->size > sizeof(*options))
			return -EINVAL;
		memcpy(&r->options, options, options->size);
	}
	if (!core_slab_bytes_valid(r->options.slab_bytes))
		return -EINVAL;
	r->log.line = r->options.log;
	r->log.arg = r->options.log_arg;
	return 0;
}

/* What threads of the program have left here. Theirs to free no more: the key is gone. */
static void free_threads(struct rmr *r)
{
	struct rmr_caller *c;

	while ((c = TAILQ_FIRST(&r->callers)))
		thread_free((char *)c - offsetof(struct rmr_thread, caller));
}

/* Books first, then threads, which find all books in order. */
static int init_parts(struct rmr *r, const char *donors)
{
	const struct rmr_remote_params p = {
		.donors = donors,
		.slab_bytes = r->options.slab_bytes,
		.log = &r->log,
		.ops = &remote_ops,
		.owner = r,
	};
	int err;

	rmr_ztier_init(&r->ztier, r->options.zstd_bytes);
	err = pthread_key_create(&r->thread_key, thread_free);
	if (err)
		return -err;
	err = rmr_index_init(&r->index, rmr_io_hold, r);
	if (err)
		goto no_index;
	err = rmr_remote_init(&r->remote, &p);
	if (!err)
		err = rmr_mover_init(&r->mover, r);
	if (!err)
		return 0;
	rmr_remote_uninit(&r->remote);
	rmr_index_uninit(&r->index, release_entry);
no_index:
	pthread_key_delete(r->thread_key);
	return err;
}

/* Mirrors init_parts(). Entries name slabs, so they go first. */
static void uninit_parts(struct rmr *r)
{
	pthread_key_delete(r->thread_key);
	rmr_mover_uninit(&r->mover);
	free_threads(r);
	rmr_index_uninit(&r->index, release_entry);
	rmr_remote_uninit(&r->remote);
}

static int start_parts(struct rmr *r)
{
	int err = rmr_mover_start(&r->mover);

	if (err)
		return err;
	err = rmr_remote_start(&r->remote);
	if (err) {
		rmr_remote_stop(&r->remote);
		rmr_mover_stop(&r->mover);
	}
	return err;
}

int rmr_open(const char *donors, const struct rmr_options *options, struct rmr **fabric)
{
	struct rmr *r;
	int err = rmr_devices_probe();

	if (err)
		return err;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	pthread_mutex_init(&r->lock, NULL);
	TAILQ_INIT(&r->callers);
	TAILQ_INIT(&r->pool_list);
	err = set_options(r, options);
	if (err)
		goto free;
	err = init_parts(r, donors);
	if (err)
		goto free;
	err = start_parts(r);
	if (err)
		goto uninit;
	*fabric = r;
	return 0;
uninit:
	uninit_parts(r);
free:
	pthread_mutex_destroy(&r->lock);
	free(r);
	return err;
}

int rmr_wait_connected(struct rmr *r, uint32_t timeout_ms)
{
	return rmr_remote_wait_live(&r->remote, timeout_ms);
}

void rmr_close(struct rmr *r)
{
	struct rmr_pool *pool;

	rmr_remote_stop(&r->remote);
	rmr_mover_stop(&r->mover);
	uninit_parts(r);
	while ((pool = TAILQ_FIRST(&r->pool_list))) {
		TAILQ_REMOVE(&r->pool_list, pool, link);
		free(pool);
	}
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* ---- statistics ---- */

static void sum_counters(struct rmr *r, u64 *sum)
{
	struct rmr_caller *c;
	u32 i;

	pthread_mutex_lock(&r->lock);
	memcpy(sum, r->counters, sizeof(r->counters));
	TAILQ_FOREACH(c, &r->callers, link)
		for (i = 0; i < RMR_COUNTERS; i++)
			sum[i] += __atomic_load_n(&c->counters[i], __ATOMIC_RELAXED);
	pthread_mutex_unlock(&r->lock);
}

void rmr_stats(struct rmr *r, struct rmr_stats *stats, size_t size)
{
	u64 sum[RMR_COUNTERS], pages[CORE_WHERES];
	struct rmr_slabs_count slabs;
	struct rmr_stats all;
	u32 i;

	sum_counters(r, sum);
	rmr_index_count(&r->index, pages);
	rmr_slabs_count(&r->remote.slabs, NULL, &slabs);
	all = (struct rmr_stats){
		.donors = r->remote.ndonors,
		.slabs = slabs.held,
		.slabs_revoked = slabs.revoking,
		.remote_pages = pages[CORE_REMOTE],
		.zstd_pages = pages[CORE_ZSTD],
		.same_pages = pages[CORE_SAME],
		.lost_pages = pages[CORE_LOST],
		.zstd_bytes = rmr_ztier_bytes(&r->ztier),
		.gets = sum[RMR_GETS],
		.hits = sum[RMR_HITS],
		.puts = sum[RMR_PUTS],
		.remote_reads = sum[RMR_REMOTE_READS],
		.remote_writes = sum[RMR_REMOTE_WRITES],
		.evacuated = sum[RMR_EVACUATED],
		.shipped = sum[RMR_SHIPPED],
		.vanished = sum[RMR_VANISHED],
		.crc_errors = sum[RMR_CRC_ERRORS],
	};
	for (i = 0; i < r->remote.ndonors; i++)
		all.donors_live += rmr_session_live(r->remote.donors[i].session);
	memcpy(stats, &all, size < sizeof(all) ? size : sizeof(all));
}
