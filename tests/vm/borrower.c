// SPDX-License-Identifier: GPL-2.0-only
#include "borrower.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define N_RECV		  64
#define SEND_MAX	  4096
#define SEND_AT		  (N_RECV * RAMSTER_MSG_SIZE)
#define DATA_AT		  8192
#define SEND_ID		  1000
#define IMPATIENT_TIMEOUT 17 /* 4.096 us << 17 = 0.5 s, at least doubled by devices */
#define PORT		  "7470"

void (*borrower_idle)(void);
bool borrower_impatient;

static int now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int)(ts.tv_sec % 1000000 * 1000 + ts.tv_nsec / 1000000);
}

void borrower_request(struct core_cm_req *req, enum ramster_role role, uint64_t session,
		      uint8_t client)
{
	memset(req, 0, sizeof(*req));
	req->role = role;
	req->session = session;
	memset(req->client_id, client, sizeof(req->client_id));
}

/* The next event of the connection manager, or -ETIMEDOUT. */
static int next_event(struct bconn *c, int timeout_ms, enum rdma_cm_event_type *type)
{
	struct pollfd p = { .fd = c->events->fd, .events = POLLIN };
	const struct rdma_conn_param *param;
	struct rdma_cm_event *event;
	struct core_cm_rej rej;

	if (poll(&p, 1, timeout_ms) <= 0)
		return -ETIMEDOUT;
	if (rdma_get_cm_event(c->events, &event))
		return -errno;
	*type = event->event;
	param = &event->param.conn;
	if (event->event == RDMA_CM_EVENT_ESTABLISHED &&
	    core_cm_rep_decode(&c->rep, param->private_data, param->private_data_len))
		*type = RDMA_CM_EVENT_CONNECT_ERROR;
	if (event->event == RDMA_CM_EVENT_REJECTED &&
	    !core_cm_rej_decode(&rej, param->private_data, param->private_data_len))
		c->rejected = rej.reason;
	if (event->event == RDMA_CM_EVENT_DISCONNECTED)
		c->down = true;
	rdma_ack_cm_event(event);
	return 0;
}

static int expect_event(struct bconn *c, enum rdma_cm_event_type want)
{
	enum rdma_cm_event_type type;
	int err = next_event(c, BORROWER_WAIT, &type);

	if (!err && type != want)
		err = -ECONNREFUSED;
	return err;
}

static int post_recv(struct bconn *c, unsigned int slot)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)(c->buf + slot * RAMSTER_MSG_SIZE),
		.length = RAMSTER_MSG_SIZE,
		.lkey = c->mr->lkey,
	};
	struct ibv_recv_wr wr = { .wr_id = slot, .sg_list = &sge, .num_sge = 1 }, *bad;

	return -ibv_post_recv(c->id->qp, &wr, &bad);
}

static int resolve(struct bconn *c, const char *address)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	int err;

	memset(c, 0, sizeof(*c));
	c->events = rdma_create_event_channel();
	if (!c->events || rdma_create_id(c->events, &c->id, NULL, RDMA_PS_TCP))
		return -errno;
	if (getaddrinfo(address, PORT, &hints, &found))
		return -EINVAL;
	err = rdma_resolve_addr(c->id, NULL, found->ai_addr, BORROWER_WAIT) ? -errno : 0;
	freeaddrinfo(found);
	if (!err)
		err = expect_event(c, RDMA_CM_EVENT_ADDR_RESOLVED);
	if (!err && rdma_resolve_route(c->id, BORROWER_WAIT))
		err = -errno;
	return err ? err : expect_event(c, RDMA_CM_EVENT_ROUTE_RESOLVED);
}

static int setup(struct bconn *c)
{
	size_t size = DATA_AT + BORROWER_SLAB;
	struct ibv_qp_init_attr attr = {
		.cap = {
			.max_send_wr = 64,
			.max_recv_wr = N_RECV,
			.max_send_sge = 1,
			.max_recv_sge = 1,
		},
		.qp_type = IBV_QPT_RC,
	};

	c->buf = aligned_alloc(4096, size);
	c->channel = ibv_create_comp_channel(c->id->verbs);
	if (!c->buf || !c->channel)
		return -ENOMEM;
	memset(c->buf, 0, size);
	c->data = c->buf + DATA_AT;
	c->cq = ibv_create_cq(c->id->verbs, 256, NULL, c->channel, 0);
	if (!c->cq)
		return -errno;
	attr.send_cq = c->cq;
	attr.recv_cq = c->cq;
	if (rdma_create_qp(c->id, NULL, &attr))
		return -errno;
	c->mr = ibv_reg_mr(c->id->pd, c->buf, size, IBV_ACCESS_LOCAL_WRITE);
	if (!c->mr)
		return -errno;
	for (c->n_recv = 0; c->n_recv < N_RECV; c->n_recv++)
		if (post_recv(c, c->n_recv))
			return -EIO;
	return 0;
}

static int start(struct bconn *c, const char *address, const void *private_data, uint8_t len)
{
	struct rdma_conn_param param = {
		.private_data = private_data,
		.private_data_len = len,
		.responder_resources = 1,
		.initiator_depth = 16,
		.retry_count = 7,
		.rnr_retry_count = 7,
	};
	uint8_t timeout = IMPATIENT_TIMEOUT;
	int err = resolve(c, address);

	if (borrower_impatient) {
		param.retry_count = 1;
		if (!err && rdma_set_option(c->id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT,
					    &timeout, sizeof(timeout)))
			err = -errno;
	}
	if (!err)
		err = setup(c);
	if (!err && rdma_connect(c->id, &param))
		err = -errno;
	return err;
}

int bconn_open(struct bconn *c, const char *address, const void *private_data, uint8_t len)
{
	enum rdma_cm_event_type type;
	int err = start(c, address, private_data, len);

	if (!err)
		err = next_event(c, BORROWER_WAIT, &type);
	if (err)
		return err;
	if (type == RDMA_CM_EVENT_ESTABLISHED)
		return 0;
	return type == RDMA_CM_EVENT_REJECTED ? 1 : -ECONNREFUSED;
}

int bconn_connect(struct bconn *c, const char *address, const struct core_cm_req *req)
{
	int end = now_ms() + BORROWER_WAIT, err;
	struct ramster_cm_req wire;

	core_cm_req_encode(&wire, req);
	for (;;) {
		err = bconn_open(c, address, &wire, sizeof(wire));
		if (err != 1 || c->rejected || now_ms() >= end)
			return err;
		bconn_close(c);
		poll(NULL, 0, 50); /* no event tells when the ghost is gone */
	}
}

int bconn_open_and_vanish(const char *address, const void *private_data, uint8_t len)
{
	struct bconn c;
	int err = start(&c, address, private_data, len);

	bconn_close(&c);
	return err;
}

void bconn_close(struct bconn *c)
{
	if (c->id && c->id->qp) {
		rdma_disconnect(c->id);
		rdma_destroy_qp(c->id);
	}
	if (c->mr)
		ibv_dereg_mr(c->mr);
	if (c->cq)
		ibv_destroy_cq(c->cq);
	if (c->channel)
		ibv_destroy_comp_channel(c->channel);
	if (c->id)
		rdma_destroy_id(c->id);
	if (c->events)
		rdma_destroy_event_channel(c->events);
	free(c->buf);
	memset(c, 0, sizeof(*c));
}

/* ---- completions ---- */

static void take(struct bconn *c, const struct ibv_wc *wc)
{
	if (wc->wr_id == SEND_ID) {
		c->last = *wc;
		c->sent = true;
	} else if (wc->status == IBV_WC_SUCCESS) {
		c->order[c->n_order++] = (unsigned int)wc->wr_id;
	}
}

static unsigned int poll_dry(struct bconn *c)
{
	unsigned int n = 0;
	struct ibv_wc wc;

	for (; ibv_poll_cq(c->cq, 1, &wc) > 0; n++)
		take(c, &wc);
	return n;
}

/* Wait until something completes; false after the time. The donor's end flushes all. */
static bool wait_completion(struct bconn *c, int timeout_ms)
{
	struct pollfd p[2] = {
		{ .fd = c->channel->fd, .events = POLLIN },
		{ .fd = c->down ? -1 : c->events->fd, .events = POLLIN },
	};
	enum rdma_cm_event_type type;
	struct ibv_cq *cq;
	void *ctx;

	ibv_req_notify_cq(c->cq, 0);
	if (poll_dry(c))
		return true;
	if (poll(p, 2, timeout_ms) <= 0)
		return false;
	if (p[1].revents && !next_event(c, 0, &type) && c->down)
		rdma_disconnect(c->id);
	if (p[0].revents && !ibv_get_cq_event(c->channel, &cq, &ctx))
		ibv_ack_cq_events(cq, 1);
	poll_dry(c);
	return true;
}

static int post(struct bconn *c, struct ibv_send_wr *wr, void *local, uint32_t len)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)local,
		.length = len,
		.lkey = c->mr->lkey,
	};
	int end = now_ms() + BORROWER_WAIT;
	struct ibv_send_wr *bad;
	int err;

	wr->wr_id = SEND_ID;
	wr->sg_list = &sge;
	wr->num_sge = 1;
	wr->send_flags = IBV_SEND_SIGNALED;
	c->sent = false;
	err = ibv_post_send(c->id->qp, wr, &bad);
	if (err)
		return -err;
	while (!c->sent) {
		if (now_ms() >= end)
			return -ETIMEDOUT;
		if (!wait_completion(c, 100) && borrower_idle && wr->opcode != IBV_WR_SEND)
			borrower_idle();
	}
	return (int)c->last.status;
}

int bconn_send_bytes(struct bconn *c, const void *data, uint32_t len)
{
	struct ibv_send_wr wr = { .opcode = IBV_WR_SEND };
	int status;

	memcpy(c->buf + SEND_AT, data, len <= SEND_MAX ? len : SEND_MAX);
	status = post(c, &wr, c->buf + SEND_AT, len);
	return status > 0 ? -EPIPE : status;
}

int bconn_send(struct bconn *c, const struct core_msg *msg)
{
	struct ramster_msg wire;

	core_msg_encode(&wire, msg);
	return bconn_send_bytes(c, &wire, sizeof(wire));
}

int bconn_heartbeat(struct bconn *c)
{
	struct core_msg msg = { .type = RAMSTER_MSG_HEARTBEAT };

	return bconn_send(c, &msg);
}

int bconn_rdma(struct bconn *c, bool write, uint32_t len, uint64_t addr, uint32_t rkey)
{
	struct ibv_send_wr wr = {
		.opcode = write ? IBV_WR_RDMA_WRITE : IBV_WR_RDMA_READ,
		.wr.rdma = { .remote_addr = addr, .rkey = rkey },
	};

	return post(c, &wr, c->data, len);
}

int bconn_recv(struct bconn *c, struct core_msg *msg, int timeout_ms)
{
	int end = now_ms() + timeout_ms, left, err;
	unsigned int slot;

	for (;;) {
		while (c->n_order) {
			slot = c->order[0];
			c->n_order--;
			memmove(&c->order[0], &c->order[1], c->n_order * sizeof(c->order[0]));
			err = core_msg_decode(msg, c->buf + slot * RAMSTER_MSG_SIZE,
					      RAMSTER_MSG_SIZE);
			post_recv(c, slot);
			if (err || msg->type != RAMSTER_MSG_HEARTBEAT)
				return err;
		}
		left = end - now_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		if (left > (int)c->rep.heartbeat_ms)
			left = (int)c->rep.heartbeat_ms;
		if (!wait_completion(c, left)) {
			err = bconn_heartbeat(c);
			if (err)
				return err;
		}
	}
}

bool bconn_ended(struct bconn *c, int timeout_ms)
{
	enum rdma_cm_event_type type;
	int end = now_ms() + timeout_ms;

	while (!c->down && now_ms() < end)
		next_event(c, end - now_ms(), &type);
	if (c->down)
		rdma_disconnect(c->id);
	return c->down;
}
