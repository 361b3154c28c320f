// SPDX-License-Identifier: GPL-2.0-only
/* perf.c - ramster-perf: how fast pages go to donors and come back, through the library. */
#include "perf.h"

#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE     2
#define DEFAULT_MEMORY (16u << 20)
#define DEFAULT_DEPTH  32
#define ITERATIONS_LAT 1000 /* as perftest has them */
#define ITERATIONS_BW  5000
#define ITERATIONS_MAX UINT32_MAX
#define SECONDS_MAX    (24 * 60 * 60)
#define GOVERNOR       "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"

const char *argp_program_version = "ramster-perf 0.1.0";
error_t argp_err_exit_status = EXIT_USAGE;

enum { OPT_GBITS = 256, OPT_JSON, OPT_VERIFY };

static const struct argp_option options[] = {
	{ "donor", 'd', "ADDRESS", 0, "One more donor", 0 },
	{ "duration", 'D', "SECONDS", 0, "Measure for so long, instead of -n", 0 },
	{ "size", 's', "BYTES", 0,
	  "Of a page: a power of two, 4K to 2M (default 4K for latency, 64K for bandwidth)", 0 },
	{ "iters", 'n', "COUNT", 0, "Pages that each thread moves (1000 for latency, else 5000)",
	  0 },
	{ "depth", 'q', "COUNT", 0, "Calls under way in each thread (bandwidth only; 32)", 0 },
	{ "threads", 't', "COUNT", 0, "Threads, up to 15 with connections of their own (1)", 0 },
	{ "memory", 'm', "BYTES", 0, "Of all pages that are used, with donors or in swap (16M)",
	  0 },
	{ "limit", 'l', "BYTES", 0, "Of far memory in RAM (far only; a quarter of -m)", 0 },
	{ "port", 'p', "PORT", 0, "Of donors that are named without one", 0 },
	{ "events", 'e', NULL, 0, "Sleep until the device tells of an end, do not poll", 0 },
	{ "force", 'F', NULL, 0, "Do not warn when the CPU's frequency may vary", 0 },
	{ "report_gbits", OPT_GBITS, NULL, 0, "Bandwidth in Gb/s instead of MiB/s", 0 },
	{ "out_json", OPT_JSON, "FILE", 0, "Write the result to FILE, too", 0 },
	{ "verify", OPT_VERIFY, NULL, 0, "Check the content of the pages", 0 },
	{ 0 },
};

static const char doc[] =
	"Measure how fast pages go to donors and come back, through libramster-rdma.\v"
	"put_lat and get_lat measure one page at a time: the full round trip of the call.\n"
	"put_bw and get_bw keep many pages under way. far measures how long a program waits for a\n"
	"page of far memory that it touches, swap the same for pages that this process has in swap,\n"
	"whatever swap is on; it takes no donors. DONORS are addresses of ramsterd, such as 10.0.0.2\n"
	"or [fd00::2]:7470. Exit status: 0 measured, 1 failed, 2 usage.";

/* ---- arguments ---- */

static void add_donor(struct perf_test *test, const char *donor)
{
	char *list;

	if (asprintf(&list, "%s%s%s", test->donors ? test->donors : "", test->donors ? "," : "",
		     donor) < 0) {
		fputs("ramster-perf: out of memory\n", stderr);
		exit(1);
	}
	free(test->donors);
	test->donors = list;
}

/* "[a]", "a.b.c.d": no port is in it. "a:b:c" without brackets is left to the library. */
static bool lacks_port(const char *donor)
{
	size_t len = strlen(donor);

	return len && (donor[0] == '[' ? donor[len - 1] == ']' : !strchr(donor, ':'));
}

static void give_ports(struct perf_test *test)
{
	char *list = test->donors, *next = list, *donor, text[128];

	test->donors = NULL;
	while ((donor = strsep(&next, ","))) {
		if (lacks_port(donor))
			snprintf(text, sizeof(text), "%.100s:%u", donor, (unsigned int)test->port);
		add_donor(test, lacks_port(donor) ? text : donor);
	}
	free(list);
}

static void set_number(struct argp_state *state, const char *arg, const char *what, uint64_t max,
		       uint64_t *number)
{
	if (perf_parse_number(arg, max, number))
		argp_failure(state, EXIT_USAGE, 0, "%s is not a number of %s from 1 to %llu", arg,
			     what, (unsigned long long)max);
}

#define TESTS "put_lat, get_lat, put_bw, get_bw, far or swap"

static void set_name(struct perf_test *test, const char *name, struct argp_state *state)
{
	static const char *const names[] = {
		"put_lat", "get_lat", "put_bw", "get_bw", "far", "swap"
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(name, names[i]))
			test->name = names[i];
	if (!test->name)
		argp_failure(state, EXIT_USAGE, 0, "%s is no test: " TESTS, name);
	test->put = !strncmp(name, "put", 3);
	test->far = !strcmp(name, "far");
	test->swap = !strcmp(name, "swap");
	test->touch = test->far || test->swap;
	test->latency = test->touch || strstr(name, "_lat");
}

static void complete_far(struct perf_test *test, struct argp_state *state)
{
	if (!test->far) {
		if (test->limit)
			argp_failure(state, EXIT_USAGE, 0, "-l is for far");
		return;
	}
	if (!test->limit)
		test->limit = test->memory / 4 / RMR_PAGE_MIN * RMR_PAGE_MIN;
	if (test->limit < RMR_FAR_LIMIT_MIN || test->limit % RMR_PAGE_MIN ||
	    test->limit > test->memory / 2)
		argp_failure(state, EXIT_USAGE, 0,
			     "-l %llu is not a multiple of 4K from 1M to half of -m %llu",
			     (unsigned long long)test->limit, (unsigned long long)test->memory);
}

/* What has not been given, and what does not go together. */
static void complete(struct perf_test *test, struct argp_state *state)
{
	if (!test->name)
		argp_failure(state, EXIT_USAGE, 0, "name a test: " TESTS);
	if (!test->donors && !test->swap)
		argp_failure(state, EXIT_USAGE, 0, "name a donor, such as 10.0.0.2");
	if (test->swap && (test->donors || test->events || test->port))
		argp_failure(state, EXIT_USAGE, 0,
			     "swap measures the swap that is on: it takes no donor, nor -e or -p");
	if (test->touch && test->page_bytes && test->page_bytes != RMR_PAGE_MIN)
		argp_failure(state, EXIT_USAGE, 0, "-s: pages of %s have 4K",
			     test->far ? "far memory" : "swap");
	if (test->iterations && test->seconds)
		argp_failure(state, EXIT_USAGE, 0, "-n and -D exclude each other");
	if (test->latency && test->depth > 1)
		argp_failure(state, EXIT_USAGE, 0,
			     "-q is for put_bw and get_bw: a latency is of one page");
	complete_far(test, state);
	if (!test->depth)
		test->depth = test->latency ? 1 : DEFAULT_DEPTH;
	if (!test->page_bytes)
		test->page_bytes = test->latency ? 4096 : 65536;
	if (test->memory < test->page_bytes * test->threads)
		argp_failure(state, EXIT_USAGE, 0,
			     "-m %llu does not hold a page of %llu bytes for each thread",
			     (unsigned long long)test->memory,
			     (unsigned long long)test->page_bytes);
	if (test->memory / test->page_bytes / test->threads > UINT32_MAX)
		argp_failure(state, EXIT_USAGE, 0,
			     "-m %llu is more than %u pages of %llu bytes for each thread",
			     (unsigned long long)test->memory, UINT32_MAX,
			     (unsigned long long)test->page_bytes);
	if (!test->iterations)
		test->iterations = test->latency ? ITERATIONS_LAT : ITERATIONS_BW;
	if (test->port)
		give_ports(test);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct perf_test *test = state->input;

	switch (key) {
	case 'd':
		add_donor(test, arg);
		break;
	case 'D':
		set_number(state, arg, "seconds (-D)", SECONDS_MAX, &test->seconds);
		break;
	case 's':
		if (perf_parse_size(arg, &test->page_bytes) || test->page_bytes < RMR_PAGE_MIN ||
		    test->page_bytes > RMR_PAGE_MAX || test->page_bytes & (test->page_bytes - 1))
			argp_failure(state, EXIT_USAGE, 0,
				     "-s %s is not a power of two from 4K to 2M", arg);
		break;
	case 'n':
		set_number(state, arg, "iterations (-n)", ITERATIONS_MAX, &test->iterations);
		break;
	case 'q':
		set_number(state, arg, "calls under way (-q)", PERF_DEPTH_MAX, &test->depth);
		break;
	case 't':
		set_number(state, arg, "threads (-t)", PERF_THREADS_MAX, &test->threads);
		break;
	case 'm':
		if (perf_parse_size(arg, &test->memory) || test->memory > 1ull << 44)
			argp_failure(state, EXIT_USAGE, 0,
				     "-m %s is not a size up to 16384G, such as 64M", arg);
		break;
	case 'l':
		if (perf_parse_size(arg, &test->limit) || !test->limit)
			argp_failure(state, EXIT_USAGE, 0, "-l %s is not a size, such as 4M", arg);
		break;
	case 'p':
		set_number(state, arg, "a port (-p)", UINT16_MAX, &test->port);
		break;
	case 'e':
		test->events = true;
		break;
	case 'F':
		test->force = true;
		break;
	case OPT_GBITS:
		test->gbits = true;
		break;
	case OPT_JSON:
		test->json_file = arg;
		break;
	case OPT_VERIFY:
		test->verify = true;
		break;
	case ARGP_KEY_ARG:
		if (test->name)
			add_donor(test, arg);
		else
			set_name(test, arg, state);
		break;
	case ARGP_KEY_END:
		complete(test, state);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* ---- the run ---- */

static struct perf_run *interrupted;

static void on_signal(int number)
{
	(void)number;
	atomic_store(&interrupted->stop, true);
}

static void warn_of_frequency(void)
{
	char governor[32] = "";
	FILE *file = fopen(GOVERNOR, "re");

	if (!file)
		return;
	if (fscanf(file, "%31s", governor) == 1 && strcmp(governor, "performance") != 0)
		fprintf(stderr,
			"ramster-perf: the CPU's frequency governor is %s: times may vary "
			"(-F: do not warn)\n",
			governor);
	fclose(file);
}

static int say_failure(const struct perf_run *run)
{
	if (run->failed_err)
		fprintf(stderr, "ramster-perf: %s %llu failed: %s\n", run->failed_what,
			(unsigned long long)run->failed_page, strerror(-run->failed_err));
	else
		fprintf(stderr, "ramster-perf: page %llu came back with other content\n",
			(unsigned long long)run->failed_page);
	return 1;
}

static int measure(struct perf_run *run)
{
	const struct perf_test *test = run->test;
	int err;

	if (perf_set_up(run))
		return 1;
	perf_print_what(run);
	fflush(stdout);
	perf_measure(run);
	if (!run->failed && test->put && test->verify)
		perf_verify_all(run);
	if (run->failed)
		return say_failure(run);
	perf_print_result(run);
	err = test->json_file ? perf_write_json(run) : 0;
	return err ? perf_complain(test->json_file, err) : 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "{put_lat|get_lat|put_bw|get_bw|far} DONORS...\nswap",
		.doc = doc
	};
	static struct perf_run run;
	struct perf_test test = { .threads = 1, .memory = DEFAULT_MEMORY };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
	int status;

	argp_parse(&argp, argc, argv, 0, NULL, &test);
	if (!test.force)
		warn_of_frequency();
	run.test = &test;
	run.pages = (uint32_t)(test.memory / test.page_bytes / test.threads);
	pthread_mutex_init(&run.lock, NULL);
	pthread_cond_init(&run.changed, NULL);
	interrupted = &run;
	sigaction(SIGINT, &action, NULL); /* the first one ends the run with its result */
	sigaction(SIGTERM, &action, NULL);
	status = measure(&run);
	perf_tear_down(&run);
	free(test.donors);
	return status;
}
