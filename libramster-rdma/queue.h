/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * queue.h - what the library itself does with queues beyond what programs may.
 */
#ifndef RMR_QUEUE_H
#define RMR_QUEUE_H

#include <stdbool.h>

#include "../include/ramster/ramster_rdma.h"

/*
 * As rmr_queue_poll(), until something has ended, poll_us has passed, or look(), if there is
 * one, says that it has found other work (-EINTR); it is asked every few polls. 0 at once
 * where polling has been in vain lately, or poll_us is 0.
 */
int rmr_queue_spin(struct rmr_queue *q, struct rmr_done *done, int max, bool (*look)(void *arg),
		   void *arg);

#endif /* RMR_QUEUE_H */
