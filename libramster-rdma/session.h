/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * session.h - the relation to one donor: connect, stay connected, notice death.
 */
#ifndef RMR_SESSION_H
#define RMR_SESSION_H

#include "lane.h"
#include "control.h"
#include "util.h"

struct rmr_session;

/* Lanes for ports of the program; the last one is for the library's own moves. */
#define RMR_USER_LANES 15
#define RMR_LANES      (RMR_USER_LANES + 1)

/* Called from the session's own thread, but for failed(). */
struct rmr_session_ops {
	/*
	 * A request has failed; down() will follow. From now on nothing may be written to this
	 * donor: by another lane it might overtake what the failed one has still on its way.
	 * Any thread, with a lane's lock held.
	 */
	void (*failed)(void *owner, struct rmr_session *s);
	/* I/O may start. After a resume the donor is about to say which grants still stand. */
	void (*live)(void *owner);
	/* It has said so: what it has not named is gone. */
	void (*listed)(void *owner, struct rmr_session *s);
	/* The connection broke; the grants may still be saved. */
	void (*down)(void *owner, struct rmr_session *s);
	/* The grants are gone for good. */
	void (*lost)(void *owner, struct rmr_session *s);
	void (*message)(void *owner, struct rmr_session *s, const struct core_msg *msg);
	/* Pages stored at this donor. */
	u64 (*used_pages)(void *owner, struct rmr_session *s);
	/* Ports of the program: how many lanes are of use. */
	u32 (*lanes_wanted)(void *owner);
};

struct rmr_session_params {
	struct sockaddr_storage addr;
	char name[64]; /* for logs */
	u8 client_id[RAMSTER_WIRE_CLIENT_ID];
	struct rmr_devices *devices;
	const struct rmr_log *log;
	const struct rmr_session_ops *ops;
	void *owner;
};

/* A donor, not connected yet. -ENOMEM, -EMFILE, -ENODEV. */
int rmr_session_create(const struct rmr_session_params *p, struct rmr_session **out);
/* Connect, and stay connected, in a thread: callbacks from here on. */
int rmr_session_start(struct rmr_session *s);
/* The end is near: attempts to connect are given up. Lets many stop at once. */
void rmr_session_quit(struct rmr_session *s);
/* Say goodbye and close; no callback comes after it. Bounded. */
void rmr_session_stop(struct rmr_session *s);
/* When nobody posts or sleeps any more. */
void rmr_session_free(struct rmr_session *s);

/* -ENOTCONN unless connected; -EAGAIN when the ring is full. Any thread. */
int rmr_session_send(struct rmr_session *s, const struct core_msg *msg);
/* Many messages are on their way: what is not urgent had better wait. Any thread. */
bool rmr_session_busy(struct rmr_session *s);
/* The lane of a port; NULL unless live. */
struct rmr_lane *rmr_session_lane(struct rmr_session *s, const struct rmr_port *port);
/* More lanes may be wanted. Any thread. */
void rmr_session_kick(struct rmr_session *s);
/* Something is wrong with this donor's answers: drop the connection, make a new one. Any thread. */
void rmr_session_break(struct rmr_session *s);

bool rmr_session_live(const struct rmr_session *s);
const char *rmr_session_name(const struct rmr_session *s);
/* The donor's last word on what it has left, bytes. */
u64 rmr_session_free_bytes(const struct rmr_session *s);

#endif /* RMR_SESSION_H */
