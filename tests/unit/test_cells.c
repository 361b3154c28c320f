// SPDX-License-Identifier: GPL-2.0-only
/* The books of a share against a model: who has which slot, what lies where. */
#include "unit.h"
#include "cells.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dir.h"

const char unit_name[] = "cells";

#define SLOTS	1024u
#define RUNS	(SLOTS / RMB_RUN_SLOTS)
#define HOLDERS 5u
#define OBJECTS 200u /* so many that some share a chain */
#define PAGES	20u  /* of each object */

/* What is known of a slot: nothing, whose it is, or which page lies there. */
enum slot_state { EMPTY, GIVEN, FULL };

static struct {
	enum slot_state state;
	unsigned int holder;
	uint32_t object, page;
	uint64_t check;
} model[SLOTS];

static uint64_t filled_at[RUNS], now; /* when a run's last slot was put, or given up */
static struct rmb_holder holders[HOLDERS];
static struct rmb_cells cells;
static uint8_t *dir;

static uint64_t object_of(uint32_t object)
{
	return (object + 1) * 0xbf58476d1ce4e5b9ull;
}

static uint64_t tag_of(uint32_t object, uint32_t page)
{
	return (object * PAGES + page + 1) * 0x9e3779b97f4a7c15ull;
}

static void reset(uint32_t slots)
{
	rmb_cells_uninit(&cells);
	free(dir);
	dir = calloc(1, core_dir_bytes(slots));
	memset(model, 0, sizeof(model));
	memset(holders, 0, sizeof(holders));
	memset(filled_at, 0, sizeof(filled_at));
	CU_ASSERT_FATAL(dir && !rmb_cells_init(&cells, dir, slots, unit_random()));
}

static bool run_is(uint32_t run, enum slot_state state)
{
	uint32_t i;

	for (i = run * RMB_RUN_SLOTS; i < (run + 1) * RMB_RUN_SLOTS; i++)
		if (model[i].state == state)
			return true;
	return false;
}

static unsigned int runs_of(unsigned int holder)
{
	unsigned int n = 0;
	uint32_t i, run;

	for (run = 0; run < RUNS; run++)
		for (i = run * RMB_RUN_SLOTS; i < (run + 1) * RMB_RUN_SLOTS; i++)
			if (model[i].state == GIVEN && model[i].holder == holder) {
				n++;
				break;
			}
	return n;
}

/* Borrowers see just the pages that the model has, each in its slot. */
static void check_all(void)
{
	uint32_t i, object, page, slot, n = 0;
	uint64_t tag, check;

	for (object = 0; object < OBJECTS; object++)
		for (page = 0; page < PAGES; page++) {
			tag = tag_of(object, page);
			if (!core_dir_find(dir + core_dir_offset(tag, SLOTS), tag, SLOTS, &slot,
					   &check))
				continue;
			n++;
			CU_ASSERT(model[slot].state == FULL && model[slot].object == object &&
				  model[slot].page == page && model[slot].check == check);
		}
	CU_ASSERT_EQUAL(n, cells.pages);
	for (i = 0; i < SLOTS; i++)
		n -= model[i].state == FULL;
	CU_ASSERT_EQUAL(n, 0);
}

/* Does a run that is the model's choice fit: an empty one, else the one filled first? */
static void check_choice(uint32_t run)
{
	uint32_t i;

	CU_ASSERT_FALSE(run_is(run, GIVEN));
	for (i = 0; i < RUNS; i++) {
		if (run_is(i, GIVEN))
			continue;
		if (run_is(run, FULL))
			CU_ASSERT(run_is(i, FULL) && filled_at[run] <= filled_at[i]);
	}
}

static void step_give(unsigned int holder)
{
	uint32_t want = 1 + unit_below(RMB_RUN_SLOTS), first = 0, n, i, free_runs = 0;
	uint64_t evicted = cells.evicted;

	for (i = 0; i < RUNS; i++)
		free_runs += !run_is(i, GIVEN);
	n = rmb_cells_give(&cells, &holders[holder], want, &first);
	if (!free_runs || runs_of(holder) == RMB_HOLD_MAX) {
		CU_ASSERT_EQUAL(n, 0);
		return;
	}
	CU_ASSERT_FATAL(n == want && first % RMB_RUN_SLOTS == 0 && first < SLOTS);
	check_choice(first / RMB_RUN_SLOTS);
	for (i = first; i < first + RMB_RUN_SLOTS; i++) {
		evicted += model[i].state == FULL;
		model[i].state = i < first + n ? GIVEN : EMPTY;
		model[i].holder = holder;
	}
	CU_ASSERT_EQUAL(evicted, cells.evicted);
}

/* The page may have been somewhere else before, and may have taken the place of another. */
static void model_put(uint32_t slot, uint32_t object, uint32_t page, uint64_t check,
		      uint64_t evicted)
{
	uint64_t tag = tag_of(object, page), other;
	uint32_t i, found;
	uint64_t sum;
	bool same = false;

	for (i = 0; i < SLOTS; i++) {
		if (model[i].state != FULL)
			continue;
		if (model[i].object == object && model[i].page == page) {
			model[i].state = EMPTY;
			same = true;
			continue;
		}
		if (cells.evicted == evicted)
			continue;
		other = tag_of(model[i].object, model[i].page);
		if (core_dir_offset(other, SLOTS) == core_dir_offset(tag, SLOTS) &&
		    !core_dir_find(dir + core_dir_offset(other, SLOTS), other, SLOTS, &found,
				   &sum)) {
			model[i].state = EMPTY;
			evicted++;
		}
	}
	CU_ASSERT(evicted == cells.evicted && !(same && evicted != cells.evicted));
	model[slot].state = FULL;
	model[slot].object = object;
	model[slot].page = page;
	model[slot].check = check;
	if (!run_is(slot / RMB_RUN_SLOTS, GIVEN))
		filled_at[slot / RMB_RUN_SLOTS] = ++now;
}

static void step_put(unsigned int holder)
{
	uint32_t slot = unit_below(SLOTS), object = unit_below(OBJECTS), page = unit_below(PAGES);
	uint64_t check = unit_random(), evicted = cells.evicted;
	bool may = model[slot].state == GIVEN && model[slot].holder == holder;
	int err = rmb_cells_put(&cells, &holders[holder], slot, object_of(object),
				tag_of(object, page), check);

	CU_ASSERT_EQUAL(err, may ? 0 : -ENOENT);
	if (may)
		model_put(slot, object, page, check, evicted);
}

static void step_flush(void)
{
	uint32_t object = unit_below(OBJECTS), page = unit_below(PAGES), n = 0, i;
	unsigned int what = unit_below(2000);
	bool all = what == 0, whole = what < 20;

	for (i = 0; i < SLOTS; i++) {
		if (model[i].state != FULL || (!all && model[i].object != object) ||
		    (!all && !whole && model[i].page != page))
			continue;
		model[i].state = EMPTY;
		n++;
	}
	if (all)
		CU_ASSERT_EQUAL(n, rmb_cells_flush_all(&cells))
	else if (whole)
		CU_ASSERT_EQUAL(n, rmb_cells_flush_object(&cells, object_of(object)))
	else
		CU_ASSERT_EQUAL(n, rmb_cells_flush_page(&cells, tag_of(object, page)))
}

/* Of several runs that are filled by this, any may be the first. */
static void step_leave(unsigned int holder)
{
	bool lent[RUNS];
	uint32_t i;

	for (i = 0; i < RUNS; i++)
		lent[i] = run_is(i, GIVEN);
	rmb_cells_leave(&cells, &holders[holder]);
	CU_ASSERT_EQUAL(holders[holder].n, 0);
	for (i = 0; i < SLOTS; i++)
		if (model[i].state == GIVEN && model[i].holder == holder)
			model[i].state = EMPTY;
	now++;
	for (i = 0; i < RUNS; i++)
		if (lent[i] && !run_is(i, GIVEN))
			filled_at[i] = now;
}

static void against_model(void)
{
	uint32_t step, i;

	reset(SLOTS);
	for (step = 0; step < 60000; step++) {
		unsigned int holder = unit_below(HOLDERS);

		if (unit_below(50) == 0)
			step_give(holder);
		else if (unit_below(20) == 0)
			step_flush();
		else if (unit_below(5000) == 0)
			step_leave(holder);
		else
			for (i = 0; i < 8; i++)
				step_put(holder);
		if (step % 1000 == 0)
			check_all();
	}
	check_all();
	CU_ASSERT(cells.evicted > 100);
}

/* What nobody may put: not given, beyond, another's, twice, after leaving. */
static void not_given(void)
{
	struct rmb_holder a = { 0 }, b = { 0 };
	uint32_t first;

	reset(SLOTS);
	CU_ASSERT_EQUAL(rmb_cells_put(&cells, &a, 0, 1, 1, 1), -ENOENT);
	CU_ASSERT_EQUAL(rmb_cells_give(&cells, &a, 2, &first), 2);
	CU_ASSERT_EQUAL(rmb_cells_put(&cells, &b, first, 1, 1, 1), -ENOENT);
	CU_ASSERT_EQUAL(rmb_cells_put(&cells, &a, first + 2, 1, 1, 1), -ENOENT);
	CU_ASSERT_EQUAL(rmb_cells_put(&cells, &a, first + SLOTS, 1, 1, 1), -ENOENT);
	CU_ASSERT_EQUAL(rmb_cells_put(&cells, &a, UINT32_MAX, 1, 1, 1), -ENOENT);
	CU_ASSERT_EQUAL(rmb_cells_put(&cells, &a, first, 1, 1, 1), 0);
	CU_ASSERT_EQUAL(rmb_cells_put(&cells, &a, first, 1, 2, 1), -ENOENT);
	CU_ASSERT_EQUAL(rmb_cells_flush_all(&cells), 1);
	CU_ASSERT_EQUAL(rmb_cells_put(&cells, &a, first, 1, 2, 1), -ENOENT);
	rmb_cells_leave(&cells, &a);
	CU_ASSERT_EQUAL(rmb_cells_put(&cells, &a, first + 1, 1, 1, 1), -ENOENT);
	CU_ASSERT_EQUAL(cells.pages, 0);
}

/* Nobody can take a small share all for himself; all together can, and then get nothing. */
static void shares_of_all_sizes(void)
{
	static const struct {
		uint32_t slots;
		unsigned int runs; /* for one holder */
	} rows[] = { { 256, 1 }, { 512, 2 }, { 1024, 4 }, { 1u << 18, 4 } };
	uint32_t first, n, all;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rmb_holder many[5] = { 0 };

		reset(rows[i].slots);
		for (n = 0; rmb_cells_give(&cells, &many[0], 64, &first); n++)
			CU_ASSERT_EQUAL(first, n * 64);
		CU_ASSERT_EQUAL(n, rows[i].runs);
		for (all = 1; all < 5; all++)
			while (rmb_cells_give(&cells, &many[all], 64, &first))
				n++;
		all = rows[i].slots / RMB_RUN_SLOTS;
		CU_ASSERT_EQUAL(n, all < 5 * rows[i].runs ? all : 5 * rows[i].runs);
		rmb_cells_leave(&cells, &many[2]);
		CU_ASSERT_EQUAL(rmb_cells_give(&cells, &many[2], 1, &first), 1);
	}
}

/* A file that fills the share, and again: nothing is left of the first one. */
static void refill(void)
{
	struct rmb_holder h = { 0 };
	uint32_t round, slot, first, n = 0;

	reset(SLOTS);
	for (round = 0; round < 3 * SLOTS; round += RMB_RUN_SLOTS) {
		CU_ASSERT_FATAL(rmb_cells_give(&cells, &h, RMB_RUN_SLOTS, &first) == RMB_RUN_SLOTS);
		for (slot = 0; slot < RMB_RUN_SLOTS; slot++)
			CU_ASSERT_FALSE(rmb_cells_put(&cells, &h, first + slot, object_of(round),
						      (round + slot + 1) * 0x9e3779b97f4a7c15ull,
						      1));
		CU_ASSERT(cells.pages <= SLOTS);
	}
	CU_ASSERT(cells.pages > SLOTS * 9 / 10);
	CU_ASSERT_EQUAL(cells.pages + cells.evicted, 3 * SLOTS);
	for (round = 0; round < 3 * SLOTS; round += RMB_RUN_SLOTS)
		n += rmb_cells_flush_object(&cells, object_of(round));
	CU_ASSERT(n && !cells.pages);
	for (slot = 0; slot < core_dir_buckets(SLOTS) * RAMSTER_DIR_WAYS; slot++)
		CU_ASSERT_EQUAL(((struct ramster_dir_entry *)dir)[slot].tag, 0);
}

/* One page too many for a bucket: one of those that were there has to go. */
static void full_bucket(void)
{
	struct rmb_holder h = { 0 };
	uint32_t first, slot, i, n = 0;
	uint64_t check;

	reset(SLOTS);
	CU_ASSERT_EQUAL(rmb_cells_give(&cells, &h, RMB_RUN_SLOTS, &first), RMB_RUN_SLOTS);
	for (i = 0; i < RAMSTER_DIR_WAYS; i++)
		CU_ASSERT_FALSE(rmb_cells_put(&cells, &h, first + i, 1,
					      (i + 1) * core_dir_buckets(SLOTS), i));
	CU_ASSERT(cells.pages == RAMSTER_DIR_WAYS && !cells.evicted);
	CU_ASSERT_FALSE(rmb_cells_put(&cells, &h, first + i, 1, 1000 * core_dir_buckets(SLOTS), i));
	CU_ASSERT(cells.pages == RAMSTER_DIR_WAYS && cells.evicted == 1);
	for (i = 0; i < RAMSTER_DIR_WAYS; i++)
		n += core_dir_find(dir, (i + 1) * core_dir_buckets(SLOTS), SLOTS, &slot, &check);
	CU_ASSERT_EQUAL(n, RAMSTER_DIR_WAYS - 1);
	CU_ASSERT_EQUAL(rmb_cells_flush_object(&cells, 1), RAMSTER_DIR_WAYS);
}

CU_TestInfo unit_tests[] = {
	{ "give, put, flush, leave as a model does", against_model },
	{ "puts that nobody may", not_given },
	{ "runs of a holder", shares_of_all_sizes },
	{ "full and full again", refill },
	{ "a full bucket", full_bucket },
	CU_TEST_INFO_NULL,
};
