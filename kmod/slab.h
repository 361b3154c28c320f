/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * slab.h - the slabs a device has borrowed, and their slots.
 *
 * A slot is one page of a slab. Whoever holds a reference on a slab may post
 * to it; the slab is given back only when no slot is used and no reference is
 * left but the table's.
 */
#ifndef RMK_SLAB_H
#define RMK_SLAB_H

#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include "session.h"
#include "../core/index.h"
#include "../core/lease.h"
#include "../core/slots.h"

struct rmk_slabs_stats {
	u32 slabs, revoking;			/* slabs held; those being evacuated */
	u64 total_slots, used_slots;		/* of all slabs held */
	u64 max_used_slots;			/* since load */
	u64 granted, released, revoked, fenced; /* since load */
};

struct rmk_slabs {
	/* A slab may be retired now. Any context; set by the owner before use. */
	void (*retirable)(struct rmk_slabs *slabs);
	struct xarray table; /* by rmk_slab.index */
	spinlock_t lock;     /* guards what follows; interrupts off */
	struct list_head all;
	struct list_head room; /* writable and not full */
	u64 room_slots;	       /* free slots of writable slabs */
	struct rmk_slabs_stats stats;
};

struct rmk_slab {
	struct rmk_slabs *slabs;
	struct rmk_session *session; /* outlives the slab */
	u64 id, addr, len;	     /* the donor's words */
	u32 rkey, generation;
	u32 index;		    /* in the table; what index entries hold */
	refcount_t refs;	    /* 1 for the table */
	enum core_lease state;	    /* slabs.lock; read without it as a hint */
	struct core_slots slots;    /* slabs.lock */
	struct list_head node;	    /* of slabs.all; slabs.lock */
	struct list_head room_node; /* of slabs.room; slabs.lock */
	struct rcu_head rcu;
	u32 *owner; /* page number in the device, per slot; of whoever took the slot */
};

void rmk_slabs_init(struct rmk_slabs *slabs, void (*retirable)(struct rmk_slabs *slabs));
/* Frees what is left. No slot may be used. */
void rmk_slabs_uninit(struct rmk_slabs *slabs);

/* Is a slab there that the donor calls this? May sleep. */
bool rmk_slabs_known(struct rmk_slabs *slabs, const struct rmk_session *s, u64 id, u32 generation);
/* Add what a GRANT describes, unless known. -ENOMEM. May sleep. */
int rmk_slabs_add(struct rmk_slabs *slabs, struct rmk_session *s, const struct core_msg *grant);

/*
 * An event of one slab, named in the donor's words. False: no such slab, or not
 * in its state. May sleep.
 */
bool rmk_slabs_event(struct rmk_slabs *slabs, const struct rmk_session *s, u64 id, u32 generation,
		     enum core_lease_event event);
/* Fence those slabs of a donor that are still orphaned. Returns how many. May sleep. */
u32 rmk_slabs_fence_orphans(struct rmk_slabs *slabs, const struct rmk_session *s);
/* An event of every slab of a donor. May sleep. */
void rmk_slabs_event_all(struct rmk_slabs *slabs, const struct rmk_session *s,
			 enum core_lease_event event);

/*
 * Take one slab out of use for good, if one is revoked or fenced and empty, or
 * (with surplus) granted and empty. *release: the donor still counts on it.
 * NULL if there is none. The caller ends with rmk_slab_free(). May sleep.
 */
struct rmk_slab *rmk_slabs_retire(struct rmk_slabs *slabs, bool surplus, bool *release);
void rmk_slab_free(struct rmk_slab *slab);

/*
 * Take up to want slots side by side. Returns how many (0: no room), with a
 * reference on *slab. Any context.
 */
u32 rmk_slabs_alloc(struct rmk_slabs *slabs, u32 want, struct rmk_slab **slab, u32 *first);
/* Give slots back. Any context. */
void rmk_slab_free_slots(struct rmk_slab *slab, u32 first, u32 n);

/* Slots that a write could get now; approximate. */
static inline u64 rmk_slabs_room(const struct rmk_slabs *slabs)
{
	return READ_ONCE(slabs->room_slots);
}

/*
 * The slab that an index entry names, with a reference. The caller holds the
 * lock of the entry, or has taken the entry out of the index and owns it: either
 * keeps the slot used and with it the slab. NULL if
 * there is no such slab, or it has another generation: the entry is corrupt.
 */
struct rmk_slab *rmk_slabs_find(struct rmk_slabs *slabs, const struct core_remote *where);

static inline void rmk_slab_get(struct rmk_slab *slab)
{
	refcount_inc(&slab->refs);
}

void rmk_slab_put(struct rmk_slab *slab);

/*
 * Post wr for the slots from first on; its spans say how many. -EAGAIN: later
 * (connection coming back, queue full); -EIO: the slab is fenced; -ENOMEM.
 */
int rmk_slab_post(struct rmk_slab *slab, enum rmk_lane lane, struct rmk_wr *wr, u32 first);

/* The donor refused access: whatever it meant to say, the slab is fenced. Any context. */
bool rmk_slab_refused(struct rmk_slab *slab);

/*
 * The next slab with index *cursor or more that must be emptied, with a
 * reference; NULL if there is none. *fenced: its pages are gone. May sleep.
 */
struct rmk_slab *rmk_slabs_next_to_empty(struct rmk_slabs *slabs, u32 *cursor, bool *fenced);
/* The next slab with index *cursor or more that has used slots and stays; as above. */
struct rmk_slab *rmk_slabs_next_used(struct rmk_slabs *slabs, u32 *cursor);
/* Slots in use at all donors. A hint. */
u64 rmk_slabs_used(const struct rmk_slabs *slabs);
/* First used slot at or after from, or the number of slots. May sleep. */
u32 rmk_slab_next_used(struct rmk_slab *slab, u32 from);

/* What is held of one donor. May sleep. */
void rmk_slabs_held(struct rmk_slabs *slabs, const struct rmk_session *s, u32 *count,
		    u64 *used_slots);
void rmk_slabs_stats(struct rmk_slabs *slabs, struct rmk_slabs_stats *out);

#endif /* RMK_SLAB_H */
