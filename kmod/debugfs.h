/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * debugfs.h - /sys/kernel/debug/ramster/: latency histograms.
 * docs/statistics.md describes them.
 */
#ifndef RMK_DEBUGFS_H
#define RMK_DEBUGFS_H

#include "stats.h"

/* stats must stay until rmk_debugfs_exit(). Without debugfs nothing happens. May sleep. */
void rmk_debugfs_init(struct rmk_stats __percpu *stats);
void rmk_debugfs_exit(void);

#endif /* RMK_DEBUGFS_H */
