// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * op.c - what get and put have in common: memory, waiting, the wire, the end.
 */
#include "op.h"

#include <stdlib.h>

/* Room that does not come in this time does not come. */
#define ROOM_MS 3000
/* Pages that may vanish are not worth a longer wait for room. */
#define EPHEMERAL_MS 200
/* The mover has other pages to move, and comes back. */
#define MOVER_MS 1000

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

/* ---- ends ---- */

void rmr_op_finish(struct rmr_op *op, int result)
{
	struct rmr_caller *c = op->caller;

	op->result = result;
	op->finished = true;
	if (op->verb == RMR_OP_GET && !result && !c->port.bulk)
		rmr_count(c, RMR_HITS);
	if (c->keeps_ended)
		TAILQ_INSERT_TAIL(&c->ended, op, link);
}

/* True: it waits. False: it has waited long enough. */
bool rmr_op_wait(struct rmr_op *op)
{
	struct rmr_caller *c = op->caller;
	u32 limit = c->r->options.timeout_ms;
	u64 now = rmr_now_ms();

	if (op->verb != RMR_OP_GET && limit > ROOM_MS)
		limit = ROOM_MS;
	if (op->verb != RMR_OP_GET && rmr_op_is_ephemeral(op) && limit > EPHEMERAL_MS)
		limit = EPHEMERAL_MS;
	if (c->port.bulk && limit > MOVER_MS)
		limit = MOVER_MS;
	if (!op->deadline)
		op->deadline = now + limit;
	if (now >= op->deadline)
		return false;
	if (TAILQ_EMPTY(&c->todo)) {
		c->retry_at = now + RMR_RETRY_MS;
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

int rmr_op_post(struct rmr_op *op, bool write)
{
	int err;

	op->wr.write = write;
	err = rmr_slab_post(op->slab, op->slot, &op->wr, rmr_op_data(op),
			    &op->caller->r->remote.devices, rmr_op_mem(op), op->page_bytes);
	if (err == -EAGAIN)
		rmr_session_kick(op->slab->session); /* to look at its lanes */
	return err;
}

/* The wire has failed us. What may be hoped for: -EAGAIN, or -EIO: nothing. */
int rmr_op_wire_error(struct rmr_op *op, int err)
{
	rmr_session_kick(op->slab->session);
	if (err == -EACCES)
		rmr_remote_refused(&op->caller->r->remote, op->slab);
	return rmr_slab_state(op->slab) == CORE_LEASE_FENCED ? -EIO : -EAGAIN;
}

void rmr_op_drop_slab(struct rmr_op *op)
{
	rmr_slab_put(&op->caller->r->remote.slabs, op->slab);
	op->slab = NULL;
}
