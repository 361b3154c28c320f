/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * share.h - one share: RAM of the donation in which borrowers that have mounted
 * the same file system keep its clean pages for each other.
 *
 * Its memory is begun when somebody joins, is made in pieces, stays while the
 * share is allowed, with or without members, and goes when the share is taken
 * and all members are out.
 */
#ifndef RMB_SHARE_H
#define RMB_SHARE_H

#include <stdbool.h>
#include <systemd/sd-event.h>
#include <uthash.h>

#include "../core/wire.h"
#include "cells.h"
#include "memfile.h"
#include "uuid.h"

struct rmb_client;
struct rmb_member;
struct rmb_shares;

struct rmb_share {
	struct rmb_shares *all;
	uint8_t uuid[RAMSTER_SHARE_UUID];
	char name[RMB_UUID_STR];
	bool allowed;
	uint64_t allowed_bytes; /* of pages, when its memory is begun next */

	uint64_t id;		   /* of this memory; one of the numbers that slabs have */
	uint64_t bytes;		   /* of pages, part of the donation; 0: no memory */
	uint64_t made;		   /* of the memory, that is there */
	struct rmb_memfile memory; /* pages, then the directory */
	struct rmb_cells cells;
	uint64_t fingerprint;

	bool going; /* nobody joins any more, and the memory goes when all are out */
	enum ramster_reason why;
	bool fenced; /* members were still in when their time was over */
	uint64_t deadline_us;
	sd_event_source *deadline;

	struct rmb_member *members;		/* LEAVING ones, too */
	uint32_t n_members;			/* without those */
	uint64_t joins, puts, flushes, evicted; /* since the start; evicted: of earlier memory */
	UT_hash_handle hh;			/* by uuid */
};

/* Reserve its part of the donation, without pages yet. A negative errno if that fails. */
int rmb_share_begin(struct rmb_share *share);
/* Make the next pieces of it; 1: there is more to do, 0: all of it is there. Or a negative errno. */
int rmb_share_make(struct rmb_share *share);
/* Tell the log why this client cannot be in it. */
void rmb_share_complain(const struct rmb_share *share, const struct rmb_client *client, int err);
/* Free it. Members are out. */
void rmb_share_unmake(struct rmb_share *share);

/*
 * Ask its members to leave; at the deadline they are out whatever they do. Twice: the
 * earlier deadline holds. force: now. share->going afterwards; shares.c does the rest.
 */
void rmb_share_take(struct rmb_share *share, uint32_t deadline_ms, bool force,
		    enum ramster_reason why);
/* The deadline is now. */
void rmb_share_fence(struct rmb_share *share);

#endif /* RMB_SHARE_H */
