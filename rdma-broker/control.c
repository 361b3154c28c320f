// SPDX-License-Identifier: GPL-2.0-only
#include "control.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utlist.h>

#include "command.h"
#include "daemon.h"
#include "host.h"
#include "log.h"
#include "report.h"
#include "revoke.h"

#define PEERS_MAX  16
#define IDLE_US	   60000000ull /* without a word, or without reading ours */
#define GROUPS_MAX 256
#define PAUSE_US   1000000ull	/* when no connection can be accepted */
#define ENDED	   (1ull << 63) /* in peer.ids: not waited for any more; ids fit into JSON's int64 */

struct peer {
	struct rmb_control *control;
	int fd;
	sd_event_source *io, *idle;
	sd_event_source *again; /* runs what came while it waited */
	struct rmb_lines lines;
	char *out; /* what is still to be written */
	size_t out_len;
	bool closing;  /* after out is written */
	uint64_t *ids; /* of a revoke that it waits for, in order */
	size_t n_ids;  /* there may be many: they are marked when they end, and stay */
	size_t n_left; /* to be waited for; 0: no ids */
	uint64_t released_bytes, fenced_bytes, kept_bytes;
	struct peer *prev, *next;
};

struct rmb_control {
	struct rmb_daemon *daemon;
	int fd;
	bool has_group;
	gid_t group; /* looked up once: the answer may have to come over a network */
	sd_event_source *io, *pause;
	struct peer *peers;
	unsigned int n_peers;
};

static void peer_close(struct peer *peer)
{
	struct rmb_control *control = peer->control;

	DL_DELETE(control->peers, peer);
	control->n_peers--;
	sd_event_source_disable_unref(peer->io);
	sd_event_source_disable_unref(peer->idle);
	sd_event_source_disable_unref(peer->again);
	close(peer->fd);
	free(peer->out);
	free(peer->ids);
	free(peer);
}

static int on_idle(sd_event_source *source, uint64_t usec, void *opaque)
{
	(void)source, (void)usec;
	peer_close(opaque);
	return 0;
}

/* ---- answers ---- */

/* Takes the reference. An answer that there is no memory for ends the connection. */
static void peer_answer(struct peer *peer, json_t *answer)
{
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;
	char *out = text ? realloc(peer->out, peer->out_len + len + 1) : NULL;

	if (out) {
		memcpy(out + peer->out_len, text, len);
		out[peer->out_len + len] = '\n';
		peer->out = out;
		peer->out_len += len + 1;
	} else {
		peer->closing = true;
	}
	free(text);
	json_decref(answer);
}

static void peer_refuse(struct peer *peer, const char *why)
{
	peer_answer(peer, json_pack("{s:b, s:s}", "ok", 0, "error", why));
}

/* Write what the socket takes and watch for what comes next; false: peer is gone. */
static bool peer_flush(struct peer *peer)
{
	ssize_t n = 1;

	while (peer->out_len && n > 0) {
		n = send(peer->fd, peer->out, peer->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			peer->out_len -= (size_t)n;
			memmove(peer->out, peer->out + n, peer->out_len);
		}
	}
	if ((n < 0 && errno != EAGAIN) || (!peer->out_len && peer->closing)) {
		peer_close(peer);
		return false;
	}
	/* One command at a time: nothing is read before the answer is out. */
	sd_event_source_set_io_events(peer->io, peer->out_len ? EPOLLOUT :
						peer->n_left  ? 0 :
								EPOLLIN);
	/* Whoever waits for a revoke is not idle: its deadline bounds that. */
	sd_event_source_set_time_relative(peer->idle, IDLE_US);
	sd_event_source_set_enabled(peer->idle, peer->n_left && !peer->out_len ? SD_EVENT_OFF :
										 SD_EVENT_ONESHOT);
	return true;
}

/* ---- commands ---- */

static void run_donate(struct peer *peer, const struct rmb_command *cmd)
{
	struct rmb_daemon *daemon = peer->control->daemon;
	char why[256];

	if (cmd->has_numa && cmd->numa >= 0 && !rmb_host_numa_exists(cmd->numa)) {
		peer_refuse(peer, "this host has no such NUMA node; see: numactl --hardware");
		return;
	}
	if (rmb_lend_donate(&daemon->lend, cmd->bytes, why, sizeof(why))) {
		peer_refuse(peer, why);
		return;
	}
	if (cmd->has_numa)
		daemon->lend.numa = cmd->numa;
	rmb_log(LOG_INFO, "donation raised to %" PRIu64 " bytes", daemon->lend.donation);
	peer_answer(peer, rmb_report_status(daemon));
}

static void peer_done(struct peer *peer)
{
	peer_answer(peer, json_pack("{s:b, s:b, s:I, s:I, s:I}", "ok", 1, "done", 1,
				    "released_bytes", (json_int_t)peer->released_bytes,
				    "fenced_bytes", (json_int_t)peer->fenced_bytes, "kept_bytes",
				    (json_int_t)peer->kept_bytes));
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a & ~ENDED, y = *(const uint64_t *)b & ~ENDED;

	return (x > y) - (x < y);
}

/* Has it waited for this one? Not any more. */
static bool peer_waited(struct peer *peer, uint64_t id)
{
	uint64_t *found = NULL;

	if (peer->n_left)
		found = bsearch(&id, peer->ids, peer->n_ids, sizeof(*found), compare_ids);
	if (!found || *found & ENDED)
		return false;
	*found |= ENDED;
	peer->n_left--;
	return true;
}

/* Until all that was asked back has come, if it wants to. Takes the ids. */
static void peer_wait(struct peer *peer, const struct rmb_revoked *revoked, bool wait)
{
	if (!wait) {
		free(revoked->ids);
		return;
	}
	peer->ids = revoked->ids;
	peer->n_ids = revoked->n;
	peer->n_left = revoked->n;
	peer->released_bytes = revoked->unused_bytes;
	peer->fenced_bytes = 0;
	peer->kept_bytes = 0;
	if (peer->n_left)
		qsort(peer->ids, peer->n_ids, sizeof(*peer->ids), compare_ids);
	else
		peer_done(peer);
}

static void run_revoke(struct peer *peer, const struct rmb_command *cmd)
{
	struct rmb_daemon *daemon = peer->control->daemon;
	struct rmb_revoke how = {
		.bytes = cmd->bytes,
		.slab_id = cmd->slab,
		.deadline_ms = cmd->has_deadline ? cmd->deadline_ms : daemon->cfg.deadline_ms,
		.force = cmd->force,
		.reason = RAMSTER_REASON_OPERATOR,
	};
	struct rmb_revoked revoked;
	char why[256];

	if (rmb_revoke(&daemon->lend, &daemon->shares, &how, &revoked, why, sizeof(why))) {
		free(revoked.ids);
		peer_refuse(peer, why);
		return;
	}
	rmb_log(LOG_INFO, "donation lowered to %" PRIu64 " bytes, %zu slabs and shares asked back",
		daemon->lend.donation, revoked.n);
	peer_answer(peer, rmb_report_revoked(daemon, &revoked, how.force ? 0 : how.deadline_ms));
	peer_wait(peer, &revoked, cmd->wait);
}

static void run_share_allow(struct peer *peer, const struct rmb_command *cmd)
{
	struct rmb_shares *shares = &peer->control->daemon->shares;
	char why[256];

	if (rmb_shares_allow(shares, cmd->uuid, cmd->bytes, why, sizeof(why))) {
		peer_refuse(peer, why);
		return;
	}
	peer_answer(peer, rmb_report_share(peer->control->daemon, cmd->uuid));
}

static void run_share_deny(struct peer *peer, const struct rmb_command *cmd)
{
	struct rmb_daemon *daemon = peer->control->daemon;
	uint32_t deadline_ms = cmd->has_deadline ? cmd->deadline_ms : daemon->cfg.deadline_ms;
	const struct rmb_share *share;
	struct rmb_revoked revoked = { 0 };
	char why[256];

	if (rmb_shares_deny(&daemon->shares, cmd->uuid, deadline_ms, cmd->force, why,
			    sizeof(why))) {
		peer_refuse(peer, why);
		return;
	}
	/* Its memory goes in another turn of the loop. */
	share = rmb_shares_find(&daemon->shares, cmd->uuid);
	if (share->bytes && rmb_revoked_add(&revoked, share->id, share->bytes)) {
		peer_refuse(peer, "denied, but out of memory: cannot tell when it is done");
		return;
	}
	peer_answer(peer, rmb_report_share(daemon, cmd->uuid));
	peer_wait(peer, &revoked, cmd->wait);
}

static void run(struct peer *peer, const struct rmb_command *cmd)
{
	const struct rmb_daemon *daemon = peer->control->daemon;

	if (daemon->stopping && cmd->type >= RMB_COMMAND_DONATE) {
		peer_refuse(peer, "ramsterd is stopping");
		return;
	}
	switch (cmd->type) {
	case RMB_COMMAND_STATUS:
		peer_answer(peer, rmb_report_status(daemon));
		break;
	case RMB_COMMAND_SLABS:
		peer_answer(peer, rmb_report_slabs(daemon));
		break;
	case RMB_COMMAND_CLIENTS:
		peer_answer(peer, rmb_report_clients(daemon));
		break;
	case RMB_COMMAND_SHARES:
		peer_answer(peer, rmb_report_shares(daemon));
		break;
	case RMB_COMMAND_DONATE:
		run_donate(peer, cmd);
		break;
	case RMB_COMMAND_REVOKE:
		run_revoke(peer, cmd);
		break;
	case RMB_COMMAND_SHARE_ALLOW:
		run_share_allow(peer, cmd);
		break;
	case RMB_COMMAND_SHARE_DENY:
		run_share_deny(peer, cmd);
		break;
	}
}

/* Run the whole lines that have come, one after the other as answers go out. */
static void peer_lines(struct peer *peer)
{
	struct rmb_command cmd;
	const char *line;
	char why[128];
	size_t len, room;

	while (!peer->n_left && !peer->out_len && !peer->closing) {
		line = rmb_lines_next(&peer->lines, &len);
		if (!line) {
			rmb_lines_room(&peer->lines, &room);
			if (room)
				break;
			peer->closing = true;
			peer_refuse(peer, "the line is too long (64 KiB at most)");
		} else {
			if (rmb_command_parse(line, len, &cmd, why, sizeof(why)))
				peer_refuse(peer, why);
			else
				run(peer, &cmd);
			rmb_lines_drop(&peer->lines, len);
		}
		if (!peer_flush(peer))
			return;
	}
	peer_flush(peer);
}

static int on_peer(sd_event_source *source, int fd, uint32_t events, void *opaque)
{
	struct peer *peer = opaque;
	size_t room;
	char *buf;
	ssize_t n;

	(void)source;
	if (events & EPOLLIN) {
		buf = rmb_lines_room(&peer->lines, &room);
		n = recv(fd, buf, room, MSG_DONTWAIT);
		if (n <= 0 && !(n < 0 && errno == EAGAIN)) {
			peer_close(peer);
			return 0;
		}
		if (n > 0)
			rmb_lines_added(&peer->lines, (size_t)n);
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		peer_close(peer);
		return 0;
	} else if (!peer_flush(peer)) {
		return 0;
	}
	peer_lines(peer);
	return 0;
}

static int on_again(sd_event_source *source, void *opaque)
{
	(void)source;
	peer_lines(opaque);
	return 0;
}

/* Without "left", which differs from peer to peer. */
static json_t *ended_line(uint64_t id, const char *share, uint64_t bytes, const char *outcome)
{
	json_t *line = json_pack("{s:b, s:I, s:s}", "ok", 1, "bytes", (json_int_t)bytes, "outcome",
				 outcome);

	if (line && share)
		json_object_set_new(line, "share", json_string(share));
	else if (line)
		json_object_set_new(line, "slab", json_integer((json_int_t)id));
	return line;
}

void rmb_control_ended(struct rmb_control *control, uint64_t id, const char *share, uint64_t bytes,
		       const char *outcome)
{
	json_t *line;
	struct peer *peer, *tmp;

	DL_FOREACH_SAFE(control->peers, peer, tmp) {
		if (!peer_waited(peer, id))
			continue;
		line = ended_line(id, share, bytes, outcome);
		json_object_set_new(line, "left", json_integer((json_int_t)peer->n_left));
		peer_answer(peer, line);
		if (!strcmp(outcome, "released"))
			peer->released_bytes += bytes;
		else if (!strcmp(outcome, "fenced"))
			peer->fenced_bytes += bytes;
		else
			peer->kept_bytes += bytes;
		if (!peer->n_left) {
			free(peer->ids);
			peer->ids = NULL;
			peer_done(peer);
			/* Not here: slabs are being taken down, and it may want more of that. */
			sd_event_source_set_enabled(peer->again, SD_EVENT_ONESHOT);
		}
		peer_flush(peer);
	}
}

/* ---- the socket ---- */

static bool peer_allowed(const struct rmb_control *control, int fd)
{
	gid_t groups[GROUPS_MAX];
	socklen_t len;
	struct ucred cred;
	size_t i;

	len = sizeof(cred);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return false;
	if (cred.uid == 0 || cred.uid == geteuid())
		return true;
	if (!control->has_group)
		return false;
	if (cred.gid == control->group)
		return true;
	len = sizeof(groups);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len))
		return false;
	for (i = 0; i < len / sizeof(groups[0]); i++)
		if (groups[i] == control->group)
			return true;
	return false;
}

/* Takes the descriptor, also where there is no memory for a peer. */
static struct peer *peer_create(struct rmb_control *control, int fd)
{
	sd_event *event = control->daemon->event;
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer) {
		close(fd);
		return NULL;
	}
	peer->control = control;
	peer->fd = fd;
	DL_APPEND(control->peers, peer);
	control->n_peers++;
	if (sd_event_add_io(event, &peer->io, fd, EPOLLIN, on_peer, peer) < 0 ||
	    sd_event_add_time_relative(event, &peer->idle, CLOCK_MONOTONIC, IDLE_US, 1000000,
				       on_idle, peer) < 0 ||
	    sd_event_add_defer(event, &peer->again, on_again, peer) < 0 ||
	    sd_event_source_set_enabled(peer->again, SD_EVENT_OFF) < 0) {
		peer_close(peer);
		return NULL;
	}
	return peer;
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *opaque)
{
	struct rmb_control *control = opaque;

	(void)source, (void)usec;
	sd_event_source_set_enabled(control->io, SD_EVENT_ON);
	return 0;
}

/* Who connects stays in the queue, and the loop would ask for him at once again. */
static void accept_failed(struct rmb_control *control, int err)
{
	if (err == EAGAIN || err == EINTR || err == ECONNABORTED)
		return;
	rmb_log_limited(LOG_ERR, "control socket: cannot accept a connection: %s", strerror(err));
	sd_event_source_set_enabled(control->io, SD_EVENT_OFF);
	sd_event_source_set_time_relative(control->pause, PAUSE_US);
	sd_event_source_set_enabled(control->pause, SD_EVENT_ONESHOT);
}

static int on_connect(sd_event_source *source, int listener, uint32_t events, void *opaque)
{
	struct rmb_control *control = opaque;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)source, (void)events;
	if (fd < 0) {
		accept_failed(control, errno);
		return 0;
	}
	if (!peer_allowed(control, fd)) {
		rmb_log_limited(LOG_WARNING, "control socket: refused a stranger");
		close(fd);
	} else if (control->n_peers == PEERS_MAX) {
		rmb_log_limited(LOG_WARNING, "control socket: more than %d connections", PEERS_MAX);
		close(fd);
	} else if (!peer_create(control, fd)) {
		rmb_log_limited(LOG_ERR, "control socket: out of memory");
	}
	return 0;
}

static int directory_make(const char *path)
{
	char dir[RMB_STRING_MAX];

	snprintf(dir, sizeof(dir), "%s", path);
	return mkdir(dirname(dir), 0755) && errno != EEXIST ? -errno : 0;
}

/* Bind where nobody listens; a socket left by a dead daemon is replaced. */
static int socket_bind(int fd, const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int probe, err;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	err = connect(probe, (struct sockaddr *)&sa, sizeof(sa)) ? errno : 0;
	close(probe);
	if (!err)
		return -EADDRINUSE;
	if (err == ECONNREFUSED)
		unlink(path);
	return bind(fd, (struct sockaddr *)&sa, sizeof(sa)) ? -errno : 0;
}

/* The socket, and the group that may use it; or a negative errno. */
static int socket_open(struct rmb_control *control)
{
	const struct rmb_config *cfg = &control->daemon->cfg;
	const struct group *group = cfg->group[0] ? getgrnam(cfg->group) : NULL;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask;
	int err;

	if (fd < 0)
		return -errno;
	err = directory_make(cfg->socket);
	mask = umask(0177);
	if (!err)
		err = socket_bind(fd, cfg->socket);
	umask(mask);
	if (!err && cfg->group[0] && !group)
		err = -ENOENT;
	if (!err && group &&
	    (chown(cfg->socket, (uid_t)-1, group->gr_gid) || chmod(cfg->socket, 0660)))
		err = -errno;
	if (!err && listen(fd, PEERS_MAX))
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	control->has_group = group;
	if (group)
		control->group = group->gr_gid;
	return fd;
}

struct rmb_control *rmb_control_create(struct rmb_daemon *daemon)
{
	const struct rmb_config *cfg = &daemon->cfg;
	struct rmb_control *control = calloc(1, sizeof(*control));

	if (!control)
		return NULL;
	control->daemon = daemon;
	control->fd = socket_open(control);
	if (control->fd < 0) {
		rmb_log(LOG_ERR, "control socket %s%s%s: %s", cfg->socket,
			cfg->group[0] ? " for group " : "", cfg->group,
			control->fd == -EADDRINUSE ?
				"another ramsterd answers there; stop it or give --socket" :
				strerror(-control->fd));
		free(control);
		return NULL;
	}
	if (sd_event_add_io(daemon->event, &control->io, control->fd, EPOLLIN, on_connect,
			    control) < 0 ||
	    sd_event_add_time(daemon->event, &control->pause, CLOCK_MONOTONIC, UINT64_MAX, 0,
			      on_pause_over, control) < 0) {
		rmb_control_destroy(control);
		return NULL;
	}
	return control;
}

void rmb_control_destroy(struct rmb_control *control)
{
	struct peer *peer, *tmp;

	DL_FOREACH_SAFE(control->peers, peer, tmp)
		peer_close(peer);
	sd_event_source_disable_unref(control->io);
	sd_event_source_disable_unref(control->pause);
	unlink(control->daemon->cfg.socket);
	close(control->fd);
	free(control);
}
