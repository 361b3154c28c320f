/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * conn.h - what verbs.c and wr.c share: a connection from within. Everybody else
 * includes verbs.h.
 */
#ifndef RMK_CONN_H
#define RMK_CONN_H

#include <linux/completion.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <rdma/ib_verbs.h>
#include <rdma/rdma_cm.h>

#include "verbs.h"

/*
 * Scatter-gather entries of one work request. 16 pages are 64 KiB, enough to
 * hide the per-request cost; more only makes every send queue entry longer.
 */
#define RMK_CONN_SPANS 16

struct control;

struct rmk_conn {
	struct rdma_cm_id *id;
	struct ib_pd *pd;
	struct ib_cq *cq;
	const struct rmk_conn_ops *ops;
	void *owner;
	struct control *control; /* NULL: a lane */

	struct completion step; /* of connecting */
	int step_err;
	bool established;
	struct core_cm_rep rep;
	enum ramster_reason reason;

	u32 max_requests, max_bytes;
	u32 max_spans[2]; /* [write] */
	wait_queue_head_t idle;
	spinlock_t lock; /* guards what follows */
	struct list_head waiting, posted;
	u32 requests, bytes; /* posted */
	u32 pending;	     /* waiting or posted, or done() has not returned */
	u64 completed;
	bool down;
	u64 seen_completed; /* of rmk_conn_progress() alone */
	bool seen_busy;
};

/* It is no longer usable: the owner is told, once. Any context but hardirq. */
void rmk_conn_down(struct rmk_conn *conn);
/*
 * End all work requests, -ECONNABORTED. Nothing can complete any more, and no
 * hardware holds their pages. May sleep.
 */
void rmk_conn_abort(struct rmk_conn *conn);

#endif /* RMK_CONN_H */
