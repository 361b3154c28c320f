/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * util.h - time, logs, threads that work when kicked.
 */
#ifndef RMR_UTIL_H
#define RMR_UTIL_H

#include <pthread.h>

#include "../core/port.h"

/* Of CLOCK_MONOTONIC. A system call in some virtual machines: not for every page. */
u64 rmr_now_ms(void);
u64 rmr_now_us(void);

struct rmr_log {
	void (*line)(void *arg, int level, const char *line); /* or NULL */
	void *arg;
};

void rmr_log(const struct rmr_log *log, int level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A thread that blocks all signals: they are the program's. 0 or a negative errno. */
int rmr_thread_start(pthread_t *thread, void *(*run)(void *), void *arg);

/* A condition variable whose time-outs are of CLOCK_MONOTONIC. */
void rmr_cond_init(pthread_cond_t *cond);
/* Wait until woken or deadline_ms; false when that has passed. */
bool rmr_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, u64 deadline_ms);

/* A thread that takes a turn when kicked and when the time has come. */
struct rmr_worker {
	u32 (*turn)(void *arg); /* returns in how many ms the next one is due */
	void *arg;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	bool kicked, stopping;
};

void rmr_worker_init(struct rmr_worker *w, u32 (*turn)(void *), void *arg);
void rmr_worker_uninit(struct rmr_worker *w);
int rmr_worker_start(struct rmr_worker *w);
/* On return the last turn is over. */
void rmr_worker_stop(struct rmr_worker *w);
/* Between init and uninit, whether it runs or not. */
void rmr_worker_kick(struct rmr_worker *w);

#endif /* RMR_UTIL_H */
