// SPDX-License-Identifier: GPL-2.0-only
/*
 * The numbers are RAMster's (drivers/staging/zcache, Linux 3.10): every five
 * seconds a twentieth of what is left, once it was calm three times in a row.
 * It took "nobody swapped" for calm; PSI knows.
 */
#include "repatriate.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "host.h"
#include "log.h"

#define PRESSURE "/proc/pressure/memory"
#define PAGES	 "/sys/block/ramster0/ramster/frontswap_pages"

/* It is calm when tasks waited for memory less than this part of the time. */
#define CALM_PART 1000
#define INERTIA	  3
#define SLOWNESS  20
/* A step brings so many pages home: enough to end some time, and to end soon. */
#define STEP_MIN 64
#define STEP_MAX 2048
/* This part of the memory stays free: what is brought home should not have to go again. */
#define FREE_PART 4

#define STACK_BYTES (128 * 1024) /* all memory of the process is locked */

struct rmb_repatriate {
	pthread_t thread;
	int stop; /* eventfd */
	uint32_t interval_ms;
};

uint64_t rmb_repatriate_step(struct rmb_repatriate_state *state,
			     const struct rmb_repatriate_sample *s)
{
	uint64_t step = s->pages / SLOWNESS, spare;

	if (s->stalled_us > s->interval_us / CALM_PART) {
		state->calm = 0;
		return s->pages;
	}
	if (state->calm < INERTIA)
		state->calm++;
	if (state->calm < INERTIA || s->available <= s->total / FREE_PART)
		return s->pages;
	spare = s->available - s->total / FREE_PART;
	if (step < STEP_MIN)
		step = STEP_MIN;
	if (step > STEP_MAX)
		step = STEP_MAX;
	if (step > spare)
		step = spare;
	return step < s->pages ? s->pages - step : 0;
}

bool rmb_repatriate_parse(const char *text, uint64_t *stalled_us)
{
	const char *some = strncmp(text, "some ", 5) ? NULL : strstr(text, " total=");
	const char *end = strchr(text, '\n');

	return some && (!end || some < end) && sscanf(some, " total=%" SCNu64, stalled_us) == 1;
}

static bool read_text(const char *path, char *text, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return false;
	got = read(fd, text, len - 1);
	close(fd);
	if (got <= 0)
		return false;
	text[got] = '\0';
	return true;
}

static bool read_pages(uint64_t *pages)
{
	char text[32];

	return read_text(PAGES, text, sizeof(text)) && sscanf(text, "%" SCNu64, pages) == 1;
}

static bool read_stalled(uint64_t *stalled_us)
{
	char text[256];

	return read_text(PRESSURE, text, sizeof(text)) && rmb_repatriate_parse(text, stalled_us);
}

/* Said once: it will be so the next time, too. */
static void complain(int err)
{
	static bool said;

	if (!said)
		rmb_log(LOG_WARNING,
			"cannot bring swapped pages home: " PAGES
			": %s (ReadWritePaths= of the unit?)",
			strerror(err));
	said = true;
}

/* The kernel returns when as many pages are home as it found memory for. */
static void leave(uint64_t target)
{
	char text[24];
	int fd = open(PAGES, O_WRONLY | O_CLOEXEC);
	int len = snprintf(text, sizeof(text), "%" PRIu64, target);

	if (fd < 0) {
		if (errno != ENOENT) /* the module is just being unloaded */
			complain(errno);
		return;
	}
	if (write(fd, text, (size_t)len) != len)
		rmb_log_limited(LOG_WARNING, "cannot bring swapped pages home: %s",
				strerror(errno));
	close(fd);
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* What a step itself stalls is not pressure: each sample begins after the step before it. */
struct since {
	uint64_t us, stalled_us;
	bool valid;
};

static void look(struct rmb_repatriate_state *state, struct since *last)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct rmb_repatriate_sample s = { 0 };
	uint64_t stalled, target;

	if (!read_pages(&s.pages) || !s.pages || !read_stalled(&stalled)) {
		*last = (struct since){ 0 };
		return;
	}
	s.available = rmb_host_mem_available() / page;
	s.total = rmb_host_mem_total() / page;
	s.interval_us = now_us() - last->us;
	s.stalled_us = stalled - last->stalled_us;
	target = last->valid ? rmb_repatriate_step(state, &s) : s.pages;
	if (target < s.pages)
		leave(target);
	last->us = now_us();
	last->valid = read_stalled(&last->stalled_us);
}

static void *run(void *opaque)
{
	struct rmb_repatriate *r = opaque;
	struct rmb_repatriate_state state = { 0 };
	struct since last = { 0 };
	struct pollfd stop = { .fd = r->stop, .events = POLLIN };

	while (!poll(&stop, 1, (int)r->interval_ms))
		look(&state, &last);
	return NULL;
}

struct rmb_repatriate *rmb_repatriate_start(uint32_t interval_ms)
{
	struct rmb_repatriate *r = calloc(1, sizeof(*r));
	pthread_attr_t attr;
	int err = ENOMEM;

	if (!r)
		return NULL;
	r->interval_ms = interval_ms;
	r->stop = eventfd(0, EFD_CLOEXEC);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (r->stop >= 0)
		err = pthread_create(&r->thread, &attr, run, r);
	pthread_attr_destroy(&attr);
	if (!err)
		return r;
	rmb_log(LOG_WARNING, "swapped pages do not come home by themselves: %s", strerror(err));
	if (r->stop >= 0)
		close(r->stop);
	free(r);
	return NULL;
}

void rmb_repatriate_stop(struct rmb_repatriate *r)
{
	if (!r)
		return;
	if (!eventfd_write(r->stop, 1))
		pthread_join(r->thread, NULL);
	close(r->stop);
	free(r);
}
