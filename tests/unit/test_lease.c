// SPDX-License-Identifier: GPL-2.0-only
/* Lease: the edges written down a second time; every other pair is refused. */
#include "unit.h"
#include "lease.h"

const char unit_name[] = "lease";

static const struct {
	enum core_lease from;
	enum core_lease_event event;
	enum core_lease to;
} edges[] = {
	{ CORE_LEASE_FREE, CORE_LEASE_GRANT, CORE_LEASE_GRANTED },
	{ CORE_LEASE_GRANTED, CORE_LEASE_REVOKE, CORE_LEASE_REVOKING },
	{ CORE_LEASE_GRANTED, CORE_LEASE_RELEASE, CORE_LEASE_RELEASED },
	{ CORE_LEASE_GRANTED, CORE_LEASE_FENCE, CORE_LEASE_FENCED },
	{ CORE_LEASE_GRANTED, CORE_LEASE_DISCONNECT, CORE_LEASE_ORPHANED },
	{ CORE_LEASE_REVOKING, CORE_LEASE_RELEASE, CORE_LEASE_RELEASED },
	{ CORE_LEASE_REVOKING, CORE_LEASE_FENCE, CORE_LEASE_FENCED },
	{ CORE_LEASE_REVOKING, CORE_LEASE_DISCONNECT, CORE_LEASE_ORPHANED_REVOKING },
	{ CORE_LEASE_ORPHANED, CORE_LEASE_RESUME, CORE_LEASE_GRANTED },
	{ CORE_LEASE_ORPHANED, CORE_LEASE_REVOKE, CORE_LEASE_ORPHANED_REVOKING },
	{ CORE_LEASE_ORPHANED, CORE_LEASE_FENCE, CORE_LEASE_FENCED },
	{ CORE_LEASE_ORPHANED_REVOKING, CORE_LEASE_RESUME, CORE_LEASE_REVOKING },
	{ CORE_LEASE_ORPHANED_REVOKING, CORE_LEASE_FENCE, CORE_LEASE_FENCED },
	{ CORE_LEASE_RELEASED, CORE_LEASE_RECLAIM, CORE_LEASE_FREE },
	{ CORE_LEASE_FENCED, CORE_LEASE_RECLAIM, CORE_LEASE_FREE },
};

static int expected(int state, int event)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(edges); i++)
		if ((int)edges[i].from == state && (int)edges[i].event == event)
			return edges[i].to;
	return -EINVAL;
}

/* Also one beyond each end: a state or event that came from a bug is refused, not looked up. */
static void every_pair(void)
{
	int state, event, got;

	for (state = -1; state <= CORE_LEASE_STATES; state++)
		for (event = -1; event <= CORE_LEASE_EVENTS; event++) {
			got = core_lease_next((enum core_lease)state, (enum core_lease_event)event);
			if (got != expected(state, event))
				printf("\n    %d --%d--> %d\n", state, event, got);
			CU_ASSERT_EQUAL(got, expected(state, event));
		}
}

static void access_rights(void)
{
	static const struct {
		enum core_lease state;
		bool writable, readable, orphaned;
	} rows[] = {
		{ CORE_LEASE_FREE, false, false, false },
		{ CORE_LEASE_GRANTED, true, true, false },
		{ CORE_LEASE_REVOKING, false, true, false },
		{ CORE_LEASE_ORPHANED, false, false, true },
		{ CORE_LEASE_ORPHANED_REVOKING, false, false, true },
		{ CORE_LEASE_RELEASED, false, false, false },
		{ CORE_LEASE_FENCED, false, false, false },
	};
	size_t i;

	CU_ASSERT_EQUAL(ARRAY_SIZE(rows), CORE_LEASE_STATES);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *name = core_lease_name(rows[i].state);

		UNIT_ROW(name, core_lease_writable(rows[i].state) == rows[i].writable);
		UNIT_ROW(name, core_lease_readable(rows[i].state) == rows[i].readable);
		UNIT_ROW(name, core_lease_orphaned(rows[i].state) == rows[i].orphaned);
	}
}

/* Names are there, and no two alike. */
static void names(void)
{
	int i, j;

	for (i = 0; i < CORE_LEASE_STATES; i++)
		for (j = 0; j <= i; j++)
			CU_ASSERT_EQUAL(!strcmp(core_lease_name((enum core_lease)i),
						core_lease_name((enum core_lease)j)),
					i == j);
	for (i = 0; i < CORE_LEASE_EVENTS; i++)
		for (j = 0; j <= i; j++)
			CU_ASSERT_EQUAL(!strcmp(core_lease_event_name((enum core_lease_event)i),
						core_lease_event_name((enum core_lease_event)j)),
					i == j);
	CU_ASSERT_STRING_EQUAL(core_lease_name(CORE_LEASE_STATES), "unknown");
	CU_ASSERT_STRING_EQUAL(core_lease_event_name(CORE_LEASE_EVENTS), "unknown");
	CU_ASSERT_STRING_EQUAL(core_lease_name((enum core_lease) - 1), "unknown");
}

CU_TestInfo unit_tests[] = {
	{ "every state and event", every_pair },
	{ "who may read and write", access_rights },
	{ "names", names },
	CU_TEST_INFO_NULL,
};
