// SPDX-License-Identifier: GPL-2.0-only
#include "loan.h"

#include <inttypes.h>
#include <time.h>
#include <utlist.h>

#include "client.h"
#include "log.h"
#include "size.h"

static uint64_t now_us(const struct rmb_lend *lend)
{
	uint64_t now = 0;

	sd_event_now(lend->event, CLOCK_MONOTONIC, &now);
	return now;
}

/*
 * What stays is what a revoke chooses from. It may be most of what is lent, so it is
 * kept in order: a revoke of all of it must not look at every slab for each one.
 */
static void staying_enter(struct rmb_slab *slab)
{
	struct rmb_client *client = slab->client;
	struct rmb_lend *lend = client->all->lend;

	if (!client->staying)
		DL_APPEND2(lend->holders, client, holder_prev, holder_next);
	DL_APPEND2(client->staying, slab, stay_prev, stay_next);
	client->staying_bytes += slab->bytes;
	lend->staying += slab->bytes;
}

static void staying_leave(struct rmb_slab *slab)
{
	struct rmb_client *client = slab->client;
	struct rmb_lend *lend = client->all->lend;

	DL_DELETE2(client->staying, slab, stay_prev, stay_next);
	client->staying_bytes -= slab->bytes;
	lend->staying -= slab->bytes;
	if (!client->staying)
		DL_DELETE2(lend->holders, client, holder_prev, holder_next);
}

/* The only place where a lease changes; false where the table has no such edge. */
static bool step(struct rmb_slab *slab, enum core_lease_event event)
{
	int next = core_lease_next(slab->state, event);
	bool stayed = rmb_loan_stays(slab);

	if (next < 0)
		return false;
	slab->state = (enum core_lease)next;
	if (stayed && !rmb_loan_stays(slab))
		staying_leave(slab);
	else if (!stayed && rmb_loan_stays(slab))
		staying_enter(slab);
	return true;
}

static void say(const struct rmb_slab *slab, enum ramster_msg_type type, uint32_t deadline_ms)
{
	struct core_msg msg = {
		.type = type,
		.slab = {
			.slab_id = slab->id,
			.generation = slab->generation,
			.deadline_ms = deadline_ms,
			.reason = slab->reason,
		},
	};

	rmb_client_tell(slab->client, &msg);
}

static struct core_msg grant_message(const struct rmb_slab *slab)
{
	return (struct core_msg){
		.type = RAMSTER_MSG_SLAB_GRANT,
		.grant = {
			.slab_id = slab->id,
			.addr = (uintptr_t)slab->memory.addr,
			.len = slab->bytes,
			.rkey = slab->rkey,
			.generation = slab->generation,
		},
	};
}

/* Released or fenced: no longer the client's, its memory to be taken down soon. */
static void reap_later(struct rmb_lend *lend, struct rmb_slab *slab)
{
	slab->deadline = sd_event_source_disable_unref(slab->deadline);
	DL_APPEND2(lend->reap, slab, reap_prev, reap_next);
	sd_event_source_set_enabled(lend->work, SD_EVENT_ONESHOT);
}

void rmb_loan_fence(struct rmb_lend *lend, struct rmb_slab *slab, enum ramster_reason reason)
{
	if (!step(slab, CORE_LEASE_FENCE))
		return;
	slab->reason = reason;
	reap_later(lend, slab);
}

void rmb_loan_forget(struct rmb_lend *lend, struct rmb_slab *slab)
{
	struct rmb_client *client = slab->client;

	if (!step(slab, CORE_LEASE_RECLAIM))
		rmb_log(LOG_CRIT, "slab %" PRIu64 " forgotten while %s", slab->id,
			core_lease_name(slab->state));
	HASH_DEL(lend->slabs, slab);
	DL_DELETE(client->slabs, slab);
	client->n_slabs--;
	rmb_slab_destroy(slab);
	if (client->dying && !client->slabs)
		rmb_client_free(client);
}

void rmb_loan_reap(struct rmb_lend *lend)
{
	struct rmb_slab *slab = lend->reap;
	struct rmb_client *client = slab->client;
	bool fenced = slab->state == CORE_LEASE_FENCED;
	char size[RMB_SIZE_STR];

	DL_DELETE2(lend->reap, slab, reap_prev, reap_next);
	rmb_slab_clear(slab);
	lend->granted -= slab->bytes;
	client->granted -= slab->bytes;
	if (fenced) {
		lend->total_fenced++;
		client->fenced_us = now_us(lend);
	} else {
		lend->total_released++;
	}
	rmb_log(fenced ? LOG_NOTICE : LOG_INFO, "slab %" PRIu64 " (%s) of %s is back: %s%s%s",
		slab->id, rmb_size_format(slab->bytes, size), rmb_client_name(client),
		fenced ? "fenced" : "released", fenced ? ", reason: " : "",
		fenced ? core_reason_name(slab->reason) : "");
	if (lend->ended)
		lend->ended(lend->ended_ctx, slab->id, NULL, slab->bytes,
			    fenced ? "fenced" : "released");
	/* Whoever is away must hear of a fence when he is back: keep the name until then. */
	if (fenced && !client->dying && !rmb_client_listens(client))
		return;
	if (fenced)
		say(slab, RAMSTER_MSG_SLAB_FENCED, 0);
	rmb_loan_forget(lend, slab);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *opaque)
{
	struct rmb_slab *slab = opaque;
	struct rmb_lend *lend = slab->client->all->lend;

	(void)source, (void)usec;
	if (lend->cfg->force_at_deadline || lend->stopping) {
		rmb_loan_fence(lend, slab, RAMSTER_REASON_DEADLINE);
		return 0;
	}
	rmb_log(LOG_WARNING,
		"slab %" PRIu64
		" was not released by %s in time and stays (force-at-deadline = no); ramsterctl revoke --slab %" PRIu64
		" --force takes it",
		slab->id, rmb_client_name(slab->client), slab->id);
	if (lend->ended)
		lend->ended(lend->ended_ctx, slab->id, NULL, slab->bytes, "kept");
	return 0;
}

void rmb_loan_revoke(struct rmb_lend *lend, struct rmb_slab *slab, const struct rmb_revoke *how)
{
	uint32_t deadline_ms = how->force ? 0 : how->deadline_ms;

	if (step(slab, CORE_LEASE_REVOKE)) {
		slab->reason = how->reason;
		slab->deadline_us = now_us(lend) + deadline_ms * 1000ull;
		say(slab, RAMSTER_MSG_SLAB_REVOKE, deadline_ms);
	}
	if (how->force) {
		rmb_loan_fence(lend, slab, how->reason);
		return;
	}
	slab->deadline = sd_event_source_disable_unref(slab->deadline);
	/* Without a timer the borrower would be waited for without end. */
	if (sd_event_add_time(lend->event, &slab->deadline, CLOCK_MONOTONIC, slab->deadline_us,
			      10000, on_deadline, slab) < 0)
		rmb_loan_fence(lend, slab, how->reason);
}

void rmb_loan_begin(struct rmb_lend *lend, struct rmb_slab *slab, struct rmb_client *client)
{
	struct core_msg msg;

	slab->client = client;
	slab->state = CORE_LEASE_FREE;
	step(slab, CORE_LEASE_GRANT);
	slab->id = lend->next_id++;
	if (!lend->next_generation)
		lend->next_generation = 1;
	slab->generation = lend->next_generation++;
	slab->granted_us = now_us(lend);
	HASH_ADD(hh, lend->slabs, id, sizeof(slab->id), slab);
	DL_APPEND(client->slabs, slab);
	client->n_slabs++;
	client->granted += slab->bytes;
	lend->granted += slab->bytes;
	lend->total_granted++;
	msg = grant_message(slab);
	/* The answer to a request, of which there may be any number. */
	rmb_client_send(client, &msg);
}

void rmb_loan_release(struct rmb_lend *lend, struct rmb_slab *slab)
{
	if (step(slab, CORE_LEASE_RELEASE))
		reap_later(lend, slab);
}

void rmb_loan_orphan(struct rmb_slab *slab)
{
	step(slab, CORE_LEASE_DISCONNECT);
}

void rmb_loan_resume(struct rmb_lend *lend, struct rmb_slab *slab)
{
	struct core_msg msg = grant_message(slab);
	uint64_t now = now_us(lend), left_us;

	step(slab, CORE_LEASE_RESUME);
	if (core_lease_readable(slab->state))
		rmb_client_tell(slab->client, &msg);
	if (slab->state == CORE_LEASE_REVOKING) {
		left_us = slab->deadline_us > now ? slab->deadline_us - now : 0;
		say(slab, RAMSTER_MSG_SLAB_REVOKE, (uint32_t)(left_us / 1000));
	} else if (rmb_loan_untold(slab)) {
		say(slab, RAMSTER_MSG_SLAB_FENCED, 0);
		rmb_loan_forget(lend, slab);
	}
}

bool rmb_loan_untold(const struct rmb_slab *slab)
{
	return slab->state == CORE_LEASE_FENCED && !slab->memory.addr;
}

bool rmb_loan_stays(const struct rmb_slab *slab)
{
	return slab->state == CORE_LEASE_GRANTED || slab->state == CORE_LEASE_ORPHANED;
}
