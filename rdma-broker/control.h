/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * control.h - the unix socket of the operator. Root, the daemon's own user and
 * the configured group may use it. A line in, a line out, in order; a revoke
 * that waits gets a line per slab or share as it comes back, then one with "done".
 */
#ifndef RMB_CONTROL_H
#define RMB_CONTROL_H

#include <stdint.h>

struct rmb_control;
struct rmb_daemon;

/* NULL: said why. */
struct rmb_control *rmb_control_create(struct rmb_daemon *daemon);
void rmb_control_destroy(struct rmb_control *control);
/* The fate of a slab or (not NULL) a share that was asked back, for those who wait. */
void rmb_control_ended(struct rmb_control *control, uint64_t id, const char *share, uint64_t bytes,
		       const char *outcome);

#endif /* RMB_CONTROL_H */
