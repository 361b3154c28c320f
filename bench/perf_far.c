// SPDX-License-Identifier: GPL-2.0-only
/* perf_far.c - ramster-perf far: the memory whose pages are touched. */
#include "perf.h"

#include <errno.h>

int perf_far_open(struct perf_run *run)
{
	const struct perf_test *test = run->test;
	int err;

	err = rmr_far_create(run->fabric, run->pages * test->page_bytes * test->threads,
			     test->limit, NULL, &run->far);
	if (err)
		return err;
	perf_touch_write(run, rmr_far_addr(run->far));
	perf_touch_all(run); /* so that none that is here was written since it came */
	return atomic_load(&run->stop) ? -EINTR : perf_wait_remote(run);
}

void perf_far_close(struct perf_run *run)
{
	if (run->far)
		rmr_far_destroy(run->far);
}
