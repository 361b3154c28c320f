// SPDX-License-Identifier: GPL-2.0-only
/*
 * debugfs.c - a latency histogram per operation and tier, as text.
 *
 * Clearing one remembers what it held and subtracts that from then on: the
 * counts themselves are other CPUs' to change, and sysfs sums them up since load.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "debugfs.h"

struct file_of {
	const char *name;
	enum rmk_op op;
	enum core_where where;
	struct core_hist cleared; /* what it held then; lock */
};

static struct file_of files[] = {
	{ "get_remote", RMK_GET, CORE_REMOTE }, { "get_zstd", RMK_GET, CORE_ZSTD },
	{ "get_same", RMK_GET, CORE_SAME },	{ "get_staged", RMK_GET, CORE_STAGED },
	{ "get_empty", RMK_GET, CORE_EMPTY },	{ "put_remote", RMK_PUT, CORE_REMOTE },
	{ "put_zstd", RMK_PUT, CORE_ZSTD },	{ "put_same", RMK_PUT, CORE_SAME },
	{ "put_staged", RMK_PUT, CORE_STAGED },
};

static DEFINE_MUTEX(lock);
static struct rmk_stats __percpu *stats;
static struct dentry *folder;

static void print(struct seq_file *m, const struct core_hist *now, const struct core_hist *cleared)
{
	u64 count;
	u32 i;

	for (i = 0; i < CORE_HIST_BUCKETS; i++) {
		count = now->bucket[i] - cleared->bucket[i];
		if (!count)
			continue;
		if (i == CORE_HIST_BUCKETS - 1)
			seq_printf(m, "inf: %llu\n", count);
		else
			seq_printf(m, "%llu: %llu\n", core_hist_upper(i), count);
	}
}

static int show(struct seq_file *m, void *unused)
{
	struct file_of *f = m->private;
	struct core_hist *now = kmalloc(sizeof(*now), GFP_KERNEL);

	if (!now)
		return -ENOMEM;
	mutex_lock(&lock);
	rmk_stats_op_sum(stats, f->op, f->where, now);
	print(m, now, &f->cleared);
	mutex_unlock(&lock);
	kfree(now);
	return 0;
}

static int open(struct inode *inode, struct file *file)
{
	return single_open(file, show, inode->i_private);
}

/* Whatever is written: count from here on. */
static ssize_t clear(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	struct file_of *f = file_inode(file)->i_private;

	mutex_lock(&lock);
	rmk_stats_op_sum(stats, f->op, f->where, &f->cleared);
	mutex_unlock(&lock);
	return len;
}

static const struct file_operations operations = {
	.owner = THIS_MODULE,
	.open = open,
	.read = seq_read,
	.write = clear,
	.llseek = seq_lseek,
	.release = single_release,
};

void rmk_debugfs_init(struct rmk_stats __percpu *of)
{
	u32 i;

	stats = of;
	folder = debugfs_create_dir("ramster", NULL);
	for (i = 0; i < ARRAY_SIZE(files); i++)
		debugfs_create_file(files[i].name, 0600, folder, &files[i], &operations);
}

void rmk_debugfs_exit(void)
{
	debugfs_remove_recursive(folder);
}
