// SPDX-License-Identifier: GPL-2.0-only
/*
 * Borrowers, good and bad, against a running ramsterd.
 *
 *   broker_client ADDRESS SOCKET [TEST...]
 *   broker_client ADDRESS SOCKET hold | share-in
 *
 * After every test a well-behaved borrower must be served as if nothing had
 * been. Expects --heartbeat and --grace of at most 2 s, --max-lanes=4,
 * --quota=40M and a donation of 48M. Prints TAP lines; exit 1 if one fails.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "broker_test.h"

#define DONATED_SLABS 48
#define QUOTA_SLABS   40

/* ---- what borrowers do ---- */

static int ask(struct bconn *c, uint32_t count, uint64_t bytes)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SLAB_REQUEST,
		.request = { .count = count, .slab_bytes = bytes },
	};

	return bconn_send(c, &msg);
}

static bool borrow(struct bconn *c, struct core_msg *grant)
{
	return !ask(c, 1, BORROWER_SLAB) && bt_receive(c, RAMSTER_MSG_SLAB_GRANT, grant);
}

static int give_back(struct bconn *c, uint64_t id, uint32_t generation)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SLAB_RELEASE,
		.slab = { .slab_id = id, .generation = generation },
	};

	return bconn_send(c, &msg);
}

static void pattern(struct bconn *c, uint8_t seed)
{
	size_t i;

	for (i = 0; i < BORROWER_SLAB; i++)
		c->data[i] = (uint8_t)(i * 31 + i / 4096 + seed);
}

static bool is_pattern(const struct bconn *c, uint8_t seed)
{
	size_t i;

	for (i = 0; i < BORROWER_SLAB; i++)
		if (c->data[i] != (uint8_t)(i * 31 + i / 4096 + seed))
			return false;
	return true;
}

static bool is_zero(const struct bconn *c)
{
	return !c->data[0] && !memcmp(c->data, c->data + 1, BORROWER_SLAB - 1);
}

static bool put(struct bconn *l, const struct core_msg *g, uint8_t seed)
{
	pattern(l, seed);
	/* Over iWARP a WRITE completes before it has arrived; a READ behind it tells. */
	return !bconn_rdma(l, true, BORROWER_SLAB, g->grant.addr, g->grant.rkey) &&
	       !bconn_rdma(l, false, 64, g->grant.addr, g->grant.rkey);
}

static bool get(struct bconn *l, const struct core_msg *g)
{
	memset(l->data, 0xee, BORROWER_SLAB);
	return !bconn_rdma(l, false, BORROWER_SLAB, g->grant.addr, g->grant.rkey);
}

/* ---- good borrowers ---- */

static const char *test_serves(void)
{
	struct bconn *c = bt_control(1), *demand, *bulk, *write;
	struct core_msg one, two;

	NEED(c);
	NEED((demand = bt_lane(c, RAMSTER_ROLE_DEMAND, 1)));
	NEED((bulk = bt_lane(c, RAMSTER_ROLE_BULK, 1)));
	NEED((write = bt_lane(c, RAMSTER_ROLE_WRITE, 1)));
	NEED(!ask(c, 2, BORROWER_SLAB));
	NEED(bt_receive(c, RAMSTER_MSG_SLAB_GRANT, &one));
	NEED(bt_receive(c, RAMSTER_MSG_SLAB_GRANT, &two));
	NEED(one.grant.len == BORROWER_SLAB && one.grant.slab_id != two.grant.slab_id);
	NEED(get(demand, &one) && is_zero(demand));
	NEED(put(write, &one, 1) && put(write, &two, 2));
	NEED(get(demand, &one) && is_pattern(demand, 1));
	NEED(get(bulk, &two) && is_pattern(bulk, 2));
	NEED(!give_back(c, one.grant.slab_id, one.grant.generation));
	NEED(!give_back(c, two.grant.slab_id, two.grant.generation));
	NEED(bt_bye(c) && bconn_ended(c, BORROWER_WAIT));
	return NULL;
}

static const char *test_zero_again(void)
{
	struct bconn *c = bt_control(1), *l;
	struct core_msg g;
	int i;

	NEED(c && (l = bt_lane(c, RAMSTER_ROLE_WRITE, 1)));
	for (i = 0; i < 4; i++) {
		NEED(borrow(c, &g) && get(l, &g) && is_zero(l) && put(l, &g, 7));
		NEED(!give_back(c, g.grant.slab_id, g.grant.generation));
		NEED(bt_status_becomes("granted_bytes", 0));
	}
	return NULL;
}

static const char *test_no_room(void)
{
	struct bconn *a = bt_control(1), *b = bt_control(2);
	struct core_msg msg;
	unsigned int i, granted = 0;

	NEED(a && b);
	for (i = 0; i < 3; i++)
		NEED(!ask(a, 16, BORROWER_SLAB));
	while (bt_receive(a, RAMSTER_MSG_SLAB_GRANT, &msg))
		granted++;
	NEED(granted == QUOTA_SLABS && msg.type == RAMSTER_MSG_SLAB_DENY);
	NEED(msg.deny.count == 3 * 16 - QUOTA_SLABS && msg.deny.reason == RAMSTER_REASON_NO_ROOM);
	NEED(!ask(b, 16, BORROWER_SLAB));
	for (granted = 0; bt_receive(b, RAMSTER_MSG_SLAB_GRANT, &msg);)
		granted++;
	NEED(granted == DONATED_SLABS - QUOTA_SLABS && msg.type == RAMSTER_MSG_SLAB_DENY);
	NEED(msg.deny.free_bytes == 0);
	NEED(bt_bye(a) && bt_bye(b) && bt_status_becomes("granted_bytes", 0));
	return NULL;
}

static const char *test_many(void)
{
	struct bconn *c[20];
	struct core_msg g[20];
	int i;

	for (i = 0; i < 20; i++) {
		NEED((c[i] = bt_control((uint8_t)(i + 1))));
		bt_keep_alive();
	}
	for (i = 0; i < 20; i++)
		NEED(!ask(c[i], 1, BORROWER_SLAB));
	for (i = 0; i < 20; i++)
		NEED(bt_receive(c[i], RAMSTER_MSG_SLAB_GRANT, &g[i]));
	NEED(bt_status("clients") >= 20);
	for (i = 0; i < 20; i++)
		NEED(bt_bye(c[i]));
	NEED(bt_status_becomes("granted_bytes", 0));
	return NULL;
}

/* A donor that is found again says again what it has granted. */
static bool listed(struct bconn *c, const struct core_msg *g)
{
	struct core_msg msg;

	return bt_receive(c, RAMSTER_MSG_SLAB_GRANT, &msg) &&
	       msg.grant.slab_id == g->grant.slab_id &&
	       msg.grant.generation == g->grant.generation && msg.grant.rkey == g->grant.rkey &&
	       msg.grant.addr == g->grant.addr && msg.grant.len == g->grant.len;
}

static const char *test_resume(void)
{
	struct bconn *c = bt_control(1), *l, *again, *l2;
	struct core_msg g;
	uint64_t session;
	int err;

	NEED(c && (l = bt_lane(c, RAMSTER_ROLE_WRITE, 1)));
	NEED(borrow(c, &g) && put(l, &g, 9));
	session = c->rep.session;
	bconn_close(c);
	NEED(bconn_ended(l, BORROWER_WAIT));
	again = bt_open_role(RAMSTER_ROLE_CONTROL, session, 1, &err);
	NEED(!err && again->rep.session == session && listed(again, &g));
	NEED((l2 = bt_lane(again, RAMSTER_ROLE_DEMAND, 1)));
	NEED(get(l2, &g) && is_pattern(l2, 9));
	NEED(!give_back(again, g.grant.slab_id, g.grant.generation) && bt_bye(again));
	NEED(bt_status_becomes("granted_bytes", 0));
	return NULL;
}

/* The borrower is back before the donor has noticed that it was away. */
static const char *test_resume_over(void)
{
	struct bconn *c = bt_control(1), *again, *l;
	struct core_msg g;
	int err;

	NEED(c && borrow(c, &g));
	again = bt_open_role(RAMSTER_ROLE_CONTROL, c->rep.session, 1, &err);
	NEED(!err && again->rep.session == c->rep.session && listed(again, &g));
	NEED(bconn_ended(c, BORROWER_WAIT));
	NEED((l = bt_lane(again, RAMSTER_ROLE_DEMAND, 1)) && get(l, &g) && is_zero(l));
	NEED(bt_bye(again) && bt_status_becomes("granted_bytes", 0));
	return NULL;
}

static const char *test_grace_ends(void)
{
	struct bconn *c = bt_control(1), *again;
	struct core_msg g;
	uint64_t session;
	int err;

	NEED(c && borrow(c, &g));
	session = c->rep.session;
	bconn_close(c);
	NEED(bt_status("granted_bytes") == (long long)BORROWER_SLAB);
	NEED(bt_status_becomes("granted_bytes", 0));
	again = bt_open_role(RAMSTER_ROLE_CONTROL, session, 1, &err);
	NEED(!err && again->rep.session != session);
	return NULL;
}

/* ---- revocation ---- */

static const char *test_revoke(void)
{
	struct bconn *c = bt_control(1);
	struct core_msg g, r;
	FILE *op;

	NEED(c && borrow(c, &g));
	op = bt_control_send(
		"{\"command\":\"revoke\",\"bytes\":50331648,\"deadline_ms\":5000,\"wait\":true}");
	NEED(bt_control_says(op, "\"revoking_bytes\":1048576"));
	NEED(bt_receive(c, RAMSTER_MSG_SLAB_REVOKE, &r));
	NEED(r.slab.slab_id == g.grant.slab_id && r.slab.generation == g.grant.generation);
	NEED(r.slab.deadline_ms == 5000 && r.slab.reason == RAMSTER_REASON_OPERATOR);
	NEED(!give_back(c, g.grant.slab_id, g.grant.generation));
	NEED(bt_control_says(op, "\"outcome\":\"released\"") &&
	     bt_control_says(op, "\"done\":true"));
	fclose(op);
	return NULL;
}

/* Fenced at the deadline: told so, and the hardware says no. */
static const char *test_deadline(void)
{
	struct bconn *c = bt_control(1), *l;
	struct core_msg g, r;
	char command[128];
	FILE *op;

	NEED(c && (l = bt_lane(c, RAMSTER_ROLE_DEMAND, 1)) && borrow(c, &g) && get(l, &g));
	snprintf(command, sizeof(command),
		 "{\"command\":\"revoke\",\"slab\":%llu,\"deadline_ms\":300,\"wait\":true}",
		 (unsigned long long)g.grant.slab_id);
	op = bt_control_send(command);
	NEED(bt_control_says(op, "\"ok\":true") && bt_receive(c, RAMSTER_MSG_SLAB_REVOKE, &r));
	NEED(get(l, &g));
	NEED(bt_receive(c, RAMSTER_MSG_SLAB_FENCED, &r));
	NEED(r.slab.slab_id == g.grant.slab_id && r.slab.reason == RAMSTER_REASON_DEADLINE);
	NEED(bt_control_says(op, "\"outcome\":\"fenced\"") && bt_control_says(op, "\"done\":true"));
	fclose(op);
	/* Where rxe does not answer, the donor ends the lane: sooner than a time-out. */
	NEED(!get(l, &g));
	/* A release that crossed the fence on its way is no offence. */
	NEED(!give_back(c, g.grant.slab_id, g.grant.generation) && borrow(c, &g));
	return NULL;
}

static const char *test_force(void)
{
	struct bconn *c = bt_control(1);
	struct core_msg g, r;
	FILE *op;

	NEED(c && borrow(c, &g));
	op = bt_control_send(
		"{\"command\":\"revoke\",\"bytes\":50331648,\"force\":true,\"wait\":true}\n"
		"{\"command\":\"clients\"}");
	NEED(bt_control_says(op, "\"deadline_ms\":0"));
	NEED(bt_receive(c, RAMSTER_MSG_SLAB_REVOKE, &r) &&
	     bt_receive(c, RAMSTER_MSG_SLAB_FENCED, &r));
	NEED(r.slab.reason == RAMSTER_REASON_OPERATOR);
	NEED(bt_control_says(op, "\"outcome\":\"fenced\"") && bt_control_says(op, "\"done\":true"));
	/* What came behind a command that waits is run when that is done. */
	NEED(bt_control_says(op, "\"clients\":["));
	fclose(op);
	return NULL;
}

/* Who was away during a revoke hears of it when he is back. */
static const char *test_revoke_away(void)
{
	struct bconn *c = bt_control(1), *again;
	struct core_msg g, late, r;
	char command[128];
	uint64_t session;
	FILE *op;
	int err;

	NEED(c && borrow(c, &g) && borrow(c, &late));
	session = c->rep.session;
	bconn_close(c);
	/* Before it has noticed, the donor would say it to who is not there any more. */
	NEED(bt_answer_becomes("{\"command\":\"clients\"}", "\"state\":\"orphaned\""));
	snprintf(command, sizeof(command),
		 "{\"command\":\"revoke\",\"slab\":%llu,\"force\":true,\"wait\":true}",
		 (unsigned long long)g.grant.slab_id);
	op = bt_control_send(command);
	NEED(bt_control_says(op, "\"ok\":true") && bt_control_says(op, "\"outcome\":\"fenced\""));
	fclose(op);
	snprintf(command, sizeof(command), "{\"command\":\"revoke\",\"slab\":%llu}",
		 (unsigned long long)late.grant.slab_id);
	op = bt_control_send(command);
	NEED(bt_control_says(op, "\"ok\":true"));
	fclose(op);
	again = bt_open_role(RAMSTER_ROLE_CONTROL, session, 1, &err);
	NEED(!err && again->rep.session == session);
	NEED(bt_receive(again, RAMSTER_MSG_SLAB_FENCED, &r) && r.slab.slab_id == g.grant.slab_id);
	NEED(listed(again, &late));
	NEED(bt_receive(again, RAMSTER_MSG_SLAB_REVOKE, &r) &&
	     r.slab.slab_id == late.grant.slab_id);
	NEED(!give_back(again, late.grant.slab_id, late.grant.generation) && bt_bye(again));
	NEED(bt_status_becomes("granted_bytes", 0));
	return NULL;
}

/* ---- bad connect requests ---- */

static const char *rejected(const struct ramster_cm_req *req, uint8_t len, enum ramster_reason why)
{
	struct bconn *c = bt_fresh();

	NEED(bconn_open(c, bt_address, req, len) == 1);
	NEED(c->rejected == why);
	return NULL;
}

static const char *test_bad_requests(void)
{
	struct ramster_cm_req good, bad;
	struct core_cm_req req;
	const char *wrong;

	borrower_request(&req, RAMSTER_ROLE_CONTROL, 0, 3);
	core_cm_req_encode(&good, &req);
	bad = good;
	bad.magic ^= 1;
	if ((wrong = rejected(&bad, sizeof(bad), RAMSTER_REASON_MAGIC)))
		return wrong;
	bad = good;
	bad.version = htole16(99);
	if ((wrong = rejected(&bad, sizeof(bad), RAMSTER_REASON_VERSION)))
		return wrong;
	bad = good;
	bad.role = RAMSTER_ROLE_END;
	if ((wrong = rejected(&bad, sizeof(bad), RAMSTER_REASON_MALFORMED)))
		return wrong;
	memset(bad.client_id, 0, sizeof(bad.client_id));
	bad.role = RAMSTER_ROLE_CONTROL;
	if ((wrong = rejected(&bad, sizeof(bad), RAMSTER_REASON_MALFORMED)))
		return wrong;
	/* The CM pads with zeros, so what was cut off reads as zero. */
	if ((wrong = rejected(&good, 10, RAMSTER_REASON_MALFORMED)))
		return wrong;
	return rejected(&good, 0, RAMSTER_REASON_MAGIC);
}

static const char *test_bad_lanes(void)
{
	struct bconn *c = bt_control(1), *l;
	int err, i;

	NEED(c);
	l = bt_open_role(RAMSTER_ROLE_DEMAND, c->rep.session ^ 1, 1, &err);
	NEED(err == 1 && l->rejected == RAMSTER_REASON_SESSION);
	l = bt_open_role(RAMSTER_ROLE_DEMAND, c->rep.session, 2, &err);
	NEED(err == 1 && l->rejected == RAMSTER_REASON_SESSION);
	for (i = 0; i < 4; i++)
		NEED(bt_lane(c, RAMSTER_ROLE_BULK, 1));
	NEED(!bconn_heartbeat(c));
	l = bt_open_role(RAMSTER_ROLE_BULK, c->rep.session, 1, &err);
	NEED(err == 1 && l->rejected == RAMSTER_REASON_BUSY);
	NEED(bt_lane(c, RAMSTER_ROLE_WRITE, 1));
	/* A session is not taken over by somebody else: he gets one of his own. */
	l = bt_open_role(RAMSTER_ROLE_CONTROL, c->rep.session, 2, &err);
	NEED(!err && l->rep.session != c->rep.session);
	return NULL;
}

/* ---- bad messages ---- */

/* These bytes cost the sender its connection. */
static const char *costs(const void *bytes, uint32_t len)
{
	struct bconn *c = bt_control(3);

	NEED(c);
	bconn_send_bytes(c, bytes, len);
	NEED(bconn_ended(c, BORROWER_WAIT));
	return NULL;
}

static const char *test_bad_lengths(void)
{
	static const uint32_t lengths[] = { 0, 1, 63, 65, 4096 };
	struct core_msg msg = { .type = RAMSTER_MSG_HEARTBEAT };
	uint8_t bytes[4096] = { 0 };
	const char *wrong = NULL;
	size_t i;

	core_msg_encode((struct ramster_msg *)bytes, &msg);
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]) && !wrong; i++)
		wrong = costs(bytes, lengths[i]);
	return wrong;
}

static const char *test_bad_messages(void)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SLAB_REQUEST,
		.request = { .count = 1, .slab_bytes = BORROWER_SLAB },
	};
	struct ramster_msg good, bad[8];
	const char *wrong = NULL;
	size_t i;

	core_msg_encode(&good, &msg);
	for (i = 0; i < 8; i++)
		bad[i] = good;
	bad[0].magic ^= 1;
	bad[1].version++;
	bad[2].type = 0;
	bad[3].type = RAMSTER_MSG_END;
	bad[4].body.request.count = 0;
	bad[5].body.request.count = htole32(RAMSTER_REQUEST_MAX + 1);
	bad[6].body.request.slab_bytes = htole64(3 << 20);
	msg.type = RAMSTER_MSG_SLAB_GRANT; /* the donor's to send */
	msg.grant.slab_id = msg.grant.generation = 1;
	msg.grant.len = BORROWER_SLAB;
	core_msg_encode(&bad[7], &msg);
	for (i = 0; i < 8 && !wrong; i++)
		wrong = costs(&bad[i], sizeof(bad[i]));
	return wrong;
}

static const char *test_bad_release(void)
{
	struct bconn *a = bt_control(1), *l, *b = bt_control(2), *d;
	struct core_msg g;

	NEED(a && b && (l = bt_lane(a, RAMSTER_ROLE_WRITE, 1)) && borrow(a, &g) && put(l, &g, 5));
	NEED(!give_back(b, g.grant.slab_id, g.grant.generation));
	NEED(bconn_ended(b, BORROWER_WAIT));
	NEED((d = bt_control(2)) && !give_back(d, 1ull << 60, 1) && bconn_ended(d, BORROWER_WAIT));
	NEED(!bconn_heartbeat(a) && get(l, &g) && is_pattern(l, 5));
	NEED(!give_back(a, g.grant.slab_id, g.grant.generation + 1));
	NEED(bconn_ended(a, BORROWER_WAIT));
	return NULL;
}

/* A key is worth nothing in another client's hands, or beyond its slab. */
static const char *test_bad_access(void)
{
	struct bconn *a = bt_control(1), *la, *b = bt_control(2), *lb, *over;
	struct core_msg g;

	NEED(a && b && (la = bt_lane(a, RAMSTER_ROLE_WRITE, 1)) && borrow(a, &g) && put(la, &g, 3));
	borrower_impatient = true;
	NEED((over = bt_lane(a, RAMSTER_ROLE_BULK, 1)) && (lb = bt_lane(b, RAMSTER_ROLE_WRITE, 2)));
	NEED(bconn_rdma(lb, true, 4096, g.grant.addr, g.grant.rkey));
	NEED(bconn_rdma(over, true, 8192, g.grant.addr + BORROWER_SLAB - 4096, g.grant.rkey));
	NEED(get(la, &g) && is_pattern(la, 3));
	return NULL;
}

/* ---- bad manners ---- */

static const char *test_silence(void)
{
	int err;
	struct core_cm_req req;
	struct bconn *mute = bt_fresh(), *quiet = bt_open_role(RAMSTER_ROLE_CONTROL, 0, 5, &err);

	NEED(!err);
	borrower_request(&req, RAMSTER_ROLE_CONTROL, 0, 4);
	NEED(!bconn_connect(mute, bt_address, &req));
	NEED(bconn_ended(mute, 10 * (int)mute->rep.heartbeat_ms));
	NEED(bconn_ended(quiet, 10 * (int)quiet->rep.heartbeat_ms));
	return NULL;
}

static const char *test_flood(void)
{
	struct bconn *c = bt_control(3);
	int i;

	NEED(c);
	for (i = 0; i < 20000 && !ask(c, 16, BORROWER_SLAB); i++)
		;
	NEED(i < 20000);
	NEED(bconn_ended(c, BORROWER_WAIT));
	return NULL;
}

static const char *test_vanish(void)
{
	struct core_cm_req req;
	struct ramster_cm_req wire;
	struct core_msg g;
	struct bconn *c;
	int i;

	borrower_request(&req, RAMSTER_ROLE_CONTROL, 0, 3);
	core_cm_req_encode(&wire, &req);
	for (i = 0; i < 5; i++)
		NEED(!bconn_open_and_vanish(bt_address, &wire, sizeof(wire)));
	NEED((c = bt_control(3)));
	bconn_close(c); /* after hello */
	NEED((c = bt_control(3)) && !ask(c, 16, BORROWER_SLAB));
	bconn_close(c); /* before the grants */
	NEED((c = bt_control(3)) && borrow(c, &g) && !ask(c, 16, BORROWER_SLAB));
	bconn_close(c); /* amid them */
	NEED((c = bt_control(3)) && bt_lane(c, RAMSTER_ROLE_WRITE, 3) && borrow(c, &g));
	bconn_close(c); /* with a lane open */
	NEED(bt_status_becomes("clients", 0) && bt_status_becomes("granted_bytes", 0));
	return NULL;
}

/* Not a test: borrow 16 MiB and keep it, whatever the donor says, until the session ends. */
static int hold(void)
{
	struct bconn *c = bt_control(9);
	struct core_msg msg;

	if (!c || ask(c, 16, BORROWER_SLAB))
		return 1;
	while (bconn_recv(c, &msg, BORROWER_WAIT) != -EPIPE)
		;
	return 0;
}

/* ---- all of them ---- */

static const struct broker_test tests[] = {
	{ "serves", test_serves },
	{ "zero-again", test_zero_again },
	{ "no-room", test_no_room },
	{ "many", test_many },
	{ "resume", test_resume },
	{ "resume-over", test_resume_over },
	{ "grace-ends", test_grace_ends },
	{ "revoke", test_revoke },
	{ "deadline", test_deadline },
	{ "force", test_force },
	{ "revoke-away", test_revoke_away },
	{ "bad-requests", test_bad_requests },
	{ "bad-lanes", test_bad_lanes },
	{ "bad-lengths", test_bad_lengths },
	{ "bad-messages", test_bad_messages },
	{ "bad-release", test_bad_release },
	{ "bad-access", test_bad_access },
	{ "silence", test_silence },
	{ "flood", test_flood },
	{ "vanish", test_vanish },
	{ NULL, NULL },
};

static bool chosen(const char *name, int argc, char **argv)
{
	int i;

	for (i = 3; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return argc == 3;
}

/* What tests revoked is donated again. */
static bool restore(void)
{
	long long missing = DONATED_SLABS * (long long)BORROWER_SLAB - bt_status("donation_bytes");
	char command[64];
	FILE *op;
	bool ok;

	if (!missing)
		return true;
	snprintf(command, sizeof(command), "{\"command\":\"donate\",\"bytes\":%lld}", missing);
	op = bt_control_send(command);
	ok = bt_control_says(op, "\"donation_bytes\":50331648");
	fclose(op);
	return ok;
}

/* The test, then a good borrower, then nothing left behind. */
static const char *run(const char *(*test)(void))
{
	const char *wrong = test();

	borrower_impatient = false;
	bt_close_all();
	if (!bt_unshare() && !wrong)
		wrong = "shares stay behind";
	if (!restore() && !wrong)
		wrong = "the donation does not come back";
	if (!wrong && (wrong = test_serves()))
		fprintf(stderr, "# afterwards a good borrower was not served\n");
	bt_close_all();
	if (!wrong && !bt_status_becomes("clients", 0))
		wrong = "sessions stay behind";
	if (!wrong && !bt_status_becomes("granted_bytes", 0))
		wrong = "slabs stay behind";
	return wrong;
}

/* Those that were chosen of a list; how many failed. */
static unsigned int run_list(const struct broker_test *list, int argc, char **argv, unsigned int *n)
{
	unsigned int failed = 0;
	const char *wrong;

	for (; list->name; list++) {
		if (!chosen(list->name, argc, argv))
			continue;
		wrong = run(list->run);
		failed += wrong != NULL;
		printf("%sok %u - %s%s%s\n", wrong ? "not " : "", ++*n, list->name,
		       wrong ? ": " : "", wrong ? wrong : "");
	}
	return failed;
}

int main(int argc, char **argv)
{
	unsigned int failed, n = 0;

	if (argc < 3) {
		fprintf(stderr, "usage: broker_client ADDRESS SOCKET [TEST...]\n");
		return 2;
	}
	borrower_idle = bt_keep_alive;
	setvbuf(stdout, NULL, _IOLBF, 0);
	bt_address = argv[1];
	bt_socket = argv[2];
	if (argc == 4 && !strcmp(argv[3], "hold"))
		return hold();
	if (argc == 4 && !strcmp(argv[3], "share-in"))
		return bt_share_in();
	failed = run_list(tests, argc, argv, &n);
	failed += run_list(bt_share_tests, argc, argv, &n);
	printf("1..%u\n", n);
	return failed || !n;
}
