// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * cm.c - connections by librdmacm.
 *
 * All connections of a donor have one event channel; waiting for one of them takes
 * in the events of all.
 */
#include "cm.h"

#include <fcntl.h>
#include <infiniband/verbs.h>
#include <poll.h>
#include <rdma/rdma_cma.h>

#include "util.h"

/*
 * Local ACK timeout, 4.096 us * 2^17 = 0.54 s (IBTA 9.7.6.1.3). With seven
 * retries a dead donor is noticed in some 4 s. As the kernel's borrower has it.
 */
#define ACK_TIMEOUT 17
/* A donor that outran our receives tries again after 0.64 ms, not the CM's 655. */
#define RNR_TIMER 12
/* Of IBTA table 108: what a reject means that is not the donor's own. */
#define REJECT_NOBODY 8

int rmr_cm_init(struct rmr_cm *cm, int stop_fd)
{
	int flags;

	cm->stop_fd = stop_fd;
	cm->channel = rdma_create_event_channel();
	if (!cm->channel)
		return -errno;
	flags = fcntl(cm->channel->fd, F_GETFL);
	if (flags >= 0 && !fcntl(cm->channel->fd, F_SETFL, flags | O_NONBLOCK))
		return 0;
	rmr_cm_uninit(cm);
	return -EIO;
}

void rmr_cm_uninit(struct rmr_cm *cm)
{
	rdma_destroy_event_channel(cm->channel);
}

int rmr_cm_fd(const struct rmr_cm *cm)
{
	return cm->channel->fd;
}

/* ---- events ---- */

static void step_done(struct rmr_conn *conn, int err)
{
	conn->stepped = true;
	conn->step_err = err;
}

static void on_rejected(struct rmr_conn *conn, const struct rdma_cm_event *event)
{
	const struct rdma_conn_param *param = &event->param.conn;
	struct core_cm_rej rej;

	if (param->private_data &&
	    !core_cm_rej_decode(&rej, param->private_data, param->private_data_len)) {
		conn->reason = rej.reason;
		step_done(conn, -EBUSY);
	} else if (event->status == REJECT_NOBODY || event->status == -ECONNREFUSED) {
		step_done(conn, -ECONNREFUSED);
	} else {
		step_done(conn, -ECONNRESET);
	}
}

static void on_established(struct rmr_conn *conn, const struct rdma_cm_event *event)
{
	const struct rdma_conn_param *param = &event->param.conn;

	conn->established = true;
	step_done(conn, param->private_data ? core_cm_rep_decode(&conn->rep, param->private_data,
								 param->private_data_len) :
					      -EBADMSG);
}

static void on_event(struct rmr_conn *conn, const struct rdma_cm_event *event)
{
	switch (event->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		step_done(conn, 0);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		on_established(conn, event);
		break;
	case RDMA_CM_EVENT_REJECTED:
		on_rejected(conn, event);
		break;
	case RDMA_CM_EVENT_ADDR_ERROR:
		step_done(conn, event->status == -ENODEV ? -ENODEV : -EHOSTUNREACH);
		break;
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
		conn->down = true;
		break;
	default:
		break;
	}
}

void rmr_cm_pump(struct rmr_cm *cm)
{
	struct rdma_cm_event *event;

	while (!rdma_get_cm_event(cm->channel, &event)) {
		on_event(event->id->context, event);
		rdma_ack_cm_event(event);
	}
}

/* The end of a step of conn. */
static int wait_step(struct rmr_conn *conn, u32 timeout_ms)
{
	struct pollfd fds[2] = {
		{ .fd = conn->cm->channel->fd, .events = POLLIN },
		{ .fd = conn->cm->stop_fd, .events = POLLIN },
	};
	u64 deadline = rmr_now_ms() + timeout_ms, now;

	for (;;) {
		rmr_cm_pump(conn->cm);
		if (conn->stepped)
			break;
		now = rmr_now_ms();
		if (now >= deadline)
			return -ETIMEDOUT;
		poll(fds, 2, (int)(deadline - now));
		if (fds[1].revents)
			return -EINTR;
	}
	conn->stepped = false;
	return conn->step_err;
}

/* ---- connecting ---- */

static int resolve(struct rmr_conn *conn, const struct rmr_conn_params *p)
{
	struct sockaddr_storage to = *p->addr;
	int err;

	if (rdma_resolve_addr(conn->id, NULL, (struct sockaddr *)&to, (int)p->timeout_ms))
		return errno == ENODEV ? -ENODEV : -EHOSTUNREACH;
	err = wait_step(conn, p->timeout_ms);
	if (err)
		return err;
	if (rdma_resolve_route(conn->id, (int)p->timeout_ms))
		return -EHOSTUNREACH;
	return wait_step(conn, p->timeout_ms);
}

static int create_queues(struct rmr_conn *conn, const struct rmr_conn_params *p)
{
	struct ibv_qp_init_attr attr = {
		.cap = {
			.max_send_wr = p->send_depth,
			.max_recv_wr = p->recv_depth,
			.max_send_sge = 1,
			.max_recv_sge = 1,
		},
		.qp_type = IBV_QPT_RC,
	};
	int err;

	conn->device = rmr_devices_get(p->devices, conn->id->verbs);
	if (!conn->device)
		return -ENOMEM;
	err = p->device(p->owner, conn->device, &attr.send_cq);
	if (err)
		return err;
	attr.recv_cq = attr.send_cq;
	if (rdma_create_qp(conn->id, conn->device->pd, &attr))
		return -errno;
	conn->qp = conn->id->qp;
	return p->prepare ? p->prepare(p->owner, conn->qp) : 0;
}

static int connect_qp(struct rmr_conn *conn, const struct rmr_conn_params *p)
{
	struct ibv_qp_attr rnr = { .min_rnr_timer = RNR_TIMER };
	struct ramster_cm_req req;
	struct rdma_conn_param param = {
		.private_data = &req,
		.private_data_len = sizeof(req),
		.retry_count = 7,
		.rnr_retry_count = 7,
	};
	u8 timeout = ACK_TIMEOUT;
	struct ibv_device_attr attr;
	int err;

	if (ibv_query_device(conn->id->verbs, &attr))
		return -EIO;
	param.initiator_depth = attr.max_qp_init_rd_atom < 255 ? (u8)attr.max_qp_init_rd_atom : 255;
	core_cm_req_encode(&req, &p->req);
	/* where it is not to be had, dead donors are noticed later */
	rdma_set_option(conn->id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &timeout,
			sizeof(timeout));
	if (rdma_connect(conn->id, &param))
		return -errno;
	err = wait_step(conn, p->timeout_ms);
	if (!err)
		ibv_modify_qp(conn->qp, &rnr, IBV_QP_MIN_RNR_TIMER); /* iWARP has none */
	return err;
}

int rmr_conn_open(struct rmr_conn *conn, struct rmr_cm *cm, const struct rmr_conn_params *p)
{
	int err;

	conn->cm = cm;
	if (rdma_create_id(cm->channel, &conn->id, conn, RDMA_PS_TCP)) {
		conn->id = NULL;
		return -errno;
	}
	err = resolve(conn, p);
	if (!err)
		err = create_queues(conn, p);
	return err ? err : connect_qp(conn, p);
}

void rmr_conn_shut(struct rmr_conn *conn)
{
	if (conn->qp)
		rdma_disconnect(conn->id);
}

void rmr_conn_close(struct rmr_conn *conn)
{
	if (!conn->id)
		return;
	if (conn->qp)
		rdma_destroy_qp(conn->id);
	rdma_destroy_id(conn->id);
	memset(conn, 0, sizeof(*conn));
}
