/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * verbs.h - an RDMA connection to a donor, the only door to the RDMA stack.
 *
 * No other file of the module than verbs.c and wr.c sees an rdma/ header. A connection is opened
 * and closed by one owner (its session's work); posting may run concurrently
 * with itself, and the owner ends it before closing.
 */
#ifndef RMK_VERBS_H
#define RMK_VERBS_H

#include <linux/types.h>
#include <linux/mm_types.h>
#include <linux/list.h>
#include <linux/socket.h>

#include "../core/wire.h"

struct rmk_conn;

/* A piece of memory, physically contiguous; dma is filled in while posted. */
struct rmk_span {
	struct page *page;
	u32 off, len; /* bytes; off may exceed PAGE_SIZE inside a compound page */
	u64 dma;
};

/*
 * One READ or WRITE between spans and a donor's memory. The caller keeps it
 * and the spans alive until done() was called, which happens exactly once for
 * each successful rmk_conn_post(), in softirq or process context.
 * err: 0, -EACCES (the donor has fenced that memory), -ETIMEDOUT (no answer),
 * -ECONNABORTED (flushed: the connection broke first), -EIO (anything else).
 */
struct rmk_wr {
	unsigned long cqe[1]; /* struct ib_cqe, known to verbs.c alone */
	struct rmk_conn *conn;
	struct list_head node;
	struct rmk_span *spans;
	u64 raddr;
	u32 rkey;
	u32 bytes;
	u16 nspans;
	bool write;
	void (*done)(struct rmk_wr *wr, int err);
};

struct rmk_conn_ops {
	/* Control connection only: rmk_conn_recv() has something. Process context. */
	void (*readable)(void *owner);
	/* The connection is no longer usable; said once. Any context but hardirq. */
	void (*broken)(void *owner);
};

struct rmk_conn_params {
	const struct sockaddr_storage *addr;
	const struct core_cm_req *req;
	const struct rmk_conn_ops *ops;
	void *owner;
	/* Lanes: on the wire at once at most; what exceeds either waits its turn. */
	u32 max_requests, max_bytes;
	u32 timeout_ms;	  /* of each step: address, route, connect */
	const bool *stop; /* give up soon when this becomes true */
};

/*
 * Connect and wait until established. On success *rep is the donor's answer.
 * -ECONNREFUSED: nobody listens there. -EBUSY: the donor refused, *reason says
 * why. Other errors: those of the RDMA CM, -ETIMEDOUT, -EHOSTUNREACH, -ENOMEM,
 * -EBADMSG (the answer is not our protocol), -EINTR (told to stop). Sleeps, at
 * most three times timeout_ms; the caller sees to it that allocating does not
 * recurse into I/O.
 */
int rmk_conn_open(const struct rmk_conn_params *params, struct core_cm_rep *rep,
		  enum ramster_reason *reason, struct rmk_conn **out);

/*
 * Disconnect, wait until every posted work request is done, free. The caller
 * has made sure that nobody posts any more. Sleeps; bounded.
 */
void rmk_conn_close(struct rmk_conn *conn);

/*
 * Send a control message. Waits up to a second for room in the ring, then
 * -EAGAIN. One caller at a time. May sleep.
 */
int rmk_conn_send(struct rmk_conn *conn, const struct core_msg *msg);

/*
 * The oldest message received: 1 and *msg, 0 if there is none, -EBADMSG and the
 * like if it is not of our protocol. Only then may the peer send another in its
 * place: a slow reader holds the peer back, nothing is dropped. One caller.
 */
int rmk_conn_recv(struct rmk_conn *conn, struct core_msg *msg);

/*
 * Start wr against remote memory, now or as soon as the limits of the lane
 * allow. wr->spans, nspans, write and done are set by the caller. Returns 0, or
 * an error without calling done: -ENOTCONN, -ENOMEM (DMA mapping). Does not
 * sleep; process context, interrupts on.
 */
int rmk_conn_post(struct rmk_conn *conn, struct rmk_wr *wr, u64 raddr, u32 rkey);

/* Spans that one work request may have. */
u32 rmk_conn_max_spans(const struct rmk_conn *conn, bool write);

/*
 * Progress since the last call: false if work was in flight at the last call
 * and none of it has completed since. One caller.
 */
bool rmk_conn_progress(struct rmk_conn *conn);

#endif /* RMK_VERBS_H */
