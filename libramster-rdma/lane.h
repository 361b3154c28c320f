/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * lane.h - how pages travel: lanes to donors, and ports, where their ends are told.
 *
 * A port belongs to a thread of the program, or to a queue of its own: the owner
 * posts, and takes what has ended. A lane is two queue pairs of a donor, one for
 * READs and one for WRITEs, with one queue of completions. Each port has
 * a lane of its own at each donor while there are enough, so that ports do not
 * meet; else they share. Whoever polls a lane hands the ends of others to their ports.
 *
 * Locks: port.lock is innermost. lane.lock is held while failed() is called, and while
 * something is posted.
 */
#ifndef RMR_LANE_H
#define RMR_LANE_H

#include <sys/queue.h>

#include "cm.h"

struct rmr_lane;
struct rmr_port;

/* A READ or WRITE under way. */
struct rmr_wr {
	TAILQ_ENTRY(rmr_wr) link; /* of lane.posted, then of port.done */
	struct rmr_lane *lane;
	struct rmr_port *port; /* set by who posts */
	bool write;
	int err; /* how it ended */
};

TAILQ_HEAD(rmr_wrs, rmr_wr);

struct rmr_lane {
	pthread_mutex_t lock; /* guards what follows */
	bool open;
	struct rmr_conn conn[2]; /* [write] */
	struct ibv_cq *cq;
	struct ibv_comp_channel *channels[RMR_MAX_DEVICES]; /* stay: somebody may sleep on one */
	bool armed;
	bool failed; /* atomic: a request has failed, and with it its queue pair */
	u32 posted_n[2];
	struct rmr_wrs posted;
	/* [write] Of these, what the device has not been told of: see rmr_port_hold(). */
	struct rmr_transfer held[2][RMR_TRANSFERS];
	u32 nheld[2];
	u64 completed, seen; /* seen: at the last rmr_lane_progress() */
	bool seen_busy;
	/*
	 * A request has failed while it is open: what it wrote may still be on its way. Called
	 * before anybody learns of that, with lane.lock held.
	 */
	void (*on_failed)(void *owner);
	void *owner;
};

void rmr_lane_init(struct rmr_lane *lane, void (*on_failed)(void *owner), void *owner);
void rmr_lane_uninit(struct rmr_lane *lane);
/*
 * Connect both queue pairs, with the roles given for READ and WRITE; p has address, devices
 * and request. As rmr_conn_open(). On an error it is closed.
 */
int rmr_lane_open(struct rmr_lane *lane, struct rmr_cm *cm, struct rmr_conn_params *p,
		  const enum ramster_role *roles, enum ramster_reason *reason);
/* All that is posted ends with an error. Bounded. */
void rmr_lane_close(struct rmr_lane *lane);
/* Is it of no use any more? For the thread that opened it. */
bool rmr_lane_broken(const struct rmr_lane *lane);
/* False: something is posted, as at the last call, and nothing has ended since. */
bool rmr_lane_progress(struct rmr_lane *lane);

/*
 * Post with lane.lock held, after looking whether it may be. -ENOTCONN; -EBUSY: as many
 * are under way as there is place for; -ENOMEM. t.id is filled in.
 */
int rmr_lane_post(struct rmr_lane *lane, struct rmr_wr *wr, struct rmr_transfer *t,
		  struct rmr_devices *devices, struct rmr_mem *mem);

/* ---- ports ---- */

struct rmr_use {
	struct rmr_lane *lane;
	u32 n;	/* posted there and not taken yet */
	int fd; /* of its channel, in port.epoll; -1 */
};

struct rmr_port {
	u32 number; /* which lane of a donor */
	bool bulk;  /* the library's own, which others need not wait for */
	struct rmr_use *uses;
	u32 nuses, max_uses;
	u64 posts; /* since it was made */
	bool holds;
	int epoll, event;
	pthread_mutex_t lock; /* guards what follows */
	struct rmr_wrs done;  /* ended, told by others */
	bool woken;	      /* event is readable */
};

/* max_lanes: that it may ever use. -ENOMEM, -EMFILE. */
int rmr_port_init(struct rmr_port *port, u32 number, u32 max_lanes);
void rmr_port_uninit(struct rmr_port *port);
/* Something has changed that the owner may wait for. Any thread. */
void rmr_port_wake(struct rmr_port *port);

/* For the owner: a request was posted on lane. */
void rmr_port_posted(struct rmr_port *port, struct rmr_lane *lane);
/*
 * What is posted from here on may wait, until rmr_port_push(), so that the device is told of
 * several at once: for each time it is told, a system call or a write across the bus.
 */
static inline void rmr_port_hold(struct rmr_port *port)
{
	port->holds = true;
}

void rmr_port_push(struct rmr_port *port);
/* Append what has ended to done; false: nothing. Never waits. */
bool rmr_port_take(struct rmr_port *port, struct rmr_wrs *done);
/* From now on port.epoll becomes readable when something ends; take before sleeping. */
void rmr_port_arm(struct rmr_port *port);
/* After rmr_port_arm(): sleep until something may have ended, or for timeout_ms. */
void rmr_port_sleep(struct rmr_port *port, u32 timeout_ms);

#endif /* RMR_LANE_H */
