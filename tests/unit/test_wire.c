// SPDX-License-Identifier: GPL-2.0-only
/* Wire codec: golden bytes, every length, every field at and beyond its bounds. */
#include "unit.h"
#include "wire_samples.h"

#include <stdlib.h>

const char unit_name[] = "wire";

/* Room for any host struct; decode() leaves it as it was when it fails. */
union host {
	struct core_cm_req req;
	struct core_cm_rep rep;
	struct core_cm_rej rej;
	struct core_msg msg;
};

static int decode(enum sample_kind kind, union host *out, const void *data, size_t len)
{
	switch (kind) {
	case SAMPLE_CM_REQ:
		return core_cm_req_decode(&out->req, data, len);
	case SAMPLE_CM_REP:
		return core_cm_rep_decode(&out->rep, data, len);
	case SAMPLE_CM_REJ:
		return core_cm_rej_decode(&out->rej, data, len);
	case SAMPLE_MSG:
		return core_msg_decode(&out->msg, data, len);
	}
	abort();
}

/* Encode over a buffer of garbage: what is reserved must come out as zero. */
static void encode(enum sample_kind kind, const union host *in, u8 *bytes)
{
	memset(bytes, 0xa5, RAMSTER_MSG_SIZE);
	switch (kind) {
	case SAMPLE_CM_REQ:
		core_cm_req_encode((void *)bytes, &in->req);
		break;
	case SAMPLE_CM_REP:
		core_cm_rep_encode((void *)bytes, &in->rep);
		break;
	case SAMPLE_CM_REJ:
		core_cm_rej_encode((void *)bytes, in->rej.reason);
		break;
	case SAMPLE_MSG:
		core_msg_encode((void *)bytes, &in->msg);
		break;
	}
}

static void to_host(union host *h, const struct sample *s)
{
	memset(h, 0, sizeof(*h));
	switch (s->kind) {
	case SAMPLE_CM_REQ:
		h->req = s->req;
		break;
	case SAMPLE_CM_REP:
		h->rep = s->rep;
		break;
	case SAMPLE_CM_REJ:
		h->rej = s->rej;
		break;
	case SAMPLE_MSG:
		h->msg = s->msg;
		break;
	}
}

static void golden(void)
{
	u8 bytes[RAMSTER_MSG_SIZE];
	const struct sample *s;
	union host h;

	for (s = samples; s < samples + samples_count; s++) {
		to_host(&h, s);
		encode(s->kind, &h, bytes);
		UNIT_ROW(s->name, !memcmp(bytes, s->bytes, s->len));
	}
}

static void round_trip(void)
{
	u8 bytes[RAMSTER_MSG_SIZE];
	const struct sample *s;
	union host h;

	for (s = samples; s < samples + samples_count; s++) {
		memset(&h, 0x5a, sizeof(h));
		UNIT_ROW(s->name, decode(s->kind, &h, s->bytes, s->len) == 0);
		encode(s->kind, &h, bytes);
		UNIT_ROW(s->name, !memcmp(bytes, s->bytes, s->len));
	}
}

/* The decoder of exactly len bytes on the heap, so that ASan sees a read beyond them. */
static int decode_exact(enum sample_kind kind, union host *out, const u8 *bytes, size_t len)
{
	u8 *copy = malloc(len ? len : 1);
	union host before;
	int err;

	memset(out, 0x5a, sizeof(*out));
	before = *out;
	memcpy(copy, bytes, len);
	err = decode(kind, out, copy, len);
	free(copy);
	if (err)
		CU_ASSERT_EQUAL(memcmp(out, &before, sizeof(before)), 0);
	return err;
}

static void lengths(void)
{
	u8 bytes[2 * RAMSTER_MSG_SIZE];
	const struct sample *s;
	union host h;
	size_t len;
	bool good;

	for (s = samples; s < samples + samples_count; s++) {
		memset(bytes, 0, sizeof(bytes));
		memcpy(bytes, s->bytes, s->len);
		for (len = 0; len <= sizeof(bytes); len++) {
			good = s->kind == SAMPLE_MSG ? len == s->len : len >= s->len;
			UNIT_ROW(s->name,
				 decode_exact(s->kind, &h, bytes, len) == (good ? 0 : -EMSGSIZE));
		}
	}
}

/* One field of a good message set to a value, little endian; what the decoder says. */
static const struct {
	const char *sample;
	u32 offset, size;
	u64 value;
	int err;
} fields[] = {
	{ "cm-req-control", 0, 4, 0, -EBADMSG },
	{ "cm-req-control", 0, 4, 0x534d4152, -EBADMSG },
	{ "cm-req-control", 4, 2, 0, -EPROTONOSUPPORT },
	{ "cm-req-control", 4, 2, 2, -EPROTONOSUPPORT },
	{ "cm-req-control", 4, 2, 0x101, -EPROTONOSUPPORT },
	{ "cm-req-control", 6, 1, 0, -EINVAL },
	{ "cm-req-control", 6, 1, 2, -EINVAL }, /* a lane without a session */
	{ "cm-req-write", 6, 1, 1, 0 },		/* control taken up again */
	{ "cm-req-write", 6, 1, 2, 0 },
	{ "cm-req-write", 6, 1, 3, 0 },
	{ "cm-req-write", 6, 1, 0, -EINVAL },
	{ "cm-req-write", 6, 1, 5, -EINVAL },
	{ "cm-req-write", 6, 1, 0xff, -EINVAL },
	{ "cm-req-write", 16, 8, 0, -EINVAL },
	{ "cm-req-write", 16, 8, 1ull << 63, 0 },
	{ "cm-req-write", 39, 1, 0, -EINVAL }, /* client id all zero */
	{ "cm-req-write", 7, 1, 0xff, 0 },     /* reserved bytes are ignored */
	{ "cm-req-write", 12, 4, ~0u, 0 },
	{ "cm-req-write", 40, 8, ~0ull, 0 },

	{ "cm-rep", 0, 4, 1, -EBADMSG },
	{ "cm-rep", 4, 2, 2, -EPROTONOSUPPORT },
	{ "cm-rep", 12, 4, 9, -EINVAL },
	{ "cm-rep", 12, 4, 10, 0 },
	{ "cm-rep", 12, 4, 60000, 0 },
	{ "cm-rep", 12, 4, 60001, -EINVAL },
	{ "cm-rep", 12, 4, ~0u, -EINVAL },
	{ "cm-rep", 16, 8, 0, -EINVAL },
	{ "cm-rep", 24, 4, 0, 0 },
	{ "cm-rep", 24, 4, 600001, -EINVAL },
	{ "cm-rep", 24, 4, ~0u, -EINVAL },
	{ "cm-rep", 6, 2, 0xffff, 0 },
	{ "cm-rep", 28, 4, ~0u, 0 },

	{ "cm-rej", 0, 4, 0x52414d54, -EBADMSG },
	{ "cm-rej", 4, 2, 0, 0 }, /* a reject of another version is read */
	{ "cm-rej", 4, 2, 0xffff, 0 },
	{ "cm-rej", 6, 2, 0, 0 },
	{ "cm-rej", 6, 2, 10, 0 },
	{ "cm-rej", 6, 2, 11, 0 },
	{ "cm-rej", 6, 2, 12, -EINVAL },
	{ "cm-rej", 6, 2, 0x0100, -EINVAL },

	{ "heartbeat", 0, 4, 0, -EBADMSG },
	{ "heartbeat", 4, 1, 0, -EPROTONOSUPPORT },
	{ "heartbeat", 4, 1, 2, -EPROTONOSUPPORT },
	{ "heartbeat", 5, 1, 0, -EINVAL },
	{ "heartbeat", 5, 1, 16, -EINVAL },
	{ "heartbeat", 5, 1, 0xff, -EINVAL },
	{ "heartbeat", 6, 2, 0xffff, 0 },
	{ "heartbeat", 8, 8, ~0ull, 0 },
	{ "heartbeat", 16, 8, ~0ull, 0 },
	{ "heartbeat", 24, 8, ~0ull, 0 },

	{ "slab-request", 8, 4, 0, -EINVAL },
	{ "slab-request", 8, 4, 1, 0 },
	{ "slab-request", 8, 4, 17, -EINVAL },
	{ "slab-request", 8, 4, ~0u, -EINVAL },
	{ "slab-request", 12, 4, ~0u, 0 },
	{ "slab-request", 16, 8, 0, -EINVAL },
	{ "slab-request", 16, 8, 1ull << 19, -EINVAL },
	{ "slab-request", 16, 8, 1ull << 20, 0 },
	{ "slab-request", 16, 8, 1ull << 30, 0 },
	{ "slab-request", 16, 8, 1ull << 31, -EINVAL },
	{ "slab-request", 16, 8, (1ull << 20) + 1, -EINVAL },
	{ "slab-request", 16, 8, 3ull << 20, -EINVAL },
	{ "slab-request", 16, 8, 1ull << 63, -EINVAL },

	{ "slab-grant", 8, 8, 0, -EINVAL },
	{ "slab-grant", 8, 8, ~0ull, 0 },
	{ "slab-grant", 16, 8, 0, 0 },
	{ "slab-grant", 16, 8, -0x100000ull, 0 }, /* ends at the last address */
	{ "slab-grant", 16, 8, -0x0fffffull, -EINVAL },
	{ "slab-grant", 24, 8, 0, -EINVAL },
	{ "slab-grant", 24, 8, 4096, -EINVAL },
	{ "slab-grant", 24, 8, 1ull << 30, 0 },
	{ "slab-grant", 24, 8, (1ull << 30) + (1 << 20), -EINVAL },
	{ "slab-grant", 32, 4, 0, 0 }, /* any rkey */
	{ "slab-grant", 32, 4, ~0u, 0 },
	{ "slab-grant", 36, 4, 0, -EINVAL },
	{ "slab-grant", 36, 4, ~0u, 0 },

	{ "slab-deny", 8, 4, 0, -EINVAL },
	{ "slab-deny", 8, 4, 16, 0 },
	{ "slab-deny", 8, 4, 17, -EINVAL },
	{ "slab-deny", 12, 2, 12, -EINVAL },
	{ "slab-deny", 14, 2, 0xffff, 0 },
	{ "slab-deny", 16, 8, ~0ull, 0 },

	{ "slab-release", 8, 8, 0, -EINVAL },
	{ "slab-release", 16, 4, 0, -EINVAL },
	{ "slab-release", 20, 4, 1, -EINVAL }, /* a deadline is for REVOKE */
	{ "slab-release", 24, 2, 8, -EINVAL }, /* a reason for REVOKE and FENCED */

	{ "slab-revoke", 8, 8, 0, -EINVAL },
	{ "slab-revoke", 16, 4, 0, -EINVAL },
	{ "slab-revoke", 20, 4, 0, 0 },
	{ "slab-revoke", 20, 4, ~0u, 0 },
	{ "slab-revoke", 24, 2, 10, 0 },
	{ "slab-revoke", 24, 2, 12, -EINVAL },
	{ "slab-revoke", 26, 2, 0xffff, 0 },

	{ "slab-fenced", 8, 8, 0, -EINVAL },
	{ "slab-fenced", 16, 4, 0, -EINVAL },
	{ "slab-fenced", 20, 4, 1, -EINVAL },
	{ "slab-fenced", 24, 2, 0xffff, -EINVAL },

	{ "bye", 8, 2, 0, 0 },
	{ "bye", 8, 2, 12, -EINVAL },
	{ "bye", 10, 4, ~0u, 0 },

	{ "share-join", 8, 8, 0, 0 }, /* half of the UUID is enough */
	{ "share-join", 24, 8, 0, 0 },
	{ "share-join", 32, 4, 0, -EINVAL },
	{ "share-join", 32, 4, ~0u, 0 },
	{ "share-join", 36, 8, ~0ull, 0 },

	{ "share-joined", 8, 4, 0, -EINVAL },
	{ "share-joined", 12, 4, 0, -EINVAL },
	{ "share-joined", 12, 4, 128, -EINVAL },
	{ "share-joined", 12, 4, 256, 0 },
	{ "share-joined", 12, 4, 257, -EINVAL },
	{ "share-joined", 12, 4, 1 << 18, 0 },
	{ "share-joined", 12, 4, 1 << 19, -EINVAL },
	{ "share-joined", 12, 4, 1u << 31, -EINVAL },
	{ "share-joined", 16, 8, -65536ull * 48, 0 }, /* ends at the last address */
	{ "share-joined", 16, 8, 1 - 65536ull * 48, -EINVAL },
	{ "share-joined", 24, 8, -65536ull * 4096, 0 },
	{ "share-joined", 24, 8, 1 - 65536ull * 4096, -EINVAL },
	{ "share-joined", 32, 4, 0, 0 }, /* any rkey */
	{ "share-joined", 36, 4, 0, 0 },
	{ "share-joined", 40, 8, ~0ull, 0 },

	{ "share-leave", 8, 4, 0, -EINVAL },
	{ "share-leave", 12, 4, ~0u, 0 },
	{ "share-leave", 16, 2, 0, 0 },
	{ "share-leave", 16, 2, 12, -EINVAL },
	{ "share-leave", 18, 4, ~0u, 0 },

	{ "share-slots", 8, 4, 0, -EINVAL },
	{ "share-slots", 12, 4, (1 << 18) - 64, 0 },
	{ "share-slots", 12, 4, (1 << 18) - 63, -EINVAL },
	{ "share-slots", 12, 4, ~0u, -EINVAL },
	{ "share-slots", 16, 4, 0, 0 },
	{ "share-slots", 16, 4, 65, -EINVAL },
	{ "share-slots", 16, 4, ~0u, -EINVAL },

	{ "share-put", 8, 4, 0, -EINVAL },
	{ "share-put", 12, 4, ~0u, 0 }, /* the owner of the share checks it */
	{ "share-put", 16, 8, 0, -EINVAL },
	{ "share-put", 24, 8, 0, -EINVAL },
	{ "share-put", 32, 8, 0, 0 },

	{ "share-flush", 8, 4, 0, -EINVAL },
	{ "share-flush", 12, 4, 0, 0 },
	{ "share-flush", 16, 8, 0, 0 },
	{ "share-flush", 24, 8, 0, 0 },

	{ "share-flushed", 8, 4, 0, -EINVAL },
};

static const struct sample *sample_named(const char *name)
{
	const struct sample *s;

	for (s = samples; s < samples + samples_count; s++)
		if (!strcmp(s->name, name))
			return s;
	abort();
}

static void every_field(void)
{
	u8 bytes[RAMSTER_MSG_SIZE];
	const struct sample *s;
	char row[80];
	union host h;
	size_t i, b;

	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		s = sample_named(fields[i].sample);
		memcpy(bytes, s->bytes, sizeof(bytes));
		for (b = 0; b < fields[i].size; b++)
			bytes[fields[i].offset + b] = (u8)(fields[i].value >> (8 * b));
		snprintf(row, sizeof(row), "%s[%u] = %#llx", s->name, fields[i].offset,
			 (unsigned long long)fields[i].value);
		UNIT_ROW(row, decode_exact(s->kind, &h, bytes, s->len) == fields[i].err);
	}
}

/* Fields that a type has no use for do not leave this host. */
static void unused_fields(void)
{
	static const char *const names[] = { "slab-release", "slab-fenced" };
	u8 bytes[RAMSTER_MSG_SIZE];
	union host h, back;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		to_host(&h, sample_named(names[i]));
		h.msg.slab.deadline_ms = 5000;
		if (h.msg.type == RAMSTER_MSG_SLAB_RELEASE)
			h.msg.slab.reason = RAMSTER_REASON_OPERATOR;
		encode(SAMPLE_MSG, &h, bytes);
		UNIT_ROW(names[i], !memcmp(bytes, sample_named(names[i])->bytes, sizeof(bytes)));
		UNIT_ROW(names[i], decode(SAMPLE_MSG, &back, bytes, sizeof(bytes)) == 0);
	}
}

static void reasons(void)
{
	static const struct {
		const char *name;
		int err;
		enum ramster_reason reason;
	} rows[] = {
		{ "none", 0, RAMSTER_REASON_NONE },
		{ "magic", -EBADMSG, RAMSTER_REASON_MAGIC },
		{ "version", -EPROTONOSUPPORT, RAMSTER_REASON_VERSION },
		{ "malformed", -EMSGSIZE, RAMSTER_REASON_MALFORMED },
		{ "malformed", -EINVAL, RAMSTER_REASON_MALFORMED },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		UNIT_ROW(rows[i].name, core_wire_reason(rows[i].err) == rows[i].reason);
		UNIT_ROW(rows[i].name, !strcmp(core_reason_name(rows[i].reason), rows[i].name));
	}
}

/* The samples carry their message's name; every other value of an enum is "unknown". */
static void names(void)
{
	const struct sample *s;
	int i;

	for (s = samples; s < samples + samples_count; s++)
		if (s->kind == SAMPLE_MSG)
			UNIT_ROW(s->name, !strcmp(core_msg_name(s->msg.type), s->name));
	for (i = -1; i <= RAMSTER_REASON_END; i++)
		CU_ASSERT_EQUAL(!strcmp(core_reason_name((enum ramster_reason)i), "unknown"),
				i < 0 || i >= RAMSTER_REASON_END);
	for (i = -1; i <= RAMSTER_ROLE_END; i++)
		CU_ASSERT_EQUAL(!strcmp(core_role_name((enum ramster_role)i), "unknown"),
				i < 1 || i >= RAMSTER_ROLE_END);
	for (i = -1; i <= RAMSTER_MSG_END; i++)
		CU_ASSERT_EQUAL(!strcmp(core_msg_name((enum ramster_msg_type)i), "unknown"),
				i < 1 || i >= RAMSTER_MSG_END);
}

static void slab_bytes(void)
{
	int shift;

	for (shift = 0; shift < 64; shift++) {
		CU_ASSERT_EQUAL(core_slab_bytes_valid(1ull << shift), shift >= 20 && shift <= 30);
		CU_ASSERT_FALSE(core_slab_bytes_valid((1ull << shift) | 1u << 19));
		CU_ASSERT_FALSE(core_slab_bytes_valid((1ull << shift) - 1));
	}
	CU_ASSERT_FALSE(core_slab_bytes_valid(0));
}

CU_TestInfo unit_tests[] = {
	{ "golden bytes", golden },
	{ "round trip", round_trip },
	{ "every length", lengths },
	{ "every field at its bounds", every_field },
	{ "unused fields are sent as zero", unused_fields },
	{ "errno to reason", reasons },
	{ "names", names },
	{ "slab lengths", slab_bytes },
	CU_TEST_INFO_NULL,
};
