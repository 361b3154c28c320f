// SPDX-License-Identifier: GPL-2.0-only
#include "revoke.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "loan.h"
#include "size.h"

/* The client with most, and its oldest grant: load evens out, cold pages move first. */
static struct rmb_slab *pick_victim(const struct rmb_lend *lend)
{
	const struct rmb_client *client, *most = lend->holders;

	for (client = most; client; client = client->holder_next)
		if (client->staying_bytes > most->staying_bytes)
			most = client;
	return most ? most->staying : NULL;
}

int rmb_revoked_add(struct rmb_revoked *out, uint64_t id, uint64_t bytes)
{
	uint64_t *ids;

	/* There is room for the next power of two. */
	if (!(out->n & (out->n - 1))) {
		ids = realloc(out->ids, (out->n ? 2 * out->n : 1) * sizeof(*ids));
		if (!ids)
			return -ENOMEM;
		out->ids = ids;
	}
	out->ids[out->n++] = id;
	out->bytes += bytes;
	return 0;
}

static int revoke_slab(struct rmb_lend *lend, const struct rmb_revoke *how, struct rmb_revoked *out,
		       char *why, size_t why_len)
{
	struct rmb_slab *slab;

	HASH_FIND(hh, lend->slabs, &how->slab_id, sizeof(how->slab_id), slab);
	if (!slab || !slab->memory.addr) {
		snprintf(why, why_len, "there is no slab %" PRIu64 "; see: ramsterctl slabs",
			 how->slab_id);
		return -ENOENT;
	}
	if (!rmb_loan_stays(slab) && !how->force) {
		snprintf(why, why_len, "slab %" PRIu64 " is %s already; --force takes it at once",
			 slab->id, core_lease_name(slab->state));
		return -EINVAL;
	}
	if (rmb_revoked_add(out, slab->id, slab->bytes)) {
		snprintf(why, why_len, "out of memory");
		return -ENOMEM;
	}
	/* Otherwise the borrower could have it back the moment after. */
	if (rmb_loan_stays(slab))
		lend->donation -= slab->bytes < lend->donation ? slab->bytes : lend->donation;
	rmb_loan_revoke(lend, slab, how);
	return 0;
}

static int revoke_bytes(struct rmb_lend *lend, struct rmb_shares *shares,
			const struct rmb_revoke *how, struct rmb_revoked *out, char *why,
			size_t why_len)
{
	uint64_t staying = lend->staying + rmb_shares_staying(shares);
	uint64_t unused = lend->donation > staying ? lend->donation - staying : 0;
	struct rmb_share *share = NULL;
	struct rmb_slab *slab = NULL;
	char size[RMB_SIZE_STR];

	if (how->bytes > lend->donation) {
		snprintf(why, why_len, "only %s are donated; revoke that much or less",
			 rmb_size_format(lend->donation, size));
		return -EINVAL;
	}
	lend->donation -= how->bytes;
	out->unused_bytes = how->bytes < unused ? how->bytes : unused;
	while (staying > lend->donation) {
		share = rmb_shares_victim(shares);
		slab = share ? NULL : pick_victim(lend);
		if (!share && !slab)
			break;
		if (share ? rmb_revoked_add(out, share->id, share->bytes) :
			    rmb_revoked_add(out, slab->id, slab->bytes)) {
			snprintf(why, why_len,
				 "out of memory; the donation is lowered, but not all of it is asked back");
			return -ENOMEM;
		}
		staying -= share ? share->bytes : slab->bytes;
		if (share)
			rmb_share_take(share, how->deadline_ms, how->force, how->reason);
		else
			rmb_loan_revoke(lend, slab, how);
	}
	return 0;
}

int rmb_revoke(struct rmb_lend *lend, struct rmb_shares *shares, const struct rmb_revoke *how,
	       struct rmb_revoked *out, char *why, size_t why_len)
{
	memset(out, 0, sizeof(*out));
	if (how->slab_id)
		return revoke_slab(lend, how, out, why, why_len);
	return revoke_bytes(lend, shares, how, out, why, why_len);
}

void rmb_revoke_all(struct rmb_lend *lend, struct rmb_shares *shares, uint32_t deadline_ms)
{
	struct rmb_revoke how = { .deadline_ms = deadline_ms, .reason = RAMSTER_REASON_SHUTDOWN };
	struct rmb_slab *slab, *tmp;

	lend->stopping = true;
	lend->donation = 0;
	rmb_shares_stop(shares, deadline_ms);
	HASH_ITER(hh, lend->slabs, slab, tmp)
		if (rmb_loan_stays(slab))
			rmb_loan_revoke(lend, slab, &how);
}

void rmb_revoke_fence_all(struct rmb_lend *lend, struct rmb_shares *shares)
{
	struct rmb_slab *slab, *tmp;

	rmb_shares_fence_all(shares);
	HASH_ITER(hh, lend->slabs, slab, tmp)
		rmb_loan_fence(lend, slab, RAMSTER_REASON_SHUTDOWN);
}
