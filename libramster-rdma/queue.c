// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * queue.c - calls that do not wait.
 *
 * A queue is a caller with a lane of its own; its port's epoll descriptor is the
 * program's to wait for.
 */
#include "queue.h"

#include <stdlib.h>

#include "context.h"

#define DEPTH_MAX 4096
/* Polls between two looks at what else there is to do. */
#define LOOK_SPINS 64

struct rmr_queue {
	struct rmr_caller caller;
	u32 depth, busy;
	struct rmr_ops spare;
	struct rmr_op ops[];
};

int rmr_queue_create(struct rmr *r, unsigned int depth, struct rmr_queue **out)
{
	struct rmr_queue *q;
	u32 i;
	int err;

	if (!depth || depth > DEPTH_MAX)
		return -EINVAL;
	q = calloc(1, sizeof(*q) + depth * sizeof(q->ops[0]));
	if (!q)
		return -ENOMEM;
	err = rmr_caller_init(&q->caller, r, false);
	if (err) {
		free(q);
		return err;
	}
	q->caller.keeps_ended = true;
	q->depth = depth;
	TAILQ_INIT(&q->spare);
	for (i = 0; i < depth; i++) {
		rmr_op_init(&q->ops[i], &q->caller);
		TAILQ_INSERT_TAIL(&q->spare, &q->ops[i], link);
	}
	*out = q;
	return 0;
}

void rmr_queue_destroy(struct rmr_queue *q)
{
	struct rmr_done done;
	u32 i;

	/* each call under way ends by its time-out, or when the donor is given up */
	while (q->busy)
		rmr_queue_wait(q, &done, 1, 1000);
	for (i = 0; i < q->depth; i++)
		rmr_op_uninit(&q->ops[i]);
	rmr_caller_uninit(&q->caller);
	free(q);
}

void rmr_queue_batch(struct rmr_queue *q)
{
	rmr_port_hold(&q->caller.port);
}

static int start(struct rmr_queue *q, enum rmr_verb verb, struct rmr_pool *pool,
		 const struct rmr_page *page, void *tag)
{
	struct rmr_op *op = TAILQ_FIRST(&q->spare);
	int err;

	if (!op)
		return -EAGAIN;
	err = rmr_op_set(op, verb, pool, page);
	if (err) {
		rmr_refuse(verb, pool, page);
		return err;
	}
	TAILQ_REMOVE(&q->spare, op, link);
	q->busy++;
	op->tag = tag;
	rmr_op_start(op);
	return 0;
}

int rmr_queue_put(struct rmr_queue *q, struct rmr_pool *pool, const struct rmr_page *page,
		  void *tag)
{
	return start(q, RMR_OP_PUT, pool, page, tag);
}

int rmr_queue_get(struct rmr_queue *q, struct rmr_pool *pool, const struct rmr_page *page,
		  void *tag)
{
	return start(q, RMR_OP_GET, pool, page, tag);
}

static int collect(struct rmr_queue *q, struct rmr_done *done, int max)
{
	struct rmr_op *op;
	int n = 0;

	while (n < max && (op = TAILQ_FIRST(&q->caller.ended))) {
		TAILQ_REMOVE(&q->caller.ended, op, link);
		done[n].tag = op->tag;
		done[n++].result = op->result;
		/* the last one used is the first to be used again: its memory is warm */
		TAILQ_INSERT_HEAD(&q->spare, op, link);
		q->busy--;
	}
	return n;
}

int rmr_queue_poll(struct rmr_queue *q, struct rmr_done *done, int max)
{
	rmr_io_progress(&q->caller);
	return collect(q, done, max);
}

int rmr_queue_arm(struct rmr_queue *q)
{
	rmr_io_arm(&q->caller);
	return !TAILQ_EMPTY(&q->caller.ended);
}

int rmr_queue_spin(struct rmr_queue *q, struct rmr_done *done, int max, bool (*look)(void *arg),
		   void *arg)
{
	u64 end = 0, now;
	int i, n;

	if (!rmr_io_may_spin(&q->caller))
		return 0;
	for (;;) {
		for (i = 0; i < (look ? LOOK_SPINS : RMR_SPINS); i++) {
			n = rmr_queue_poll(q, done, max);
			if (n || !q->busy) {
				rmr_io_spun(&q->caller, false);
				return n;
			}
		}
		if (look && look(arg))
			return -EINTR;
		now = rmr_now_us();
		if (!end)
			end = now + q->caller.r->options.poll_us;
		if (now >= end)
			break;
	}
	rmr_io_spun(&q->caller, true);
	return 0;
}

int rmr_queue_wait(struct rmr_queue *q, struct rmr_done *done, int max, uint32_t timeout_ms)
{
	int n = timeout_ms ? rmr_queue_spin(q, done, max, NULL, NULL) : 0;
	u64 deadline, now;

	if (!n)
		n = rmr_queue_poll(q, done, max);
	if (n || !q->busy)
		return n;
	now = rmr_now_ms();
	for (deadline = now + timeout_ms; now < deadline; now = rmr_now_ms()) {
		if (!rmr_queue_arm(q))
			rmr_io_sleep(&q->caller, (u32)(deadline - now));
		n = rmr_queue_poll(q, done, max);
		if (n || !q->busy)
			return n;
	}
	return 0;
}

int rmr_queue_fd(const struct rmr_queue *q)
{
	return q->caller.port.epoll;
}
