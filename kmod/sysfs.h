/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sysfs.h - /sys/block/ramsterN/ramster/: statistics and what may be changed.
 * docs/statistics.md describes every file.
 */
#ifndef RMK_SYSFS_H
#define RMK_SYSFS_H

#include <linux/sysfs.h>

extern const struct attribute_group *rmk_sysfs_groups[];

#endif /* RMK_SYSFS_H */
