// SPDX-License-Identifier: GPL-2.0-only
/*
 * main.c - bring the parts up in order and down in the reverse order.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uuid.h>

#include "cleancache.h"
#include "debugfs.h"
#include "fetch.h"
#include "frontswap.h"
#include "io.h"
#include "mover.h"
#include "params.h"
#include "store.h"
#include "swapdev.h"
#include "sysfs.h"
#include "writer.h"

/* modprobe gives up on silent donors after this. */
#define WAIT_LIVE_MS 8000
/*
 * Buffers for pages that fronts have handed over and the wire has not taken yet:
 * 1/128 of the RAM, from 4 to 32 MiB. A burst of reclaim is faster than any
 * wire: btrfs reads 4 MiB ahead, for which as much has to go.
 */
#define MIN_BUFFERS 1024ul
#define MAX_BUFFERS 8192ul

static struct rmk_params params;
static struct rmk_store *store;
static u32 disk_first; /* number of its first page */
static struct rmk_remote *remote;
static struct rmk_mover *mover;
static struct rmk_writer *writer;
static struct rmk_swapdev *swapdev;

/*
 * Donors are heard before the mover and the disk exist, and while they go:
 * the lock keeps them there for the time of a call. It is a leaf.
 */
static DEFINE_SPINLOCK(listeners);

static void on_moving(void *owner)
{
	unsigned long flags;

	spin_lock_irqsave(&listeners, flags);
	if (mover)
		rmk_mover_kick(mover);
	if (writer)
		rmk_writer_kick(writer);
	spin_unlock_irqrestore(&listeners, flags);
}

static void on_changed(void *owner)
{
	unsigned long flags;

	spin_lock_irqsave(&listeners, flags);
	if (swapdev)
		rmk_swapdev_changed(swapdev);
	spin_unlock_irqrestore(&listeners, flags);
}

static void on_share_message(void *owner, struct rmk_session *s, const struct core_msg *msg)
{
	rmk_cleancache_message(s, msg);
}

static void on_broken(void *owner, struct rmk_session *s)
{
	rmk_cleancache_broken(s);
}

/* Publish to, or hide from, the two above. */
#define LISTEN(var, value)                   \
	do {                                 \
		spin_lock_irq(&listeners);   \
		(var) = (value);             \
		spin_unlock_irq(&listeners); \
	} while (0)

static const struct rmk_remote_ops remote_ops = {
	.moving = on_moving,
	.changed = on_changed,
	.share_message = on_share_message,
	.broken = on_broken,
};

static int no_memory(void)
{
	pr_err("no memory for the index of a device of %llu MiB; give a smaller size=\n",
	       params.npages >> (20 - PAGE_SHIFT));
	return -ENOMEM;
}

/* The disk's numbers, first of all: a size that is too large is refused before donors are asked. */
static int numbers_init(void)
{
	u64 segments = DIV_ROUND_UP_ULL(params.npages, RMK_SEGMENT);
	int err = -ENOMEM;

	if (segments < si_mem_available())
		err = rmk_store_take(store, segments, GFP_KERNEL | __GFP_RETRY_MAYFAIL,
				     &disk_first);
	return err ? no_memory() : 0;
}

static int tiers_init(void)
{
	int err;

	store = rmk_store_create(
		min(params.npages + rmk_frontswap_capacity() + rmk_cleancache_capacity(),
		    RMK_MAX_PAGES));
	if (IS_ERR(store))
		return no_memory();
	err = numbers_init();
	if (err)
		goto destroy_store;
	store->ztier = rmk_ztier_create(params.zpool_bytes);
	if (IS_ERR(store->ztier)) {
		err = PTR_ERR(store->ztier);
		goto destroy_store;
	}
	store->stage = rmk_stage_create(clamp(totalram_pages() / 128, MIN_BUFFERS, MAX_BUFFERS));
	if (IS_ERR(store->stage)) {
		err = PTR_ERR(store->stage);
		goto destroy_ztier;
	}
	remote = rmk_remote_create(params.slab_bytes, &remote_ops, NULL);
	if (IS_ERR(remote)) {
		err = PTR_ERR(remote);
		goto destroy_stage;
	}
	store->remote = remote;
	store->slabs = rmk_remote_slabs(remote);
	return 0;
destroy_stage:
	rmk_stage_destroy(store->stage);
destroy_ztier:
	rmk_ztier_destroy(store->ztier);
destroy_store:
	rmk_store_destroy(store);
	return err;
}

/* Connections are closed, so slabs can no longer be asked for or revoked; then the pages go. */
static void tiers_exit(void)
{
	rmk_remote_stop(remote);
	rmk_store_drop_all(store);
	rmk_remote_destroy(remote);
	rmk_stage_destroy(store->stage);
	rmk_ztier_destroy(store->ztier);
	rmk_store_destroy(store);
}

static int mover_init(void)
{
	struct rmk_mover *m = rmk_mover_create(store);

	if (IS_ERR(m))
		return PTR_ERR(m);
	LISTEN(mover, m);
	return 0;
}

static void mover_exit(void)
{
	struct rmk_mover *m = mover;

	LISTEN(mover, NULL);
	rmk_mover_destroy(m);
}

static int writer_init(void)
{
	struct rmk_writer *w = rmk_writer_create(store);

	if (IS_ERR(w))
		return PTR_ERR(w);
	LISTEN(writer, w);
	return 0;
}

static void writer_exit(void)
{
	struct rmk_writer *w = writer;

	LISTEN(writer, NULL);
	rmk_writer_destroy(w);
}

static int donors_init(void)
{
	uuid_t client;
	u32 i;
	int err;

	uuid_gen(&client);
	for (i = 0; i < params.ndonors; i++) {
		err = rmk_remote_add_donor(remote, &params.donors[i].addr, params.donors[i].name,
					   client.b);
		if (err)
			return err;
	}
	if (!params.wait || !rmk_remote_wait_live(remote, WAIT_LIVE_MS))
		return 0;
	pr_err("no donor answers at broker=%s within %d s: is ramsterd running there? wait=0 loads without\n",
	       params.donors[0].name, WAIT_LIVE_MS / 1000);
	return -EHOSTUNREACH;
}

static int swapdev_init(void)
{
	struct rmk_swapdev *d =
		rmk_swapdev_create(store, disk_first, params.npages, "ramster0", rmk_sysfs_groups);

	if (IS_ERR(d))
		return PTR_ERR(d);
	LISTEN(swapdev, d);
	return 0;
}

static int __init ramster_init(void)
{
	int err;

	err = rmk_params_parse(&params);
	if (err)
		return err;
	err = rmk_io_module_init();
	if (err)
		return err;
	err = rmk_fetch_module_init();
	if (err)
		goto io_exit;
	err = tiers_init();
	if (err)
		goto fetch_exit;
	err = mover_init();
	if (err)
		goto tiers_exit;
	err = writer_init();
	if (err)
		goto mover_exit;
	err = donors_init();
	if (err)
		goto writer_exit;
	err = swapdev_init();
	if (err)
		goto writer_exit;
	rmk_debugfs_init(store->stats);
	pr_info("ramster0: %llu MiB, slabs of %llu MiB\n", params.npages >> (20 - PAGE_SHIFT),
		params.slab_bytes >> 20);
	rmk_cleancache_start(store, writer);
	rmk_frontswap_start(store, writer, rmk_swapdev_disk(swapdev));
	return 0;

writer_exit:
	writer_exit();
mover_exit:
	mover_exit();
tiers_exit:
	tiers_exit();
fetch_exit:
	rmk_fetch_module_exit();
io_exit:
	rmk_io_module_exit();
	return err;
}

static void __exit ramster_exit(void)
{
	struct rmk_swapdev *d = swapdev;

	rmk_debugfs_exit();
	LISTEN(swapdev, NULL);
	rmk_swapdev_destroy(d);
	writer_exit();
	mover_exit();
	tiers_exit();
	rmk_fetch_module_exit();
	rmk_io_module_exit();
}

module_init(ramster_init);
module_exit(ramster_exit);

MODULE_DESCRIPTION("Swap into RAM that other machines lend, over RDMA");
MODULE_AUTHOR("The ramster maintainers");
MODULE_LICENSE("GPL");
