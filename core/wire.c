// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * wire.c - the only code that reads or writes the structs of ramster_wire.h.
 *
 * Received bytes are viewed through the packed structs (alignment 1) and no
 * field is believed before its check. Output is written only on success.
 */
#include "wire.h"
#include "dir.h"

core_static_assert(sizeof(struct ramster_cm_req) == RAMSTER_CM_REQ_SIZE, "cm_req size");
core_static_assert(sizeof(struct ramster_cm_rep) == RAMSTER_CM_REP_SIZE, "cm_rep size");
core_static_assert(sizeof(struct ramster_cm_rej) == RAMSTER_CM_REJ_SIZE, "cm_rej size");
core_static_assert(sizeof(struct ramster_msg) == RAMSTER_MSG_SIZE, "msg size");

#define HEARTBEAT_MS_MIN 10
#define HEARTBEAT_MS_MAX 60000
#define GRACE_MS_MAX	 600000

bool core_slab_bytes_valid(u64 bytes)
{
	return bytes >= RAMSTER_SLAB_MIN && bytes <= RAMSTER_SLAB_MAX && !(bytes & (bytes - 1));
}

bool core_share_slots_valid(u32 slots)
{
	return core_slab_bytes_valid((u64)slots * RAMSTER_SHARE_PAGE);
}

static bool reason_valid(u32 reason)
{
	return reason < RAMSTER_REASON_END;
}

static bool count_valid(u32 count)
{
	return count >= 1 && count <= RAMSTER_REQUEST_MAX;
}

static int check_head(u32 magic, u32 version)
{
	if (magic != RAMSTER_WIRE_MAGIC)
		return -EBADMSG;
	return version == RAMSTER_WIRE_VERSION ? 0 : -EPROTONOSUPPORT;
}

void core_cm_req_encode(struct ramster_cm_req *out, const struct core_cm_req *in)
{
	memset(out, 0, sizeof(*out));
	out->magic = core_to_le32(RAMSTER_WIRE_MAGIC);
	out->version = core_to_le16(RAMSTER_WIRE_VERSION);
	out->role = (u8)in->role;
	out->features = core_to_le32(in->features);
	out->session = core_to_le64(in->session);
	memcpy(out->client_id, in->client_id, sizeof(out->client_id));
}

static bool any_set(const u8 *bytes, size_t n)
{
	while (n--)
		if (*bytes++)
			return true;
	return false;
}

int core_cm_req_decode(struct core_cm_req *out, const void *data, size_t len)
{
	const struct ramster_cm_req *w = data;
	int err;

	if (len < sizeof(*w))
		return -EMSGSIZE;
	err = check_head(core_le32(w->magic), core_le16(w->version));
	if (err)
		return err;
	if (w->role < RAMSTER_ROLE_CONTROL || w->role >= RAMSTER_ROLE_END)
		return -EINVAL;
	if (!w->session && w->role != RAMSTER_ROLE_CONTROL)
		return -EINVAL;
	if (!any_set(w->client_id, sizeof(w->client_id)))
		return -EINVAL;

	out->role = w->role;
	out->features = core_le32(w->features);
	out->session = core_le64(w->session);
	memcpy(out->client_id, w->client_id, sizeof(out->client_id));
	return 0;
}

void core_cm_rep_encode(struct ramster_cm_rep *out, const struct core_cm_rep *in)
{
	memset(out, 0, sizeof(*out));
	out->magic = core_to_le32(RAMSTER_WIRE_MAGIC);
	out->version = core_to_le16(RAMSTER_WIRE_VERSION);
	out->features = core_to_le32(in->features);
	out->heartbeat_ms = core_to_le32(in->heartbeat_ms);
	out->grace_ms = core_to_le32(in->grace_ms);
	out->session = core_to_le64(in->session);
}

int core_cm_rep_decode(struct core_cm_rep *out, const void *data, size_t len)
{
	const struct ramster_cm_rep *w = data;
	u32 heartbeat_ms;
	int err;

	if (len < sizeof(*w))
		return -EMSGSIZE;
	err = check_head(core_le32(w->magic), core_le16(w->version));
	if (err)
		return err;
	heartbeat_ms = core_le32(w->heartbeat_ms);
	if (heartbeat_ms < HEARTBEAT_MS_MIN || heartbeat_ms > HEARTBEAT_MS_MAX)
		return -EINVAL;
	if (core_le32(w->grace_ms) > GRACE_MS_MAX || !w->session)
		return -EINVAL;

	out->features = core_le32(w->features);
	out->heartbeat_ms = heartbeat_ms;
	out->grace_ms = core_le32(w->grace_ms);
	out->session = core_le64(w->session);
	return 0;
}

void core_cm_rej_encode(struct ramster_cm_rej *out, enum ramster_reason reason)
{
	out->magic = core_to_le32(RAMSTER_WIRE_MAGIC);
	out->version = core_to_le16(RAMSTER_WIRE_VERSION);
	out->reason = core_to_le16((u16)reason);
}

/* Any version passes: telling the other side's version is what a reject is for. */
int core_cm_rej_decode(struct core_cm_rej *out, const void *data, size_t len)
{
	const struct ramster_cm_rej *w = data;

	if (len < sizeof(*w))
		return -EMSGSIZE;
	if (core_le32(w->magic) != RAMSTER_WIRE_MAGIC)
		return -EBADMSG;
	if (!reason_valid(core_le16(w->reason)))
		return -EINVAL;

	out->version = core_le16(w->version);
	out->reason = core_le16(w->reason);
	return 0;
}

/* Fields that mean nothing for a type leave as zero, whatever the caller left in them. */
static void slab_encode(struct ramster_msg *out, const struct core_msg *in)
{
	out->body.slab.slab_id = core_to_le64(in->slab.slab_id);
	out->body.slab.generation = core_to_le32(in->slab.generation);
	if (in->type == RAMSTER_MSG_SLAB_REVOKE)
		out->body.slab.deadline_ms = core_to_le32(in->slab.deadline_ms);
	if (in->type != RAMSTER_MSG_SLAB_RELEASE)
		out->body.slab.reason = core_to_le16((u16)in->slab.reason);
}

static void share_encode(struct ramster_msg *out, const struct core_msg *in)
{
	switch (in->type) {
	case RAMSTER_MSG_SHARE_JOIN:
		memcpy(out->body.join.uuid, in->join.uuid, sizeof(out->body.join.uuid));
		out->body.join.fingerprint = core_to_le64(in->join.fingerprint);
		out->body.join.share = core_to_le32(in->join.share);
		break;
	case RAMSTER_MSG_SHARE_JOINED:
		out->body.joined.share = core_to_le32(in->joined.share);
		out->body.joined.slots = core_to_le32(in->joined.slots);
		out->body.joined.dir_addr = core_to_le64(in->joined.dir_addr);
		out->body.joined.page_addr = core_to_le64(in->joined.page_addr);
		out->body.joined.dir_rkey = core_to_le32(in->joined.dir_rkey);
		out->body.joined.page_rkey = core_to_le32(in->joined.page_rkey);
		break;
	case RAMSTER_MSG_SHARE_LEAVE:
		out->body.leave.share = core_to_le32(in->leave.share);
		out->body.leave.deadline_ms = core_to_le32(in->leave.deadline_ms);
		out->body.leave.reason = core_to_le16((u16)in->leave.reason);
		break;
	case RAMSTER_MSG_SHARE_SLOTS:
		out->body.slots.share = core_to_le32(in->slots.share);
		out->body.slots.first = core_to_le32(in->slots.first);
		out->body.slots.count = core_to_le32(in->slots.count);
		break;
	case RAMSTER_MSG_SHARE_PUT:
		out->body.put.share = core_to_le32(in->put.share);
		out->body.put.slot = core_to_le32(in->put.slot);
		out->body.put.object = core_to_le64(in->put.object);
		out->body.put.tag = core_to_le64(in->put.tag);
		out->body.put.check = core_to_le64(in->put.check);
		break;
	default: /* FLUSH, FLUSHED */
		out->body.flush.share = core_to_le32(in->flush.share);
		out->body.flush.serial = core_to_le32(in->flush.serial);
		out->body.flush.object = core_to_le64(in->flush.object);
		out->body.flush.tag = core_to_le64(in->flush.tag);
	}
}

void core_msg_encode(struct ramster_msg *out, const struct core_msg *in)
{
	memset(out, 0, sizeof(*out));
	out->magic = core_to_le32(RAMSTER_WIRE_MAGIC);
	out->version = RAMSTER_WIRE_VERSION;
	out->type = (u8)in->type;

	switch (in->type) {
	case RAMSTER_MSG_HEARTBEAT:
		out->body.heartbeat.free_bytes = core_to_le64(in->heartbeat.free_bytes);
		out->body.heartbeat.used_pages = core_to_le64(in->heartbeat.used_pages);
		break;
	case RAMSTER_MSG_SLAB_REQUEST:
		out->body.request.count = core_to_le32(in->request.count);
		out->body.request.slab_bytes = core_to_le64(in->request.slab_bytes);
		break;
	case RAMSTER_MSG_SLAB_GRANT:
		out->body.grant.slab_id = core_to_le64(in->grant.slab_id);
		out->body.grant.addr = core_to_le64(in->grant.addr);
		out->body.grant.len = core_to_le64(in->grant.len);
		out->body.grant.rkey = core_to_le32(in->grant.rkey);
		out->body.grant.generation = core_to_le32(in->grant.generation);
		break;
	case RAMSTER_MSG_SLAB_DENY:
		out->body.deny.count = core_to_le32(in->deny.count);
		out->body.deny.reason = core_to_le16((u16)in->deny.reason);
		out->body.deny.free_bytes = core_to_le64(in->deny.free_bytes);
		break;
	case RAMSTER_MSG_SLAB_RELEASE:
	case RAMSTER_MSG_SLAB_REVOKE:
	case RAMSTER_MSG_SLAB_FENCED:
		slab_encode(out, in);
		break;
	case RAMSTER_MSG_BYE:
		out->body.bye.reason = core_to_le16((u16)in->bye.reason);
		break;
	case RAMSTER_MSG_SHARE_JOIN:
	case RAMSTER_MSG_SHARE_JOINED:
	case RAMSTER_MSG_SHARE_LEAVE:
	case RAMSTER_MSG_SHARE_SLOTS:
	case RAMSTER_MSG_SHARE_PUT:
	case RAMSTER_MSG_SHARE_FLUSH:
	case RAMSTER_MSG_SHARE_FLUSHED:
		share_encode(out, in);
		break;
	case RAMSTER_MSG_END:
		break;
	}
}

static int request_decode(struct core_msg *m, const struct ramster_msg *w)
{
	m->request.count = core_le32(w->body.request.count);
	m->request.slab_bytes = core_le64(w->body.request.slab_bytes);
	if (!count_valid(m->request.count) || !core_slab_bytes_valid(m->request.slab_bytes))
		return -EINVAL;
	return 0;
}

/* The last byte's address must not wrap. */
static bool range_valid(u64 addr, u64 len)
{
	return addr + (len - 1) >= addr;
}

static int grant_decode(struct core_msg *m, const struct ramster_msg *w)
{
	m->grant.slab_id = core_le64(w->body.grant.slab_id);
	m->grant.addr = core_le64(w->body.grant.addr);
	m->grant.len = core_le64(w->body.grant.len);
	m->grant.rkey = core_le32(w->body.grant.rkey);
	m->grant.generation = core_le32(w->body.grant.generation);
	if (!m->grant.slab_id || !m->grant.generation || !core_slab_bytes_valid(m->grant.len))
		return -EINVAL;
	return range_valid(m->grant.addr, m->grant.len) ? 0 : -EINVAL;
}

static int deny_decode(struct core_msg *m, const struct ramster_msg *w)
{
	m->deny.count = core_le32(w->body.deny.count);
	m->deny.reason = core_le16(w->body.deny.reason);
	m->deny.free_bytes = core_le64(w->body.deny.free_bytes);
	return count_valid(m->deny.count) && reason_valid(m->deny.reason) ? 0 : -EINVAL;
}

static int slab_decode(struct core_msg *m, const struct ramster_msg *w)
{
	m->slab.slab_id = core_le64(w->body.slab.slab_id);
	m->slab.generation = core_le32(w->body.slab.generation);
	m->slab.deadline_ms = core_le32(w->body.slab.deadline_ms);
	m->slab.reason = core_le16(w->body.slab.reason);
	if (!m->slab.slab_id || !m->slab.generation || !reason_valid(m->slab.reason))
		return -EINVAL;
	if (m->type != RAMSTER_MSG_SLAB_REVOKE && m->slab.deadline_ms)
		return -EINVAL;
	if (m->type == RAMSTER_MSG_SLAB_RELEASE && m->slab.reason != RAMSTER_REASON_NONE)
		return -EINVAL;
	return 0;
}

static int join_decode(struct core_msg *m, const struct ramster_msg *w)
{
	memcpy(m->join.uuid, w->body.join.uuid, sizeof(m->join.uuid));
	m->join.fingerprint = core_le64(w->body.join.fingerprint);
	m->join.share = core_le32(w->body.join.share);
	return m->join.share && any_set(m->join.uuid, sizeof(m->join.uuid)) ? 0 : -EINVAL;
}

static int joined_decode(struct core_msg *m, const struct ramster_msg *w)
{
	m->joined.share = core_le32(w->body.joined.share);
	m->joined.slots = core_le32(w->body.joined.slots);
	m->joined.dir_addr = core_le64(w->body.joined.dir_addr);
	m->joined.page_addr = core_le64(w->body.joined.page_addr);
	m->joined.dir_rkey = core_le32(w->body.joined.dir_rkey);
	m->joined.page_rkey = core_le32(w->body.joined.page_rkey);
	if (!m->joined.share || !core_share_slots_valid(m->joined.slots))
		return -EINVAL;
	if (!range_valid(m->joined.dir_addr, core_dir_bytes(m->joined.slots)))
		return -EINVAL;
	return range_valid(m->joined.page_addr, (u64)m->joined.slots * RAMSTER_SHARE_PAGE) ?
		       0 :
		       -EINVAL;
}

static int leave_decode(struct core_msg *m, const struct ramster_msg *w)
{
	m->leave.share = core_le32(w->body.leave.share);
	m->leave.deadline_ms = core_le32(w->body.leave.deadline_ms);
	m->leave.reason = core_le16(w->body.leave.reason);
	return m->leave.share && reason_valid(m->leave.reason) ? 0 : -EINVAL;
}

static int slots_decode(struct core_msg *m, const struct ramster_msg *w)
{
	m->slots.share = core_le32(w->body.slots.share);
	m->slots.first = core_le32(w->body.slots.first);
	m->slots.count = core_le32(w->body.slots.count);
	if (!m->slots.share || m->slots.count > RAMSTER_SHARE_SLOTS_MAX)
		return -EINVAL;
	/* no share is larger; whether this one is, its owner knows */
	return (u64)m->slots.first + m->slots.count > RAMSTER_SLAB_MAX / RAMSTER_SHARE_PAGE ?
		       -EINVAL :
		       0;
}

static int put_decode(struct core_msg *m, const struct ramster_msg *w)
{
	m->put.share = core_le32(w->body.put.share);
	m->put.slot = core_le32(w->body.put.slot);
	m->put.object = core_le64(w->body.put.object);
	m->put.tag = core_le64(w->body.put.tag);
	m->put.check = core_le64(w->body.put.check);
	return m->put.share && m->put.object && m->put.tag ? 0 : -EINVAL;
}

static int flush_decode(struct core_msg *m, const struct ramster_msg *w)
{
	m->flush.share = core_le32(w->body.flush.share);
	m->flush.serial = core_le32(w->body.flush.serial);
	m->flush.object = core_le64(w->body.flush.object);
	m->flush.tag = core_le64(w->body.flush.tag);
	return m->flush.share ? 0 : -EINVAL;
}

static int body_decode(struct core_msg *m, const struct ramster_msg *w)
{
	switch (m->type) {
	case RAMSTER_MSG_HEARTBEAT:
		m->heartbeat.free_bytes = core_le64(w->body.heartbeat.free_bytes);
		m->heartbeat.used_pages = core_le64(w->body.heartbeat.used_pages);
		return 0;
	case RAMSTER_MSG_SLAB_REQUEST:
		return request_decode(m, w);
	case RAMSTER_MSG_SLAB_GRANT:
		return grant_decode(m, w);
	case RAMSTER_MSG_SLAB_DENY:
		return deny_decode(m, w);
	case RAMSTER_MSG_SLAB_RELEASE:
	case RAMSTER_MSG_SLAB_REVOKE:
	case RAMSTER_MSG_SLAB_FENCED:
		return slab_decode(m, w);
	case RAMSTER_MSG_BYE:
		m->bye.reason = core_le16(w->body.bye.reason);
		return reason_valid(m->bye.reason) ? 0 : -EINVAL;
	case RAMSTER_MSG_SHARE_JOIN:
		return join_decode(m, w);
	case RAMSTER_MSG_SHARE_JOINED:
		return joined_decode(m, w);
	case RAMSTER_MSG_SHARE_LEAVE:
		return leave_decode(m, w);
	case RAMSTER_MSG_SHARE_SLOTS:
		return slots_decode(m, w);
	case RAMSTER_MSG_SHARE_PUT:
		return put_decode(m, w);
	case RAMSTER_MSG_SHARE_FLUSH:
	case RAMSTER_MSG_SHARE_FLUSHED:
		return flush_decode(m, w);
	case RAMSTER_MSG_END:
		break;
	}
	return -EINVAL;
}

int core_msg_decode(struct core_msg *out, const void *data, size_t len)
{
	const struct ramster_msg *w = data;
	struct core_msg m;
	int err;

	if (len != sizeof(*w))
		return -EMSGSIZE;
	err = check_head(core_le32(w->magic), w->version);
	if (err)
		return err;
	memset(&m, 0, sizeof(m));
	m.type = w->type;
	err = body_decode(&m, w);
	if (!err)
		*out = m;
	return err;
}

enum ramster_reason core_wire_reason(int err)
{
	switch (err) {
	case 0:
		return RAMSTER_REASON_NONE;
	case -EBADMSG:
		return RAMSTER_REASON_MAGIC;
	case -EPROTONOSUPPORT:
		return RAMSTER_REASON_VERSION;
	default:
		return RAMSTER_REASON_MALFORMED;
	}
}

static const char *name_of(const char *const *names, u32 n, u32 i)
{
	return i < n && names[i] ? names[i] : "unknown";
}

/* Else the names would stand in two columns: */
/* clang-format off */
const char *core_reason_name(enum ramster_reason reason)
{
	static const char *const names[RAMSTER_REASON_END] = {
		[RAMSTER_REASON_NONE] = "none",
		[RAMSTER_REASON_MAGIC] = "magic",
		[RAMSTER_REASON_VERSION] = "version",
		[RAMSTER_REASON_MALFORMED] = "malformed",
		[RAMSTER_REASON_SESSION] = "session",
		[RAMSTER_REASON_BUSY] = "busy",
		[RAMSTER_REASON_NO_ROOM] = "no-room",
		[RAMSTER_REASON_SHUTDOWN] = "shutdown",
		[RAMSTER_REASON_OPERATOR] = "operator",
		[RAMSTER_REASON_MEMORY] = "memory",
		[RAMSTER_REASON_DEADLINE] = "deadline",
		[RAMSTER_REASON_NOT_SHARED] = "not-shared",
	};

	return name_of(names, RAMSTER_REASON_END, reason);
}

const char *core_role_name(enum ramster_role role)
{
	static const char *const names[RAMSTER_ROLE_END] = {
		[RAMSTER_ROLE_CONTROL] = "control",
		[RAMSTER_ROLE_DEMAND] = "demand",
		[RAMSTER_ROLE_BULK] = "bulk",
		[RAMSTER_ROLE_WRITE] = "write",
	};

	return name_of(names, RAMSTER_ROLE_END, role);
}

const char *core_msg_name(enum ramster_msg_type type)
{
	static const char *const names[RAMSTER_MSG_END] = {
		[RAMSTER_MSG_HEARTBEAT] = "heartbeat",
		[RAMSTER_MSG_SLAB_REQUEST] = "slab-request",
		[RAMSTER_MSG_SLAB_GRANT] = "slab-grant",
		[RAMSTER_MSG_SLAB_DENY] = "slab-deny",
		[RAMSTER_MSG_SLAB_RELEASE] = "slab-release",
		[RAMSTER_MSG_SLAB_REVOKE] = "slab-revoke",
		[RAMSTER_MSG_SLAB_FENCED] = "slab-fenced",
		[RAMSTER_MSG_BYE] = "bye",
		[RAMSTER_MSG_SHARE_JOIN] = "share-join",
		[RAMSTER_MSG_SHARE_JOINED] = "share-joined",
		[RAMSTER_MSG_SHARE_LEAVE] = "share-leave",
		[RAMSTER_MSG_SHARE_SLOTS] = "share-slots",
		[RAMSTER_MSG_SHARE_PUT] = "share-put",
		[RAMSTER_MSG_SHARE_FLUSH] = "share-flush",
		[RAMSTER_MSG_SHARE_FLUSHED] = "share-flushed",
	};

	return name_of(names, RAMSTER_MSG_END, type);
}

/* clang-format on */
