/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * remote.h - donors and slabs together: asked for ahead of need, given back when
 * empty, emptied when revoked.
 */
#ifndef RMR_REMOTE_H
#define RMR_REMOTE_H

#include "slab.h"

#define RMR_MAX_DONORS 16

/* Any thread, under no lock of ours. */
struct rmr_remote_ops {
	/* A slab must be emptied, or there is room for compressed pages. */
	void (*moving)(void *owner);
	/* What waits for a donor or for room may be tried again. */
	void (*changed)(void *owner);
	/* Twice a second, and while slabs are given back more often. */
	void (*tick)(void *owner);
	/* Ports of the program. */
	u32 (*ports)(void *owner);
};

struct rmr_donor {
	struct rmr_session *session;
	u32 asked;		    /* atomic: slabs that have neither come nor been denied */
	u64 asked_at, denied_until; /* ms; asked_at of the control thread alone; atomic */
	u64 denied_free;	    /* atomic, bytes: what it had left when it denied last */
};

struct rmr_remote {
	struct rmr_slabs slabs;
	struct rmr_devices devices;
	const struct rmr_remote_ops *ops;
	void *owner;
	const struct rmr_log *log;
	struct rmr_worker control;
	bool control_runs;
	struct rmr_donor donors[RMR_MAX_DONORS];
	u32 ndonors;
	bool wanted;	      /* atomic: puts since the control thread last looked */
	bool low;	      /* atomic: it was kicked already */
	u64 wanted_at;	      /* atomic, ms: when it last saw that */
	pthread_mutex_t lock; /* for waiting until somebody is live */
	pthread_cond_t live;
};

struct rmr_remote_params {
	const char *donors; /* "10.0.0.2[:port],[fd00::2]:port" */
	u64 slab_bytes;
	const struct rmr_log *log;
	const struct rmr_remote_ops *ops;
	void *owner;
};

/* -EINVAL: the list of donors; -ENOMEM, -EMFILE. rmr_remote_uninit() is due in each case. */
int rmr_remote_init(struct rmr_remote *r, const struct rmr_remote_params *p);
void rmr_remote_uninit(struct rmr_remote *r);
/* Connect, in the background. -EAGAIN; rmr_remote_stop() is due in each case. */
int rmr_remote_start(struct rmr_remote *r);
/* On return nothing is under way any more, ops are called no more. */
void rmr_remote_stop(struct rmr_remote *r);

int rmr_remote_wait_live(struct rmr_remote *r, u32 timeout_ms);
/* A slot for a page, and more slabs in time. As rmr_slabs_alloc(). */
struct rmr_slab *rmr_remote_alloc(struct rmr_remote *r, u32 *hint, u32 page_bytes,
				  const struct rmr_key *key, u32 *slot);
/* Somebody wants to store pages: have slabs ready. */
void rmr_remote_want(struct rmr_remote *r);
/* Could room come soon? */
bool rmr_remote_hopeful(struct rmr_remote *r);
/* Has nobody stored pages for a while? */
bool rmr_remote_idle(struct rmr_remote *r);
/* A donor refused access to a slab: it is written off. */
void rmr_remote_refused(struct rmr_remote *r, struct rmr_slab *slab);
/* There is a port more: lanes may be wanted. */
void rmr_remote_kick_sessions(struct rmr_remote *r);

#endif /* RMR_REMOTE_H */
