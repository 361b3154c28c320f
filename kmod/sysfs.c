// SPDX-License-Identifier: GPL-2.0-only
/*
 * sysfs.c - one value per file, and two summaries for people in a hurry.
 */
#include <linux/blkdev.h>
#include <linux/device.h>
#include <linux/kernel.h>

#include "cleancache.h"
#include "frontswap.h"
#include "params.h"
#include "store.h"
#include "swapdev.h"
#include "sysfs.h"

/* A read-only file: a number and how to get it. */
struct value {
	struct device_attribute attr;
	u64 (*get)(struct rmk_store *store, u32 arg);
	u32 arg;
};

static ssize_t show_value(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct value *v = container_of(attr, struct value, attr);

	return sysfs_emit(buf, "%llu\n", v->get(rmk_swapdev_store(dev), v->arg));
}

static u64 get_counter(struct rmk_store *store, u32 arg)
{
	return rmk_stats_sum(store->stats, arg);
}

static u64 get_pages(struct rmk_store *store, u32 arg)
{
	return rmk_stats_pages(store->stats, arg);
}

static u64 get_counter_bytes(struct rmk_store *store, u32 arg)
{
	return rmk_stats_sum(store->stats, arg) << PAGE_SHIFT;
}

static u64 get_latency(struct rmk_store *store, u32 arg)
{
	return rmk_stats_quantile(store->stats, arg & 1, arg >> 1);
}

static u64 get_gets(struct rmk_store *store, u32 arg)
{
	return rmk_stats_op_count(store->stats, RMK_GET, arg);
}

static u64 get_puts(struct rmk_store *store, u32 arg)
{
	return rmk_stats_op_count(store->stats, RMK_PUT, arg);
}

enum stage_value { BUFFERS, BUFFERS_USED, BUFFERS_USED_MAX };

static u64 get_stage(struct rmk_store *store, u32 arg)
{
	switch ((enum stage_value)arg) {
	case BUFFERS:
		return rmk_stage_total(store->stage);
	case BUFFERS_USED:
		return rmk_stage_used(store->stage);
	case BUFFERS_USED_MAX:
		return rmk_stage_max_used(store->stage);
	}
	return 0;
}

static u64 get_metadata(struct rmk_store *store, u32 arg)
{
	struct rmk_pool_stats s;

	rmk_cleancache_stats(&s);
	return rmk_store_metadata_bytes(store) + s.metadata_bytes;
}

/* Which member of a statistics struct; both consist of u64 and u32 by name, hence the switch. */
enum remote_value {
	SLABS,
	SLABS_REVOKING,
	SLOTS_TOTAL,
	SLOTS_USED,
	SLOTS_USED_MAX,
	GRANTED,
	RELEASED,
	REVOKED,
	FENCED,
	DENIED
};

static u64 get_remote(struct rmk_store *store, u32 arg)
{
	struct rmk_slabs_stats s;

	rmk_slabs_stats(store->slabs, &s);
	switch ((enum remote_value)arg) {
	case SLABS:
		return s.slabs;
	case SLABS_REVOKING:
		return s.revoking;
	case SLOTS_TOTAL:
		return s.total_slots;
	case SLOTS_USED:
		return s.used_slots;
	case SLOTS_USED_MAX:
		return s.max_used_slots;
	case GRANTED:
		return s.granted;
	case RELEASED:
		return s.released;
	case REVOKED:
		return s.revoked;
	case FENCED:
		return s.fenced;
	case DENIED:
		return rmk_remote_denied(store->remote);
	}
	return 0;
}

enum cleancache_value { CLEANCACHE_PAGES, CLEANCACHE_OBJECTS };

static u64 get_cleancache(struct rmk_store *store, u32 arg)
{
	struct rmk_pool_stats s;

	rmk_cleancache_stats(&s);
	switch ((enum cleancache_value)arg) {
	case CLEANCACHE_PAGES:
		return s.pages;
	case CLEANCACHE_OBJECTS:
		return s.objects;
	}
	return 0;
}

enum ztier_value { COMPRESSED_BYTES, ZPOOL_USED_BYTES, ZPOOL_USED_MAX, INCOMPRESSIBLE, REFUSED };

static u64 get_ztier(struct rmk_store *store, u32 arg)
{
	struct rmk_ztier_stats s;

	rmk_ztier_stats(store->ztier, &s);
	switch ((enum ztier_value)arg) {
	case COMPRESSED_BYTES:
		return s.compressed_bytes;
	case ZPOOL_USED_BYTES:
		return s.used_bytes;
	case ZPOOL_USED_MAX:
		return s.max_used_bytes;
	case INCOMPRESSIBLE:
		return s.incompressible;
	case REFUSED:
		return s.refused;
	}
	return 0;
}

#define VALUE(_name, _get, _arg)                               \
	static struct value value_##_name = {                  \
		.attr = __ATTR(_name, 0444, show_value, NULL), \
		.get = _get,                                   \
		.arg = _arg,                                   \
	}

VALUE(remote_pages, get_pages, CORE_REMOTE);
VALUE(compressed_pages, get_pages, CORE_ZSTD);
VALUE(same_pages, get_pages, CORE_SAME);
VALUE(lost_pages, get_pages, CORE_LOST);
VALUE(compressed_bytes, get_ztier, COMPRESSED_BYTES);
VALUE(zpool_used_bytes, get_ztier, ZPOOL_USED_BYTES);
VALUE(zpool_used_max_bytes, get_ztier, ZPOOL_USED_MAX);
VALUE(incompressible_pages, get_ztier, INCOMPRESSIBLE);
VALUE(zpool_refused, get_ztier, REFUSED);
VALUE(slabs, get_remote, SLABS);
VALUE(slabs_revoking, get_remote, SLABS_REVOKING);
VALUE(slots_total, get_remote, SLOTS_TOTAL);
VALUE(slots_used, get_remote, SLOTS_USED);
VALUE(slots_used_max, get_remote, SLOTS_USED_MAX);
VALUE(slabs_granted, get_remote, GRANTED);
VALUE(slabs_released, get_remote, RELEASED);
VALUE(slabs_revoked, get_remote, REVOKED);
VALUE(slabs_fenced, get_remote, FENCED);
VALUE(slabs_denied, get_remote, DENIED);
VALUE(metadata_bytes, get_metadata, 0);
VALUE(reads, get_counter, RMK_READS);
VALUE(writes, get_counter, RMK_WRITES);
VALUE(discards, get_counter, RMK_DISCARDS);
VALUE(gets_remote, get_gets, CORE_REMOTE);
VALUE(gets_zstd, get_gets, CORE_ZSTD);
VALUE(gets_same, get_gets, CORE_SAME);
VALUE(gets_staged, get_gets, CORE_STAGED);
VALUE(gets_empty, get_gets, CORE_EMPTY);
VALUE(puts_remote, get_puts, CORE_REMOTE);
VALUE(puts_zstd, get_puts, CORE_ZSTD);
VALUE(puts_same, get_puts, CORE_SAME);
VALUE(puts_staged, get_puts, CORE_STAGED);
VALUE(wire_read_bytes, get_counter_bytes, RMK_REMOTE_READS);
VALUE(wire_write_bytes, get_counter_bytes, RMK_REMOTE_WRITES);
VALUE(wire_read_requests, get_counter, RMK_READ_REQUESTS);
VALUE(wire_write_requests, get_counter, RMK_WRITE_REQUESTS);
VALUE(evacuated_pages, get_counter, RMK_EVACUATED);
VALUE(shipped_pages, get_counter, RMK_SHIPPED);
VALUE(late_moves, get_counter, RMK_LATE_MOVES);
VALUE(written_off_pages, get_counter, RMK_LOST);
VALUE(retries, get_counter, RMK_RETRIES);
VALUE(crc_errors, get_counter, RMK_CRC_ERRORS);
VALUE(read_errors, get_counter, RMK_READ_ERRORS);
VALUE(write_errors, get_counter, RMK_WRITE_ERRORS);
VALUE(staged_pages, get_pages, CORE_STAGED);
VALUE(stage_buffers, get_stage, BUFFERS);
VALUE(stage_buffers_used, get_stage, BUFFERS_USED);
VALUE(stage_buffers_used_max, get_stage, BUFFERS_USED_MAX);
VALUE(stage_full, get_counter, RMK_NO_BUFFER);
VALUE(writer_batches, get_counter, RMK_WRITER_BATCHES);
VALUE(written_behind_pages, get_counter, RMK_WRITTEN_BEHIND);
VALUE(frontswap_stores, get_counter, RMK_FRONTSWAP_STORES);
VALUE(frontswap_failed_stores, get_counter, RMK_FRONTSWAP_FAILED_STORES);
VALUE(frontswap_loads, get_counter, RMK_FRONTSWAP_LOADS);
VALUE(frontswap_failed_loads, get_counter, RMK_FRONTSWAP_FAILED_LOADS);
VALUE(frontswap_invalidates, get_counter, RMK_FRONTSWAP_INVALIDATES);
VALUE(cleancache_puts, get_counter, RMK_CLEANCACHE_PUTS);
VALUE(cleancache_failed_puts, get_counter, RMK_CLEANCACHE_FAILED_PUTS);
VALUE(cleancache_dropped_puts, get_counter, RMK_CLEANCACHE_DROPPED_PUTS);
VALUE(cleancache_filtered_puts, get_counter, RMK_CLEANCACHE_FILTERED_PUTS);
VALUE(cleancache_hits, get_counter, RMK_CLEANCACHE_HITS);
VALUE(cleancache_misses, get_counter, RMK_CLEANCACHE_MISSES);
VALUE(cleancache_invalidates, get_counter, RMK_CLEANCACHE_INVALIDATES);
VALUE(share_hits, get_counter, RMK_SHARE_HITS);
VALUE(share_misses, get_counter, RMK_SHARE_MISSES);
VALUE(share_unproven, get_counter, RMK_SHARE_UNPROVEN);
VALUE(share_puts, get_counter, RMK_SHARE_PUTS);
VALUE(share_known_puts, get_counter, RMK_SHARE_KNOWN_PUTS);
VALUE(share_dropped_puts, get_counter, RMK_SHARE_DROPPED_PUTS);
VALUE(share_flushes, get_counter, RMK_SHARE_FLUSHES);
VALUE(vanished_pages, get_counter, RMK_VANISHED);
VALUE(cleancache_pages, get_cleancache, CLEANCACHE_PAGES);
VALUE(cleancache_objects, get_cleancache, CLEANCACHE_OBJECTS);
VALUE(cleancache_evicted_pages, get_counter, RMK_EVICTED);
/* per mille of the distribution above the direction bit */
VALUE(read_p50_ns, get_latency, 500 << 1);
VALUE(read_p99_ns, get_latency, 990 << 1);
VALUE(write_p50_ns, get_latency, 500 << 1 | 1);
VALUE(write_p99_ns, get_latency, 990 << 1 | 1);

static ssize_t zpool_limit_bytes_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct rmk_ztier_stats s;

	rmk_ztier_stats(rmk_swapdev_store(dev)->ztier, &s);
	return sysfs_emit(buf, "%llu\n", s.limit_bytes);
}

static ssize_t zpool_limit_bytes_store(struct device *dev, struct device_attribute *attr,
				       const char *buf, size_t len)
{
	u64 bytes;
	int err = rmk_parse_bytes(buf, &bytes);

	if (!err)
		rmk_ztier_set_limit(rmk_swapdev_store(dev)->ztier, bytes);
	return err ?: len;
}
static DEVICE_ATTR_RW(zpool_limit_bytes);

static ssize_t frontswap_pages_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", rmk_frontswap_pages());
}

/* Writing N pulls pages back until N are left. */
static ssize_t frontswap_pages_store(struct device *dev, struct device_attribute *attr,
				     const char *buf, size_t len)
{
	u64 target;
	int err = kstrtou64(buf, 0, &target) ?: rmk_frontswap_shrink(target);

	return err ?: len;
}
static DEVICE_ATTR_RW(frontswap_pages);

static ssize_t mm_stat_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct rmk_store *store = rmk_swapdev_store(dev);
	struct rmk_slabs_stats remote;
	struct rmk_ztier_stats z;

	rmk_slabs_stats(store->slabs, &remote);
	rmk_ztier_stats(store->ztier, &z);
	return sysfs_emit(buf, "%8llu %8llu %8llu %8llu %8llu %8llu %8llu %8llu\n",
			  get_pages(store, CORE_REMOTE), get_pages(store, CORE_ZSTD),
			  get_pages(store, CORE_SAME), get_pages(store, CORE_LOST),
			  remote.total_slots << PAGE_SHIFT, z.used_bytes, z.limit_bytes,
			  rmk_store_metadata_bytes(store));
}
static DEVICE_ATTR_RO(mm_stat);

static ssize_t donors_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return rmk_remote_show_donors(rmk_swapdev_store(dev)->remote, buf);
}
static DEVICE_ATTR_RO(donors);

static ssize_t shares_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return rmk_cleancache_show_shares(buf);
}
static DEVICE_ATTR_RO(shares);

static struct attribute *attrs[] = { &dev_attr_mm_stat.attr,
				     &dev_attr_donors.attr,
				     &dev_attr_shares.attr,
				     &dev_attr_zpool_limit_bytes.attr,
				     &value_remote_pages.attr.attr,
				     &value_compressed_pages.attr.attr,
				     &value_same_pages.attr.attr,
				     &value_lost_pages.attr.attr,
				     &value_compressed_bytes.attr.attr,
				     &value_zpool_used_bytes.attr.attr,
				     &value_zpool_used_max_bytes.attr.attr,
				     &value_incompressible_pages.attr.attr,
				     &value_zpool_refused.attr.attr,
				     &value_slabs.attr.attr,
				     &value_slabs_revoking.attr.attr,
				     &value_slots_total.attr.attr,
				     &value_slots_used.attr.attr,
				     &value_slots_used_max.attr.attr,
				     &value_slabs_granted.attr.attr,
				     &value_slabs_released.attr.attr,
				     &value_slabs_revoked.attr.attr,
				     &value_slabs_fenced.attr.attr,
				     &value_slabs_denied.attr.attr,
				     &value_metadata_bytes.attr.attr,
				     &value_reads.attr.attr,
				     &value_writes.attr.attr,
				     &value_discards.attr.attr,
				     &value_gets_remote.attr.attr,
				     &value_gets_zstd.attr.attr,
				     &value_gets_same.attr.attr,
				     &value_gets_staged.attr.attr,
				     &value_gets_empty.attr.attr,
				     &value_puts_remote.attr.attr,
				     &value_puts_zstd.attr.attr,
				     &value_puts_same.attr.attr,
				     &value_puts_staged.attr.attr,
				     &value_wire_read_bytes.attr.attr,
				     &value_wire_write_bytes.attr.attr,
				     &value_wire_read_requests.attr.attr,
				     &value_wire_write_requests.attr.attr,
				     &value_evacuated_pages.attr.attr,
				     &value_shipped_pages.attr.attr,
				     &value_late_moves.attr.attr,
				     &value_written_off_pages.attr.attr,
				     &value_retries.attr.attr,
				     &value_crc_errors.attr.attr,
				     &value_read_errors.attr.attr,
				     &value_write_errors.attr.attr,
				     &value_staged_pages.attr.attr,
				     &value_stage_buffers.attr.attr,
				     &value_stage_buffers_used.attr.attr,
				     &value_stage_buffers_used_max.attr.attr,
				     &value_stage_full.attr.attr,
				     &value_writer_batches.attr.attr,
				     &value_written_behind_pages.attr.attr,
				     &dev_attr_frontswap_pages.attr,
				     &value_frontswap_stores.attr.attr,
				     &value_frontswap_failed_stores.attr.attr,
				     &value_frontswap_loads.attr.attr,
				     &value_frontswap_failed_loads.attr.attr,
				     &value_frontswap_invalidates.attr.attr,
				     &value_cleancache_puts.attr.attr,
				     &value_cleancache_failed_puts.attr.attr,
				     &value_cleancache_dropped_puts.attr.attr,
				     &value_cleancache_filtered_puts.attr.attr,
				     &value_cleancache_hits.attr.attr,
				     &value_cleancache_misses.attr.attr,
				     &value_cleancache_invalidates.attr.attr,
				     &value_share_hits.attr.attr,
				     &value_share_misses.attr.attr,
				     &value_share_unproven.attr.attr,
				     &value_share_puts.attr.attr,
				     &value_share_known_puts.attr.attr,
				     &value_share_dropped_puts.attr.attr,
				     &value_share_flushes.attr.attr,
				     &value_vanished_pages.attr.attr,
				     &value_cleancache_pages.attr.attr,
				     &value_cleancache_objects.attr.attr,
				     &value_cleancache_evicted_pages.attr.attr,
				     &value_read_p50_ns.attr.attr,
				     &value_read_p99_ns.attr.attr,
				     &value_write_p50_ns.attr.attr,
				     &value_write_p99_ns.attr.attr,
				     NULL };

static const struct attribute_group group = {
	.name = "ramster",
	.attrs = attrs,
};

const struct attribute_group *rmk_sysfs_groups[] = { &group, NULL };
