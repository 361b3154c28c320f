// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/* lease.c - the transition table of lease.h, as data. */
#include "lease.h"

/* State + 1, so that what the table leaves out (0) is "no such edge". */
#define TO(state) (CORE_LEASE_##state + 1)

static const u8 edges[CORE_LEASE_STATES][CORE_LEASE_EVENTS] = {
	[CORE_LEASE_FREE] = {
		[CORE_LEASE_GRANT] = TO(GRANTED),
	},
	[CORE_LEASE_GRANTED] = {
		[CORE_LEASE_REVOKE] = TO(REVOKING),
		[CORE_LEASE_RELEASE] = TO(RELEASED),
		[CORE_LEASE_FENCE] = TO(FENCED),
		[CORE_LEASE_DISCONNECT] = TO(ORPHANED),
	},
	[CORE_LEASE_REVOKING] = {
		[CORE_LEASE_RELEASE] = TO(RELEASED),
		[CORE_LEASE_FENCE] = TO(FENCED),
		[CORE_LEASE_DISCONNECT] = TO(ORPHANED_REVOKING),
	},
	[CORE_LEASE_ORPHANED] = {
		[CORE_LEASE_REVOKE] = TO(ORPHANED_REVOKING),
		[CORE_LEASE_FENCE] = TO(FENCED),
		[CORE_LEASE_RESUME] = TO(GRANTED),
	},
	[CORE_LEASE_ORPHANED_REVOKING] = {
		[CORE_LEASE_FENCE] = TO(FENCED),
		[CORE_LEASE_RESUME] = TO(REVOKING),
	},
	[CORE_LEASE_RELEASED] = {
		[CORE_LEASE_RECLAIM] = TO(FREE),
	},
	[CORE_LEASE_FENCED] = {
		[CORE_LEASE_RECLAIM] = TO(FREE),
	},
};

/* Else the names would stand in two columns: */
/* clang-format off */
static const char *const state_names[CORE_LEASE_STATES] = {
	[CORE_LEASE_FREE] = "free",
	[CORE_LEASE_GRANTED] = "granted",
	[CORE_LEASE_REVOKING] = "revoking",
	[CORE_LEASE_ORPHANED] = "orphaned",
	[CORE_LEASE_ORPHANED_REVOKING] = "orphaned-revoking",
	[CORE_LEASE_RELEASED] = "released",
	[CORE_LEASE_FENCED] = "fenced",
};

static const char *const event_names[CORE_LEASE_EVENTS] = {
	[CORE_LEASE_GRANT] = "grant",
	[CORE_LEASE_REVOKE] = "revoke",
	[CORE_LEASE_RELEASE] = "release",
	[CORE_LEASE_FENCE] = "fence",
	[CORE_LEASE_DISCONNECT] = "disconnect",
	[CORE_LEASE_RESUME] = "resume",
	[CORE_LEASE_RECLAIM] = "reclaim",
};

/* clang-format on */

int core_lease_next(enum core_lease state, enum core_lease_event event)
{
	if ((u32)state >= CORE_LEASE_STATES || (u32)event >= CORE_LEASE_EVENTS)
		return -EINVAL;
	return edges[state][event] ? edges[state][event] - 1 : -EINVAL;
}

bool core_lease_writable(enum core_lease state)
{
	return state == CORE_LEASE_GRANTED;
}

bool core_lease_readable(enum core_lease state)
{
	return state == CORE_LEASE_GRANTED || state == CORE_LEASE_REVOKING;
}

bool core_lease_orphaned(enum core_lease state)
{
	return state == CORE_LEASE_ORPHANED || state == CORE_LEASE_ORPHANED_REVOKING;
}

const char *core_lease_name(enum core_lease state)
{
	return (u32)state < CORE_LEASE_STATES ? state_names[state] : "unknown";
}

const char *core_lease_event_name(enum core_lease_event event)
{
	return (u32)event < CORE_LEASE_EVENTS ? event_names[event] : "unknown";
}
