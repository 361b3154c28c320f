// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * ztier.c - zstd over malloc.
 *
 * Each thread that compresses keeps its workspace until it ends. They are of
 * the process, not of a fabric: a thread needs one only.
 */
#include "ztier.h"

#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>

/* The fastest level with a real gain: pages are compressed while somebody waits. */
#define LEVEL 1

struct block {
	u32 refs; /* atomic */
	u32 size;
	u8 data[];
};

struct workspace {
	ZSTD_CCtx *compress;
	ZSTD_DCtx *decompress;
	void *buffer;
	size_t size;
};

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int key_err;

static void workspace_free(void *arg)
{
	struct workspace *w = arg;

	ZSTD_freeCCtx(w->compress);
	ZSTD_freeDCtx(w->decompress);
	free(w->buffer);
	free(w);
}

static void key_create(void)
{
	key_err = pthread_key_create(&key, workspace_free);
}

static struct workspace *workspace(void)
{
	struct workspace *w;

	pthread_once(&once, key_create);
	if (key_err)
		return NULL;
	w = pthread_getspecific(key);
	if (w)
		return w;
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->compress = ZSTD_createCCtx();
	w->decompress = ZSTD_createDCtx();
	if (!w->compress || !w->decompress || pthread_setspecific(key, w)) {
		workspace_free(w);
		return NULL;
	}
	return w;
}

static bool reserve(struct workspace *w, size_t size)
{
	if (w->size >= size)
		return true;
	free(w->buffer);
	w->buffer = malloc(size);
	w->size = w->buffer ? size : 0;
	return w->buffer;
}

void rmr_ztier_init(struct rmr_ztier *z, u64 limit)
{
	z->limit = limit;
	z->bytes = 0;
}

static bool charge(struct rmr_ztier *z, u64 bytes)
{
	if (__atomic_add_fetch(&z->bytes, bytes, __ATOMIC_RELAXED) <= z->limit)
		return true;
	__atomic_sub_fetch(&z->bytes, bytes, __ATOMIC_RELAXED);
	return false;
}

static struct block *store(struct rmr_ztier *z, const void *data, size_t size, int *err)
{
	struct block *b;

	*err = -ENOSPC;
	if (!charge(z, sizeof(*b) + size))
		return NULL;
	b = malloc(sizeof(*b) + size);
	*err = -ENOMEM;
	if (!b) {
		__atomic_sub_fetch(&z->bytes, sizeof(*b) + size, __ATOMIC_RELAXED);
		return NULL;
	}
	b->refs = 1;
	b->size = (u32)size;
	memcpy(b->data, data, size);
	return b;
}

int rmr_ztier_put(struct rmr_ztier *z, const void *data, u32 len, u64 *handle)
{
	struct workspace *w;
	struct block *b;
	size_t size;
	int err;

	if (rmr_ztier_bytes(z) >= z->limit)
		return -ENOSPC;
	w = workspace();
	if (!w || !reserve(w, ZSTD_compressBound(len)))
		return -ENOMEM;
	size = ZSTD_compressCCtx(w->compress, w->buffer, w->size, data, len, LEVEL);
	if (ZSTD_isError(size))
		return -ENOMEM;
	/* what does not get smaller is kept as it is; the size tells */
	b = size < len ? store(z, w->buffer, size, &err) : store(z, data, len, &err);
	if (!b)
		return err;
	*handle = (uintptr_t)b;
	return 0;
}

int rmr_ztier_get(u64 handle, void *data, u32 len)
{
	const struct block *b = (struct block *)(uintptr_t)handle;
	struct workspace *w;
	size_t got;

	if (b->size == len) {
		memcpy(data, b->data, len);
		return 0;
	}
	w = workspace();
	if (!w)
		return -ENOMEM;
	got = ZSTD_decompressDCtx(w->decompress, data, len, b->data, b->size);
	return got == len ? 0 : -EIO;
}

void rmr_ztier_hold(u64 handle)
{
	struct block *b = (struct block *)(uintptr_t)handle;

	__atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
}

void rmr_ztier_release(struct rmr_ztier *z, u64 handle)
{
	struct block *b = (struct block *)(uintptr_t)handle;

	if (__atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL))
		return;
	__atomic_sub_fetch(&z->bytes, sizeof(*b) + b->size, __ATOMIC_RELAXED);
	free(b);
}

u64 rmr_ztier_bytes(const struct rmr_ztier *z)
{
	return __atomic_load_n(&z->bytes, __ATOMIC_RELAXED);
}
