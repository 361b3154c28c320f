// SPDX-License-Identifier: GPL-2.0-only
/* Placement: the table of choices, and that a choice is always a legal one. */
#include "unit.h"
#include "place.h"

const char unit_name[] = "place";

#define SLAB 64u

static void table(void)
{
	static const struct {
		const char *name;
		u32 n;
		struct core_place donors[3];
		int pick;
	} rows[] = {
		{ "nobody", 0, { { 0 } }, -ENOSPC },
		{ "one with room", 1, { { true, 64, 0 } }, 0 },
		{ "one a byte short", 1, { { true, 63, 0 } }, -ENOSPC },
		{ "one dead", 1, { { false, 640, 0 } }, -ENOSPC },
		{ "all dead or full",
		  3,
		  { { false, 640, 0 }, { true, 0, 0 }, { true, 1, 0 } },
		  -ENOSPC },
		{ "least held", 3, { { true, 640, 128 }, { true, 64, 64 }, { true, 640, 65 } }, 1 },
		{ "least held is dead", 2, { { false, 640, 0 }, { true, 64, 640 } }, 1 },
		{ "least held is full", 2, { { true, 63, 0 }, { true, 64, 640 } }, 1 },
		{ "tie: more room", 3, { { true, 64, 0 }, { true, 128, 0 }, { true, 127, 0 } }, 1 },
		{ "tie of both: lower index",
		  3,
		  { { false, 64, 0 }, { true, 64, 0 }, { true, 64, 0 } },
		  1 },
		{ "huge numbers", 2, { { true, ~0ull, ~0ull }, { true, ~0ull, ~0ull - 1 } }, 1 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		UNIT_ROW(rows[i].name,
			 core_place_pick(rows[i].donors, rows[i].n, SLAB) == rows[i].pick);
}

/* Slabs placed one by one over equal donors never differ by more than one. */
static void spread(void)
{
	struct core_place donors[5];
	u64 least, most;
	u32 i, step;
	int pick;

	for (i = 0; i < ARRAY_SIZE(donors); i++)
		donors[i] = (struct core_place){ true, 100 * SLAB, 0 };
	for (step = 0; step < 500; step++) {
		pick = core_place_pick(donors, ARRAY_SIZE(donors), SLAB);
		CU_ASSERT_FATAL(pick >= 0 && pick < (int)ARRAY_SIZE(donors));
		donors[pick].free_bytes -= SLAB;
		donors[pick].held_bytes += SLAB;
		least = most = donors[0].held_bytes;
		for (i = 1; i < ARRAY_SIZE(donors); i++) {
			least = donors[i].held_bytes < least ? donors[i].held_bytes : least;
			most = donors[i].held_bytes > most ? donors[i].held_bytes : most;
		}
		CU_ASSERT(most - least <= SLAB);
	}
	CU_ASSERT_EQUAL(core_place_pick(donors, ARRAY_SIZE(donors), SLAB), -ENOSPC);
}

CU_TestInfo unit_tests[] = {
	{ "table", table },
	{ "equal donors fill evenly", spread },
	CU_TEST_INFO_NULL,
};
