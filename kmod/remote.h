/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * remote.h - the remote tier: slabs borrowed from donors, and their slots.
 *
 * A slot is one page of a slab. Whoever holds a reference on a slab may post
 * to it; the slab is given back only when no slot is used and no reference is
 * left.
 */
#ifndef RMK_REMOTE_H
#define RMK_REMOTE_H

#include <linux/types.h>
#include <linux/refcount.h>
#include <linux/seq_file.h>

#include "session.h"
#include "../core/index.h"
#include "../core/lease.h"
#include "../core/slots.h"

#define RMK_MAX_DONORS	16

struct rmk_remote;

struct rmk_slab {
	struct rmk_remote *remote;
	struct rmk_session *session;	/* lives as long as the remote */
	u64 id, addr, len;		/* the donor's words */
	u32 rkey, generation;
	u32 index;			/* in the slab table; what index entries hold */
	refcount_t refs;		/* 1 for the table */
	enum core_lease state;		/* remote->lock; read without it as a hint */
	unsigned long deadline;		/* of a revoke, jiffies */
	struct core_slots slots;	/* remote->lock */
	struct list_head node;		/* remote->slabs; remote->lock */
	struct list_head room_node;	/* remote->room when writable and not full; remote->lock */
	struct rcu_head rcu;
	u32 *owner;			/* page number in the device, per slot */
};

struct rmk_remote_ops {
	/* Slots are to be had again. */
	void (*room)(void *owner);
	/* The slab must be emptied (REVOKING), or its pages are gone (FENCED). */
	void (*empty)(void *owner);
	/* Reads that waited for a connection may be tried again. */
	void (*changed)(void *owner);
};

struct rmk_remote_stats {
	u32 slabs, revoking;		/* slabs held; those being evacuated */
	u64 total_slots, used_slots;	/* of all slabs held */
	u64 granted, released, revoked, fenced, denied;	/* since load */
};

/* slab_bytes: what to ask for. May sleep. ERR_PTR on failure. */
struct rmk_remote *rmk_remote_create(u64 slab_bytes, const struct rmk_remote_ops *ops,
				     void *owner);
/* Add a donor and start connecting. -ENOSPC beyond RMK_MAX_DONORS. */
int rmk_remote_add_donor(struct rmk_remote *r, const struct sockaddr_storage *addr,
			 const char *name, const u8 *client_id);
/* Wait until a donor answers: 0, or -ETIMEDOUT. */
int rmk_remote_wait_live(struct rmk_remote *r, u32 timeout_ms);

/*
 * Phase one: no new slots, connections closed, every posted request done; the
 * ops are called no more. Phase two frees; all entries must be gone.
 */
void rmk_remote_stop(struct rmk_remote *r);
void rmk_remote_destroy(struct rmk_remote *r);

/*
 * Take up to want slots side by side. Returns how many (0: no room), with one
 * reference on *slab. Also notes that room is wanted. Any context.
 */
u32 rmk_remote_alloc(struct rmk_remote *r, u32 want, struct rmk_slab **slab, u32 *first);
/* Give slots back. Any context. */
void rmk_slab_free_slots(struct rmk_slab *slab, u32 first, u32 n);

/* Somebody is about to write: have slabs ready. Any context. */
void rmk_remote_want(struct rmk_remote *r);
/* Could room come soon: is a request under way? */
bool rmk_remote_asking(struct rmk_remote *r);
/* Slots that a write could get now; approximate. */
u64 rmk_remote_room(struct rmk_remote *r);

/*
 * The slab that an index entry names, with a reference. The caller holds the
 * lock of the entry, which keeps the slot used and with it the slab. NULL if
 * the table has no such slab or another generation: the entry is corrupt.
 */
struct rmk_slab *rmk_remote_find(struct rmk_remote *r, const struct core_remote *where);
static inline void rmk_slab_get(struct rmk_slab *slab)
{
	refcount_inc(&slab->refs);
}
void rmk_slab_put(struct rmk_slab *slab);

/*
 * Post wr for slots first.. of the slab; its spans say how many. -EAGAIN:
 * later (connection coming back, queue full); -EIO: the slab is fenced.
 */
int rmk_slab_post(struct rmk_slab *slab, enum rmk_lane lane, struct rmk_wr *wr, u32 first);

/* The donor refused access: whatever it meant to say, the slab is fenced. */
void rmk_slab_refused(struct rmk_slab *slab);

/*
 * The next slab, after the one with index *cursor, that must be emptied, with
 * a reference; NULL if there is none. *fenced: its pages are gone.
 */
struct rmk_slab *rmk_remote_next_to_empty(struct rmk_remote *r, u32 *cursor, bool *fenced);
/* First used slot at or after from, or the number of slots. */
u32 rmk_slab_next_used(struct rmk_slab *slab, u32 from);

void rmk_remote_stats(struct rmk_remote *r, struct rmk_remote_stats *out);
/* A line per donor: name, state, slabs, used pages, free bytes. */
ssize_t rmk_remote_show_donors(struct rmk_remote *r, char *buf);

#endif /* RMK_REMOTE_H */
