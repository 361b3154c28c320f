/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * loan.h - one slab in a client's hands, from the grant until its memory is
 * back: the edges of core/lease.h's table and what goes with each of them.
 * Used by lend.c and revoke.c.
 */
#ifndef RMB_LOAN_H
#define RMB_LOAN_H

#include "revoke.h"

/* Granted: enter a new slab in the books and tell the client. */
void rmb_loan_begin(struct rmb_lend *lend, struct rmb_slab *slab, struct rmb_client *client);
/* Ask for it back, and fence it at the deadline; how->force: now. */
void rmb_loan_revoke(struct rmb_lend *lend, struct rmb_slab *slab, const struct rmb_revoke *how);
/* The client gave it back. */
void rmb_loan_release(struct rmb_lend *lend, struct rmb_slab *slab);
/* Whatever the client does. Access ends when the slab is reaped, soon. */
void rmb_loan_fence(struct rmb_lend *lend, struct rmb_slab *slab, enum ramster_reason reason);
/* The client's connection broke, came back. Resuming may free the slab. */
void rmb_loan_orphan(struct rmb_slab *slab);
void rmb_loan_resume(struct rmb_lend *lend, struct rmb_slab *slab);

/* Take down the first slab that waits for it: end access, free the memory, tell. */
void rmb_loan_reap(struct rmb_lend *lend);
/* The last edge: out of the books. The last slab of a dying client frees it, too. */
void rmb_loan_forget(struct rmb_lend *lend, struct rmb_slab *slab);

/* Lent and not yet asked back? */
bool rmb_loan_stays(const struct rmb_slab *slab);
/* Fenced while the client was away: no memory, but a name that it must hear. */
bool rmb_loan_untold(const struct rmb_slab *slab);

#endif /* RMB_LOAN_H */
