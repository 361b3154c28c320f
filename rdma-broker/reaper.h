/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * reaper.h - a thread for the one call that may block for good.
 *
 * Destroying a connection's CM id waits for the answers to its messages, and
 * where the device does not send any more (rxe, after its link was down) for
 * ever. All other clients would be lost with it, so nobody waits for that here.
 */
#ifndef RMB_REAPER_H
#define RMB_REAPER_H

#include <stdbool.h>
#include <stdint.h>

struct rmb_reaper;

/* NULL: errno. */
struct rmb_reaper *rmb_reaper_create(void);
/* Have the thread call end(what), after those that were given before. Without memory: at once, here. */
void rmb_reaper_give(struct rmb_reaper *reaper, void (*end)(void *what), void *what);
/*
 * Wait until all is done, for timeout_s seconds at most, and free the reaper. False: some call
 * still blocks, and what it needs must stay until the process ends.
 */
bool rmb_reaper_destroy(struct rmb_reaper *reaper, uint32_t timeout_s);

#endif /* RMB_REAPER_H */
