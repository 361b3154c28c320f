/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lend.h - the donation: how much is lent, to whom, and how it comes back.
 *
 * Every change of a slab's state is an edge of core/lease.h's table, made by
 * step() in loan.c. Registering and deregistering take milliseconds per
 * slab, so both are done one slab per turn of the loop: a large request or a
 * large client's death delays nobody's heartbeat.
 */
#ifndef RMB_LEND_H
#define RMB_LEND_H

#include <stddef.h>

#include "config.h"
#include "slab.h"

struct rmb_client;

struct rmb_lend {
	sd_event *event;
	const struct rmb_config *cfg;
	uint64_t donation; /* bytes that may be lent */
	uint64_t granted;  /* bytes whose memory exists, in slabs and shares */
	int numa;	   /* of new slabs, -1: any */
	bool stopping;
	uint64_t next_id;
	uint32_t next_generation;
	uint64_t total_granted, total_released, total_fenced; /* slabs since the start */
	struct rmb_slab *slabs;				      /* by id */
	struct rmb_client *holders; /* clients that have slabs which are not asked back */
	uint64_t staying;	    /* bytes of these */
	struct rmb_slab *reap;	    /* RELEASED and FENCED ones with memory */
	struct rmb_client *waiting; /* clients with requests, in turn */
	sd_event_source *work;
	/*
	 * A slab's memory, or (not NULL) that share's, is back ("released",
	 * "fenced") or stays for now ("kept").
	 */
	void (*ended)(void *ctx, uint64_t id, const char *share, uint64_t bytes,
		      const char *outcome);
	void *ended_ctx;
};

int rmb_lend_init(struct rmb_lend *lend, sd_event *event, const struct rmb_config *cfg);
void rmb_lend_uninit(struct rmb_lend *lend);

/* What could be granted now, bytes: the donation's rest, and the host's. */
uint64_t rmb_lend_free(const struct rmb_lend *lend);

/* Why memory of this size is not to be had now, or NONE. */
enum ramster_reason rmb_lend_refusal(const struct rmb_lend *lend, uint64_t bytes);
/* A part of the donation that somebody else looks after; returns an id for it. */
uint64_t rmb_lend_take(struct rmb_lend *lend, uint64_t bytes);
void rmb_lend_put_back(struct rmb_lend *lend, uint64_t bytes);

/* Operator's side. 0, or -EINVAL with a line for the operator in why. */
int rmb_lend_donate(struct rmb_lend *lend, uint64_t bytes, char *why, size_t why_len);

/* Client's side. */
void rmb_lend_request(struct rmb_lend *lend, struct rmb_client *client, uint32_t count,
		      uint64_t slab_bytes);
/* -ENOENT: no slab of this client's; the client broke the protocol. */
int rmb_lend_release(struct rmb_lend *lend, struct rmb_client *client, uint64_t id,
		     uint32_t generation);
/* The connection broke: what was asked is forgotten, what was granted is kept. */
void rmb_lend_orphan(struct rmb_lend *lend, struct rmb_client *client);
/* The client is back: tell it all that it has, and what it missed. */
void rmb_lend_resume(struct rmb_lend *lend, struct rmb_client *client);
/* The session is over: rmb_client_free() is called when the last slab is down. */
void rmb_lend_drop(struct rmb_lend *lend, struct rmb_client *client);

#endif /* RMB_LEND_H */
