/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * remote.h - the remote tier: donors, and the slabs borrowed from them.
 */
#ifndef RMK_REMOTE_H
#define RMK_REMOTE_H

#include "slab.h"

#define RMK_MAX_DONORS 16

struct rmk_remote;

/* Any context; never under a lock of the remote's. */
struct rmk_remote_ops {
	/* Slots are to be had again, or a slab must be emptied: there is something to move. */
	void (*moving)(void *owner);
	/* Reads that waited for a connection may be tried again. */
	void (*changed)(void *owner);
	/* From the session's work: a message about shares. */
	void (*share_message)(void *owner, struct rmk_session *s, const struct core_msg *msg);
	/* From the session's work: the connection broke, and with it what does not outlive it. */
	void (*broken)(void *owner, struct rmk_session *s);
};

/* slab_bytes: what to ask for. May sleep. ERR_PTR on failure. */
struct rmk_remote *rmk_remote_create(u64 slab_bytes, const struct rmk_remote_ops *ops, void *owner);
/* Add a donor and start connecting. -ENOSPC beyond RMK_MAX_DONORS. */
int rmk_remote_add_donor(struct rmk_remote *r, const struct sockaddr_storage *addr,
			 const char *name, const u8 *client_id);
/* Wait until a donor answers: 0, or -ETIMEDOUT. */
int rmk_remote_wait_live(struct rmk_remote *r, u32 timeout_ms);

/*
 * Phase one: no new slabs, connections closed, every posted request done; the
 * ops are called no more. Phase two frees; all index entries must be gone.
 */
void rmk_remote_stop(struct rmk_remote *r);
void rmk_remote_destroy(struct rmk_remote *r);

struct rmk_slabs *rmk_remote_slabs(struct rmk_remote *r);

/* rmk_slabs_alloc(), asking for more in time. Any context. */
u32 rmk_remote_alloc(struct rmk_remote *r, u32 want, struct rmk_slab **slab, u32 *first);
/* Somebody is about to write: have slabs ready. Any context. */
void rmk_remote_want(struct rmk_remote *r);
/* Has nobody written for a while? Any context. */
bool rmk_remote_idle(struct rmk_remote *r);
/* Is a request for slabs under way? Any context. */
bool rmk_remote_asking(struct rmk_remote *r);
/* Could room come soon: is a request under way, or is there a donor to ask? Any context. */
bool rmk_remote_hopeful(struct rmk_remote *r);
/* rmk_slab_refused(), and have the slab's pages written off. Any context. */
void rmk_remote_refused(struct rmk_remote *r, struct rmk_slab *slab);

/* The donors in the order of the parameter broker; NULL: there are no more. Any context. */
struct rmk_session *rmk_remote_donor(struct rmk_remote *r, u32 i);

/* Slabs that donors have denied since load. */
u64 rmk_remote_denied(struct rmk_remote *r);
/* A line per donor: name, state, slabs, used pages, bytes it has left. */
ssize_t rmk_remote_show_donors(struct rmk_remote *r, char *buf);

#endif /* RMK_REMOTE_H */
