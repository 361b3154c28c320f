// SPDX-License-Identifier: GPL-2.0-only
#include "report.h"

#include <stdio.h>
#include <time.h>
#include <utlist.h>

#include "host.h"

static uint64_t now_us(const struct rmb_daemon *daemon)
{
	uint64_t now = 0;

	sd_event_now(daemon->event, CLOCK_MONOTONIC, &now);
	return now;
}

static json_int_t ms_since(const struct rmb_daemon *daemon, uint64_t us)
{
	return (json_int_t)((now_us(daemon) - us) / 1000);
}

static unsigned int count_slabs(const struct rmb_daemon *daemon, bool revoking)
{
	struct rmb_slab *slab, *tmp;
	unsigned int n = 0;

	HASH_ITER(hh, daemon->lend.slabs, slab, tmp)
		n += slab->memory.addr && (!revoking || slab->deadline);
	return n;
}

struct shared {
	uint64_t bytes;	     /* of memory */
	unsigned int shares; /* that have memory */
	unsigned int members, allowed;
};

static struct shared count_shared(const struct rmb_daemon *daemon)
{
	struct rmb_share *share, *tmp;
	struct shared sum = { 0 };

	HASH_ITER(hh, daemon->shares.table, share, tmp) {
		sum.bytes += share->bytes;
		sum.shares += share->bytes != 0;
		sum.members += share->n_members;
		sum.allowed += share->allowed;
	}
	return sum;
}

json_t *rmb_report_status(const struct rmb_daemon *daemon)
{
	const struct rmb_lend *lend = &daemon->lend;
	const struct rmb_clients *clients = &daemon->clients;
	struct shared shared = count_shared(daemon);
	char devices[128];

	rmb_verbs_devices(devices, sizeof(devices));
	return json_pack("{s:b, s:s, s:i, s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:i, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "ok", 1, "version", RMB_VERSION, "protocol", RAMSTER_WIRE_VERSION,
			 "devices", devices, "listening", daemon->verbs != NULL, "stopping",
			 daemon->stopping, "uptime_ms", ms_since(daemon, daemon->started_us),
			 "donation_bytes", (json_int_t)lend->donation, "granted_bytes",
			 (json_int_t)lend->granted, "free_bytes", (json_int_t)rmb_lend_free(lend),
			 "reserve_bytes", (json_int_t)lend->cfg->reserve, "numa", lend->numa,
			 "shared_bytes", (json_int_t)shared.bytes, "shares", shared.shares,
			 "share_members", shared.members, "shares_allowed", shared.allowed, "slabs",
			 count_slabs(daemon, false), "revoking_slabs", count_slabs(daemon, true),
			 "clients", HASH_COUNT(clients->sessions), "rss_bytes",
			 (json_int_t)rmb_host_rss(), "mem_available_bytes",
			 (json_int_t)rmb_host_mem_available(), "messages_in",
			 (json_int_t)clients->msgs_in, "messages_out",
			 (json_int_t)clients->msgs_out, "connections_rejected",
			 (json_int_t)clients->rejected, "clients_dropped",
			 (json_int_t)clients->dropped, "slabs_granted_total",
			 (json_int_t)lend->total_granted, "slabs_released_total",
			 (json_int_t)lend->total_released, "slabs_fenced_total",
			 (json_int_t)lend->total_fenced, "quota_bytes",
			 (json_int_t)lend->cfg->quota);
}

json_t *rmb_report_slabs(const struct rmb_daemon *daemon)
{
	json_t *list = json_array();
	struct rmb_slab *slab, *tmp;
	uint64_t now = now_us(daemon);

	HASH_ITER(hh, daemon->lend.slabs, slab, tmp) {
		json_t *one;

		if (!slab->memory.addr)
			continue;
		one = json_pack("{s:I, s:I, s:I, s:s, s:s, s:I}", "id", (json_int_t)slab->id,
				"bytes", (json_int_t)slab->bytes, "generation",
				(json_int_t)slab->generation, "state", core_lease_name(slab->state),
				"client", rmb_client_name(slab->client), "age_ms",
				ms_since(daemon, slab->granted_us));
		if (slab->deadline)
			json_object_set_new(one, "deadline_ms",
					    json_integer(
						    slab->deadline_us > now ?
							    (json_int_t)((slab->deadline_us - now) /
									 1000) :
							    0));
		json_array_append_new(list, one);
	}
	return json_pack("{s:b, s:o}", "ok", 1, "slabs", list);
}

static void id_format(const uint8_t id[RAMSTER_WIRE_CLIENT_ID], char out[40])
{
	int i, used = 0;

	for (i = 0; i < RAMSTER_WIRE_CLIENT_ID; i++)
		used += snprintf(out + used, 40 - (size_t)used, "%s%02x",
				 i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
}

json_t *rmb_report_clients(const struct rmb_daemon *daemon)
{
	json_t *list = json_array();
	struct rmb_client *client, *tmp;
	char id[40];

	HASH_ITER(hh, daemon->clients.sessions, client, tmp) {
		id_format(client->id, id);
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s, s:s, s:I, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:i}",
						"peer", client->peer, "device", client->device,
						"id", id, "state",
						client->control ? "live" : "orphaned",
						"granted_bytes", (json_int_t)client->granted,
						"slabs", client->n_slabs, "demand_lanes",
						client->n_links[RAMSTER_ROLE_DEMAND], "bulk_lanes",
						client->n_links[RAMSTER_ROLE_BULK], "write_lanes",
						client->n_links[RAMSTER_ROLE_WRITE], "used_pages",
						(json_int_t)client->used_pages, "messages_in",
						(json_int_t)client->msgs_in, "messages_out",
						(json_int_t)client->msgs_out, "silent_ms",
						ms_since(daemon, client->heard_us), "age_ms",
						ms_since(daemon, client->since_us), "shares",
						client->n_members));
	}
	return json_pack("{s:b, s:o}", "ok", 1, "clients", list);
}

static json_t *share_report(const struct rmb_daemon *daemon, const struct rmb_share *share)
{
	uint64_t now = now_us(daemon);
	json_t *one = json_pack("{s:b, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "ok", 1,
				"uuid", share->name, "allowed", share->allowed, "allowed_bytes",
				(json_int_t)share->allowed_bytes, "bytes", (json_int_t)share->bytes,
				"members", (json_int_t)share->n_members, "pages",
				(json_int_t)share->cells.pages, "joins", (json_int_t)share->joins,
				"puts", (json_int_t)share->puts, "flushes",
				(json_int_t)share->flushes, "evicted",
				(json_int_t)(share->evicted + share->cells.evicted));

	if (share->going)
		json_object_set_new(one, "deadline_ms",
				    json_integer(share->deadline_us > now ?
							 (json_int_t)((share->deadline_us - now) /
								      1000) :
							 0));
	return one;
}

json_t *rmb_report_share(const struct rmb_daemon *daemon, const uint8_t *uuid)
{
	return share_report(daemon, rmb_shares_find(&daemon->shares, uuid));
}

json_t *rmb_report_shares(const struct rmb_daemon *daemon)
{
	json_t *list = json_array();
	struct rmb_share *share, *tmp;

	HASH_ITER(hh, daemon->shares.table, share, tmp)
		json_array_append_new(list, share_report(daemon, share));
	return json_pack("{s:b, s:o}", "ok", 1, "shares", list);
}

json_t *rmb_report_revoked(const struct rmb_daemon *daemon, const struct rmb_revoked *revoked,
			   uint32_t deadline_ms)
{
	json_t *slabs = json_array(), *shares = json_array();
	const struct rmb_share *share;
	struct rmb_slab *slab;
	size_t i;

	for (i = 0; i < revoked->n; i++) {
		HASH_FIND(hh, daemon->lend.slabs, &revoked->ids[i], sizeof(revoked->ids[i]), slab);
		share = slab ? NULL : rmb_shares_find_id(&daemon->shares, revoked->ids[i]);
		if (slab)
			json_array_append_new(slabs, json_pack("{s:I, s:I, s:s}", "id",
							       (json_int_t)slab->id, "bytes",
							       (json_int_t)slab->bytes, "client",
							       rmb_client_name(slab->client)));
		if (share)
			json_array_append_new(shares, share_report(daemon, share));
	}
	return json_pack("{s:b, s:I, s:I, s:I, s:I, s:o, s:o}", "ok", 1, "donation_bytes",
			 (json_int_t)daemon->lend.donation, "unused_bytes",
			 (json_int_t)revoked->unused_bytes, "revoking_bytes",
			 (json_int_t)revoked->bytes, "deadline_ms", (json_int_t)deadline_ms,
			 "slabs", slabs, "shares", shares);
}
