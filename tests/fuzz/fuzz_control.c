// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control socket's input: bytes in pieces, lines, commands. The first
 * byte of the input sets the size of the pieces.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../rdma-broker/command.h"

/* What a parsed command promises to those who run it. */
static void check(const struct rmb_command *cmd)
{
	static const uint8_t none[sizeof(cmd->uuid)];

	if (cmd->type > RMB_COMMAND_SHARE_DENY)
		abort();
	if (cmd->type >= RMB_COMMAND_SHARE_ALLOW && !memcmp(cmd->uuid, none, sizeof(none)))
		abort();
	if (cmd->type == RMB_COMMAND_DONATE && !cmd->bytes)
		abort();
	if (cmd->type == RMB_COMMAND_REVOKE && !cmd->bytes == !cmd->slab)
		abort();
	if (cmd->numa < -1 || cmd->numa > 1023 || cmd->deadline_ms > RMB_DEADLINE_MAX_MS)
		abort();
	if (cmd->bytes > INT64_MAX || cmd->slab > INT64_MAX)
		abort();
}

static void run_lines(struct rmb_lines *lines)
{
	struct rmb_command cmd;
	const char *line;
	char why[64];
	size_t len;

	while ((line = rmb_lines_next(lines, &len))) {
		memset(why, 'x', sizeof(why));
		if (!rmb_command_parse(line, len, &cmd, why, sizeof(why)))
			check(&cmd);
		else if (!memchr(why, '\0', sizeof(why)))
			abort(); /* a refusal always says why */
		rmb_lines_drop(lines, len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rmb_lines lines;
	size_t piece, room;
	char *buf;

	lines.len = 0;
	if (!size)
		return 0;
	piece = *data++ + 1u;
	size--;
	while (size) {
		buf = rmb_lines_room(&lines, &room);
		if (!room)
			return 0; /* too long: the daemon hangs up here */
		if (piece < room)
			room = piece;
		if (size < room)
			room = size;
		memcpy(buf, data, room);
		rmb_lines_added(&lines, room);
		data += room;
		size -= room;
		run_lines(&lines);
	}
	return 0;
}
