// SPDX-License-Identifier: GPL-2.0-only
#include "member.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#include "../core/dir.h"
#include "client.h"
#include "log.h"
#include "shares.h"
#include "size.h"

static const char flood[] = "flood of messages";

static struct rmb_member *member_find(const struct rmb_client *client, uint32_t number)
{
	struct rmb_member *member;

	DL_FOREACH2(client->members, member, client_next)
	if (member->number == number)
		break;
	return member;
}

static void say_leave(struct rmb_client *client, uint32_t number, uint32_t deadline_ms,
		      enum ramster_reason why)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SHARE_LEAVE,
		.leave = { .share = number, .deadline_ms = deadline_ms, .reason = why },
	};

	rmb_client_send(client, &msg);
}

/* ---- life ---- */

/* From JOINING or IN to LEAVING. */
static void member_out(struct rmb_member *member)
{
	struct rmb_shares *all = member->share->all;

	if (member->state == RMB_MEMBER_JOINING)
		DL_DELETE2(all->joining, member, turn_prev, turn_next);
	DL_DELETE2(member->client->members, member, client_prev, client_next);
	member->client->n_members--;
	member->client = NULL;
	member->state = RMB_MEMBER_LEAVING;
	member->share->n_members--;
	DL_APPEND2(all->leaving, member, turn_prev, turn_next);
	rmb_shares_wake(all);
}

int rmb_member_begin(struct rmb_member *member)
{
	struct rmb_share *share = member->share;
	struct rmb_pd *pd = member->client->pd;
	void *pages = share->memory.addr, *dir = share->cells.dir;
	struct core_msg msg = {
		.type = RAMSTER_MSG_SHARE_JOINED,
		.joined = {
			.share = member->number,
			.slots = share->cells.slots,
			.page_addr = (uintptr_t)pages,
			.dir_addr = (uintptr_t)dir,
		},
	};

	member->pages = rmb_mr_create(pd, pages, share->bytes, true, &msg.joined.page_rkey);
	if (!member->pages)
		return -errno;
	member->dir = rmb_mr_create(pd, dir, core_dir_bytes(share->cells.slots), false,
				    &msg.joined.dir_rkey);
	if (!member->dir)
		return -errno;
	DL_DELETE2(share->all->joining, member, turn_prev, turn_next);
	member->state = RMB_MEMBER_IN;
	share->joins++;
	rmb_log(LOG_INFO, "%s joins share %s, which has %" PRIu32 " members now",
		rmb_client_name(member->client), share->name, share->n_members);
	rmb_client_send(member->client, &msg);
	return 0;
}

static void deregister(const struct rmb_share *share, struct rmb_mr *mr)
{
	int err = mr ? rmb_mr_destroy(mr) : 0;

	if (err)
		rmb_log(LOG_ERR, "share %s: cannot deregister: %s", share->name, strerror(-err));
}

void rmb_member_end(struct rmb_member *member)
{
	struct rmb_share *share = member->share;

	DL_DELETE2(share->all->leaving, member, turn_prev, turn_next);
	deregister(share, member->pages);
	deregister(share, member->dir);
	/* Not before: a WRITE of it that is still on its way could hit another's page. */
	rmb_cells_leave(&share->cells, &member->holder);
	DL_DELETE(share->members, member);
	free(member);
}

void rmb_member_refuse(struct rmb_member *member, enum ramster_reason why)
{
	say_leave(member->client, member->number, 0, why);
	member_out(member);
}

void rmb_member_ask(struct rmb_member *member, uint32_t deadline_ms, enum ramster_reason why)
{
	if (member->state == RMB_MEMBER_JOINING)
		rmb_member_refuse(member, why);
	else
		say_leave(member->client, member->number, deadline_ms, why);
}

void rmb_member_fence(struct rmb_member *member)
{
	/* Its lanes that run into this are looked for. */
	sd_event_now(member->share->all->event, CLOCK_MONOTONIC, &member->client->fenced_us);
	member_out(member);
}

void rmb_member_forget_all(struct rmb_client *client)
{
	while (client->members)
		member_out(client->members);
}

/* ---- what clients say ---- */

/* Why a client may not join, or NONE. */
static enum ramster_reason refusal(const struct rmb_shares *all, const struct rmb_client *client,
				   const struct rmb_share *share, uint64_t fingerprint)
{
	const struct rmb_member *member;

	if (all->stopping)
		return RAMSTER_REASON_SHUTDOWN;
	if (!share || !share->allowed)
		return RAMSTER_REASON_NOT_SHARED;
	if (share->going)
		return RAMSTER_REASON_NO_ROOM;
	DL_FOREACH2(client->members, member, client_next)
	if (member->share == share)
		return RAMSTER_REASON_BUSY;
	if (share->n_members && share->fingerprint != fingerprint)
		return RAMSTER_REASON_BUSY;
	return share->bytes ? RAMSTER_REASON_NONE :
			      rmb_lend_refusal(all->lend, share->allowed_bytes);
}

/* A new member, with the share's memory begun. A negative errno. */
static int member_create(struct rmb_share *share, struct rmb_client *client, uint32_t number)
{
	struct rmb_member *member = calloc(1, sizeof(*member));
	int err = member ? 0 : -ENOMEM;

	if (!err && !share->bytes)
		err = rmb_share_begin(share);
	if (err) {
		rmb_share_complain(share, client, err);
		free(member);
		return err;
	}
	member->share = share;
	member->client = client;
	member->number = number;
	share->n_members++;
	DL_APPEND(share->members, member);
	DL_APPEND2(client->members, member, client_prev, client_next);
	client->n_members++;
	DL_APPEND2(share->all->joining, member, turn_prev, turn_next);
	rmb_shares_wake(share->all);
	return 0;
}

/*
 * No, and a line in the log if that is news: a borrower asks again and again, for it is
 * not told when a file system is allowed.
 */
static void refuse(struct rmb_client *client, const struct core_msg *msg, enum ramster_reason why)
{
	unsigned int i, known = client->n_refused;
	char uuid[RMB_UUID_STR];

	say_leave(client, msg->join.share, 0, why);
	if (known > RMB_REFUSED_MAX)
		known = RMB_REFUSED_MAX;
	for (i = 0; i < known; i++)
		if (!memcmp(client->refused[i].uuid, msg->join.uuid, RAMSTER_SHARE_UUID))
			break;
	if (i < known && client->refused[i].reason == why)
		return;
	if (i == known)
		i = client->n_refused++ % RMB_REFUSED_MAX;
	memcpy(client->refused[i].uuid, msg->join.uuid, RAMSTER_SHARE_UUID);
	client->refused[i].reason = (uint8_t)why;
	rmb_log_limited(LOG_INFO, "%s may not join share %s: %s", rmb_client_name(client),
			rmb_uuid_format(msg->join.uuid, uuid), core_reason_name(why));
}

static const char *on_join(struct rmb_shares *all, struct rmb_client *client,
			   const struct core_msg *msg)
{
	struct rmb_share *share = rmb_shares_find(all, msg->join.uuid);
	enum ramster_reason why;

	if (!rmb_client_token(client))
		return flood;
	if (member_find(client, msg->join.share))
		return "joined two shares by one number";
	why = refusal(all, client, share, msg->join.fingerprint);
	if (why == RAMSTER_REASON_NONE && member_create(share, client, msg->join.share))
		why = RAMSTER_REASON_MEMORY;
	if (why != RAMSTER_REASON_NONE) {
		refuse(client, msg, why);
		return NULL;
	}
	/* The first one of another state of the file system: the pages are of no use. */
	if (share->fingerprint != msg->join.fingerprint) {
		rmb_cells_flush_all(&share->cells);
		share->fingerprint = msg->join.fingerprint;
	}
	return NULL;
}

static const char *on_slots(struct rmb_member *member, uint32_t count)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SHARE_SLOTS,
		.slots = { .share = member->number },
	};

	if (!count)
		return "asked for no slots";
	if (member->state == RMB_MEMBER_IN && !member->share->going)
		msg.slots.count = rmb_cells_give(&member->share->cells, &member->holder, count,
						 &msg.slots.first);
	/* What it gets it pays for by filling it. */
	if (!msg.slots.count && !rmb_client_token(member->client))
		return flood;
	rmb_client_send(member->client, &msg);
	return NULL;
}

static const char *on_put(struct rmb_member *member, const struct core_msg *msg)
{
	struct rmb_share *share = member->share;

	if (rmb_cells_put(&share->cells, &member->holder, msg->put.slot, msg->put.object,
			  msg->put.tag, msg->put.check))
		return "put to a slot that it was not given";
	share->puts++;
	return NULL;
}

static void on_flush(struct rmb_member *member, const struct core_msg *msg)
{
	struct rmb_share *share = member->share;
	struct core_msg answer = {
		.type = RAMSTER_MSG_SHARE_FLUSHED,
		.flush = { .share = member->number, .serial = msg->flush.serial },
	};

	if (msg->flush.tag)
		rmb_cells_flush_page(&share->cells, msg->flush.tag);
	else if (msg->flush.object)
		rmb_cells_flush_object(&share->cells, msg->flush.object);
	else
		rmb_cells_flush_all(&share->cells);
	share->flushes++;
	rmb_client_send(member->client, &answer);
}

const char *rmb_member_obey(struct rmb_shares *all, struct rmb_client *client,
			    const struct core_msg *msg)
{
	struct rmb_member *member;

	if (msg->type == RAMSTER_MSG_SHARE_JOIN)
		return on_join(all, client, msg);
	/* All of these begin with the number of the share. */
	member = member_find(client, msg->leave.share);
	if (!member) /* a LEAVE of ours crossed it, or has refused its JOIN */
		return rmb_client_token(client) ? NULL : flood;
	switch (msg->type) {
	case RAMSTER_MSG_SHARE_LEAVE:
		member_out(member);
		return NULL;
	case RAMSTER_MSG_SHARE_SLOTS:
		return on_slots(member, msg->slots.count);
	case RAMSTER_MSG_SHARE_PUT:
		return on_put(member, msg);
	default:
		on_flush(member, msg);
		return NULL;
	}
}
