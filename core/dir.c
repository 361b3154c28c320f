// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
#include "dir.h"

core_static_assert(sizeof(struct ramster_dir_entry) * RAMSTER_DIR_WAYS == RAMSTER_DIR_BUCKET_SIZE,
		   "bucket size");

static struct ramster_dir_entry *find(void *bucket, u64 tag)
{
	struct ramster_dir_entry *e = bucket;
	u32 i;

	for (i = 0; i < RAMSTER_DIR_WAYS; i++)
		if (e[i].tag == core_to_le64(tag))
			return &e[i];
	return NULL;
}

bool core_dir_find(const void *bucket, u64 tag, u32 slots, u32 *slot, u64 *check)
{
	const struct ramster_dir_entry *e = tag ? find((void *)bucket, tag) : NULL;

	if (!e || core_le32(e->slot) >= slots)
		return false;
	*slot = core_le32(e->slot);
	*check = core_le64(e->check);
	return true;
}

u32 core_dir_put(void *bucket, u64 tag, u32 slot, u64 check)
{
	struct ramster_dir_entry *e = find(bucket, tag);
	u32 before;

	if (!e)
		e = find(bucket, 0);
	if (!e) /* any: the check is as good as a die */
		e = (struct ramster_dir_entry *)bucket + check % RAMSTER_DIR_WAYS;
	before = e->tag ? core_le32(e->slot) : CORE_DIR_NONE;
	e->tag = core_to_le64(tag);
	e->check = core_to_le64(check);
	e->slot = core_to_le32(slot);
	return before;
}

u32 core_dir_erase(void *bucket, u64 tag)
{
	struct ramster_dir_entry *e = find(bucket, tag);

	if (!e)
		return CORE_DIR_NONE;
	e->tag = 0;
	return core_le32(e->slot);
}
