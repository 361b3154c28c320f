// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * lane.c - two queue pairs, and who is told what ended on them.
 */
#include "lane.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util.h"

/* How long a broken queue pair may take to flush before it is destroyed under its requests. */
#define FLUSH_MS   2000
#define POLL_BATCH 16

void rmr_lane_init(struct rmr_lane *lane, void (*on_failed)(void *owner), void *owner)
{
	memset(lane, 0, sizeof(*lane));
	lane->on_failed = on_failed;
	lane->owner = owner;
	pthread_mutex_init(&lane->lock, NULL);
	TAILQ_INIT(&lane->posted);
}

void rmr_lane_uninit(struct rmr_lane *lane)
{
	u32 i;

	for (i = 0; i < RMR_MAX_DEVICES; i++)
		if (lane->channels[i])
			rmr_channel_destroy(lane->channels[i]);
	pthread_mutex_destroy(&lane->lock);
}

/* ---- opening and closing ---- */

static int on_device(void *owner, struct rmr_device *device, struct ibv_cq **cq)
{
	struct rmr_lane *lane = owner;

	if (lane->cq) { /* of the first queue pair */
		*cq = lane->cq;
		return lane->conn[0].device == device ? 0 : -EHOSTUNREACH;
	}
	if (!lane->channels[device->number])
		lane->channels[device->number] = rmr_channel_create(device);
	if (!lane->channels[device->number])
		return -ENOMEM;
	lane->cq = rmr_cq_create(device, lane->channels[device->number], 2 * RMR_LANE_REQUESTS);
	*cq = lane->cq;
	return lane->cq ? 0 : -ENOMEM;
}

/* The device touches nothing any more afterwards. */
static void tear_down(struct rmr_lane *lane)
{
	rmr_conn_close(&lane->conn[0]);
	rmr_conn_close(&lane->conn[1]);
	if (lane->cq)
		rmr_cq_destroy(lane->cq);
	lane->cq = NULL;
	lane->armed = false;
	__atomic_store_n(&lane->failed, false, __ATOMIC_RELAXED);
}

int rmr_lane_open(struct rmr_lane *lane, struct rmr_cm *cm, struct rmr_conn_params *p,
		  const enum ramster_role *roles, enum ramster_reason *reason)
{
	int err = 0;
	u32 i;

	p->send_depth = RMR_LANE_REQUESTS;
	p->recv_depth = 1;
	p->device = on_device;
	p->prepare = NULL;
	p->owner = lane;
	/* without the lock: nobody looks at what is not open */
	for (i = 0; i < 2 && !err; i++) {
		p->req.role = roles[i];
		err = rmr_conn_open(&lane->conn[i], cm, p);
		*reason = lane->conn[i].reason;
	}
	if (err) {
		rmr_conn_shut(&lane->conn[0]);
		rmr_conn_shut(&lane->conn[1]);
		tear_down(lane);
		return err;
	}
	pthread_mutex_lock(&lane->lock);
	lane->open = true;
	pthread_mutex_unlock(&lane->lock);
	return 0;
}

bool rmr_lane_broken(const struct rmr_lane *lane)
{
	return __atomic_load_n(&lane->failed, __ATOMIC_RELAXED) || lane->conn[0].down ||
	       lane->conn[1].down;
}

/* ---- posting and polling ---- */

static void fail(struct rmr_lane *lane)
{
	if (!__atomic_exchange_n(&lane->failed, true, __ATOMIC_RELAXED) && lane->open)
		lane->on_failed(lane->owner);
}

/* Tell the device of what is held; lane.lock held. */
static void push(struct rmr_lane *lane, bool write)
{
	u32 n = lane->nheld[write];

	lane->nheld[write] = 0;
	/* there was a place by our count: the queue pair is no good, all ends when it is closed */
	if (n && rmr_qp_transfer(lane->conn[write].qp, lane->held[write], n))
		fail(lane);
}

static void push_all(struct rmr_lane *lane)
{
	push(lane, false);
	push(lane, true);
}

int rmr_lane_post(struct rmr_lane *lane, struct rmr_wr *wr, struct rmr_transfer *t,
		  struct rmr_devices *devices, struct rmr_mem *mem)
{
	const bool write = wr->write;
	int err;

	if (!lane->open)
		return -ENOTCONN;
	if (lane->posted_n[write] == RMR_LANE_REQUESTS)
		return -EBUSY;
	err = rmr_mem_key(devices, mem, lane->conn[write].device, &t->key);
	if (err)
		return err;
	t->id = (uintptr_t)wr;
	t->write = write;
	wr->lane = lane;
	lane->posted_n[write]++;
	TAILQ_INSERT_TAIL(&lane->posted, wr, link);
	lane->held[write][lane->nheld[write]++] = *t;
	if (!wr->port->holds || lane->nheld[write] == RMR_TRANSFERS)
		push(lane, write);
	return 0;
}

static void ended(struct rmr_lane *lane, struct rmr_wr *wr, int err, struct rmr_wrs *done)
{
	TAILQ_REMOVE(&lane->posted, wr, link);
	lane->posted_n[wr->write]--;
	lane->completed++;
	wr->err = err;
	if (err)
		fail(lane);
	TAILQ_INSERT_TAIL(done, wr, link);
}

/* One batch; lane.lock held. */
static u32 poll_batch(struct rmr_lane *lane, struct rmr_wrs *done)
{
	struct rmr_completion c[POLL_BATCH];
	u32 i, n = rmr_cq_poll(lane->cq, c, POLL_BATCH);

	for (i = 0; i < n; i++)
		ended(lane, (struct rmr_wr *)(uintptr_t)c[i].id, c[i].err, done);
	return n;
}

/* port.lock is held. */
static void wake(struct rmr_port *port)
{
	if (port->woken)
		return;
	__atomic_store_n(&port->woken, true, __ATOMIC_RELAXED);
	eventfd_write(port->event, 1);
}

/* Hand what belongs to others to their ports; self keeps its own in done. */
static void hand_over(struct rmr_wrs *done, const struct rmr_port *self)
{
	struct rmr_wr *wr, *next;
	struct rmr_port *port;

	for (wr = TAILQ_FIRST(done); wr; wr = next) {
		next = TAILQ_NEXT(wr, link);
		port = wr->port;
		if (port == self)
			continue;
		TAILQ_REMOVE(done, wr, link);
		/* as soon as the lock is free the port may be gone */
		pthread_mutex_lock(&port->lock);
		TAILQ_INSERT_TAIL(&port->done, wr, link);
		wake(port);
		pthread_mutex_unlock(&port->lock);
	}
}

static void lane_poll(struct rmr_lane *lane, const struct rmr_port *self, struct rmr_wrs *done)
{
	struct rmr_wrs batch = TAILQ_HEAD_INITIALIZER(batch);
	u32 n = 0;

	pthread_mutex_lock(&lane->lock);
	if (lane->open)
		n = poll_batch(lane, &batch);
	pthread_mutex_unlock(&lane->lock);
	if (!n)
		return;
	hand_over(&batch, self);
	TAILQ_CONCAT(done, &batch, link);
}

bool rmr_lane_progress(struct rmr_lane *lane)
{
	struct rmr_wrs none = TAILQ_HEAD_INITIALIZER(none);
	bool progress, busy;

	/* what has ended counts even if its owner does not look, and nothing is held for long */
	lane_poll(lane, NULL, &none);
	pthread_mutex_lock(&lane->lock);
	if (lane->open)
		push_all(lane);
	busy = !TAILQ_EMPTY(&lane->posted);
	progress = !busy || !lane->seen_busy || lane->seen != lane->completed;
	lane->seen = lane->completed;
	lane->seen_busy = busy;
	pthread_mutex_unlock(&lane->lock);
	return progress;
}

/* Those were never sent, and shall not be any more; lane.lock held. */
static void drop_held(struct rmr_lane *lane, struct rmr_wrs *done)
{
	u32 i, write;

	for (write = 0; write < 2; write++) {
		for (i = 0; i < lane->nheld[write]; i++)
			ended(lane, (struct rmr_wr *)(uintptr_t)lane->held[write][i].id,
			      -ECONNABORTED, done);
		lane->nheld[write] = 0;
	}
}

void rmr_lane_close(struct rmr_lane *lane)
{
	struct rmr_wrs done = TAILQ_HEAD_INITIALIZER(done);
	u64 deadline;
	bool was_open;

	pthread_mutex_lock(&lane->lock);
	was_open = lane->open;
	lane->open = false;
	drop_held(lane, &done);
	pthread_mutex_unlock(&lane->lock);
	if (!was_open)
		return;
	/* nobody but us touches it from here on */
	rmr_conn_shut(&lane->conn[0]);
	rmr_conn_shut(&lane->conn[1]);
	deadline = rmr_now_ms() + FLUSH_MS;
	/* flushing needs no peer and takes microseconds; nothing tells of its end but the queue */
	while (!TAILQ_EMPTY(&lane->posted) && rmr_now_ms() < deadline)
		if (!poll_batch(lane, &done))
			poll(NULL, 0, 1);
	rmr_conn_close(&lane->conn[0]);
	rmr_conn_close(&lane->conn[1]);
	while (!TAILQ_EMPTY(&lane->posted))
		ended(lane, TAILQ_FIRST(&lane->posted), -ECONNABORTED, &done);
	tear_down(lane);
	hand_over(&done, NULL);
}

/* Its channel's descriptor, armed; -1: it is not open. */
static int lane_arm(struct rmr_lane *lane)
{
	struct ibv_comp_channel *channel;
	int fd = -1;

	pthread_mutex_lock(&lane->lock);
	if (lane->open) {
		channel = lane->channels[lane->conn[0].device->number];
		if (lane->armed)
			rmr_channel_drain(channel);
		rmr_cq_arm(lane->cq);
		lane->armed = true;
		fd = rmr_channel_fd(channel);
	}
	pthread_mutex_unlock(&lane->lock);
	return fd;
}

/* ---- ports ---- */

static int epoll_add(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) && errno != EEXIST ? -errno : 0;
}

int rmr_port_init(struct rmr_port *port, u32 number, u32 max_lanes)
{
	int err = -ENOMEM;

	memset(port, 0, sizeof(*port));
	port->number = number;
	port->max_uses = max_lanes;
	TAILQ_INIT(&port->done);
	pthread_mutex_init(&port->lock, NULL);
	port->uses = calloc(max_lanes, sizeof(*port->uses));
	if (!port->uses)
		goto no_uses;
	port->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (port->epoll < 0)
		goto no_epoll;
	port->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (port->event < 0)
		goto no_event;
	err = epoll_add(port->epoll, port->event);
	if (!err)
		return 0;
	close(port->event);
no_event:
	close(port->epoll);
no_epoll:
	err = -errno;
	free(port->uses);
no_uses:
	pthread_mutex_destroy(&port->lock);
	return err;
}

void rmr_port_uninit(struct rmr_port *port)
{
	/* who handed the last end over may still hold the lock */
	pthread_mutex_lock(&port->lock);
	pthread_mutex_unlock(&port->lock);
	pthread_mutex_destroy(&port->lock);
	close(port->event);
	close(port->epoll);
	free(port->uses);
}

void rmr_port_wake(struct rmr_port *port)
{
	pthread_mutex_lock(&port->lock);
	wake(port);
	pthread_mutex_unlock(&port->lock);
}

static struct rmr_use *use_of(struct rmr_port *port, const struct rmr_lane *lane)
{
	u32 i;

	for (i = 0; i < port->nuses; i++)
		if (port->uses[i].lane == lane)
			return &port->uses[i];
	return NULL;
}

void rmr_port_posted(struct rmr_port *port, struct rmr_lane *lane)
{
	struct rmr_use *use = use_of(port, lane);

	if (!use) {
		use = &port->uses[port->nuses++]; /* there are max_uses lanes in all */
		use->lane = lane;
		use->n = 0;
		use->fd = -1;
	}
	use->n++;
	port->posts++;
}

void rmr_port_push(struct rmr_port *port)
{
	struct rmr_use *use;

	if (!port->holds)
		return;
	port->holds = false;
	for (use = port->uses; use < port->uses + port->nuses; use++) {
		if (!use->n)
			continue;
		pthread_mutex_lock(&use->lane->lock);
		push_all(use->lane);
		pthread_mutex_unlock(&use->lane->lock);
	}
}

static bool take_told(struct rmr_port *port, struct rmr_wrs *done)
{
	bool any;
	eventfd_t value;

	if (!__atomic_load_n(&port->woken, __ATOMIC_RELAXED))
		return false;
	pthread_mutex_lock(&port->lock);
	any = !TAILQ_EMPTY(&port->done);
	TAILQ_CONCAT(done, &port->done, link);
	if (port->woken) {
		__atomic_store_n(&port->woken, false, __ATOMIC_RELAXED);
		eventfd_read(port->event, &value);
	}
	pthread_mutex_unlock(&port->lock);
	return any;
}

bool rmr_port_take(struct rmr_port *port, struct rmr_wrs *done)
{
	struct rmr_wrs taken = TAILQ_HEAD_INITIALIZER(taken);
	struct rmr_wr *wr;
	u32 i;

	take_told(port, &taken);
	for (i = 0; i < port->nuses; i++)
		if (port->uses[i].n)
			lane_poll(port->uses[i].lane, port, &taken);
	if (TAILQ_EMPTY(&taken))
		return false;
	TAILQ_FOREACH(wr, &taken, link)
		use_of(port, wr->lane)->n--;
	TAILQ_CONCAT(done, &taken, link);
	return true;
}

void rmr_port_arm(struct rmr_port *port)
{
	struct rmr_use *use;
	int fd;

	for (use = port->uses; use < port->uses + port->nuses; use++) {
		fd = use->n ? lane_arm(use->lane) : -1;
		if (fd == use->fd)
			continue;
		/* what nobody waits for is not drained and would stay readable */
		if (use->fd >= 0)
			epoll_ctl(port->epoll, EPOLL_CTL_DEL, use->fd, NULL);
		use->fd = fd >= 0 && !epoll_add(port->epoll, fd) ? fd : -1;
	}
}

void rmr_port_sleep(struct rmr_port *port, u32 timeout_ms)
{
	struct epoll_event event;

	epoll_wait(port->epoll, &event, 1, (int)timeout_ms);
}
