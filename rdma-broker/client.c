// SPDX-License-Identifier: GPL-2.0-only
#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <utlist.h>

#include "log.h"
#include "member.h"

#define SILENT_PERIODS 5	   /* as ramster_wire.h promises */
#define FENCE_CHECK_US 30000000ull /* how long lanes are looked at after a fence */
/*
 * Messages that nothing else limits: heartbeats and requests. The shortest
 * heartbeat period makes 100 a second; a release needs a slab to release.
 */
#define TOKENS_MAX     1000
#define TOKENS_PER_SEC 200

static uint64_t now_us(const struct rmb_clients *all)
{
	uint64_t now = 0;

	sd_event_now(all->event, CLOCK_MONOTONIC, &now);
	return now;
}

const char *rmb_client_name(const struct rmb_client *client)
{
	return client->peer;
}

bool rmb_client_listens(const struct rmb_client *client)
{
	/* iWARP wants the side that connected to speak first. */
	return client->control && client->spoke;
}

static void client_say(struct rmb_client *client, const struct core_msg *msg, bool limited)
{
	struct ramster_msg wire;

	if (!rmb_client_listens(client))
		return;
	core_msg_encode(&wire, msg);
	client->msgs_out++;
	client->all->msgs_out++;
	rmb_conn_send(client->control->conn, &wire, limited);
}

void rmb_client_send(struct rmb_client *client, const struct core_msg *msg)
{
	client_say(client, msg, true);
}

void rmb_client_tell(struct rmb_client *client, const struct core_msg *msg)
{
	client_say(client, msg, false);
}

/* ---- the end of connections and sessions ---- */

static void link_destroy(struct rmb_link *link)
{
	struct rmb_client *client = link->client;

	if (client->control == link)
		client->control = NULL;
	DL_DELETE(client->links, link);
	client->n_links[link->role]--;
	rmb_conn_destroy(link->conn);
	free(link);
}

/* All connections but one, and with them its part in shares. */
static void links_destroy(struct rmb_client *client, const struct rmb_link *but)
{
	struct rmb_link *link, *tmp;

	DL_FOREACH_SAFE(client->links, link, tmp)
		if (link != but)
			link_destroy(link);
	rmb_member_forget_all(client);
}

/* End the session: connections at once, slabs one by one, then the rest. */
static void client_destroy(struct rmb_client *client)
{
	links_destroy(client, NULL);
	client->grace = sd_event_source_disable_unref(client->grace);
	client->dying = true;
	HASH_DEL(client->all->sessions, client);
	rmb_lend_drop(client->all->lend, client);
}

void rmb_client_free(struct rmb_client *client)
{
	rmb_pd_destroy(client->pd);
	free(client);
}

static int on_grace_over(sd_event_source *source, uint64_t usec, void *opaque)
{
	struct rmb_client *client = opaque;

	(void)source, (void)usec;
	rmb_log(LOG_NOTICE,
		"%s did not come back within %" PRIu32 " ms: its %" PRIu32 " slabs are taken back",
		client->peer, client->all->cfg->grace_ms, client->n_slabs);
	client_destroy(client);
	return 0;
}

/* Lose the connections, keep the session for a while if there is a reason to. */
static void client_detach(struct rmb_client *client)
{
	struct rmb_clients *all = client->all;
	uint64_t grace_us = all->cfg->grace_ms * 1000ull;

	links_destroy(client, NULL);
	client->spoke = false;
	rmb_lend_orphan(all->lend, client);
	if (!client->slabs || !grace_us || all->stopping) {
		client_destroy(client);
		return;
	}
	if (sd_event_add_time(all->event, &client->grace, CLOCK_MONOTONIC, now_us(all) + grace_us,
			      10000, on_grace_over, client) < 0)
		client_destroy(client);
}

/* The client did what it must not, or died. It loses its own connections, nobody else anything. */
static void client_drop(struct rmb_client *client, const char *why)
{
	rmb_log_limited(LOG_WARNING, "%s (%s) dropped: %s; it holds %" PRIu32 " slabs",
			client->peer, client->device, why, client->n_slabs);
	client->all->dropped++;
	client_detach(client);
}

static void on_down(struct rmb_conn *conn, void *owner, const char *why, bool device_gone)
{
	struct rmb_link *link = owner;
	struct rmb_client *client = link->client;

	(void)conn;
	if (device_gone) {
		rmb_log(LOG_ERR, "%s: %s is gone, and the session with it", client->peer,
			client->device);
		client_destroy(client);
	} else if (link == client->control) {
		client_drop(client, why);
	} else {
		link_destroy(link);
	}
}

/* ---- messages ---- */

static void on_bye(struct rmb_client *client)
{
	rmb_log(LOG_INFO, "%s says goodbye; it held %" PRIu32 " slabs", client->peer,
		client->n_slabs);
	client_destroy(client);
}

bool rmb_client_token(struct rmb_client *client)
{
	if (!client->tokens)
		return false;
	client->tokens--;
	return true;
}

/* NULL, or what the client did wrong. */
static const char *client_obey(struct rmb_client *client, const struct core_msg *msg)
{
	struct rmb_lend *lend = client->all->lend;

	switch (msg->type) {
	case RAMSTER_MSG_HEARTBEAT:
		client->used_pages = msg->heartbeat.used_pages;
		return rmb_client_token(client) ? NULL : "flood of messages";
	case RAMSTER_MSG_SLAB_REQUEST:
		if (!rmb_client_token(client))
			return "flood of messages";
		rmb_lend_request(lend, client, msg->request.count, msg->request.slab_bytes);
		return NULL;
	case RAMSTER_MSG_SLAB_RELEASE:
		return rmb_lend_release(lend, client, msg->slab.slab_id, msg->slab.generation) ?
			       "released a slab that is not its own" :
			       NULL;
	case RAMSTER_MSG_SHARE_JOIN:
	case RAMSTER_MSG_SHARE_LEAVE:
	case RAMSTER_MSG_SHARE_SLOTS:
	case RAMSTER_MSG_SHARE_PUT:
	case RAMSTER_MSG_SHARE_FLUSH:
		return rmb_member_obey(client->all->shares, client, msg);
	default:
		return "sent a message that is the donor's to send";
	}
}

static const char *decode_error(int err)
{
	switch (err) {
	case -EMSGSIZE:
		return "sent a message of the wrong length";
	case -EBADMSG:
		return "sent a message with a wrong magic number";
	case -EPROTONOSUPPORT:
		return "sent a message of another version";
	default:
		return "sent a malformed message";
	}
}

static void on_message(struct rmb_conn *conn, void *owner, const void *data, size_t len)
{
	struct rmb_link *link = owner;
	struct rmb_client *client = link->client;
	const char *wrong;
	struct core_msg msg;
	int err;

	(void)conn;
	client->msgs_in++;
	client->all->msgs_in++;
	err = core_msg_decode(&msg, data, len);
	if (err) {
		client_drop(client, decode_error(err));
		return;
	}
	client->heard_us = now_us(client->all);
	if (msg.type == RAMSTER_MSG_BYE) {
		on_bye(client);
		return;
	}
	if (!client->spoke) {
		client->spoke = true;
		rmb_lend_resume(client->all->lend, client);
	}
	wrong = client_obey(client, &msg);
	if (wrong)
		client_drop(client, wrong);
}

/* ---- connect requests ---- */

static void request_reject(struct rmb_clients *all, struct rmb_conn *conn,
			   enum ramster_reason reason)
{
	struct ramster_cm_rej rej;

	rmb_log_limited(LOG_WARNING, "%s (%s) rejected: %s", rmb_conn_peer(conn),
			rmb_conn_device(conn), core_reason_name(reason));
	all->rejected++;
	core_cm_rej_encode(&rej, reason);
	rmb_conn_reject(conn, &rej, sizeof(rej));
}

/* A session id is not guessed, nor used twice. */
static int session_draw(struct rmb_clients *all, uint64_t *session)
{
	struct rmb_client *taken;

	do {
		if (getrandom(session, sizeof(*session), 0) != sizeof(*session))
			return -EIO;
		HASH_FIND(hh, all->sessions, session, sizeof(*session), taken);
	} while (!*session || taken);
	return 0;
}

static struct rmb_client *client_create(struct rmb_clients *all, struct rmb_conn *conn,
					const struct core_cm_req *req)
{
	struct rmb_client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	client->all = all;
	client->pd = rmb_pd_create(conn);
	if (!client->pd || session_draw(all, &client->session)) {
		if (client->pd)
			rmb_pd_destroy(client->pd);
		free(client);
		return NULL;
	}
	memcpy(client->id, req->client_id, sizeof(client->id));
	client->since_us = now_us(all);
	client->tokens = TOKENS_MAX;
	HASH_ADD(hh, all->sessions, session, sizeof(client->session), client);
	return client;
}

/* The session that a connection may join: its own client's, on the same device. */
static struct rmb_client *client_find(struct rmb_clients *all, const struct rmb_conn *conn,
				      const struct core_cm_req *req)
{
	struct rmb_client *client;

	HASH_FIND(hh, all->sessions, &req->session, sizeof(req->session), client);
	if (!client || memcmp(client->id, req->client_id, sizeof(client->id)) ||
	    !rmb_pd_fits(client->pd, conn))
		return NULL;
	return client;
}

/* A connection of the session, to be accepted; NULL: it is rejected. */
static struct rmb_link *link_create(struct rmb_client *client, struct rmb_conn *conn,
				    enum ramster_role role)
{
	struct rmb_link *link = calloc(1, sizeof(*link));

	if (!link || rmb_conn_prepare(conn, client->pd, link, role == RAMSTER_ROLE_CONTROL)) {
		free(link);
		request_reject(client->all, conn, RAMSTER_REASON_MEMORY);
		return NULL;
	}
	link->client = client;
	link->conn = conn;
	link->role = role;
	DL_APPEND(client->links, link);
	client->n_links[role]++;
	return link;
}

/* On failure the link is destroyed and -errno returned. */
static int link_accept(struct rmb_link *link)
{
	const struct rmb_client *client = link->client;
	struct core_cm_rep reply = {
		.heartbeat_ms = client->all->cfg->heartbeat_ms,
		.grace_ms = client->all->cfg->grace_ms,
		.session = client->session,
	};
	struct ramster_cm_rep wire;
	int err;

	core_cm_rep_encode(&wire, &reply);
	err = rmb_conn_accept(link->conn, &wire, sizeof(wire));
	if (!err)
		return 0;
	rmb_log_limited(LOG_WARNING, "%s: cannot accept its %s connection: %s",
			rmb_conn_peer(link->conn), core_role_name(link->role), strerror(-err));
	link_destroy(link);
	return err;
}

/* Make link the session's control connection, and the only one it has. */
static void control_begin(struct rmb_client *client, struct rmb_link *link)
{
	/*
	 * Connections of the borrower's earlier life must be gone before the
	 * new one begins: a write still under way on an old lane could hit a
	 * page that was written anew since.
	 */
	links_destroy(client, link);
	rmb_lend_orphan(client->all->lend, client);
	client->grace = sd_event_source_disable_unref(client->grace);
	client->spoke = false;
	client->control = link;
	client->heard_us = now_us(client->all);
	snprintf(client->peer, sizeof(client->peer), "%s", rmb_conn_peer(link->conn));
	snprintf(client->device, sizeof(client->device), "%s", rmb_conn_device(link->conn));
}

static void open_control(struct rmb_clients *all, struct rmb_conn *conn,
			 const struct core_cm_req *req)
{
	struct rmb_client *client = client_find(all, conn, req);
	struct rmb_link *link;
	bool resume;

	/* Its last words on the connection that it gave up still count. */
	if (client && client->control) {
		rmb_conn_drain(client->control->conn);
		client = client_find(all, conn, req);
	}
	resume = client;
	if (!client && HASH_COUNT(all->sessions) >= all->cfg->max_clients) {
		request_reject(all, conn, RAMSTER_REASON_BUSY);
		return;
	}
	if (!client)
		client = client_create(all, conn, req);
	if (!client) {
		request_reject(all, conn, RAMSTER_REASON_MEMORY);
		return;
	}
	link = link_create(client, conn, RAMSTER_ROLE_CONTROL);
	if (!link) {
		if (!resume)
			client_destroy(client);
		return;
	}
	control_begin(client, link);
	if (link_accept(link)) {
		client_detach(client);
		return;
	}
	rmb_log(LOG_INFO, "%s (%s) %s", client->peer, client->device,
		resume ? "resumes its session" : "opens a session");
}

static void open_lane(struct rmb_clients *all, struct rmb_conn *conn, const struct core_cm_req *req)
{
	struct rmb_client *client = client_find(all, conn, req);
	struct rmb_link *link;

	/* Without a control connection nobody would notice that its borrower died. */
	if (!client || !client->control) {
		request_reject(all, conn, RAMSTER_REASON_SESSION);
		return;
	}
	if (client->n_links[req->role] >= all->cfg->max_lanes) {
		request_reject(all, conn, RAMSTER_REASON_BUSY);
		return;
	}
	link = link_create(client, conn, req->role);
	if (link)
		link_accept(link);
}

static void on_request(void *ctx, struct rmb_conn *conn, const void *data, size_t len)
{
	struct rmb_clients *all = ctx;
	struct core_cm_req req;
	int err = core_cm_req_decode(&req, data, len);

	if (err)
		request_reject(all, conn, core_wire_reason(err));
	else if (all->stopping)
		request_reject(all, conn, RAMSTER_REASON_SHUTDOWN);
	else if (req.role == RAMSTER_ROLE_CONTROL)
		open_control(all, conn, &req);
	else
		open_lane(all, conn, &req);
}

const struct rmb_verbs_ops rmb_client_ops = {
	.request = on_request,
	.message = on_message,
	.down = on_down,
};

/* ---- liveness ---- */

/* Lanes that ran into a fence: end them, so that the borrower opens new ones at once. */
static void lanes_check(struct rmb_client *client, uint64_t now)
{
	struct rmb_link *link, *tmp;

	if (!client->fenced_us || now > client->fenced_us + FENCE_CHECK_US)
		return;
	DL_FOREACH_SAFE(client->links, link, tmp)
		if (link != client->control && rmb_conn_broken(link->conn))
			link_destroy(link);
}

static void client_tick(struct rmb_client *client, uint64_t now, uint64_t free_bytes)
{
	uint32_t period = client->all->cfg->heartbeat_ms;
	uint64_t limit = period * 1000ull * SILENT_PERIODS;
	struct core_msg msg = {
		.type = RAMSTER_MSG_HEARTBEAT,
		.heartbeat = { .free_bytes = free_bytes },
	};

	client->tokens += TOKENS_PER_SEC * period / 1000;
	if (client->tokens > TOKENS_MAX)
		client->tokens = TOKENS_MAX;
	if (!client->control)
		return;
	if (now > client->heard_us + limit) {
		client_drop(client, "silent for five heartbeats");
		return;
	}
	if (rmb_conn_unsent(client->control->conn) &&
	    now > rmb_conn_progress_us(client->control->conn) + limit) {
		client_drop(client, "takes no messages");
		return;
	}
	rmb_client_send(client, &msg);
	lanes_check(client, now);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *opaque)
{
	struct rmb_clients *all = opaque;
	struct rmb_client *client, *tmp;
	uint64_t free_bytes = rmb_lend_free(all->lend), now = now_us(all);

	(void)usec;
	HASH_ITER(hh, all->sessions, client, tmp) {
		client_tick(client, now, free_bytes);
	}
	sd_event_source_set_time(source, now + all->cfg->heartbeat_ms * 1000ull);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

int rmb_clients_init(struct rmb_clients *all, sd_event *event, const struct rmb_config *cfg,
		     struct rmb_lend *lend, struct rmb_shares *shares)
{
	uint64_t now;

	memset(all, 0, sizeof(*all));
	all->event = event;
	all->cfg = cfg;
	all->lend = lend;
	all->shares = shares;
	if (sd_event_now(event, CLOCK_MONOTONIC, &now) < 0)
		return -EINVAL;
	if (sd_event_add_time(event, &all->tick, CLOCK_MONOTONIC, now, 1000, on_tick, all) < 0)
		return -ENOMEM;
	return 0;
}

void rmb_clients_uninit(struct rmb_clients *all)
{
	struct rmb_client *client, *tmp;

	HASH_ITER(hh, all->sessions, client, tmp)
		client_destroy(client);
	sd_event_source_disable_unref(all->tick);
}

void rmb_clients_bye(struct rmb_clients *all)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_BYE,
		.bye = { .reason = RAMSTER_REASON_SHUTDOWN },
	};
	struct rmb_client *client, *tmp;

	HASH_ITER(hh, all->sessions, client, tmp)
		rmb_client_send(client, &msg);
}

unsigned int rmb_clients_unsent(const struct rmb_clients *all)
{
	struct rmb_client *client, *tmp;
	unsigned int unsent = 0;

	HASH_ITER(hh, all->sessions, client, tmp)
		if (client->control)
			unsent += rmb_conn_unsent(client->control->conn);
	return unsent;
}
