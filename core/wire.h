/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * wire.h - encode and decode every struct of ramster_wire.h.
 *
 * Decoders take bytes that nobody has vouched for. They return 0 and a host
 * struct in which every field is within its documented range, or a negative
 * errno and an untouched output: -EBADMSG (magic), -EPROTONOSUPPORT (version),
 * -EMSGSIZE (length), -EINVAL (a field out of range).
 */
#ifndef CORE_WIRE_H
#define CORE_WIRE_H

#include "port.h"
#include "../include/ramster/ramster_wire.h"

struct core_cm_req {
	enum ramster_role role;
	u32 features;
	u64 session;			      /* 0 only with RAMSTER_ROLE_CONTROL */
	u8 client_id[RAMSTER_WIRE_CLIENT_ID]; /* never all zero */
};

struct core_cm_rep {
	u32 features;
	u32 heartbeat_ms; /* 10 .. 60000 */
	u32 grace_ms;	  /* 0 .. 600000 */
	u64 session;	  /* not 0 */
};

struct core_cm_rej {
	u16 version;
	enum ramster_reason reason;
};

struct core_msg {
	enum ramster_msg_type type;
	union {
		struct {
			u64 free_bytes, used_pages;
		} heartbeat;
		struct {
			u32 count;
			u64 slab_bytes;
		} request;
		struct {
			u64 slab_id, addr, len;
			u32 rkey, generation;
		} grant;
		struct {
			u32 count;
			enum ramster_reason reason;
			u64 free_bytes;
		} deny;
		struct {
			u64 slab_id;
			u32 generation, deadline_ms;
			enum ramster_reason reason;
		} slab;
		struct {
			enum ramster_reason reason;
		} bye;
		struct {
			u8 uuid[RAMSTER_SHARE_UUID]; /* never all zero */
			u64 fingerprint;
			u32 share; /* never 0, as in all that follow */
		} join;
		struct {
			u32 share, slots;
			u64 dir_addr, page_addr;
			u32 dir_rkey, page_rkey;
		} joined;
		struct {
			u32 share, deadline_ms;
			enum ramster_reason reason;
		} leave;
		struct {
			u32 share, first, count;
		} slots;
		struct {
			u32 share, slot;
			u64 object, tag, check;
		} put;
		struct {
			u32 share, serial;
			u64 object, tag;
		} flush; /* FLUSH, FLUSHED */
	};
};

/* A legal slab length: power of two, RAMSTER_SLAB_MIN .. RAMSTER_SLAB_MAX. */
bool core_slab_bytes_valid(u64 bytes);
/* A legal number of slots of a share: power of two, 1 MiB to 1 GiB of pages. */
bool core_share_slots_valid(u32 slots);

/* Encoders fill the whole struct, reserved bytes with zero. They cannot fail. */
void core_cm_req_encode(struct ramster_cm_req *out, const struct core_cm_req *in);
void core_cm_rep_encode(struct ramster_cm_rep *out, const struct core_cm_rep *in);
void core_cm_rej_encode(struct ramster_cm_rej *out, enum ramster_reason reason);
void core_msg_encode(struct ramster_msg *out, const struct core_msg *in);

/*
 * len is the number of readable bytes at data. The CM pads private data with
 * zeros, so a longer one is accepted there; a message must have its exact size.
 */
int core_cm_req_decode(struct core_cm_req *out, const void *data, size_t len);
int core_cm_rep_decode(struct core_cm_rep *out, const void *data, size_t len);
int core_cm_rej_decode(struct core_cm_rej *out, const void *data, size_t len);
int core_msg_decode(struct core_msg *out, const void *data, size_t len);

/* The reject reason that a decoder's errno stands for. */
enum ramster_reason core_wire_reason(int err);

/* Short lower-case names for logs and JSON; "unknown" for anything else. */
const char *core_reason_name(enum ramster_reason reason);
const char *core_role_name(enum ramster_role role);
const char *core_msg_name(enum ramster_msg_type type);

#endif /* CORE_WIRE_H */
