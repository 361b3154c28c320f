// SPDX-License-Identifier: GPL-2.0-only
#include "config.h"

#include <errno.h>
#include <ini.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "size.h"
#include "uuid.h"

#include "../core/wire.h"

#define RESERVE_PERCENT 5

const struct rmb_config_key rmb_config_keys[] = {
	{ "listen", "ADDR", "listen on this address (may be given several times; default: all)" },
	{ "port", "PORT", "port (default 7470)" },
	{ "wait", "BOOL", "wait for an RDMA device instead of giving up (default no)" },
	{ "donate", "SIZE", "lend this much from the start (default 0)" },
	{ "quota", "SIZE", "one session may hold at most this much (default 0: no limit)" },
	{ "reserve", "SIZE|N%",
	  "never lend when less than this would stay available (default 5%)" },
	{ "numa", "NODE", "place new slabs on this node while it has room (default any)" },
	{ "max-clients", "N", "sessions at a time (default 256)" },
	{ "max-lanes", "N", "data connections of one session and role (default 16)" },
	{ "heartbeat", "TIME", "period of heartbeats (default 1s)" },
	{ "grace", "TIME", "how long grants outlive a broken connection (default 30s)" },
	{ "deadline", "TIME", "deadline of a revoke that names none (default 10s)" },
	{ "stop-deadline", "TIME", "time for borrowers to move out at a stop (default 10s)" },
	{ "force-at-deadline", "BOOL", "fence slabs that are not released in time (default yes)" },
	{ "shared", "UUID [SIZE]",
	  "let borrowers that have mounted this file system share its clean pages, SIZE of them "
	  "(default 256M; may be given several times; default: none)" },
	{ "repatriate", "TIME",
	  "how often to bring home a few pages that frontswap holds with donors, while "
	  "memory is not short (default 5s; 0: never)" },
	{ "socket", "PATH", "control socket (default " RMB_CONTROL_SOCKET ")" },
	{ "group", "GROUP", "let this group use the control socket" },
	{ NULL, NULL, NULL },
};

void rmb_config_defaults(struct rmb_config *cfg)
{
	memset(cfg, 0, sizeof(*cfg));
	cfg->port = RAMSTER_WIRE_PORT;
	cfg->reserve = rmb_host_mem_total() / 100 * RESERVE_PERCENT;
	cfg->numa = -1;
	cfg->max_clients = 256;
	cfg->max_lanes = 16;
	cfg->heartbeat_ms = 1000;
	cfg->grace_ms = 30000;
	cfg->deadline_ms = 10000;
	cfg->stop_deadline_ms = 10000;
	cfg->force_at_deadline = true;
	cfg->repatriate_ms = 5000;
	strcpy(cfg->socket, RMB_CONTROL_SOCKET);
}

static int set_u32(uint32_t *out, const char *value, uint32_t min, uint32_t max)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(value, &end, 10);
	if (end == value || *end || errno || value[0] == '-')
		return -EINVAL;
	if (number < min || number > max)
		return -ERANGE;
	*out = (uint32_t)number;
	return 0;
}

static int set_bool(bool *out, const char *value)
{
	if (!strcmp(value, "yes") || !strcmp(value, "true") || !strcmp(value, "1"))
		*out = true;
	else if (!strcmp(value, "no") || !strcmp(value, "false") || !strcmp(value, "0"))
		*out = false;
	else
		return -EINVAL;
	return 0;
}

static int set_string(char out[RMB_STRING_MAX], const char *value)
{
	if (strlen(value) >= RMB_STRING_MAX)
		return -ERANGE;
	strcpy(out, value);
	return 0;
}

static int set_duration(uint32_t *out, const char *value, uint32_t min, uint32_t max)
{
	uint32_t ms;
	int err = rmb_duration_parse(value, &ms);

	if (err)
		return err;
	if (ms < min || ms > max)
		return -ERANGE;
	*out = ms;
	return 0;
}

static int set_reserve(uint64_t *out, const char *value)
{
	size_t len = strlen(value);
	uint32_t percent;
	char digits[4];
	int err;

	if (!len || value[len - 1] != '%')
		return rmb_size_parse(value, out);
	if (len > sizeof(digits))
		return -ERANGE;
	memcpy(digits, value, len - 1);
	digits[len - 1] = '\0';
	err = set_u32(&percent, digits, 0, 100);
	if (!err)
		*out = rmb_host_mem_total() / 100 * percent;
	return err;
}

static int set_numa(int32_t *out, const char *value)
{
	uint32_t node;
	int err;

	if (!strcmp(value, "any")) {
		*out = -1;
		return 0;
	}
	err = set_u32(&node, value, 0, 1023);
	if (!err && !rmb_host_numa_exists((int)node))
		err = -ERANGE;
	if (!err)
		*out = (int32_t)node;
	return err;
}

/* "UUID" or "UUID SIZE"; naming a UUID again changes its size. */
static int set_shared(struct rmb_config *cfg, const char *value)
{
	struct rmb_config_shared shared = { .bytes = RMB_SHARED_DEFAULT };
	size_t len = strcspn(value, " \t");
	const char *size = value + len + strspn(value + len, " \t");
	char uuid[RMB_UUID_STR];
	unsigned int i;
	int err;

	if (len >= sizeof(uuid))
		return -EINVAL;
	memcpy(uuid, value, len);
	uuid[len] = '\0';
	err = rmb_uuid_parse(uuid, shared.uuid);
	if (!err && *size)
		err = rmb_size_parse(size, &shared.bytes);
	if (err)
		return err;
	if (!core_slab_bytes_valid(shared.bytes))
		return -ERANGE;
	for (i = 0; i < cfg->n_shared; i++)
		if (!memcmp(cfg->shared[i].uuid, shared.uuid, sizeof(shared.uuid)))
			break;
	if (i == RMB_SHARED_MAX)
		return -ERANGE;
	cfg->shared[i] = shared;
	if (i == cfg->n_shared)
		cfg->n_shared++;
	return 0;
}

static int set_key(struct rmb_config *cfg, const char *name, const char *value)
{
	if (!strcmp(name, "listen")) {
		if (cfg->n_listen == RMB_LISTEN_MAX)
			return -ERANGE;
		return set_string(cfg->listen[cfg->n_listen++], value);
	}
	if (!strcmp(name, "port"))
		return set_u32(&cfg->port, value, 1, 65535);
	if (!strcmp(name, "wait"))
		return set_bool(&cfg->wait, value);
	if (!strcmp(name, "donate"))
		return rmb_size_parse(value, &cfg->donate);
	if (!strcmp(name, "quota"))
		return rmb_size_parse(value, &cfg->quota);
	if (!strcmp(name, "reserve"))
		return set_reserve(&cfg->reserve, value);
	if (!strcmp(name, "numa"))
		return set_numa(&cfg->numa, value);
	if (!strcmp(name, "max-clients"))
		return set_u32(&cfg->max_clients, value, 1, 4096);
	if (!strcmp(name, "max-lanes"))
		return set_u32(&cfg->max_lanes, value, 1, 256);
	/* The bounds of the two that go over the wire are core/wire.h's. */
	if (!strcmp(name, "heartbeat"))
		return set_duration(&cfg->heartbeat_ms, value, 10, 60000);
	if (!strcmp(name, "grace"))
		return set_duration(&cfg->grace_ms, value, 0, 600000);
	if (!strcmp(name, "deadline"))
		return set_duration(&cfg->deadline_ms, value, 0, 3600000);
	if (!strcmp(name, "stop-deadline"))
		return set_duration(&cfg->stop_deadline_ms, value, 0, 600000);
	if (!strcmp(name, "force-at-deadline"))
		return set_bool(&cfg->force_at_deadline, value);
	if (!strcmp(name, "shared"))
		return set_shared(cfg, value);
	if (!strcmp(name, "repatriate"))
		return set_duration(&cfg->repatriate_ms, value, 0, 3600000);
	if (!strcmp(name, "socket"))
		return set_string(cfg->socket, value);
	if (!strcmp(name, "group"))
		return set_string(cfg->group, value);
	return -ENOENT;
}

int rmb_config_set(struct rmb_config *cfg, const char *name, const char *value, char *why,
		   unsigned int why_len)
{
	int err = set_key(cfg, name, value);

	if (err == -ENOENT)
		snprintf(why, why_len, "unknown setting '%s'; ramsterd.conf(5) lists them", name);
	else if (err == -ERANGE)
		snprintf(why, why_len, "%s: '%s' is out of range; see ramsterd.conf(5)", name,
			 value);
	else if (err)
		snprintf(why, why_len, "%s: cannot understand '%s'; see ramsterd.conf(5)", name,
			 value);
	return err ? -EINVAL : 0;
}

struct read_ctx {
	struct rmb_config *cfg;
	char *why;
	unsigned int why_len;
};

static int read_pair(void *opaque, const char *section, const char *name, const char *value)
{
	struct read_ctx *ctx = opaque;

	if (section[0]) {
		snprintf(ctx->why, ctx->why_len, "sections such as [%s] are not used here",
			 section);
		return 0;
	}
	return !rmb_config_set(ctx->cfg, name, value, ctx->why, ctx->why_len);
}

int rmb_config_read(struct rmb_config *cfg, const char *path, char *why, unsigned int why_len)
{
	struct read_ctx ctx = { .cfg = cfg, .why = why, .why_len = why_len };
	char detail[256];
	int line;

	why[0] = '\0';
	line = ini_parse(path, read_pair, &ctx);
	if (line == -1)
		return -ENOENT;
	if (!line)
		return 0;
	snprintf(detail, sizeof(detail), "%s", why[0] ? why : "not a 'name = value' line");
	snprintf(why, why_len, "%s:%d: %s", path, line, detail);
	return -EINVAL;
}
