/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * poll.h - when to wait on the spot for a read, instead of going to sleep.
 *
 * Going to sleep and being woken costs as much as a fast wire does. So a lone
 * read is waited for, while no other task wants the CPU (it may be about to
 * read too), for poll_us at most, and not where reads take longer anyway.
 */
#ifndef RMK_POLL_H
#define RMK_POLL_H

#include <linux/atomic.h>
#include <linux/types.h>

struct completion;

struct rmk_poll {
	atomic_t reading; /* reads under way */
	u32 read_ns;	  /* what a read takes, moving average over 8; racy by design */
};

/* Around each read; ns: how long it took. Any context. */
static inline void rmk_poll_begin(struct rmk_poll *p)
{
	atomic_inc(&p->reading);
}

void rmk_poll_end(struct rmk_poll *p, u64 ns);

/*
 * Wait for a read that began at start, on the spot or asleep. It ends by
 * itself, or when the session gives up on the donor.
 */
void rmk_poll_wait(const struct rmk_poll *p, struct completion *done, u64 start);

/* Ask before each look at whether the read has ended. start: ktime_get_ns() of its begin. */
bool rmk_poll_on(const struct rmk_poll *p, u64 start);

#endif /* RMK_POLL_H */
