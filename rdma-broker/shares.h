/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * shares.h - all shares: which file systems may be shared, and what is to be done
 * for those that are.
 *
 * Making memory, registering and deregistering it are done in pieces, one per
 * turn of the loop, so that nobody's heartbeat waits for them.
 */
#ifndef RMB_SHARES_H
#define RMB_SHARES_H

#include <stddef.h>

#include "config.h"
#include "lend.h"
#include "share.h"

struct rmb_shares {
	sd_event *event;
	struct rmb_lend *lend;
	struct rmb_share *table;	      /* by uuid */
	struct rmb_member *joining, *leaving; /* in turn */
	bool stopping;
	sd_event_source *work;
};

/* Allows what cfg names. */
int rmb_shares_init(struct rmb_shares *all, sd_event *event, const struct rmb_config *cfg,
		    struct rmb_lend *lend);
/* After the clients. */
void rmb_shares_uninit(struct rmb_shares *all);
/* There is something to do. */
void rmb_shares_wake(struct rmb_shares *all);

struct rmb_share *rmb_shares_find(const struct rmb_shares *all, const uint8_t *uuid);
/* By its memory's number; NULL: that is gone. */
struct rmb_share *rmb_shares_find_id(const struct rmb_shares *all, uint64_t id);

/*
 * Operator's side. bytes 0: as it was, or the default. 0 or, with a line for the
 * operator in why, -EINVAL (no size of a share), -EBUSY, -ENOENT, -ENOMEM.
 */
int rmb_shares_allow(struct rmb_shares *all, const uint8_t *uuid, uint64_t bytes, char *why,
		     size_t why_len);
/* Nobody may join any more, and its members have to leave; it stays to be found until then. */
int rmb_shares_deny(struct rmb_shares *all, const uint8_t *uuid, uint32_t deadline_ms, bool force,
		    char *why, size_t why_len);

/* Bytes of shares that are not going. */
uint64_t rmb_shares_staying(const struct rmb_shares *all);
/* The one of them to take first: that with fewest members. NULL: none. */
struct rmb_share *rmb_shares_victim(const struct rmb_shares *all);
/* Take them all, for good. */
void rmb_shares_stop(struct rmb_shares *all, uint32_t deadline_ms);
void rmb_shares_fence_all(struct rmb_shares *all);

#endif /* RMB_SHARES_H */
