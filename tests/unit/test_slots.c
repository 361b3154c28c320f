// SPDX-License-Identifier: GPL-2.0-only
/* Slot allocator against a model of one byte per slot. */
#include "unit.h"
#include "slots.h"

#include <stdlib.h>

const char unit_name[] = "slots";

#define MAX_SLOTS 4096u

static u64 map[CORE_SLOTS_WORDS(MAX_SLOTS)];
static u8 model[MAX_SLOTS];

static const u32 sizes[] = { 1, 2, 63, 64, 65, 127, 128, 256, 1000, 4095, 4096 };

static u32 model_used(u32 n)
{
	u32 i, used = 0;

	for (i = 0; i < n; i++)
		used += model[i];
	return used;
}

/* Map and model agree slot by slot, and so do the functions that look at the map. */
static void check_model(const struct core_slots *s)
{
	u32 i, next = s->n;

	CU_ASSERT_EQUAL(s->used, model_used(s->n));
	for (i = s->n; i-- > 0;) {
		if (model[i])
			next = i;
		CU_ASSERT_EQUAL(core_slots_test(s, i), model[i]);
		CU_ASSERT_EQUAL(core_slots_next_used(s, i), next);
	}
	CU_ASSERT_EQUAL(core_slots_next_used(s, s->n), s->n);
	CU_ASSERT_FALSE(core_slots_test(s, s->n));
}

/* Take a run and hold the allocator to it: in range, free until now, no longer than asked. */
static u32 take(struct core_slots *s, u32 want, u32 *first)
{
	u32 i, got, before = s->used;

	got = core_slots_alloc(s, want, first);
	CU_ASSERT_FATAL(got <= want && s->used == before + got);
	CU_ASSERT_EQUAL(!got, !want || before == s->n);
	if (!got)
		return 0;
	CU_ASSERT_FATAL(*first < s->n && got <= s->n - *first);
	for (i = *first; i < *first + got; i++) {
		CU_ASSERT_FATAL(!model[i]);
		model[i] = 1;
	}
	return got;
}

static void reset(struct core_slots *s, u32 n)
{
	memset(map, 0xff, sizeof(map));
	memset(model, 0, sizeof(model));
	core_slots_init(s, map, n);
	CU_ASSERT_EQUAL(s->used, 0);
}

/* One at a time from empty: 0, 1, 2 … each once, then full, then all back. */
static void fill_and_drain(void)
{
	struct core_slots s;
	u32 i, k, first;

	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		reset(&s, sizes[k]);
		for (i = 0; i < s.n; i++) {
			CU_ASSERT_EQUAL_FATAL(take(&s, 1, &first), 1);
			CU_ASSERT_EQUAL(first, i);
		}
		CU_ASSERT_EQUAL(core_slots_alloc(&s, 1, &first), 0);
		check_model(&s);
		for (i = 0; i < s.n; i++)
			CU_ASSERT_EQUAL(core_slots_free(&s, i, 1), 0);
		CU_ASSERT_EQUAL(s.used, 0);
		CU_ASSERT_EQUAL(core_slots_next_used(&s, 0), s.n);
	}
}

/* Runs of any length that fit are whole, and each begins where the last one ended. */
static void neighbours(void)
{
	struct core_slots s;
	u32 first, want, expect, k;

	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		reset(&s, sizes[k]);
		for (expect = 0; s.used < s.n; expect += want) {
			want = 1 + unit_below(s.n - s.used);
			CU_ASSERT_EQUAL_FATAL(take(&s, want, &first), want);
			CU_ASSERT_EQUAL(first, expect);
		}
		check_model(&s);
	}
}

/* What a broken request must not do: change anything. */
static void refuse(void)
{
	static const struct {
		const char *name;
		u32 first, n;
	} rows[] = {
		{ "nothing", 10, 0 },
		{ "free slot", 5, 1 },
		{ "free slot in front", 9, 5 },
		{ "free slot behind", 70, 31 },
		{ "hole in the middle", 10, 90 },
		{ "beyond the end", 200, 1 },
		{ "across the end", 199, 2 },
		{ "length wraps", 10, ~0u },
		{ "length wraps to before", 10, ~0u - 5 },
		{ "first far out", ~0u, 1 },
		{ "first far out, wraps", ~0u, 2 },
	};
	struct core_slots s, before;
	u64 map_before[CORE_SLOTS_WORDS(200)];
	u32 first;
	size_t i;

	reset(&s, 200);
	/* in use: 10 .. 99 but for 64, and 199 */
	CU_ASSERT_EQUAL(take(&s, 200, &first), 200);
	CU_ASSERT_EQUAL(core_slots_free(&s, 0, 10), 0);
	CU_ASSERT_EQUAL(core_slots_free(&s, 64, 1), 0);
	CU_ASSERT_EQUAL(core_slots_free(&s, 100, 99), 0);
	before = s;
	memcpy(map_before, map, sizeof(map_before));
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		UNIT_ROW(rows[i].name, core_slots_free(&s, rows[i].first, rows[i].n) == -EINVAL);
		UNIT_ROW(rows[i].name, !memcmp(&before, &s, sizeof(s)));
		UNIT_ROW(rows[i].name, !memcmp(map_before, map, sizeof(map_before)));
	}
	CU_ASSERT_EQUAL(core_slots_free(&s, 199, 1), 0);
	CU_ASSERT_EQUAL(core_slots_free(&s, 199, 1), -EINVAL);
	CU_ASSERT_EQUAL(core_slots_alloc(&s, 0, &first), 0);

	/* one beyond a map without spare bits: the next word is not even looked at */
	reset(&s, MAX_SLOTS);
	CU_ASSERT_EQUAL(take(&s, MAX_SLOTS, &first), MAX_SLOTS);
	CU_ASSERT_EQUAL(core_slots_free(&s, MAX_SLOTS - 1, 2), -EINVAL);
}

/* A run that is there is found wherever the cursor stands, within the bounded search. */
static void find_hole(void)
{
	struct core_slots s;
	u32 at, len, first, cursor;

	for (len = 1; len <= 130; len += 43)
		for (at = 0; at + len <= 1000; at += 37)
			for (cursor = 0; cursor < 1000; cursor += 111) {
				reset(&s, 1000);
				CU_ASSERT_EQUAL_FATAL(core_slots_alloc(&s, 1000, &first), 1000);
				CU_ASSERT_EQUAL_FATAL(core_slots_free(&s, at, len), 0);
				s.cursor = cursor;
				/* the hole in two, should the cursor lie in it */
				if (core_slots_alloc(&s, len, &first) != len || first != at) {
					printf("\n    hole %u+%u, cursor %u: first %u\n", at, len,
					       cursor, first);
					CU_FAIL("hole not found");
				} else {
					CU_PASS("hole found");
				}
			}
}

/* No run is long enough: the longest is taken, the first of equals. */
static void longest(void)
{
	static const struct {
		u32 at, len;
	} holes[] = { { 3, 1 }, { 10, 5 }, { 60, 9 }, { 100, 9 }, { 120, 7 } };
	static const u32 order[] = { 60, 100, 120, 10, 3 };
	struct core_slots s;
	u32 i, first;

	reset(&s, 200);
	CU_ASSERT_EQUAL_FATAL(core_slots_alloc(&s, 200, &first), 200);
	for (i = 0; i < ARRAY_SIZE(holes); i++)
		CU_ASSERT_EQUAL(core_slots_free(&s, holes[i].at, holes[i].len), 0);
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		s.cursor = 0;
		CU_ASSERT(core_slots_alloc(&s, 16, &first) > 0);
		CU_ASSERT_EQUAL(first, order[i]);
	}
	CU_ASSERT_EQUAL(s.used, 200);
}

/* With every second slot free a long run is not to be had: one slot, after a bounded search. */
static void fragmented(void)
{
	struct core_slots s;
	u32 i, first;

	reset(&s, MAX_SLOTS);
	CU_ASSERT_EQUAL_FATAL(take(&s, s.n, &first), s.n);
	for (i = 0; i < s.n; i += 2) {
		CU_ASSERT_EQUAL(core_slots_free(&s, i, 1), 0);
		model[i] = 0;
	}
	for (i = 0; i < s.n / 2; i++)
		CU_ASSERT_EQUAL_FATAL(take(&s, 16, &first), 1);
	CU_ASSERT_EQUAL(s.used, s.n);
}

/* Random runs taken and given back, in whole or in part: nothing twice, nothing lost. */
static void interleave(void)
{
	struct core_slots s;
	u32 k, step, first, n, i, max;

	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		reset(&s, sizes[k]);
		max = s.n < 40 ? s.n : 40;
		for (step = 0; step < 20000; step++) {
			if (unit_below(100) < 52) {
				take(&s, unit_below(max + 1), &first);
				continue;
			}
			first = core_slots_next_used(&s, unit_below(s.n));
			if (first == s.n)
				continue;
			for (n = 1; n < max && core_slots_test(&s, first + n); n++)
				;
			n = 1 + unit_below(n);
			CU_ASSERT_EQUAL_FATAL(core_slots_free(&s, first, n), 0);
			for (i = first; i < first + n; i++)
				model[i] = 0;
		}
		check_model(&s);
		while (take(&s, 64, &first))
			;
		CU_ASSERT_EQUAL(s.used, s.n);
	}
}

CU_TestInfo unit_tests[] = {
	{ "fill and drain", fill_and_drain },
	{ "neighbours are contiguous", neighbours },
	{ "bad frees change nothing", refuse },
	{ "a hole is found from any cursor", find_hole },
	{ "the longest of short runs", longest },
	{ "fragmented map", fragmented },
	{ "no slot twice, none lost", interleave },
	CU_TEST_INFO_NULL,
};
