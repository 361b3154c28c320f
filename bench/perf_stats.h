/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * perf_stats.h - what ramster-perf makes of its measurements. No clock, no I/O.
 *
 * Times go into buckets, 256 per power of two: any percentile is right within 0.4 %
 * and a run may last as long as it likes. Minimum, maximum, average and standard
 * deviation are exact.
 */
#ifndef PERF_STATS_H
#define PERF_STATS_H

#include <stdint.h>

#define PERF_BUCKET_BITS 8
#define PERF_BUCKETS	 ((64 - PERF_BUCKET_BITS + 1) << PERF_BUCKET_BITS)

struct perf_times {
	uint64_t count, min, max; /* ns; min and max mean nothing while count is 0 */
	double mean, squares;	  /* Welford's: sum of squared distances from the mean */
	uint64_t bucket[PERF_BUCKETS];
};

/* All in microseconds; zeroes if nothing was measured. */
struct perf_summary {
	uint64_t count;
	double min, max, typical, average, stdev, p99, p999; /* typical: the median */
};

/* A struct perf_times of zeroes is empty. One thread at a time. */
void perf_times_add(struct perf_times *t, uint64_t ns);
void perf_times_merge(struct perf_times *into, const struct perf_times *from);
/* The least time, in ns, that per_million of a million were not longer than; 0 if empty. */
double perf_times_quantile(const struct perf_times *t, uint32_t per_million);
struct perf_summary perf_times_summary(const struct perf_times *t);

/* What was moved: the whole, and its fastest part, from samples of a running count. */
struct perf_rate {
	uint64_t ops;	       /* of the last sample */
	double seconds;	       /* at the last sample */
	double peak_ops_per_s; /* of the fastest interval */
};

#define PERF_PEAK_SECONDS 0.05 /* shorter intervals are not counted as the fastest */

/* ops, and seconds since the start: of now; both grow. */
void perf_rate_sample(struct perf_rate *r, uint64_t ops, double seconds);
/* Operations per second on the whole; 0 before the first sample. */
double perf_rate_average(const struct perf_rate *r);
/* In the fastest interval; of a short run the average. */
double perf_rate_peak(const struct perf_rate *r);

/*
 * A size in bytes: "4096", "64K", "2M", "1G". 0, or -1 if that is none.
 */
int perf_parse_size(const char *text, uint64_t *bytes);
/* A number from 1 to max without anything after it. 0, or -1. */
int perf_parse_number(const char *text, uint64_t max, uint64_t *number);

#endif /* PERF_STATS_H */
