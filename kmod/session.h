/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * session.h - the relation to one donor: connect, stay connected, notice death.
 */
#ifndef RMK_SESSION_H
#define RMK_SESSION_H

#include "verbs.h"

struct rmk_session;

/*
 * Queue pairs per donor, apart so that a page somebody waits for never queues
 * behind a writeback.
 */
enum rmk_lane {
	RMK_LANE_DEMAND, /* reads a task waits for */
	RMK_LANE_BULK,	 /* readahead, evacuation */
	RMK_LANE_WRITE,
	RMK_LANES,
};

/* Called from the session's own work, one at a time; may sleep. */
struct rmk_session_ops {
	/* I/O may start. */
	void (*live)(void *owner, struct rmk_session *s);
	/* A resumed donor has said which grants still stand: others are gone. */
	void (*listed)(void *owner, struct rmk_session *s);
	/* The connection broke; the grants may still be saved. */
	void (*down)(void *owner, struct rmk_session *s);
	/* The grants are gone for good. */
	void (*lost)(void *owner, struct rmk_session *s);
	void (*message)(void *owner, struct rmk_session *s, const struct core_msg *msg);
	/* Pages stored at this donor. */
	u64 (*used_pages)(void *owner, struct rmk_session *s);
};

/*
 * A relation to the donor at addr, not connected yet. name is used in logs and
 * sysfs. ERR_PTR(-ENOMEM) on failure. May sleep.
 */
struct rmk_session *rmk_session_create(const struct sockaddr_storage *addr, const char *name,
				       const u8 *client_id, const struct rmk_session_ops *ops,
				       void *owner);
/* Connect, and stay connected, in the background: callbacks from here on. */
void rmk_session_start(struct rmk_session *s);

/* The end is near: attempts to connect are given up. Lets many stop at once. */
void rmk_session_quit(struct rmk_session *s);
/*
 * Phase one of the end: say goodbye, close every connection; no callback comes
 * after it. Sleeps, bounded.
 */
void rmk_session_stop(struct rmk_session *s);
/* Phase two, when nobody posts or sends any more. */
void rmk_session_free(struct rmk_session *s);

/* -ENOTCONN unless live; -EAGAIN when the ring is full. May sleep. */
int rmk_session_send(struct rmk_session *s, const struct core_msg *msg);

/* As rmk_conn_post(), on a lane; -ENOTCONN unless live. */
int rmk_session_post(struct rmk_session *s, enum rmk_lane lane, struct rmk_wr *wr, u64 raddr,
		     u32 rkey);

/* Spans one work request may have on this lane; 0 unless live. */
u32 rmk_session_max_spans(struct rmk_session *s, enum rmk_lane lane);

/*
 * Something is wrong with this donor's answers: drop the connection and make a
 * new one. Any context.
 */
void rmk_session_break(struct rmk_session *s);

bool rmk_session_live(const struct rmk_session *s);
const char *rmk_session_name(const struct rmk_session *s);
const char *rmk_session_state_name(const struct rmk_session *s);
/* The donor's last word on what it has left, bytes. */
u64 rmk_session_free_bytes(const struct rmk_session *s);

#endif /* RMK_SESSION_H */
