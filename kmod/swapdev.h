/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * swapdev.h - the block device front: /dev/ramster0.
 */
#ifndef RMK_SWAPDEV_H
#define RMK_SWAPDEV_H

#include <linux/types.h>
#include <linux/sysfs.h>

#include "store.h"

struct gendisk;
struct rmk_swapdev;

/*
 * A disk over npages of store's from first on, visible at once. name is
 * "ramsterN". May sleep. ERR_PTR on failure.
 */
struct rmk_swapdev *rmk_swapdev_create(struct rmk_store *store, u32 first, u64 npages,
				       const char *name, const struct attribute_group **groups);
/* Try again what waited for a connection. Any context. */
void rmk_swapdev_changed(struct rmk_swapdev *d);
/*
 * Waits until the I/O under way is done; every bio ends by itself within the
 * sessions' time-outs.
 */
void rmk_swapdev_destroy(struct rmk_swapdev *d);

const struct gendisk *rmk_swapdev_disk(const struct rmk_swapdev *d);

/* The store behind a gendisk's device, for sysfs. */
struct rmk_store *rmk_swapdev_store(struct device *dev);

#endif /* RMK_SWAPDEV_H */
