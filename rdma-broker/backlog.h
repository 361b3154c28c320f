/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * backlog.h - messages that wait until their client takes more of them, in order.
 *
 * What a client makes the donor say is limited in number, or a client that takes no
 * messages would cost memory without end. What the donor says about slabs by itself
 * -- the list at a resume, REVOKE, FENCED -- is not: there are as many as slabs, and
 * a client that has many of them does nothing wrong.
 */
#ifndef RMB_BACKLOG_H
#define RMB_BACKLOG_H

#include <stdbool.h>
#include <sys/queue.h>

#include "../include/ramster/ramster_wire.h"

#define RMB_BACKLOG_MAX 16384 /* limited messages; untouched ones cost nothing */

struct rmb_backlog_entry;

struct rmb_backlog {
	STAILQ_HEAD(, rmb_backlog_entry) list;
	unsigned int len;     /* of all */
	unsigned int limited; /* of those that are limited */
};

void rmb_backlog_init(struct rmb_backlog *backlog);
void rmb_backlog_uninit(struct rmb_backlog *backlog);
/* A copy of msg as the last one. False: too many wait, or there is no memory. */
bool rmb_backlog_add(struct rmb_backlog *backlog, const struct ramster_msg *msg, bool limited);
/* The one whose turn it is; NULL: none. Valid until it is dropped. */
const struct ramster_msg *rmb_backlog_first(const struct rmb_backlog *backlog);
/* There is a first one. */
void rmb_backlog_drop(struct rmb_backlog *backlog);

#endif /* RMB_BACKLOG_H */
