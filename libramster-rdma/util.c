// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
#include "util.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

u64 rmr_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000 + (u64)ts.tv_nsec / 1000;
}

u64 rmr_now_ms(void)
{
	return rmr_now_us() / 1000;
}

void rmr_log(const struct rmr_log *log, int level, const char *format, ...)
{
	char line[256];
	va_list args;

	if (!log->line)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	log->line(log->arg, level, line);
}

int rmr_thread_start(pthread_t *thread, void *(*run)(void *), void *arg)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

void rmr_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

bool rmr_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, u64 deadline_ms)
{
	struct timespec ts = {
		.tv_sec = (time_t)(deadline_ms / 1000),
		.tv_nsec = (long)(deadline_ms % 1000 * 1000000),
	};

	return !pthread_cond_timedwait(cond, lock, &ts) || rmr_now_ms() < deadline_ms;
}

static void *worker_run(void *arg)
{
	struct rmr_worker *w = arg;
	u64 due = 0;

	pthread_mutex_lock(&w->lock);
	while (!w->stopping) {
		if (!w->kicked && rmr_now_ms() < due) {
			rmr_cond_wait(&w->wake, &w->lock, due);
			continue;
		}
		w->kicked = false;
		pthread_mutex_unlock(&w->lock);
		due = rmr_now_ms() + w->turn(w->arg);
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

void rmr_worker_init(struct rmr_worker *w, u32 (*turn)(void *), void *arg)
{
	w->turn = turn;
	w->arg = arg;
	w->kicked = false;
	w->stopping = false;
	pthread_mutex_init(&w->lock, NULL);
	rmr_cond_init(&w->wake);
}

int rmr_worker_start(struct rmr_worker *w)
{
	return rmr_thread_start(&w->thread, worker_run, w);
}

void rmr_worker_kick(struct rmr_worker *w)
{
	pthread_mutex_lock(&w->lock);
	if (!w->kicked) {
		w->kicked = true;
		pthread_cond_signal(&w->wake);
	}
	pthread_mutex_unlock(&w->lock);
}

void rmr_worker_stop(struct rmr_worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
}

void rmr_worker_uninit(struct rmr_worker *w)
{
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
}
