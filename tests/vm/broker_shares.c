// SPDX-License-Identifier: GPL-2.0-only
/* Borrowers that share pages through the donor, as they should and as they must not. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker_test.h"

#include "../../core/dir.h"

#define MIB	  (1ull << 20)
#define PAGE	  RAMSTER_SHARE_PAGE
#define RUN	  RAMSTER_SHARE_SLOTS_MAX
#define SLOTS	  256u /* of the share that most tests make: 1 MiB, so one run to a member */
#define UUID	  "77777777-7777-7777-7777-777777777777"
#define UUID_BYTE 0x77
#define PRINT	  0x1234ull /* fingerprint */

/* A borrower with its part in the share. */
struct sharer {
	struct bconn *c, *lane;
	uint32_t number;
	struct core_msg joined;
};

/* Tags that lie all over the directory. */
static uint64_t tag_of(uint32_t i)
{
	return (i + 1) * 0x9e3779b97f4a7c15ull;
}

/* Stands for the hash of page and name: the donor does not look into it. */
static uint64_t check_of(const uint8_t *page, uint64_t tag)
{
	uint64_t sum = tag;
	int i;

	for (i = 0; i < PAGE; i++)
		sum = (sum ^ page[i]) * 0x100000001b3ull;
	return sum;
}

static void fill(uint8_t *page, uint32_t seed)
{
	int i;

	for (i = 0; i < PAGE; i++)
		page[i] = (uint8_t)(i * 7 + seed + i / 256 * seed);
}

static bool allow(const char *bytes)
{
	char command[160];

	snprintf(command, sizeof(command),
		 "{\"command\":\"share-allow\",\"uuid\":\"" UUID "\",\"bytes\":%s}", bytes);
	return bt_operate(command, "\"allowed\":true");
}

/* ---- what borrowers say ---- */

static int say_join(struct bconn *c, uint32_t number, uint64_t fingerprint)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SHARE_JOIN,
		.join = { .share = number, .fingerprint = fingerprint },
	};

	memset(msg.join.uuid, UUID_BYTE, sizeof(msg.join.uuid));
	return bconn_send(c, &msg);
}

static int say_leave(struct bconn *c, uint32_t number)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SHARE_LEAVE,
		.leave = { .share = number, .reason = RAMSTER_REASON_NONE },
	};

	return bconn_send(c, &msg);
}

static int say_slots(struct bconn *c, uint32_t number, uint32_t count)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SHARE_SLOTS,
		.slots = { .share = number, .count = count },
	};

	return bconn_send(c, &msg);
}

static int say_put(struct bconn *c, uint32_t number, uint32_t slot, uint64_t object, uint64_t tag,
		   uint64_t check)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SHARE_PUT,
		.put = { .share = number,
			 .slot = slot,
			 .object = object,
			 .tag = tag,
			 .check = check },
	};

	return bconn_send(c, &msg);
}

static int say_flush(struct bconn *c, uint32_t number, uint64_t object, uint64_t tag,
		     uint32_t serial)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SHARE_FLUSH,
		.flush = { .share = number, .serial = serial, .object = object, .tag = tag },
	};

	return bconn_send(c, &msg);
}

/* ---- what borrowers do ---- */

static bool refused(struct bconn *c, uint32_t number, uint64_t fingerprint, enum ramster_reason why)
{
	struct core_msg msg;

	return !say_join(c, number, fingerprint) && bt_receive(c, RAMSTER_MSG_SHARE_LEAVE, &msg) &&
	       msg.leave.share == number && msg.leave.reason == why && !msg.leave.deadline_ms;
}

static bool join(struct sharer *s, uint32_t number, uint64_t fingerprint)
{
	s->number = number;
	return !say_join(s->c, number, fingerprint) &&
	       bt_receive(s->c, RAMSTER_MSG_SHARE_JOINED, &s->joined) &&
	       s->joined.joined.share == number;
}

/* A session with a lane that has joined. */
static bool enter(struct sharer *s, uint8_t client)
{
	s->c = bt_control(client);
	s->lane = s->c ? bt_lane(s->c, RAMSTER_ROLE_WRITE, client) : NULL;
	return s->lane && join(s, 10u + client, PRINT);
}

/*
 * Vanish, the lane last. Before somebody new connects: rxe may give him the number of
 * a queue pair that our CM still has a connection to, and takes for stale then.
 */
static void vanish(struct sharer *s)
{
	bconn_close(s->c);
	bconn_close(s->lane);
}

/* How many slots it got from *first on; ~0: no answer. */
static uint32_t slots(struct sharer *s, uint32_t count, uint32_t *first)
{
	struct core_msg msg;

	if (say_slots(s->c, s->number, count) || !bt_receive(s->c, RAMSTER_MSG_SHARE_SLOTS, &msg) ||
	    msg.slots.share != s->number)
		return ~0u;
	*first = msg.slots.first;
	return msg.slots.count;
}

static bool flush(struct sharer *s, uint64_t object, uint64_t tag)
{
	static uint32_t serial;
	struct core_msg msg;

	return !say_flush(s->c, s->number, object, tag, ++serial) &&
	       bt_receive(s->c, RAMSTER_MSG_SHARE_FLUSHED, &msg) && msg.flush.serial == serial &&
	       msg.flush.share == s->number;
}

/* Wait until the donor has taken note of what was said: it answers in order. */
static bool settled(struct sharer *s)
{
	return flush(s, 0, tag_of(1u << 20));
}

static int read_slot(struct sharer *s, uint32_t slot)
{
	return bconn_rdma(s->lane, false, PAGE, s->joined.joined.page_addr + slot * PAGE,
			  s->joined.joined.page_rkey);
}

static int write_slot(struct sharer *s, uint32_t slot)
{
	return bconn_rdma(s->lane, true, PAGE, s->joined.joined.page_addr + slot * PAGE,
			  s->joined.joined.page_rkey);
}

static bool put(struct sharer *s, uint32_t slot, uint64_t object, uint32_t page, uint32_t seed)
{
	uint64_t check;

	fill(s->lane->data, seed);
	check = check_of(s->lane->data, tag_of(page));
	return !write_slot(s, slot) && !say_put(s->c, s->number, slot, object, tag_of(page), check);
}

/* Fill a run with pages from first_page on; the first slot is where the donor said. */
static bool put_run(struct sharer *s, uint64_t object, uint32_t first_page)
{
	uint32_t first, i;

	bt_keep_alive();
	if (slots(s, RUN, &first) != RUN)
		return false;
	for (i = 0; i < RUN; i++)
		if (!put(s, first + i, object, first_page + i, first_page + i))
			return false;
	return settled(s);
}

/* As borrowers look a page up: 1 found and right, 0 not there, negative: wrong, or no answer. */
static int lookup(struct sharer *s, uint32_t page, uint32_t seed)
{
	uint8_t want[PAGE];
	uint64_t check;
	uint32_t slot;

	if (bconn_rdma(s->lane, false, RAMSTER_DIR_BUCKET_SIZE,
		       s->joined.joined.dir_addr +
			       core_dir_offset(tag_of(page), s->joined.joined.slots),
		       s->joined.joined.dir_rkey))
		return -EIO;
	if (!core_dir_find(s->lane->data, tag_of(page), s->joined.joined.slots, &slot, &check))
		return 0;
	if (read_slot(s, slot))
		return -EIO;
	fill(want, seed);
	return check == check_of(s->lane->data, tag_of(page)) &&
			       !memcmp(want, s->lane->data, PAGE) ?
		       1 :
		       -EBADMSG;
}

static bool all_there(struct sharer *s, uint32_t first, uint32_t end)
{
	bt_keep_alive();
	for (; first < end; first++)
		if (lookup(s, first, first) != 1)
			return false;
	return true;
}

static bool none_there(struct sharer *s, uint32_t first, uint32_t end)
{
	bt_keep_alive();
	for (; first < end; first++)
		if (lookup(s, first, first))
			return false;
	return true;
}

/* ---- good borrowers ---- */

static const char *test_share(void)
{
	struct sharer a, b, late;
	uint32_t first;

	NEED(allow("1048576") && enter(&a, 1) && enter(&b, 2));
	NEED(a.joined.joined.slots == SLOTS && bt_status("shared_bytes") == (long long)MIB);
	NEED(bt_status("granted_bytes") == (long long)MIB && bt_status("share_members") == 2);
	NEED(slots(&a, RUN, &first) == RUN);
	NEED(put(&a, first, 5, 1, 11) && put(&a, first + 1, 5, 2, 12) &&
	     put(&a, first + 2, 6, 3, 13) && settled(&a));
	NEED(lookup(&b, 1, 11) == 1 && lookup(&b, 2, 12) == 1 && lookup(&b, 3, 13) == 1);
	NEED(lookup(&b, 4, 14) == 0 && lookup(&a, 3, 13) == 1);
	/* Invalidated by one, gone for both. */
	NEED(flush(&b, 0, tag_of(1)) && lookup(&a, 1, 11) == 0 && lookup(&b, 1, 11) == 0);
	NEED(lookup(&a, 2, 12) == 1 && flush(&a, 5, 0));
	NEED(lookup(&b, 2, 12) == 0 && lookup(&b, 3, 13) == 1);
	/* The pages stay when nobody is in it. */
	bt_bye(a.c);
	NEED(!say_leave(b.c, b.number) && bt_status_becomes("share_members", 0));
	NEED(bt_status("shared_bytes") == (long long)MIB);
	NEED(enter(&late, 3) && lookup(&late, 3, 13) == 1);
	NEED(flush(&late, 0, 0) && lookup(&late, 3, 13) == 0);
	return NULL;
}

static const char *test_share_zero(void)
{
	uint64_t bytes = core_dir_bytes(SLOTS);
	struct sharer a;
	uint32_t first;
	int round;

	for (round = 0; round < 3; round++) {
		NEED(allow("1048576") && enter(&a, 1));
		NEED(!bconn_rdma(a.lane, false, MIB, a.joined.joined.page_addr,
				 a.joined.joined.page_rkey));
		NEED(!a.lane->data[0] && !memcmp(a.lane->data, a.lane->data + 1, MIB - 1));
		NEED(!bconn_rdma(a.lane, false, (uint32_t)bytes, a.joined.joined.dir_addr,
				 a.joined.joined.dir_rkey));
		NEED(!a.lane->data[0] && !memcmp(a.lane->data, a.lane->data + 1, bytes - 1));
		NEED(slots(&a, RUN, &first) == RUN && put(&a, first, 1, 1, 1) && settled(&a));
		NEED(lookup(&a, 1, 1) == 1);
		bt_bye(a.c);
		NEED(bt_unshare());
		vanish(&a);
	}
	return NULL;
}

/* A slot that was given is not given again before it is put; then first in, first out. */
static const char *test_share_evicts(void)
{
	struct sharer a, b;
	uint32_t first, i;

	NEED(allow("1048576") && enter(&a, 1) && enter(&b, 2));
	NEED(slots(&a, 3, &first) == 3 && !first && slots(&a, RUN, &first) == 0);
	for (i = 0; i < 3; i++)
		NEED(put(&a, i, 1, i, i));
	for (i = 1; i < 4; i++)
		NEED(put_run(&a, 1, RUN * i));
	NEED(all_there(&b, 0, 3) && all_there(&b, RUN, SLOTS));
	NEED(put_run(&b, 2, 1000) && none_there(&a, 0, 3) && all_there(&a, 1000, 1000 + RUN));
	NEED(put_run(&b, 2, 2000) && none_there(&a, RUN, 2 * RUN));
	NEED(all_there(&a, 2 * RUN, SLOTS) && all_there(&a, 2000, 2000 + RUN));
	/* An empty run comes before one with pages. */
	NEED(flush(&a, 2, 0) && none_there(&a, 2000, 2000 + RUN) && put_run(&a, 3, 3000));
	NEED(all_there(&b, 2 * RUN, SLOTS) && all_there(&b, 3000, 3000 + RUN));
	NEED(bt_operate("{\"command\":\"shares\"}", "\"evicted\":67}"));
	return NULL;
}

static const char *test_share_again(void)
{
	struct sharer a, b;
	uint32_t first;

	NEED(allow("1048576") && enter(&a, 1) && enter(&b, 2));
	NEED(slots(&a, 2, &first) == 2 && put(&a, first, 1, 7, 1) && settled(&a));
	NEED(lookup(&b, 7, 1) == 1 && put(&a, first + 1, 1, 7, 2) && settled(&a));
	NEED(lookup(&b, 7, 2) == 1 && bt_operate("{\"command\":\"shares\"}", "\"pages\":1,"));
	/* A borrower that writes where it should not: the check tells. */
	fill(b.lane->data, 3);
	NEED(!write_slot(&b, first + 1) && lookup(&a, 7, 2) == -EBADMSG);
	return NULL;
}

/* Of a share of 16 runs, four at a time are one member's. */
static const char *test_share_holds(void)
{
	struct sharer a, b;
	uint32_t first[4], none, i;

	NEED(allow("4194304") && enter(&a, 1) && enter(&b, 2));
	for (i = 0; i < 4; i++)
		NEED(slots(&a, RUN, &first[i]) == RUN && first[i] == i * RUN);
	NEED(slots(&a, 1, &none) == 0 && slots(&b, RUN, &none) == RUN && none == 4 * RUN);
	for (i = 0; i < RUN; i++)
		NEED(put(&a, first[2] + i, 1, i, i));
	NEED(slots(&a, 1, &none) == 1);
	/* What it leaves behind is given anew, before anything has to make room. */
	NEED(!say_leave(a.c, a.number) && bt_status_becomes("share_members", 1));
	for (i = 0; i < RUN; i++)
		NEED(put(&b, 4 * RUN + i, 2, 1000 + i, 1000 + i));
	for (i = 2; i < 16; i++)
		NEED(put_run(&b, 2, 1000 * i));
	NEED(all_there(&b, 0, RUN) && put_run(&b, 2, 20000) && none_there(&b, 0, RUN));
	return NULL;
}

/* ---- refusals ---- */

static const char *test_share_refused(void)
{
	struct sharer a, b;
	uint32_t first;

	NEED((a.c = bt_control(1)) && refused(a.c, 1, PRINT, RAMSTER_REASON_NOT_SHARED));
	NEED(allow("67108864") && refused(a.c, 2, PRINT, RAMSTER_REASON_NO_ROOM));
	NEED(allow("1048576") && enter(&b, 2));
	NEED(refused(a.c, 3, PRINT + 1, RAMSTER_REASON_BUSY));
	NEED(refused(b.c, 3, PRINT, RAMSTER_REASON_BUSY));
	NEED(slots(&b, RUN, &first) == RUN && put(&b, first, 1, 1, 1) && settled(&b));
	/* With nobody in it, another fingerprint empties it. */
	NEED(!say_leave(b.c, b.number) && join(&b, 30, PRINT) && lookup(&b, 1, 1) == 1);
	NEED(!say_leave(b.c, b.number) && join(&b, 31, PRINT + 1) && lookup(&b, 1, 1) == 0);
	NEED(refused(a.c, 4, PRINT, RAMSTER_REASON_BUSY));
	return NULL;
}

static const char *test_share_operator(void)
{
	static const struct {
		const char *command, *words;
	} rows[] = {
		{ "{\"command\":\"share-deny\",\"uuid\":\"" UUID "\"}", "not allowed" },
		{ "{\"command\":\"share-allow\",\"uuid\":\"" UUID "\"}", "268435456" },
		{ "{\"command\":\"share-allow\",\"uuid\":\"" UUID "\",\"bytes\":3145728}",
		  "power of two" },
		{ "{\"command\":\"share-allow\",\"uuid\":\"" UUID "\",\"bytes\":1048576}",
		  "\"allowed_bytes\":1048576" },
		{ "{\"command\":\"share-allow\",\"uuid\":\"" UUID "\"}",
		  "\"allowed_bytes\":1048576" },
		{ "{\"command\":\"share-allow\",\"uuid\":\"xfs\"}", "not the UUID" },
		{ "{\"command\":\"share-deny\"}", "missing: 'uuid'" },
	};
	struct sharer a;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!bt_operate(rows[i].command, rows[i].words))
			return rows[i].command;
	NEED(enter(&a, 1));
	NEED(bt_operate("{\"command\":\"share-allow\",\"uuid\":\"" UUID "\",\"bytes\":2097152}",
			"deny it first"));
	NEED(bt_operate("{\"command\":\"share-allow\",\"uuid\":\"" UUID "\",\"bytes\":1048576}",
			"\"ok\":true"));
	return NULL;
}

/* ---- taking back ---- */

static const char *test_share_denied(void)
{
	struct sharer a, b;
	struct core_msg msg;
	FILE *op;

	NEED(allow("1048576") && enter(&a, 1) && enter(&b, 2));
	op = bt_control_send("{\"command\":\"share-deny\",\"uuid\":\"" UUID
			     "\",\"deadline_ms\":5000,\"wait\":true}");
	NEED(bt_control_says(op, "\"members\":2"));
	NEED(bt_receive(a.c, RAMSTER_MSG_SHARE_LEAVE, &msg) && msg.leave.share == a.number);
	NEED(msg.leave.deadline_ms == 5000 && msg.leave.reason == RAMSTER_REASON_NOT_SHARED);
	NEED(bt_receive(b.c, RAMSTER_MSG_SHARE_LEAVE, &msg) && msg.leave.share == b.number);
	NEED(refused(a.c, 40, PRINT, RAMSTER_REASON_NOT_SHARED) && !read_slot(&a, 0));
	NEED(!say_leave(a.c, a.number) && bt_status_becomes("share_members", 1));
	NEED(!read_slot(&b, 0) && !say_leave(b.c, b.number));
	NEED(bt_control_says(op, "\"outcome\":\"released\"") &&
	     bt_control_says(op, "\"done\":true"));
	fclose(op);
	NEED(bt_status("granted_bytes") == 0 && bt_status("shares_allowed") == 0);
	return NULL;
}

/* Out at the deadline, whatever they do. */
static const char *test_share_deadline(void)
{
	struct sharer a, b;
	struct core_msg msg;
	uint32_t first;
	FILE *op;

	NEED(allow("1048576") && enter(&a, 1) && enter(&b, 2) && slots(&a, RUN, &first) == RUN);
	op = bt_control_send("{\"command\":\"share-deny\",\"uuid\":\"" UUID
			     "\",\"deadline_ms\":400,\"wait\":true}");
	NEED(bt_control_says(op, "\"members\":2"));
	NEED(bt_receive(a.c, RAMSTER_MSG_SHARE_LEAVE, &msg));
	NEED(bt_receive(b.c, RAMSTER_MSG_SHARE_LEAVE, &msg) && !say_leave(b.c, b.number));
	NEED(bt_control_says(op, "\"outcome\":\"fenced\"") && bt_control_says(op, "\"done\":true"));
	fclose(op);
	NEED(read_slot(&a, 0) && bt_status("granted_bytes") == 0);
	/* Words that crossed it are no offence. */
	NEED(!say_put(a.c, a.number, first, 1, 1, 1) && !say_slots(a.c, a.number, 1));
	NEED(!say_flush(a.c, a.number, 0, 0, 1) && !say_leave(a.c, a.number));
	NEED(allow("1048576") && join(&a, 50, PRINT));
	return NULL;
}

/* Before slabs; one that nobody is in goes without a word. */
static const char *test_share_revoked(void)
{
	struct core_msg msg, slab = { .type = RAMSTER_MSG_SLAB_REQUEST,
				      .request = { .count = 1, .slab_bytes = BORROWER_SLAB } };
	struct sharer a;
	FILE *op;

	NEED(allow("1048576") && enter(&a, 1) && !bconn_send(a.c, &slab));
	NEED(bt_receive(a.c, RAMSTER_MSG_SLAB_GRANT, &msg));
	NEED(bt_operate("{\"command\":\"revoke\",\"bytes\":48234496}",
			"\"unused_bytes\":48234496"));
	op = bt_control_send(
		"{\"command\":\"revoke\",\"bytes\":1048576,\"deadline_ms\":5000,\"wait\":true}");
	NEED(bt_control_says(op, "\"uuid\":\"" UUID "\""));
	NEED(bt_receive(a.c, RAMSTER_MSG_SHARE_LEAVE, &msg) && msg.leave.deadline_ms == 5000);
	NEED(msg.leave.reason == RAMSTER_REASON_OPERATOR);
	NEED(refused(a.c, 41, PRINT, RAMSTER_REASON_NO_ROOM) && !say_leave(a.c, a.number));
	NEED(bt_control_says(op, "\"share\":\"" UUID "\"") && bt_control_says(op, "\"done\":true"));
	fclose(op);
	NEED(bt_status("slabs") == 1 && bt_status("revoking_slabs") == 0);
	NEED(refused(a.c, 42, PRINT, RAMSTER_REASON_NO_ROOM));
	NEED(bt_operate("{\"command\":\"donate\",\"bytes\":1048576}", "true"));
	NEED(join(&a, 43, PRINT) && !say_leave(a.c, a.number));
	op = bt_control_send("{\"command\":\"revoke\",\"bytes\":1048576,\"wait\":true}");
	NEED(bt_control_says(op, "\"members\":0"));
	NEED(bt_control_says(op, "\"released\"") && bt_control_says(op, "\"done\":true"));
	fclose(op);
	NEED(bt_status("slabs") == 1 && bt_status("shared_bytes") == 0);
	return NULL;
}

static const char *test_share_forced(void)
{
	struct sharer a;
	struct core_msg msg;
	FILE *op;

	NEED(allow("1048576") && enter(&a, 1));
	op = bt_control_send(
		"{\"command\":\"revoke\",\"bytes\":50331648,\"force\":true,\"wait\":true}");
	NEED(bt_control_says(op, "\"deadline_ms\":0"));
	NEED(bt_receive(a.c, RAMSTER_MSG_SHARE_LEAVE, &msg) && !msg.leave.deadline_ms);
	NEED(bt_control_says(op, "\"fenced\"") && bt_control_says(op, "\"done\":true"));
	fclose(op);
	NEED(read_slot(&a, 0));
	return NULL;
}

/* ---- what must not be ---- */

/* Each as a member with one run, of slots that begin at first. */
static int bad_slot(struct sharer *s, uint32_t first)
{
	return say_put(s->c, s->number, first + RUN, 1, tag_of(1), 1);
}

static int bad_twice(struct sharer *s, uint32_t first)
{
	return say_put(s->c, s->number, first, 1, tag_of(1), 1) ?:
		       say_put(s->c, s->number, first, 1, tag_of(2), 1);
}

static int bad_beyond(struct sharer *s, uint32_t first)
{
	return say_put(s->c, s->number, first + SLOTS, 1, tag_of(1), 1);
}

static int bad_flushed(struct sharer *s, uint32_t first)
{
	return say_put(s->c, s->number, first, 1, tag_of(1), 1) ?:
		       say_flush(s->c, s->number, 0, 0, 1)	?:
		       say_put(s->c, s->number, first, 1, tag_of(1), 1);
}

static int bad_number(struct sharer *s, uint32_t first)
{
	(void)first;
	return say_join(s->c, s->number, PRINT);
}

static int bad_count(struct sharer *s, uint32_t first)
{
	(void)first;
	return say_slots(s->c, s->number, 0);
}

static int bad_tag(struct sharer *s, uint32_t first)
{
	return say_put(s->c, s->number, first, 1, 0, 1);
}

static int bad_joined(struct sharer *s, uint32_t first)
{
	(void)first;
	return bconn_send(s->c, &s->joined);
}

static int bad_answer(struct sharer *s, uint32_t first)
{
	struct core_msg msg = {
		.type = RAMSTER_MSG_SHARE_FLUSHED,
		.flush = { .share = s->number },
	};

	(void)first;
	return bconn_send(s->c, &msg);
}

static int bad_hurry(struct sharer *s, uint32_t first)
{
	return say_leave(s->c, s->number)	 ?:
		       say_join(s->c, 60, PRINT) ?:
						   say_put(s->c, 60, first, 1, tag_of(1), 1);
}

static const char *test_share_offences(void)
{
	static const struct {
		const char *name;
		int (*run)(struct sharer *s, uint32_t first);
	} rows[] = {
		{ "a slot that was not given", bad_slot },
		{ "a slot twice", bad_twice },
		{ "a slot beyond the share", bad_beyond },
		{ "a slot that was put and flushed", bad_flushed },
		{ "two shares by one number", bad_number },
		{ "no slots", bad_count },
		{ "no tag", bad_tag },
		{ "the donor's JOINED", bad_joined },
		{ "the donor's FLUSHED", bad_answer },
		{ "a put before joining is done", bad_hurry },
	};
	struct sharer a, b;
	uint32_t first;
	size_t i;

	NEED(allow("1048576") && enter(&b, 9));
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		NEED(enter(&a, 1) && slots(&a, RUN, &first) == RUN);
		/* The connection may end before its last message is known to have arrived. */
		rows[i].run(&a, first);
		if (!bconn_ended(a.c, BORROWER_WAIT))
			return rows[i].name;
		vanish(&a);
		/* Its slots are back, so that nobody is short of them. */
		NEED(bt_status_becomes("share_members", 1) && settled(&b));
	}
	return NULL;
}

/* Words about shares that it is not in. */
static const char *test_share_unknown(void)
{
	struct bconn *c = bt_control(1);
	int i;

	NEED(c);
	NEED(!say_leave(c, 7) && !say_slots(c, 7, 1) && !say_put(c, 7, 1, 1, 1, 1));
	NEED(!say_flush(c, 7, 0, 0, 1) && refused(c, 7, PRINT, RAMSTER_REASON_NOT_SHARED));
	for (i = 0; i < 20000 && !say_leave(c, 7); i++)
		;
	NEED(i < 20000 && bconn_ended(c, BORROWER_WAIT));
	return NULL;
}

static const char *test_share_access(void)
{
	struct sharer a, b, c;
	uint32_t first;

	NEED(allow("1048576") && enter(&a, 1) && enter(&b, 2));
	NEED(slots(&a, RUN, &first) == RUN && put(&a, first, 1, 1, 1) && settled(&a));
	borrower_impatient = true;
	/* The directory is not written, whoever one is. */
	NEED((b.lane = bt_lane(b.c, RAMSTER_ROLE_BULK, 2)));
	NEED(bconn_rdma(b.lane, true, 64, b.joined.joined.dir_addr, b.joined.joined.dir_rkey));
	NEED((b.lane = bt_lane(b.c, RAMSTER_ROLE_BULK, 2)));
	NEED(bconn_rdma(b.lane, false, PAGE, b.joined.joined.page_addr + MIB,
			b.joined.joined.page_rkey));
	/* Keys are worth nothing to who has not joined, nor after leaving. */
	c = a;
	NEED((c.c = bt_control(3)) && (c.lane = bt_lane(c.c, RAMSTER_ROLE_WRITE, 3)));
	NEED(read_slot(&c, first));
	NEED((b.lane = bt_lane(b.c, RAMSTER_ROLE_DEMAND, 2)) && !read_slot(&b, first));
	NEED(!say_leave(b.c, b.number) && bt_status_becomes("share_members", 1));
	NEED(read_slot(&b, first) && lookup(&a, 1, 1) == 1);
	return NULL;
}

/* Whoever goes without a word leaves nothing behind but the pages. */
static const char *test_share_vanish(void)
{
	struct sharer a, b;
	uint32_t first, i;

	NEED(allow("1048576") && enter(&b, 2));
	NEED((a.c = bt_control(1)) && !say_join(a.c, 1, PRINT));
	bconn_close(a.c); /* perhaps before JOINED */
	NEED(enter(&a, 1));
	vanish(&a); /* after it, with a lane open */
	NEED(enter(&a, 1) && !say_slots(a.c, a.number, RUN));
	vanish(&a); /* before its slots */
	NEED(enter(&a, 1) && slots(&a, RUN, &first) == RUN && put(&a, first, 1, 5, 5));
	NEED(settled(&a));
	vanish(&a); /* with one put */
	NEED(enter(&a, 1) && !say_flush(a.c, a.number, 9, 0, 1));
	vanish(&a); /* before FLUSHED */
	NEED(bt_status_becomes("share_members", 1) && lookup(&b, 5, 5) == 1);
	for (i = 0; i < 4; i++)
		NEED(put_run(&b, 2, 1000 * (i + 1)));
	NEED(lookup(&b, 5, 5) == 0);
	return NULL;
}

/* A session goes on, its part in shares does not. */
static const char *test_share_reconnect(void)
{
	struct core_msg msg, slab = { .type = RAMSTER_MSG_SLAB_REQUEST,
				      .request = { .count = 1, .slab_bytes = BORROWER_SLAB } };
	struct sharer a, b;
	uint64_t session;
	uint32_t first;
	int err;

	NEED(allow("1048576") && enter(&a, 1) && !bconn_send(a.c, &slab));
	NEED(bt_receive(a.c, RAMSTER_MSG_SLAB_GRANT, &msg));
	NEED(slots(&a, RUN, &first) == RUN && put(&a, first, 1, 1, 1) && settled(&a));
	session = a.c->rep.session;
	b.c = bt_open_role(RAMSTER_ROLE_CONTROL, session, 1, &err);
	NEED(!err && b.c->rep.session == session);
	NEED(bt_receive(b.c, RAMSTER_MSG_SLAB_GRANT, &msg) && bt_status("share_members") == 0);
	NEED(!say_put(b.c, a.number, first + 1, 1, 1, 1));
	NEED((b.lane = bt_lane(b.c, RAMSTER_ROLE_WRITE, 1)) && join(&b, 90, PRINT));
	NEED(lookup(&b, 1, 1) == 1);
	bt_bye(b.c);
	return NULL;
}

int bt_share_in(void)
{
	struct sharer a;
	struct core_msg msg;

	if (!enter(&a, 9))
		return 1;
	while (bconn_recv(a.c, &msg, BORROWER_WAIT) != -EPIPE)
		;
	return 0;
}

const struct broker_test bt_share_tests[] = {
	{ "share", test_share },
	{ "share-zero", test_share_zero },
	{ "share-evicts", test_share_evicts },
	{ "share-again", test_share_again },
	{ "share-holds", test_share_holds },
	{ "share-refused", test_share_refused },
	{ "share-operator", test_share_operator },
	{ "share-denied", test_share_denied },
	{ "share-deadline", test_share_deadline },
	{ "share-revoked", test_share_revoked },
	{ "share-forced", test_share_forced },
	{ "share-offences", test_share_offences },
	{ "share-unknown", test_share_unknown },
	{ "share-access", test_share_access },
	{ "share-vanish", test_share_vanish },
	{ "share-reconnect", test_share_reconnect },
	{ NULL, NULL },
};
