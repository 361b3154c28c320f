// SPDX-License-Identifier: GPL-2.0-only
#include "command.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "uuid.h"

static const struct {
	const char *name;
	enum rmb_command_type type;
	const char *keys; /* allowed besides "command", each with a space after */
} commands[] = {
	{ "status", RMB_COMMAND_STATUS, "" },
	{ "slabs", RMB_COMMAND_SLABS, "" },
	{ "clients", RMB_COMMAND_CLIENTS, "" },
	{ "shares", RMB_COMMAND_SHARES, "" },
	{ "donate", RMB_COMMAND_DONATE, "bytes numa " },
	{ "revoke", RMB_COMMAND_REVOKE, "bytes slab deadline_ms force wait " },
	{ "share-allow", RMB_COMMAND_SHARE_ALLOW, "uuid bytes " },
	{ "share-deny", RMB_COMMAND_SHARE_DENY, "uuid deadline_ms force wait " },
};

struct parser {
	json_t *root;
	char *why;
	size_t why_len;
};

static int wrong(struct parser *p, const char *what, const char *key)
{
	snprintf(p->why, p->why_len, "%s '%.40s'", what, key);
	return -EINVAL;
}

/* An integer within bounds; absent: *out stays and *given is false. */
static int get_int(struct parser *p, const char *key, long long min, long long max, long long *out,
		   bool *given)
{
	json_t *value = json_object_get(p->root, key);
	bool dummy;

	*(given ? given : &dummy) = value;
	if (!value)
		return 0;
	if (!json_is_integer(value))
		return wrong(p, "not an integer:", key);
	if (json_integer_value(value) < min || json_integer_value(value) > max)
		return wrong(p, "out of range:", key);
	*out = json_integer_value(value);
	return 0;
}

static int get_bool(struct parser *p, const char *key, bool *out)
{
	json_t *value = json_object_get(p->root, key);

	if (!value)
		return 0;
	if (!json_is_boolean(value))
		return wrong(p, "not true or false:", key);
	*out = json_is_true(value);
	return 0;
}

/* Present in the commands that take it. */
static int get_uuid(struct parser *p, uint8_t uuid[16])
{
	json_t *value = json_object_get(p->root, "uuid");

	if (!value)
		return wrong(p, "missing:", "uuid");
	if (!json_is_string(value))
		return wrong(p, "not a string:", "uuid");
	if (!rmb_uuid_parse(json_string_value(value), uuid))
		return 0;
	return wrong(p,
		     "not the UUID of a file system, as blkid shows it:", json_string_value(value));
}

static bool key_allowed(const char *keys, const char *key)
{
	size_t len = strlen(key);
	const char *at = strstr(keys, key);

	if (!strcmp(key, "command"))
		return true;
	return len && at && (at == keys || at[-1] == ' ') && at[len] == ' ';
}

static int parse_type(struct parser *p, enum rmb_command_type *type)
{
	const char *name = json_string_value(json_object_get(p->root, "command"));
	const char *key;
	json_t *value;
	size_t i;

	if (!name)
		return wrong(p, "missing:", "command");
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(name, commands[i].name))
			continue;
		json_object_foreach(p->root, key, value)
			if (!key_allowed(commands[i].keys, key))
				return wrong(p, "not used here:", key);
		*type = commands[i].type;
		return 0;
	}
	return wrong(p, "unknown command", name);
}

static int parse_fields(struct parser *p, struct rmb_command *cmd)
{
	long long bytes = 0, slab = 0, numa = -1, deadline_ms = 0;
	int err = parse_type(p, &cmd->type);

	if (!err)
		err = get_int(p, "bytes", 1, LLONG_MAX, &bytes, NULL);
	if (!err)
		err = get_int(p, "slab", 1, LLONG_MAX, &slab, NULL);
	if (!err)
		err = get_int(p, "numa", -1, 1023, &numa, &cmd->has_numa);
	if (!err)
		err = get_int(p, "deadline_ms", 0, RMB_DEADLINE_MAX_MS, &deadline_ms,
			      &cmd->has_deadline);
	if (!err)
		err = get_bool(p, "force", &cmd->force);
	if (!err)
		err = get_bool(p, "wait", &cmd->wait);
	if (err)
		return err;
	cmd->bytes = (uint64_t)bytes;
	cmd->slab = (uint64_t)slab;
	cmd->numa = (int)numa;
	cmd->deadline_ms = (uint32_t)deadline_ms;
	if (cmd->type == RMB_COMMAND_DONATE && !cmd->bytes)
		return wrong(p, "missing:", "bytes");
	if (cmd->type == RMB_COMMAND_REVOKE && !cmd->bytes == !cmd->slab)
		return wrong(p, "give one of 'bytes' and", "slab");
	if (cmd->type == RMB_COMMAND_SHARE_ALLOW || cmd->type == RMB_COMMAND_SHARE_DENY)
		return get_uuid(p, cmd->uuid);
	return 0;
}

int rmb_command_parse(const char *line, size_t len, struct rmb_command *out, char *why,
		      size_t why_len)
{
	struct parser p = { .why = why, .why_len = why_len };
	struct rmb_command cmd = { 0 };
	json_error_t error;
	int err;

	p.root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	if (!p.root) {
		snprintf(why, why_len, "not JSON: %s", error.text);
		return -EINVAL;
	}
	err = json_is_object(p.root) ? parse_fields(&p, &cmd) : wrong(&p, "not an object:", "line");
	json_decref(p.root);
	if (!err)
		*out = cmd;
	return err;
}

char *rmb_lines_room(struct rmb_lines *lines, size_t *room)
{
	*room = sizeof(lines->buf) - lines->len;
	return lines->buf + lines->len;
}

void rmb_lines_added(struct rmb_lines *lines, size_t n)
{
	lines->len += n;
}

const char *rmb_lines_next(const struct rmb_lines *lines, size_t *len)
{
	const char *end = memchr(lines->buf, '\n', lines->len);

	if (!end)
		return NULL;
	*len = (size_t)(end - lines->buf);
	return lines->buf;
}

void rmb_lines_drop(struct rmb_lines *lines, size_t len)
{
	lines->len -= len + 1;
	memmove(lines->buf, lines->buf + len + 1, lines->len);
}
