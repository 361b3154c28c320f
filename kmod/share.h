/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * share.h - shares: clean pages that all machines with one file system mounted
 * keep together at a donor (docs/protocol.md).
 *
 * A share is joined in the background, as long as a donor allows it, and joined
 * anew after a connection broke. Until then, and while it is being left, nothing
 * is found in it and nothing offered.
 *
 * With cleancache alone, whose module is never unloaded: there is no end of all shares.
 */
#ifndef RMK_SHARE_H
#define RMK_SHARE_H

#include "pool.h"

#define RMK_MAX_SHARES 64

struct rmk_shares;
struct rmk_share;

/* Where a share lies; good between hold and release. */
struct rmk_share_view {
	struct rmk_session *session;
	u64 dir_addr, page_addr;
	u32 dir_rkey, page_rkey;
	u32 number; /* what we call it when we talk to the donor */
	u32 slots;
};

/* What a page is called there: hashes of its file and index. */
struct rmk_share_name {
	u64 object, tag;
	u64 seed; /* of the check of its content */
};

/* May sleep. ERR_PTR(-ENOMEM). */
struct rmk_shares *rmk_shares_create(struct rmk_store *store);
/* That never had a share. */
void rmk_shares_destroy(struct rmk_shares *all);
/* From the session's work. */
void rmk_shares_message(struct rmk_shares *all, struct rmk_session *s, const struct core_msg *msg);
void rmk_shares_broken(struct rmk_shares *all, struct rmk_session *s);
/* A line per share: UUID, state, donor, slots. For sysfs. */
ssize_t rmk_shares_show(struct rmk_shares *all, char *buf);
/* There is something to send. Any context. */
void rmk_shares_kick(struct rmk_shares *all);
struct rmk_store *rmk_shares_store(struct rmk_shares *all);

/*
 * Be in the share of this file system, from some time on. May sleep.
 * ERR_PTR: -ENOSPC: RMK_MAX_SHARES; -ENOMEM.
 */
struct rmk_share *rmk_share_create(struct rmk_shares *all, const u8 *uuid, u64 fingerprint);
/* Leave it. Nobody uses it any more; its memory goes later. Does not sleep. */
void rmk_share_end(struct rmk_share *share);

void rmk_share_name(const struct rmk_pool_key *key, u64 index, struct rmk_share_name *name);

/* All that follows: any context but NMI, interrupts on or off; does not sleep. */

/*
 * Use it until release. False: it is not joined. To look something up, it must
 * be clean too: nothing that was flushed can be found any more.
 */
bool rmk_share_hold(struct rmk_share *share, bool clean, struct rmk_share_view *view);
void rmk_share_release(struct rmk_share *share);
/* rmk_session_post() while held; -ENOTCONN: it is being left. Interrupts on. */
int rmk_share_post(struct rmk_share *share, const struct rmk_share_view *view, enum rmk_lane lane,
		   struct rmk_wr *wr, u64 raddr, u32 rkey);
/* A hint. */
bool rmk_share_joined(const struct rmk_share *share);

/*
 * Flush a page, or with tag 0 all pages of the object, for everybody. Nothing is
 * looked up in the share until the donor has done it.
 */
void rmk_share_flush(struct rmk_share *share, u64 object, u64 tag);

/* A free slot to write to, or -EAGAIN: the donor has been asked; -ENOSPC: it has none for now. */
int rmk_share_take_slot(struct rmk_share *share, u32 *slot);
/* It was not put after all. */
void rmk_share_return_slot(struct rmk_share *share, u32 slot);

#endif /* RMK_SHARE_H */
