// SPDX-License-Identifier: GPL-2.0-only
/* What far memory decides: which page goes next, which pages come next. */
#include "unit.h"
#include "../../libramster-rdma/far_books.h"

const char unit_name[] = "far";

/* ---- the clock ---- */

#define PAGES 64

static u8 flags[PAGES] __attribute__((aligned(8)));

static struct far_clock clock_of(void)
{
	struct far_clock c = { .flags = flags, .pages = PAGES };

	memset(flags, 0, sizeof(flags));
	return c;
}

static void test_clock_finds_nothing(void)
{
	struct far_clock c = clock_of();
	u64 budget = 2 * PAGES;

	CU_ASSERT(far_clock_next(&c, &budget) == FAR_NONE);
	CU_ASSERT(!budget);
	CU_ASSERT(far_clock_next(&c, &budget) == FAR_NONE);
	flags[3] = FAR_RESIDENT | FAR_PINNED;
	flags[4] = FAR_RESIDENT | FAR_BUSY;
	flags[5] = FAR_STORED;
	flags[6] = FAR_LOST;
	flags[7] = FAR_BUSY | FAR_WANTED;
	budget = 2 * PAGES;
	CU_ASSERT(far_clock_next(&c, &budget) == FAR_NONE);
	/* a budget that is no multiple of what it skips at a time */
	memset(flags, 0, sizeof(flags));
	budget = 13;
	CU_ASSERT(far_clock_next(&c, &budget) == FAR_NONE && !budget);
}

/* What was used goes later, in the order of the pages. */
static void test_clock_gives_a_second_chance(void)
{
	struct far_clock c = clock_of();
	u64 budget = 3 * PAGES;

	flags[2] = FAR_RESIDENT | FAR_USED | FAR_DIRTY;
	flags[9] = FAR_RESIDENT | FAR_STORED;
	flags[40] = FAR_RESIDENT | FAR_USED;
	CU_ASSERT(far_clock_next(&c, &budget) == 9);
	flags[9] = FAR_STORED;
	CU_ASSERT(far_clock_next(&c, &budget) == 2);
	CU_ASSERT(flags[2] == (FAR_RESIDENT | FAR_DIRTY));
	flags[2] = FAR_STORED;
	CU_ASSERT(far_clock_next(&c, &budget) == 40);
	CU_ASSERT(flags[40] == FAR_RESIDENT);
}

/* All are used: two turns of the hand find one all the same. */
static void test_clock_budget(void)
{
	struct far_clock c = clock_of();
	u64 budget = 2 * PAGES, page;

	memset(flags, FAR_RESIDENT | FAR_USED, sizeof(flags));
	c.hand = 17;
	page = far_clock_next(&c, &budget);
	CU_ASSERT(page == 17);
	CU_ASSERT(budget == PAGES - 1);
}

/* ---- the window ---- */

static void test_random_faults_fetch_nothing(void)
{
	struct far_window w;
	u64 page = 1, from;
	int i, n = 0;

	far_window_init(&w, 64);
	for (i = 0; i < 10000; i++) {
		page = (page * 6364136223846793005ull + 1442695040888963407ull) & 0xffffffffffffull;
		n += far_window_fault(&w, page, &from) != 0;
	}
	CU_ASSERT(n < 10);
}

/* A stream of faults, each where the last window ended: what is fetched has no gap. */
static void test_window_grows(void)
{
	struct far_window w;
	u64 page = 100, from = 0;
	u32 n, last = 0;
	int i;

	far_window_init(&w, 64);
	CU_ASSERT(far_window_fault(&w, page++, &from) == 0);
	for (i = 0; i < 8; i++) {
		n = far_window_fault(&w, page, &from);
		CU_ASSERT(from == page + 1);
		CU_ASSERT(n == (last ? (last < 32 ? 2 * last : 64) : FAR_WINDOW_FIRST));
		last = n;
		page += 1 + n;
	}
	CU_ASSERT(last == 64);
}

/* A program faster than the wire waits for pages that are under way: more is asked for in time. */
static void test_window_goes_on(void)
{
	struct far_window w;
	u64 page, from = 0, asked;
	u32 n;

	far_window_init(&w, 8);
	far_window_fault(&w, 0, &from);
	n = far_window_fault(&w, 1, &from);
	asked = from + n;
	for (page = 2; page < 500; page++) {
		n = far_window_fault(&w, page, &from);
		if (n) {
			CU_ASSERT(from == asked);
			asked = from + n;
		}
		CU_ASSERT(asked > page && asked - page <= 13);
	}
}

static void test_streams_beside_each_other(void)
{
	u64 at[FAR_STREAMS], from;
	struct far_window w;
	u32 i, round, n;

	far_window_init(&w, 16);
	for (i = 0; i < FAR_STREAMS; i++)
		at[i] = (i + 1) * 1000000ull;
	for (round = 0; round < 6; round++) {
		for (i = 0; i < FAR_STREAMS; i++) {
			n = far_window_fault(&w, at[i], &from);
			CU_ASSERT(!round == !n);
			at[i] += 1 + n;
		}
	}
}

static void test_window_off(void)
{
	struct far_window w;
	u64 page, from;

	far_window_init(&w, 0);
	for (page = 0; page < 100; page++)
		CU_ASSERT(far_window_fault(&w, page, &from) == 0);
}

CU_TestInfo unit_tests[] = {
	{ "a clock without pages to go", test_clock_finds_nothing },
	{ "a second chance", test_clock_gives_a_second_chance },
	{ "two turns are enough", test_clock_budget },
	{ "random faults", test_random_faults_fetch_nothing },
	{ "a stream", test_window_grows },
	{ "a stream that is faster", test_window_goes_on },
	{ "many streams", test_streams_beside_each_other },
	{ "no window", test_window_off },
	CU_TEST_INFO_NULL,
};
