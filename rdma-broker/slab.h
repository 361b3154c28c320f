/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * slab.h - the memory of one slab: a memfd of its own, registered in the
 * domain of the client that has it. Giving it back is deregistering, then
 * unmapping: the pages return to the host at once, and the next grant starts
 * from zero pages in a new file.
 */
#ifndef RMB_SLAB_H
#define RMB_SLAB_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>
#include <uthash.h>

#include "../core/lease.h"
#include "../core/wire.h"
#include "memfile.h"

struct rmb_client;
struct rmb_mr;
struct rmb_pd;

struct rmb_slab {
	/* Memory; owned by slab.c. */
	uint64_t bytes;
	struct rmb_memfile memory; /* addr NULL: no memory (any more) */
	struct rmb_mr *mr;
	uint32_t rkey;

	/* The lease; owned by loan.c. */
	uint64_t id; /* never used twice */
	uint32_t generation;
	enum core_lease state;
	enum ramster_reason reason; /* of the revoke or the fence */
	uint64_t granted_us;	    /* CLOCK_MONOTONIC */
	uint64_t deadline_us;	    /* of the revoke, as above */
	sd_event_source *deadline;
	struct rmb_client *client;
	struct rmb_slab *prev, *next;		/* of the client, oldest grant first */
	struct rmb_slab *stay_prev, *stay_next; /* of those of the client that stay */
	struct rmb_slab *reap_prev, *reap_next; /* waiting to be taken down */
	UT_hash_handle hh;			/* by id */
};

/* Zeroed memory of bytes, on NUMA node if it has room (-1: any). NULL: errno. */
struct rmb_slab *rmb_slab_create(struct rmb_pd *pd, uint64_t bytes, int node);
/* Fence and free the memory; the struct stays. May be called again. */
void rmb_slab_clear(struct rmb_slab *slab);
void rmb_slab_destroy(struct rmb_slab *slab);

#endif /* RMB_SLAB_H */
