/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * client.h - the sessions of borrowers: who they are, their connections, their
 * messages, and whether they live.
 *
 * A session outlives its connections by the grace time, so that a borrower
 * can resume it. Life of a session: live (control connection up) - orphaned
 * (none, grace timer runs) - live again, or dying (out of the table, slabs
 * coming down one by one) - freed.
 */
#ifndef RMB_CLIENT_H
#define RMB_CLIENT_H

#include "config.h"
#include "lend.h"
#include "verbs.h"

#define RMB_REQUESTS_MAX 16 /* slab requests of one client that wait for their turn */
#define RMB_REFUSED_MAX	 64 /* shares that it is known to have been refused, and why */

/* A connection and what it is for. */
struct rmb_link {
	struct rmb_client *client;
	struct rmb_conn *conn;
	enum ramster_role role;
	struct rmb_link *prev, *next;
};

struct rmb_client {
	struct rmb_clients *all;
	uint64_t session;
	uint8_t id[RAMSTER_WIRE_CLIENT_ID];
	char peer[64]; /* of the last control connection */
	char device[64];
	struct rmb_pd *pd;
	struct rmb_link *control; /* NULL: orphaned; also in links */
	struct rmb_link *links;
	uint32_t n_links[RAMSTER_ROLE_END];
	bool spoke; /* a message came since the connection began */
	bool dying;
	uint64_t heard_us; /* last message; CLOCK_MONOTONIC, as all times here */
	uint64_t since_us;
	uint64_t fenced_us; /* last fence of a slab of this session, or 0 */
	uint32_t tokens;    /* messages it may send before it counts as a flood */
	sd_event_source *grace;
	uint64_t msgs_in, msgs_out;
	uint64_t used_pages; /* its own word */

	/* Owned by lend.c. */
	struct rmb_slab *slabs;
	uint64_t granted; /* bytes */
	uint32_t n_slabs;
	struct rmb_slab *staying;		      /* not asked back, oldest grant first */
	uint64_t staying_bytes;			      /* of them */
	struct rmb_client *holder_prev, *holder_next; /* while it has such */
	struct {
		uint32_t count;
		uint64_t slab_bytes;
	} requests[RMB_REQUESTS_MAX];
	unsigned int n_requests;
	struct rmb_client *wait_prev, *wait_next;
	bool waiting;

	/* Owned by member.c. */
	struct rmb_member *members; /* its part in shares */
	unsigned int n_members;
	struct {
		uint8_t uuid[RAMSTER_SHARE_UUID];
		uint8_t reason;
	} refused[RMB_REFUSED_MAX]; /* JOINs, the last ones */
	unsigned int n_refused;	    /* since the session began */

	UT_hash_handle hh; /* by session */
};

struct rmb_clients {
	sd_event *event;
	const struct rmb_config *cfg;
	struct rmb_lend *lend;
	struct rmb_shares *shares;
	struct rmb_client *sessions;
	sd_event_source *tick;
	bool stopping;
	uint64_t msgs_in, msgs_out, rejected, dropped; /* since the start */
};

extern const struct rmb_verbs_ops rmb_client_ops; /* ctx is the struct rmb_clients */

int rmb_clients_init(struct rmb_clients *all, sd_event *event, const struct rmb_config *cfg,
		     struct rmb_lend *lend, struct rmb_shares *shares);
void rmb_clients_uninit(struct rmb_clients *all);
/* Tell every client that the node goes down. */
void rmb_clients_bye(struct rmb_clients *all);
/* Messages that clients have not taken yet. */
unsigned int rmb_clients_unsent(const struct rmb_clients *all);

/* Does nothing while the client is not there; rmb_lend_resume() makes up for it. */
void rmb_client_send(struct rmb_client *client, const struct core_msg *msg);
/* As above, of its slabs and without being asked: as many of these may wait as there are slabs. */
void rmb_client_tell(struct rmb_client *client, const struct core_msg *msg);
/* May the client be sent anything now? */
bool rmb_client_listens(const struct rmb_client *client);
/* For what nothing else limits: false if the client sends too much of it. */
bool rmb_client_token(struct rmb_client *client);
/* Last step of a dying client, by lend.c. */
void rmb_client_free(struct rmb_client *client);
/* "10.0.0.1:34567": where it is or was. */
const char *rmb_client_name(const struct rmb_client *client);

#endif /* RMB_CLIENT_H */
