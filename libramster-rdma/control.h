/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * control.h - messages to and from a donor, on a control connection.
 */
#ifndef RMR_CONTROL_H
#define RMR_CONTROL_H

#include "cm.h"

#define RMR_CONTROL_DEPTH 64 /* messages posted each way */

/*
 * Sending takes control.lock, receiving is for the thread that opened it. A
 * message that has arrived keeps its buffer until it is read: a donor that outruns
 * us is held back by the transport.
 */
struct rmr_control {
	pthread_mutex_t lock; /* guards what follows */
	bool open;
	struct rmr_conn conn;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct rmr_devices *devices;
	struct rmr_mem mem;	  /* of ring */
	struct ramster_msg *ring; /* DEPTH to receive into, DEPTH to send from */
	u32 key;
	u32 next, sending;
	struct rmr_completion done[16]; /* polled, not handled yet */
	u32 ndone, at;
};

void rmr_control_init(struct rmr_control *c, struct rmr_devices *devices);
void rmr_control_uninit(struct rmr_control *c);
/* As rmr_conn_open(); p is filled in but for queues and callbacks. On an error it is closed. */
int rmr_control_open(struct rmr_control *c, struct rmr_cm *cm, struct rmr_conn_params *p,
		     struct core_cm_rep *rep, enum ramster_reason *reason);
/* Waits a moment for what was sent to go out. */
void rmr_control_close(struct rmr_control *c);

/* -ENOTCONN; -EAGAIN when the ring is full. Any thread. */
int rmr_control_send(struct rmr_control *c, const struct core_msg *msg);
/* Half of the ring is taken: what is not urgent had better wait. Any thread. */
bool rmr_control_busy(struct rmr_control *c);
/*
 * The next message: 1; 0: there is none; -ECONNABORTED: the connection is broken;
 * else what core_msg_decode() says of it.
 */
int rmr_control_recv(struct rmr_control *c, struct core_msg *msg);
/* Readable after rmr_control_arm() when there is something to receive; -1: not open. */
int rmr_control_fd(struct rmr_control *c);
void rmr_control_arm(struct rmr_control *c);

#endif /* RMR_CONTROL_H */
