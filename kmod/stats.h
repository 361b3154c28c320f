/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stats.h - counters of one device, per CPU, summed on read.
 */
#ifndef RMK_STATS_H
#define RMK_STATS_H

#include <linux/percpu.h>

#include "../core/hist.h"
#include "../core/index.h"

enum rmk_counter {
	RMK_READS, /* pages asked for by the front */
	RMK_WRITES,
	RMK_DISCARDS,	  /* pages forgotten that held something */
	RMK_REMOTE_READS, /* pages that came over the wire, whoever asked */
	RMK_REMOTE_WRITES,
	RMK_READ_REQUESTS, /* work requests posted: fewer than pages where pages merge */
	RMK_WRITE_REQUESTS,
	RMK_EVACUATED,	 /* pages moved out of a revoked slab */
	RMK_SHIPPED,	 /* compressed pages moved to a donor */
	RMK_LOST,	 /* pages whose only copy went with a donor */
	RMK_RETRIES,	 /* requests that had to wait for a connection or for room */
	RMK_CRC_ERRORS,	 /* pages that came back wrong, and were not handed out */
	RMK_READ_ERRORS, /* pages that the front was told it cannot have */
	RMK_WRITE_ERRORS,
	RMK_LATE_MOVES,	    /* copies made in vain: the page had changed meanwhile */
	RMK_NO_BUFFER,	    /* pages that fronts could not stage: every buffer was in use */
	RMK_WRITER_BATCHES, /* of staged pages */
	RMK_WRITTEN_BEHIND, /* staged pages that a tier has taken */
	RMK_VANISHED,	    /* ephemeral pages dropped: no room, or their slab went */
	RMK_EVICTED,	    /* ephemeral pages forgotten to make room for others */
	RMK_FRONTSWAP_STORES,
	RMK_FRONTSWAP_FAILED_STORES, /* went to the swap device alone */
	RMK_FRONTSWAP_LOADS,
	RMK_FRONTSWAP_FAILED_LOADS,
	RMK_FRONTSWAP_INVALIDATES,
	RMK_CLEANCACHE_PUTS,
	RMK_CLEANCACHE_FAILED_PUTS,   /* no number or memory for the page */
	RMK_CLEANCACHE_DROPPED_PUTS,  /* no buffer was free */
	RMK_CLEANCACHE_FILTERED_PUTS, /* the page was never active */
	RMK_CLEANCACHE_HITS,
	RMK_CLEANCACHE_MISSES,
	RMK_CLEANCACHE_INVALIDATES,
	RMK_SHARE_HITS,		/* pages that came out of a share */
	RMK_SHARE_MISSES,	/* pages looked for in one and not found */
	RMK_SHARE_UNPROVEN,	/* of these: what was found was another page */
	RMK_SHARE_PUTS,		/* pages put into a share */
	RMK_SHARE_KNOWN_PUTS,	/* pages that were there already */
	RMK_SHARE_DROPPED_PUTS, /* pages that did not get there */
	RMK_SHARE_FLUSHES,	/* flushes sent */
	RMK_COUNTERS,
};

/* What fronts ask for, page by page. */
enum rmk_op { RMK_GET, RMK_PUT, RMK_OPS };

struct rmk_stats {
	u64 counter[RMK_COUNTERS];
	s64 pages[CORE_WHERES];	     /* stored now, by enum core_where; one CPU's may be negative */
	struct core_hist latency[2]; /* ns from request to completion, [write] */
	struct core_hist op[RMK_OPS][CORE_WHERES]; /* ns per page of a front's, by tier */
};

static inline void rmk_count(struct rmk_stats __percpu *stats, enum rmk_counter c, u64 n)
{
	this_cpu_add(stats->counter[c], n);
}

u64 rmk_stats_sum(struct rmk_stats __percpu *stats, enum rmk_counter c);
u64 rmk_stats_pages(struct rmk_stats __percpu *stats, enum core_where where);
/* Latency of one request, in any context. */
void rmk_stats_latency(struct rmk_stats __percpu *stats, bool write, u64 ns);

/* A front's n pages were read from a tier, or stored there, ns after it asked. Any context. */
static inline void rmk_stats_op(struct rmk_stats __percpu *stats, enum rmk_op op,
				enum core_where where, u64 ns, u32 n)
{
	this_cpu_add(stats->op[op][where].bucket[core_hist_bucket(ns)], n);
}

/* All of them since load. */
void rmk_stats_op_sum(struct rmk_stats __percpu *stats, enum rmk_op op, enum core_where where,
		      struct core_hist *sum);
u64 rmk_stats_op_count(struct rmk_stats __percpu *stats, enum rmk_op op, enum core_where where);
u64 rmk_stats_quantile(struct rmk_stats __percpu *stats, bool write, u32 per_mille);

#endif /* RMK_STATS_H */
