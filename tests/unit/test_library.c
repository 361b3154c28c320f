// SPDX-License-Identifier: GPL-2.0-only
/* The library's books: index, slabs, compressed tier, checksum. */
#include <pthread.h>
#include <stdlib.h>

#include "unit.h"
#include "../../libramster-rdma/crc32c.h"
#include "../../libramster-rdma/index.h"
#include "../../libramster-rdma/slab.h"
#include "../../libramster-rdma/ztier.h"

const char unit_name[] = "library";

/* ---- index ---- */

static unsigned int held;

static void hold(void *owner, struct core_entry e)
{
	(void)owner;
	held += core_entry_where(e) == CORE_SAME;
}

static unsigned int released;

static void release(void *owner, struct core_entry e)
{
	(void)owner;
	released += core_entry_where(e) == CORE_SAME;
}

static struct rmr_key key_of(u32 pool, u64 object, u64 index)
{
	struct rmr_key key = { .object = object, .index = index, .pool = pool };

	return key;
}

/* A put from beginning to end; what it replaced. */
static struct core_entry put(struct rmr_index *x, const struct rmr_key *key, u64 word)
{
	struct core_entry old = core_entry_lost();
	u64 ticket = rmr_index_begin(x, key);

	CU_ASSERT(ticket != 0);
	CU_ASSERT(rmr_index_publish(x, key, ticket, core_entry_same(word), &old));
	return old;
}

static void test_put_and_remove(void)
{
	struct rmr_key key = key_of(1, 2, 3);
	struct core_entry e;
	struct rmr_index x;

	CU_ASSERT_FATAL(!rmr_index_init(&x, hold, NULL));
	held = 0;
	CU_ASSERT(core_entry_where(rmr_index_get(&x, &key)) == CORE_EMPTY);
	CU_ASSERT(core_entry_where(put(&x, &key, 7)) == CORE_EMPTY);
	e = put(&x, &key, 8);
	CU_ASSERT(core_entry_where(e) == CORE_SAME && core_entry_get_word(e) == 7);
	CU_ASSERT(core_entry_get_word(rmr_index_get(&x, &key)) == 8);
	CU_ASSERT(held == 1);
	CU_ASSERT(rmr_index_test_used(&x, &key));
	CU_ASSERT(!rmr_index_test_used(&x, &key));
	e = rmr_index_remove(&x, &key);
	CU_ASSERT(core_entry_get_word(e) == 8);
	CU_ASSERT(core_entry_where(rmr_index_remove(&x, &key)) == CORE_EMPTY);
	rmr_index_uninit(&x, release);
}

/* Of puts under way at once the one that began last counts, whichever ends first. */
static void test_tickets(void)
{
	struct rmr_key key = key_of(1, 2, 3);
	struct core_entry old = core_entry_empty();
	struct rmr_index x;
	u64 first, second;

	CU_ASSERT_FATAL(!rmr_index_init(&x, hold, NULL));
	first = rmr_index_begin(&x, &key);
	second = rmr_index_begin(&x, &key);
	CU_ASSERT(first != second);
	CU_ASSERT(core_entry_where(rmr_index_peek(&x, &key)) == CORE_EMPTY);
	CU_ASSERT(rmr_index_publish(&x, &key, second, core_entry_same(2), &old));
	CU_ASSERT(!rmr_index_publish(&x, &key, first, core_entry_same(1), &old));
	CU_ASSERT(core_entry_get_word(rmr_index_peek(&x, &key)) == 2);
	/* a put that fails takes the old page with it, but not one put since */
	first = rmr_index_begin(&x, &key);
	second = rmr_index_begin(&x, &key);
	CU_ASSERT(core_entry_where(rmr_index_abort(&x, &key, first)) == CORE_EMPTY);
	CU_ASSERT(core_entry_get_word(rmr_index_peek(&x, &key)) == 2);
	CU_ASSERT(core_entry_get_word(rmr_index_abort(&x, &key, second)) == 2);
	CU_ASSERT(core_entry_where(rmr_index_peek(&x, &key)) == CORE_EMPTY);
	/* a flush ends those under way, also if a new page comes after it */
	first = rmr_index_begin(&x, &key);
	rmr_index_remove(&x, &key);
	second = rmr_index_begin(&x, &key);
	CU_ASSERT(!rmr_index_publish(&x, &key, first, core_entry_same(1), &old));
	CU_ASSERT(rmr_index_publish(&x, &key, second, core_entry_same(2), &old));
	/* a move is too late when the page has changed */
	CU_ASSERT(!rmr_index_replace(&x, &key, core_entry_same(1), core_entry_same(9)));
	CU_ASSERT(rmr_index_replace(&x, &key, core_entry_same(2), core_entry_same(9)));
	CU_ASSERT(rmr_index_replace(&x, &key, core_entry_same(9), core_entry_empty()));
	CU_ASSERT(!rmr_index_replace(&x, &key, core_entry_same(9), core_entry_same(1)));
	rmr_index_uninit(&x, release);
}

#define MANY 40000u

static u32 remove_object(struct rmr_index *x, u32 pool, u64 object)
{
	struct rmr_key key = key_of(pool, object, 0);
	struct core_entry entries[7];
	u32 shard, n, sum = 0;

	for (shard = 0; shard < RMR_SHARDS; shard++) {
		do {
			n = rmr_index_remove_object(x, &key, shard, entries, 7);
			sum += n;
		} while (n == 7);
	}
	return sum;
}

static u32 remove_pool(struct rmr_index *x, u32 pool)
{
	struct core_entry entries[7];
	u32 shard, bucket, n, sum = 0;

	for (shard = 0; shard < RMR_SHARDS; shard++) {
		bucket = 0;
		do {
			n = rmr_index_remove_pool(x, pool, shard, &bucket, entries, 7);
			sum += n;
		} while (n == 7);
	}
	return sum;
}

static u32 walk(struct rmr_index *x, enum core_where where)
{
	struct core_entry entries[20];
	struct rmr_key keys[20];
	u32 shard, bucket, sum = 0;

	for (shard = 0; shard < RMR_SHARDS; shard++)
		for (bucket = 0; bucket != ~0u;)
			sum += rmr_index_walk(x, shard, &bucket, where, keys, entries, 20);
	return sum;
}

static void test_many(void)
{
	u64 pages[CORE_WHERES];
	struct rmr_index x;
	struct rmr_key key;
	u32 i, wrong = 0;

	CU_ASSERT_FATAL(!rmr_index_init(&x, hold, NULL));
	for (i = 0; i < MANY; i++) {
		key = key_of(i % 2, i % 100, i);
		put(&x, &key, i);
	}
	for (i = 0; i < MANY; i++) {
		key = key_of(i % 2, i % 100, i);
		wrong += core_entry_get_word(rmr_index_peek(&x, &key)) != i;
		key.pool ^= 1;
		wrong += core_entry_where(rmr_index_peek(&x, &key)) != CORE_EMPTY;
	}
	CU_ASSERT(!wrong);
	rmr_index_count(&x, pages);
	CU_ASSERT(pages[CORE_SAME] == MANY && !pages[CORE_EMPTY]);
	CU_ASSERT(walk(&x, CORE_SAME) == MANY && !walk(&x, CORE_ZSTD));
	CU_ASSERT(remove_object(&x, 1, 3) == MANY / 100);
	CU_ASSERT(remove_object(&x, 0, 3) == 0);
	CU_ASSERT(remove_pool(&x, 1) == MANY / 2 - MANY / 100);
	CU_ASSERT(remove_pool(&x, 1) == 0);
	released = 0;
	rmr_index_uninit(&x, release);
	CU_ASSERT(released == MANY / 2);
}

/* Threads put, get and flush the same few pages: each get gives what some put put there. */
static void *hammer(void *arg)
{
	struct rmr_index *x = arg;
	struct core_entry e;
	struct rmr_key key;
	uintptr_t wrong = 0;
	u32 i;

	for (i = 0; i < 20000; i++) {
		key = key_of(0, 0, i % 64);
		if (i % 3 == 0) {
			u64 ticket = rmr_index_begin(x, &key);

			rmr_index_publish(x, &key, ticket, core_entry_same(i % 64), &e);
		} else if (i % 7 == 0) {
			rmr_index_remove(x, &key);
		} else {
			e = rmr_index_peek(x, &key);
			wrong += core_entry_where(e) == CORE_SAME &&
				 core_entry_get_word(e) != i % 64;
		}
	}
	return (void *)wrong;
}

static void test_threads(void)
{
	pthread_t threads[4];
	struct rmr_index x;
	void *wrong;
	u32 i;

	CU_ASSERT_FATAL(!rmr_index_init(&x, hold, NULL));
	for (i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, hammer, &x);
	for (i = 0; i < 4; i++) {
		pthread_join(threads[i], &wrong);
		CU_ASSERT(!wrong);
	}
	rmr_index_uninit(&x, release);
}

/* ---- slabs ---- */

#define SLAB_BYTES (1ull << 20)

/* A donor: only the address counts here. */
static char donor_place[2];
#define DONOR(i) ((struct rmr_session *)&donor_place[i])

static unsigned int told;

static void retirable(void *arg)
{
	(void)arg;
	told++;
}

static void grant(struct rmr_slabs *slabs, struct rmr_session *s, u64 id)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SLAB_GRANT,
		.grant = {
			.slab_id = id,
			.addr = id << 32,
			.len = SLAB_BYTES,
			.generation = (u32)id + 100,
		},
	};

	CU_ASSERT(!rmr_slabs_add(slabs, s, &msg));
}

static void test_slots(void)
{
	struct rmr_key key = key_of(0, 1, 2), found;
	struct rmr_slab *slab, *first;
	struct rmr_retired gone;
	struct rmr_slabs slabs;
	u32 hint = 0, slot, n;

	CU_ASSERT_FATAL(!rmr_slabs_init(&slabs, SLAB_BYTES, retirable, NULL));
	CU_ASSERT(!rmr_slabs_alloc(&slabs, &hint, 4096, &key, &slot));
	grant(&slabs, DONOR(0), 1);
	grant(&slabs, DONOR(0), 2);
	first = rmr_slabs_alloc(&slabs, &hint, 65536, &key, &slot);
	CU_ASSERT_FATAL(first != NULL);
	CU_ASSERT(slot == 0);
	/* a slab holds pages of one size */
	slab = rmr_slabs_alloc(&slabs, &hint, 4096, &key, &slot);
	CU_ASSERT(slab && slab != first);
	CU_ASSERT(!rmr_slabs_alloc(&slabs, &hint, 8192, &key, &slot));
	for (n = 1; rmr_slabs_alloc(&slabs, &hint, 65536, &key, &slot); n++)
		CU_ASSERT(slot == n);
	CU_ASSERT(n == SLAB_BYTES / 65536);
	slot = 0;
	CU_ASSERT(rmr_slab_next_used(first, &slot, &found) && slot == 0);
	CU_ASSERT(found.object == 1 && found.index == 2);
	/* empty and let go of, it serves for another size */
	for (slot = 0; slot < n; slot++) {
		rmr_slab_free_slot(&slabs, first, slot);
		rmr_slab_put(&slabs, first);
	}
	CU_ASSERT(rmr_slabs_alloc(&slabs, &hint, 8192, &key, &slot) == first);
	CU_ASSERT(!rmr_slabs_retire(&slabs, true, &gone));
	rmr_slab_free_slot(&slabs, first, slot);
	CU_ASSERT(!rmr_slabs_retire(&slabs, true, &gone)); /* a request may be under way */
	rmr_slab_put(&slabs, first);
	CU_ASSERT(!rmr_slabs_retire(&slabs, false, &gone));
	CU_ASSERT(rmr_slabs_retire(&slabs, true, &gone));
	CU_ASSERT(gone.release && gone.session == DONOR(0));
	CU_ASSERT(rmr_slab_state(first) == CORE_LEASE_FREE);
	rmr_slabs_uninit(&slabs);
}

static void test_leases(void)
{
	struct rmr_key key = key_of(0, 1, 2);
	struct core_remote where = { 0 };
	struct rmr_slabs_count count;
	struct rmr_retired gone;
	struct rmr_slabs slabs;
	struct rmr_slab *slab;
	u32 hint = 0, slot;

	CU_ASSERT_FATAL(!rmr_slabs_init(&slabs, SLAB_BYTES, retirable, NULL));
	grant(&slabs, DONOR(0), 1);
	grant(&slabs, DONOR(1), 1);
	CU_ASSERT(rmr_slabs_known(&slabs, DONOR(1), 1, 101));
	CU_ASSERT(!rmr_slabs_known(&slabs, DONOR(1), 1, 102));
	CU_ASSERT(!rmr_slabs_known(&slabs, DONOR(1), 2, 102));
	slab = rmr_slabs_alloc(&slabs, &hint, 4096, &key, &slot);
	CU_ASSERT_FATAL(slab && slab->session == DONOR(0));
	CU_ASSERT(rmr_slabs_event(&slabs, DONOR(0), 1, 101, CORE_LEASE_REVOKE));
	CU_ASSERT(!rmr_slabs_event(&slabs, DONOR(0), 1, 101, CORE_LEASE_REVOKE));
	rmr_slabs_count(&slabs, NULL, &count);
	CU_ASSERT(count.held == 2 && count.revoking == 1 && count.empty == 1 &&
		  count.used_pages == 1);
	/* nothing new goes there; what is there is found */
	CU_ASSERT(rmr_slabs_alloc(&slabs, &hint, 4096, &key, &slot)->session == DONOR(1));
	where.slab = slab->index;
	where.generation = slab->generation;
	CU_ASSERT(rmr_slabs_find(&slabs, &where) == slab);
	where.generation++;
	CU_ASSERT(!rmr_slabs_find(&slabs, &where));
	where.slab = 77;
	CU_ASSERT(!rmr_slabs_find(&slabs, &where));
	/* the connection breaks and comes back; then the slab is emptied */
	rmr_slabs_event_all(&slabs, DONOR(0), CORE_LEASE_DISCONNECT);
	CU_ASSERT(rmr_slab_state(slab) == CORE_LEASE_ORPHANED_REVOKING);
	rmr_slabs_event_all(&slabs, DONOR(0), CORE_LEASE_RESUME);
	CU_ASSERT(rmr_slab_state(slab) == CORE_LEASE_REVOKING);
	told = 0;
	rmr_slab_free_slot(&slabs, slab, 0);
	rmr_slab_put(&slabs, slab);
	CU_ASSERT(told > 0);
	CU_ASSERT(rmr_slabs_retire(&slabs, false, &gone) && gone.release && gone.id == 1 &&
		  gone.generation == 101);
	/* a fenced one is not released: the donor knows */
	CU_ASSERT(rmr_slab_refused(&slabs, rmr_slabs_at(&slabs, hint)));
	CU_ASSERT(!rmr_slabs_retire(&slabs, false, &gone));
	rmr_slab_free_slot(&slabs, rmr_slabs_at(&slabs, hint), slot);
	rmr_slab_put(&slabs, rmr_slabs_at(&slabs, hint));
	CU_ASSERT(rmr_slabs_retire(&slabs, false, &gone) && !gone.release);
	/* structs are used again */
	grant(&slabs, DONOR(1), 9);
	CU_ASSERT(rmr_slabs_end(&slabs) == 2);
	rmr_slabs_uninit(&slabs);
}

/* After a resume the donor names what it has; meanwhile a request may fail again. */
static void test_naming(void)
{
	struct rmr_slabs slabs;
	u64 id;

	CU_ASSERT_FATAL(!rmr_slabs_init(&slabs, SLAB_BYTES, retirable, NULL));
	for (id = 1; id <= 3; id++)
		grant(&slabs, DONOR(0), id);
	grant(&slabs, DONOR(1), 1);
	rmr_slabs_unname(&slabs, DONOR(0));
	rmr_slabs_event_all(&slabs, DONOR(0), CORE_LEASE_DISCONNECT);
	rmr_slabs_event_all(&slabs, DONOR(1), CORE_LEASE_DISCONNECT);
	CU_ASSERT(rmr_slabs_event(&slabs, DONOR(0), 1, 101, CORE_LEASE_RESUME));
	CU_ASSERT(rmr_slabs_event(&slabs, DONOR(0), 3, 103, CORE_LEASE_RESUME));
	rmr_slabs_event_all(&slabs, DONOR(0), CORE_LEASE_DISCONNECT);
	CU_ASSERT(rmr_slabs_fence_unnamed(&slabs, DONOR(0)) == 1);
	CU_ASSERT(rmr_slab_state(rmr_slabs_at(&slabs, 0)) == CORE_LEASE_ORPHANED);
	CU_ASSERT(rmr_slab_state(rmr_slabs_at(&slabs, 1)) == CORE_LEASE_FENCED);
	CU_ASSERT(rmr_slab_state(rmr_slabs_at(&slabs, 2)) == CORE_LEASE_ORPHANED);
	CU_ASSERT(rmr_slab_state(rmr_slabs_at(&slabs, 3)) == CORE_LEASE_ORPHANED);
	/* the next connection: what was named by the last one counts no more */
	rmr_slabs_unname(&slabs, DONOR(0));
	CU_ASSERT(rmr_slabs_fence_unnamed(&slabs, DONOR(0)) == 2);
	CU_ASSERT(rmr_slab_state(rmr_slabs_at(&slabs, 3)) == CORE_LEASE_ORPHANED);
	rmr_slabs_uninit(&slabs);
}

/* ---- compressed tier, checksum ---- */

static void test_ztier(void)
{
	u8 page[65536], back[65536];
	struct rmr_ztier z;
	u64 handle[2], more;
	size_t i;

	rmr_ztier_init(&z, 80000);
	for (i = 0; i < sizeof(page); i++)
		page[i] = (u8)(i / 300);
	CU_ASSERT(!rmr_ztier_put(&z, page, sizeof(page), &handle[0]));
	CU_ASSERT(rmr_ztier_bytes(&z) < sizeof(page) / 8);
	CU_ASSERT(!rmr_ztier_get(handle[0], back, sizeof(back)));
	CU_ASSERT(!memcmp(page, back, sizeof(page)));
	/* what cannot be compressed is kept as it is, until the limit */
	for (i = 0; i < sizeof(page); i++)
		page[i] = (u8)unit_random();
	CU_ASSERT(!rmr_ztier_put(&z, page, sizeof(page), &handle[1]));
	CU_ASSERT(!rmr_ztier_get(handle[1], back, sizeof(back)));
	CU_ASSERT(!memcmp(page, back, sizeof(page)));
	CU_ASSERT(rmr_ztier_put(&z, page, sizeof(page), &more) == -ENOSPC);
	rmr_ztier_hold(handle[1]);
	rmr_ztier_release(&z, handle[1]);
	CU_ASSERT(!rmr_ztier_get(handle[1], back, sizeof(back)));
	rmr_ztier_release(&z, handle[1]);
	rmr_ztier_release(&z, handle[0]);
	CU_ASSERT(!rmr_ztier_bytes(&z));
}

/* Bit by bit, as it is defined. */
static u32 crc_of(const u8 *p, size_t len)
{
	u32 crc = ~0u, i;

	for (; len; len--, p++)
		for (crc ^= *p, i = 0; i < 8; i++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
	return crc;
}

static void test_crc32c(void)
{
	static u8 data[65536 + 8];
	u32 i, crc;

	/* iSCSI's test vectors (RFC 3720, B.4), which invert the end */
	CU_ASSERT(~rmr_crc32c(data, 32) == 0x8a9136aau);
	memset(data, 0xff, 32);
	CU_ASSERT(~rmr_crc32c(data, 32) == 0x62a8ab43u);
	for (i = 0; i < 32; i++)
		data[i] = (u8)i;
	CU_ASSERT(~rmr_crc32c(data, 32) == 0x46dd794eu);
	CU_ASSERT(~rmr_crc32c_table("123456789", 9) == 0xe3069283u);
	for (i = 0; i < sizeof(data); i++)
		data[i] = (u8)unit_random();
	for (i = 0; i < 200; i++) {
		size_t len = unit_below(65536 / 8 + 1) * 8u, at = unit_below(8);

		crc = crc_of(data + at, len);
		CU_ASSERT(rmr_crc32c(data + at, len) == crc);
		CU_ASSERT(rmr_crc32c_table(data + at, len) == crc);
	}
}

CU_TestInfo unit_tests[] = {
	{ "a page is put, read, removed", test_put_and_remove },
	{ "puts at once", test_tickets },
	{ "many pages", test_many },
	{ "threads", test_threads },
	{ "slots", test_slots },
	{ "leases", test_leases },
	{ "naming after a resume", test_naming },
	{ "compressed tier", test_ztier },
	{ "checksum", test_crc32c },
	CU_TEST_INFO_NULL,
};
