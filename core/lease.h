/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * lease.h - the life of a slab, the same table for donor and borrower.
 *
 *   FREE --GRANT--> GRANTED --REVOKE--> REVOKING --FENCE--> FENCED --RECLAIM--> FREE
 *                     |  \                 |                   ^
 *                     |   +----FENCE-------+-------------------+
 *                     +--RELEASE--> RELEASED --RECLAIM--> FREE
 *   (REVOKING --RELEASE--> RELEASED too; GRANTED and REVOKING --DISCONNECT-->
 *    ORPHANED and ORPHANED_REVOKING, which --RESUME--> back, or --FENCE--> FENCED;
 *    ORPHANED --REVOKE--> ORPHANED_REVOKING.)
 *
 * docs/states.md is written from this table; core/lease.c holds it as data.
 */
#ifndef CORE_LEASE_H
#define CORE_LEASE_H

#include "port.h"

enum core_lease {
	CORE_LEASE_FREE,	      /* nobody's */
	CORE_LEASE_GRANTED,	      /* the borrower reads and writes it */
	CORE_LEASE_REVOKING,	      /* no new pages; the old ones are moving out */
	CORE_LEASE_ORPHANED,	      /* granted, the connection is down, may resume */
	CORE_LEASE_ORPHANED_REVOKING, /* as above, with a revoke outstanding */
	CORE_LEASE_RELEASED,	      /* the borrower gave it back */
	CORE_LEASE_FENCED,	      /* access destroyed with pages still in it */
	CORE_LEASE_STATES,
};

enum core_lease_event {
	CORE_LEASE_GRANT,
	CORE_LEASE_REVOKE,
	CORE_LEASE_RELEASE,
	CORE_LEASE_FENCE, /* deadline, force, or the peer is dead for good */
	CORE_LEASE_DISCONNECT,
	CORE_LEASE_RESUME,
	CORE_LEASE_RECLAIM, /* memory and bookkeeping are gone */
	CORE_LEASE_EVENTS,
};

/* The state after event, or -EINVAL where the table has no such edge. */
int core_lease_next(enum core_lease state, enum core_lease_event event);
/* May new pages be placed there? Only in GRANTED. */
bool core_lease_writable(enum core_lease state);
/* May its pages still be read? In GRANTED and REVOKING. */
bool core_lease_readable(enum core_lease state);
/* Does it wait for its session to be resumed? */
bool core_lease_orphaned(enum core_lease state);
const char *core_lease_name(enum core_lease state);
const char *core_lease_event_name(enum core_lease_event event);

#endif /* CORE_LEASE_H */
