// SPDX-License-Identifier: GPL-2.0-only
#include "ctl_show.h"

#include <stdint.h>
#include <stdio.h>

#include "size.h"

static json_int_t number(json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static const char *text(json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key)) ?: "?";
}

/* A size; three may be in use at a time. */
static const char *size_of(json_t *object, const char *key)
{
	static char out[3][RMB_SIZE_STR];
	static int next;

	next = (next + 1) % 3;
	return rmb_size_format((uint64_t)number(object, key), out[next]);
}

void ctl_show_status(json_t *s)
{
	json_int_t up = number(s, "uptime_ms") / 1000;

	printf("ramsterd %s, up %lldh %02lldm %02llds, %s %s%s\n", text(s, "version"),
	       (long long)up / 3600, (long long)up / 60 % 60, (long long)up % 60,
	       json_is_true(json_object_get(s, "listening")) ? "listening on" :
							       "waiting for a device,",
	       text(s, "devices"),
	       json_is_true(json_object_get(s, "stopping")) ? ", stopping" : "");
	printf("  donated   %10s\n", size_of(s, "donation_bytes"));
	printf("  granted   %10s  in %lld slabs, %lld of them asked back\n",
	       size_of(s, "granted_bytes"), (long long)number(s, "slabs"),
	       (long long)number(s, "revoking_slabs"));
	printf("  shared    %10s  of it, in %lld shares with %lld members; %lld are allowed\n",
	       size_of(s, "shared_bytes"), (long long)number(s, "shares"),
	       (long long)number(s, "share_members"), (long long)number(s, "shares_allowed"));
	printf("  free      %10s\n", size_of(s, "free_bytes"));
	printf("  resident  %10s  of the host's %s available, %s reserved\n",
	       size_of(s, "rss_bytes"), size_of(s, "mem_available_bytes"),
	       size_of(s, "reserve_bytes"));
	printf("  clients   %10lld  (%lld dropped, %lld connections rejected)\n",
	       (long long)number(s, "clients"), (long long)number(s, "clients_dropped"),
	       (long long)number(s, "connections_rejected"));
	printf("  slabs     %10lld  granted so far, %lld released, %lld fenced\n",
	       (long long)number(s, "slabs_granted_total"),
	       (long long)number(s, "slabs_released_total"),
	       (long long)number(s, "slabs_fenced_total"));
	printf("  messages  %10lld  in, %lld out\n", (long long)number(s, "messages_in"),
	       (long long)number(s, "messages_out"));
}

void ctl_show_slabs(json_t *answer)
{
	json_t *list = json_object_get(answer, "slabs"), *slab;
	char left[32];
	size_t i;

	if (!json_array_size(list)) {
		puts("no slabs are granted");
		return;
	}
	printf("%8s %10s  %-18s %9s %9s  %s\n", "SLAB", "SIZE", "STATE", "AGE", "DEADLINE",
	       "CLIENT");
	json_array_foreach(list, i, slab) {
		snprintf(left, sizeof(left), "-");
		if (json_object_get(slab, "deadline_ms"))
			snprintf(left, sizeof(left), "%.1fs",
				 (double)number(slab, "deadline_ms") / 1000);
		printf("%8lld %10s  %-18s %8.1fs %9s  %s\n", (long long)number(slab, "id"),
		       size_of(slab, "bytes"), text(slab, "state"),
		       (double)number(slab, "age_ms") / 1000, left, text(slab, "client"));
	}
}

void ctl_show_clients(json_t *answer)
{
	json_t *list = json_object_get(answer, "clients"), *client;
	size_t i;

	if (!json_array_size(list)) {
		puts("no clients");
		return;
	}
	printf("%-28s %-9s %-8s %10s %6s %6s %11s %10s  %s\n", "CLIENT", "STATE", "DEVICE",
	       "GRANTED", "SLABS", "SHARES", "PAGES", "SILENT", "LANES (demand bulk write)");
	json_array_foreach(list, i, client)
		printf("%-28s %-9s %-8s %10s %6lld %6lld %11lld %9.1fs  %lld %lld %lld\n",
		       text(client, "peer"), text(client, "state"), text(client, "device"),
		       size_of(client, "granted_bytes"), (long long)number(client, "slabs"),
		       (long long)number(client, "shares"), (long long)number(client, "used_pages"),
		       (double)number(client, "silent_ms") / 1000,
		       (long long)number(client, "demand_lanes"),
		       (long long)number(client, "bulk_lanes"),
		       (long long)number(client, "write_lanes"));
}

void ctl_show_donated(json_t *answer)
{
	printf("%s donated, %s free\n", size_of(answer, "donation_bytes"),
	       size_of(answer, "free_bytes"));
}

/* "3 slabs", "a share": what is asked back. */
static const char *asked_back(json_t *answer, char *out, size_t len)
{
	size_t slabs = json_array_size(json_object_get(answer, "slabs"));
	size_t shares = json_array_size(json_object_get(answer, "shares"));

	if (!shares)
		snprintf(out, len, "%zu slabs", slabs);
	else
		snprintf(out, len, "%zu slabs and %zu shares", slabs, shares);
	return out;
}

void ctl_show_revoke_begin(json_t *answer)
{
	char what[64];

	printf("%s donated now; %s were unused, %s are in %s that are asked back\n",
	       size_of(answer, "donation_bytes"), size_of(answer, "unused_bytes"),
	       size_of(answer, "revoking_bytes"), asked_back(answer, what, sizeof(what)));
}

static void show_ended(json_t *answer)
{
	const char *size = size_of(answer, "bytes"), *outcome = text(answer, "outcome");
	long long left = number(answer, "left");

	if (json_object_get(answer, "share"))
		printf("  share %s (%s) %s, %lld to go\n", text(answer, "share"), size, outcome,
		       left);
	else
		printf("  slab %lld (%s) %s, %lld to go\n", (long long)number(answer, "slab"), size,
		       outcome, left);
}

void ctl_show_progress(json_t *answer)
{
	if (!json_object_get(answer, "done")) {
		show_ended(answer);
		return;
	}
	printf("done: %s back, of which %s were fenced", size_of(answer, "released_bytes"),
	       size_of(answer, "fenced_bytes"));
	if (number(answer, "kept_bytes"))
		printf("; %s stay with their borrowers (force-at-deadline = no), --force takes them",
		       size_of(answer, "kept_bytes"));
	putchar('\n');
}

void ctl_show_shares(json_t *answer)
{
	json_t *list = json_object_get(answer, "shares"), *share;
	size_t i;

	if (!json_array_size(list)) {
		puts("no file system is shared");
		return;
	}
	printf("%-36s %10s %10s %7s %9s %11s %9s %11s\n", "UUID", "ALLOWED", "MEMORY", "MEMBERS",
	       "PAGES", "PUTS", "FLUSHES", "EVICTED");
	json_array_foreach(list, i, share)
		printf("%-36s %10s %10s %7lld %9lld %11lld %9lld %11lld\n", text(share, "uuid"),
		       json_is_true(json_object_get(share, "allowed")) ?
			       size_of(share, "allowed_bytes") :
			       "denied",
		       size_of(share, "bytes"), (long long)number(share, "members"),
		       (long long)number(share, "pages"), (long long)number(share, "puts"),
		       (long long)number(share, "flushes"), (long long)number(share, "evicted"));
}

void ctl_show_allowed(json_t *answer)
{
	if (number(answer, "bytes"))
		printf("%s is shared, with %s in memory\n", text(answer, "uuid"),
		       size_of(answer, "bytes"));
	else
		printf("%s may be shared; its first borrower makes it take %s of the donation\n",
		       text(answer, "uuid"), size_of(answer, "allowed_bytes"));
}

void ctl_show_denied(json_t *answer)
{
	if (number(answer, "bytes"))
		printf("%s is not shared any more; %lld members have to leave its %s\n",
		       text(answer, "uuid"), (long long)number(answer, "members"),
		       size_of(answer, "bytes"));
	else
		printf("%s is not shared any more\n", text(answer, "uuid"));
}
