/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * slab.h - the slabs that are borrowed, and their slots.
 *
 * While a slab holds pages they are all of one size, which is its slots': nothing
 * fragments, and a page of 2 MiB is one slot. Structs are used again for
 * later grants and freed at the end only: who has a number may always look.
 *
 * Locks: within a lane's lock, slabs.lock guards grants, states and the table; within it, slab.lock
 * guards slots. Who holds a reference may post; a slab is given back only when no
 * slot is used and nobody holds one.
 */
#ifndef RMR_SLAB_H
#define RMR_SLAB_H

#include "index.h"
#include "session.h"
#include "../core/lease.h"
#include "../core/slots.h"

#define RMR_MAX_SLABS (1u << 16)

struct rmr_slab {
	u32 index;     /* in the table; what index entries hold */
	int state;     /* enum core_lease; atomic, written under both locks */
	u32 refs;      /* atomic */
	u32 used_hint; /* atomic; slots.used */
	struct rmr_session *session;
	u64 id, addr, len; /* the donor's words; len is that of all slabs */
	u32 rkey, generation;
	bool named; /* by the donor, since it was last connected; under slabs.lock */

	pthread_mutex_t lock; /* guards what follows */
	u32 page_bytes;	      /* of its slots */
	struct core_slots slots;
	u64 *map;
	struct rmr_key *owner; /* whose page, by slot */
};

struct rmr_slabs {
	u64 slab_bytes;
	void (*retirable)(void *arg); /* a slab may be given back now; any thread */
	void *arg;
	pthread_mutex_t lock;
	struct rmr_slab **table; /* RMR_MAX_SLABS; atomic */
	u32 end;		 /* atomic: numbers in use are below */
};

int rmr_slabs_init(struct rmr_slabs *slabs, u64 slab_bytes, void (*retirable)(void *arg),
		   void *arg);
void rmr_slabs_uninit(struct rmr_slabs *slabs);

bool rmr_slabs_known(struct rmr_slabs *slabs, const struct rmr_session *s, u64 id, u32 generation);
/* Add what a GRANT describes. -ENOMEM. */
int rmr_slabs_add(struct rmr_slabs *slabs, struct rmr_session *s, const struct core_msg *grant);
/* An event of a slab in the donor's words. False: no such slab, or not in its state. */
bool rmr_slabs_event(struct rmr_slabs *slabs, const struct rmr_session *s, u64 id, u32 generation,
		     enum core_lease_event event);
/* The connection broke: the donor must name its slabs anew. */
void rmr_slabs_unname(struct rmr_slabs *slabs, const struct rmr_session *s);
/* Fence those slabs of a donor that it has not named. Returns how many. */
u32 rmr_slabs_fence_unnamed(struct rmr_slabs *slabs, const struct rmr_session *s);
void rmr_slabs_event_all(struct rmr_slabs *slabs, const struct rmr_session *s,
			 enum core_lease_event event);
/* The donor refused access: whatever it meant to say, the slab is fenced. */
bool rmr_slab_refused(struct rmr_slabs *slabs, struct rmr_slab *slab);

/* What was in a slab that was taken out of use. */
struct rmr_retired {
	struct rmr_session *session;
	u64 id;
	u32 generation;
	bool release; /* the donor still counts on it: tell it */
};

/* Take one slab out that is revoked or fenced and empty, or with surplus granted and empty. */
bool rmr_slabs_retire(struct rmr_slabs *slabs, bool surplus, struct rmr_retired *out);

/*
 * Take a slot for a page, with a reference on its slab; *hint says where to look
 * first, and where it was found. NULL: no room.
 */
struct rmr_slab *rmr_slabs_alloc(struct rmr_slabs *slabs, u32 *hint, u32 page_bytes,
				 const struct rmr_key *key, u32 *slot);
void rmr_slab_free_slot(struct rmr_slabs *slabs, struct rmr_slab *slab, u32 slot);

/* The slab of an index entry; the entry keeps it. NULL: the entry is corrupt. */
struct rmr_slab *rmr_slabs_find(struct rmr_slabs *slabs, const struct core_remote *where);
void rmr_slab_get(struct rmr_slab *slab);
void rmr_slab_put(struct rmr_slabs *slabs, struct rmr_slab *slab);

/*
 * Post wr for a slot on the lane of wr.port. -EAGAIN: the connection may come back; -EBUSY: the
 * queue is full; -EIO: the slab is fenced; -ENOMEM.
 */
int rmr_slab_post(struct rmr_slab *slab, u32 slot, struct rmr_wr *wr, void *addr,
		  struct rmr_devices *devices, struct rmr_mem *mem, u32 len);

static inline enum core_lease rmr_slab_state(const struct rmr_slab *slab)
{
	return (enum core_lease)__atomic_load_n(&slab->state, __ATOMIC_ACQUIRE);
}

/* The slab of a number, whatever its state; NULL. */
struct rmr_slab *rmr_slabs_at(const struct rmr_slabs *slabs, u32 index);
u32 rmr_slabs_end(const struct rmr_slabs *slabs);
/* The first used slot from *slot on, and whose it is; false: none. *slot moves there. */
bool rmr_slab_next_used(struct rmr_slab *slab, u32 *slot, struct rmr_key *key);

struct rmr_slabs_count {
	u32 held, revoking, empty; /* empty: granted ones without a page */
	u64 used_pages;		   /* of 4 KiB */
};

/* Of one donor, or (NULL) of all. */
void rmr_slabs_count(struct rmr_slabs *slabs, const struct rmr_session *s,
		     struct rmr_slabs_count *out);

#endif /* RMR_SLAB_H */
