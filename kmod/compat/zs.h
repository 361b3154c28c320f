/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * zs.h - zsmalloc's calls that differ between 5.10 and 7.2.
 *
 * Process context only: zsmalloc's locks are not softirq-safe. No sleeping
 * between rmk_zs_load_begin() and rmk_zs_load_end().
 */
#ifndef RMK_COMPAT_ZS_H
#define RMK_COMPAT_ZS_H

#include <linux/err.h>
#include <linux/numa.h>
#include <linux/string.h>
#include <linux/topology.h>
#include <linux/zsmalloc.h>

#include "version.h"

/* 0 if there is no memory */
static inline unsigned long rmk_zs_malloc(struct zs_pool *pool, size_t size, gfp_t gfp)
{
#if !RMK_KERNEL_BEFORE(6, 16)
	unsigned long handle = zs_malloc(pool, size, gfp, numa_node_id());
#else
	unsigned long handle = zs_malloc(pool, size, gfp);
#endif
	/* 5.10 fails with 0, 6.1 and later with an errno */
	return IS_ERR_VALUE(handle) ? 0 : handle;
}

/* Fill a new object. */
static inline void rmk_zs_store(struct zs_pool *pool, unsigned long handle, const void *src,
				size_t len)
{
#if !RMK_KERNEL_BEFORE(6, 15)
	/* only reads through its pointer, which it takes without const */
	zs_obj_write(pool, handle, (void *)src, len);
#else
	memcpy(zs_map_object(pool, handle, ZS_MM_WO), src, len);
	zs_unmap_object(pool, handle);
#endif
}

/* The object's len bytes in one piece. bounce, of PAGE_SIZE, serves one that spans two pages. */
static inline void *rmk_zs_load_begin(struct zs_pool *pool, unsigned long handle, size_t len,
				      void *bounce)
{
#if !RMK_KERNEL_BEFORE(7, 0)
	return zs_obj_read_begin(pool, handle, len, bounce);
#elif !RMK_KERNEL_BEFORE(6, 15)
	return zs_obj_read_begin(pool, handle, bounce);
#else
	return zs_map_object(pool, handle, ZS_MM_RO);
#endif
}

/* object is what rmk_zs_load_begin() returned */
static inline void rmk_zs_load_end(struct zs_pool *pool, unsigned long handle, size_t len,
				   void *object)
{
#if !RMK_KERNEL_BEFORE(7, 0)
	zs_obj_read_end(pool, handle, len, object);
#elif !RMK_KERNEL_BEFORE(6, 15)
	zs_obj_read_end(pool, handle, object);
#else
	zs_unmap_object(pool, handle);
#endif
}

#endif /* RMK_COMPAT_ZS_H */
