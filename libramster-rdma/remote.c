// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * remote.c - asking, giving back, and what donors say.
 *
 * Requests and releases are sent by the control thread, which is also the only
 * one to retire slabs. Messages arrive in the sessions' threads.
 */
#include "remote.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "../core/place.h"

/*
 * Empty slabs kept ahead of the writer while it writes: two, and of small ones
 * as many as make up this much. Beyond twice that, empty slabs go back.
 */
#define RESERVE_SLABS 2
#define RESERVE_BYTES (32u << 20)
#define IDLE_MS	      2000 /* with nobody storing for this long, every empty slab goes back */
#define DENIED_MS     1000 /* a donor that said no is not asked again for this long */
#define ASK_MS	      5000 /* a request without an answer is forgotten after this */
#define TICK_MS	      500
#define BUSY_MS	      10 /* and with slabs left to give back, which a donor was too slow for */

static u32 reserve(const struct rmr_remote *r)
{
	u64 n = RESERVE_BYTES / r->slabs.slab_bytes;

	if (n < RESERVE_SLABS)
		return RESERVE_SLABS;
	return n < RAMSTER_REQUEST_MAX ? (u32)n : RAMSTER_REQUEST_MAX;
}

static void control_kick(void *arg)
{
	struct rmr_remote *r = arg;

	rmr_worker_kick(&r->control);
}

static struct rmr_donor *donor_of(struct rmr_remote *r, const struct rmr_session *s)
{
	u32 i;

	for (i = 0; r->donors[i].session != s; i++)
		;
	return &r->donors[i];
}

/* ---- wanting room ---- */

void rmr_remote_want(struct rmr_remote *r)
{
	__atomic_store_n(&r->wanted, true, __ATOMIC_RELAXED);
	if (!__atomic_exchange_n(&r->low, true, __ATOMIC_ACQ_REL))
		control_kick(r);
}

static bool asking(const struct rmr_donor *d)
{
	return __atomic_load_n(&d->asked, __ATOMIC_RELAXED);
}

static bool may_ask(const struct rmr_donor *d)
{
	return rmr_session_live(d->session) && !asking(d) &&
	       rmr_now_ms() > __atomic_load_n(&d->denied_until, __ATOMIC_RELAXED);
}

static bool has_room(const struct rmr_remote *r, const struct rmr_donor *d)
{
	return rmr_session_free_bytes(d->session) >= r->slabs.slab_bytes;
}

/*
 * A slab more than when it denied: it will be asked again when the pause is over. With a quota a
 * donor denies although it has room.
 */
static bool has_more_room(const struct rmr_remote *r, const struct rmr_donor *d)
{
	u64 free_bytes = rmr_session_free_bytes(d->session);
	u64 before = __atomic_load_n(&d->denied_free, __ATOMIC_RELAXED);

	return rmr_session_live(d->session) && has_room(r, d) &&
	       (before < r->slabs.slab_bytes ||
		(free_bytes > before && free_bytes - before >= r->slabs.slab_bytes));
}

bool rmr_remote_hopeful(struct rmr_remote *r)
{
	const struct rmr_donor *d;

	for (d = r->donors; d < r->donors + r->ndonors; d++)
		if (asking(d) || (may_ask(d) && has_room(r, d)) || has_more_room(r, d))
			return true;
	return false;
}

struct rmr_slab *rmr_remote_alloc(struct rmr_remote *r, u32 *hint, u32 page_bytes,
				  const struct rmr_key *key, u32 *slot)
{
	u32 before = *hint;
	struct rmr_slab *slab = rmr_slabs_alloc(&r->slabs, hint, page_bytes, key, slot);

	if (!__atomic_load_n(&r->wanted, __ATOMIC_RELAXED))
		__atomic_store_n(&r->wanted, true, __ATOMIC_RELAXED);
	/* a slab was begun, or there is none: the reserve is smaller than it was */
	if (!slab || *hint != before)
		rmr_remote_want(r);
	return slab;
}

bool rmr_remote_idle(struct rmr_remote *r)
{
	return rmr_now_ms() > __atomic_load_n(&r->wanted_at, __ATOMIC_RELAXED) + IDLE_MS;
}

void rmr_remote_refused(struct rmr_remote *r, struct rmr_slab *slab)
{
	if (rmr_slab_refused(&r->slabs, slab))
		r->ops->moving(r->owner);
}

/* ---- what donors say ---- */

static void send_release(struct rmr_session *s, u64 id, u32 generation)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SLAB_RELEASE,
		.slab = { .slab_id = id, .generation = generation },
	};

	/*
	 * If it cannot be said, we resume the session: the donor then lists what
	 * it has granted, and what we do not know is released again.
	 */
	if (rmr_session_send(s, &msg))
		rmr_session_break(s);
}

static void on_live(void *owner)
{
	struct rmr_remote *r = owner;

	pthread_mutex_lock(&r->lock);
	pthread_cond_broadcast(&r->live);
	pthread_mutex_unlock(&r->lock);
	rmr_remote_want(r); /* who opens a fabric is about to store pages */
	r->ops->moving(r->owner);
	r->ops->changed(r->owner);
}

static void on_failed(void *owner, struct rmr_session *s)
{
	struct rmr_remote *r = owner;

	rmr_slabs_event_all(&r->slabs, s, CORE_LEASE_DISCONNECT);
}

static void on_down(void *owner, struct rmr_session *s)
{
	struct rmr_remote *r = owner;

	__atomic_store_n(&donor_of(r, s)->asked, 0, __ATOMIC_RELAXED);
	rmr_slabs_unname(&r->slabs, s);
	rmr_slabs_event_all(&r->slabs, s, CORE_LEASE_DISCONNECT);
}

static void on_lost(void *owner, struct rmr_session *s)
{
	struct rmr_remote *r = owner;

	rmr_slabs_event_all(&r->slabs, s, CORE_LEASE_FENCE);
	r->ops->moving(r->owner);
	r->ops->changed(r->owner);
	control_kick(r);
}

/* Up to n of what was asked for; how many it was. */
static u32 take_asked(struct rmr_donor *d, u32 n)
{
	u32 asked = __atomic_load_n(&d->asked, __ATOMIC_RELAXED);

	while (!__atomic_compare_exchange_n(&d->asked, &asked, asked - (n < asked ? n : asked),
					    false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return n < asked ? n : asked;
}

/* What the donor has not named it has fenced, when nobody could be told. */
static void on_listed(void *owner, struct rmr_session *s)
{
	struct rmr_remote *r = owner;
	u32 n = rmr_slabs_fence_unnamed(&r->slabs, s);

	if (!n)
		return;
	rmr_log(r->log, 4, "donor %s: has fenced %u slabs meanwhile", rmr_session_name(s), n);
	r->ops->moving(r->owner);
	control_kick(r);
}

/* A resumed donor lists all that it has granted: what we hold, and what one of us missed. */
static void on_grant(struct rmr_remote *r, struct rmr_session *s, const struct core_msg *msg)
{
	int err = -EINVAL;

	if (rmr_slabs_event(&r->slabs, s, msg->grant.slab_id, msg->grant.generation,
			    CORE_LEASE_RESUME)) {
		r->ops->moving(r->owner);
		r->ops->changed(r->owner); /* who reads its pages has waited for this */
		return;
	}
	if (rmr_slabs_known(&r->slabs, s, msg->grant.slab_id, msg->grant.generation))
		return;
	if (take_asked(donor_of(r, s), 1) && msg->grant.len == r->slabs.slab_bytes)
		err = rmr_slabs_add(&r->slabs, s, msg);
	if (err) {
		send_release(s, msg->grant.slab_id, msg->grant.generation);
		return;
	}
	r->ops->moving(r->owner);
	r->ops->changed(r->owner);
}

static void on_deny(struct rmr_remote *r, struct rmr_session *s, const struct core_msg *msg)
{
	struct rmr_donor *d = donor_of(r, s);

	__atomic_store_n(&d->denied_free, msg->deny.free_bytes, __ATOMIC_RELAXED);
	__atomic_store_n(&d->denied_until, rmr_now_ms() + DENIED_MS, __ATOMIC_RELAXED);
	take_asked(d, msg->deny.count);
	r->ops->changed(r->owner);
}

static void on_taken(struct rmr_remote *r, struct rmr_session *s, const struct core_msg *msg,
		     enum core_lease_event event)
{
	if (!rmr_slabs_event(&r->slabs, s, msg->slab.slab_id, msg->slab.generation, event))
		return; /* already given back, or said twice */
	rmr_log(r->log, event == CORE_LEASE_FENCE ? 4 : 6, "donor %s: slab %llu was %s: %s",
		rmr_session_name(s), (unsigned long long)msg->slab.slab_id,
		event == CORE_LEASE_FENCE ? "fenced" : "asked back",
		core_reason_name(msg->slab.reason));
	r->ops->moving(r->owner);
	control_kick(r);
}

static u64 used_pages(void *owner, struct rmr_session *s)
{
	struct rmr_remote *r = owner;
	struct rmr_slabs_count count;

	rmr_slabs_count(&r->slabs, s, &count);
	return count.used_pages;
}

static u32 lanes_wanted(void *owner)
{
	struct rmr_remote *r = owner;

	return r->ops->ports(r->owner);
}

static void on_message(void *owner, struct rmr_session *s, const struct core_msg *msg)
{
	struct rmr_remote *r = owner;

	switch (msg->type) {
	case RAMSTER_MSG_SLAB_GRANT:
		on_grant(r, s, msg);
		break;
	case RAMSTER_MSG_SLAB_DENY:
		on_deny(r, s, msg);
		break;
	case RAMSTER_MSG_SLAB_REVOKE:
		on_taken(r, s, msg, CORE_LEASE_REVOKE);
		break;
	case RAMSTER_MSG_SLAB_FENCED:
		on_taken(r, s, msg, CORE_LEASE_FENCE);
		break;
	default:
		rmr_log(r->log, 4, "donor %s: unexpected %s, reconnecting", rmr_session_name(s),
			core_msg_name(msg->type));
		rmr_session_break(s);
	}
}

/* ---- the control thread ---- */

static bool any_busy(const struct rmr_remote *r)
{
	u32 i;

	for (i = 0; i < r->ndonors; i++)
		if (rmr_session_busy(r->donors[i].session))
			return true;
	return false;
}

/* False: the rest later, a donor has not heard of the last ones yet. */
static bool retire_slabs(struct rmr_remote *r)
{
	struct rmr_slabs_count count;
	struct rmr_retired gone;

	while (!any_busy(r)) {
		rmr_slabs_count(&r->slabs, NULL, &count);
		if (!rmr_slabs_retire(&r->slabs, rmr_remote_idle(r) || count.empty > 2 * reserve(r),
				      &gone))
			return true;
		if (gone.release)
			send_release(gone.session, gone.id, gone.generation);
	}
	return false;
}

/* How many slabs to ask each donor for. */
static void plan(struct rmr_remote *r, u32 *count)
{
	struct core_place places[RMR_MAX_DONORS];
	struct rmr_slabs_count held;
	u32 i, room;
	int pick;

	rmr_slabs_count(&r->slabs, NULL, &held);
	room = held.empty;
	for (i = 0; i < r->ndonors; i++) {
		struct rmr_donor *d = &r->donors[i];

		rmr_slabs_count(&r->slabs, d->session, &held);
		room += __atomic_load_n(&d->asked, __ATOMIC_RELAXED);
		places[i] = (struct core_place){
			.live = may_ask(d),
			.free_bytes = rmr_session_free_bytes(d->session),
			.held_bytes = held.held * r->slabs.slab_bytes,
		};
	}
	for (; room < reserve(r); room++) {
		pick = core_place_pick(places, r->ndonors, r->slabs.slab_bytes);
		if (pick < 0)
			return;
		count[pick]++;
		places[pick].free_bytes -= r->slabs.slab_bytes;
		places[pick].held_bytes += r->slabs.slab_bytes;
	}
}

static void ask_donor(struct rmr_remote *r, struct rmr_donor *d, u32 count)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SLAB_REQUEST,
		.request = { .count = count, .slab_bytes = r->slabs.slab_bytes },
	};

	/* before it is sent: the answer may be here sooner than we are back */
	__atomic_store_n(&d->asked, count, __ATOMIC_RELAXED);
	d->asked_at = rmr_now_ms();
	if (rmr_session_send(d->session, &msg))
		__atomic_store_n(&d->asked, 0, __ATOMIC_RELAXED);
}

static void ask(struct rmr_remote *r)
{
	u32 count[RMR_MAX_DONORS] = { 0 }, i;

	for (i = 0; i < r->ndonors; i++)
		if (asking(&r->donors[i]) && rmr_now_ms() > r->donors[i].asked_at + ASK_MS)
			__atomic_store_n(&r->donors[i].asked, 0, __ATOMIC_RELAXED);
	if (!rmr_remote_idle(r))
		plan(r, count);
	for (i = 0; i < r->ndonors; i++)
		if (count[i])
			ask_donor(r, &r->donors[i], count[i]);
}

static u32 control_turn(void *arg)
{
	struct rmr_remote *r = arg;
	bool retired;

	__atomic_store_n(&r->low, false, __ATOMIC_RELEASE);
	if (__atomic_exchange_n(&r->wanted, false, __ATOMIC_RELAXED))
		__atomic_store_n(&r->wanted_at, rmr_now_ms(), __ATOMIC_RELAXED);
	retired = retire_slabs(r);
	ask(r);
	r->ops->tick(r->owner);
	return retired ? TICK_MS : BUSY_MS;
}

/* ---- life ---- */

static const struct rmr_session_ops session_ops = {
	.failed = on_failed,
	.live = on_live,
	.listed = on_listed,
	.down = on_down,
	.lost = on_lost,
	.message = on_message,
	.used_pages = used_pages,
	.lanes_wanted = lanes_wanted,
};

static bool port_valid(const char *text)
{
	char *end;
	long port = strtol(text, &end, 10);

	return text[0] >= '0' && text[0] <= '9' && !*end && port > 0 && port < 65536;
}

/* One address of the list, "10.0.0.2", "10.0.0.2:7471", "fd00::2" or "[fd00::2]:7471". */
static int parse_address(char *text, struct sockaddr_storage *out)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				  .ai_socktype = SOCK_STREAM };
	char *colon = strrchr(text, ':'), port[8];
	struct addrinfo *found;

	snprintf(port, sizeof(port), "%u", RAMSTER_WIRE_PORT);
	if (text[0] == '[') {
		char *end = strchr(text++, ']');

		if (!end || (end[1] && end[1] != ':'))
			return -EINVAL;
		colon = end[1] ? end + 1 : NULL;
		*end = '\0';
	} else if (colon != strchr(text, ':')) {
		colon = NULL; /* of an IPv6 address */
	}
	if (colon) {
		*colon = '\0';
		if (!port_valid(colon + 1))
			return -EINVAL;
		snprintf(port, sizeof(port), "%s", colon + 1);
	}
	if (!text[0] || getaddrinfo(text, port, &hints, &found))
		return -EINVAL;
	memcpy(out, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return 0;
}

static int add_donor(struct rmr_remote *r, const char *text, const u8 *client_id)
{
	struct rmr_session_params p = {
		.devices = &r->devices,
		.log = r->log,
		.ops = &session_ops,
		.owner = r,
	};
	char address[64];
	int err;

	if (r->ndonors == RMR_MAX_DONORS || strlen(text) >= sizeof(address))
		return -EINVAL;
	snprintf(p.name, sizeof(p.name), "%s", text);
	snprintf(address, sizeof(address), "%s", text);
	memcpy(p.client_id, client_id, sizeof(p.client_id));
	err = parse_address(address, &p.addr);
	if (!err)
		err = rmr_session_create(&p, &r->donors[r->ndonors].session);
	if (!err)
		r->ndonors++;
	return err;
}

static int add_donors(struct rmr_remote *r, const char *list)
{
	char *copy = strdup(list), *rest = copy, *one;
	u8 client_id[RAMSTER_WIRE_CLIENT_ID];
	int err = -ENOMEM;

	if (!copy)
		return err;
	err = getrandom(client_id, sizeof(client_id), 0) == sizeof(client_id) ? 0 : -EIO;
	while (!err && (one = strsep(&rest, ",")))
		err = add_donor(r, one, client_id);
	free(copy);
	return err;
}

int rmr_remote_init(struct rmr_remote *r, const struct rmr_remote_params *p)
{
	int err;

	r->log = p->log;
	r->ops = p->ops;
	r->owner = p->owner;
	pthread_mutex_init(&r->lock, NULL);
	rmr_cond_init(&r->live);
	rmr_devices_init(&r->devices);
	rmr_worker_init(&r->control, control_turn, r);
	err = rmr_slabs_init(&r->slabs, p->slab_bytes, control_kick, r);
	return err ? err : add_donors(r, p->donors);
}

int rmr_remote_start(struct rmr_remote *r)
{
	int err = rmr_worker_start(&r->control);
	u32 i;

	r->control_runs = !err;
	for (i = 0; i < r->ndonors && !err; i++)
		err = rmr_session_start(r->donors[i].session);
	return err;
}

void rmr_remote_stop(struct rmr_remote *r)
{
	u32 i;

	if (!r->control_runs)
		return;
	rmr_worker_stop(&r->control);
	for (i = 0; i < r->ndonors; i++)
		rmr_session_quit(r->donors[i].session);
	for (i = 0; i < r->ndonors; i++) {
		rmr_session_stop(r->donors[i].session);
		/* nothing will move any more: the mover need not try slab by slab */
		rmr_slabs_event_all(&r->slabs, r->donors[i].session, CORE_LEASE_DISCONNECT);
	}
}

void rmr_remote_uninit(struct rmr_remote *r)
{
	u32 i;

	for (i = 0; i < r->ndonors; i++)
		rmr_session_free(r->donors[i].session);
	rmr_slabs_uninit(&r->slabs);
	rmr_worker_uninit(&r->control);
	rmr_devices_uninit(&r->devices);
	pthread_cond_destroy(&r->live);
	pthread_mutex_destroy(&r->lock);
}

static bool any_live(const struct rmr_remote *r)
{
	u32 i;

	for (i = 0; i < r->ndonors; i++)
		if (rmr_session_live(r->donors[i].session))
			return true;
	return false;
}

int rmr_remote_wait_live(struct rmr_remote *r, u32 timeout_ms)
{
	u64 deadline = rmr_now_ms() + timeout_ms;
	bool live;

	pthread_mutex_lock(&r->lock);
	while (!(live = any_live(r)) && rmr_cond_wait(&r->live, &r->lock, deadline))
		;
	pthread_mutex_unlock(&r->lock);
	return live ? 0 : -ETIMEDOUT;
}

void rmr_remote_kick_sessions(struct rmr_remote *r)
{
	u32 i;

	for (i = 0; i < r->ndonors; i++)
		rmr_session_kick(r->donors[i].session);
}
