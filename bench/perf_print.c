// SPDX-License-Identifier: GPL-2.0-only
/* perf_print.c - what ramster-perf says: perftest's columns, JSON, a progress line. */
#include "perf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MIB	 (1024.0 * 1024)
#define GIB	 (1024 * MIB)
#define RULE	 "--------------------------------------------------------------------------------"
#define LONG_RUN 1.0 /* seconds; from then on there is a progress line */

static const char *waits(const struct perf_test *test)
{
	if (test->swap)
		return "as the kernel waits";
	return test->events ? "sleeping until the device tells" :
			      "polling for up to 200 us, then sleeping";
}

void perf_print_what(const struct perf_run *run)
{
	const struct perf_test *test = run->test;
	char names[PERF_SWAP_NAMES];

	puts(RULE);
	printf(" %s: %s of pages of %" PRIu64 " bytes\n", test->name,
	       test->touch ? "faults" :
	       test->put   ? "put" :
			     "get",
	       test->page_bytes);
	if (test->swap) {
		perf_swap_names(names, sizeof(names));
		printf(" Swap: %s; %d pages are read at once (vm.page-cluster), the one that was "
		       "touched counts\n",
		       names, perf_swap_readahead());
	} else {
		printf(" Donors: %s\n", test->donors);
	}
	if (test->touch)
		printf(" Measured: from the access until the page is there, %s\n", waits(test));
	else if (test->latency)
		printf(" Measured: the full round trip of a call, %s\n", waits(test));
	else
		printf(" Measured: bytes of pages that %s; %s\n",
		       test->put ? "donors have acknowledged" : "have arrived", waits(test));
	printf(" Threads: %" PRIu64 "   Depth: %" PRIu64 " each   Pages: %u each", test->threads,
	       test->depth, run->pages);
	if (test->far)
		printf(", %" PRIu64 " in RAM at most", test->limit / test->page_bytes);
	puts("");
	if (test->verify)
		printf(" Content is checked: %s\n",
		       test->put ? "after the run" : "of each page, not timed");
	puts(RULE);
}

static void print_latency(const struct perf_run *run)
{
	struct perf_summary s = perf_times_summary(&run->times);

	puts(" #bytes    #iterations    t_min[usec]    t_max[usec]  t_typical[usec]    "
	     "t_avg[usec]    t_stdev[usec]   99% percentile[usec]   99.9% percentile[usec]");
	printf(" %-9" PRIu64 " %-14" PRIu64
	       " %-14.2f %-12.2f %-18.2f %-14.2f %-15.2f %-22.2f %.2f\n",
	       run->test->page_bytes, s.count, s.min, s.max, s.typical, s.average, s.stdev, s.p99,
	       s.p999);
}

/* Bytes per second in the unit that was asked for. */
static double in_unit(const struct perf_test *test, double ops_per_s)
{
	double bytes = ops_per_s * (double)test->page_bytes;

	return test->gbits ? bytes * 8 / 1e9 : bytes / MIB;
}

static void print_bandwidth(const struct perf_run *run)
{
	const struct perf_test *test = run->test;
	double average = perf_rate_average(&run->rate);
	const char *unit = test->gbits ? "Gb/sec" : "MiB/sec";

	printf(" #bytes     #iterations    BW peak[%s]    BW average[%s]   MsgRate[Mpps]\n", unit,
	       unit);
	printf(" %-10" PRIu64 " %-14" PRIu64 " %-18.2f %-20.2f %.6f\n", test->page_bytes,
	       run->rate.ops, in_unit(test, perf_rate_peak(&run->rate)), in_unit(test, average),
	       average / 1e6);
}

static uint64_t travelled(const struct perf_run *run)
{
	if (!run->fabric)
		return run->rate.ops;
	return run->test->put ? run->after.remote_writes - run->before.remote_writes :
				run->after.remote_reads - run->before.remote_reads;
}

static double cpu_per_gib(const struct perf_run *run)
{
	double bytes = (double)run->rate.ops * (double)run->test->page_bytes;

	return bytes > 0 ? run->cpu_seconds * GIB / bytes : 0;
}

void perf_print_result(const struct perf_run *run)
{
	if (run->test->latency)
		print_latency(run);
	else
		print_bandwidth(run);
	puts(RULE);
	printf(" CPU of this process: %.3f s, %.2f s per GiB\n", run->cpu_seconds,
	       cpu_per_gib(run));
	if (travelled(run) < run->rate.ops)
		printf(" %" PRIu64 " of %" PRIu64
		       " pages did not travel: donors had no room, or left\n",
		       run->rate.ops - travelled(run), run->rate.ops);
	if (run->test->verify)
		printf(" Content checked: %" PRIu64 " pages, all as they were put\n",
		       atomic_load(&run->verified));
}

int perf_write_json(const struct perf_run *run)
{
	const struct perf_test *test = run->test;
	struct perf_summary s = perf_times_summary(&run->times);
	double average = perf_rate_average(&run->rate);
	FILE *file = fopen(test->json_file, "we");
	const char *where = test->donors;
	char names[PERF_SWAP_NAMES];
	int err;

	if (!file)
		return -errno;
	if (test->swap) {
		perf_swap_names(names, sizeof(names));
		where = names;
	}
	fprintf(file, "{\"test\": \"%s\", \"%s\": \"%s\", \"bytes\": %" PRIu64 ",\n", test->name,
		test->swap ? "swap" : "donors", where, test->page_bytes);
	fprintf(file,
		" \"threads\": %" PRIu64 ", \"depth\": %" PRIu64 ", \"pages\": %" PRIu64 ",\n",
		test->threads, test->depth, (uint64_t)run->pages * test->threads);
	fprintf(file, " \"measured\": \"%s\", \"waits\": \"%s\",\n",
		test->touch   ? "access to page" :
		test->latency ? "full round trip" :
				"bandwidth",
		test->swap   ? "kernel" :
		test->events ? "events" :
			       "polls");
	fprintf(file, " \"iterations\": %" PRIu64 ", \"seconds\": %.6f,\n", run->rate.ops,
		run->rate.seconds);
	if (test->latency)
		fprintf(file,
			" \"t_min_us\": %.3f, \"t_max_us\": %.3f, \"t_typical_us\": %.3f,\n"
			" \"t_avg_us\": %.3f, \"t_stdev_us\": %.3f, \"p99_us\": %.3f,"
			" \"p99_9_us\": %.3f,\n",
			s.min, s.max, s.typical, s.average, s.stdev, s.p99, s.p999);
	fprintf(file,
		" \"bytes_per_s\": %.0f, \"peak_bytes_per_s\": %.0f, \"ops_per_s\": %.1f,\n"
		" \"cpu_seconds\": %.6f, \"cpu_seconds_per_gib\": %.4f,\n"
		" \"travelled\": %" PRIu64 ", \"verified\": %" PRIu64 "}\n",
		average * (double)test->page_bytes,
		perf_rate_peak(&run->rate) * (double)test->page_bytes, average, run->cpu_seconds,
		cpu_per_gib(run), travelled(run), atomic_load(&run->verified));
	err = ferror(file) ? -EIO : 0;
	return fclose(file) ? -errno : err;
}

void perf_progress(const struct perf_run *run, double seconds, uint64_t ops)
{
	const struct perf_test *test = run->test;
	double rate = (double)ops / seconds;

	if (seconds < LONG_RUN || !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r %.0f s: %" PRIu64 " pages, %.0f a second, %.2f %s \033[K", seconds, ops,
		rate, in_unit(test, rate), test->gbits ? "Gb/s" : "MiB/s");
}

void perf_progress_end(void)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}
