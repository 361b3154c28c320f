// SPDX-License-Identifier: GPL-2.0-only
/* Histogram: every value in its bucket, quantiles within 25 %, the edges. */
#include "unit.h"
#include "hist.h"

#include <stdlib.h>

const char unit_name[] = "hist";

static void edges(void)
{
	static const struct {
		const char *name;
		u64 value;
		u32 bucket;
		u64 upper;
	} rows[] = {
		{ "zero", 0, 0, 0 },
		{ "three", 3, 3, 3 },
		{ "four", 4, 4, 4 },
		{ "seven", 7, 7, 7 },
		{ "eight", 8, 8, 9 },
		{ "nine", 9, 8, 9 },
		{ "ten", 10, 9, 11 },
		{ "fifteen", 15, 11, 15 },
		{ "sixteen", 16, 12, 19 },
		{ "last of its own", (7ull << 38) - 1, 158, (7ull << 38) - 1 },
		{ "first of the rest", 7ull << 38, 159, ~0ull },
		{ "2^41", 1ull << 41, 159, ~0ull },
		{ "largest", ~0ull, 159, ~0ull },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		UNIT_ROW(rows[i].name, core_hist_bucket(rows[i].value) == rows[i].bucket);
		UNIT_ROW(rows[i].name, core_hist_upper(rows[i].bucket) == rows[i].upper);
	}
}

/* Buckets tile the numbers: the value after a bucket's last is in the next bucket. */
static void tiling(void)
{
	u32 b;

	for (b = 0; b < CORE_HIST_BUCKETS - 1; b++) {
		CU_ASSERT_EQUAL(core_hist_bucket(core_hist_upper(b)), b);
		CU_ASSERT_EQUAL(core_hist_bucket(core_hist_upper(b) + 1), b + 1);
	}
}

static void empty(void)
{
	struct core_hist h = { 0 };

	CU_ASSERT_EQUAL(core_hist_count(&h), 0);
	CU_ASSERT_EQUAL(core_hist_quantile(&h, 0), 0);
	CU_ASSERT_EQUAL(core_hist_quantile(&h, 500), 0);
	CU_ASSERT_EQUAL(core_hist_quantile(&h, 1000), 0);
}

static int ascending(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return (x > y) - (x < y);
}

/* The exact quantile of sorted values and the histogram's: at most 25 % above, never below. */
static void check_quantiles(const struct core_hist *h, const u64 *sorted, u64 n)
{
	u64 exact, got, rank;
	u32 q;

	for (q = 0; q <= 1000; q++) {
		rank = (n * q + 999) / 1000;
		exact = sorted[rank ? rank - 1 : 0];
		got = core_hist_quantile(h, q);
		if (got < exact || got > exact + exact / 4) {
			printf("\n    n %llu per mille %u: exact %llu, got %llu\n",
			       (unsigned long long)n, q, (unsigned long long)exact,
			       (unsigned long long)got);
			CU_FAIL("quantile out of bounds");
			return;
		}
	}
	CU_PASS("quantiles");
}

static void quantiles(void)
{
	static u64 values[3000];
	struct core_hist h;
	u32 round, n, i;

	for (round = 0; round < 200; round++) {
		memset(&h, 0, sizeof(h));
		n = 1 + unit_below(ARRAY_SIZE(values));
		for (i = 0; i < n; i++) {
			/* every magnitude alike; 2^40 is the largest that is exact within 25 % */
			values[i] = unit_random() >> (24 + unit_below(40));
			core_hist_add(&h, values[i]);
		}
		CU_ASSERT_EQUAL(core_hist_count(&h), n);
		qsort(values, n, sizeof(values[0]), ascending);
		check_quantiles(&h, values, n);
	}
}

static void beyond_per_mille(void)
{
	struct core_hist h = { 0 };

	core_hist_add(&h, 5);
	core_hist_add(&h, 1000);
	CU_ASSERT_EQUAL(core_hist_quantile(&h, 5000), core_hist_quantile(&h, 1000));
}

static void merge(void)
{
	struct core_hist parts[4] = { 0 }, sum = { 0 }, all = { 0 };
	u64 value;
	u32 i;

	for (i = 0; i < 10000; i++) {
		value = unit_random() >> unit_below(64);
		core_hist_add(&parts[i % 4], value);
		core_hist_add(&all, value);
	}
	for (i = 0; i < 4; i++)
		core_hist_merge(&sum, &parts[i]);
	CU_ASSERT_EQUAL(memcmp(&sum, &all, sizeof(sum)), 0);
}

CU_TestInfo unit_tests[] = {
	{ "edges", edges },
	{ "buckets tile the numbers", tiling },
	{ "empty", empty },
	{ "quantiles within 25 %", quantiles },
	{ "per mille beyond 1000", beyond_per_mille },
	{ "merge equals adding to one", merge },
	CU_TEST_INFO_NULL,
};
