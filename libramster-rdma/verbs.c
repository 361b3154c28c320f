// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * verbs.c - the part of RDMA that pages need: libibverbs.
 */
#include "verbs.h"

#include <fcntl.h>
#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#define POLL_BATCH 16

/* ---- devices ---- */

void rmr_devices_init(struct rmr_devices *d)
{
	memset(d, 0, sizeof(*d));
	pthread_mutex_init(&d->lock, NULL);
}

void rmr_devices_uninit(struct rmr_devices *d)
{
	while (d->n)
		ibv_dealloc_pd(d->device[--d->n].pd);
	pthread_mutex_destroy(&d->lock);
}

int rmr_devices_probe(void)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct rdma_event_channel *channel;
	bool any = list && list[0];

	if (list)
		ibv_free_device_list(list);
	if (!any)
		return -ENODEV;
	channel = rdma_create_event_channel();
	if (!channel)
		return errno == EMFILE || errno == ENFILE ? -errno : -ENODEV;
	rdma_destroy_event_channel(channel);
	return 0;
}

static struct rmr_device *find(struct rmr_devices *d, struct ibv_context *context)
{
	u32 i;

	for (i = 0; i < d->n; i++)
		if (d->device[i].context == context)
			return &d->device[i];
	return NULL;
}

struct rmr_device *rmr_devices_get(struct rmr_devices *d, struct ibv_context *context)
{
	struct rmr_device *device;

	pthread_mutex_lock(&d->lock);
	device = find(d, context);
	if (!device && d->n < RMR_MAX_DEVICES) {
		device = &d->device[d->n];
		device->context = context;
		device->number = d->n;
		device->pd = ibv_alloc_pd(context);
		if (device->pd)
			d->n++;
		else
			device = NULL;
	}
	pthread_mutex_unlock(&d->lock);
	return device;
}

/* ---- memory ---- */

void rmr_mem_init(struct rmr_mem *m, void *addr, size_t len)
{
	memset(m, 0, sizeof(*m));
	m->addr = addr;
	m->len = len;
}

void rmr_mem_uninit(struct rmr_mem *m)
{
	u32 i;

	for (i = 0; i < RMR_MAX_DEVICES; i++)
		if (m->mr[i])
			ibv_dereg_mr(m->mr[i]);
}

/* devices.lock is held. */
static struct ibv_mr *mem_register(struct rmr_mem *m, const struct rmr_device *device)
{
	struct ibv_mr *mr = m->mr[device->number];

	if (mr)
		return mr;
	mr = ibv_reg_mr(device->pd, m->addr, m->len, IBV_ACCESS_LOCAL_WRITE);
	__atomic_store_n(&m->mr[device->number], mr, __ATOMIC_RELEASE);
	return mr;
}

int rmr_mem_register(struct rmr_devices *d, struct rmr_mem *m)
{
	int err = 0;
	u32 i;

	pthread_mutex_lock(&d->lock);
	for (i = 0; i < d->n && !err; i++)
		if (!mem_register(m, &d->device[i]))
			err = -errno;
	pthread_mutex_unlock(&d->lock);
	return err;
}

int rmr_mem_key(struct rmr_devices *d, struct rmr_mem *m, const struct rmr_device *device, u32 *key)
{
	struct ibv_mr *mr = __atomic_load_n(&m->mr[device->number], __ATOMIC_ACQUIRE);

	if (!mr) {
		pthread_mutex_lock(&d->lock);
		mr = mem_register(m, device);
		pthread_mutex_unlock(&d->lock);
	}
	if (!mr)
		return -ENOMEM;
	*key = mr->lkey;
	return 0;
}

/* ---- completions ---- */

struct ibv_comp_channel *rmr_channel_create(const struct rmr_device *device)
{
	struct ibv_comp_channel *channel = ibv_create_comp_channel(device->context);
	int flags;

	if (!channel)
		return NULL;
	flags = fcntl(channel->fd, F_GETFL);
	if (flags >= 0 && !fcntl(channel->fd, F_SETFL, flags | O_NONBLOCK))
		return channel;
	ibv_destroy_comp_channel(channel);
	return NULL;
}

void rmr_channel_destroy(struct ibv_comp_channel *channel)
{
	ibv_destroy_comp_channel(channel);
}

int rmr_channel_fd(const struct ibv_comp_channel *channel)
{
	return channel->fd;
}

void rmr_channel_drain(struct ibv_comp_channel *channel)
{
	struct ibv_cq *cq;
	void *context;

	/* Acknowledged at once: destroying the queue waits for that. */
	if (!ibv_get_cq_event(channel, &cq, &context))
		ibv_ack_cq_events(cq, 1);
}

struct ibv_cq *rmr_cq_create(const struct rmr_device *device, struct ibv_comp_channel *channel,
			     u32 depth)
{
	return ibv_create_cq(device->context, (int)depth, NULL, channel, 0);
}

void rmr_cq_destroy(struct ibv_cq *cq)
{
	ibv_destroy_cq(cq);
}

int rmr_cq_arm(struct ibv_cq *cq)
{
	return -ibv_req_notify_cq(cq, 0);
}

static int errno_of_status(enum ibv_wc_status status)
{
	switch (status) {
	case IBV_WC_SUCCESS:
		return 0;
	case IBV_WC_REM_ACCESS_ERR:
	case IBV_WC_REM_INV_REQ_ERR:
		return -EACCES;
	case IBV_WC_RETRY_EXC_ERR:
	case IBV_WC_RNR_RETRY_EXC_ERR:
		return -ETIMEDOUT;
	case IBV_WC_WR_FLUSH_ERR:
		return -ECONNABORTED;
	default:
		return -EIO;
	}
}

u32 rmr_cq_poll(struct ibv_cq *cq, struct rmr_completion *done, u32 max)
{
	struct ibv_wc wc[POLL_BATCH];
	int i, n = ibv_poll_cq(cq, (int)(max < POLL_BATCH ? max : POLL_BATCH), wc);

	for (i = 0; i < n; i++) {
		done[i].id = wc[i].wr_id;
		done[i].err = errno_of_status(wc[i].status);
		/* anything but a SEND left the buffer as it was: it counts as empty */
		done[i].len = !done[i].err && wc[i].opcode == IBV_WC_RECV ? wc[i].byte_len : 0;
	}
	return n < 0 ? 0 : (u32)n;
}

/* ---- posting ---- */

int rmr_qp_transfer(struct ibv_qp *qp, const struct rmr_transfer *transfers, u32 n)
{
	struct ibv_send_wr wrs[RMR_TRANSFERS], *bad;
	struct ibv_sge sges[RMR_TRANSFERS];
	const struct rmr_transfer *t;
	u32 i;

	for (i = 0; i < n; i++) {
		t = &transfers[i];
		sges[i] = (struct ibv_sge){
			.addr = (uintptr_t)t->addr,
			.length = t->len,
			.lkey = t->key,
		};
		wrs[i] = (struct ibv_send_wr){
			.wr_id = t->id,
			.next = i + 1 < n ? &wrs[i + 1] : NULL,
			.sg_list = &sges[i],
			.num_sge = 1,
			.opcode = t->write ? IBV_WR_RDMA_WRITE : IBV_WR_RDMA_READ,
			.send_flags = IBV_SEND_SIGNALED,
			.wr.rdma = { .remote_addr = t->remote_addr, .rkey = t->remote_key },
		};
	}
	return -ibv_post_send(qp, wrs, &bad);
}

int rmr_qp_send(struct ibv_qp *qp, u64 id, void *addr, u32 len, u32 key)
{
	struct ibv_sge sge = { .addr = (uintptr_t)addr, .length = len, .lkey = key };
	struct ibv_send_wr wr = {
		.wr_id = id,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_SEND,
		.send_flags = IBV_SEND_SIGNALED,
	}, *bad;

	return -ibv_post_send(qp, &wr, &bad);
}

int rmr_qp_recv(struct ibv_qp *qp, u64 id, void *addr, u32 len, u32 key)
{
	struct ibv_sge sge = { .addr = (uintptr_t)addr, .length = len, .lkey = key };
	struct ibv_recv_wr wr = { .wr_id = id, .sg_list = &sge, .num_sge = 1 }, *bad;

	return -ibv_post_recv(qp, &wr, &bad);
}
