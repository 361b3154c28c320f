// SPDX-License-Identifier: GPL-2.0-only
/*
 * index_cost.c - what finding and publishing a page costs, by how many are stored.
 *
 * index-cost PAGES: one line of JSON, nanoseconds per operation. Pages are
 * simulated: entries that name slots, without slots. Two indexes:
 *
 *   library   libramster-rdma/index.c, a hash table
 *   module    core/index.h, an array as long as the device, published by exchange
 *
 * each at random, where every operation misses the caches once the index has
 * outgrown them, and in order. "one access" is the same walk over the module's
 * array, each reading waiting for the one before: what the machine's memory
 * takes of it. For bench/scaling.py.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../../libramster-rdma/index.h"

#define PROBES (1u << 20)
#define ROUNDS 5 /* the fastest counts: other work only ever adds */

static u64 pages;
static struct rmr_index library;
static struct core_entry *module;
static volatile u64 sink; /* what was read is used */
static volatile u64 zero; /* not known to the compiler */

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static u64 scrambled(u64 x)
{
	x = (x + 1) * 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	return (x ^ (x >> 31)) % pages;
}

static struct core_entry entry_of(u64 page, u32 crc)
{
	struct core_remote r = { .slab = (u32)(page >> 14), .slot = page & 16383, .crc = crc };

	return core_entry_remote(&r);
}

static struct rmr_key key_of(u64 page)
{
	return (struct rmr_key){ .object = page >> 18, .index = page, .pool = 1 };
}

/* The library calls this with the shard locked. */
static void hold(void *owner, struct core_entry e)
{
	(void)owner;
	sink = e.word0;
}

static void release(void *owner, struct core_entry e)
{
	(void)owner;
	(void)e;
}

/* ---- the operations: on a page, the number of the call ---- */

static void library_put(u64 page, u64 call)
{
	struct rmr_key key = key_of(page);
	u64 ticket = rmr_index_begin(&library, &key);
	struct core_entry old;

	if (!ticket || !rmr_index_publish(&library, &key, ticket, entry_of(page, (u32)call), &old))
		abort();
}

static void library_get(u64 page, u64 call)
{
	struct rmr_key key = key_of(page);
	struct core_entry e = rmr_index_get(&library, &key);

	(void)call;
	if (core_entry_where(e) != CORE_REMOTE || core_entry_get_remote(e).slot != (page & 16383))
		abort();
}

static void module_put(u64 page, u64 call)
{
	core_index_set(&module[page], entry_of(page, (u32)call));
}

static void module_get(u64 page, u64 call)
{
	(void)call;
	if (core_entry_get_remote(module[page]).slot != (page & 16383))
		abort();
}

static void one_access(u64 page, u64 call)
{
	(void)call;
	sink = module[page + (sink & zero)].word0;
}

/* ---- timing ---- */

static double time_of(void (*operate)(u64 page, u64 call), bool at_random)
{
	double best = 0, took;
	u32 round, i;

	for (round = 0; round < ROUNDS; round++) {
		took = now_ns();
		for (i = 0; i < PROBES; i++)
			operate(at_random ? scrambled(i + (u64)round * PROBES) : i % pages, i);
		took = (now_ns() - took) / PROBES;
		if (!round || took < best)
			best = took;
	}
	return best;
}

static void report(const char *name, void (*operate)(u64 page, u64 call))
{
	printf(", \"%s random\": %.1f, \"%s in order\": %.1f", name, time_of(operate, true), name,
	       time_of(operate, false));
}

int main(int argc, char **argv)
{
	u64 i;

	pages = argc == 2 ? strtoull(argv[1], NULL, 10) : 0;
	if (!pages || pages > 1000u * 1000 * 1000) {
		fputs("usage: index-cost PAGES   (1 to 1000000000)\n", stderr);
		return 2;
	}
	module = calloc(pages, sizeof(*module));
	if (!module || rmr_index_init(&library, hold, NULL)) {
		fputs("index-cost: out of memory\n", stderr);
		return 1;
	}
	for (i = 0; i < pages; i++) {
		library_put(i, 0);
		module_put(i, 0);
	}
	printf("{\"pages\": %" PRIu64, pages);
	report("library get", library_get);
	report("library put", library_put);
	report("module get", module_get);
	report("module put", module_put);
	report("one access", one_access);
	puts("}");
	rmr_index_uninit(&library, release);
	free(module);
	return 0;
}
