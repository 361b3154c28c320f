// SPDX-License-Identifier: GPL-2.0-only
/* Directory of a share against a model: tag to slot and check. */
#include "unit.h"
#include "dir.h"

#include <stdlib.h>

const char unit_name[] = "dir";

#define SLOTS 256u
#define TAGS  4096u

static u8 *dir;

static struct {
	bool there;
	u32 slot;
	u64 check;
} model[TAGS];

/* Tags that are all over the table, and never 0. */
static u64 tag_of(u32 i)
{
	return (i + 1) * 0x9e3779b97f4a7c15ull;
}

static void *bucket_of(u64 tag)
{
	return dir + core_dir_offset(tag, SLOTS);
}

static void check_all(void)
{
	u64 check;
	u32 i, slot;
	bool there;

	for (i = 0; i < TAGS; i++) {
		there = core_dir_find(bucket_of(tag_of(i)), tag_of(i), SLOTS, &slot, &check);
		CU_ASSERT_EQUAL(there, model[i].there);
		if (there && model[i].there)
			CU_ASSERT(slot == model[i].slot && check == model[i].check);
	}
}

/* What a put says it displaced leaves the model: one page, or the tag's own old one. */
static void model_put(u32 i, u32 slot, u64 check, u32 before)
{
	u32 k, n = 0;

	for (k = 0; k < TAGS; k++)
		if (before != CORE_DIR_NONE && model[k].there && model[k].slot == before) {
			CU_ASSERT_EQUAL(bucket_of(tag_of(k)), bucket_of(tag_of(i)));
			model[k].there = false;
			n++;
		}
	CU_ASSERT_EQUAL(n, before != CORE_DIR_NONE);
	CU_ASSERT_FALSE(model[i].there);
	model[i].there = true;
	model[i].slot = slot;
	model[i].check = check;
}

static u32 free_slot(void)
{
	static u8 used[SLOTS];
	u32 i;

	memset(used, 0, sizeof(used));
	for (i = 0; i < TAGS; i++)
		if (model[i].there)
			used[model[i].slot] = 1;
	for (i = 0; i < SLOTS; i++)
		if (!used[i])
			return i;
	return CORE_DIR_NONE;
}

static u32 erase(u32 i)
{
	u32 slot = core_dir_erase(bucket_of(tag_of(i)), tag_of(i));

	CU_ASSERT_EQUAL(slot, model[i].there ? model[i].slot : CORE_DIR_NONE);
	model[i].there = false;
	return slot;
}

static void reset(void)
{
	free(dir);
	dir = calloc(1, core_dir_bytes(SLOTS));
	memset(model, 0, sizeof(model));
}

static void against_model(void)
{
	u32 step, i, slot;
	u64 check;

	reset();
	for (step = 0; step < 20000; step++) {
		i = unit_below(TAGS);
		slot = free_slot();
		if (slot == CORE_DIR_NONE || unit_below(4) == 0) {
			erase(i);
			continue;
		}
		check = unit_random();
		model_put(i, slot, check,
			  core_dir_put(bucket_of(tag_of(i)), tag_of(i), slot, check));
		if (step % 1000 == 0)
			check_all();
	}
	check_all();
}

/* As full as a share can be, hardly a page has lost its place. */
static void few_overflows(void)
{
	u32 i, lost = 0;

	reset();
	for (i = 0; i < SLOTS; i++)
		lost += core_dir_put(bucket_of(tag_of(i)), tag_of(i), i, unit_random()) !=
			CORE_DIR_NONE;
	CU_ASSERT(lost <= SLOTS / 50);
}

/* Buckets that no donor of ours would send. */
static void garbage(void)
{
	struct ramster_dir_entry bucket[RAMSTER_DIR_WAYS];
	u32 slot, round, i;
	u64 check;

	for (round = 0; round < 1000; round++) {
		for (i = 0; i < RAMSTER_DIR_WAYS; i++) {
			bucket[i].tag = unit_below(3);
			bucket[i].slot = core_to_le32(unit_below(2) ? unit_below(2 * SLOTS) :
								      (u32)unit_random());
		}
		if (core_dir_find(bucket, core_le64(1), SLOTS, &slot, &check))
			CU_ASSERT(slot < SLOTS);
		CU_ASSERT_FALSE(core_dir_find(bucket, 0, SLOTS, &slot, &check));
	}
}

static void sizes(void)
{
	u32 slots;

	for (slots = 256; slots <= 1u << 18; slots *= 2) {
		CU_ASSERT_EQUAL(core_dir_bytes(slots), 48ull * slots);
		CU_ASSERT_EQUAL(core_dir_offset(~0ull, slots) + RAMSTER_DIR_BUCKET_SIZE,
				core_dir_bytes(slots));
		CU_ASSERT_EQUAL(core_dir_offset(core_dir_buckets(slots), slots), 0);
	}
}

CU_TestInfo unit_tests[] = {
	{ "put, find, erase as a model does", against_model },
	{ "few overflows", few_overflows },
	{ "garbage is not believed", garbage },
	{ "sizes", sizes },
	CU_TEST_INFO_NULL,
};
