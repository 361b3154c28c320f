// SPDX-License-Identifier: GPL-2.0-only
#include "lend.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <utlist.h>

#include "client.h"
#include "host.h"
#include "loan.h"
#include "log.h"
#include "size.h"

static void work_wake(struct rmb_lend *lend)
{
	sd_event_source_set_enabled(lend->work, SD_EVENT_ONESHOT);
}

/* ---- going out ---- */

uint64_t rmb_lend_free(const struct rmb_lend *lend)
{
	uint64_t rest = lend->donation > lend->granted ? lend->donation - lend->granted : 0;
	uint64_t available = rmb_host_mem_available();
	uint64_t host = available > lend->cfg->reserve ? available - lend->cfg->reserve : 0;

	return rest < host ? rest : host;
}

int rmb_lend_donate(struct rmb_lend *lend, uint64_t bytes, char *why, size_t why_len)
{
	uint64_t total = rmb_host_mem_total();
	uint64_t most = total > lend->cfg->reserve ? total - lend->cfg->reserve : 0;
	char most_str[RMB_SIZE_STR], now_str[RMB_SIZE_STR], reserve_str[RMB_SIZE_STR];

	if (bytes > most || lend->donation > most - bytes) {
		snprintf(why, why_len,
			 "this host can lend %s at most (all its RAM but the reserve of %s) and lends %s already",
			 rmb_size_format(most, most_str),
			 rmb_size_format(lend->cfg->reserve, reserve_str),
			 rmb_size_format(lend->donation, now_str));
		return -EINVAL;
	}
	lend->donation += bytes;
	return 0;
}

static void waiting_remove(struct rmb_lend *lend, struct rmb_client *client)
{
	if (client->waiting)
		DL_DELETE2(lend->waiting, client, wait_prev, wait_next);
	client->waiting = false;
}

static void waiting_append(struct rmb_lend *lend, struct rmb_client *client)
{
	DL_APPEND2(lend->waiting, client, wait_prev, wait_next);
	client->waiting = true;
	work_wake(lend);
}

static void deny(struct rmb_lend *lend, struct rmb_client *client, uint32_t count,
		 enum ramster_reason reason)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SLAB_DENY,
		.deny = { .count = count, .reason = reason, .free_bytes = rmb_lend_free(lend) },
	};

	rmb_client_send(client, &msg);
}

enum ramster_reason rmb_lend_refusal(const struct rmb_lend *lend, uint64_t bytes)
{
	uint64_t available = rmb_host_mem_available();

	if (lend->stopping)
		return RAMSTER_REASON_SHUTDOWN;
	if (bytes > lend->donation || lend->granted > lend->donation - bytes)
		return RAMSTER_REASON_NO_ROOM;
	if (available < bytes || available - bytes < lend->cfg->reserve)
		return RAMSTER_REASON_MEMORY;
	return RAMSTER_REASON_NONE;
}

uint64_t rmb_lend_take(struct rmb_lend *lend, uint64_t bytes)
{
	lend->granted += bytes;
	return lend->next_id++;
}

void rmb_lend_put_back(struct rmb_lend *lend, uint64_t bytes)
{
	lend->granted -= bytes;
}

static enum ramster_reason grant(struct rmb_lend *lend, struct rmb_client *client, uint64_t bytes)
{
	enum ramster_reason reason = rmb_lend_refusal(lend, bytes);
	uint64_t quota = lend->cfg->quota;
	char size[RMB_SIZE_STR];
	struct rmb_slab *slab;

	if (quota && (bytes > quota || client->granted > quota - bytes))
		return RAMSTER_REASON_NO_ROOM;
	if (reason != RAMSTER_REASON_NONE)
		return reason;
	slab = rmb_slab_create(client->pd, bytes, lend->numa);
	if (!slab) {
		rmb_log_limited(LOG_WARNING, "cannot back a slab of %s for %s: %s",
				rmb_size_format(bytes, size), rmb_client_name(client),
				strerror(errno));
		return RAMSTER_REASON_MEMORY;
	}
	rmb_loan_begin(lend, slab, client);
	return RAMSTER_REASON_NONE;
}

/* One slab of the first request of the client whose turn it is. */
static void grant_one(struct rmb_lend *lend)
{
	struct rmb_client *client = lend->waiting;
	enum ramster_reason reason = grant(lend, client, client->requests[0].slab_bytes);

	waiting_remove(lend, client);
	client->requests[0].count--;
	if (reason != RAMSTER_REASON_NONE) {
		deny(lend, client, client->requests[0].count + 1, reason);
		client->requests[0].count = 0;
	}
	if (!client->requests[0].count) {
		client->n_requests--;
		memmove(&client->requests[0], &client->requests[1],
			client->n_requests * sizeof(client->requests[0]));
	}
	if (client->n_requests)
		waiting_append(lend, client);
}

static int on_work(sd_event_source *source, void *opaque)
{
	struct rmb_lend *lend = opaque;

	(void)source;
	if (lend->reap)
		rmb_loan_reap(lend);
	else if (lend->waiting)
		grant_one(lend);
	if (lend->reap || lend->waiting)
		work_wake(lend);
	return 0;
}

void rmb_lend_request(struct rmb_lend *lend, struct rmb_client *client, uint32_t count,
		      uint64_t slab_bytes)
{
	if (client->n_requests == RMB_REQUESTS_MAX) {
		deny(lend, client, count, RAMSTER_REASON_BUSY);
		return;
	}
	client->requests[client->n_requests].count = count;
	client->requests[client->n_requests++].slab_bytes = slab_bytes;
	if (!client->waiting)
		waiting_append(lend, client);
}

int rmb_lend_release(struct rmb_lend *lend, struct rmb_client *client, uint64_t id,
		     uint32_t generation)
{
	struct rmb_slab *slab;

	HASH_FIND(hh, lend->slabs, &id, sizeof(id), slab);
	/* Fenced while the release was on its way: nothing is left to be done. */
	if (!slab)
		return id && id < lend->next_id ? 0 : -ENOENT;
	if (slab->client != client || slab->generation != generation)
		return -ENOENT;
	rmb_loan_release(lend, slab);
	return 0;
}

/* ---- clients that go and come ---- */

void rmb_lend_orphan(struct rmb_lend *lend, struct rmb_client *client)
{
	struct rmb_slab *slab;

	waiting_remove(lend, client);
	client->n_requests = 0;
	DL_FOREACH(client->slabs, slab)
		rmb_loan_orphan(slab);
}

/*
 * Say everything that may have been lost on the old connection, either way: a
 * client that finds a grant it does not know, having released it, releases it
 * again.
 */
void rmb_lend_resume(struct rmb_lend *lend, struct rmb_client *client)
{
	struct rmb_slab *slab, *tmp;

	DL_FOREACH_SAFE(client->slabs, slab, tmp)
		rmb_loan_resume(lend, slab);
}

void rmb_lend_drop(struct rmb_lend *lend, struct rmb_client *client)
{
	struct rmb_slab *slab, *tmp;

	waiting_remove(lend, client);
	client->n_requests = 0;
	if (!client->slabs) {
		rmb_client_free(client);
		return;
	}
	DL_FOREACH_SAFE(client->slabs, slab, tmp) {
		if (rmb_loan_untold(slab))
			rmb_loan_forget(lend, slab); /* the last one frees the client */
		else
			rmb_loan_fence(lend, slab, RAMSTER_REASON_NONE);
	}
}

/* ---- life of the lender ---- */

int rmb_lend_init(struct rmb_lend *lend, sd_event *event, const struct rmb_config *cfg)
{
	memset(lend, 0, sizeof(*lend));
	lend->event = event;
	lend->cfg = cfg;
	lend->numa = cfg->numa;
	lend->next_id = 1;
	/* Not the same after a restart, so that a stale generation cannot fit. */
	if (getrandom(&lend->next_generation, sizeof(lend->next_generation), 0) < 0)
		return -errno;
	if (sd_event_add_defer(event, &lend->work, on_work, lend) < 0)
		return -ENOMEM;
	return 0;
}

void rmb_lend_uninit(struct rmb_lend *lend)
{
	while (lend->reap)
		rmb_loan_reap(lend);
	sd_event_source_disable_unref(lend->work);
}
