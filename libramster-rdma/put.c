// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * put.c - a page goes out:
 *
 *   ticket -> one word repeated -> publish -> done
 *          -> slot -> WRITE -> publish -> done
 *          -> no slot: compress -> publish -> done
 */
#include "op.h"

#include "crc32c.h"

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
	rmr_op_finish(op, done || op->verb == RMR_OP_PUT ? 0 : -EAGAIN);
}

static void put_fail(struct rmr_op *op, int err)
{
	struct rmr *r = op->caller->r;

	if (op->verb == RMR_OP_PUT)
		rmr_io_free_entry(r, rmr_index_abort(&r->index, &op->key, op->ticket));
	rmr_op_finish(op, err);
}

/* No donor has room now. */
static void put_local(struct rmr_op *op)
{
	struct rmr *r = op->caller->r;
	int err = -ENOSPC;
	u64 handle;

	if (!rmr_op_is_ephemeral(op) && !op->remote_only)
		err = rmr_ztier_put(&r->ztier, rmr_op_data(op), op->page_bytes, &handle);
	if (!err) {
		put_publish(op, core_entry_zstd(handle, op->crc));
		rmr_mover_kick(&r->mover); /* to ship it when there is room */
		return;
	}
	/* the mover itself makes room for others: it comes back by itself */
	if (!op->caller->port.bulk && rmr_remote_hopeful(&r->remote)) {
		rmr_remote_want(&r->remote);
		if (rmr_op_wait(op))
			return;
	}
	put_fail(op, err);
}

static void free_slot(struct rmr_op *op)
{
	rmr_slab_free_slot(&op->caller->r->remote.slabs, op->slab, op->slot);
	rmr_op_drop_slab(op);
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

void rmr_put_place(struct rmr_op *op)
{
	int err = 0;

	while ((op->slab = take_slot(op))) {
		err = rmr_op_post(op, true);
		if (!err)
			return;
		free_slot(op);
		if (err != -EIO) /* fenced: such a slab is not found again */
			break;
	}
	if ((err == -EBUSY || err == -EAGAIN) && rmr_op_wait(op))
		return;
	put_local(op);
}

void rmr_put_start(struct rmr_op *op)
{
	struct rmr *r = op->caller->r;
	u64 word;

	if (!op->mem && op->addr)
		memcpy(op->bounce.addr, op->addr, op->page_bytes);
	if (op->verb == RMR_OP_PUT) {
		op->ticket = rmr_index_begin(&r->index, &op->key);
		if (!op->ticket) {
			rmr_io_free_entry(r, rmr_index_remove(&r->index, &op->key));
			rmr_op_finish(op, -ENOMEM);
			return;
		}
	}
	if (same_filled(rmr_op_data(op), op->page_bytes, &word)) {
		put_publish(op, core_entry_same(word));
		return;
	}
	op->crc = rmr_crc32c(rmr_op_data(op), op->page_bytes);
	rmr_put_place(op);
}

void rmr_put_ended(struct rmr_op *op)
{
	const struct core_remote where = {
		.slab = op->slab->index,
		.slot = op->slot,
		.generation = op->slab->generation,
		.crc = op->crc,
	};

	if (op->wr.err) {
		rmr_op_wire_error(op, op->wr.err);
		free_slot(op);
		rmr_put_place(op);
		return;
	}
	rmr_count(op->caller, RMR_REMOTE_WRITES);
	put_publish(op, core_entry_remote(&where));
	rmr_op_drop_slab(op);
}
