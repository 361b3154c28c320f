// SPDX-License-Identifier: GPL-2.0-only
#include "verbs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <netdb.h>
#include <rdma/rdma_cma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <utlist.h>

#include "backlog.h"
#include "log.h"
#include "reaper.h"

#define RING	    64 /* messages posted each way on a control connection */
#define REAP_S	    2  /* that the CM may take for the last connections, when we stop */
#define POLL_BATCH  16
#define POLL_ROUNDS 8 /* batches handled before others get their turn */
/*
 * How often a message is offered to a client that has no room for it: about
 * 4 s by the CM's default timer. Not 7, without end: on Linux 5.10 an rxe
 * device that talks to itself then spins in the kernel.
 */
#define RNR_RETRIES	6
#define RNR_TIMER_640US 12	     /* IB encoding; the CM's default, 0, means 655 ms */
#define SEND_WR		(1ull << 32) /* wr_id: SEND_WR | slot, or the receive slot */

/* A completion queue that never completes anything: donors post nothing on lanes. */
struct lane_cq {
	struct ibv_context *context;
	struct ibv_cq *cq;
	struct lane_cq *next;
};

struct rmb_verbs {
	sd_event *event;
	sd_event_source *source;
	struct rdma_event_channel *channel;
	struct rdma_cm_id *listeners[32];
	unsigned int n_listeners;
	struct lane_cq *lane_cqs;
	struct rmb_reaper *reaper; /* destroys CM ids */
	const struct rmb_verbs_ops *ops;
	void *ctx;
};

struct rmb_conn {
	struct rmb_verbs *verbs;
	struct rdma_cm_id *id;
	struct rmb_pd *pd; /* NULL before accept */
	void *owner;
	bool accepted;
	bool is_down;	     /* down() was called or is about to be */
	bool dead;	     /* destroyed within a callback: free it after */
	unsigned int busy;   /* callbacks under way */
	const char *failure; /* to be reported by the defer source */
	uint8_t responder;   /* READs that the client wants outstanding */
	char peer[INET6_ADDRSTRLEN + 8];

	/* Control connections only. */
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct ibv_mr *mr;
	struct ramster_msg *ring;	  /* RING to receive into, RING to send from */
	unsigned int send_head, send_out; /* next slot, slots in flight */
	struct rmb_backlog backlog;	  /* what waits for a place in the ring */
	uint64_t progress_us;
	sd_event_source *io, *again;
};

struct rmb_pd {
	struct ibv_pd *pd;
	unsigned int refs; /* its owner, its connections, its memory */
};

struct rmb_mr {
	struct ibv_mr *mr;
	struct rmb_pd *pd;
};

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void address_format(const struct sockaddr *sa, char *out, size_t len)
{
	char host[INET6_ADDRSTRLEN] = "?", port[8] = "?";
	socklen_t size = sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) :
						     sizeof(struct sockaddr_in);

	getnameinfo(sa, size, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(out, len, sa->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* ---- connections ---- */

static struct rmb_conn *conn_create(struct rmb_verbs *verbs, struct rdma_cm_id *id,
				    uint8_t responder)
{
	struct rmb_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	conn->verbs = verbs;
	conn->id = id;
	conn->responder = responder;
	conn->progress_us = now_us();
	id->context = conn;
	rmb_backlog_init(&conn->backlog);
	address_format(rdma_get_peer_addr(id), conn->peer, sizeof(conn->peer));
	return conn;
}

static void pd_put(struct rmb_pd *pd)
{
	if (--pd->refs)
		return;
	if (ibv_dealloc_pd(pd->pd))
		rmb_log(LOG_WARNING, "cannot free a protection domain: %s", strerror(errno));
	free(pd);
}

static void id_end(void *id)
{
	rdma_destroy_id(id);
}

/* Its queue pair is gone, so nothing of the client's is left; the CM may take its time. */
static void id_destroy(struct rmb_verbs *verbs, struct rdma_cm_id *id)
{
	id->context = NULL; /* its last events are nobody's */
	rmb_reaper_give(verbs->reaper, id_end, id);
}

static void conn_free(struct rmb_conn *conn)
{
	sd_event_source_disable_unref(conn->io);
	sd_event_source_disable_unref(conn->again);
	if (conn->accepted)
		rdma_disconnect(conn->id);
	if (conn->id->qp)
		rdma_destroy_qp(conn->id);
	if (conn->cq)
		ibv_destroy_cq(conn->cq);
	if (conn->channel)
		ibv_destroy_comp_channel(conn->channel);
	if (conn->mr)
		ibv_dereg_mr(conn->mr);
	id_destroy(conn->verbs, conn->id);
	if (conn->pd)
		pd_put(conn->pd);
	rmb_backlog_uninit(&conn->backlog);
	free(conn->ring);
	free(conn);
}

void rmb_conn_destroy(struct rmb_conn *conn)
{
	conn->is_down = true;
	conn->dead = true;
	if (!conn->busy)
		conn_free(conn);
}

/* Callbacks are bracketed by these two; conn_leave() returns false if conn is gone. */
static void conn_enter(struct rmb_conn *conn)
{
	conn->busy++;
}

static bool conn_leave(struct rmb_conn *conn)
{
	if (--conn->busy || !conn->dead)
		return true;
	conn_free(conn);
	return false;
}

static void conn_down(struct rmb_conn *conn, const char *why, bool device_gone)
{
	if (conn->is_down)
		return;
	conn->is_down = true;
	conn->verbs->ops->down(conn, conn->owner, why, device_gone);
}

/* For callers that cannot bear down() being called under them. */
static void conn_fail_later(struct rmb_conn *conn, const char *why)
{
	if (conn->failure)
		return;
	conn->failure = why;
	sd_event_source_set_enabled(conn->again, SD_EVENT_ONESHOT);
}

static int post_recv(struct rmb_conn *conn, uint64_t slot)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)&conn->ring[slot],
		.length = RAMSTER_MSG_SIZE,
		.lkey = conn->mr->lkey,
	};
	struct ibv_recv_wr wr = { .wr_id = slot, .sg_list = &sge, .num_sge = 1 }, *bad;

	return -ibv_post_recv(conn->id->qp, &wr, &bad);
}

static int post_send(struct rmb_conn *conn, const struct ramster_msg *msg)
{
	unsigned int slot = conn->send_head % RING;
	struct ibv_sge sge = {
		.addr = (uintptr_t)&conn->ring[RING + slot],
		.length = RAMSTER_MSG_SIZE,
		.lkey = conn->mr->lkey,
	};
	struct ibv_send_wr wr = {
		.wr_id = SEND_WR | slot,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_SEND,
		.send_flags = IBV_SEND_SIGNALED,
	}, *bad;
	int err;

	conn->ring[RING + slot] = *msg;
	err = ibv_post_send(conn->id->qp, &wr, &bad);
	if (err)
		return -err;
	conn->send_head++;
	if (!conn->send_out++)
		conn->progress_us = now_us();
	return 0;
}

void rmb_conn_send(struct rmb_conn *conn, const struct ramster_msg *msg, bool limited)
{
	if (conn->is_down || conn->failure)
		return;
	if (conn->send_out < RING && !conn->backlog.len) {
		if (post_send(conn, msg))
			conn_fail_later(conn, "cannot send");
		return;
	}
	if (!rmb_backlog_add(&conn->backlog, msg, limited))
		conn_fail_later(conn, "does not take its messages");
}

static void backlog_drain(struct rmb_conn *conn)
{
	while (conn->backlog.len && conn->send_out < RING) {
		if (post_send(conn, rmb_backlog_first(&conn->backlog))) {
			conn_fail_later(conn, "cannot send");
			return;
		}
		rmb_backlog_drop(&conn->backlog);
	}
}

unsigned int rmb_conn_unsent(const struct rmb_conn *conn)
{
	return conn->send_out + conn->backlog.len;
}

uint64_t rmb_conn_progress_us(const struct rmb_conn *conn)
{
	return conn->progress_us;
}

static void on_completion(struct rmb_conn *conn, const struct ibv_wc *wc)
{
	bool is_send = wc->wr_id & SEND_WR;

	if (wc->status == IBV_WC_WR_FLUSH_ERR)
		return conn_down(conn, "connection broke", false);
	if (wc->status == IBV_WC_LOC_LEN_ERR && !is_send)
		return conn_down(conn, "sent a message longer than 64 bytes", false);
	if (wc->status != IBV_WC_SUCCESS)
		return conn_down(conn, ibv_wc_status_str(wc->status), false);
	if (is_send) {
		conn->send_out--;
		conn->progress_us = now_us();
		return;
	}
	/* Anything but a SEND left our buffer as it was: let it count as empty. */
	conn->verbs->ops->message(conn, conn->owner, &conn->ring[wc->wr_id],
				  wc->opcode == IBV_WC_RECV ? wc->byte_len : 0);
	if (!conn->is_down && post_recv(conn, wc->wr_id))
		conn_fail_later(conn, "cannot receive");
}

/* Handle up to a batch of completions; how many there were, 0 also for an end. */
static int poll_batch(struct rmb_conn *conn)
{
	struct ibv_wc wc[POLL_BATCH];
	int i, n = ibv_poll_cq(conn->cq, POLL_BATCH, wc);

	for (i = 0; i < n && !conn->is_down; i++)
		on_completion(conn, &wc[i]);
	if (conn->is_down)
		return 0;
	backlog_drain(conn);
	return n < 0 ? 0 : n;
}

/* Poll dry and arm, or come back after the others. */
static void conn_poll(struct rmb_conn *conn)
{
	bool armed = false;
	int round;

	for (round = 0; round < POLL_ROUNDS && !conn->is_down; round++) {
		if (poll_batch(conn))
			continue;
		if (armed || conn->is_down)
			return;
		/* What came in before the arming raises no event: poll once more. */
		armed = !ibv_req_notify_cq(conn->cq, 0);
	}
	if (!conn->is_down)
		sd_event_source_set_enabled(conn->again, SD_EVENT_ONESHOT);
}

static int on_cq_event(sd_event_source *source, int fd, uint32_t events, void *opaque)
{
	struct rmb_conn *conn = opaque;
	struct ibv_cq *cq;
	void *ctx;

	(void)source, (void)fd, (void)events;
	conn_enter(conn);
	/* Each event is acknowledged at once: destroying the queue waits for that. */
	while (!ibv_get_cq_event(conn->channel, &cq, &ctx))
		ibv_ack_cq_events(cq, 1);
	conn_poll(conn);
	conn_leave(conn);
	return 0;
}

static int on_again(sd_event_source *source, void *opaque)
{
	struct rmb_conn *conn = opaque;

	(void)source;
	conn_enter(conn);
	if (conn->failure)
		conn_down(conn, conn->failure, false);
	else
		conn_poll(conn);
	conn_leave(conn);
	return 0;
}

static int nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ? -errno : 0;
}

static struct ibv_cq *lane_cq(struct rmb_verbs *verbs, struct ibv_context *context)
{
	struct lane_cq *lane;

	LL_FOREACH(verbs->lane_cqs, lane)
		if (lane->context == context)
			return lane->cq;
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return NULL;
	lane->context = context;
	lane->cq = ibv_create_cq(context, 1, NULL, NULL, 0);
	if (!lane->cq) {
		free(lane);
		return NULL;
	}
	LL_PREPEND(verbs->lane_cqs, lane);
	return lane->cq;
}

static int control_setup(struct rmb_conn *conn, struct rmb_pd *pd)
{
	sd_event *event = conn->verbs->event;
	size_t size = 2 * RING * sizeof(*conn->ring);

	conn->ring = aligned_alloc(4096, size);
	if (!conn->ring)
		return -ENOMEM;
	memset(conn->ring, 0, size);
	conn->mr = ibv_reg_mr(pd->pd, conn->ring, size, IBV_ACCESS_LOCAL_WRITE);
	if (!conn->mr)
		return -errno;
	conn->channel = ibv_create_comp_channel(conn->id->verbs);
	if (!conn->channel || nonblock(conn->channel->fd))
		return -errno;
	conn->cq = ibv_create_cq(conn->id->verbs, 2 * RING, NULL, conn->channel, 0);
	if (!conn->cq)
		return -errno;
	if (sd_event_add_io(event, &conn->io, conn->channel->fd, EPOLLIN, on_cq_event, conn) < 0 ||
	    sd_event_add_defer(event, &conn->again, on_again, conn) < 0)
		return -ENOMEM;
	return -ibv_req_notify_cq(conn->cq, 0);
}

static int qp_create(struct rmb_conn *conn, struct rmb_pd *pd, bool control)
{
	struct ibv_cq *cq = control ? conn->cq : lane_cq(conn->verbs, conn->id->verbs);
	struct ibv_qp_init_attr attr = {
		.send_cq = cq,
		.recv_cq = cq,
		.cap = {
			.max_send_wr = control ? RING : 1,
			.max_recv_wr = control ? RING : 1,
			.max_send_sge = 1,
			.max_recv_sge = 1,
		},
		.qp_type = IBV_QPT_RC,
	};
	uint64_t slot;
	int err;

	if (!cq)
		return -ENOMEM;
	if (rdma_create_qp(conn->id, pd->pd, &attr))
		return -errno;
	for (slot = 0; control && slot < RING; slot++) {
		err = post_recv(conn, slot);
		if (err)
			return err;
	}
	return 0;
}

int rmb_conn_prepare(struct rmb_conn *conn, struct rmb_pd *pd, void *owner, bool control)
{
	int err;

	conn->owner = owner;
	conn->pd = pd;
	pd->refs++;
	err = control ? control_setup(conn, pd) : 0;
	return err ? err : qp_create(conn, pd, control);
}

int rmb_conn_accept(struct rmb_conn *conn, const void *private_data, size_t len)
{
	struct ibv_qp_attr timer = { .min_rnr_timer = RNR_TIMER_640US };
	struct rdma_conn_param param = {
		.private_data = private_data,
		.private_data_len = (uint8_t)len,
		.rnr_retry_count = RNR_RETRIES,
	};
	struct ibv_device_attr attr;

	if (ibv_query_device(conn->id->verbs, &attr))
		return -EIO;
	/* As many READs in flight as the client asks for and the device can answer. */
	param.responder_resources = conn->responder;
	if (param.responder_resources > attr.max_qp_rd_atom)
		param.responder_resources = (uint8_t)attr.max_qp_rd_atom;
	if (rdma_accept(conn->id, &param))
		return -errno;
	conn->accepted = true;
	/* Only makes a burst of messages cheaper; devices may refuse. */
	ibv_modify_qp(conn->id->qp, &timer, IBV_QP_MIN_RNR_TIMER);
	return 0;
}

void rmb_conn_reject(struct rmb_conn *conn, const void *private_data, size_t len)
{
	rdma_reject(conn->id, private_data, (uint8_t)len);
	rmb_conn_destroy(conn);
}

bool rmb_conn_broken(const struct rmb_conn *conn)
{
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr;

	return ibv_query_qp(conn->id->qp, &attr, IBV_QP_STATE, &init) ||
	       attr.qp_state == IBV_QPS_ERR;
}

const char *rmb_conn_peer(const struct rmb_conn *conn)
{
	return conn->peer;
}

const char *rmb_conn_device(const struct rmb_conn *conn)
{
	return ibv_get_device_name(conn->id->verbs->device);
}

/* ---- connection manager events ---- */

static void on_request(struct rmb_verbs *verbs, struct rdma_cm_id *id,
		       const struct rdma_conn_param *param, const void *data, size_t len)
{
	struct rmb_conn *conn = conn_create(verbs, id, param->responder_resources);

	if (!conn) {
		id_destroy(verbs, id);
		return;
	}
	conn_enter(conn);
	verbs->ops->request(verbs->ctx, conn, data, len);
	conn_leave(conn);
}

void rmb_conn_drain(struct rmb_conn *conn)
{
	unsigned int left = 2 * RING / POLL_BATCH;

	conn_enter(conn);
	while (conn->cq && !conn->is_down && left-- && poll_batch(conn))
		;
	conn_leave(conn);
}

/* What had arrived before the end counts. */
static void conn_finish(struct rmb_conn *conn, const char *why, bool device_gone)
{
	conn_enter(conn);
	rmb_conn_drain(conn);
	conn_down(conn, why, device_gone);
	conn_leave(conn);
}

static void dispatch(struct rmb_verbs *verbs, enum rdma_cm_event_type type, struct rdma_cm_id *id,
		     struct rmb_conn *conn, const struct rdma_conn_param *param, const void *data,
		     size_t len)
{
	if (!conn && type != RDMA_CM_EVENT_CONNECT_REQUEST)
		return; /* destroyed meanwhile */
	switch (type) {
	case RDMA_CM_EVENT_CONNECT_REQUEST:
		on_request(verbs, id, param, data, len);
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		conn_finish(conn, "disconnected", false);
		break;
	case RDMA_CM_EVENT_CONNECT_ERROR:
	case RDMA_CM_EVENT_UNREACHABLE:
	case RDMA_CM_EVENT_REJECTED:
		conn_finish(conn, "did not complete its connection", false);
		break;
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		conn_finish(conn, "RDMA device was removed", true);
		break;
	default: /* established, timewait exit, address change: nothing to do */
		break;
	}
}

static int on_cm_event(sd_event_source *source, int fd, uint32_t events, void *opaque)
{
	struct rmb_verbs *verbs = opaque;
	struct rdma_cm_event *event;

	(void)source, (void)fd, (void)events;
	/* One at a time; the loop comes back, and others get their turn. */
	if (!rdma_get_cm_event(verbs->channel, &event)) {
		struct rdma_conn_param param = event->param.conn;
		enum rdma_cm_event_type type = event->event;
		struct rdma_cm_id *id = event->id;
		struct rmb_conn *conn = id->context; /* until it is acknowledged the id stays */
		uint8_t data[256];
		size_t len = param.private_data ? param.private_data_len : 0;

		/* Acknowledged first, because destroying an id waits for that. */
		if (len)
			memcpy(data, param.private_data, len);
		rdma_ack_cm_event(event);
		dispatch(verbs, type, id, conn, &param, data, len);
	}
	return 0;
}

/* ---- listeners ---- */

struct rmb_verbs *rmb_verbs_create(sd_event *event, const struct rmb_verbs_ops *ops, void *ctx,
				   char *why, size_t why_len)
{
	struct rmb_verbs *verbs;
	char devices[8];

	rmb_verbs_devices(devices, sizeof(devices));
	if (!devices[0]) {
		snprintf(why, why_len,
			 "no RDMA device on this machine; for Soft-RoCE over an Ethernet port: rdma link add rxe0 type rxe netdev eth0");
		return NULL;
	}
	verbs = calloc(1, sizeof(*verbs));
	if (!verbs)
		return NULL;
	verbs->event = event;
	verbs->ops = ops;
	verbs->ctx = ctx;
	verbs->reaper = rmb_reaper_create();
	verbs->channel = rdma_create_event_channel();
	if (!verbs->reaper || !verbs->channel || nonblock(verbs->channel->fd) ||
	    sd_event_add_io(event, &verbs->source, verbs->channel->fd, EPOLLIN, on_cm_event,
			    verbs) < 0) {
		snprintf(why, why_len,
			 "cannot use the RDMA connection manager: %s; try: modprobe rdma_ucm",
			 strerror(errno));
		rmb_verbs_destroy(verbs);
		return NULL;
	}
	return verbs;
}

void rmb_verbs_destroy(struct rmb_verbs *verbs)
{
	struct lane_cq *lane, *next;

	while (verbs->n_listeners)
		id_destroy(verbs, verbs->listeners[--verbs->n_listeners]);
	LL_FOREACH_SAFE(verbs->lane_cqs, lane, next) {
		ibv_destroy_cq(lane->cq);
		free(lane);
	}
	sd_event_source_disable_unref(verbs->source);
	if (verbs->reaper && !rmb_reaper_destroy(verbs->reaper, REAP_S))
		rmb_log(LOG_WARNING, "the RDMA connection manager does not let a connection go");
	else if (verbs->channel)
		rdma_destroy_event_channel(verbs->channel);
	free(verbs);
}

static int listen_on(struct rmb_verbs *verbs, struct sockaddr *sa)
{
	struct rdma_cm_id *id;
	int err, one = 1;

	if (verbs->n_listeners == sizeof(verbs->listeners) / sizeof(verbs->listeners[0]))
		return -ENOSPC;
	if (rdma_create_id(verbs->channel, &id, NULL, RDMA_PS_TCP))
		return -errno;
	/* Each family for itself: iWARP devices do not take IPv4 on an IPv6 listener. */
	rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_AFONLY, &one, sizeof(one));
	if (rdma_bind_addr(id, sa) || rdma_listen(id, 0)) {
		err = -errno;
		rdma_destroy_id(id);
		return err;
	}
	verbs->listeners[verbs->n_listeners++] = id;
	return 0;
}

int rmb_verbs_listen(struct rmb_verbs *verbs, const char *address, uint16_t port)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST,
				  .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	char service[8];
	int err;

	/* A host without IPv6 is no error. */
	if (!address) {
		err = rmb_verbs_listen(verbs, "0.0.0.0", port);
		if (!err)
			rmb_verbs_listen(verbs, "::", port);
		return err;
	}
	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(address, service, &hints, &found))
		return -EINVAL;
	err = listen_on(verbs, found->ai_addr);
	freeaddrinfo(found);
	return err;
}

void rmb_verbs_devices(char *out, size_t len)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	size_t used = 0;
	int i;

	out[0] = '\0';
	for (i = 0; list && list[i] && used < len; i++)
		used += (size_t)snprintf(out + used, len - used, "%s%s", i ? ", " : "",
					 ibv_get_device_name(list[i]));
	if (list)
		ibv_free_device_list(list);
}

/* ---- memory ---- */

struct rmb_pd *rmb_pd_create(struct rmb_conn *conn)
{
	struct rmb_pd *pd = malloc(sizeof(*pd));

	if (!pd)
		return NULL;
	pd->refs = 1;
	pd->pd = ibv_alloc_pd(conn->id->verbs);
	if (!pd->pd) {
		free(pd);
		return NULL;
	}
	return pd;
}

bool rmb_pd_fits(const struct rmb_pd *pd, const struct rmb_conn *conn)
{
	return pd->pd->context == conn->id->verbs;
}

void rmb_pd_destroy(struct rmb_pd *pd)
{
	pd_put(pd);
}

struct rmb_mr *rmb_mr_create(struct rmb_pd *pd, void *addr, size_t len, bool writable,
			     uint32_t *rkey)
{
	int access = IBV_ACCESS_REMOTE_READ;
	struct rmb_mr *mr = malloc(sizeof(*mr));

	if (!mr)
		return NULL;
	if (writable)
		access |= IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE;
	mr->mr = ibv_reg_mr(pd->pd, addr, len, access);
	if (!mr->mr) {
		free(mr);
		return NULL;
	}
	mr->pd = pd;
	pd->refs++;
	*rkey = mr->mr->rkey;
	return mr;
}

int rmb_mr_destroy(struct rmb_mr *mr)
{
	int err = ibv_dereg_mr(mr->mr);

	pd_put(mr->pd);
	free(mr);
	return err > 0 ? -err : err;
}
