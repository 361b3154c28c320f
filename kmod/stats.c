// SPDX-License-Identifier: GPL-2.0-only
/*
 * stats.c - summing the per-CPU counters.
 */
#include <linux/cpumask.h>
#include <linux/slab.h>

#include "stats.h"

u64 rmk_stats_sum(struct rmk_stats __percpu *stats, enum rmk_counter c)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu_ptr(stats, cpu)->counter[c];
	return sum;
}

u64 rmk_stats_pages(struct rmk_stats __percpu *stats, enum core_where where)
{
	s64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu_ptr(stats, cpu)->pages[where];
	return max_t(s64, sum, 0); /* read while pages move, it may be off for a moment */
}

void rmk_stats_latency(struct rmk_stats __percpu *stats, bool write, u64 ns)
{
	this_cpu_inc(stats->latency[write].bucket[core_hist_bucket(ns)]);
}

void rmk_stats_op_sum(struct rmk_stats __percpu *stats, enum rmk_op op, enum core_where where,
		      struct core_hist *sum)
{
	int cpu;

	memset(sum, 0, sizeof(*sum));
	for_each_possible_cpu(cpu)
		core_hist_merge(sum, &per_cpu_ptr(stats, cpu)->op[op][where]);
}

u64 rmk_stats_op_count(struct rmk_stats __percpu *stats, enum rmk_op op, enum core_where where)
{
	u64 count = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		count += core_hist_count(&per_cpu_ptr(stats, cpu)->op[op][where]);
	return count;
}

u64 rmk_stats_quantile(struct rmk_stats __percpu *stats, bool write, u32 per_mille)
{
	struct core_hist *sum = kzalloc(sizeof(*sum), GFP_KERNEL);
	u64 value;
	int cpu;

	if (!sum)
		return 0;
	for_each_possible_cpu(cpu)
		core_hist_merge(sum, &per_cpu_ptr(stats, cpu)->latency[write]);
	value = core_hist_quantile(sum, per_mille);
	kfree(sum);
	return value;
}
