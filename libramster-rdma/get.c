// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * get.c - a page comes back:
 *
 *   look up -> here (same, compressed) -> checksum -> done
 *           -> remote: READ -> checksum -> done
 */
#include "op.h"

#include "crc32c.h"

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
	rmr_op_finish(op, 0);
}

static void get_fail(struct rmr_op *op, int err)
{
	if (rmr_op_is_ephemeral(op) && (err == -EIO || err == -EAGAIN))
		err = -ENOENT;
	if (err == -EAGAIN || err == -EBUSY) {
		if (rmr_op_wait(op))
			return;
		err = -ETIMEDOUT;
	}
	if (op->mem) /* nothing of a page that cannot be had is left to see */
		memset(op->addr, 0, op->page_bytes);
	rmr_op_finish(op, err);
}

static bool changed(const struct rmr_op *op)
{
	return !core_entry_equal(rmr_index_peek(&op->caller->r->index, &op->key), op->entry);
}

/*
 * The slab is no more. The page may have left it in time; else the mover, which may have read
 * it before, is about to say where it lies now, or that it is lost. (It does not wait for itself.)
 */
static void get_gone(struct rmr_op *op)
{
	if (changed(op))
		rmr_get_start(op);
	else
		get_fail(op, op->caller->port.bulk ? -EIO : -EAGAIN);
}

/* The page that came is not the one that was put: overwritten meanwhile, or damaged. */
static void get_damaged(struct rmr_op *op)
{
	struct rmr *r = op->caller->r;

	if (changed(op)) {
		rmr_get_start(op);
		return;
	}
	rmr_count(op->caller, RMR_CRC_ERRORS);
	rmr_log(&r->log, 4, "page %llu of object %llu came back damaged",
		(unsigned long long)op->key.index, (unsigned long long)op->key.object);
	if (rmr_op_is_ephemeral(op) &&
	    rmr_index_replace(&r->index, &op->key, op->entry, core_entry_empty()))
		rmr_io_free_entry(r, op->entry);
	get_fail(op, -EIO);
}

static void get_verify(struct rmr_op *op)
{
	if (rmr_crc32c(rmr_op_data(op), op->page_bytes) == core_entry_get_crc(op->entry))
		get_deliver(op);
	else
		get_damaged(op);
}

static void get_compressed(struct rmr_op *op)
{
	struct rmr *r = op->caller->r;
	u64 handle = core_entry_get_handle(op->entry);
	int err = rmr_ztier_get(handle, rmr_op_data(op), op->page_bytes);

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
		get_gone(op);
		return;
	}
	err = rmr_op_post(op, false);
	if (!err)
		return;
	rmr_op_drop_slab(op);
	if (err == -EIO)
		get_gone(op);
	else
		get_fail(op, err);
}

void rmr_get_start(struct rmr_op *op)
{
	op->entry = rmr_index_get(&op->caller->r->index, &op->key);
	switch (core_entry_where(op->entry)) {
	case CORE_SAME:
		fill(rmr_op_data(op), op->page_bytes, core_entry_get_word(op->entry));
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

void rmr_get_ended(struct rmr_op *op)
{
	int err = op->wr.err ? rmr_op_wire_error(op, op->wr.err) : 0;

	rmr_op_drop_slab(op);
	if (err == -EIO) {
		get_gone(op);
	} else if (err) {
		get_fail(op, err);
	} else {
		rmr_count(op->caller, RMR_REMOTE_READS);
		get_verify(op);
	}
}
