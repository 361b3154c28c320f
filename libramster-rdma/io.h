/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * io.h - get and put of a page: everything that happens on its way.
 *
 * An op is one page. It belongs to a caller: a thread of the program, a queue,
 * or the mover. Everything of an op happens in its caller's thread, but that others may
 * take its completion from the wire and hand it over.
 */
#ifndef RMR_IO_H
#define RMR_IO_H

#include "remote.h"
#include "ztier.h"

struct rmr;
struct rmr_caller;

/* Between two tries of what waits, should nobody tell of a change. */
#define RMR_RETRY_MS 10
/* Polls between two looks at the clock, which may be a system call: some 10 us. */
#define RMR_SPINS 1024

enum rmr_verb {
	RMR_OP_GET,
	RMR_OP_PUT,
	RMR_OP_MOVE, /* a put that publishes only over what was read: entry */
};

struct rmr_op {
	struct rmr_wr wr;
	TAILQ_ENTRY(rmr_op) link; /* of caller.todo, of caller.ended, of whoever has spare ones */
	struct rmr_caller *caller;

	/* What is wanted; set by rmr_op_set() and whoever starts it. */
	enum rmr_verb verb;
	struct rmr_key key;
	u32 page_bytes;
	u8 *addr;	     /* NULL: the page is in bounce */
	struct rmr_mem *mem; /* in which addr lies, or NULL: it is copied */
	void *tag;
	bool remote_only; /* MOVE: not to the compressed tier */

	/* How it goes. */
	struct core_entry entry; /* GET: what was found; MOVE: what is expected */
	u64 ticket;
	u32 crc, slot;
	struct rmr_slab *slab;
	u64 deadline; /* ms, of waiting; 0: it has not waited yet */
	bool finished;
	int result;

	struct rmr_mem bounce; /* memory of ours that devices reach; grows */
};

TAILQ_HEAD(rmr_ops, rmr_op);

enum rmr_counter {
	RMR_GETS,
	RMR_HITS,
	RMR_PUTS,
	RMR_REMOTE_READS,
	RMR_REMOTE_WRITES,
	RMR_EVACUATED,
	RMR_SHIPPED,
	RMR_VANISHED,
	RMR_CRC_ERRORS,
	RMR_COUNTERS,
};

struct rmr_caller {
	struct rmr *r;
	TAILQ_ENTRY(rmr_caller) link; /* of rmr.callers */
	struct rmr_port port;
	u32 hint;	      /* slab to look into first */
	struct rmr_ops todo;  /* wait for a donor or for room */
	bool waiting;	      /* atomic: todo is not empty */
	struct rmr_ops ended; /* finished, not asked for; of queues */
	bool keeps_ended;
	u64 retry_at;		    /* ms */
	u32 vain_spins, no_spins;   /* see rmr_io_may_spin() */
	u32 epoch;		    /* of rmr.epoch, when todo was last tried */
	u64 counters[RMR_COUNTERS]; /* atomic, written by the owner */
};

/* The number of a pool says what kind it is: count << 5 | log2(page / 4 KiB) << 1 | ephemeral. */
#define RMR_POOLS_MAX (1u << 27)

static inline bool rmr_key_is_ephemeral(const struct rmr_key *key)
{
	return key->pool & 1;
}

static inline u32 rmr_key_page_bytes(const struct rmr_key *key)
{
	return 4096u << (key->pool >> 1 & 15);
}

static inline void rmr_count(struct rmr_caller *c, enum rmr_counter what)
{
	__atomic_store_n(&c->counters[what], c->counters[what] + 1, __ATOMIC_RELAXED);
}

void rmr_op_init(struct rmr_op *op, struct rmr_caller *caller);
void rmr_op_uninit(struct rmr_op *op);
/* Make bounce as large as a page. -ENOMEM. */
int rmr_op_reserve(struct rmr_op *op, u32 page_bytes);

/* Start it; it may be finished already. addr NULL: bounce is reserved. */
void rmr_op_start(struct rmr_op *op);
/* Take in what has ended and go on with it. Never waits. */
void rmr_io_progress(struct rmr_caller *c);
/* Progress, until what ends from now on will be told by the port. */
void rmr_io_arm(struct rmr_caller *c);
/* Until the op is finished. */
void rmr_io_wait(struct rmr_caller *c, struct rmr_op *op);
/* Sleep until there may be progress, or for timeout_ms; rmr_io_arm() before. */
void rmr_io_sleep(struct rmr_caller *c, u32 timeout_ms);

/*
 * Should the caller poll on the spot? Not if that was in vain lately: the wire is slow, or
 * the processor is wanted by others. What came of it is to be said.
 */
bool rmr_io_may_spin(struct rmr_caller *c);
void rmr_io_spun(struct rmr_caller *c, bool in_vain);

/* Let go of what an entry that left the index names. */
void rmr_io_free_entry(struct rmr *r, struct core_entry e);
/* For rmr_index: it is used outside the lock. */
void rmr_io_hold(void *owner, struct core_entry e);

#endif /* RMR_IO_H */
