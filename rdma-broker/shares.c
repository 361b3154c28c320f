// SPDX-License-Identifier: GPL-2.0-only
#include "shares.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "member.h"
#include "size.h"

/* ---- what there is to do ---- */

void rmb_shares_wake(struct rmb_shares *all)
{
	sd_event_source_set_enabled(all->work, SD_EVENT_ONESHOT);
}

/* All are out: the memory goes, and the share too if it is not allowed. */
static void share_end(struct rmb_share *share)
{
	struct rmb_lend *lend = share->all->lend;
	uint64_t id = share->id, bytes = share->bytes;
	char size[RMB_SIZE_STR];

	share->deadline = sd_event_source_disable_unref(share->deadline);
	share->going = false;
	if (bytes) {
		rmb_share_unmake(share);
		rmb_log(LOG_INFO, "share %s (%s) is back: %s", share->name,
			rmb_size_format(bytes, size), core_reason_name(share->why));
		if (lend->ended)
			lend->ended(lend->ended_ctx, id, share->name, bytes,
				    share->fenced ? "fenced" : "released");
	}
	share->fenced = false;
	if (share->allowed)
		return;
	HASH_DEL(share->all->table, share);
	free(share);
}

/* The next piece of what the first JOIN waits for. */
static void join_one(struct rmb_member *member)
{
	struct rmb_share *share = member->share;
	int err = rmb_share_make(share);

	if (err > 0)
		return;
	if (!err)
		err = rmb_member_begin(member);
	if (!err)
		return;
	rmb_share_complain(share, member->client, err);
	rmb_member_refuse(member, RAMSTER_REASON_MEMORY);
	/* Half of its memory is of no use to anybody, nor is it without pages and members. */
	if (share->made < share->memory.bytes || (!share->n_members && !share->cells.pages))
		rmb_share_take(share, 0, true, RAMSTER_REASON_MEMORY);
}

/* One step; false: nothing is to be done. */
static bool work_one(struct rmb_shares *all)
{
	struct rmb_share *share, *tmp;

	if (all->leaving) {
		rmb_member_end(all->leaving);
		return true;
	}
	HASH_ITER(hh, all->table, share, tmp) {
		if (!share->going || share->members)
			continue;
		share_end(share);
		return true;
	}
	if (!all->joining)
		return false;
	join_one(all->joining);
	return true;
}

static int on_work(sd_event_source *source, void *opaque)
{
	struct rmb_shares *all = opaque;

	(void)source;
	if (work_one(all))
		rmb_shares_wake(all);
	return 0;
}

/* ---- the operator ---- */

struct rmb_share *rmb_shares_find(const struct rmb_shares *all, const uint8_t *uuid)
{
	struct rmb_share *share;

	HASH_FIND(hh, all->table, uuid, RAMSTER_SHARE_UUID, share);
	return share;
}

struct rmb_share *rmb_shares_find_id(const struct rmb_shares *all, uint64_t id)
{
	struct rmb_share *share, *tmp;

	HASH_ITER(hh, all->table, share, tmp)
		if (share->bytes && share->id == id)
			return share;
	return NULL;
}

static struct rmb_share *share_create(struct rmb_shares *all, const uint8_t *uuid)
{
	struct rmb_share *share = calloc(1, sizeof(*share));

	if (!share)
		return NULL;
	share->all = all;
	memcpy(share->uuid, uuid, sizeof(share->uuid));
	rmb_uuid_format(uuid, share->name);
	share->allowed_bytes = RMB_SHARED_DEFAULT;
	HASH_ADD(hh, all->table, uuid, sizeof(share->uuid), share);
	return share;
}

int rmb_shares_allow(struct rmb_shares *all, const uint8_t *uuid, uint64_t bytes, char *why,
		     size_t why_len)
{
	struct rmb_share *share = rmb_shares_find(all, uuid);
	char size[RMB_SIZE_STR];

	if (bytes && !core_slab_bytes_valid(bytes)) {
		snprintf(why, why_len, "a share's size is a power of two from 1M to 1G, not %s",
			 rmb_size_format(bytes, size));
		return -EINVAL;
	}
	if (share && share->bytes && !share->going && bytes && bytes != share->bytes) {
		snprintf(why, why_len,
			 "share %s has %s in memory already; to change that, deny it first",
			 share->name, rmb_size_format(share->bytes, size));
		return -EBUSY;
	}
	if (!share)
		share = share_create(all, uuid);
	if (!share) {
		snprintf(why, why_len, "out of memory");
		return -ENOMEM;
	}
	share->allowed = true;
	if (bytes)
		share->allowed_bytes = bytes;
	return 0;
}

int rmb_shares_deny(struct rmb_shares *all, const uint8_t *uuid, uint32_t deadline_ms, bool force,
		    char *why, size_t why_len)
{
	struct rmb_share *share = rmb_shares_find(all, uuid);
	char name[RMB_UUID_STR];

	/* One that is on its way out may be hurried. */
	if (!share || (!share->allowed && !force)) {
		snprintf(why, why_len,
			 "%s is not allowed to be shared%s; see: ramsterctl shared list",
			 rmb_uuid_format(uuid, name),
			 share ? " any more (--force ends it at once)" : "");
		return -ENOENT;
	}
	share->allowed = false;
	rmb_share_take(share, deadline_ms, force, RAMSTER_REASON_NOT_SHARED);
	return 0;
}

/* ---- taking back ---- */

uint64_t rmb_shares_staying(const struct rmb_shares *all)
{
	struct rmb_share *share, *tmp;
	uint64_t bytes = 0;

	HASH_ITER(hh, all->table, share, tmp)
		bytes += share->going ? 0 : share->bytes;
	return bytes;
}

struct rmb_share *rmb_shares_victim(const struct rmb_shares *all)
{
	struct rmb_share *share, *tmp, *victim = NULL;

	HASH_ITER(hh, all->table, share, tmp) {
		if (share->going || !share->bytes)
			continue;
		if (!victim || share->n_members < victim->n_members)
			victim = share;
	}
	return victim;
}

void rmb_shares_stop(struct rmb_shares *all, uint32_t deadline_ms)
{
	struct rmb_share *share, *tmp;

	all->stopping = true;
	HASH_ITER(hh, all->table, share, tmp)
		rmb_share_take(share, deadline_ms, false, RAMSTER_REASON_SHUTDOWN);
}

void rmb_shares_fence_all(struct rmb_shares *all)
{
	struct rmb_share *share, *tmp;

	HASH_ITER(hh, all->table, share, tmp)
		rmb_share_fence(share);
}

/* ---- life ---- */

int rmb_shares_init(struct rmb_shares *all, sd_event *event, const struct rmb_config *cfg,
		    struct rmb_lend *lend)
{
	unsigned int i;
	char why[128];
	int err = 0;

	memset(all, 0, sizeof(*all));
	all->event = event;
	all->lend = lend;
	if (sd_event_add_defer(event, &all->work, on_work, all) < 0)
		return -ENOMEM;
	for (i = 0; i < cfg->n_shared && !err; i++)
		err = rmb_shares_allow(all, cfg->shared[i].uuid, cfg->shared[i].bytes, why,
				       sizeof(why));
	return err;
}

void rmb_shares_uninit(struct rmb_shares *all)
{
	struct rmb_share *share, *tmp;

	HASH_ITER(hh, all->table, share, tmp) {
		share->allowed = false;
		rmb_share_take(share, 0, true, RAMSTER_REASON_SHUTDOWN);
	}
	while (work_one(all))
		;
	all->work = sd_event_source_disable_unref(all->work);
}
