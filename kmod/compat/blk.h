/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * blk.h - the block layer's calls that differ between 5.10 and 7.2.
 */
#ifndef RMK_COMPAT_BLK_H
#define RMK_COMPAT_BLK_H

#include <linux/bio.h>
#include <linux/blkdev.h>

#include "version.h"

#if RMK_KERNEL_BEFORE(5, 18)
#include <linux/genhd.h>
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

/* Define the submit_bio operation name out of body(bio), which returns nothing. */
#if RMK_KERNEL_BEFORE(5, 16)
#define RMK_BLK_DEFINE_SUBMIT(name, body)     \
	static blk_qc_t name(struct bio *bio) \
	{                                     \
		body(bio);                    \
		return BLK_QC_T_NONE;         \
	}
#else
#define RMK_BLK_DEFINE_SUBMIT(name, body) \
	static void name(struct bio *bio) \
	{                                 \
		body(bio);                \
	}
#endif

static inline struct gendisk *rmk_blk_bio_disk(const struct bio *bio)
{
#if RMK_KERNEL_BEFORE(5, 12)
	return bio->bi_disk;
#else
	return bio->bi_bdev->bd_disk;
#endif
}

/*
 * The first part of bio that keeps the queue's limits; the rest is submitted
 * again. NULL: it has been ended with an error. May sleep.
 */
static inline struct bio *rmk_blk_split(struct bio *bio)
{
#if RMK_KERNEL_BEFORE(6, 0)
	blk_queue_split(&bio);
	return bio;
#else
	return bio_split_to_limits(bio);
#endif
}

/*
 * A non-rotational disk that takes bios, with discard and no partitions; ERR_PTR
 * on failure. Its submit_bio obeys REQ_NOWAIT. It asks for stable pages: the
 * checksum is taken before the wire reads the page, so nobody may change it in
 * between. The caller sets its name, fops, private_data and capacity, and leaves
 * the device number to the kernel. May sleep.
 */
struct gendisk *rmk_blk_alloc_disk(const struct rmk_blk_limits *limits);
/* Make it visible, with these sysfs groups beside the kernel's own. May sleep. */
int rmk_blk_add_disk(struct gendisk *disk, const struct attribute_group **groups);
/*
 * Undo add_disk: no bio comes any more; what has come may be under way still.
 * The disk stays allocated. May sleep.
 */
void rmk_blk_del_disk(struct gendisk *disk);
/* Undo alloc_disk, added or not. May sleep. */
void rmk_blk_put_disk(struct gendisk *disk);

#endif /* RMK_COMPAT_BLK_H */
