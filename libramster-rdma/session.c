// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * session.c - one donor: connect, heartbeat, recover, give up.
 *
 *   DOWN --connected--> LIVE --broken--> RECOVERING --connected, resumed--> LIVE
 *     ^                                   |
 *     +------- grants lost ---------------+   (nobody listens, other session, or too late)
 *   any --stop--> CLOSED
 *
 * Everything that changes the state runs in the session's thread; one thread for
 * each donor, so that connecting to a dead one delays no heartbeat to the others.
 * The states and times are those of the kernel's borrower.
 */
#include "session.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Each step of connecting; a step on a living network takes milliseconds. */
#define STEP_TIMEOUT_MS 2000
/* Gets wait for a broken connection as long as the donor keeps the grants, but no longer. */
#define RECOVER_MAX_MS 25000
#define BACKOFF_MIN_MS 200
#define BACKOFF_MAX_MS 5000
/* The peer is dead after this many heartbeat periods of silence (protocol). */
#define SILENT_PERIODS 5

enum state { DOWN, LIVE, RECOVERING, CLOSED };

struct rmr_session {
	struct rmr_session_params p;
	pthread_t thread;
	bool started;
	int wake, stop;	       /* eventfds; stop stays readable */
	bool stopping, broken; /* atomic: set by anybody */
	enum state state;      /* atomic: written by the thread */
	u64 free_bytes;	       /* atomic: of the donor's last word */
	u32 nlanes;	       /* atomic: open lanes of the program */

	/* Of the thread alone. */
	struct rmr_cm cm;
	u64 id; /* of the session at the donor; 0: none */
	u32 heartbeat_ms, grace_ms, backoff_ms;
	u64 lost_at, beat_at, progress_at, heard; /* ms */
	bool complained;			  /* one log line per outage */
	bool listing;	/* resumed, and the donor has not listed all grants yet */
	u32 lane_limit; /* lanes that the donor allows */

	struct rmr_control control;
	struct rmr_lane lane[RMR_LANES];
};

static void set_state(struct rmr_session *s, enum state state)
{
	__atomic_store_n(&s->state, state, __ATOMIC_RELEASE);
}

void rmr_session_kick(struct rmr_session *s)
{
	eventfd_write(s->wake, 1);
}

void rmr_session_break(struct rmr_session *s)
{
	if (!__atomic_exchange_n(&s->broken, true, __ATOMIC_ACQ_REL))
		rmr_session_kick(s);
}

static bool stopping(const struct rmr_session *s)
{
	return __atomic_load_n(&s->stopping, __ATOMIC_ACQUIRE);
}

/* ---- messages ---- */

int rmr_session_send(struct rmr_session *s, const struct core_msg *msg)
{
	return rmr_control_send(&s->control, msg);
}

bool rmr_session_busy(struct rmr_session *s)
{
	return rmr_control_busy(&s->control);
}

static void say_alive(struct rmr_session *s)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_HEARTBEAT,
		.heartbeat.used_pages = s->p.ops->used_pages(s->p.owner, s),
	};

	rmr_session_send(s, &msg);
}

static void handle_message(struct rmr_session *s, const struct core_msg *msg)
{
	switch (msg->type) {
	case RAMSTER_MSG_HEARTBEAT:
		__atomic_store_n(&s->free_bytes, msg->heartbeat.free_bytes, __ATOMIC_RELAXED);
		if (s->listing)
			s->p.ops->listed(s->p.owner, s);
		s->listing = false;
		break;
	case RAMSTER_MSG_BYE:
		rmr_log(s->p.log, 6, "donor %s says goodbye: %s", s->p.name,
			core_reason_name(msg->bye.reason));
		__atomic_store_n(&s->broken, true, __ATOMIC_RELAXED);
		break;
	case RAMSTER_MSG_SLAB_DENY:
		__atomic_store_n(&s->free_bytes, msg->deny.free_bytes, __ATOMIC_RELAXED);
		/* fall through */
	default:
		s->p.ops->message(s->p.owner, s, msg);
	}
}

static void handle_messages(struct rmr_session *s)
{
	struct core_msg msg;
	int ret;

	while ((ret = rmr_control_recv(&s->control, &msg)) > 0) {
		s->heard = rmr_now_ms();
		handle_message(s, &msg);
	}
	if (!ret)
		return;
	if (ret != -ECONNABORTED)
		rmr_log(s->p.log, 4, "donor %s: sent a message that is not of our protocol (%d)",
			s->p.name, ret);
	__atomic_store_n(&s->broken, true, __ATOMIC_RELAXED);
}

/* ---- connecting ---- */

static const char *words_for(int err, enum ramster_reason reason)
{
	switch (err) {
	case -EBUSY:
		return core_reason_name(reason);
	case -ECONNREFUSED:
		return "nobody listens there";
	case -ENODEV:
		return "no RDMA device for that address";
	case -ENOMEM:
		return "no memory, or a limit of this process (ulimit -l)";
	default:
		return "no answer";
	}
}

static void complain(struct rmr_session *s, enum ramster_role role, int err,
		     enum ramster_reason reason)
{
	if (s->complained || stopping(s))
		return;
	s->complained = true;
	rmr_log(s->p.log, 4, "donor %s: no %s connection: %s (%d); trying again", s->p.name,
		core_role_name(role), words_for(err, reason), err);
}

static void set_params(const struct rmr_session *s, u64 id, struct rmr_conn_params *p)
{
	memset(p, 0, sizeof(*p));
	p->addr = &s->p.addr;
	p->devices = s->p.devices;
	p->timeout_ms = STEP_TIMEOUT_MS;
	p->req.session = id;
	memcpy(p->req.client_id, s->p.client_id, sizeof(p->req.client_id));
}

static int open_lane(struct rmr_session *s, u32 i, u64 id)
{
	static const enum ramster_role user[2] = { RAMSTER_ROLE_DEMAND, RAMSTER_ROLE_WRITE };
	static const enum ramster_role own[2] = { RAMSTER_ROLE_BULK, RAMSTER_ROLE_WRITE };
	const enum ramster_role *roles = i < RMR_USER_LANES ? user : own;
	enum ramster_reason reason;
	struct rmr_conn_params p;
	int err;

	say_alive(s); /* connecting may take longer than the donor bears silence */
	set_params(s, id, &p);
	err = rmr_lane_open(&s->lane[i], &s->cm, &p, roles, &reason);
	if (err)
		complain(s, roles[0], err, reason);
	return err;
}

static void close_all(struct rmr_session *s)
{
	u32 i;

	__atomic_store_n(&s->nlanes, 0, __ATOMIC_RELEASE);
	for (i = 0; i < RMR_LANES; i++)
		rmr_lane_close(&s->lane[i]);
	rmr_control_close(&s->control);
}

/* Control first: it tells which session the lanes join. */
static int open_all(struct rmr_session *s, struct core_cm_rep *rep, bool *gone)
{
	enum ramster_reason reason;
	struct rmr_conn_params p;
	int err;

	set_params(s, s->id, &p);
	p.req.role = RAMSTER_ROLE_CONTROL;
	err = rmr_control_open(&s->control, &s->cm, &p, rep, &reason);
	*gone = err == -ECONNREFUSED;
	if (err) {
		complain(s, RAMSTER_ROLE_CONTROL, err, reason);
		return err;
	}
	err = open_lane(s, 0, rep->session);
	if (!err)
		err = open_lane(s, RMR_LANES - 1, rep->session);
	if (err)
		close_all(s);
	return err;
}

static void give_up_grants(struct rmr_session *s)
{
	s->id = 0;
	set_state(s, DOWN);
	s->p.ops->lost(s->p.owner, s);
}

static void went_live(struct rmr_session *s, const struct core_cm_rep *rep)
{
	bool resumed = s->id && rep->session == s->id;
	u64 now = rmr_now_ms();

	if (s->id && !resumed)
		give_up_grants(s);
	s->id = rep->session;
	s->heartbeat_ms = rep->heartbeat_ms;
	s->grace_ms = rep->grace_ms;
	s->backoff_ms = BACKOFF_MIN_MS;
	s->complained = false;
	s->listing = resumed;
	s->heard = now;
	s->beat_at = now;
	s->progress_at = now + (u64)s->heartbeat_ms * SILENT_PERIODS;
	s->lane_limit = RMR_USER_LANES;
	__atomic_store_n(&s->free_bytes, ~0ull, __ATOMIC_RELAXED); /* until it says */
	rmr_log(s->p.log, 6, "donor %s: %s", s->p.name,
		resumed ? "connected again, nothing lost" : "connected");
	set_state(s, LIVE);
	__atomic_store_n(&s->nlanes, 1, __ATOMIC_RELEASE);
	s->p.ops->live(s->p.owner);
}

/* Returns in how many ms to try again; 0: live. */
static u32 try_connect(struct rmr_session *s)
{
	struct core_cm_rep rep;
	u32 wait, most;
	bool gone;

	__atomic_store_n(&s->broken, false, __ATOMIC_RELAXED);
	if (!open_all(s, &rep, &gone)) {
		went_live(s, &rep);
		return 0;
	}
	/*
	 * If nothing listens there, the process that held our pages is gone.
	 * Anything else may pass; wait for as long as the donor keeps them.
	 */
	if (s->state == RECOVERING && (gone || rmr_now_ms() > s->lost_at) && !stopping(s)) {
		rmr_log(s->p.log, 4, "donor %s: gone, its pages are lost", s->p.name);
		give_up_grants(s);
	}
	wait = s->backoff_ms;
	most = s->state == RECOVERING ? 1000 : BACKOFF_MAX_MS;
	s->backoff_ms = wait * 2 < most ? wait * 2 : most;
	return wait;
}

static void go_down(struct rmr_session *s, const char *why)
{
	rmr_log(s->p.log, 4, "donor %s: %s, connecting again", s->p.name, why);
	set_state(s, RECOVERING);
	s->lost_at = rmr_now_ms() + (s->grace_ms < RECOVER_MAX_MS ? s->grace_ms : RECOVER_MAX_MS);
	s->backoff_ms = BACKOFF_MIN_MS;
	s->p.ops->down(s->p.owner, s);
	close_all(s);
}

/* ---- living ---- */

static bool lanes_stuck(struct rmr_session *s)
{
	bool stuck = false;
	u32 i;

	if (rmr_now_ms() < s->progress_at)
		return false;
	s->progress_at = rmr_now_ms() + (u64)s->heartbeat_ms * SILENT_PERIODS;
	for (i = 0; i < RMR_LANES; i++)
		stuck |= !rmr_lane_progress(&s->lane[i]);
	return stuck;
}

static bool any_down(const struct rmr_session *s)
{
	bool down = s->control.conn.down;
	u32 i;

	for (i = 0; i < RMR_LANES; i++)
		down |= rmr_lane_broken(&s->lane[i]);
	return down;
}

static const char *fault(struct rmr_session *s)
{
	if (any_down(s) || __atomic_load_n(&s->broken, __ATOMIC_ACQUIRE))
		return "connection broken";
	if (rmr_now_ms() > s->heard + (u64)s->heartbeat_ms * SILENT_PERIODS)
		return "silent";
	if (lanes_stuck(s))
		return "requests do not complete";
	return NULL;
}

/* One lane more, if there are ports that would have it for themselves. */
static void grow(struct rmr_session *s)
{
	u32 wanted = s->p.ops->lanes_wanted(s->p.owner), n = s->nlanes;
	int err;

	if (n >= wanted || n >= s->lane_limit)
		return;
	err = open_lane(s, n, s->id);
	if (err == -EBUSY)
		s->lane_limit = n; /* until the next connection */
	if (err)
		return; /* the next turn tries again */
	__atomic_store_n(&s->nlanes, n + 1, __ATOMIC_RELEASE);
	if (n + 1 < wanted)
		rmr_session_kick(s);
}

static void beat(struct rmr_session *s)
{
	u64 now = rmr_now_ms();

	if (now < s->beat_at)
		return;
	s->beat_at = now + s->heartbeat_ms;
	say_alive(s);
}

/* Sleep until something comes or the time has passed. */
static void nap(struct rmr_session *s, u32 timeout_ms)
{
	struct pollfd fds[4] = {
		{ .fd = s->wake, .events = POLLIN },
		{ .fd = s->stop, .events = POLLIN },
		{ .fd = rmr_cm_fd(&s->cm), .events = POLLIN },
		{ .fd = rmr_control_fd(&s->control), .events = POLLIN },
	};
	eventfd_t value;

	poll(fds, 4, (int)timeout_ms);
	if (fds[0].revents)
		eventfd_read(s->wake, &value);
}

static void pause_for(struct rmr_session *s, u32 timeout_ms)
{
	struct pollfd fd = { .fd = s->stop, .events = POLLIN };

	poll(&fd, 1, (int)timeout_ms);
}

static void live_turn(struct rmr_session *s)
{
	const char *why;

	rmr_control_arm(&s->control); /* before reading: what comes later is told */
	rmr_cm_pump(&s->cm);
	handle_messages(s);
	why = fault(s);
	if (why) {
		go_down(s, why);
		return;
	}
	beat(s);
	grow(s);
	nap(s, s->heartbeat_ms / 2);
}

static void *session_run(void *arg)
{
	struct rmr_session *s = arg;
	u32 wait;

	while (!stopping(s)) {
		if (s->state == LIVE) {
			live_turn(s);
			continue;
		}
		wait = try_connect(s);
		if (wait)
			pause_for(s, wait);
	}
	return NULL;
}

/* ---- life ---- */

static void on_lane_failed(void *owner)
{
	struct rmr_session *s = owner;

	s->p.ops->failed(s->p.owner, s);
	rmr_session_break(s);
}

static int open_fds(struct rmr_session *s)
{
	int err;

	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake < 0)
		return -errno;
	s->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->stop < 0) {
		err = -errno;
		goto close_wake;
	}
	err = rmr_cm_init(&s->cm, s->stop);
	if (!err)
		return 0;
	close(s->stop);
close_wake:
	close(s->wake);
	return err;
}

int rmr_session_create(const struct rmr_session_params *p, struct rmr_session **out)
{
	struct rmr_session *s = calloc(1, sizeof(*s));
	u32 i;
	int err;

	if (!s)
		return -ENOMEM;
	err = open_fds(s);
	if (err) {
		free(s);
		return err;
	}
	s->p = *p;
	s->backoff_ms = BACKOFF_MIN_MS;
	rmr_control_init(&s->control, p->devices);
	for (i = 0; i < RMR_LANES; i++)
		rmr_lane_init(&s->lane[i], on_lane_failed, s);
	*out = s;
	return 0;
}

int rmr_session_start(struct rmr_session *s)
{
	int err = rmr_thread_start(&s->thread, session_run, s);

	s->started = !err;
	return err;
}

void rmr_session_quit(struct rmr_session *s)
{
	__atomic_store_n(&s->stopping, true, __ATOMIC_RELEASE);
	eventfd_write(s->stop, 1);
}

void rmr_session_stop(struct rmr_session *s)
{
	struct core_msg bye = {
		.type = RAMSTER_MSG_BYE,
		.bye.reason = RAMSTER_REASON_SHUTDOWN,
	};

	if (!s->started)
		return;
	rmr_session_quit(s);
	pthread_join(s->thread, NULL);
	if (s->state == LIVE)
		rmr_session_send(s, &bye);
	set_state(s, CLOSED);
	close_all(s);
}

void rmr_session_free(struct rmr_session *s)
{
	u32 i;

	for (i = 0; i < RMR_LANES; i++)
		rmr_lane_uninit(&s->lane[i]);
	rmr_control_uninit(&s->control);
	rmr_cm_uninit(&s->cm);
	close(s->stop);
	close(s->wake);
	free(s);
}

struct rmr_lane *rmr_session_lane(struct rmr_session *s, const struct rmr_port *port)
{
	u32 n = __atomic_load_n(&s->nlanes, __ATOMIC_ACQUIRE);

	if (!n)
		return NULL;
	return &s->lane[port->bulk ? RMR_LANES - 1 : port->number % n];
}

bool rmr_session_live(const struct rmr_session *s)
{
	return __atomic_load_n(&s->state, __ATOMIC_ACQUIRE) == LIVE;
}

const char *rmr_session_name(const struct rmr_session *s)
{
	return s->p.name;
}

u64 rmr_session_free_bytes(const struct rmr_session *s)
{
	return __atomic_load_n(&s->free_bytes, __ATOMIC_RELAXED);
}
