// SPDX-License-Identifier: GPL-2.0-only
/*
 * session.c - one donor: connect, heartbeat, recover, give up.
 *
 *   DOWN --connected--> LIVE --broken--> RECOVERING --connected, resumed--> LIVE
 *     ^                                   |
 *     +------- grants lost ---------------+   (nobody listens, other session, or too late)
 *   any --stop--> CLOSED
 *
 * Everything that changes the state runs in the session's work, one at a time;
 * stop sees to it that the work is over before it changes it for the last time.
 * Locks: send_lock (may sleep) keeps the control connection while a message is
 * sent. Lanes are read under RCU: the work takes them away, waits for a grace
 * period, and only then closes them, so nobody can post to a connection that is
 * closing.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sizes.h>
#include <linux/sched/mm.h>
#include <linux/jiffies.h>

#include "session.h"

/* Each step of connecting; a step on a living network takes milliseconds. */
#define STEP_TIMEOUT_MS 2000
/*
 * Reads wait for a broken connection as long as the donor keeps the grants, but
 * no longer than this: less than the front's patience (command.c).
 */
#define RECOVER_MAX_MS 25000
#define BACKOFF_MIN_MS 200
#define BACKOFF_MAX_MS 5000
/* The peer is dead after this many heartbeat periods of silence (protocol). */
#define SILENT_PERIODS 5
/* Work requests on the wire per lane. Each costs a send queue entry of some 0.5 KiB. */
#define LANE_REQUESTS 256
/*
 * Bytes of writes on the wire. A fault's read shares the wire with what was
 * posted before it: behind a megabyte of writes it waited 22 ms where it takes
 * one (two emulated machines). This is still twice what 100 Gb/s carries in
 * 10 us, and costs no throughput on Soft-RoCE.
 */
static unsigned int write_window = 256;
module_param(write_window, uint, 0644);
MODULE_PARM_DESC(
	write_window,
	"writes on the wire at once per donor, in KiB (default 256), from the next connection on: more delays page faults, less slows writing on long wires");
/* Of reads: only other reads wait for them. A quarter of this cost 64 KiB reads a quarter. */
#define READ_WINDOW SZ_1M
enum session_state { DOWN, LIVE, RECOVERING, CLOSED };

static const char *const state_names[] = { "down", "live", "recovering", "closed" };

static const enum ramster_role lane_roles[RMK_LANES] = {
	[RMK_LANE_DEMAND] = RAMSTER_ROLE_DEMAND,
	[RMK_LANE_BULK] = RAMSTER_ROLE_BULK,
	[RMK_LANE_WRITE] = RAMSTER_ROLE_WRITE,
};

struct rmk_session {
	struct sockaddr_storage addr;
	char name[64];
	u8 client_id[RAMSTER_WIRE_CLIENT_ID];
	const struct rmk_session_ops *ops;
	void *owner;

	struct workqueue_struct *wq;
	struct delayed_work work;
	enum session_state state; /* written by the work and stop */
	u64 id;			  /* of the session at the donor; 0: none */
	u32 heartbeat_ms, grace_ms;
	u32 backoff_ms;
	unsigned long lost_at; /* RECOVERING: jiffies */
	unsigned long beat_at;
	unsigned long progress_at;
	unsigned long heard; /* last message, jiffies */
	bool complained;     /* one log line per outage */
	bool broken;	     /* set by anybody, cleared by the work */
	bool listing;	     /* resumed, and the donor has not listed all grants yet */
	bool stopping;	     /* set once, by stop: the work does nothing any more */
	u64 free_bytes;

	struct mutex send_lock;	  /* keeps control while a message is sent */
	struct rmk_conn *control; /* guarded by send_lock */
	struct rmk_conn __rcu *lane[RMK_LANES];
};

static void kick(struct rmk_session *s)
{
	mod_delayed_work(s->wq, &s->work, 0);
}

void rmk_session_break(struct rmk_session *s)
{
	if (READ_ONCE(s->stopping) || xchg(&s->broken, true))
		return;
	kick(s);
}

/* ---- what the connections tell us ---- */

static void on_broken(void *owner)
{
	rmk_session_break(owner);
}

static void on_readable(void *owner)
{
	struct rmk_session *s = owner;

	WRITE_ONCE(s->heard, jiffies);
	if (!READ_ONCE(s->stopping))
		kick(s);
}

static const struct rmk_conn_ops conn_ops = { .readable = on_readable, .broken = on_broken };

static void handle_message(struct rmk_session *s, const struct core_msg *msg)
{
	switch (msg->type) {
	case RAMSTER_MSG_HEARTBEAT:
		WRITE_ONCE(s->free_bytes, msg->heartbeat.free_bytes);
		if (s->listing)
			s->ops->listed(s->owner, s);
		s->listing = false;
		break;
	case RAMSTER_MSG_BYE:
		pr_info("donor %s says goodbye: %s\n", s->name, core_reason_name(msg->bye.reason));
		WRITE_ONCE(s->broken, true);
		break;
	case RAMSTER_MSG_SLAB_DENY:
		WRITE_ONCE(s->free_bytes, msg->deny.free_bytes);
		fallthrough;
	default:
		s->ops->message(s->owner, s, msg);
	}
}

static void handle_messages(struct rmk_session *s)
{
	struct core_msg msg;
	int ret;

	/* only this work sets and closes the control connection, so no lock */
	while ((ret = rmk_conn_recv(s->control, &msg)) > 0)
		handle_message(s, &msg);
	if (!ret)
		return;
	pr_warn("donor %s: sent a message that is not of our protocol (%d)\n", s->name, ret);
	WRITE_ONCE(s->broken, true);
}

/* ---- sending ---- */

int rmk_session_send(struct rmk_session *s, const struct core_msg *msg)
{
	int err = -ENOTCONN;

	mutex_lock(&s->send_lock);
	if (s->control)
		err = rmk_conn_send(s->control, msg);
	mutex_unlock(&s->send_lock);
	return err;
}

int rmk_session_post(struct rmk_session *s, enum rmk_lane lane, struct rmk_wr *wr, u64 raddr,
		     u32 rkey)
{
	struct rmk_conn *conn;
	int err = -ENOTCONN;

	rcu_read_lock();
	conn = rcu_dereference(s->lane[lane]);
	if (conn)
		err = rmk_conn_post(conn, wr, raddr, rkey);
	rcu_read_unlock();
	return err;
}

u32 rmk_session_max_spans(struct rmk_session *s, enum rmk_lane lane)
{
	struct rmk_conn *conn;
	u32 n = 0;

	rcu_read_lock();
	conn = rcu_dereference(s->lane[lane]);
	if (conn)
		n = rmk_conn_max_spans(conn, lane == RMK_LANE_WRITE);
	rcu_read_unlock();
	return n;
}

/* ---- connecting ---- */

static void complain(struct rmk_session *s, enum ramster_role role, int err,
		     enum ramster_reason reason)
{
	if (s->complained || READ_ONCE(s->stopping))
		return;
	s->complained = true;
	pr_warn("donor %s: no %s connection: %s (%d); trying again\n", s->name,
		core_role_name(role),
		err == -EBUSY	     ? core_reason_name(reason) :
		err == -ECONNREFUSED ? "nobody listens there" :
		err == -ENODEV	     ? "no RDMA device for that address" :
				       "no answer",
		err);
}

static int open_one(struct rmk_session *s, enum ramster_role role, u64 id, struct core_cm_rep *rep,
		    struct rmk_conn **out)
{
	struct core_cm_req req = { .role = role, .session = id };
	struct rmk_conn_params params = {
		.addr = &s->addr,
		.req = &req,
		.ops = &conn_ops,
		.owner = s,
		.max_requests = LANE_REQUESTS,
		.max_bytes = role == RAMSTER_ROLE_WRITE ?
				     (u32)min_t(u64, (u64)READ_ONCE(write_window) << 10, SZ_1G) :
				     READ_WINDOW,
		.timeout_ms = STEP_TIMEOUT_MS,
		.stop = &s->stopping,
	};
	enum ramster_reason reason;
	int err;

	memcpy(req.client_id, s->client_id, sizeof(req.client_id));
	err = rmk_conn_open(&params, rep, &reason, out);
	if (err)
		complain(s, role, err, reason);
	return err;
}

static void close_all(struct rmk_session *s)
{
	struct rmk_conn *conn[RMK_LANES], *control;
	int i;

	for (i = 0; i < RMK_LANES; i++)
		conn[i] = rcu_replace_pointer(s->lane[i], NULL, true);
	mutex_lock(&s->send_lock);
	control = s->control;
	s->control = NULL;
	mutex_unlock(&s->send_lock);
	synchronize_rcu(); /* rmk_session_post() is over for everybody who saw a lane */
	for (i = 0; i < RMK_LANES; i++)
		if (conn[i])
			rmk_conn_close(conn[i]);
	if (control)
		rmk_conn_close(control);
}

static void say_alive(struct rmk_session *s)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_HEARTBEAT,
		.heartbeat.used_pages = s->ops->used_pages(s->owner, s),
	};

	rmk_session_send(s, &msg);
}

/*
 * Control first: it tells which session the lanes join. *gone: nothing listens
 * there any more.
 */
static int open_all(struct rmk_session *s, struct core_cm_rep *rep, bool *gone)
{
	struct rmk_conn *conn;
	struct core_cm_rep lane_rep;
	int i, err;

	err = open_one(s, RAMSTER_ROLE_CONTROL, s->id, rep, &conn);
	*gone = err == -ECONNREFUSED;
	if (err)
		return err;
	mutex_lock(&s->send_lock);
	s->control = conn;
	mutex_unlock(&s->send_lock);
	for (i = 0; i < RMK_LANES; i++) {
		say_alive(s); /* connecting may take longer than the donor bears silence */
		err = open_one(s, lane_roles[i], rep->session, &lane_rep, &conn);
		if (err) {
			close_all(s);
			return err;
		}
		rcu_assign_pointer(s->lane[i], conn);
	}
	return 0;
}

static void give_up_grants(struct rmk_session *s)
{
	s->id = 0;
	s->state = DOWN;
	s->ops->lost(s->owner, s);
}

static void went_live(struct rmk_session *s, const struct core_cm_rep *rep)
{
	bool resumed = s->id && rep->session == s->id;

	if (s->id && !resumed)
		give_up_grants(s);
	s->id = rep->session;
	s->heartbeat_ms = rep->heartbeat_ms;
	s->grace_ms = rep->grace_ms;
	s->backoff_ms = BACKOFF_MIN_MS;
	s->complained = false;
	s->heard = jiffies;
	s->beat_at = jiffies;
	s->progress_at = jiffies + HZ * SILENT_PERIODS;
	s->free_bytes = U64_MAX; /* until it says */
	s->listing = resumed;
	WRITE_ONCE(s->state, LIVE);
	pr_info("donor %s: %s\n", s->name, resumed ? "connected again, nothing lost" : "connected");
	s->ops->live(s->owner, s);
}

/* Returns in how many ms to try again; 0: live. */
static u32 try_connect(struct rmk_session *s)
{
	struct core_cm_rep rep;
	bool gone;
	u32 wait;
	int err;

	WRITE_ONCE(s->broken, false);
	err = open_all(s, &rep, &gone);
	if (!err) {
		went_live(s, &rep);
		return 0;
	}
	/*
	 * If nothing listens there, the process that held our pages is gone.
	 * Anything else may pass; wait for as long as the donor keeps them.
	 */
	if (s->state == RECOVERING && (gone || time_after(jiffies, s->lost_at))) {
		pr_warn("donor %s: gone, its pages are lost\n", s->name);
		give_up_grants(s);
	}
	wait = s->backoff_ms;
	s->backoff_ms = min_t(u32, wait * 2, s->state == RECOVERING ? 1000 : BACKOFF_MAX_MS);
	return wait;
}

static void go_down(struct rmk_session *s, const char *why)
{
	pr_warn("donor %s: %s, connecting again\n", s->name, why);
	WRITE_ONCE(s->state, RECOVERING);
	s->lost_at = jiffies + msecs_to_jiffies(min_t(u32, s->grace_ms, RECOVER_MAX_MS));
	s->backoff_ms = BACKOFF_MIN_MS;
	s->ops->down(s->owner, s);
	close_all(s);
}

/* ---- living ---- */

static bool lanes_stuck(struct rmk_session *s)
{
	bool stuck = false;
	int i;

	if (time_before(jiffies, s->progress_at))
		return false;
	s->progress_at = jiffies + msecs_to_jiffies(s->heartbeat_ms) * SILENT_PERIODS;
	for (i = 0; i < RMK_LANES; i++) {
		struct rmk_conn *conn = rcu_dereference_protected(s->lane[i], true);

		stuck |= !rmk_conn_progress(conn);
	}
	return stuck;
}

static const char *fault(struct rmk_session *s)
{
	unsigned long silence = msecs_to_jiffies(s->heartbeat_ms) * SILENT_PERIODS;

	if (READ_ONCE(s->broken))
		return "connection broken";
	if (time_after(jiffies, READ_ONCE(s->heard) + silence))
		return "silent";
	if (lanes_stuck(s))
		return "requests do not complete";
	return NULL;
}

static void beat(struct rmk_session *s)
{
	if (time_before(jiffies, s->beat_at))
		return;
	s->beat_at = jiffies + msecs_to_jiffies(s->heartbeat_ms);
	say_alive(s);
}

/* One turn; returns in how many ms the next is due. */
static u32 turn(struct rmk_session *s)
{
	const char *why;

	if (s->state == LIVE) {
		handle_messages(s);
		why = fault(s);
		if (why)
			go_down(s, why);
	}
	if (s->state != LIVE) {
		u32 wait = try_connect(s);

		if (wait)
			return wait;
	}
	beat(s);
	return s->heartbeat_ms / 2;
}

static void session_work(struct work_struct *work)
{
	struct rmk_session *s = container_of(to_delayed_work(work), struct rmk_session, work);
	unsigned int noio;
	u32 wait;

	if (READ_ONCE(s->stopping))
		return;
	/* Connecting allocates; were that to wait for swap-out, it would wait for itself. */
	noio = memalloc_noio_save();
	wait = turn(s);
	memalloc_noio_restore(noio);
	if (!READ_ONCE(s->stopping))
		queue_delayed_work(s->wq, &s->work, msecs_to_jiffies(wait));
}

/* ---- life ---- */

struct rmk_session *rmk_session_create(const struct sockaddr_storage *addr, const char *name,
				       const u8 *client_id, const struct rmk_session_ops *ops,
				       void *owner)
{
	struct rmk_session *s = kzalloc(sizeof(*s), GFP_KERNEL);

	if (!s)
		return ERR_PTR(-ENOMEM);
	s->wq = alloc_ordered_workqueue("ramster_session", WQ_MEM_RECLAIM);
	if (!s->wq) {
		kfree(s);
		return ERR_PTR(-ENOMEM);
	}
	s->addr = *addr;
	strscpy(s->name, name, sizeof(s->name));
	memcpy(s->client_id, client_id, sizeof(s->client_id));
	s->ops = ops;
	s->owner = owner;
	s->backoff_ms = BACKOFF_MIN_MS;
	mutex_init(&s->send_lock);
	INIT_DELAYED_WORK(&s->work, session_work);
	return s;
}

void rmk_session_start(struct rmk_session *s)
{
	queue_delayed_work(s->wq, &s->work, 0);
}

void rmk_session_quit(struct rmk_session *s)
{
	WRITE_ONCE(s->stopping, true);
}

void rmk_session_stop(struct rmk_session *s)
{
	struct core_msg bye = {
		.type = RAMSTER_MSG_BYE,
		.bye.reason = RAMSTER_REASON_SHUTDOWN,
	};

	rmk_session_quit(s);
	cancel_delayed_work_sync(&s->work);
	if (s->state == LIVE)
		rmk_session_send(s, &bye);
	WRITE_ONCE(s->state, CLOSED);
	close_all(s);
}

void rmk_session_free(struct rmk_session *s)
{
	cancel_delayed_work_sync(&s->work);
	destroy_workqueue(s->wq);
	kfree(s);
}

bool rmk_session_live(const struct rmk_session *s)
{
	return READ_ONCE(s->state) == LIVE;
}

const char *rmk_session_name(const struct rmk_session *s)
{
	return s->name;
}

const char *rmk_session_state_name(const struct rmk_session *s)
{
	return state_names[READ_ONCE(s->state)];
}

u64 rmk_session_free_bytes(const struct rmk_session *s)
{
	return READ_ONCE(s->free_bytes);
}
