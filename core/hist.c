// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * hist.c - bucket arithmetic: values 0 .. 3 have a bucket each; above, the top
 * bit chooses a group of four and the two bits below it the bucket therein.
 */
#include "hist.h"

u32 core_hist_bucket(u64 value)
{
	u32 top, bucket;

	if (value < 4)
		return (u32)value;
	top = core_fls64(value) - 1;
	bucket = (top - 1) * 4 + ((u32)(value >> (top - 2)) & 3);
	return bucket < CORE_HIST_BUCKETS ? bucket : CORE_HIST_BUCKETS - 1;
}

u64 core_hist_upper(u32 bucket)
{
	if (bucket < 4)
		return bucket;
	if (bucket >= CORE_HIST_BUCKETS - 1)
		return ~0ull;
	return ((u64)(5 + bucket % 4) << (bucket / 4 - 1)) - 1;
}

void core_hist_add(struct core_hist *h, u64 value)
{
	h->bucket[core_hist_bucket(value)]++;
}

void core_hist_merge(struct core_hist *into, const struct core_hist *from)
{
	u32 i;

	for (i = 0; i < CORE_HIST_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
}

u64 core_hist_count(const struct core_hist *h)
{
	u64 count = 0;
	u32 i;

	for (i = 0; i < CORE_HIST_BUCKETS; i++)
		count += h->bucket[i];
	return count;
}

u64 core_hist_quantile(const struct core_hist *h, u32 per_mille)
{
	u64 rank, seen = 0, count = core_hist_count(h);
	u32 i;

	if (!count)
		return 0;
	if (per_mille > 1000)
		per_mille = 1000;
	rank = (count / 1000) * per_mille + ((count % 1000) * per_mille + 999) / 1000;
	if (!rank)
		rank = 1;
	for (i = 0; i < CORE_HIST_BUCKETS - 1; i++) {
		seen += h->bucket[i];
		if (seen >= rank)
			break;
	}
	return core_hist_upper(i);
}
