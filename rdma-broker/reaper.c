// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lock: rmb_reaper.lock guards the jobs and the end; it is not held during a call.
 */
#include "reaper.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <time.h>

/* Locked in memory, as all of the daemon: no more than such a call needs, sanitizers included. */
#define STACK_BYTES (512 * 1024)

struct job {
	void (*end)(void *what);
	void *what;
	STAILQ_ENTRY(job) link;
};

struct rmb_reaper {
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	STAILQ_HEAD(, job) jobs;
	bool stopping, stopped;
};

static void *reap(void *opaque)
{
	struct rmb_reaper *reaper = opaque;
	struct job *job;

	pthread_mutex_lock(&reaper->lock);
	for (;;) {
		job = STAILQ_FIRST(&reaper->jobs);
		if (!job && reaper->stopping)
			break;
		if (!job) {
			pthread_cond_wait(&reaper->changed, &reaper->lock);
			continue;
		}
		STAILQ_REMOVE_HEAD(&reaper->jobs, link);
		pthread_mutex_unlock(&reaper->lock);
		job->end(job->what);
		free(job);
		pthread_mutex_lock(&reaper->lock);
	}
	reaper->stopped = true;
	pthread_cond_broadcast(&reaper->changed);
	pthread_mutex_unlock(&reaper->lock);
	return NULL;
}

static int start(struct rmb_reaper *reaper)
{
	pthread_condattr_t clock;
	pthread_attr_t attr;
	int err;

	STAILQ_INIT(&reaper->jobs);
	pthread_mutex_init(&reaper->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&reaper->changed, &clock);
	pthread_condattr_destroy(&clock);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	err = pthread_create(&reaper->thread, &attr, reap, reaper);
	pthread_attr_destroy(&attr);
	return err;
}

static void reaper_free(struct rmb_reaper *reaper)
{
	pthread_cond_destroy(&reaper->changed);
	pthread_mutex_destroy(&reaper->lock);
	free(reaper);
}

struct rmb_reaper *rmb_reaper_create(void)
{
	struct rmb_reaper *reaper = calloc(1, sizeof(*reaper));
	int err;

	if (!reaper)
		return NULL;
	err = start(reaper);
	if (!err)
		return reaper;
	reaper_free(reaper);
	errno = err;
	return NULL;
}

void rmb_reaper_give(struct rmb_reaper *reaper, void (*end)(void *what), void *what)
{
	struct job *job = malloc(sizeof(*job));

	if (!job) {
		end(what);
		return;
	}
	job->end = end;
	job->what = what;
	pthread_mutex_lock(&reaper->lock);
	STAILQ_INSERT_TAIL(&reaper->jobs, job, link);
	pthread_cond_broadcast(&reaper->changed);
	pthread_mutex_unlock(&reaper->lock);
}

bool rmb_reaper_destroy(struct rmb_reaper *reaper, uint32_t timeout_s)
{
	struct timespec until;
	bool stopped;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_s;
	pthread_mutex_lock(&reaper->lock);
	reaper->stopping = true;
	pthread_cond_broadcast(&reaper->changed);
	while (!reaper->stopped)
		if (pthread_cond_timedwait(&reaper->changed, &reaper->lock, &until) == ETIMEDOUT)
			break;
	stopped = reaper->stopped;
	pthread_mutex_unlock(&reaper->lock);
	if (!stopped)
		return false;
	pthread_join(reaper->thread, NULL);
	reaper_free(reaper);
	return true;
}
