/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * host.h - what the daemon asks of its host: how much memory there is, and not
 * to be swapped out or shot itself.
 */
#ifndef RMB_HOST_H
#define RMB_HOST_H

#include <stdbool.h>
#include <stdint.h>

uint64_t rmb_host_mem_total(void);     /* bytes; 0 if /proc/meminfo cannot be read */
uint64_t rmb_host_mem_available(void); /* bytes; 0 as above */
uint64_t rmb_host_rss(void);	       /* this process, bytes */
bool rmb_host_numa_exists(int node);

/*
 * Prefer node for the pages of a mapping that has not been touched yet.
 * Preferred, not bound: a full node must not call the OOM killer.
 */
int rmb_host_numa_prefer(void *addr, uint64_t len, int node);

/*
 * Stay in RAM, last in the OOM killer's list, no limit on pinned memory, as many files as may
 * be. Says what it may not.
 */
void rmb_host_protect(void);

#endif /* RMB_HOST_H */
