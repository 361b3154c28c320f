/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/*
 * ramster_wire.h - what borrower and donor say to each other.
 *
 * A borrower opens several RDMA CM connections to a donor. The first is the
 * control connection: fixed-size messages by SEND/RECV. The others are lanes:
 * they carry one-sided READ and WRITE only, the donor never posts on them.
 * docs/protocol.md draws the order of messages; core/wire.c is the only code
 * that encodes or decodes these structs.
 *
 * All fields are little endian. Reserved bytes are sent as zero and ignored.
 */
#ifndef RAMSTER_WIRE_H
#define RAMSTER_WIRE_H

#include <linux/types.h>

#define RAMSTER_WIRE_MAGIC     0x52414d53u /* "RAMS" */
#define RAMSTER_WIRE_VERSION   1
#define RAMSTER_WIRE_PORT      7470 /* default port, TCP port space */
#define RAMSTER_WIRE_CLIENT_ID 16   /* bytes of a client id (a random UUID) */

/* A slab's length: a power of two within these bounds. */
#define RAMSTER_SLAB_MIN     (1ull << 20)
#define RAMSTER_SLAB_MAX     (1ull << 30)
#define RAMSTER_SLAB_DEFAULT (64ull << 20)

/* Slabs that one SLAB_REQUEST may ask for. */
#define RAMSTER_REQUEST_MAX 16

/*
 * A share: RAM of the donor's that holds clean pages of one file system for all
 * borrowers that have it mounted. Its size is that of a slab; a slot is a page.
 */
#define RAMSTER_SHARE_PAGE	4096
#define RAMSTER_SHARE_UUID	16
#define RAMSTER_SHARE_SLOTS_MAX 64 /* that one SHARE_SLOTS may ask for */

/* What a connection is for. */
enum ramster_role {
	RAMSTER_ROLE_CONTROL = 1, /* messages */
	RAMSTER_ROLE_DEMAND = 2,  /* reads that a fault waits for */
	RAMSTER_ROLE_BULK = 3,	  /* readahead, evacuation */
	RAMSTER_ROLE_WRITE = 4,
	RAMSTER_ROLE_END = 5,
};

/*
 * Private data of the connect request. RDMA CM leaves 56 bytes.
 * session 0 on a control connection opens a new session; otherwise it is the
 * session that this connection joins (a lane) or takes up again (control).
 */
struct ramster_cm_req {
	__le32 magic;
	__le16 version;
	__u8 role;
	__u8 reserved0;
	__le32 features; /* none defined yet: 0 */
	__le32 reserved1;
	__le64 session;
	__u8 client_id[RAMSTER_WIRE_CLIENT_ID];
	__u8 reserved2[8];
} __attribute__((packed));
#define RAMSTER_CM_REQ_SIZE 48

/*
 * Private data of the accept. On a control connection session is the session
 * now open: if it is the one that was asked for, its grants still stand;
 * otherwise they are gone.
 */
struct ramster_cm_rep {
	__le32 magic;
	__le16 version;
	__le16 reserved0;
	__le32 features;
	__le32 heartbeat_ms; /* the donor's period; silence of 5 periods is death */
	__le64 session;	     /* random, never 0 */
	__le32 grace_ms;     /* grants outlive a broken connection by this much */
	__le32 reserved1;
} __attribute__((packed));
#define RAMSTER_CM_REP_SIZE 32

/* Private data of a reject. */
struct ramster_cm_rej {
	__le32 magic;
	__le16 version; /* the version the donor speaks */
	__le16 reason;	/* enum ramster_reason */
} __attribute__((packed));
#define RAMSTER_CM_REJ_SIZE 8

enum ramster_reason {
	RAMSTER_REASON_NONE = 0,
	RAMSTER_REASON_MAGIC = 1, /* not our protocol */
	RAMSTER_REASON_VERSION = 2,
	RAMSTER_REASON_MALFORMED = 3,	/* a length or a field out of range */
	RAMSTER_REASON_SESSION = 4,	/* no such session, or not this client's */
	RAMSTER_REASON_BUSY = 5,	/* too many clients or connections */
	RAMSTER_REASON_NO_ROOM = 6,	/* nothing left of the donation or of the quota */
	RAMSTER_REASON_SHUTDOWN = 7,	/* the node is going down */
	RAMSTER_REASON_OPERATOR = 8,	/* somebody asked for it */
	RAMSTER_REASON_MEMORY = 9,	/* the host could not back the slab */
	RAMSTER_REASON_DEADLINE = 10,	/* a revoked slab was not released in time */
	RAMSTER_REASON_NOT_SHARED = 11, /* nobody has allowed this file system to be shared */
	RAMSTER_REASON_END = 12,
};

enum ramster_msg_type {
	RAMSTER_MSG_HEARTBEAT = 1,	/* both ways */
	RAMSTER_MSG_SLAB_REQUEST = 2,	/* borrower -> donor */
	RAMSTER_MSG_SLAB_GRANT = 3,	/* donor -> borrower, one per slab */
	RAMSTER_MSG_SLAB_DENY = 4,	/* donor -> borrower, ends a request cut short */
	RAMSTER_MSG_SLAB_RELEASE = 5,	/* borrower -> donor: unused, take it back */
	RAMSTER_MSG_SLAB_REVOKE = 6,	/* donor -> borrower: empty it by the deadline */
	RAMSTER_MSG_SLAB_FENCED = 7,	/* donor -> borrower: it is gone */
	RAMSTER_MSG_BYE = 8,		/* both ways: orderly end of the session */
	RAMSTER_MSG_SHARE_JOIN = 9,	/* borrower -> donor */
	RAMSTER_MSG_SHARE_JOINED = 10,	/* donor -> borrower: where it lies */
	RAMSTER_MSG_SHARE_LEAVE = 11,	/* both ways: the end of it, or no to a JOIN */
	RAMSTER_MSG_SHARE_SLOTS = 12,	/* borrower -> donor: wanted; donor -> borrower: yours */
	RAMSTER_MSG_SHARE_PUT = 13,	/* borrower -> donor: the page is in its slot */
	RAMSTER_MSG_SHARE_FLUSH = 14,	/* borrower -> donor: forget pages */
	RAMSTER_MSG_SHARE_FLUSHED = 15, /* donor -> borrower: they are forgotten */
	RAMSTER_MSG_END = 16,
};

struct ramster_msg {
	__le32 magic;
	__u8 version;
	__u8 type; /* enum ramster_msg_type */
	__le16 reserved;
	union {
		struct {
			__le64 free_bytes; /* donor: what is left of the donation; borrower: 0 */
			__le64 used_pages; /* borrower: pages stored at this donor; donor: 0 */
		} __attribute__((packed)) heartbeat;
		struct {
			__le32 count; /* 1 .. RAMSTER_REQUEST_MAX */
			__le32 reserved;
			__le64 slab_bytes; /* power of two, RAMSTER_SLAB_MIN .. _MAX */
		} __attribute__((packed)) request;
		struct {
			__le64 slab_id; /* the donor's, unique in the session, not 0 */
			__le64 addr;	/* remote address of byte 0 */
			__le64 len;	/* bytes */
			__le32 rkey;
			__le32 generation; /* not 0, differs for each grant of a slab id */
		} __attribute__((packed)) grant;
		struct {
			__le32 count; /* slabs of the request that are not coming */
			__le16 reason;
			__le16 reserved;
			__le64 free_bytes;
		} __attribute__((packed)) deny;
		struct {
			__le64 slab_id;
			__le32 generation;
			__le32 deadline_ms; /* REVOKE only: from receipt; else 0 */
			__le16 reason;	    /* REVOKE, FENCED */
			__le16 reserved;
		} __attribute__((packed)) slab; /* RELEASE, REVOKE, FENCED */
		struct {
			__le16 reason;
		} __attribute__((packed)) bye;
		struct {
			__u8 uuid[RAMSTER_SHARE_UUID]; /* of the file system, not all zero */
			__le64 fingerprint; /* of its superblock: another one, other files */
			__le32 share; /* the borrower's name for it, not 0, never used twice */
		} __attribute__((packed)) join;
		struct {
			__le32 share;
			__le32 slots;	  /* power of two; slot s is at page_addr + 4096 s */
			__le64 dir_addr;  /* core_dir_buckets(slots) buckets, to be read */
			__le64 page_addr; /* to be read, and slots one was given to be written */
			__le32 dir_rkey;
			__le32 page_rkey;
		} __attribute__((packed)) joined;
		struct {
			__le32 share;
			__le32 deadline_ms; /* donor: after it access ends; borrower: 0 */
			__le16 reason;
		} __attribute__((packed)) leave;
		struct {
			__le32 share;
			__le32 first; /* borrower: 0 */
			__le32 count; /* 1 .. RAMSTER_SHARE_SLOTS_MAX; donor: or 0, none now */
		} __attribute__((packed)) slots;
		struct {
			__le32 share;
			__le32 slot;
			__le64 object; /* hash of the file, not 0 */
			__le64 tag;    /* hash of file and page, not 0 */
			__le64 check;  /* hash of file, page and content */
		} __attribute__((packed)) put;
		struct {
			__le32 share;
			__le32 serial; /* comes back in FLUSHED */
			__le64 object; /* FLUSH: with tag 0, all pages of this file */
			__le64 tag;    /* FLUSH: this page; both 0: the whole share; FLUSHED: 0 */
		} __attribute__((packed)) flush;
		__u8 pad[56];
	} __attribute__((packed)) body;
} __attribute__((packed));
#define RAMSTER_MSG_SIZE 64

/*
 * A share's directory: buckets of entries, read by borrowers with one READ. A
 * page's entry is in the bucket that the low bits of its tag number. The donor
 * changes entries while they are read, so that an entry, and the page it
 * names, are worth what the check says, no more.
 */
struct ramster_dir_entry {
	__le64 tag; /* 0: none */
	__le64 check;
	__le32 slot;
	__le32 reserved;
} __attribute__((packed));
#define RAMSTER_DIR_WAYS	16
#define RAMSTER_DIR_BUCKET_SIZE 384

#endif /* RAMSTER_WIRE_H */
