// SPDX-License-Identifier: GPL-2.0-only
/*
 * remote.c - donors: slabs are asked for ahead of need, given back when empty,
 * emptied when revoked.
 *
 * Requests and releases are sent by the control work, which is also the only
 * one to retire slabs. Messages arrive in the session's work.
 * Locks: remote.lock (may be taken with slabs.lock free only) guards what each
 * donor was asked for.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "remote.h"
#include "../core/place.h"

/*
 * Free slots kept ahead of the writer while it writes: two slabs, and of small
 * ones as many as make up this much. Beyond twice that, empty slabs go back.
 */
#define RESERVE_SLABS 2
#define RESERVE_BYTES (32u << 20)
/* With nobody writing for this long, every empty slab goes back. */
#define IDLE (2 * HZ)
/* With nobody to ask for room, wanting it is in vain for this long. */
#define QUIET (HZ / 10)
/* A donor that said no is not asked again for this long. */
#define DENIED_PAUSE HZ
/* A request without an answer is forgotten after this. */
#define ASK_TIMEOUT (5 * HZ)
#define TICK	    (HZ / 2)

struct donor {
	struct rmk_session *session;
	u32 asked; /* slabs that have neither come nor been denied */
	unsigned long asked_at;
	unsigned long denied_until;
};

struct rmk_remote {
	struct rmk_slabs slabs;
	const struct rmk_remote_ops *ops;
	void *owner;
	u64 slab_bytes;
	u32 slab_slots;
	struct workqueue_struct *wq;
	struct delayed_work control;
	struct rmk_session_ops session_ops;
	wait_queue_head_t live;
	bool stopping;
	unsigned long wanted_at;   /* last write, jiffies */
	bool wanted;		   /* since the control work last looked */
	unsigned long quiet_until; /* nobody could be asked; jiffies */

	spinlock_t lock; /* guards what each donor was asked for */
	struct donor donors[RMK_MAX_DONORS];
	u32 ndonors;
	u64 denied;
};

static void control_kick(struct rmk_remote *r)
{
	if (!READ_ONCE(r->stopping))
		mod_delayed_work(r->wq, &r->control, 0);
}

static void on_retirable(struct rmk_slabs *slabs)
{
	control_kick(container_of(slabs, struct rmk_remote, slabs));
}

static struct donor *donor_of(struct rmk_remote *r, const struct rmk_session *s)
{
	u32 i;

	for (i = 0; i < r->ndonors; i++)
		if (r->donors[i].session == s)
			return &r->donors[i];
	return NULL;
}

/* ---- wanting room ---- */

void rmk_remote_want(struct rmk_remote *r)
{
	WRITE_ONCE(r->wanted_at, jiffies);
	if (!READ_ONCE(r->wanted) && time_after(jiffies, READ_ONCE(r->quiet_until))) {
		/* one kick until the work has looked */
		WRITE_ONCE(r->wanted, true);
		control_kick(r);
	}
}

bool rmk_remote_asking(struct rmk_remote *r)
{
	u32 i;

	for (i = 0; i < r->ndonors; i++)
		if (READ_ONCE(r->donors[i].asked))
			return true;
	return false;
}

static bool may_ask(const struct rmk_remote *r, const struct donor *d)
{
	return rmk_session_live(d->session) && !READ_ONCE(d->asked) &&
	       time_after(jiffies, READ_ONCE(d->denied_until));
}

bool rmk_remote_hopeful(struct rmk_remote *r)
{
	u32 i;

	if (rmk_remote_asking(r))
		return true;
	for (i = 0; i < r->ndonors; i++)
		if (may_ask(r, &r->donors[i]) &&
		    rmk_session_free_bytes(r->donors[i].session) >= r->slab_bytes)
			return true;
	return false;
}

static u64 reserve(const struct rmk_remote *r)
{
	u64 slabs = max_t(u64, RESERVE_SLABS, RESERVE_BYTES / r->slab_bytes);

	return min_t(u64, slabs, RAMSTER_REQUEST_MAX) * r->slab_slots;
}

u32 rmk_remote_alloc(struct rmk_remote *r, u32 want, struct rmk_slab **slab, u32 *first)
{
	u32 got = rmk_slabs_alloc(&r->slabs, want, slab, first);

	WRITE_ONCE(r->wanted_at, jiffies);
	/* the work's tick would notice too, but by then a fast writer has used the reserve up */
	if (rmk_slabs_room(&r->slabs) < reserve(r) && !rmk_remote_asking(r))
		rmk_remote_want(r);
	return got;
}

void rmk_remote_refused(struct rmk_remote *r, struct rmk_slab *slab)
{
	if (rmk_slab_refused(slab))
		r->ops->moving(r->owner);
}

struct rmk_session *rmk_remote_donor(struct rmk_remote *r, u32 i)
{
	/* with rmk_remote_add_donor() */
	return i < smp_load_acquire(&r->ndonors) ? r->donors[i].session : NULL;
}

struct rmk_slabs *rmk_remote_slabs(struct rmk_remote *r)
{
	return &r->slabs;
}

/* ---- what donors say ---- */

static void forget_asked(struct rmk_remote *r, struct rmk_session *s)
{
	spin_lock_irq(&r->lock);
	donor_of(r, s)->asked = 0;
	spin_unlock_irq(&r->lock);
}

static void on_live(void *owner, struct rmk_session *s)
{
	struct rmk_remote *r = owner;

	/* an evacuation may have been cut short, compressed pages may wait for a donor */
	r->ops->moving(r->owner);
	wake_up_all(&r->live);
	r->ops->changed(r->owner);
	control_kick(r);
}

static void on_down(void *owner, struct rmk_session *s)
{
	struct rmk_remote *r = owner;

	forget_asked(r, s);
	rmk_slabs_event_all(&r->slabs, s, CORE_LEASE_DISCONNECT);
	r->ops->broken(r->owner, s);
}

static void on_lost(void *owner, struct rmk_session *s)
{
	struct rmk_remote *r = owner;

	rmk_slabs_event_all(&r->slabs, s, CORE_LEASE_FENCE);
	r->ops->moving(r->owner);
	r->ops->changed(r->owner);
	control_kick(r);
}

static void send_release(struct rmk_session *s, u64 id, u32 generation)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SLAB_RELEASE,
		.slab = { .slab_id = id, .generation = generation },
	};

	/*
	 * If it cannot be said, we resume the session: the donor then lists what
	 * it has granted, and what we do not know is released again.
	 */
	if (rmk_session_send(s, &msg))
		rmk_session_break(s);
}

static bool take_asked(struct rmk_remote *r, struct donor *d)
{
	bool asked;

	spin_lock_irq(&r->lock);
	asked = d->asked;
	if (asked)
		WRITE_ONCE(d->asked, d->asked - 1);
	spin_unlock_irq(&r->lock);
	return asked;
}

/* What the donor has not named it has fenced, when nobody could be told. */
static void on_listed(void *owner, struct rmk_session *s)
{
	struct rmk_remote *r = owner;
	u32 n = rmk_slabs_fence_orphans(&r->slabs, s);

	if (!n)
		return;
	pr_warn("donor %s: has fenced %u slabs meanwhile\n", rmk_session_name(s), n);
	r->ops->moving(r->owner);
	control_kick(r);
}

/* A resumed donor lists all that it has granted: what we hold, and what one of us missed. */
static void on_grant(struct rmk_remote *r, struct rmk_session *s, const struct core_msg *msg)
{
	unsigned int noreclaim;
	int err = -EINVAL;

	if (rmk_slabs_event(&r->slabs, s, msg->grant.slab_id, msg->grant.generation,
			    CORE_LEASE_RESUME)) {
		r->ops->moving(r->owner);
		r->ops->changed(r->owner); /* its readers have waited for this */
		return;
	}
	if (rmk_slabs_known(&r->slabs, s, msg->grant.slab_id, msg->grant.generation))
		return;
	if (take_asked(r, donor_of(r, s)) && msg->grant.len == r->slab_bytes) {
		/* reclaim may wait for this very slab, which takes 1/1000 of what it will hold */
		noreclaim = memalloc_noreclaim_save();
		err = rmk_slabs_add(&r->slabs, s, msg);
		memalloc_noreclaim_restore(noreclaim);
	}
	if (err)
		send_release(s, msg->grant.slab_id, msg->grant.generation);
	else
		r->ops->moving(r->owner);
}

static void on_deny(struct rmk_remote *r, struct rmk_session *s, const struct core_msg *msg)
{
	struct donor *d = donor_of(r, s);

	spin_lock_irq(&r->lock);
	WRITE_ONCE(d->asked, d->asked - min(d->asked, msg->deny.count));
	d->denied_until = jiffies + DENIED_PAUSE;
	r->denied += msg->deny.count;
	spin_unlock_irq(&r->lock);
	r->ops->moving(r->owner); /* pages get compressed now: the mover asks until they are out */
}

static void on_revoke(struct rmk_remote *r, struct rmk_session *s, const struct core_msg *msg)
{
	if (!rmk_slabs_event(&r->slabs, s, msg->slab.slab_id, msg->slab.generation,
			     CORE_LEASE_REVOKE))
		return; /* already given back, or said twice */
	r->ops->moving(r->owner);
	control_kick(r);
}

static void on_fenced(struct rmk_remote *r, struct rmk_session *s, const struct core_msg *msg)
{
	if (!rmk_slabs_event(&r->slabs, s, msg->slab.slab_id, msg->slab.generation,
			     CORE_LEASE_FENCE))
		return;
	pr_warn("donor %s: fenced slab %llu: %s\n", rmk_session_name(s), msg->slab.slab_id,
		core_reason_name(msg->slab.reason));
	r->ops->moving(r->owner);
	control_kick(r);
}

static u64 used_pages(void *owner, struct rmk_session *s)
{
	struct rmk_remote *r = owner;
	u32 count;
	u64 used;

	rmk_slabs_held(&r->slabs, s, &count, &used);
	return used;
}

static void on_message(void *owner, struct rmk_session *s, const struct core_msg *msg)
{
	struct rmk_remote *r = owner;

	switch (msg->type) {
	case RAMSTER_MSG_SLAB_GRANT:
		on_grant(owner, s, msg);
		break;
	case RAMSTER_MSG_SLAB_DENY:
		on_deny(owner, s, msg);
		break;
	case RAMSTER_MSG_SLAB_REVOKE:
		on_revoke(owner, s, msg);
		break;
	case RAMSTER_MSG_SLAB_FENCED:
		on_fenced(owner, s, msg);
		break;
	case RAMSTER_MSG_SHARE_JOINED:
	case RAMSTER_MSG_SHARE_LEAVE:
	case RAMSTER_MSG_SHARE_SLOTS:
	case RAMSTER_MSG_SHARE_FLUSHED:
		r->ops->share_message(r->owner, s, msg);
		break;
	default:
		pr_warn_ratelimited("donor %s: unexpected %s, reconnecting\n", rmk_session_name(s),
				    core_msg_name(msg->type));
		rmk_session_break(s);
	}
}

/* ---- the control work: ask, give back ---- */

bool rmk_remote_idle(struct rmk_remote *r)
{
	return time_after(jiffies, READ_ONCE(r->wanted_at) + IDLE);
}

static bool surplus(struct rmk_remote *r)
{
	return rmk_remote_idle(r) || rmk_slabs_room(&r->slabs) > 2 * reserve(r);
}

static void retire_slabs(struct rmk_remote *r)
{
	struct rmk_slab *slab;
	bool release;

	while ((slab = rmk_slabs_retire(&r->slabs, surplus(r), &release))) {
		if (release)
			send_release(slab->session, slab->id, slab->generation);
		rmk_slab_free(slab);
	}
}

/* How many slabs to ask each donor for. */
static void plan(struct rmk_remote *r, u32 *count)
{
	struct core_place places[RMK_MAX_DONORS];
	u64 room = rmk_slabs_room(&r->slabs), used;
	u32 i, held;
	int pick;

	for (i = 0; i < r->ndonors; i++) {
		struct donor *d = &r->donors[i];

		rmk_slabs_held(&r->slabs, d->session, &held, &used);
		room += (u64)READ_ONCE(d->asked) * r->slab_slots;
		places[i] = (struct core_place){
			.live = may_ask(r, d),
			.free_bytes = rmk_session_free_bytes(d->session),
			.held_bytes = held * r->slab_bytes,
		};
	}
	for (; room < reserve(r); room += r->slab_slots) {
		pick = core_place_pick(places, r->ndonors, r->slab_bytes);
		if (pick < 0)
			return;
		count[pick]++;
		places[pick].free_bytes -= r->slab_bytes;
		places[pick].held_bytes += r->slab_bytes;
	}
}

static void ask_donor(struct rmk_remote *r, struct donor *d, u32 count)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SLAB_REQUEST,
		.request = { .count = count, .slab_bytes = r->slab_bytes },
	};

	/* before it is sent: the answer may be here sooner than we are back */
	spin_lock_irq(&r->lock);
	WRITE_ONCE(d->asked, count);
	d->asked_at = jiffies;
	spin_unlock_irq(&r->lock);
	if (rmk_session_send(d->session, &msg))
		forget_asked(r, d->session);
}

static void ask(struct rmk_remote *r)
{
	u32 count[RMK_MAX_DONORS] = { 0 }, i, sum = 0;

	for (i = 0; i < r->ndonors; i++)
		if (time_after(jiffies, r->donors[i].asked_at + ASK_TIMEOUT))
			forget_asked(r, r->donors[i].session);
	if (!rmk_remote_idle(r))
		plan(r, count);
	for (i = 0; i < r->ndonors; i++) {
		if (count[i])
			ask_donor(r, &r->donors[i], count[i]);
		sum += count[i];
	}
	if (!sum)
		WRITE_ONCE(r->quiet_until, jiffies + QUIET);
}

static void control_work(struct work_struct *work)
{
	struct rmk_remote *r = container_of(to_delayed_work(work), struct rmk_remote, control);
	unsigned int noio = memalloc_noio_save();

	WRITE_ONCE(r->wanted, false);
	retire_slabs(r);
	ask(r);
	if (rmk_slabs_room(&r->slabs)) /* room that came of pages freed, not of a grant */
		r->ops->moving(r->owner);
	memalloc_noio_restore(noio);
	if (!READ_ONCE(r->stopping))
		queue_delayed_work(r->wq, &r->control, TICK);
}

/* ---- life ---- */

struct rmk_remote *rmk_remote_create(u64 slab_bytes, const struct rmk_remote_ops *ops, void *owner)
{
	struct rmk_remote *r = kzalloc(sizeof(*r), GFP_KERNEL);

	if (!r)
		return ERR_PTR(-ENOMEM);
	r->wq = alloc_ordered_workqueue("ramster_control", WQ_MEM_RECLAIM);
	if (!r->wq) {
		kfree(r);
		return ERR_PTR(-ENOMEM);
	}
	r->ops = ops;
	r->owner = owner;
	r->slab_bytes = slab_bytes;
	r->slab_slots = slab_bytes >> PAGE_SHIFT;
	r->wanted_at = jiffies - IDLE;
	r->session_ops = (struct rmk_session_ops){
		.live = on_live,
		.listed = on_listed,
		.down = on_down,
		.lost = on_lost,
		.message = on_message,
		.used_pages = used_pages,
	};
	rmk_slabs_init(&r->slabs, on_retirable);
	spin_lock_init(&r->lock);
	init_waitqueue_head(&r->live);
	INIT_DELAYED_WORK(&r->control, control_work);
	queue_delayed_work(r->wq, &r->control, TICK);
	return r;
}

int rmk_remote_add_donor(struct rmk_remote *r, const struct sockaddr_storage *addr,
			 const char *name, const u8 *client_id)
{
	struct rmk_session *s;

	if (r->ndonors == RMK_MAX_DONORS)
		return -ENOSPC;
	s = rmk_session_create(addr, name, client_id, &r->session_ops, r);
	if (IS_ERR(s))
		return PTR_ERR(s);
	spin_lock_irq(&r->lock);
	r->donors[r->ndonors] = (struct donor){
		.session = s,
		.denied_until = jiffies - 1,
	};
	/* the control work walks the donors without the lock: the entry first, then its number */
	smp_store_release(&r->ndonors, r->ndonors + 1);
	spin_unlock_irq(&r->lock);
	rmk_session_start(s);
	return 0;
}

static bool any_live(struct rmk_remote *r)
{
	u32 i;

	for (i = 0; i < r->ndonors; i++)
		if (rmk_session_live(r->donors[i].session))
			return true;
	return false;
}

int rmk_remote_wait_live(struct rmk_remote *r, u32 timeout_ms)
{
	return wait_event_timeout(r->live, any_live(r), msecs_to_jiffies(timeout_ms)) ? 0 :
											-ETIMEDOUT;
}

void rmk_remote_stop(struct rmk_remote *r)
{
	u32 i;

	WRITE_ONCE(r->stopping, true);
	cancel_delayed_work_sync(&r->control);
	for (i = 0; i < r->ndonors; i++)
		rmk_session_quit(r->donors[i].session);
	for (i = 0; i < r->ndonors; i++)
		rmk_session_stop(r->donors[i].session);
	cancel_delayed_work_sync(&r->control); /* a late kick that saw stopping unset */
}

void rmk_remote_destroy(struct rmk_remote *r)
{
	u32 i;

	rmk_slabs_uninit(&r->slabs);
	for (i = 0; i < r->ndonors; i++)
		rmk_session_free(r->donors[i].session);
	destroy_workqueue(r->wq);
	kfree(r);
}

/* ---- statistics ---- */

u64 rmk_remote_denied(struct rmk_remote *r)
{
	return READ_ONCE(r->denied);
}

ssize_t rmk_remote_show_donors(struct rmk_remote *r, char *buf)
{
	ssize_t len = 0;
	u32 i, held;
	u64 used;

	for (i = 0; i < r->ndonors; i++) {
		struct rmk_session *s = r->donors[i].session;
		u64 free = rmk_session_free_bytes(s);

		rmk_slabs_held(&r->slabs, s, &held, &used);
		len += sysfs_emit_at(buf, len, "%s %s %u %llu %llu\n", rmk_session_name(s),
				     rmk_session_state_name(s), held, used,
				     free == U64_MAX ? 0 : free);
	}
	return len;
}
