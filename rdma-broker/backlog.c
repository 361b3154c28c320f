// SPDX-License-Identifier: GPL-2.0-only
#include "backlog.h"

#include <stdlib.h>

struct rmb_backlog_entry {
	struct ramster_msg msg;
	bool limited;
	STAILQ_ENTRY(rmb_backlog_entry) link;
};

void rmb_backlog_init(struct rmb_backlog *backlog)
{
	STAILQ_INIT(&backlog->list);
	backlog->len = 0;
	backlog->limited = 0;
}

void rmb_backlog_uninit(struct rmb_backlog *backlog)
{
	while (backlog->len)
		rmb_backlog_drop(backlog);
}

bool rmb_backlog_add(struct rmb_backlog *backlog, const struct ramster_msg *msg, bool limited)
{
	struct rmb_backlog_entry *entry;

	if (limited && backlog->limited == RMB_BACKLOG_MAX)
		return false;
	entry = malloc(sizeof(*entry));
	if (!entry)
		return false;
	entry->msg = *msg;
	entry->limited = limited;
	STAILQ_INSERT_TAIL(&backlog->list, entry, link);
	backlog->len++;
	backlog->limited += limited;
	return true;
}

const struct ramster_msg *rmb_backlog_first(const struct rmb_backlog *backlog)
{
	return backlog->len ? &STAILQ_FIRST(&backlog->list)->msg : NULL;
}

void rmb_backlog_drop(struct rmb_backlog *backlog)
{
	struct rmb_backlog_entry *entry = STAILQ_FIRST(&backlog->list);

	STAILQ_REMOVE_HEAD(&backlog->list, link);
	backlog->len--;
	backlog->limited -= entry->limited;
	free(entry);
}
