/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * hist.h - latency histogram: four buckets per power of two, so a percentile
 * is right within 25 %.
 *
 * Adding is one index computation and one increment; callers that share a
 * histogram between CPUs keep one each and merge on read.
 */
#ifndef CORE_HIST_H
#define CORE_HIST_H

#include "port.h"

#define CORE_HIST_BUCKETS 160 /* values below 2^41 ns = 36 minutes; the last one takes the rest */

struct core_hist {
	u64 bucket[CORE_HIST_BUCKETS];
};

u32 core_hist_bucket(u64 value); /* which bucket a value falls into */
u64 core_hist_upper(u32 bucket); /* largest value of a bucket; of the last one ~0 */
void core_hist_add(struct core_hist *h, u64 value);
void core_hist_merge(struct core_hist *into, const struct core_hist *from);
u64 core_hist_count(const struct core_hist *h);
/* Upper bound of the bucket in which the per_mille-th value lies (500 = median); 0 if empty. */
u64 core_hist_quantile(const struct core_hist *h, u32 per_mille);

#endif /* CORE_HIST_H */
