/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * member.h - a client in a share, and what clients say about shares.
 *
 * Life of a member: JOINING (in turn for the memory and its registration) - IN -
 * LEAVING (in turn to be deregistered; the client does not know it any more) -
 * freed. It does not outlive the client's connection but in that last step.
 */
#ifndef RMB_MEMBER_H
#define RMB_MEMBER_H

#include "cells.h"
#include "share.h"

struct rmb_client;
struct rmb_mr;

enum rmb_member_state {
	RMB_MEMBER_JOINING,
	RMB_MEMBER_IN,
	RMB_MEMBER_LEAVING,
};

struct rmb_member {
	struct rmb_share *share;
	struct rmb_client *client; /* NULL when LEAVING */
	uint32_t number;	   /* the client's name for the share */
	enum rmb_member_state state;
	struct rmb_holder holder;
	struct rmb_mr *pages, *dir;
	struct rmb_member *prev, *next;		      /* of the share */
	struct rmb_member *client_prev, *client_next; /* of the client, unless LEAVING */
	struct rmb_member *turn_prev, *turn_next;     /* unless IN */
};

/* A message about a share. NULL, or what the client did wrong. */
const char *rmb_member_obey(struct rmb_shares *all, struct rmb_client *client,
			    const struct core_msg *msg);
/* The client's connection is gone, lanes included: so are its memberships. */
void rmb_member_forget_all(struct rmb_client *client);

/* JOINING: its share is all there, register it and tell. A negative errno: refuse it. */
int rmb_member_begin(struct rmb_member *member);
/* JOINING: no. */
void rmb_member_refuse(struct rmb_member *member, enum ramster_reason why);
/* JOINING: no. IN: leave by then. */
void rmb_member_ask(struct rmb_member *member, uint32_t deadline_ms, enum ramster_reason why);
/* Its time is over: LEAVING, whatever the client does. */
void rmb_member_fence(struct rmb_member *member);
/* LEAVING: end its access, take back slots that it did not put, free it. */
void rmb_member_end(struct rmb_member *member);

#endif /* RMB_MEMBER_H */
