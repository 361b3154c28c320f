/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * offer.h - pages on their way into shares.
 */
#ifndef RMK_OFFER_H
#define RMK_OFFER_H

#include "share.h"

/* Pages that are written at once. */
#define RMK_OFFER_BATCH 16

struct rmk_offers;

/* With memory of its own. May sleep. ERR_PTR(-ENOMEM). */
struct rmk_offers *rmk_offers_create(struct rmk_shares *all);
void rmk_offers_destroy(struct rmk_offers *offers);
struct rmk_offers *rmk_shares_offers(struct rmk_shares *all);

/*
 * Put a copy of the page at src into the share, later. -EAGAIN: no buffer is
 * free, or too many pages wait. Any context but NMI, does not sleep.
 */
int rmk_offer(struct rmk_offers *offers, struct rmk_share *share, const struct rmk_share_name *name,
	      const void *src);
/*
 * A page that is not with the donor yet shall not get there: this one, with tag 0 all of
 * the object, with object 0 all of the share. Context as above.
 */
void rmk_offers_withdraw(struct rmk_offers *offers, struct rmk_share *share, u64 object, u64 tag);

/* A hint. */
bool rmk_offers_waiting(const struct rmk_offers *offers);
/*
 * Bring some of what waits to a donor. True: there is more, and nothing to wait for.
 * By the shares' work alone; sleeps.
 */
bool rmk_offers_run(struct rmk_offers *offers);

#endif /* RMK_OFFER_H */
