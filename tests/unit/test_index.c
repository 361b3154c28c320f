// SPDX-License-Identifier: GPL-2.0-only
/* Page index: packing, and coherence under interleaved puts, moves, flushes and gets. */
#include "unit.h"
#include "index.h"

const char unit_name[] = "index";

static void empty_is_zero(void)
{
	struct core_entry zero = { 0, 0 };

	CU_ASSERT_TRUE(core_entry_equal(core_entry_empty(), zero));
	CU_ASSERT_EQUAL(core_entry_where(zero), CORE_EMPTY);
	CU_ASSERT_EQUAL(core_entry_where(core_entry_lost()), CORE_LOST);
	CU_ASSERT_FALSE(core_entry_equal(core_entry_lost(), zero));
}

static bool remote_survives(const struct core_remote *r)
{
	struct core_entry e = core_entry_remote(r);
	struct core_remote back = core_entry_get_remote(e);

	return core_entry_where(e) == CORE_REMOTE && core_entry_get_crc(e) == r->crc &&
	       !memcmp(r, &back, sizeof(back));
}

static void remote(void)
{
	static const u32 slots[] = { 0, 1, (1u << CORE_SLOT_BITS) - 1 };
	static const u32 slabs[] = { 0, 1, (1u << CORE_SLAB_BITS) - 1 };
	static const u32 gens[] = { 0, 1, (1u << CORE_GENERATION_BITS) - 1 };
	static const u32 crcs[] = { 0, 1, ~0u };
	struct core_remote r;
	u32 i;

	for (i = 0; i < 81; i++) {
		r.slot = slots[i % 3];
		r.slab = slabs[i / 3 % 3];
		r.generation = gens[i / 9 % 3];
		r.crc = crcs[i / 27];
		CU_ASSERT_TRUE(remote_survives(&r));
	}
	for (i = 0; i < 100000; i++) {
		r.slot = unit_below(1u << CORE_SLOT_BITS);
		r.slab = unit_below(1u << CORE_SLAB_BITS);
		r.generation = unit_below(1u << CORE_GENERATION_BITS);
		r.crc = (u32)unit_random();
		CU_ASSERT_TRUE(remote_survives(&r));
	}
}

static void staged(void)
{
	u32 i;

	for (i = 0; i < 100000; i++) {
		u32 buffer = unit_below(1u << CORE_BUFFER_BITS), crc = (u32)unit_random();
		u64 generation = unit_random() >> 23;
		struct core_entry e = core_entry_staged(buffer, generation, crc);

		CU_ASSERT_EQUAL(core_entry_where(e), CORE_STAGED);
		CU_ASSERT_EQUAL(core_entry_get_buffer(e), buffer);
		CU_ASSERT_EQUAL(core_entry_get_crc(e), crc);
		/* taken again, the same buffer with the same content is another entry */
		CU_ASSERT_FALSE(
			core_entry_equal(e, core_entry_staged(buffer, generation + 1, crc)));
	}
}

/* A slab's generation has 32 bits, the entry keeps the low ones: only these count. */
static void freshness(void)
{
	static const struct {
		const char *name;
		u32 entry, slab;
		bool fresh;
	} rows[] = {
		{ "same", 7, 7, true },
		{ "older", 6, 7, false },
		{ "newer", 8, 7, false },
		{ "differ in the top kept bit", 7, 7 | 1u << (CORE_GENERATION_BITS - 1), false },
		{ "differ above", 7, 7 | 1u << CORE_GENERATION_BITS, true },
		{ "all ones", ~0u, (1u << CORE_GENERATION_BITS) - 1, true },
	};
	struct core_remote r = { 0 }, back;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		r.generation = rows[i].entry;
		back = core_entry_get_remote(core_entry_remote(&r));
		UNIT_ROW(rows[i].name, core_entry_fresh(&r, rows[i].slab) == rows[i].fresh);
		UNIT_ROW(rows[i].name, core_entry_fresh(&back, rows[i].slab) == rows[i].fresh);
	}
}

/* A field that is too large stays out of its neighbours. */
static void overlong_fields(void)
{
	struct core_remote r = { .slot = ~0u };
	struct core_remote back = core_entry_get_remote(core_entry_remote(&r));

	CU_ASSERT_EQUAL(back.slot, (1u << CORE_SLOT_BITS) - 1);
	CU_ASSERT_TRUE(!back.slab && !back.generation && !back.crc);
	r = (struct core_remote){ .slab = ~0u };
	back = core_entry_get_remote(core_entry_remote(&r));
	CU_ASSERT_EQUAL(back.slab, (1u << CORE_SLAB_BITS) - 1);
	CU_ASSERT_TRUE(!back.slot && !back.generation && !back.crc);
}

static void zstd_and_same(void)
{
	struct core_entry e;
	u64 handle, word;
	u32 i, crc;

	for (i = 0; i < 10000; i++) {
		handle = unit_random() & ~7ull;
		word = unit_random();
		crc = (u32)unit_random();
		e = core_entry_zstd(handle, crc);
		CU_ASSERT_EQUAL(core_entry_where(e), CORE_ZSTD);
		CU_ASSERT_EQUAL(core_entry_get_handle(e), handle);
		CU_ASSERT_EQUAL(core_entry_get_crc(e), crc);
		e = core_entry_same(word);
		CU_ASSERT_EQUAL(core_entry_where(e), CORE_SAME);
		CU_ASSERT_EQUAL(core_entry_get_word(e), word);
	}
}

/*
 * The model: a few pages, whose copies lie in numbered places. Each actor does
 * one operation in two steps, as the real ones do (look at the entry or write
 * the copy, then publish), and the steps of all actors interleave at random.
 * A place remembers which page and version was written there last, so a copy
 * that was freed too early shows as somebody else's content.
 */
#define PAGES  4u
#define ACTORS 6u
#define PLACES (PAGES + ACTORS + 2)
#define STEPS  400000u

enum op { IDLE, PUT, MOVE, GET };

struct actor {
	enum op op;
	u32 page;
	u32 place;		/* PUT, MOVE: the new copy; PLACES if it has none */
	struct core_entry seen; /* MOVE, GET: the entry at the first step */
	struct core_entry made; /* PUT, MOVE: what will be published */
};

static struct core_entry pages[PAGES];
static u32 latest[PAGES]; /* version of the last put; 0 = flushed or never put */
static u32 versions;
static struct {
	bool used;
	u32 page, version;
} places[PLACES];
static u32 gets, moves, lost_races;

static u32 place_of(struct core_entry e)
{
	switch (core_entry_where(e)) {
	case CORE_REMOTE:
		return core_entry_get_remote(e).slot;
	case CORE_ZSTD:
		return (u32)(core_entry_get_handle(e) >> 3);
	default:
		return PLACES;
	}
}

static void free_place(u32 place)
{
	if (place == PLACES)
		return;
	CU_ASSERT_TRUE_FATAL(places[place].used);
	places[place].used = false;
}

/* Write a copy of the page's version somewhere; the entry that says where. */
static struct core_entry write_copy(u32 page, u32 version, u32 *place)
{
	struct core_remote r = { .slab = 1, .generation = 1, .crc = version };

	*place = PLACES;
	if (unit_below(5) == 0)
		return core_entry_same(version);
	for (*place = 0; *place < PLACES && places[*place].used; ++*place)
		;
	CU_ASSERT_FATAL(*place < PLACES); /* a leak: there is one for every entry and actor */
	places[*place].used = true;
	places[*place].page = page;
	places[*place].version = version;
	r.slot = *place;
	return unit_below(2) ? core_entry_remote(&r) : core_entry_zstd((u64)*place << 3, version);
}

static void begin(struct actor *a)
{
	static const enum op ops[] = { PUT, MOVE, GET };

	a->op = ops[unit_below(ARRAY_SIZE(ops))];
	a->page = unit_below(PAGES);
	a->seen = pages[a->page];
	if (a->op == PUT)
		a->made = write_copy(a->page, ++versions, &a->place);
	else if (a->op == MOVE && place_of(a->seen) != PLACES)
		a->made = write_copy(a->page, core_entry_get_crc(a->seen), &a->place);
	else if (a->op == MOVE)
		a->op = IDLE;
}

static u32 version_of(struct core_entry e)
{
	u32 place = place_of(e);

	return place == PLACES ? (u32)core_entry_get_word(e) : core_entry_get_crc(e);
}

/* What a get finds at its second step: the last put's version, or nothing after a flush. */
static void finish_get(const struct actor *a)
{
	struct core_entry e = pages[a->page];
	u32 place = place_of(e);

	if (!core_entry_equal(e, a->seen))
		return; /* changed while it was read: the reader looks again */
	gets++;
	CU_ASSERT_EQUAL_FATAL(core_entry_where(e) == CORE_EMPTY ? 0 : version_of(e),
			      latest[a->page]);
	if (place != PLACES)
		CU_ASSERT_FATAL(places[place].used && places[place].page == a->page &&
				places[place].version == latest[a->page]);
}

static void finish(struct actor *a)
{
	switch (a->op) {
	case PUT:
		free_place(place_of(core_index_set(&pages[a->page], a->made)));
		latest[a->page] = version_of(a->made);
		break;
	case MOVE:
		if (core_index_replace(&pages[a->page], a->seen, a->made)) {
			moves++;
			free_place(place_of(a->seen));
		} else {
			lost_races++;
			free_place(a->place);
		}
		break;
	case GET:
		finish_get(a);
		break;
	case IDLE:
		break;
	}
	a->op = IDLE;
}

static void flush(u32 page)
{
	free_place(place_of(core_index_set(&pages[page], core_entry_empty())));
	latest[page] = 0;
}

static void coherence(void)
{
	struct actor actors[ACTORS] = { 0 };
	u32 i, step;

	for (step = 0; step < STEPS; step++) {
		i = unit_below(ACTORS);
		if (unit_below(40) == 0)
			flush(unit_below(PAGES));
		else if (actors[i].op == IDLE)
			begin(&actors[i]);
		else
			finish(&actors[i]);
	}
	for (i = 0; i < ACTORS; i++)
		finish(&actors[i]);
	for (i = 0; i < PAGES; i++)
		flush(i);
	for (i = 0; i < PLACES; i++)
		CU_ASSERT_FALSE(places[i].used);
	/* the interleavings that matter did happen */
	CU_ASSERT(gets > 1000 && moves > 1000 && lost_races > 1000);
}

CU_TestInfo unit_tests[] = {
	{ "the empty entry is all zeros", empty_is_zero },
	{ "remote entries", remote },
	{ "staged entries", staged },
	{ "generations", freshness },
	{ "overlong fields", overlong_fields },
	{ "zstd and same-filled entries", zstd_and_same },
	{ "put-put-get gives the second or nothing", coherence },
	CU_TEST_INFO_NULL,
};
