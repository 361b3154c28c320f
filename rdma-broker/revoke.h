/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * revoke.h - taking back what is lent: how much, of whom, in which order.
 *
 * First what nobody has; then shares, whose pages are clean: those without members
 * first; then slabs, of the client that has most, its oldest first.
 */
#ifndef RMB_REVOKE_H
#define RMB_REVOKE_H

#include "lend.h"
#include "shares.h"

struct rmb_revoke {
	uint64_t bytes;	  /* lower the donation by this much, or */
	uint64_t slab_id; /* (if not 0) by this slab */
	uint32_t deadline_ms;
	bool force; /* do not wait for the borrower */
	enum ramster_reason reason;
};

struct rmb_revoked {
	uint64_t *ids; /* slabs and shares that are on their way back; the caller frees */
	size_t n;
	uint64_t bytes;	       /* of that */
	uint64_t unused_bytes; /* taken from what nobody had */
};

/* 0, or -EINVAL, -ENOENT, -ENOMEM with a line for the operator in why. */
int rmb_revoke(struct rmb_lend *lend, struct rmb_shares *shares, const struct rmb_revoke *how,
	       struct rmb_revoked *out, char *why, size_t why_len);
/* Enter something in out. -ENOMEM. */
int rmb_revoked_add(struct rmb_revoked *out, uint64_t id, uint64_t bytes);
/* Ask for everything back, for good. */
void rmb_revoke_all(struct rmb_lend *lend, struct rmb_shares *shares, uint32_t deadline_ms);
/* End all access to what is still out. */
void rmb_revoke_fence_all(struct rmb_lend *lend, struct rmb_shares *shares);

#endif /* RMB_REVOKE_H */
