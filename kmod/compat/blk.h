/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * blk.h - the block layer's calls that differ between 5.10 and 7.2.
 */
#ifndef RMK_COMPAT_BLK_H
#define RMK_COMPAT_BLK_H

#include <linux/blkdev.h>
#include <linux/blk-mq.h>

struct rmk_blk_limits {
	u32 block_bytes;		/* logical and physical block size, also io_min */
	u32 max_bytes;			/* largest read or write, also io_opt */
	u32 max_discard_bytes;
	u16 max_segments;
	u32 dma_alignment;		/* mask: a segment starts at a multiple of mask + 1 */
	bool synchronous;		/* swap in and out without the swap cache's readahead, where the kernel can */
};

/*
 * A non-rotational disk over set with discard and no partitions; ERR_PTR on
 * failure. It asks for stable pages: the checksum is taken before the wire
 * reads the page, so nobody may change it in between.
 */
struct gendisk *rmk_blk_alloc_disk(struct blk_mq_tag_set *set, void *queuedata,
				   const struct rmk_blk_limits *limits);
/* Make it visible, with these sysfs groups beside the kernel's own. */
int rmk_blk_add_disk(struct gendisk *disk, const struct attribute_group **groups);
/* Undo add_disk: no I/O comes any more. The disk stays allocated. */
void rmk_blk_del_disk(struct gendisk *disk);
/* Undo alloc_disk. */
void rmk_blk_put_disk(struct gendisk *disk);

#endif /* RMK_COMPAT_BLK_H */
