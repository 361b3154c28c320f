/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * verbs.h - devices, memory that they may reach, and the queues that pages
 * travel by. verbs.c and cm.c are the two files of the library that see
 * libibverbs and librdmacm.
 */
#ifndef RMR_VERBS_H
#define RMR_VERBS_H

#include <pthread.h>

#include "../core/port.h"

#define RMR_MAX_DEVICES 8
/* Work requests on the wire per queue pair of a lane. Each costs some 0.2 KiB. */
#define RMR_LANE_REQUESTS 256

struct ibv_context;
struct ibv_pd;
struct ibv_mr;
struct ibv_qp;
struct ibv_cq;
struct ibv_comp_channel;

/* A device of this machine that some connection uses. Lives as long as the table. */
struct rmr_device {
	struct ibv_context *context;
	struct ibv_pd *pd; /* of all that we let it reach; no donor has access to that */
	u32 number;
};

struct rmr_devices {
	pthread_mutex_t lock; /* guards all */
	struct rmr_device device[RMR_MAX_DEVICES];
	u32 n;
};

void rmr_devices_init(struct rmr_devices *d);
void rmr_devices_uninit(struct rmr_devices *d);
/* -ENODEV if this machine has no RDMA device, or the kernel no connection manager. */
int rmr_devices_probe(void);
/* The device of a context, added to the table if new. NULL: -ENOMEM or too many. */
struct rmr_device *rmr_devices_get(struct rmr_devices *d, struct ibv_context *context);

/* Memory that devices reach. It is registered with each when first used there. */
struct rmr_mem {
	u8 *addr;
	size_t len;
	struct ibv_mr *mr[RMR_MAX_DEVICES]; /* written under devices.lock, atomically */
};

void rmr_mem_init(struct rmr_mem *m, void *addr, size_t len);
void rmr_mem_uninit(struct rmr_mem *m);
/* Registered with every device that there is. For errors at a time when they can be told. */
int rmr_mem_register(struct rmr_devices *d, struct rmr_mem *m);
/* The key of the memory at a device. -ENOMEM. */
int rmr_mem_key(struct rmr_devices *d, struct rmr_mem *m, const struct rmr_device *device,
		u32 *key);

/* Where completions of a lane are told. A channel may outlive its queues. */
struct ibv_comp_channel *rmr_channel_create(const struct rmr_device *device);
void rmr_channel_destroy(struct ibv_comp_channel *channel);
int rmr_channel_fd(const struct ibv_comp_channel *channel);
/* Take in what it tells, which is one word for each time that a queue was armed. Never waits. */
void rmr_channel_drain(struct ibv_comp_channel *channel);

/* A queue of so many completions. */
struct ibv_cq *rmr_cq_create(const struct rmr_device *device, struct ibv_comp_channel *channel,
			     u32 depth);
void rmr_cq_destroy(struct ibv_cq *cq);
/* The next completion is told by the channel; what is there already is not. */
int rmr_cq_arm(struct ibv_cq *cq);

struct rmr_completion {
	u64 id;
	u32 len; /* of a message */
	int err; /* -EACCES: the donor refused; -ECONNABORTED: the connection ended */
};

/* Up to max completions; how many. */
u32 rmr_cq_poll(struct ibv_cq *cq, struct rmr_completion *done, u32 max);

/* A READ or WRITE of one stretch of memory. */
struct rmr_transfer {
	u64 id;
	bool write;
	void *addr;
	u32 len, key;
	u64 remote_addr;
	u32 remote_key;
};

/* READs and WRITEs that are posted together: 1 to RMR_TRANSFERS. If it fails, some were not. */
#define RMR_TRANSFERS 16
int rmr_qp_transfer(struct ibv_qp *qp, const struct rmr_transfer *transfers, u32 n);
/* Messages, for cm.c. */
int rmr_qp_send(struct ibv_qp *qp, u64 id, void *addr, u32 len, u32 key);
int rmr_qp_recv(struct ibv_qp *qp, u64 id, void *addr, u32 len, u32 key);

#endif /* RMR_VERBS_H */
