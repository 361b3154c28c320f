// SPDX-License-Identifier: GPL-2.0-only
/*
 * poll.c - when to wait on the spot.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sched/stat.h>

#include "poll.h"

static unsigned int poll_us = 60;
module_param(poll_us, uint, 0644);
MODULE_PARM_DESC(
	poll_us,
	"wait for a single swap-in or synchronous direct read this long before sleeping, in microseconds (default 60; 0: never; more than 10000 is as 10000)");
/* Who waits on the spot holds up RCU, and with it the end of a broken connection. */
#define MOST_POLL_US 10000u

void rmk_poll_end(struct rmk_poll *p, u64 ns)
{
	p->read_ns += ((s64)min_t(u64, ns, NSEC_PER_SEC) - (s64)p->read_ns) / 8;
	atomic_dec(&p->reading);
}

bool rmk_poll_on(const struct rmk_poll *p, u64 start)
{
	u64 limit = (u64)min(READ_ONCE(poll_us), MOST_POLL_US) * NSEC_PER_USEC;

	return atomic_read(&p->reading) == 1 && READ_ONCE(p->read_ns) <= limit &&
	       single_task_running() && ktime_get_ns() - start < limit;
}

void rmk_poll_wait(const struct rmk_poll *p, struct completion *done, u64 start)
{
	while (!completion_done(done) && rmk_poll_on(p, start))
		cpu_relax();
	while (!wait_for_completion_timeout(done, 30 * HZ))
		pr_warn_ratelimited("a read takes long\n");
}
