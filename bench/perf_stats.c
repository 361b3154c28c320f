// SPDX-License-Identifier: GPL-2.0-only
/* perf_stats.c - percentiles and rates of ramster-perf, and numbers as people write them. */
#include "perf_stats.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define SUB (1u << PERF_BUCKET_BITS)

/* Values below SUB have a bucket each; from there each power of two has SUB buckets. */
static uint32_t bucket_of(uint64_t ns)
{
	uint32_t shift;

	if (ns < SUB)
		return (uint32_t)ns;
	shift = 63 - (uint32_t)__builtin_clzll(ns) - PERF_BUCKET_BITS;
	return (shift << PERF_BUCKET_BITS) + (uint32_t)(ns >> shift);
}

/* The middle of a bucket. */
static double value_of(uint32_t bucket)
{
	uint32_t shift;
	uint64_t low;

	if (bucket < SUB)
		return bucket;
	shift = (bucket >> PERF_BUCKET_BITS) - 1;
	low = (uint64_t)(SUB + (bucket & (SUB - 1))) << shift;
	return (double)low + (double)((1ull << shift) - 1) / 2;
}

void perf_times_add(struct perf_times *t, uint64_t ns)
{
	double delta = (double)ns - t->mean;

	if (!t->count || ns < t->min)
		t->min = ns;
	if (!t->count || ns > t->max)
		t->max = ns;
	t->count++;
	t->mean += delta / (double)t->count;
	t->squares += delta * ((double)ns - t->mean);
	t->bucket[bucket_of(ns)]++;
}

void perf_times_merge(struct perf_times *into, const struct perf_times *from)
{
	double a = (double)into->count, b = (double)from->count;
	double delta = from->mean - into->mean;
	uint32_t i;

	if (!from->count)
		return;
	if (!into->count || from->min < into->min)
		into->min = from->min;
	if (!into->count || from->max > into->max)
		into->max = from->max;
	into->mean += delta * b / (a + b);
	into->squares += from->squares + delta * delta * a * b / (a + b);
	into->count += from->count;
	for (i = 0; i < PERF_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
}

/* The position, from 1, of a quantile among count sorted values; without overflow. */
static uint64_t rank_of(uint64_t count, uint32_t per_million)
{
	uint64_t whole = count / 1000000 * per_million;
	uint64_t rest = count % 1000000 * per_million;
	uint64_t rank = whole + (rest + 999999) / 1000000;

	return rank ? rank : 1;
}

double perf_times_quantile(const struct perf_times *t, uint32_t per_million)
{
	uint64_t rank = rank_of(t->count, per_million), seen = 0;
	double value;
	uint32_t i;

	if (!t->count)
		return 0;
	for (i = 0; i < PERF_BUCKETS - 1; i++) {
		seen += t->bucket[i];
		if (seen >= rank)
			break;
	}
	value = value_of(i);
	if (value < (double)t->min)
		return (double)t->min;
	return value > (double)t->max ? (double)t->max : value;
}

struct perf_summary perf_times_summary(const struct perf_times *t)
{
	struct perf_summary s = { .count = t->count };

	if (!t->count)
		return s;
	s.min = (double)t->min / 1e3;
	s.max = (double)t->max / 1e3;
	s.average = t->mean / 1e3;
	s.stdev = t->count > 1 ? sqrt(t->squares / (double)(t->count - 1)) / 1e3 : 0;
	s.typical = perf_times_quantile(t, 500000) / 1e3;
	s.p99 = perf_times_quantile(t, 990000) / 1e3;
	s.p999 = perf_times_quantile(t, 999000) / 1e3;
	return s;
}

void perf_rate_sample(struct perf_rate *r, uint64_t ops, double seconds)
{
	double rate;

	if (seconds <= r->seconds)
		return;
	rate = (double)(ops - r->ops) / (seconds - r->seconds);
	if (rate > r->peak_ops_per_s && seconds - r->seconds >= PERF_PEAK_SECONDS)
		r->peak_ops_per_s = rate;
	r->ops = ops;
	r->seconds = seconds;
}

double perf_rate_average(const struct perf_rate *r)
{
	return r->seconds > 0 ? (double)r->ops / r->seconds : 0;
}

double perf_rate_peak(const struct perf_rate *r)
{
	double average = perf_rate_average(r);

	return average > r->peak_ops_per_s ? average : r->peak_ops_per_s;
}

/* Digits at the start of text; *end: what follows them. */
static int parse_digits(const char *text, uint64_t *number, char **end)
{
	if (!isdigit((unsigned char)*text))
		return -1;
	errno = 0;
	*number = strtoull(text, end, 10);
	return errno ? -1 : 0;
}

int perf_parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMG";
	uint32_t shift = 0, i;
	uint64_t number;
	char *end;

	if (parse_digits(text, &number, &end))
		return -1;
	for (i = 0; *end && units[i]; i++)
		if (toupper((unsigned char)*end) == units[i])
			shift = 10 * (i + 1);
	if (shift)
		end++;
	if (*end || number > UINT64_MAX >> shift)
		return -1;
	*bytes = number << shift;
	return 0;
}

int perf_parse_number(const char *text, uint64_t max, uint64_t *number)
{
	char *end;

	if (parse_digits(text, number, &end) || *end)
		return -1;
	return *number >= 1 && *number <= max ? 0 : -1;
}
