/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * perf.h - the parts of ramster-perf:
 *
 *   perf.c        arguments -> struct perf_test; the course of a run
 *   perf_setup.c  what is needed to measure
 *   perf_run.c    the threads that put and get
 *   perf_touch.c  what they do in memory that may be elsewhere:
 *   perf_far.c    far memory
 *   perf_swap.c   swap
 *   perf_print.c  the table, JSON, the progress line
 *   perf_stats.c  percentiles
 */
#ifndef PERF_H
#define PERF_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ramster/ramster_rdma.h"
#include "perf_stats.h"

#define PERF_THREADS_MAX 64
#define PERF_DEPTH_MAX	 4096

/* What is to be measured: what the command line says. */
struct perf_test {
	const char *name; /* put_lat ... */
	bool put, latency, far, swap;
	bool touch;		      /* far or swap: pages are touched */
	char *donors;		      /* for rmr_open() */
	uint64_t page_bytes, memory;  /* of a page; of all pages of all threads */
	uint64_t limit;		      /* bytes of far memory that may be in RAM */
	uint64_t iterations, seconds; /* of a thread; seconds 0: so many iterations */
	uint64_t depth, threads, port;
	bool events, verify, gbits, force;
	const char *json_file;
};

/* One thread: its own object in the pool, its own part of the registered memory. */
struct perf_worker {
	struct perf_run *run;
	pthread_t thread;
	uint32_t number;
	uint8_t *memory;   /* depth pages; with far and swap: all of its pages */
	uint8_t *here;	   /* with swap: of each page, room for mincore() */
	uint32_t *version; /* of each page: how often it was put; with --verify */
	struct perf_times times;
	_Atomic uint64_t ops; /* since the warm-up */
	double ended;	      /* perf_seconds() */
	struct rmr_queue *queue;
	void **spare; /* pages of memory that no call uses */
	uint32_t spares;
	struct rmr_page *calls; /* by page of memory: the call that uses it */
};

struct perf_run {
	const struct perf_test *test;
	struct rmr *fabric;
	struct rmr_pool *pool;
	struct rmr_buf *buf;
	uint8_t *memory;
	struct rmr_far *far;
	void *swapped;
	uint32_t pages; /* of a thread */
	struct perf_worker *workers;
	_Atomic bool stop;
	pthread_mutex_t lock; /* of the next three */
	pthread_cond_t changed;
	uint32_t warm, running; /* threads: warm-up over, not ended */
	bool go;
	/* The first failure; what is set once, by the thread that set failed. */
	_Atomic bool failed;
	const char *failed_what;
	uint64_t failed_page;
	int failed_err; /* 0: its content was wrong */
	_Atomic uint64_t verified;

	/* what came of it */
	struct perf_times times;
	struct perf_rate rate;
	double cpu_seconds;
	struct rmr_stats before, after; /* of the measured part */
};

/* One line on standard error; returns 1. */
int perf_complain(const char *what, int err);
/* Everything that is taken down by perf_tear_down(), however far it came. 0, or 1 after a line. */
int perf_set_up(struct perf_run *run);
void perf_tear_down(struct perf_run *run);

/* Seconds since any moment. */
double perf_seconds(void);
/* A clock that costs next to nothing. */
uint64_t perf_ticks(void);
uint64_t perf_ns_since(uint64_t ticks);

/* err 0: the page's content was wrong. Everybody stops. */
void perf_fail(struct perf_run *run, const char *what, uint64_t page, int err);

/* What page holds in its latest version: nothing that compresses or is the same anywhere else. */
void perf_write_content(const struct perf_worker *w, void *memory, uint32_t page);
/* run->failed if it does not. */
void perf_check_content(struct perf_worker *w, const void *memory, uint32_t page);

/* Put all pages; returns when all lie with donors. 0 or a negative errno. */
int perf_fill(struct perf_run *run);
/* Returns when none of what was put lies here. 0, or -ENOSPC after a minute. */
int perf_wait_remote(struct perf_run *run);
/* Warm up, measure, wait for the end. run->failed tells how it went. */
void perf_measure(struct perf_run *run);
/* Get every page once and compare; run->failed as above. */
void perf_verify_all(struct perf_run *run);

/*
 * Make far memory and write all its pages. 0 or a negative errno. The run's workers need
 * nothing but their versions.
 */
int perf_far_open(struct perf_run *run);
void perf_far_close(struct perf_run *run);

/*
 * Make memory that swap can take, and write all its pages; workers as above. 0 or a negative
 * errno: -ENODEV: no swap is on; -ENOSYS: this kernel's pages are not of test->page_bytes.
 */
int perf_swap_open(struct perf_run *run);
void perf_swap_close(struct perf_run *run);
/* Push a thread's pages out, but for a tenth. Not timed. run->failed if they do not go. */
void perf_swap_out(struct perf_worker *w);
#define PERF_SWAP_NAMES 256
/* The devices and files that are swapped to, for people; "" if there is none. */
void perf_swap_names(char *names, size_t size);
/* How many pages the kernel brings at once. */
int perf_swap_readahead(void);

/* Give each worker its part of memory, and write all pages. */
void perf_touch_write(struct perf_run *run, uint8_t *memory);
/* Read every page once. */
void perf_touch_all(struct perf_run *run);
/* Touch pages at random until count of them have had to be brought. */
void perf_touch_run(struct perf_worker *w, uint64_t count, bool counted);

void perf_print_what(const struct perf_run *run);
void perf_print_result(const struct perf_run *run);
/* 0 or a negative errno. */
int perf_write_json(const struct perf_run *run);
/* A line that overwrites itself, where the output is a terminal. */
void perf_progress(const struct perf_run *run, double seconds, uint64_t ops);
void perf_progress_end(void);

#endif /* PERF_H */
