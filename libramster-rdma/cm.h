/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * cm.h - connections to one donor: how they come up and that they have ended.
 *
 * A connection manager belongs to the one thread that calls it. Connections that
 * are open can be used by others, by their queue pair.
 */
#ifndef RMR_CM_H
#define RMR_CM_H

#include <sys/socket.h>

#include "verbs.h"
#include "../core/wire.h"

struct rdma_cm_id;
struct rdma_event_channel;

struct rmr_cm {
	struct rdma_event_channel *channel;
	int stop_fd; /* readable: give up what is waited for */
};

struct rmr_conn {
	struct rmr_cm *cm;
	struct rdma_cm_id *id;
	struct ibv_qp *qp;
	struct rmr_device *device;
	bool stepped; /* step_err is the end of a step of connecting */
	int step_err;
	bool established;
	bool down; /* the donor or the network has ended it */
	struct core_cm_rep rep;
	enum ramster_reason reason; /* of a reject */
};

int rmr_cm_init(struct rmr_cm *cm, int stop_fd);
/* All its connections are closed. */
void rmr_cm_uninit(struct rmr_cm *cm);
int rmr_cm_fd(const struct rmr_cm *cm);
/* Take in what there is: some connection may be down afterwards. Never waits. */
void rmr_cm_pump(struct rmr_cm *cm);

struct rmr_conn_params {
	const struct sockaddr_storage *addr;
	struct rmr_devices *devices;
	struct core_cm_req req;
	u32 send_depth, recv_depth;
	u32 timeout_ms; /* of each of three steps */
	/*
	 * The device is known: give the queue for its completions, and before connecting
	 * the queue pair is there: post receives (may be NULL). A negative errno ends it.
	 */
	int (*device)(void *owner, struct rmr_device *device, struct ibv_cq **cq);
	int (*prepare)(void *owner, struct ibv_qp *qp);
	void *owner;
};

/*
 * Connect conn, which is all zero. -EBUSY: rejected, conn.reason says why;
 * -ECONNREFUSED: nobody listens there; -ECONNRESET: the connection manager over
 * there would not have it, try again; -ENODEV: no RDMA device towards that address;
 * -EHOSTUNREACH, -ETIMEDOUT; -EINTR: stop_fd. rmr_conn_close() is due in each case.
 */
int rmr_conn_open(struct rmr_conn *conn, struct rmr_cm *cm, const struct rmr_conn_params *p);
/* The end, phase one: nothing is sent any more, all that is posted completes with an error. */
void rmr_conn_shut(struct rmr_conn *conn);
/* Phase two: the device touches no memory of its requests any more. */
void rmr_conn_close(struct rmr_conn *conn);

#endif /* RMR_CM_H */
