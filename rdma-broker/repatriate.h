/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * repatriate.h - when this machine borrows too, and has memory to spare again:
 * bring home what frontswap holds with donors, a little at a time.
 *
 * The swap code brings a page home when it is used; a page that is not used
 * stays with its donor for ever. Pressure Stall Information says when memory
 * is no longer short.
 */
#ifndef RMB_REPATRIATE_H
#define RMB_REPATRIATE_H

#include <stdbool.h>
#include <stdint.h>

/* What is known at one moment. */
struct rmb_repatriate_sample {
	uint64_t stalled_us;  /* that some task waited for memory, since the last sample */
	uint64_t interval_us; /* since the last sample */
	uint64_t pages;	      /* that frontswap holds */
	uint64_t available;   /* pages of memory to be had without swapping */
	uint64_t total;	      /* pages of memory */
};

struct rmb_repatriate_state {
	uint32_t calm; /* samples without pressure, in a row */
};

/*
 * How many pages to leave with the donors now: sample->pages means leave them
 * alone. Pure; the rules are in repatriate.c.
 */
uint64_t rmb_repatriate_step(struct rmb_repatriate_state *state,
			     const struct rmb_repatriate_sample *sample);

/* The "total=" of the line "some" of /proc/pressure/memory, in microseconds. False: not there. */
bool rmb_repatriate_parse(const char *text, uint64_t *stalled_us);

struct rmb_repatriate;

/*
 * Start a thread that looks every interval_ms. Does nothing while there is no
 * frontswap of ours, or no PSI. NULL: no thread is to be had.
 */
struct rmb_repatriate *rmb_repatriate_start(uint32_t interval_ms);
/* Waits for the step under way: a second at most, usually. */
void rmb_repatriate_stop(struct rmb_repatriate *r);

#endif /* RMB_REPATRIATE_H */
