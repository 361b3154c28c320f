// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * control.c - a ring of messages each way.
 */
#include "control.h"

#include <poll.h>
#include <stdlib.h>

#include "util.h"

#define SEND_ID	   (1ull << 32) /* completions of sends; of receives: the slot */
#define RING_BYTES (2 * RMR_CONTROL_DEPTH * sizeof(struct ramster_msg))
/* How long the last messages before a disconnect may take to go out. */
#define GOODBYE_MS 500

void rmr_control_init(struct rmr_control *c, struct rmr_devices *devices)
{
	memset(c, 0, sizeof(*c));
	pthread_mutex_init(&c->lock, NULL);
	c->devices = devices;
}

void rmr_control_uninit(struct rmr_control *c)
{
	pthread_mutex_destroy(&c->lock);
}

static int recv_slot(struct rmr_control *c, struct ibv_qp *qp, u64 slot)
{
	return rmr_qp_recv(qp, slot, &c->ring[slot], RAMSTER_MSG_SIZE, c->key);
}

static int on_device(void *owner, struct rmr_device *device, struct ibv_cq **cq)
{
	struct rmr_control *c = owner;

	c->ring = aligned_alloc(4096, RING_BYTES);
	if (!c->ring)
		return -ENOMEM;
	memset(c->ring, 0, RING_BYTES);
	rmr_mem_init(&c->mem, c->ring, RING_BYTES);
	if (rmr_mem_key(c->devices, &c->mem, device, &c->key))
		return -ENOMEM;
	c->channel = rmr_channel_create(device);
	if (!c->channel)
		return -ENOMEM;
	c->cq = rmr_cq_create(device, c->channel, 2 * RMR_CONTROL_DEPTH);
	if (!c->cq)
		return -ENOMEM;
	*cq = c->cq;
	return 0;
}

static int on_prepare(void *owner, struct ibv_qp *qp)
{
	struct rmr_control *c = owner;
	u64 slot;
	int err = 0;

	for (slot = 0; slot < RMR_CONTROL_DEPTH && !err; slot++)
		err = recv_slot(c, qp, slot);
	return err;
}

static void tear_down(struct rmr_control *c)
{
	rmr_conn_shut(&c->conn);
	rmr_conn_close(&c->conn);
	if (c->cq)
		rmr_cq_destroy(c->cq);
	if (c->channel)
		rmr_channel_destroy(c->channel);
	rmr_mem_uninit(&c->mem);
	free(c->ring);
	c->cq = NULL;
	c->channel = NULL;
	c->ring = NULL;
	rmr_mem_init(&c->mem, NULL, 0);
}

int rmr_control_open(struct rmr_control *c, struct rmr_cm *cm, struct rmr_conn_params *p,
		     struct core_cm_rep *rep, enum ramster_reason *reason)
{
	int err;

	p->send_depth = RMR_CONTROL_DEPTH;
	p->recv_depth = RMR_CONTROL_DEPTH;
	p->device = on_device;
	p->prepare = on_prepare;
	p->owner = c;
	c->next = 0;
	c->sending = 0;
	c->ndone = 0;
	c->at = 0;
	err = rmr_conn_open(&c->conn, cm, p);
	*reason = c->conn.reason;
	*rep = c->conn.rep;
	if (err) {
		tear_down(c);
		return err;
	}
	pthread_mutex_lock(&c->lock);
	c->open = true;
	pthread_mutex_unlock(&c->lock);
	return 0;
}

/* The next completion, of either kind; lock held. */
static bool next_completion(struct rmr_control *c, struct rmr_completion *done)
{
	if (c->at == c->ndone) {
		c->at = 0;
		c->ndone = rmr_cq_poll(c->cq, c->done, sizeof(c->done) / sizeof(c->done[0]));
	}
	if (!c->ndone)
		return false;
	*done = c->done[c->at++];
	if (!done->err && done->id == SEND_ID)
		c->sending--;
	return true;
}

static void wait_sent(struct rmr_control *c)
{
	struct pollfd fd = { .fd = rmr_channel_fd(c->channel), .events = POLLIN };
	u64 deadline = rmr_now_ms() + GOODBYE_MS, now;
	struct rmr_completion done;

	while (c->sending && (now = rmr_now_ms()) < deadline) {
		rmr_channel_drain(c->channel);
		rmr_cq_arm(c->cq);
		while (next_completion(c, &done))
			if (done.err)
				return;
		if (c->sending)
			poll(&fd, 1, (int)(deadline - now));
	}
}

void rmr_control_close(struct rmr_control *c)
{
	pthread_mutex_lock(&c->lock);
	if (c->open) {
		c->open = false;
		wait_sent(c);
		tear_down(c);
	}
	pthread_mutex_unlock(&c->lock);
}

int rmr_control_send(struct rmr_control *c, const struct core_msg *msg)
{
	struct ramster_msg *slot;
	int err = -ENOTCONN;

	pthread_mutex_lock(&c->lock);
	if (c->open && c->sending == RMR_CONTROL_DEPTH) {
		err = -EAGAIN;
	} else if (c->open) {
		slot = &c->ring[RMR_CONTROL_DEPTH + c->next % RMR_CONTROL_DEPTH];
		core_msg_encode(slot, msg);
		err = rmr_qp_send(c->conn.qp, SEND_ID, slot, RAMSTER_MSG_SIZE, c->key);
		if (!err) {
			c->next++;
			c->sending++;
		}
	}
	pthread_mutex_unlock(&c->lock);
	return err;
}

bool rmr_control_busy(struct rmr_control *c)
{
	bool busy;

	pthread_mutex_lock(&c->lock);
	busy = c->open && c->sending >= RMR_CONTROL_DEPTH / 2;
	pthread_mutex_unlock(&c->lock);
	return busy;
}

int rmr_control_recv(struct rmr_control *c, struct core_msg *msg)
{
	struct rmr_completion done = { 0 };
	int err = 0;

	pthread_mutex_lock(&c->lock);
	while (!err && next_completion(c, &done)) {
		if (done.err) {
			err = -ECONNABORTED;
		} else if (done.id != SEND_ID) {
			err = core_msg_decode(msg, &c->ring[done.id], done.len);
			if (!err)
				err = recv_slot(c, c->conn.qp, done.id) ? -ECONNABORTED : 1;
		}
	}
	pthread_mutex_unlock(&c->lock);
	return err;
}

int rmr_control_fd(struct rmr_control *c)
{
	return c->open ? rmr_channel_fd(c->channel) : -1;
}

void rmr_control_arm(struct rmr_control *c)
{
	pthread_mutex_lock(&c->lock);
	if (c->open) {
		/* first, not when receiving: an event of what comes after arming must stay */
		rmr_channel_drain(c->channel);
		rmr_cq_arm(c->cq);
	}
	pthread_mutex_unlock(&c->lock);
}
