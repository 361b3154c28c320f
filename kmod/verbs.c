// SPDX-License-Identifier: GPL-2.0-only
/*
 * verbs.c - RDMA CM connections, their queue pairs and control messages.
 *
 * A connection dies in two phases: the queue pair is put into error, which
 * makes the provider flush what is posted, and when the last work request is
 * done (or, should a provider lose one, when the queue pair no longer exists
 * and so cannot touch memory any more) everything is freed.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/slab.h>
#include <linux/rcupdate.h>
#include <rdma/ib_cm.h>

#include "conn.h"

/*
 * Messages in flight per direction. A peer that outruns this, as by revoking
 * a whole donation, is held back by receiver-not-ready until we have read.
 */
#define CONTROL_DEPTH 64

/*
 * Local ACK timeout, 4.096 us * 2^17 = 0.54 s (IBTA 9.7.6.1.3). With seven
 * retries a dead donor is noticed in some 4 s. Lower values tore connections
 * down in virtual machines whose CPU was taken away for a while.
 */
#define ACK_TIMEOUT 17

/*
 * How long a peer that outran our receive buffers waits before it tries again:
 * 0.64 ms (IBTA table 45). The CM's choice, 655 ms, would stall a revoke.
 */
#define RNR_TIMER 12

/* How long a message may wait for those before it. */
#define SEND_TIMEOUT HZ
/* How long the last message before a disconnect may take to go out. */
#define GOODBYE_TIMEOUT (HZ / 2)
/* How long a broken queue pair may take to flush before we destroy it under its requests. */
#define FLUSH_TIMEOUT (10 * HZ)

struct control_send {
	struct ib_cqe cqe;
	struct rmk_conn *conn;
	struct ib_sge sge;
};

struct control_recv {
	struct ib_cqe cqe;
	struct rmk_conn *conn;
	struct ib_sge sge;
	struct list_head node; /* of control.received */
	u32 len;
};

/* Buffers and slots of a control connection, one DMA mapping for all. */
struct control {
	struct ramster_msg in[CONTROL_DEPTH];
	struct ramster_msg out[CONTROL_DEPTH];
	struct control_recv recv[CONTROL_DEPTH];
	struct control_send send[CONTROL_DEPTH];
	u64 dma;
	struct list_head received; /* not read yet; conn.lock */
	u32 next;		   /* slot of the next send; sends complete in order */
	atomic_t sending;
};

void rmk_conn_down(struct rmk_conn *conn)
{
	unsigned long flags;
	bool known;

	spin_lock_irqsave(&conn->lock, flags);
	known = conn->down;
	conn->down = true;
	spin_unlock_irqrestore(&conn->lock, flags);
	if (!known)
		conn->ops->broken(conn->owner);
}

/* ---- control messages ---- */

static int post_recv(struct rmk_conn *conn, struct control_recv *r)
{
	struct ib_recv_wr wr = {
		.wr_cqe = &r->cqe,
		.sg_list = &r->sge,
		.num_sge = 1,
	};

	return ib_post_recv(conn->id->qp, &wr, NULL);
}

static void recv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct control_recv *r = container_of(wc->wr_cqe, struct control_recv, cqe);
	struct rmk_conn *conn = r->conn;
	unsigned long flags;

	if (wc->status != IB_WC_SUCCESS) {
		rmk_conn_down(conn);
		return;
	}
	r->len = wc->byte_len;
	spin_lock_irqsave(&conn->lock, flags);
	list_add_tail(&r->node, &conn->control->received);
	spin_unlock_irqrestore(&conn->lock, flags);
	conn->ops->readable(conn->owner);
}

int rmk_conn_recv(struct rmk_conn *conn, struct core_msg *msg)
{
	struct control *c = conn->control;
	struct ib_device *dev = conn->id->device;
	struct control_recv *r;
	int err;

	spin_lock_irq(&conn->lock);
	r = list_first_entry_or_null(&c->received, struct control_recv, node);
	if (r)
		list_del(&r->node);
	spin_unlock_irq(&conn->lock);
	if (!r)
		return 0;
	ib_dma_sync_single_for_cpu(dev, r->sge.addr, r->sge.length, DMA_FROM_DEVICE);
	err = core_msg_decode(msg, &c->in[r - c->recv], r->len);
	ib_dma_sync_single_for_device(dev, r->sge.addr, r->sge.length, DMA_FROM_DEVICE);
	if (post_recv(conn, r))
		rmk_conn_down(conn);
	return err ?: 1;
}

static void send_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct control_send *s = container_of(wc->wr_cqe, struct control_send, cqe);

	if (wc->status != IB_WC_SUCCESS)
		rmk_conn_down(s->conn);
	atomic_dec(&s->conn->control->sending);
	wake_up(&s->conn->idle);
}

int rmk_conn_send(struct rmk_conn *conn, const struct core_msg *msg)
{
	struct control *c = conn->control;
	struct ib_send_wr wr = {
		.num_sge = 1,
		.opcode = IB_WR_SEND,
		.send_flags = IB_SEND_SIGNALED,
	};
	struct control_send *s;
	int err;

	if (!wait_event_timeout(conn->idle,
				atomic_read(&c->sending) < CONTROL_DEPTH || READ_ONCE(conn->down),
				SEND_TIMEOUT))
		return -EAGAIN;
	if (READ_ONCE(conn->down))
		return -ENOTCONN;
	atomic_inc(&c->sending);
	s = &c->send[c->next % CONTROL_DEPTH];
	ib_dma_sync_single_for_cpu(conn->id->device, s->sge.addr, s->sge.length, DMA_TO_DEVICE);
	core_msg_encode(&c->out[s - c->send], msg);
	ib_dma_sync_single_for_device(conn->id->device, s->sge.addr, s->sge.length, DMA_TO_DEVICE);
	wr.wr_cqe = &s->cqe;
	wr.sg_list = &s->sge;
	err = ib_post_send(conn->id->qp, &wr, NULL);
	if (err)
		atomic_dec(&c->sending);
	else
		c->next++;
	return err;
}

static void control_free(struct rmk_conn *conn)
{
	struct control *c = conn->control;

	if (!c)
		return;
	if (c->dma)
		ib_dma_unmap_single(conn->id->device, c->dma, offsetof(struct control, recv),
				    DMA_BIDIRECTIONAL);
	kfree(c);
	conn->control = NULL;
}

/* Fill in the slots and post every receive buffer, before the peer may send. */
static int control_start(struct rmk_conn *conn)
{
	struct control *c = conn->control;
	struct ib_device *dev = conn->id->device;
	int i, err;

	INIT_LIST_HEAD(&c->received);
	c->dma = ib_dma_map_single(dev, c, offsetof(struct control, recv), DMA_BIDIRECTIONAL);
	if (ib_dma_mapping_error(dev, c->dma)) {
		c->dma = 0;
		return -ENOMEM;
	}
	for (i = 0; i < CONTROL_DEPTH; i++) {
		struct ib_sge sge = {
			.length = RAMSTER_MSG_SIZE,
			.lkey = conn->pd->local_dma_lkey,
		};

		sge.addr = c->dma + offsetof(struct control, out[i]);
		c->send[i] = (struct control_send){ { send_done }, conn, sge };
		sge.addr = c->dma + offsetof(struct control, in[i]);
		c->recv[i] = (struct control_recv){
			.cqe.done = recv_done,
			.conn = conn,
			.sge = sge,
		};
		err = post_recv(conn, &c->recv[i]);
		if (err)
			return err;
	}
	return 0;
}

/* ---- connecting ---- */

static void step_done(struct rmk_conn *conn, int err)
{
	conn->step_err = err;
	complete(&conn->step);
}

/* Did the peer's CM say that no program listens there? */
static bool nobody_listens(struct rdma_cm_id *id, const struct rdma_cm_event *ev)
{
	if (rdma_protocol_iwarp(id->device, id->port_num))
		return ev->status == -ECONNREFUSED;
	return ev->status == IB_CM_REJ_INVALID_SERVICE_ID;
}

static void on_rejected(struct rmk_conn *conn, struct rdma_cm_event *ev)
{
	struct core_cm_rej rej;
	const void *data;
	u8 len = 0;

	data = rdma_consumer_reject_data(conn->id, ev, &len);
	if (data && !core_cm_rej_decode(&rej, data, len)) {
		conn->reason = rej.reason;
		step_done(conn, -EBUSY);
	} else {
		step_done(conn, nobody_listens(conn->id, ev) ? -ECONNREFUSED : -ECONNRESET);
	}
}

static void on_established(struct rmk_conn *conn, struct rdma_cm_event *ev)
{
	conn->established = true;
	step_done(conn, core_cm_rep_decode(&conn->rep, ev->param.conn.private_data,
					   ev->param.conn.private_data_len));
}

static int on_event(struct rdma_cm_id *id, struct rdma_cm_event *ev)
{
	struct rmk_conn *conn = id->context;

	switch (ev->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		step_done(conn, 0);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		on_established(conn, ev);
		break;
	case RDMA_CM_EVENT_REJECTED:
		on_rejected(conn, ev);
		break;
	case RDMA_CM_EVENT_ADDR_ERROR:
	case RDMA_CM_EVENT_ROUTE_ERROR:
	case RDMA_CM_EVENT_CONNECT_ERROR:
	case RDMA_CM_EVENT_UNREACHABLE:
		step_done(conn, -EHOSTUNREACH);
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
	case RDMA_CM_EVENT_ADDR_CHANGE:
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		if (!conn->established)
			step_done(conn, -ECONNRESET);
		rmk_conn_down(conn);
		break;
	default:
		break;
	}
	return 0;
}

static void on_qp_event(struct ib_event *ev, void *context)
{
	if (ev->event != IB_EVENT_COMM_EST && ev->event != IB_EVENT_SQ_DRAINED)
		rmk_conn_down(context);
}

static int wait_step(struct rmk_conn *conn, const struct rmk_conn_params *p)
{
	unsigned long end = jiffies + msecs_to_jiffies(p->timeout_ms);

	while (!wait_for_completion_timeout(&conn->step, HZ / 10)) {
		if (READ_ONCE(*p->stop))
			return -EINTR;
		if (time_after(jiffies, end))
			return -ETIMEDOUT;
	}
	reinit_completion(&conn->step);
	return conn->step_err;
}

static int resolve(struct rmk_conn *conn, const struct rmk_conn_params *p)
{
	struct sockaddr *dst = (struct sockaddr *)p->addr;
	int err;

	err = rdma_resolve_addr(conn->id, NULL, dst, p->timeout_ms);
	err = err ?: wait_step(conn, p);
	err = err ?: rdma_resolve_route(conn->id, p->timeout_ms);
	return err ?: wait_step(conn, p);
}

static int create_queues(struct rmk_conn *conn, enum ramster_role role)
{
	struct ib_device *dev = conn->id->device;
	struct ib_qp_init_attr attr = {
		.event_handler = on_qp_event,
		.qp_context = conn,
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.qp_type = IB_QPT_RC,
		.cap.max_recv_wr = conn->control ? CONTROL_DEPTH + 1 : 1,
		.cap.max_recv_sge = 1,
	};
	enum ib_poll_context poll = conn->control ? IB_POLL_WORKQUEUE : IB_POLL_SOFTIRQ;
	u32 spans;

	conn->max_requests = min_t(u32, conn->max_requests, dev->attrs.max_qp_wr - 1);
	attr.cap.max_send_wr = conn->max_requests + 1;
	spans = min_t(u32, RMK_CONN_SPANS, dev->attrs.max_send_sge);
	conn->max_spans[1] = spans;
	conn->max_spans[0] = min_t(u32, spans, max(1, dev->attrs.max_sge_rd));
	attr.cap.max_send_sge = spans;

	conn->pd = ib_alloc_pd(dev, 0);
	if (IS_ERR(conn->pd)) {
		int err = PTR_ERR(conn->pd);

		conn->pd = NULL;
		return err;
	}
	/* one vector per lane: completions of reads and writes land on different CPUs */
	conn->cq = ib_alloc_cq(dev, conn, attr.cap.max_send_wr + attr.cap.max_recv_wr,
			       role % max(1, dev->num_comp_vectors), poll);
	if (IS_ERR(conn->cq)) {
		int err = PTR_ERR(conn->cq);

		conn->cq = NULL;
		return err;
	}
	attr.send_cq = conn->cq;
	attr.recv_cq = conn->cq;
	return rdma_create_qp(conn->id, conn->pd, &attr);
}

static int connect_qp(struct rmk_conn *conn, const struct rmk_conn_params *p)
{
	struct ramster_cm_req req;
	struct rdma_conn_param param = {
		.private_data = &req,
		.private_data_len = sizeof(req),
		.initiator_depth = min_t(int, conn->id->device->attrs.max_qp_init_rd_atom, U8_MAX),
		.retry_count = 7,
		.rnr_retry_count = 7,
	};
	struct ib_qp_attr rnr = { .min_rnr_timer = RNR_TIMER };
	int err;

	core_cm_req_encode(&req, p->req);
	rdma_set_ack_timeout(conn->id, ACK_TIMEOUT);
	err = rdma_connect(conn->id, &param);
	err = err ?: wait_step(conn, p);
	if (!err && conn->control)
		ib_modify_qp(conn->id->qp, &rnr, IB_QP_MIN_RNR_TIMER); /* iWARP has none */
	return err;
}

static struct rmk_conn *conn_alloc(const struct rmk_conn_params *p)
{
	struct rmk_conn *conn = kzalloc(sizeof(*conn), GFP_KERNEL);

	if (!conn)
		return NULL;
	conn->ops = p->ops;
	conn->owner = p->owner;
	conn->max_requests = p->max_requests;
	conn->max_bytes = p->max_bytes;
	init_completion(&conn->step);
	init_waitqueue_head(&conn->idle);
	spin_lock_init(&conn->lock);
	INIT_LIST_HEAD(&conn->waiting);
	INIT_LIST_HEAD(&conn->posted);
	if (p->req->role != RAMSTER_ROLE_CONTROL)
		return conn;
	conn->max_requests = CONTROL_DEPTH;
	conn->control = kzalloc(sizeof(*conn->control), GFP_KERNEL);
	if (conn->control)
		return conn;
	kfree(conn);
	return NULL;
}

int rmk_conn_open(const struct rmk_conn_params *p, struct core_cm_rep *rep,
		  enum ramster_reason *reason, struct rmk_conn **out)
{
	struct rmk_conn *conn = conn_alloc(p);
	struct rdma_cm_id *id;
	int err;

	*reason = RAMSTER_REASON_NONE;
	if (!conn)
		return -ENOMEM;
	id = rdma_create_id(&init_net, on_event, conn, RDMA_PS_TCP, IB_QPT_RC);
	if (IS_ERR(id)) {
		kfree(conn->control);
		kfree(conn);
		return PTR_ERR(id);
	}
	conn->id = id;
	err = resolve(conn, p);
	if (!err)
		err = create_queues(conn, p->req->role);
	if (!err && conn->control)
		err = control_start(conn);
	if (!err)
		err = connect_qp(conn, p);
	if (err) {
		*reason = conn->reason;
		rmk_conn_close(conn);
		return err;
	}
	*rep = conn->rep;
	*out = conn;
	return 0;
}

/* The queue pair is in error: wait for the flush of what was posted. */
static void wait_flushed(struct rmk_conn *conn)
{
	if (!wait_event_timeout(conn->idle, !READ_ONCE(conn->pending), FLUSH_TIMEOUT))
		pr_warn_ratelimited("%u requests not flushed in %u s, destroying their queue pair\n",
				    conn->pending, FLUSH_TIMEOUT / HZ);
}

void rmk_conn_close(struct rmk_conn *conn)
{
	struct ib_qp_attr attr = { .qp_state = IB_QPS_ERR };

	if (conn->control && conn->established && !READ_ONCE(conn->down))
		wait_event_timeout(conn->idle, !atomic_read(&conn->control->sending),
				   GOODBYE_TIMEOUT);
	spin_lock_irq(&conn->lock);
	conn->down = true;
	spin_unlock_irq(&conn->lock);
	if (conn->id->qp) {
		if (conn->established)
			rdma_disconnect(conn->id);
		ib_modify_qp(conn->id->qp, &attr, IB_QP_STATE);
		wait_flushed(conn);
		rdma_destroy_qp(conn->id);
	}
	if (conn->cq) {
		/*
		 * rxe up to 6.1 frees the queue under a tasklet of its own that is about to
		 * tell of a completion we have seen already. A grace period ends after each
		 * CPU's RCU softirq, which comes after its tasklets.
		 */
		synchronize_rcu();
		ib_free_cq(conn->cq);
	}
	/* Nothing can complete any more, and no hardware holds the pages. */
	rmk_conn_abort(conn);
	control_free(conn);
	if (conn->pd)
		ib_dealloc_pd(conn->pd);
	rdma_destroy_id(conn->id);
	kfree(conn);
}
