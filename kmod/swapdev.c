// SPDX-License-Identifier: GPL-2.0-only
/*
 * swapdev.c - the disk whose blocks are the pages of a store.
 *
 * It takes bios as they come: a lone page fault has no use for a request
 * queue's merging, tags and clocks, nor a writer that goes to sleep for having
 * its page handed to a kernel thread. What one task submits in one plug is
 * gathered here into commands of pages side by side.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "command.h"
#include "compat/blk.h"
#include "compat/kernel.h"
#include "io.h"
#include "swapdev.h"

/* In flight per CPU, and in all. Each costs an io of some 6 KiB, allocated once. */
#define DEPTH	    128u
#define MAX_DEPTH   4096u
#define MAX_DISCARD (64u << 20)

struct rmk_swapdev {
	struct rmk_store *store;
	u64 npages;
	u32 first; /* number of the first page */
	struct gendisk *disk;
	struct rmk_commands *commands;
	atomic_t gatherings;
	wait_queue_head_t ungathered;
};

/* ---- bios ---- */

/* What a task has submitted since it plugged; the task alone touches it. */
struct gathering {
	struct blk_plug_cb cb;
	bool known;		 /* is counted */
	struct rmk_command *cmd; /* not run yet; may be NULL */
};

/*
 * The task goes to sleep, or has submitted all that it wanted to; long after
 * swapoff, perhaps. Under RCU: with the last gathering the module may go.
 */
static void unplug(struct blk_plug_cb *cb, bool from_schedule)
{
	struct gathering *g = container_of(cb, struct gathering, cb);
	struct rmk_swapdev *d = cb->data;

	rcu_read_lock();
	if (g->cmd)
		rmk_command_run(g->cmd);
	kfree(g);
	if (atomic_dec_and_test(&d->gatherings))
		wake_up(&d->ungathered);
	rcu_read_unlock();
}

/* NULL: the task has not plugged, or no memory is to be had on the spot. */
static struct gathering *gathering_of(struct rmk_swapdev *d)
{
	struct blk_plug_cb *cb = blk_check_plugged(unplug, d, sizeof(struct gathering));
	struct gathering *g = container_of(cb, struct gathering, cb);

	if (!cb)
		return NULL;
	if (!g->known) {
		g->known = true;
		atomic_inc(&d->gatherings);
	}
	return g;
}

static bool whole_pages(struct bio *bio)
{
	struct bvec_iter iter;
	struct bio_vec bv;

	bio_for_each_bvec(bv, bio, iter)
		if (!PAGE_ALIGNED(bv.bv_offset | bv.bv_len))
			return false;
	return true;
}

static void transfer(struct rmk_swapdev *d, struct bio *bio, u32 nr)
{
	struct gathering *g = gathering_of(d);
	struct rmk_command *cmd;

	if (!g || !g->cmd || !rmk_command_add(g->cmd, bio, nr)) {
		cmd = rmk_command_get(d->commands, bio, nr, !(bio->bi_opf & REQ_NOWAIT));
		if (!cmd) {
			bio_wouldblock_error(bio);
			return;
		}
		g = gathering_of(d); /* having slept unplugs */
		if (g)
			swap(g->cmd, cmd);
		if (cmd)
			rmk_command_run(cmd);
	}
	if (g && rmk_command_full(g->cmd)) {
		cmd = g->cmd;
		g->cmd = NULL;
		rmk_command_run(cmd);
	}
}

static void take_bio(struct bio *bio)
{
	struct rmk_swapdev *d = rmk_blk_bio_disk(bio)->private_data;
	u32 nr;

	bio = rmk_blk_split(bio);
	if (!bio)
		return;
	nr = d->first + (bio->bi_iter.bi_sector >> (PAGE_SHIFT - SECTOR_SHIFT));
	switch (bio_op(bio)) {
	case REQ_OP_READ:
	case REQ_OP_WRITE:
		if (whole_pages(bio)) {
			transfer(d, bio, nr);
			return;
		}
		pr_warn_once("refused I/O whose buffers are not page-aligned\n");
		bio->bi_status = BLK_STS_IOERR;
		break;
	case REQ_OP_DISCARD:
	case REQ_OP_WRITE_ZEROES:
		rmk_store_discard(d->store, nr, bio->bi_iter.bi_size >> PAGE_SHIFT);
		break;
	default:
		bio->bi_status = BLK_STS_NOTSUPP;
		break;
	}
	bio_endio(bio);
}

RMK_BLK_DEFINE_SUBMIT(submit, take_bio)

/* ---- the disk ---- */

/* mkswap, swapon or a filesystem: pages are about to come. */
static int on_open(struct gendisk *disk)
{
	struct rmk_swapdev *d = disk->private_data;

	rmk_remote_want(d->store->remote);
	return 0;
}

RMK_BLK_DEFINE_OPEN(dev_open, on_open)

/*
 * The swap code no longer needs the page. Often called under its locks with
 * interrupts off. 5.10 also calls it when a read completes, to save memory at
 * the price of writing the page again; that comes from softirq, where the
 * compressed tier must not be touched, and the slot is freed later anyway.
 */
static void slot_free(struct block_device *bdev, unsigned long nr)
{
	struct rmk_swapdev *d = bdev->bd_disk->private_data;

	nr += get_start_sect(bdev) >> (PAGE_SHIFT - SECTOR_SHIFT);
	if (in_task() && nr < d->npages)
		rmk_store_discard(d->store, d->first + nr, 1);
}

static const struct block_device_operations dev_ops = {
	.owner = THIS_MODULE,
	.submit_bio = submit,
	.open = dev_open,
	.swap_slot_free_notify = slot_free,
};

struct rmk_swapdev *rmk_swapdev_create(struct rmk_store *store, u32 first, u64 npages,
				       const char *name, const struct attribute_group **groups)
{
	static const struct rmk_blk_limits limits = {
		.block_bytes = PAGE_SIZE,
		.max_bytes = RMK_IO_PAGES * PAGE_SIZE,
		.max_discard_bytes = MAX_DISCARD,
		.max_segments = RMK_IO_PAGES,
		.dma_alignment = PAGE_SIZE - 1,
	};
	struct rmk_swapdev *d = kzalloc(sizeof(*d), GFP_KERNEL);
	int err;

	if (!d)
		return ERR_PTR(-ENOMEM);
	d->store = store;
	d->first = first;
	d->npages = npages;
	init_waitqueue_head(&d->ungathered);
	d->commands = rmk_commands_create(store, min(DEPTH * num_online_cpus(), MAX_DEPTH));
	if (IS_ERR(d->commands)) {
		err = PTR_ERR(d->commands);
		goto free;
	}
	d->disk = rmk_blk_alloc_disk(&limits);
	if (IS_ERR(d->disk)) {
		err = PTR_ERR(d->disk);
		goto commands;
	}
	d->disk->fops = &dev_ops;
	d->disk->private_data = d;
	strscpy(d->disk->disk_name, name, sizeof(d->disk->disk_name));
	set_capacity(d->disk, npages << (PAGE_SHIFT - SECTOR_SHIFT));
	err = rmk_blk_add_disk(d->disk, groups);
	if (!err)
		return d;
	rmk_blk_put_disk(d->disk);
commands:
	rmk_commands_destroy(d->commands);
free:
	kfree(d);
	return ERR_PTR(err);
}

void rmk_swapdev_changed(struct rmk_swapdev *d)
{
	rmk_commands_kick(d->commands);
}

void rmk_swapdev_destroy(struct rmk_swapdev *d)
{
	rmk_blk_del_disk(d->disk);
	while (!wait_event_timeout(d->ungathered, !atomic_read(&d->gatherings), 30 * HZ))
		pr_warn_ratelimited("a task has plugged for long\n");
	rmk_commands_destroy(d->commands); /* waits for RCU */
	rmk_blk_put_disk(d->disk);
	kfree(d);
}

const struct gendisk *rmk_swapdev_disk(const struct rmk_swapdev *d)
{
	return d->disk;
}

struct rmk_store *rmk_swapdev_store(struct device *dev)
{
	struct rmk_swapdev *d = dev_to_disk(dev)->private_data;

	return d->store;
}
