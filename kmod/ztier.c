// SPDX-License-Identifier: GPL-2.0-only
/*
 * ztier.c - the compressed tier: zstd over zsmalloc, one workspace per CPU.
 *
 * Locks: rmk_ztier.holds, then ztier_cpu.lock, then zsmalloc's own.
 * ztier_cpu.lock makes a workspace safe from a task that moved to another CPU
 * between picking it and using it, so nothing depends on preemption being off.
 * None is ever taken in an interrupt: plain spin_lock() serves callers with
 * interrupts on and off alike.
 *
 * A handle packs what zsmalloc gives (the address of an 8-byte slab object)
 * and what it does not tell: the length of the stored object. That keeps raw
 * pages at exactly PAGE_SIZE, zsmalloc's largest object, without a header.
 */
#include <linux/hash.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "compat/zs.h"
#include "compat/zstd.h"
#include "ztier.h"

/* Level 3 makes streams 3 % shorter for 27 % more instructions; zsmalloc's classes eat the 3 %. */
#define ZSTD_LEVEL 1

/*
 * handle: bits 0-2 clear, then the physical address of zsmalloc's handle, then
 * the length less one in the top PAGE_SHIFT bits.
 */
#define LENGTH_SHIFT (64 - PAGE_SHIFT)

/*
 * No waiting for memory. Callers under PF_MEMALLOC do get it from the reserves:
 * a page swapped out frees more than it takes, and at the min watermark, where
 * reclaim works, nothing else would be left to store it in.
 */
#define PUT_GFP (__GFP_KSWAPD_RECLAIM | __GFP_NOWARN | __GFP_HIGHMEM | __GFP_MOVABLE)

struct ztier_cpu {
	spinlock_t lock; /* protects the workspaces and buffer */
	void *memory;	 /* cctx, dctx and buffer, in this order */
	zstd_cctx *cctx;
	zstd_dctx *dctx;
	void *buffer; /* a compressed page before it is stored or after it is fetched */

	/* this_cpu_add(); only the sum over all CPUs means something */
	s64 pages;
	s64 bytes;
	s64 raw;
	s64 refused;
};

/* Readers of different pages should rarely meet. */
#define HOLD_BITS 8

struct rmk_ztier {
	struct zs_pool *pool;
	unsigned long limit_pages; /* READ_ONCE, WRITE_ONCE */
	unsigned long max_pages;   /* that zsmalloc ever held; racy by design */
	size_t raw_from;	   /* a stream of this length or more is not worth storing */
	zstd_parameters params;
	struct ztier_cpu __percpu *cpus;
	spinlock_t holds[1 << HOLD_BITS]; /* by handle: reading against freeing */
};

static int init_cpu(struct rmk_ztier *t, int cpu)
{
	struct ztier_cpu *c = per_cpu_ptr(t->cpus, cpu);
	size_t cctx_bytes = ALIGN(zstd_cctx_workspace_bound(&t->params.cParams), SMP_CACHE_BYTES);
	size_t dctx_bytes = ALIGN(zstd_dctx_workspace_bound(), SMP_CACHE_BYTES);

	spin_lock_init(&c->lock);
	c->memory = kvmalloc_node(cctx_bytes + dctx_bytes + zstd_compress_bound(PAGE_SIZE),
				  GFP_KERNEL, cpu_to_node(cpu));
	if (!c->memory)
		return -ENOMEM;
	c->cctx = zstd_init_cctx(c->memory, cctx_bytes);
	c->dctx = zstd_init_dctx(c->memory + cctx_bytes, dctx_bytes);
	c->buffer = c->memory + cctx_bytes + dctx_bytes;
	return c->cctx && c->dctx ? 0 : -ENOMEM;
}

static void uninit_cpus(struct rmk_ztier *t)
{
	int cpu;

	for_each_possible_cpu(cpu)
		kvfree(per_cpu_ptr(t->cpus, cpu)->memory);
	free_percpu(t->cpus);
}

static int init_cpus(struct rmk_ztier *t)
{
	int cpu, err;

	t->cpus = alloc_percpu(struct ztier_cpu);
	if (!t->cpus)
		return -ENOMEM;
	for_each_possible_cpu(cpu) {
		err = init_cpu(t, cpu);
		if (err) {
			uninit_cpus(t);
			return err;
		}
	}
	return 0;
}

struct rmk_ztier *rmk_ztier_create(u64 limit_bytes)
{
	static atomic_t serial = ATOMIC_INIT(-1);
	struct rmk_ztier *t;
	char name[24];
	int i, err;

	t = kzalloc(sizeof(*t), GFP_KERNEL);
	if (!t)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < 1 << HOLD_BITS; i++)
		spin_lock_init(&t->holds[i]);
	t->params = zstd_get_params(ZSTD_LEVEL, PAGE_SIZE);
	err = init_cpus(t);
	if (err)
		goto free_tier;

	/* zsmalloc names slab caches and debugfs directories after its pools */
	snprintf(name, sizeof(name), "ramster%u", (unsigned int)atomic_inc_return(&serial));
	t->pool = zs_create_pool(name);
	if (!t->pool) {
		err = -ENOMEM;
		goto free_cpus;
	}
	/* from zsmalloc's huge size on an object takes a page of its own anyway */
	t->raw_from = min_t(size_t, PAGE_SIZE - PAGE_SIZE / 8 + 1, zs_huge_class_size(t->pool));
	rmk_ztier_set_limit(t, limit_bytes);
	return t;

free_cpus:
	uninit_cpus(t);
free_tier:
	kfree(t);
	return ERR_PTR(err);
}

void rmk_ztier_destroy(struct rmk_ztier *t)
{
	struct rmk_ztier_stats held;

	rmk_ztier_stats(t, &held);
	WARN_ONCE(held.pages, "ramster: %llu compressed pages were never freed\n", held.pages);
	zs_destroy_pool(t->pool);
	uninit_cpus(t);
	kfree(t);
}

void rmk_ztier_set_limit(struct rmk_ztier *t, u64 limit_bytes)
{
	WRITE_ONCE(t->limit_pages, limit_bytes >> PAGE_SHIFT);
}

/* 0 if zs's address cannot be packed, which no machine's physical memory reaches yet */
static u64 pack_handle(unsigned long zs, size_t len)
{
	u64 where = virt_to_phys((void *)zs);

	if (WARN_ON_ONCE(where >> LENGTH_SHIFT || where & 7))
		return 0;
	return (u64)(len - 1) << LENGTH_SHIFT | where;
}

static unsigned long unpack_handle(u64 handle, size_t *len)
{
	*len = (handle >> LENGTH_SHIFT) + 1;
	return (unsigned long)phys_to_virt(handle & (BIT_ULL(LENGTH_SHIFT) - 1));
}

/* Keep len bytes within the limit. */
static int store(struct rmk_ztier *t, const void *data, size_t len, u64 *handle)
{
	unsigned long zs = rmk_zs_malloc(t->pool, len, PUT_GFP), held;
	int err = -ENOMEM;

	if (!zs)
		return err;
	held = zs_get_total_pages(t->pool);
	if (held > READ_ONCE(t->limit_pages)) {
		err = -ENOSPC;
		goto free;
	}
	*handle = pack_handle(zs, len);
	if (!*handle)
		goto free;
	if (held > READ_ONCE(t->max_pages))
		WRITE_ONCE(t->max_pages, held);
	rmk_zs_store(t->pool, zs, data, len);
	return 0;

free:
	zs_free(t->pool, zs);
	return err;
}

/* Compress the page at src into c->buffer: its length, or PAGE_SIZE if it had better stay raw. */
static size_t compress(struct rmk_ztier *t, struct ztier_cpu *c, const void *src)
{
	size_t len = zstd_compress_cctx(c->cctx, c->buffer, zstd_compress_bound(PAGE_SIZE), src,
					PAGE_SIZE, &t->params);

	return zstd_is_error(len) || len >= t->raw_from ? PAGE_SIZE : len;
}

int rmk_ztier_put(struct rmk_ztier *t, const void *src, u64 *handle)
{
	unsigned long limit = READ_ONCE(t->limit_pages);
	struct ztier_cpu *c;
	int err = -ENOSPC;
	size_t len;

	/* at the limit a page may still fit beside others: store() will tell */
	if (!limit || zs_get_total_pages(t->pool) > limit)
		goto refused;

	c = raw_cpu_ptr(t->cpus);
	spin_lock(&c->lock);
	len = compress(t, c, src);
	err = store(t, len == PAGE_SIZE ? src : c->buffer, len, handle);
	spin_unlock(&c->lock);
	if (err)
		goto refused;

	this_cpu_inc(t->cpus->pages);
	this_cpu_add(t->cpus->bytes, len);
	if (len == PAGE_SIZE)
		this_cpu_inc(t->cpus->raw);
	return 0;

refused:
	this_cpu_inc(t->cpus->refused);
	return err;
}

static spinlock_t *hold_of(struct rmk_ztier *t, u64 handle)
{
	return &t->holds[hash_64(handle, HOLD_BITS)];
}

void rmk_ztier_hold(struct rmk_ztier *t, u64 handle) __acquires(hold_of(t, handle))
{
	spin_lock(hold_of(t, handle));
}

void rmk_ztier_release(struct rmk_ztier *t, u64 handle) __releases(hold_of(t, handle))
{
	spin_unlock(hold_of(t, handle));
}

static int decompress(struct rmk_ztier *t, unsigned long zs, size_t len, void *dst)
{
	struct ztier_cpu *c = raw_cpu_ptr(t->cpus);
	size_t got;
	void *object;

	spin_lock(&c->lock);
	object = rmk_zs_load_begin(t->pool, zs, len, c->buffer);
	got = zstd_decompress_dctx(c->dctx, dst, PAGE_SIZE, object, len);
	rmk_zs_load_end(t->pool, zs, len, object);
	spin_unlock(&c->lock);
	return got == PAGE_SIZE ? 0 : -EIO;
}

int rmk_ztier_get(struct rmk_ztier *t, u64 handle, void *dst)
{
	size_t len;
	unsigned long zs = unpack_handle(handle, &len);
	void *object;

	if (len < PAGE_SIZE)
		return decompress(t, zs, len, dst);

	/* an object of PAGE_SIZE fills one page: it never needs the bounce buffer */
	object = rmk_zs_load_begin(t->pool, zs, len, NULL);
	memcpy(dst, object, PAGE_SIZE);
	rmk_zs_load_end(t->pool, zs, len, object);
	return 0;
}

void rmk_ztier_free(struct rmk_ztier *t, u64 handle)
{
	size_t len;
	unsigned long zs = unpack_handle(handle, &len);

	rmk_ztier_hold(t, handle);
	zs_free(t->pool, zs);
	rmk_ztier_release(t, handle);
	this_cpu_dec(t->cpus->pages);
	this_cpu_sub(t->cpus->bytes, len);
	if (len == PAGE_SIZE)
		this_cpu_dec(t->cpus->raw);
}

void rmk_ztier_stats(struct rmk_ztier *t, struct rmk_ztier_stats *out)
{
	s64 pages = 0, bytes = 0, raw = 0, refused = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		const struct ztier_cpu *c = per_cpu_ptr(t->cpus, cpu);

		pages += READ_ONCE(c->pages);
		bytes += READ_ONCE(c->bytes);
		raw += READ_ONCE(c->raw);
		refused += READ_ONCE(c->refused);
	}
	/* a put and a free seen halfway may give a sum just below zero */
	out->pages = max_t(s64, pages, 0);
	out->compressed_bytes = max_t(s64, bytes, 0);
	out->incompressible = max_t(s64, raw, 0);
	out->refused = refused;
	out->used_bytes = (u64)zs_get_total_pages(t->pool) << PAGE_SHIFT;
	out->max_used_bytes = (u64)READ_ONCE(t->max_pages) << PAGE_SHIFT;
	out->limit_bytes = (u64)READ_ONCE(t->limit_pages) << PAGE_SHIFT;
}
