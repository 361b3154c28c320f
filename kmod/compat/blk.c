// SPDX-License-Identifier: GPL-2.0-only
/*
 * blk.c - make and unmake a disk on 5.10 to 7.2.
 *
 * Limits were set on the queue after its making until 6.8, and are given to it
 * since. Before 5.14 disk and queue were made, and are unmade, apart.
 */
#include <linux/blkdev.h>
#include <linux/err.h>
#include <linux/sizes.h>

#include "blk.h"

/* The newest kernel that the tests have seen is 7.2. A note, not a warning: it may well work. */
#if !RMK_KERNEL_BEFORE(7, 3)
#pragma message("this kernel is newer than those ramster_rdma was tested on")
#endif

#if !RMK_KERNEL_BEFORE(6, 9)

static struct gendisk *alloc_disk_and_queue(const struct rmk_blk_limits *limits)
{
	struct queue_limits lim = {
		.logical_block_size = limits->block_bytes,
		.physical_block_size = limits->block_bytes,
		.io_min = limits->block_bytes,
		.io_opt = limits->max_bytes,
		.max_hw_sectors = limits->max_bytes >> SECTOR_SHIFT,
		.max_segments = limits->max_segments,
		.max_segment_size = limits->max_bytes,
		.max_hw_discard_sectors = limits->max_discard_bytes >> SECTOR_SHIFT,
		.max_write_zeroes_sectors = limits->max_discard_bytes >> SECTOR_SHIFT,
		.discard_granularity = limits->block_bytes,
		.dma_alignment = limits->dma_alignment,
#ifdef BLK_FEAT_SYNCHRONOUS
		.features = BLK_FEAT_STABLE_WRITES | BLK_FEAT_NOWAIT | BLK_FEAT_IO_STAT |
			    (limits->synchronous ? BLK_FEAT_SYNCHRONOUS : 0),
#endif
	};

	return blk_alloc_disk(&lim, NUMA_NO_NODE);
}

#else

static void set_limits(struct request_queue *q, const struct rmk_blk_limits *limits)
{
	blk_queue_logical_block_size(q, limits->block_bytes);
	blk_queue_physical_block_size(q, limits->block_bytes);
	blk_queue_io_min(q, limits->block_bytes);
	blk_queue_io_opt(q, limits->max_bytes);
	blk_queue_max_hw_sectors(q, limits->max_bytes >> SECTOR_SHIFT);
	blk_queue_max_segments(q, limits->max_segments);
	blk_queue_max_segment_size(q, limits->max_bytes);
	blk_queue_dma_alignment(q, limits->dma_alignment);
	blk_queue_max_discard_sectors(q, limits->max_discard_bytes >> SECTOR_SHIFT);
	blk_queue_max_write_zeroes_sectors(q, limits->max_discard_bytes >> SECTOR_SHIFT);
	q->limits.discard_granularity = limits->block_bytes;
#ifdef QUEUE_FLAG_DISCARD
	blk_queue_flag_set(QUEUE_FLAG_DISCARD, q);
#endif
#ifdef QUEUE_FLAG_SYNCHRONOUS
	if (limits->synchronous)
		blk_queue_flag_set(QUEUE_FLAG_SYNCHRONOUS, q);
#endif
}

#ifdef blk_alloc_disk

static struct gendisk *alloc_disk_and_queue(const struct rmk_blk_limits *limits)
{
	struct gendisk *disk = blk_alloc_disk(NUMA_NO_NODE);

	if (!disk)
		return ERR_PTR(-ENOMEM);
	set_limits(disk->queue, limits);
	return disk;
}

#else

static struct gendisk *alloc_disk_and_queue(const struct rmk_blk_limits *limits)
{
	struct request_queue *q = blk_alloc_queue(NUMA_NO_NODE);
	struct gendisk *disk;

	if (!q)
		return ERR_PTR(-ENOMEM);
	disk = alloc_disk_node(0, NUMA_NO_NODE);
	if (!disk) {
		blk_cleanup_queue(q);
		return ERR_PTR(-ENOMEM);
	}
	disk->queue = q;
	disk->flags |= GENHD_FL_EXT_DEVT;
	set_limits(q, limits);
	return disk;
}

#endif /* blk_alloc_disk */
#endif /* 6.9 */

struct gendisk *rmk_blk_alloc_disk(const struct rmk_blk_limits *limits)
{
	struct gendisk *disk = alloc_disk_and_queue(limits);

	if (IS_ERR(disk))
		return disk;
#ifdef GENHD_FL_NO_PART_SCAN
	disk->flags |= GENHD_FL_NO_PART_SCAN;
#else
	disk->flags |= GENHD_FL_NO_PART;
#endif
	/* later kernels take every disk for one unless told otherwise */
#ifdef QUEUE_FLAG_NONROT
	blk_queue_flag_set(QUEUE_FLAG_NONROT, disk->queue);
#endif
#ifdef QUEUE_FLAG_NOWAIT
	blk_queue_flag_set(QUEUE_FLAG_NOWAIT, disk->queue);
#endif
#ifdef QUEUE_FLAG_STABLE_WRITES
	blk_queue_flag_set(QUEUE_FLAG_STABLE_WRITES, disk->queue);
#endif
	return disk;
}

int rmk_blk_add_disk(struct gendisk *disk, const struct attribute_group **groups)
{
#if !RMK_KERNEL_BEFORE(5, 15)
	return device_add_disk(NULL, disk, groups);
#else
	device_add_disk(NULL, disk, groups);
	return 0;
#endif
}

void rmk_blk_del_disk(struct gendisk *disk)
{
	del_gendisk(disk);
#if RMK_KERNEL_BEFORE(6, 0)
	/* whoever still has the disk open could submit until now */
	blk_cleanup_queue(disk->queue);
#endif
}

void rmk_blk_put_disk(struct gendisk *disk)
{
#if RMK_KERNEL_BEFORE(6, 0)
	/* the queue is still up if the disk was never added */
	if (!blk_queue_dying(disk->queue)) {
		blk_cleanup_queue(disk->queue);
#ifndef blk_alloc_disk
		/* and the disk holds a reference to its queue only once added */
		disk->queue = NULL;
#endif
	}
#endif
	put_disk(disk);
}
