// SPDX-License-Identifier: GPL-2.0-only
/*
 * wr.c - work requests of a connection: which are on the wire and which wait, and
 * how they end.
 *
 * Lock: rmk_conn.lock (innermost) guards both lists and what is counted of them.
 */
#include <linux/bottom_half.h>
#include <linux/wait.h>

#include "conn.h"

static int errno_of_status(enum ib_wc_status status)
{
	switch (status) {
	case IB_WC_SUCCESS:
		return 0;
	case IB_WC_REM_ACCESS_ERR:
	case IB_WC_REM_INV_REQ_ERR:
		return -EACCES;
	case IB_WC_RETRY_EXC_ERR:
	case IB_WC_RNR_RETRY_EXC_ERR:
		return -ETIMEDOUT;
	case IB_WC_WR_FLUSH_ERR:
		return -ECONNABORTED;
	default:
		return -EIO;
	}
}

static void unmap_spans(struct rmk_conn *conn, const struct rmk_wr *wr, u32 n)
{
	enum dma_data_direction dir = wr->write ? DMA_TO_DEVICE : DMA_FROM_DEVICE;
	u32 i;

	for (i = 0; i < n; i++)
		ib_dma_unmap_page(conn->id->device, wr->spans[i].dma, wr->spans[i].len, dir);
}

static int map_spans(struct rmk_conn *conn, struct rmk_wr *wr)
{
	enum dma_data_direction dir = wr->write ? DMA_TO_DEVICE : DMA_FROM_DEVICE;
	struct ib_device *dev = conn->id->device;
	u32 i;

	for (i = 0; i < wr->nspans; i++) {
		struct rmk_span *s = &wr->spans[i];

		s->dma = ib_dma_map_page(dev, s->page, s->off, s->len, dir);
		if (ib_dma_mapping_error(dev, s->dma)) {
			unmap_spans(conn, wr, i);
			return -ENOMEM;
		}
	}
	return 0;
}

/* The last touch of the connection by a work request: close waits for it. */
static void wr_account(struct rmk_conn *conn)
{
	unsigned long flags;

	spin_lock_irqsave(&conn->lock, flags);
	conn->completed++;
	if (!--conn->pending && conn->down)
		wake_up(&conn->idle);
	spin_unlock_irqrestore(&conn->lock, flags);
}

/* wr is on no list any more. */
static void wr_finish(struct rmk_conn *conn, struct rmk_wr *wr, int err)
{
	unmap_spans(conn, wr, wr->nspans);
	if (err)
		rmk_conn_down(conn);
	wr->done(wr, err);
	wr_account(conn);
}

static bool has_turn(const struct rmk_conn *conn, const struct rmk_wr *wr)
{
	return !conn->requests ||
	       (conn->requests < conn->max_requests && conn->bytes + wr->bytes <= conn->max_bytes);
}

static void take_turn(struct rmk_conn *conn, struct rmk_wr *wr)
{
	conn->requests++;
	conn->bytes += wr->bytes;
	list_move_tail(&wr->node, &conn->posted);
}

static void leave(struct rmk_conn *conn, struct rmk_wr *wr)
{
	conn->requests--;
	conn->bytes -= wr->bytes;
	list_del(&wr->node);
}

/* wr is on the list of posted ones. On error it is off it again. */
static int post_now(struct rmk_conn *conn, struct rmk_wr *wr)
{
	struct ib_sge sge[RMK_CONN_SPANS];
	struct ib_rdma_wr rdma = {
		.wr.wr_cqe = (struct ib_cqe *)wr->cqe,
		.wr.sg_list = sge,
		.wr.num_sge = wr->nspans,
		.wr.opcode = wr->write ? IB_WR_RDMA_WRITE : IB_WR_RDMA_READ,
		.wr.send_flags = IB_SEND_SIGNALED,
		.remote_addr = wr->raddr,
		.rkey = wr->rkey,
	};
	unsigned long flags;
	u32 i;
	int err;

	for (i = 0; i < wr->nspans; i++)
		sge[i] = (struct ib_sge){
			.addr = wr->spans[i].dma,
			.length = wr->spans[i].len,
			.lkey = conn->pd->local_dma_lkey,
		};
	err = ib_post_send(conn->id->qp, &rdma.wr, NULL);
	if (!err)
		return 0;
	spin_lock_irqsave(&conn->lock, flags);
	leave(conn, wr);
	spin_unlock_irqrestore(&conn->lock, flags);
	rmk_conn_down(conn); /* the queue has room by our count: the connection is no good */
	return err;
}

/* A request has left the wire: post those whose turn it is. */
static void post_waiting(struct rmk_conn *conn)
{
	struct rmk_wr *wr;
	unsigned long flags;
	int err;

	for (;;) {
		spin_lock_irqsave(&conn->lock, flags);
		wr = list_first_entry_or_null(&conn->waiting, struct rmk_wr, node);
		if (wr && has_turn(conn, wr))
			take_turn(conn, wr);
		else
			wr = NULL;
		spin_unlock_irqrestore(&conn->lock, flags);
		if (!wr)
			return;
		err = post_now(conn, wr);
		if (err)
			wr_finish(conn, wr, err);
	}
}

static void wr_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct rmk_wr *wr = container_of((unsigned long *)wc->wr_cqe, struct rmk_wr, cqe[0]);
	struct rmk_conn *conn = wr->conn;
	unsigned long flags;

	spin_lock_irqsave(&conn->lock, flags);
	leave(conn, wr);
	spin_unlock_irqrestore(&conn->lock, flags);
	/* before finishing this one: the wire should not wait for a checksum */
	post_waiting(conn);
	wr_finish(conn, wr, errno_of_status(wc->status));
}

/* Take a request in. Returns 1: post it now, 0: it waits. */
static int enqueue(struct rmk_conn *conn, struct rmk_wr *wr)
{
	unsigned long flags;
	int ret = -ENOTCONN;

	spin_lock_irqsave(&conn->lock, flags);
	if (!conn->down) {
		ret = list_empty(&conn->waiting) && has_turn(conn, wr);
		conn->pending++;
		list_add_tail(&wr->node, &conn->waiting);
		if (ret)
			take_turn(conn, wr);
	}
	spin_unlock_irqrestore(&conn->lock, flags);
	return ret;
}

int rmk_conn_post(struct rmk_conn *conn, struct rmk_wr *wr, u64 raddr, u32 rkey)
{
	u32 i;
	int ret;

	BUILD_BUG_ON(sizeof(struct ib_cqe) > sizeof(wr->cqe));
	if (wr->nspans > conn->max_spans[wr->write])
		return -ENOTCONN; /* made for the connection before this one */
	ret = map_spans(conn, wr);
	if (ret)
		return ret;
	((struct ib_cqe *)wr->cqe)->done = wr_done;
	wr->conn = conn;
	wr->raddr = raddr;
	wr->rkey = rkey;
	wr->bytes = 0;
	for (i = 0; i < wr->nspans; i++)
		wr->bytes += wr->spans[i].len;
	ret = enqueue(conn, wr);
	if (ret == 1) {
		/*
		 * Soft-RoCE sends from a tasklet. Raised with bottom halves off
		 * it runs in local_bh_enable(), here and now, instead of waking
		 * ksoftirqd: one context switch less per page. Hardware does not
		 * notice.
		 */
		local_bh_disable();
		ret = post_now(conn, wr);
		local_bh_enable();
		if (ret)
			wr_account(conn);
	}
	if (ret)
		unmap_spans(conn, wr, wr->nspans);
	return ret;
}

u32 rmk_conn_max_spans(const struct rmk_conn *conn, bool write)
{
	return conn->max_spans[write];
}

bool rmk_conn_progress(struct rmk_conn *conn)
{
	unsigned long flags;
	bool moved;

	spin_lock_irqsave(&conn->lock, flags);
	moved = !conn->seen_busy || conn->completed != conn->seen_completed;
	conn->seen_completed = conn->completed;
	conn->seen_busy = conn->pending;
	spin_unlock_irqrestore(&conn->lock, flags);
	return moved;
}

void rmk_conn_abort(struct rmk_conn *conn)
{
	struct rmk_wr *wr, *next;

	list_splice_init(&conn->waiting, &conn->posted);
	list_for_each_entry_safe(wr, next, &conn->posted, node) {
		list_del(&wr->node);
		wr_finish(conn, wr, -ECONNABORTED);
	}
}
