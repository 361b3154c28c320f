// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * index.c - the sharded hash table.
 */
#include "index.h"

#include <stdlib.h>
#include <sys/queue.h>

#define FIRST_BUCKETS 16
/* Of one index, 64 in a row are in a shard: neighbours are often put together. */
#define RUN_SHIFT 6

struct node {
	LIST_ENTRY(node) by_page, by_object;
	u64 object, index;
	struct core_entry entry; /* empty until the first put has ended */
	u64 ticket;
	u32 pool;
	bool used;
};

LIST_HEAD(chain, node);

struct rmr_shard {
	pthread_mutex_t lock;		   /* guards what follows */
	struct chain *by_page, *by_object; /* buckets each, one allocation */
	u32 buckets, nodes;		   /* buckets: a power of two */
	u64 ticket;
	u64 pages[CORE_WHERES];
} __attribute__((aligned(64)));

/* ---- hashing ---- */

/* splitmix64's last step: every bit of the input changes half of the output */
static u64 mix(u64 x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static u64 hash_object(u32 pool, u64 object)
{
	return mix(object + 0x9e3779b97f4a7c15ull * (pool + 1ull));
}

static u64 hash_page(u64 of_object, u64 index)
{
	return mix(of_object + index);
}

static struct rmr_shard *shard_of(struct rmr_index *x, const struct rmr_key *key)
{
	u64 h = hash_page(hash_object(key->pool, key->object), key->index >> RUN_SHIFT);

	return &x->shards[h % RMR_SHARDS];
}

static struct chain *page_chain(struct rmr_shard *s, u32 pool, u64 object, u64 index)
{
	return &s->by_page[hash_page(hash_object(pool, object), index) & (s->buckets - 1)];
}

static struct chain *object_chain(struct rmr_shard *s, u32 pool, u64 object)
{
	return &s->by_object[hash_object(pool, object) & (s->buckets - 1)];
}

static struct node *find(struct rmr_shard *s, const struct rmr_key *key)
{
	struct chain *chain = page_chain(s, key->pool, key->object, key->index);
	struct node *node;

	LIST_FOREACH(node, chain, by_page)
		if (node->index == key->index && node->object == key->object &&
		    node->pool == key->pool)
			return node;
	return NULL;
}

static void hang(struct rmr_shard *s, struct node *node)
{
	LIST_INSERT_HEAD(page_chain(s, node->pool, node->object, node->index), node, by_page);
	LIST_INSERT_HEAD(object_chain(s, node->pool, node->object), node, by_object);
}

/* Twice the buckets. Without memory the chains just get longer. */
static void grow(struct rmr_shard *s)
{
	struct chain *old = s->by_page;
	u32 i, n = s->buckets;
	struct node *node;
	struct chain *more = calloc(4ul * n, sizeof(*more));

	if (!more)
		return;
	s->by_page = more;
	s->by_object = more + 2ul * n;
	s->buckets = 2 * n;
	for (i = 0; i < n; i++) {
		while ((node = LIST_FIRST(&old[i]))) {
			LIST_REMOVE(node, by_page);
			hang(s, node);
		}
	}
	free(old);
}

static struct node *add(struct rmr_shard *s, const struct rmr_key *key)
{
	struct node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->pool = key->pool;
	node->object = key->object;
	node->index = key->index;
	node->entry = core_entry_empty();
	if (s->nodes++ == s->buckets)
		grow(s);
	hang(s, node);
	s->pages[CORE_EMPTY]++;
	return node;
}

static struct core_entry drop(struct rmr_shard *s, struct node *node)
{
	struct core_entry e = node->entry;

	LIST_REMOVE(node, by_page);
	LIST_REMOVE(node, by_object);
	s->pages[core_entry_where(e)]--;
	s->nodes--;
	free(node);
	return e;
}

static void account(struct rmr_shard *s, struct core_entry from, struct core_entry to)
{
	s->pages[core_entry_where(from)]--;
	s->pages[core_entry_where(to)]++;
}

/* ---- life ---- */

int rmr_index_init(struct rmr_index *x, void (*hold)(void *owner, struct core_entry e), void *owner)
{
	struct chain *buckets;
	u32 i;

	x->hold = hold;
	x->owner = owner;
	x->shards = aligned_alloc(64, RMR_SHARDS * sizeof(*x->shards));
	if (!x->shards)
		return -ENOMEM;
	memset(x->shards, 0, RMR_SHARDS * sizeof(*x->shards));
	for (i = 0; i < RMR_SHARDS; i++)
		pthread_mutex_init(&x->shards[i].lock, NULL);
	for (i = 0; i < RMR_SHARDS; i++) {
		buckets = calloc(2 * FIRST_BUCKETS, sizeof(*buckets));
		if (!buckets) {
			rmr_index_uninit(x, NULL); /* no page is there yet */
			return -ENOMEM;
		}
		x->shards[i].by_page = buckets;
		x->shards[i].by_object = buckets + FIRST_BUCKETS;
		x->shards[i].buckets = FIRST_BUCKETS;
	}
	return 0;
}

void rmr_index_uninit(struct rmr_index *x, void (*release)(void *owner, struct core_entry e))
{
	struct rmr_shard *s;
	struct node *node;
	u32 i;

	for (s = x->shards; s < x->shards + RMR_SHARDS; s++) {
		for (i = 0; i < s->buckets; i++)
			while ((node = LIST_FIRST(&s->by_page[i])))
				release(x->owner, drop(s, node));
		free(s->by_page);
		pthread_mutex_destroy(&s->lock);
	}
	free(x->shards);
}

/* ---- pages ---- */

struct core_entry rmr_index_get(struct rmr_index *x, const struct rmr_key *key)
{
	struct core_entry e = core_entry_empty();
	struct rmr_shard *s = shard_of(x, key);
	struct node *node;

	pthread_mutex_lock(&s->lock);
	node = find(s, key);
	if (node) {
		e = node->entry;
		node->used = true;
		x->hold(x->owner, e);
	}
	pthread_mutex_unlock(&s->lock);
	return e;
}

struct core_entry rmr_index_peek(struct rmr_index *x, const struct rmr_key *key)
{
	struct rmr_shard *s = shard_of(x, key);
	struct core_entry e;
	struct node *node;

	pthread_mutex_lock(&s->lock);
	node = find(s, key);
	e = node ? node->entry : core_entry_empty();
	pthread_mutex_unlock(&s->lock);
	return e;
}

u64 rmr_index_begin(struct rmr_index *x, const struct rmr_key *key)
{
	struct rmr_shard *s = shard_of(x, key);
	struct node *node;
	u64 ticket = 0;

	pthread_mutex_lock(&s->lock);
	node = find(s, key);
	if (!node)
		node = add(s, key);
	if (node)
		ticket = node->ticket = ++s->ticket;
	pthread_mutex_unlock(&s->lock);
	return ticket;
}

bool rmr_index_publish(struct rmr_index *x, const struct rmr_key *key, u64 ticket,
		       struct core_entry e, struct core_entry *old)
{
	struct rmr_shard *s = shard_of(x, key);
	struct node *node;
	bool mine;

	pthread_mutex_lock(&s->lock);
	node = find(s, key);
	mine = node && node->ticket == ticket;
	if (mine) {
		*old = core_index_set(&node->entry, e);
		account(s, *old, e);
	}
	pthread_mutex_unlock(&s->lock);
	return mine;
}

struct core_entry rmr_index_abort(struct rmr_index *x, const struct rmr_key *key, u64 ticket)
{
	struct core_entry e = core_entry_empty();
	struct rmr_shard *s = shard_of(x, key);
	struct node *node;

	pthread_mutex_lock(&s->lock);
	node = find(s, key);
	if (node && node->ticket == ticket)
		e = drop(s, node);
	pthread_mutex_unlock(&s->lock);
	return e;
}

bool rmr_index_replace(struct rmr_index *x, const struct rmr_key *key, struct core_entry expect,
		       struct core_entry e)
{
	struct rmr_shard *s = shard_of(x, key);
	struct node *node;
	bool done;

	pthread_mutex_lock(&s->lock);
	node = find(s, key);
	done = node && core_index_replace(&node->entry, expect, e);
	if (done)
		account(s, expect, e);
	if (done && core_entry_where(e) == CORE_EMPTY)
		drop(s, node);
	pthread_mutex_unlock(&s->lock);
	return done;
}

struct core_entry rmr_index_remove(struct rmr_index *x, const struct rmr_key *key)
{
	struct core_entry e = core_entry_empty();
	struct rmr_shard *s = shard_of(x, key);
	struct node *node;

	pthread_mutex_lock(&s->lock);
	node = find(s, key);
	if (node)
		e = drop(s, node);
	pthread_mutex_unlock(&s->lock);
	return e;
}

u32 rmr_index_remove_object(struct rmr_index *x, const struct rmr_key *key, u32 shard,
			    struct core_entry *entries, u32 max)
{
	struct rmr_shard *s = &x->shards[shard];
	struct node *node, *next;
	u32 n = 0;

	pthread_mutex_lock(&s->lock);
	for (node = LIST_FIRST(object_chain(s, key->pool, key->object)); node && n < max;
	     node = next) {
		next = LIST_NEXT(node, by_object);
		if (node->object == key->object && node->pool == key->pool)
			entries[n++] = drop(s, node);
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

u32 rmr_index_remove_pool(struct rmr_index *x, u32 pool, u32 shard, u32 *bucket,
			  struct core_entry *entries, u32 max)
{
	struct rmr_shard *s = &x->shards[shard];
	struct node *node, *next;
	u32 n = 0;

	pthread_mutex_lock(&s->lock);
	/* when buckets double, pages move to a later one or stay: none is missed */
	for (; *bucket < s->buckets; ++*bucket) {
		for (node = LIST_FIRST(&s->by_page[*bucket]); node && n < max; node = next) {
			next = LIST_NEXT(node, by_page);
			if (node->pool == pool)
				entries[n++] = drop(s, node);
		}
		if (n == max)
			break;
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

bool rmr_index_test_used(struct rmr_index *x, const struct rmr_key *key)
{
	struct rmr_shard *s = shard_of(x, key);
	struct node *node;
	bool used;

	pthread_mutex_lock(&s->lock);
	node = find(s, key);
	used = node && node->used;
	if (node)
		node->used = false;
	pthread_mutex_unlock(&s->lock);
	return used;
}

/* ---- looking ---- */

/* Up to max of a chain; *more: there were others. */
static u32 walk_chain(const struct chain *chain, enum core_where where, struct rmr_key *keys,
		      struct core_entry *entries, u32 max, bool *more)
{
	struct node *node;
	u32 n = 0;

	*more = false;
	LIST_FOREACH(node, chain, by_page) {
		if (core_entry_where(node->entry) != where)
			continue;
		*more = n == max;
		if (*more)
			break;
		keys[n].pool = node->pool;
		keys[n].object = node->object;
		keys[n].index = node->index;
		entries[n++] = node->entry;
	}
	return n;
}

u32 rmr_index_walk(struct rmr_index *x, u32 shard, u32 *bucket, enum core_where where,
		   struct rmr_key *keys, struct core_entry *entries, u32 max)
{
	struct rmr_shard *s = &x->shards[shard];
	u32 n = 0, got;
	bool more;

	pthread_mutex_lock(&s->lock);
	while (*bucket < s->buckets && s->pages[where]) {
		got = walk_chain(&s->by_page[*bucket], where, keys + n, entries + n, max - n,
				 &more);
		if (more && n)
			break; /* next time, from its beginning */
		n += got;
		++*bucket;
	}
	if (*bucket >= s->buckets || !s->pages[where])
		*bucket = ~0u;
	pthread_mutex_unlock(&s->lock);
	return n;
}

void rmr_index_count(struct rmr_index *x, u64 *pages)
{
	u32 i, where;

	memset(pages, 0, CORE_WHERES * sizeof(*pages));
	for (i = 0; i < RMR_SHARDS; i++) {
		pthread_mutex_lock(&x->shards[i].lock);
		for (where = 0; where < CORE_WHERES; where++)
			pages[where] += x->shards[i].pages[where];
		pthread_mutex_unlock(&x->shards[i].lock);
	}
}
