/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * op.h - between io.c, get.c and put.c: an op and the steps of its way.
 */
#ifndef RMR_OP_H
#define RMR_OP_H

#include "context.h"

/* Where the device reads or writes the page, and what it is part of. */
static inline u8 *rmr_op_data(const struct rmr_op *op)
{
	return op->mem ? op->addr : op->bounce.addr;
}

static inline struct rmr_mem *rmr_op_mem(struct rmr_op *op)
{
	return op->mem ? op->mem : &op->bounce;
}

static inline bool rmr_op_is_ephemeral(const struct rmr_op *op)
{
	return rmr_key_is_ephemeral(&op->key);
}

void rmr_op_finish(struct rmr_op *op, int result);
/* Try again later. False: it has waited long enough. */
bool rmr_op_wait(struct rmr_op *op);
/* As rmr_slab_post(), of op.slab and op.slot. */
int rmr_op_post(struct rmr_op *op, bool write);
/* The wire has failed us. What may be hoped for: -EAGAIN, or -EIO: nothing. */
int rmr_op_wire_error(struct rmr_op *op, int err);
/* Let go of op.slab. */
void rmr_op_drop_slab(struct rmr_op *op);

void rmr_get_start(struct rmr_op *op);
/* The READ has ended; op.wr says how. */
void rmr_get_ended(struct rmr_op *op);

void rmr_put_start(struct rmr_op *op);
/* Find a place for the page, whose checksum is known. */
void rmr_put_place(struct rmr_op *op);
/* The WRITE has ended; op.wr says how. */
void rmr_put_ended(struct rmr_op *op);

#endif /* RMR_OP_H */
