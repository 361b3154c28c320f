/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * blk.h - the block layer's calls that differ between 5.10 and 7.2.
 */
#ifndef RMK_COMPAT_BLK_H
#define RMK_COMPAT_BLK_H

#include <linux/blkdev.h>
#include <linux/blk-mq.h>

#include "version.h"

#if RMK_KERNEL_BEFORE(5, 18)
#include <linux/genhd.h>
#endif

/* Flags of struct blk_mq_tag_set that became what every queue does, or went. */
#if RMK_KERNEL_BEFORE(6, 14)
#define RMK_BLK_MQ_F_SHOULD_MERGE BLK_MQ_F_SHOULD_MERGE
#define RMK_BLK_MQ_F_NO_SCHED	  BLK_MQ_F_NO_SCHED
#else
#define RMK_BLK_MQ_F_SHOULD_MERGE 0
#define RMK_BLK_MQ_F_NO_SCHED	  BLK_MQ_F_NO_SCHED_BY_DEFAULT
#endif

/* The type of init_request's last parameter, the NUMA node. */
#if RMK_KERNEL_BEFORE(7, 0)
typedef unsigned int rmk_blk_node_t;
#else
typedef int rmk_blk_node_t;
#endif

struct rmk_blk_limits {
	u32 block_bytes; /* logical and physical block size, also io_min */
	u32 max_bytes;	 /* largest read or write, also io_opt */
	u32 max_discard_bytes;
	u16 max_segments;  /* each physically contiguous, at most max_bytes long */
	u32 dma_alignment; /* mask: a segment starts at a multiple of mask + 1 */
	/* swap in and out without the swap cache's readahead, where the kernel can (6.3) */
	bool synchronous;
};

/* Define the open operation name out of body(disk), which returns 0 or -errno. */
#if RMK_KERNEL_BEFORE(6, 5)
#define RMK_BLK_DEFINE_OPEN(name, body)                          \
	static int name(struct block_device *bdev, fmode_t mode) \
	{                                                        \
		return body(bdev->bd_disk);                      \
	}
#else
#define RMK_BLK_DEFINE_OPEN(name, body)                        \
	static int name(struct gendisk *disk, blk_mode_t mode) \
	{                                                      \
		return body(disk);                             \
	}
#endif

/*
 * A non-rotational disk over set with discard and no partitions; ERR_PTR on
 * failure. It asks for stable pages: the checksum is taken before the wire
 * reads the page, so nobody may change it in between. The caller sets its name,
 * fops, private_data and capacity, and leaves the device number to the kernel.
 * May sleep.
 */
struct gendisk *rmk_blk_alloc_disk(struct blk_mq_tag_set *set, void *queuedata,
				   const struct rmk_blk_limits *limits);
/* Make it visible, with these sysfs groups beside the kernel's own. May sleep. */
int rmk_blk_add_disk(struct gendisk *disk, const struct attribute_group **groups);
/*
 * Undo add_disk: waits for the requests that were submitted; no I/O comes any
 * more. The disk stays allocated. May sleep.
 */
void rmk_blk_del_disk(struct gendisk *disk);
/* Undo alloc_disk, added or not. The tag set may be freed after it. May sleep. */
void rmk_blk_put_disk(struct gendisk *disk);

#endif /* RMK_COMPAT_BLK_H */
