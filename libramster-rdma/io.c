// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * io.c - the way of a page.
 *
 *   get: look up -> here (same, compressed): done
 *                -> remote: READ -> checksum -> done
 *   put: ticket -> one word repeated: done
 *               -> slot -> WRITE -> publish -> done
 *               -> no slot: compress -> publish -> done
 *
 * What has to wait (a connection coming back, room being asked for) lies in
 * caller.todo and is tried again when something has changed.
 */
#include "io.h"

#include <stdlib.h>

#include "context.h"
#include "crc32c.h"

/* Between two tries of what waits, should nobody tell of a change. */
#define RETRY_MS 10
/* Pages that may vanish are not worth a longer wait for room. */
#define EPHEMERAL_MS 200
/* The mover has other pages to move, and comes back. */
#define MOVER_MS 1000
/* Polls between two looks at the clock, which may be a system call: some 10 us. */
#define SPINS 128
/* Longest sleep without looking. */
#define SLEEP_MS 100

static void get_start(struct rmr_op *op);
static void put_place(struct rmr_op *op);

void rmr_op_init(struct rmr_op *op, struct rmr_caller *caller)
{
	memset(op, 0, sizeof(*op));
	op->caller = caller;
	op->wr.port = &caller->port;
}

void rmr_op_uninit(struct rmr_op *op)
{
	rmr_mem_uninit(&op->bounce);
	free(op->bounce.addr);
}

int rmr_op_reserve(struct rmr_op *op, u32 page_bytes)
{
	if (op->bounce.len >= page_bytes)
		return 0;
	rmr_op_uninit(op);
	rmr_mem_init(&op->bounce, aligned_alloc(4096, page_bytes), page_bytes);
	if (op->bounce.addr)
		return 0;
	op->bounce.len = 0;
	return -ENOMEM;
}

/* Where the device reads or writes the page, and what it is part of. */
static u8 *data_of(const struct rmr_op *op)
{
	return op->mem ? op->addr : op->bounce.addr;
}

static struct rmr_mem *mem_of(struct rmr_op *op)
{
	return op->mem ? op->mem : &op->bounce;
}

static bool is_ephemeral(const struct rmr_op *op)
{
	return rmr_key_is_ephemeral(&op->key);
}

/* ---- ends ---- */

static void finish(struct rmr_op *op, int result)
{
	struct rmr_caller *c = op->caller;

	op->result = result;
	op->finished = true;
	if (op->verb == RMR_OP_GET && !result)
		rmr_count(c, RMR_HITS);
	if (c->keeps_ended)
		TAILQ_INSERT_TAIL(&c->ended, op, link);
}

/* True: it waits. False: it has waited long enough. */
static bool wait_more(struct rmr_op *op)
{
	struct rmr_caller *c = op->caller;
	u32 limit = c->r->options.timeout_ms;
	u64 now = rmr_now_ms();

	if (op->verb != RMR_OP_GET && is_ephemeral(op) && limit > EPHEMERAL_MS)
		limit = EPHEMERAL_MS;
	if (c->port.bulk && limit > MOVER_MS)
		limit = MOVER_MS;
	if (!op->deadline)
		op->deadline = now + limit;
	if (now >= op->deadline)
		return false;
	if (TAILQ_EMPTY(&c->todo)) {
		c->retry_at = now + RETRY_MS;
		c->epoch = __atomic_load_n(&c->r->epoch, __ATOMIC_ACQUIRE);
	}
	TAILQ_INSERT_TAIL(&c->todo, op, link);
	__atomic_store_n(&c->waiting, true, __ATOMIC_RELEASE);
	return true;
}

void rmr_io_hold(void *owner, struct core_entry e)
{
	struct rmr *r = owner;
	struct core_remote where;
	struct rmr_slab *slab;

	if (core_entry_where(e) == CORE_ZSTD)
		rmr_ztier_hold(core_entry_get_handle(e));
	if (core_entry_where(e) != CORE_REMOTE)
		return;
	where = core_entry_get_remote(e);
	slab = rmr_slabs_find(&r->remote.slabs, &where);
	if (slab)
		rmr_slab_get(slab);
}

void rmr_io_free_entry(struct rmr *r, struct core_entry e)
{
	struct core_remote where;
	struct rmr_slab *slab;

	if (core_entry_where(e) == CORE_ZSTD)
		rmr_ztier_release(&r->ztier, core_entry_get_handle(e));
	if (core_entry_where(e) != CORE_REMOTE)
		return;
	where = core_entry_get_remote(e);
	slab = rmr_slabs_find(&r->remote.slabs, &where);
	if (slab)
		rmr_slab_free_slot(&r->remote.slabs, slab, where.slot);
}

/* ---- the wire ---- */

static int post(struct rmr_op *op, bool write)
{
	int err;

	op->wr.write = write;
	err = rmr_slab_post(op->slab, op->slot, &op->wr, data_of(op),
			    &op->caller->r->remote.devices, mem_of(op), op->page_bytes);
	if (err == -EAGAIN)
		rmr_session_kick(op->slab->session); /* to look at its lanes */
	return err;
}

/* The wire has failed us. What may be hoped for: -EAGAIN, or -EIO: nothing. */
static int wire_error(struct rmr_op *op, int err)
{
	rmr_session_kick(op->slab->session);
	if (err == -EACCES)
		rmr_remote_refused(&op->caller->r->remote, op->slab);
	return rmr_slab_state(op->slab) == CORE_LEASE_FENCED ? -EIO : -EAGAIN;
}

static void drop_slab(struct rmr_op *op)
{
	rmr_slab_put(&op->caller->r->remote.slabs, op->slab);
	op->slab = NULL;
}

/* ---- get ---- */

static void fill(u8 *data, u32 len, u64 word)
{
	u32 i;

	for (i = 0; i < len; i += sizeof(word))
		memcpy(data + i, &word, sizeof(word));
}

/* The page is where the device has put it, and is right. */
static void get_deliver(struct rmr_op *op)
{
	if (!op->mem && op->addr)
		memcpy(op->addr, op->bounce.addr, op->page_bytes);
	finish(op, 0);
}

static void get_fail(struct rmr_op *op, int err)
{
	if (is_ephemeral(op) && (err == -EIO || err == -EAGAIN))
		err = -ENOENT;
	if (err == -EAGAIN || err == -EBUSY) {
		if (wait_more(op))
			return;
		err = -ETIMEDOUT;
	}
	if (op->mem) /* nothing of a page that cannot be had is left to see */
		memset(op->addr, 0, op->page_bytes);
	finish(op, err);
}

/* The page that came is not the one that was put: overwritten meanwhile, or damaged. */
static void get_damaged(struct rmr_op *op)
{
	struct rmr *r = op->caller->r;

	if (!core_entry_equal(rmr_index_peek(&r->index, &op->key), op->entry)) {
		get_start(op);
		return;
	}
	rmr_count(op->caller, RMR_CRC_ERRORS);
	rmr_log(&r->log, 4, "page %llu of object %llu came back damaged",
		(unsigned long long)op->key.index, (unsigned long long)op->key.object);
	if (is_ephemeral(op) &&
	    rmr_index_replace(&r->index, &op->key, op->entry, core_entry_empty()))
		rmr_io_free_entry(r, op->entry);
	get_fail(op, -EIO);
}

static void get_verify(struct rmr_op *op)
{
	if (rmr_crc32c(data_of(op), op->page_bytes) == core_entry_get_crc(op->entry))
		get_deliver(op);
	else
		get_damaged(op);
}

static void get_compressed(struct rmr_op *op)
{
	struct rmr *r = op->caller->r;
	u64 handle = core_entry_get_handle(op->entry);
	int err = rmr_ztier_get(handle, data_of(op), op->page_bytes);

	rmr_ztier_release(&r->ztier, handle);
	if (err)
		get_fail(op, err);
	else
		get_verify(op);
}

static void get_remote(struct rmr_op *op)
{
	struct core_remote where = core_entry_get_remote(op->entry);
	int err;

	op->slab = rmr_slabs_find(&op->caller->r->remote.slabs, &where);
	op->slot = where.slot;
	if (!op->slab) {
		get_fail(op, -EIO);
		return;
	}
	err = post(op, false);
	if (!err)
		return;
	drop_slab(op);
	get_fail(op, err);
}

static void get_start(struct rmr_op *op)
{
	op->entry = rmr_index_get(&op->caller->r->index, &op->key);
	switch (core_entry_where(op->entry)) {
	case CORE_SAME:
		fill(data_of(op), op->page_bytes, core_entry_get_word(op->entry));
		get_deliver(op);
		break;
	case CORE_ZSTD:
		get_compressed(op);
		break;
	case CORE_REMOTE:
		get_remote(op);
		break;
	case CORE_EMPTY:
		get_fail(op, -ENOENT);
		break;
	default:
		get_fail(op, -EIO);
		break;
	}
}

static void get_ended(struct rmr_op *op)
{
	int err = op->wr.err ? wire_error(op, op->wr.err) : 0;

	drop_slab(op);
	if (err) {
		get_fail(op, err);
		return;
	}
	rmr_count(op->caller, RMR_REMOTE_READS);
	get_verify(op);
}

/* ---- put ---- */

static bool same_filled(const u8 *data, u32 len, u64 *word)
{
	u64 first, last;

	memcpy(&first, data, sizeof(first));
	memcpy(&last, data + len - sizeof(last), sizeof(last));
	*word = first;
	/* most pages end here; the rest is compared with itself, shifted by a word */
	return first == last && !memcmp(data, data + sizeof(first), len - sizeof(first));
}

/* e is where the page lies now. */
static void put_publish(struct rmr_op *op, struct core_entry e)
{
	struct rmr *r = op->caller->r;
	struct core_entry old = op->entry;
	bool done;

	if (op->verb == RMR_OP_MOVE)
		done = rmr_index_replace(&r->index, &op->key, op->entry, e);
	else
		done = rmr_index_publish(&r->index, &op->key, op->ticket, e, &old);
	rmr_io_free_entry(r, done ? old : e);
	/* a put that came too late was followed by a later one or a flush: nothing is wrong */
	finish(op, done || op->verb == RMR_OP_PUT ? 0 : -EAGAIN);
}

static void put_fail(struct rmr_op *op, int err)
{
	struct rmr *r = op->caller->r;

	if (op->verb == RMR_OP_PUT)
		rmr_io_free_entry(r, rmr_index_abort(&r->index, &op->key, op->ticket));
	finish(op, err);
}

/* No donor has room now. */
static void put_local(struct rmr_op *op)
{
	struct rmr *r = op->caller->r;
	int err = -ENOSPC;
	u64 handle;

	if (!is_ephemeral(op) && !op->remote_only)
		err = rmr_ztier_put(&r->ztier, data_of(op), op->page_bytes, &handle);
	if (!err) {
		put_publish(op, core_entry_zstd(handle, op->crc));
		rmr_mover_kick(&r->mover); /* to ship it when there is room */
		return;
	}
	/* the mover itself makes room for others: it comes back by itself */
	if (op->verb == RMR_OP_PUT && rmr_remote_hopeful(&r->remote)) {
		rmr_remote_want(&r->remote);
		if (wait_more(op))
			return;
	}
	put_fail(op, err);
}

static void free_slot(struct rmr_op *op)
{
	rmr_slab_free_slot(&op->caller->r->remote.slabs, op->slab, op->slot);
	drop_slab(op);
}

/* Pages that may vanish make room for those that must not, and for newer ones. */
static struct rmr_slab *take_slot(struct rmr_op *op)
{
	struct rmr_caller *c = op->caller;
	struct rmr_remote *remote = &c->r->remote;
	struct rmr_slab *slab =
		rmr_remote_alloc(remote, &c->hint, op->page_bytes, &op->key, &op->slot);

	if (!slab && !rmr_remote_hopeful(remote) && rmr_evict(c->r, c, op->page_bytes))
		slab = rmr_remote_alloc(remote, &c->hint, op->page_bytes, &op->key, &op->slot);
	return slab;
}

static void put_place(struct rmr_op *op)
{
	int err = 0;

	while ((op->slab = take_slot(op))) {
		err = post(op, true);
		if (!err)
			return;
		free_slot(op);
		if (err != -EIO) /* fenced: such a slab is not found again */
			break;
	}
	if ((err == -EBUSY || err == -EAGAIN) && wait_more(op))
		return;
	put_local(op);
}

static void put_start(struct rmr_op *op)
{
	struct rmr *r = op->caller->r;
	u64 word;

	if (!op->mem && op->addr)
		memcpy(op->bounce.addr, op->addr, op->page_bytes);
	if (op->verb == RMR_OP_PUT) {
		op->ticket = rmr_index_begin(&r->index, &op->key);
		if (!op->ticket) {
			rmr_io_free_entry(r, rmr_index_remove(&r->index, &op->key));
			finish(op, -ENOMEM);
			return;
		}
	}
	if (same_filled(data_of(op), op->page_bytes, &word)) {
		put_publish(op, core_entry_same(word));
		return;
	}
	op->crc = rmr_crc32c(data_of(op), op->page_bytes);
	put_place(op);
}

static void put_ended(struct rmr_op *op)
{
	const struct core_remote where = {
		.slab = op->slab->index,
		.slot = op->slot,
		.generation = op->slab->generation,
		.crc = op->crc,
	};

	if (op->wr.err) {
		wire_error(op, op->wr.err);
		free_slot(op);
		put_place(op);
		return;
	}
	rmr_count(op->caller, RMR_REMOTE_WRITES);
	put_publish(op, core_entry_remote(&where));
	drop_slab(op);
}

/* ---- callers ---- */

void rmr_op_start(struct rmr_op *op)
{
	op->finished = false;
	op->deadline = 0;
	op->slab = NULL;
	rmr_count(op->caller, op->verb == RMR_OP_GET ? RMR_GETS : RMR_PUTS);
	if (op->verb == RMR_OP_GET)
		get_start(op);
	else
		put_start(op);
}

static void retry(struct rmr_caller *c)
{
	struct rmr_ops list = TAILQ_HEAD_INITIALIZER(list);
	struct rmr_op *op;

	TAILQ_CONCAT(&list, &c->todo, link);
	__atomic_store_n(&c->waiting, false, __ATOMIC_RELEASE);
	while ((op = TAILQ_FIRST(&list))) {
		TAILQ_REMOVE(&list, op, link);
		if (op->verb == RMR_OP_GET)
			get_start(op);
		else
			put_place(op);
	}
}

void rmr_io_progress(struct rmr_caller *c)
{
	struct rmr_wrs done = TAILQ_HEAD_INITIALIZER(done);
	bool any = rmr_port_take(&c->port, &done);
	struct rmr_wr *wr;
	struct rmr_op *op;

	while ((wr = TAILQ_FIRST(&done))) {
		TAILQ_REMOVE(&done, wr, link);
		op = (struct rmr_op *)((char *)wr - offsetof(struct rmr_op, wr));
		if (wr->write)
			put_ended(op);
		else
			get_ended(op);
	}
	if (TAILQ_EMPTY(&c->todo))
		return;
	/* a place in a queue came free, something has changed, or it is time */
	if (any || c->epoch != __atomic_load_n(&c->r->epoch, __ATOMIC_ACQUIRE) ||
	    rmr_now_ms() >= c->retry_at)
		retry(c);
}

void rmr_io_arm(struct rmr_caller *c)
{
	u64 posts;

	/* what was tried again may be on a lane that tells nothing yet */
	do {
		posts = c->port.posts;
		rmr_port_arm(&c->port);
		rmr_io_progress(c);
	} while (posts != c->port.posts);
}

void rmr_io_sleep(struct rmr_caller *c, u32 timeout_ms)
{
	u32 most = TAILQ_EMPTY(&c->todo) ? SLEEP_MS : RETRY_MS;

	rmr_port_sleep(&c->port, timeout_ms < most ? timeout_ms : most);
}

/* On the spot, for poll_us. */
static bool spin(struct rmr_caller *c, const struct rmr_op *op)
{
	u64 end = 0;
	u32 i;

	while (TAILQ_EMPTY(&c->todo)) {
		for (i = 0; i < SPINS; i++) {
			rmr_io_progress(c);
			if (op->finished)
				return true;
		}
		if (!end)
			end = rmr_now_us() + c->r->options.poll_us;
		else if (rmr_now_us() >= end)
			break;
	}
	return false;
}

void rmr_io_wait(struct rmr_caller *c, struct rmr_op *op)
{
	if (op->finished || (c->r->options.poll_us && spin(c, op)))
		return;
	for (;;) {
		rmr_io_arm(c);
		if (op->finished)
			return;
		rmr_io_sleep(c, SLEEP_MS);
		rmr_io_progress(c);
		if (op->finished)
			return;
	}
}
