/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * command.h - what the control socket understands: one JSON object per line.
 * Pure: bytes in, a checked struct out; fuzzed by tests/fuzz/fuzz_control.c.
 *
 *   {"command":"donate","bytes":536870912,"numa":0}
 *   {"command":"revoke","bytes":268435456,"deadline_ms":10000,"force":false,"wait":true}
 *   {"command":"revoke","slab":7}
 *   {"command":"share-allow","uuid":"…","bytes":268435456}
 *   {"command":"share-deny","uuid":"…","deadline_ms":10000,"force":false,"wait":true}
 *   {"command":"status"} {"command":"slabs"} {"command":"clients"} {"command":"shares"}
 */
#ifndef RMB_COMMAND_H
#define RMB_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RMB_LINE_MAX	    65536 /* bytes of a line with its newline */
#define RMB_DEADLINE_MAX_MS 3600000

enum rmb_command_type {
	RMB_COMMAND_STATUS,
	RMB_COMMAND_SLABS,
	RMB_COMMAND_CLIENTS,
	RMB_COMMAND_SHARES,
	RMB_COMMAND_DONATE, /* from here on: not while stopping */
	RMB_COMMAND_REVOKE,
	RMB_COMMAND_SHARE_ALLOW,
	RMB_COMMAND_SHARE_DENY,
};

struct rmb_command {
	enum rmb_command_type type;
	uint64_t bytes; /* donate: > 0; revoke: > 0, or 0 with slab; share-allow: 0: not given */
	uint64_t slab;
	uint8_t uuid[16]; /* share-*: not all zero */
	bool has_numa;
	int numa; /* -1 .. 1023 */
	bool has_deadline;
	uint32_t deadline_ms; /* <= RMB_DEADLINE_MAX_MS */
	bool force;
	bool wait;
};

/* 0, or -EINVAL with a line for the operator in why. out is written on success only. */
int rmb_command_parse(const char *line, size_t len, struct rmb_command *out, char *why,
		      size_t why_len);

/* Lines put together from what read() brings. */
struct rmb_lines {
	char buf[RMB_LINE_MAX];
	size_t len;
};

/*
 * Room to read into; *room is 0 if a whole line waits or -- a line too long --
 * none will ever come (then rmb_lines_next() has returned NULL).
 */
char *rmb_lines_room(struct rmb_lines *lines, size_t *room);
void rmb_lines_added(struct rmb_lines *lines, size_t n);
/* The first whole line and its length without the newline, or NULL. Valid until _drop(). */
const char *rmb_lines_next(const struct rmb_lines *lines, size_t *len);
void rmb_lines_drop(struct rmb_lines *lines, size_t len);

#endif /* RMB_COMMAND_H */
