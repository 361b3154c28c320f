// SPDX-License-Identifier: GPL-2.0-only
/* ramster-perf's numbers: percentiles against sorted values, merged threads, rates, parsing. */
#include "unit.h"
#include "perf_stats.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const char unit_name[] = "perf-stats";

#define VALUES 20000

static uint64_t values[VALUES];

/* Times as devices have them: many near 30 us, a tail, and both ends of the range. */
static void make_values(void)
{
	size_t i;

	for (i = 0; i < VALUES; i++)
		values[i] = 25000 + unit_below(10000) + (i % 100 ? 0 : unit_below(5000000));
	values[0] = 0;
	values[1] = 255;
	values[2] = 256;
	values[3] = 1ull << 40;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool near(double got, double exact, double part)
{
	return fabs(got - exact) <= fabs(exact) * part + 1e-9;
}

static void quantiles(void)
{
	static const uint32_t wanted[] = { 1,	   1000,   100000, 250000, 500000,
					   900000, 990000, 999000, 999990, 1000000 };
	static struct perf_times t;
	uint64_t exact, rank;
	size_t i;

	make_values();
	memset(&t, 0, sizeof(t));
	for (i = 0; i < VALUES; i++)
		perf_times_add(&t, values[i]);
	qsort(values, VALUES, sizeof(*values), ascending);
	for (i = 0; i < ARRAY_SIZE(wanted); i++) {
		rank = ((uint64_t)VALUES * wanted[i] + 999999) / 1000000;
		exact = values[rank ? rank - 1 : 0];
		CU_ASSERT(near(perf_times_quantile(&t, wanted[i]), (double)exact, 0.004));
	}
	CU_ASSERT_EQUAL(t.min, 0);
	CU_ASSERT_EQUAL(t.max, 1ull << 40);
}

/* The extremes of the type fall into buckets that exist. */
static void whole_range(void)
{
	static struct perf_times t;
	uint32_t bit;

	memset(&t, 0, sizeof(t));
	perf_times_add(&t, 0);
	for (bit = 0; bit < 64; bit++)
		perf_times_add(&t, 1ull << bit);
	perf_times_add(&t, UINT64_MAX);
	CU_ASSERT_EQUAL(t.count, 66);
	CU_ASSERT_EQUAL(t.max, UINT64_MAX);
	CU_ASSERT(near(perf_times_quantile(&t, 1000000), (double)UINT64_MAX, 0.004));
	CU_ASSERT_EQUAL(perf_times_quantile(&t, 0), 0);
}

static void summary(void)
{
	static struct perf_times t;
	struct perf_summary s;
	uint32_t i;

	memset(&t, 0, sizeof(t));
	s = perf_times_summary(&t);
	CU_ASSERT(!s.count && s.min == 0 && s.max == 0 && s.typical == 0 && s.p999 == 0);

	for (i = 1; i <= 1000; i++) /* 1 to 1000 us */
		perf_times_add(&t, i * 1000);
	s = perf_times_summary(&t);
	CU_ASSERT_EQUAL(s.count, 1000);
	CU_ASSERT(s.min == 1 && s.max == 1000);
	CU_ASSERT(near(s.average, 500.5, 1e-9));
	CU_ASSERT(near(s.stdev, 288.8194361, 1e-6));
	CU_ASSERT(near(s.typical, 500, 0.004));
	CU_ASSERT(near(s.p99, 990, 0.004));
	CU_ASSERT(near(s.p999, 999, 0.004));
}

/* What several threads measured is the same as if one had. */
static void merged(void)
{
	static struct perf_times whole, part[4], sum;
	struct perf_summary a, b;
	size_t i;

	make_values();
	memset(&whole, 0, sizeof(whole));
	memset(part, 0, sizeof(part));
	memset(&sum, 0, sizeof(sum));
	for (i = 0; i < VALUES; i++) {
		perf_times_add(&whole, values[i]);
		perf_times_add(&part[i % 3], values[i]); /* the fourth measured nothing */
	}
	for (i = 0; i < ARRAY_SIZE(part); i++)
		perf_times_merge(&sum, &part[i]);
	a = perf_times_summary(&whole);
	b = perf_times_summary(&sum);
	CU_ASSERT_EQUAL(a.count, b.count);
	CU_ASSERT(a.min == b.min && a.max == b.max && a.typical == b.typical);
	CU_ASSERT(a.p99 == b.p99 && a.p999 == b.p999);
	CU_ASSERT(near(a.average, b.average, 1e-9));
	CU_ASSERT(near(a.stdev, b.stdev, 1e-9));
}

static void rates(void)
{
	struct perf_rate r = { 0 };

	CU_ASSERT(perf_rate_average(&r) == 0);
	perf_rate_sample(&r, 100, 1);
	perf_rate_sample(&r, 400, 2); /* the fastest second: 300 */
	perf_rate_sample(&r, 400, 2); /* no time has passed: no rate */
	perf_rate_sample(&r, 500, 4);
	CU_ASSERT(near(perf_rate_peak(&r), 300, 1e-9));
	CU_ASSERT(near(perf_rate_average(&r), 125, 1e-9));
	perf_rate_sample(&r, 600, 4.001); /* an instant says nothing about a rate */
	CU_ASSERT(near(perf_rate_peak(&r), 300, 1e-9));

	r = (struct perf_rate){ 0 };
	perf_rate_sample(&r, 10, 0.01);
	CU_ASSERT(near(perf_rate_peak(&r), 1000, 1e-9));
}

static void parsing(void)
{
	static const struct {
		const char *text;
		int err;
		uint64_t bytes;
	} rows[] = {
		{ "4096", 0, 4096 },
		{ "64K", 0, 65536 },
		{ "2m", 0, 2 << 20 },
		{ "1G", 0, 1 << 30 },
		{ "0", 0, 0 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -1, 0 },
		{ "18014398509481984K", -1, 0 },
		{ "", -1, 0 },
		{ "K", -1, 0 },
		{ "-1", -1, 0 },
		{ " 1", -1, 0 },
		{ "1T", -1, 0 },
		{ "1KK", -1, 0 },
		{ "1.5M", -1, 0 },
	};
	uint64_t got;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		got = rows[i].bytes;
		UNIT_ROW(rows[i].text, perf_parse_size(rows[i].text, &got) == rows[i].err);
		UNIT_ROW(rows[i].text, rows[i].err || got == rows[i].bytes);
	}
	CU_ASSERT(!perf_parse_number("1", 10, &got) && got == 1);
	CU_ASSERT(!perf_parse_number("10", 10, &got) && got == 10);
	CU_ASSERT(perf_parse_number("0", 10, &got));
	CU_ASSERT(perf_parse_number("11", 10, &got));
	CU_ASSERT(perf_parse_number("1K", 10000, &got));
	CU_ASSERT(perf_parse_number("x", 10, &got));
}

CU_TestInfo unit_tests[] = {
	{ "percentiles", quantiles },
	{ "the whole range", whole_range },
	{ "a summary", summary },
	{ "threads merged", merged },
	{ "rates", rates },
	{ "sizes and numbers", parsing },
	CU_TEST_INFO_NULL,
};
