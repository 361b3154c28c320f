// SPDX-License-Identifier: GPL-2.0-only
#include "share.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <utlist.h>

#include "../core/dir.h"
#include "client.h"
#include "log.h"
#include "member.h"
#include "shares.h"
#include "size.h"

/* Made in one turn of the loop: some milliseconds of zeroing. */
#define PIECE (16ull << 20)

/* ---- memory ---- */

int rmb_share_begin(struct rmb_share *share)
{
	uint64_t bytes = share->allowed_bytes, seed;
	uint32_t slots = (uint32_t)(bytes / RAMSTER_SHARE_PAGE);
	int err;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return -EIO;
	err = rmb_memfile_map(&share->memory, "ramster-share", bytes + core_dir_bytes(slots),
			      share->all->lend->numa);
	if (err)
		return err;
	err = rmb_cells_init(&share->cells, share->memory.addr + bytes, slots, seed);
	if (err) {
		rmb_memfile_unmap(&share->memory);
		return err;
	}
	share->bytes = bytes;
	share->made = 0;
	share->id = rmb_lend_take(share->all->lend, bytes);
	return 0;
}

int rmb_share_make(struct rmb_share *share)
{
	uint64_t left = share->memory.bytes - share->made;
	uint64_t piece = left < PIECE ? left : PIECE;
	int err;

	if (!piece)
		return 0;
	err = rmb_memfile_fill(&share->memory, share->made, piece);
	if (err)
		return err;
	share->made += piece;
	return share->made < share->memory.bytes;
}

void rmb_share_complain(const struct rmb_share *share, const struct rmb_client *client, int err)
{
	char size[RMB_SIZE_STR];

	rmb_log_limited(LOG_WARNING, "cannot back share %s of %s for %s: %s", share->name,
			rmb_size_format(share->bytes ? share->bytes : share->allowed_bytes, size),
			rmb_client_name(client), strerror(-err));
}

void rmb_share_unmake(struct rmb_share *share)
{
	share->evicted += share->cells.evicted;
	rmb_cells_uninit(&share->cells);
	rmb_memfile_unmap(&share->memory);
	rmb_lend_put_back(share->all->lend, share->bytes);
	share->bytes = 0;
}

/* ---- taking it back ---- */

void rmb_share_fence(struct rmb_share *share)
{
	struct rmb_member *member;

	DL_FOREACH(share->members, member) {
		if (member->state == RMB_MEMBER_LEAVING)
			continue;
		share->fenced = true;
		rmb_member_fence(member);
	}
	rmb_shares_wake(share->all);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *opaque)
{
	(void)source, (void)usec;
	rmb_share_fence(opaque);
	return 0;
}

void rmb_share_take(struct rmb_share *share, uint32_t deadline_ms, bool force,
		    enum ramster_reason why)
{
	uint64_t now = 0, left_us = force ? 0 : deadline_ms * 1000ull;
	struct rmb_member *member;

	sd_event_now(share->all->event, CLOCK_MONOTONIC, &now);
	if (!share->going || now + left_us < share->deadline_us)
		share->deadline_us = now + left_us;
	left_us = share->deadline_us > now ? share->deadline_us - now : 0;
	share->going = true;
	share->why = why;
	DL_FOREACH(share->members, member)
		if (member->state != RMB_MEMBER_LEAVING)
			rmb_member_ask(member, (uint32_t)(left_us / 1000), why);
	share->deadline = sd_event_source_disable_unref(share->deadline);
	/* Without a timer they would be waited for without end. */
	if (force || sd_event_add_time(share->all->event, &share->deadline, CLOCK_MONOTONIC,
				       share->deadline_us, 10000, on_deadline, share) < 0)
		rmb_share_fence(share);
	rmb_shares_wake(share->all);
}
