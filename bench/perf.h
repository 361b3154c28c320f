/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * perf.h - the parts of ramster-perf:
 *
 *   perf.c        arguments -> struct perf_test; the fabric, the course of a run
 *   perf_run.c    the threads that put and get
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
	bool put, latency;
	char *donors;		      /* for rmr_open() */
	uint64_t page_bytes, memory;  /* of a page; of all pages of all threads */
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
	uint8_t *memory;   /* depth pages */
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

/* Seconds since any moment. */
double perf_seconds(void);

/* Put all pages; returns when all lie with donors. 0 or a negative errno. */
int perf_fill(struct perf_run *run);
/* Warm up, measure, wait for the end. run->failed tells how it went. */
void perf_measure(struct perf_run *run);
/* Get every page once and compare; run->failed as above. */
void perf_verify_all(struct perf_run *run);

void perf_print_what(const struct perf_run *run);
void perf_print_result(const struct perf_run *run);
/* 0 or a negative errno. */
int perf_write_json(const struct perf_run *run);
/* A line that overwrites itself, where the output is a terminal. */
void perf_progress(const struct perf_run *run, double seconds, uint64_t ops);
void perf_progress_end(void);

#endif /* PERF_H */
