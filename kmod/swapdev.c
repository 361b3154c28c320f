// SPDX-License-Identifier: GPL-2.0-only
/*
 * swapdev.c - blk-mq disk whose blocks are the pages of a store.
 *
 * A request's private part is its io: nothing is allocated per request. A
 * request whose donor is being reconnected, or that waits for room, goes to the
 * requeue list and is tried again when something changed, at the latest after
 * RETRY_MS; after PATIENCE it fails.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ktime.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>

#include "compat/blk.h"
#include "compat/kernel.h"
#include "io.h"
#include "swapdev.h"

/* In flight per CPU. Each costs an io of some 8 KiB, allocated once. */
#define QUEUE_DEPTH 128
#define RETRY_MS    10
/* Longer than a session tries to recover (session.c), so that it decides first. */
#define PATIENCE (30 * HZ)
/* Requests up to this many pages are somebody's page fault; longer ones are streams. */
#define DEMAND_PAGES 8
#define MAX_DISCARD  (64u << 20)

struct rmk_swapdev {
	struct rmk_store *store;
	u64 npages;
	u32 first; /* number of the first page */
	struct gendisk *disk;
	struct blk_mq_tag_set tags;
};

struct command {
	u32 ends;	     /* counts completions, for the one who waits on the spot */
	unsigned long since; /* jiffies when the request first came */
	struct rmk_io io;
};

static struct request *request_of(struct rmk_io *io)
{
	return blk_mq_rq_from_pdu(container_of(io, struct command, io));
}

static void end(struct request *rq, int err)
{
	struct command *cmd = blk_mq_rq_to_pdu(rq);
	struct rmk_swapdev *d = rq->q->queuedata;
	struct rmk_stats __percpu *stats = d->store->stats;
	u64 ns = ktime_get_ns() - cmd->io.start;
	bool write = op_is_write(req_op(rq));

	rmk_count(stats, write ? RMK_WRITES : RMK_READS, cmd->io.npages);
	if (err)
		rmk_count(stats, write ? RMK_WRITE_ERRORS : RMK_READ_ERRORS, cmd->io.npages);
	rmk_stats_latency(stats, write, ns);
	if (!write)
		rmk_poll_end(&d->store->poll, ns);
	WRITE_ONCE(cmd->ends, cmd->ends + 1);
	blk_mq_end_request(rq, errno_to_blk_status(err));
}

static void io_done(struct rmk_io *io)
{
	struct request *rq = request_of(io);
	struct command *cmd = blk_mq_rq_to_pdu(rq);

	if (io->err != -EAGAIN) {
		end(rq, io->err);
		return;
	}
	if (time_after(jiffies, cmd->since + PATIENCE)) {
		end(rq, -EIO);
		return;
	}
	rmk_count(io->store->stats, RMK_RETRIES, 1);
	blk_mq_requeue_request(rq, false);
	blk_mq_delay_kick_requeue_list(rq->q, RETRY_MS);
}

static u32 first_page(const struct rmk_swapdev *d, const struct request *rq)
{
	return d->first + (blk_rq_pos(rq) >> (PAGE_SHIFT - SECTOR_SHIFT));
}

/* Whole pages only: the queue's limits promise it for everything that obeys them. */
static bool set_pages(const struct rmk_swapdev *d, struct request *rq, struct rmk_io *io)
{
	u32 nr = first_page(d, rq);
	struct req_iterator iter;
	struct bio_vec bv;
	u32 off;

	io->npages = 0;
	rq_for_each_bvec(bv, rq, iter) {
		if (!PAGE_ALIGNED(bv.bv_offset | bv.bv_len))
			return false;
		for (off = bv.bv_offset; off < bv.bv_offset + bv.bv_len; off += PAGE_SIZE) {
			struct rmk_io_page *p = &io->page[io->npages++];

			p->page = bv.bv_page + (off >> PAGE_SHIFT);
			p->nr = nr++;
		}
	}
	return true;
}

/* Swap-in locks its page and waits for it; direct I/O does not lock the user's. */
static bool is_swap_in(const struct rmk_io *io)
{
	return PageLocked(io->page[0].page) && rmk_page_swapbacked(io->page[0].page);
}

/*
 * A synchronous direct read marks its bio with the task that sleeps for it, or
 * since 6.3 (submit_bio_wait) with a completion on that task's stack. Only
 * compared, never followed: a bio that looks so by chance costs a short wait.
 */
static bool submitter_waits(const struct request *rq)
{
	const void *mark = rq->bio->bi_private;

	return mark == current || object_is_on_stack(mark);
}

/*
 * Only where the submitter sleeps until the read has ended: with asynchronous
 * I/O it may be about to submit more. The request may end, and its memory serve
 * another, while we look: then ends moves on.
 */
static void wait_briefly(struct rmk_swapdev *d, struct command *cmd, u32 ends, u64 start)
{
	while (READ_ONCE(cmd->ends) == ends && rmk_poll_on(&d->store->poll, start))
		cpu_relax();
}

static void transfer(struct rmk_swapdev *d, struct request *rq, struct command *cmd)
{
	struct rmk_io *io = &cmd->io;
	u64 start = io->start;
	u32 ends = cmd->ends;
	bool wait;

	if (!set_pages(d, rq, io)) {
		pr_warn_once("refused a request whose buffers are not page-aligned\n");
		io->npages = 0;
		end(rq, -EINVAL);
		return;
	}
	if (op_is_write(req_op(rq))) {
		io->reclaim = rq->cmd_flags & REQ_SWAP;
		rmk_io_put(io);
		return;
	}
	io->lane = (rq->cmd_flags & REQ_RAHEAD) || io->npages > DEMAND_PAGES ? RMK_LANE_BULK :
									       RMK_LANE_DEMAND;
	wait = io->lane == RMK_LANE_DEMAND && (submitter_waits(rq) || is_swap_in(io));
	rmk_io_get(io); /* from here on the io may be somebody else's */
	if (wait)
		wait_briefly(d, cmd, ends, start);
}

static blk_status_t queue_rq(struct blk_mq_hw_ctx *hctx, const struct blk_mq_queue_data *bd)
{
	struct request *rq = bd->rq;
	struct rmk_swapdev *d = hctx->queue->queuedata;
	struct command *cmd = blk_mq_rq_to_pdu(rq);

	blk_mq_start_request(rq);
	if (!(rq->rq_flags & RQF_DONTPREP)) { /* not one that comes again */
		rq->rq_flags |= RQF_DONTPREP;
		cmd->since = jiffies;
		cmd->io.start = ktime_get_ns();
		if (req_op(rq) == REQ_OP_READ)
			rmk_poll_begin(&d->store->poll);
	}
	switch (req_op(rq)) {
	case REQ_OP_READ:
	case REQ_OP_WRITE:
		transfer(d, rq, cmd);
		return BLK_STS_OK;
	case REQ_OP_DISCARD:
	case REQ_OP_WRITE_ZEROES:
		rmk_store_discard(d->store, first_page(d, rq), blk_rq_bytes(rq) >> PAGE_SHIFT);
		blk_mq_end_request(rq, BLK_STS_OK);
		return BLK_STS_OK;
	default:
		return BLK_STS_NOTSUPP;
	}
}

static int init_request(struct blk_mq_tag_set *set, struct request *rq, unsigned int hctx_idx,
			rmk_blk_node_t node)
{
	struct rmk_swapdev *d = set->driver_data;
	struct command *cmd = blk_mq_rq_to_pdu(rq);

	rmk_io_init(&cmd->io, d->store, io_done);
	return 0;
}

static const struct blk_mq_ops mq_ops = {
	.queue_rq = queue_rq,
	.init_request = init_request,
};

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
	.open = dev_open,
	.swap_slot_free_notify = slot_free,
};

static int tags_init(struct rmk_swapdev *d)
{
	d->tags = (struct blk_mq_tag_set){
		.ops = &mq_ops,
		.nr_hw_queues = num_online_cpus(),
		.queue_depth = QUEUE_DEPTH,
		.numa_node = NUMA_NO_NODE,
		.cmd_size = sizeof(struct command),
		.flags = RMK_BLK_MQ_F_SHOULD_MERGE | RMK_BLK_MQ_F_NO_SCHED,
		.driver_data = d,
	};
	return blk_mq_alloc_tag_set(&d->tags);
}

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
	err = tags_init(d);
	if (err)
		goto free;
	d->disk = rmk_blk_alloc_disk(&d->tags, d, &limits);
	if (IS_ERR(d->disk)) {
		err = PTR_ERR(d->disk);
		goto tags;
	}
	d->disk->fops = &dev_ops;
	d->disk->private_data = d;
	strscpy(d->disk->disk_name, name, sizeof(d->disk->disk_name));
	set_capacity(d->disk, npages << (PAGE_SHIFT - SECTOR_SHIFT));
	err = rmk_blk_add_disk(d->disk, groups);
	if (!err)
		return d;
	rmk_blk_put_disk(d->disk);
tags:
	blk_mq_free_tag_set(&d->tags);
free:
	kfree(d);
	return ERR_PTR(err);
}

void rmk_swapdev_changed(struct rmk_swapdev *d)
{
	blk_mq_kick_requeue_list(d->disk->queue);
}

void rmk_swapdev_destroy(struct rmk_swapdev *d)
{
	rmk_blk_del_disk(d->disk);
	rmk_blk_put_disk(d->disk);
	blk_mq_free_tag_set(&d->tags);
	kfree(d);
}

int rmk_swapdev_major(const struct rmk_swapdev *d)
{
	return MAJOR(disk_devt(d->disk));
}

struct rmk_store *rmk_swapdev_store(struct device *dev)
{
	struct rmk_swapdev *d = dev_to_disk(dev)->private_data;

	return d->store;
}
