/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * context.h - a fabric that was opened: all that belongs to it.
 */
#ifndef RMR_CONTEXT_H
#define RMR_CONTEXT_H

#include "io.h"
#include "mover.h"
#include "../include/ramster/ramster_rdma.h"

struct rmr {
	struct rmr_options options;
	struct rmr_log log;
	struct rmr_remote remote;
	struct rmr_index index;
	struct rmr_ztier ztier;
	struct rmr_mover mover;
	u32 epoch; /* atomic: counts changes that waiting ops may be tried again after */
	u32 pools; /* atomic: numbers given */

	pthread_key_t thread_key; /* a thread's struct rmr_thread */
	pthread_mutex_t lock;	  /* guards what follows */
	TAILQ_HEAD(, rmr_pool) pool_list;
	TAILQ_HEAD(, rmr_caller) callers;
	u32 ncallers;		    /* of the program; atomic */
	u64 numbers;		    /* bits: ports of the program */
	u64 counters[RMR_COUNTERS]; /* of callers that are gone */
};

struct rmr_pool {
	struct rmr *r;
	TAILQ_ENTRY(rmr_pool) link;
	u32 number;
	u32 page_bytes;
};

struct rmr_buf {
	struct rmr *r;
	struct rmr_mem mem;
};

/* A caller comes and goes. own: the library's, on a lane that is kept for it. */
int rmr_caller_init(struct rmr_caller *c, struct rmr *r, bool own);
void rmr_caller_uninit(struct rmr_caller *c);

/* The calling thread's caller, and as many ops as one call of it uses. */
#define RMR_THREAD_OPS 32

struct rmr_thread {
	struct rmr_caller caller;
	struct rmr_op ops[RMR_THREAD_OPS];
};

/* NULL: no memory or descriptors. */
struct rmr_thread *rmr_thread_get(struct rmr *r);

static inline struct rmr_key rmr_key_of(const struct rmr_pool *pool, u64 object, u64 index)
{
	struct rmr_key key = { .object = object, .index = index, .pool = pool->number };

	return key;
}

/* Fill in what a page of a pool wants; 0, or -EINVAL: not in buf. */
int rmr_op_set(struct rmr_op *op, enum rmr_verb verb, const struct rmr_pool *pool,
	       const struct rmr_page *page);

/* It could not be started: a put that fails takes the old page with it. */
void rmr_refuse(enum rmr_verb verb, struct rmr_pool *pool, const struct rmr_page *page);

#endif /* RMR_CONTEXT_H */
