// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * io.c - callers: ops are started, go on when the wire tells, and are waited for.
 *
 * What has to wait (a connection coming back, room being asked for) lies in
 * caller.todo and is tried again when something has changed.
 */
#include "op.h"

/* Longest sleep without looking. */
#define SLEEP_MS 100
/* After polling in vain so many waits are slept through at most before the next try. */
#define MOST_SKIPPED 15

void rmr_op_start(struct rmr_op *op)
{
	op->finished = false;
	op->deadline = 0;
	op->slab = NULL;
	if (!op->caller->port.bulk)
		rmr_count(op->caller, op->verb == RMR_OP_GET ? RMR_GETS : RMR_PUTS);
	if (op->verb == RMR_OP_GET)
		rmr_get_start(op);
	else
		rmr_put_start(op);
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
			rmr_get_start(op);
		else
			rmr_put_place(op);
	}
}

void rmr_io_progress(struct rmr_caller *c)
{
	struct rmr_wrs done = TAILQ_HEAD_INITIALIZER(done);
	struct rmr_wr *wr;
	struct rmr_op *op;
	bool any;

	rmr_port_push(&c->port);
	any = rmr_port_take(&c->port, &done);
	while ((wr = TAILQ_FIRST(&done))) {
		TAILQ_REMOVE(&done, wr, link);
		op = (struct rmr_op *)((char *)wr - offsetof(struct rmr_op, wr));
		if (wr->write)
			rmr_put_ended(op);
		else
			rmr_get_ended(op);
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
	u32 most = TAILQ_EMPTY(&c->todo) ? SLEEP_MS : RMR_RETRY_MS;

	rmr_port_sleep(&c->port, timeout_ms < most ? timeout_ms : most);
}

bool rmr_io_may_spin(struct rmr_caller *c)
{
	if (!c->r->options.poll_us)
		return false;
	if (!c->no_spins)
		return true;
	c->no_spins--;
	return false;
}

void rmr_io_spun(struct rmr_caller *c, bool in_vain)
{
	c->vain_spins = !in_vain		     ? 0 :
			c->vain_spins < MOST_SKIPPED ? 2 * c->vain_spins + 1 :
						       MOST_SKIPPED;
	c->no_spins = c->vain_spins;
}

/* On the spot, for poll_us. */
static bool spin(struct rmr_caller *c, const struct rmr_op *op)
{
	u64 end = 0;
	u32 i;

	while (TAILQ_EMPTY(&c->todo)) {
		for (i = 0; i < RMR_SPINS; i++) {
			rmr_io_progress(c);
			if (op->finished) {
				rmr_io_spun(c, false);
				return true;
			}
		}
		if (!end)
			end = rmr_now_us() + c->r->options.poll_us;
		else if (rmr_now_us() >= end)
			break;
	}
	rmr_io_spun(c, true);
	return false;
}

void rmr_io_wait(struct rmr_caller *c, struct rmr_op *op)
{
	if (op->finished || (rmr_io_may_spin(c) && spin(c, op)))
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
