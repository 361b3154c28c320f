// SPDX-License-Identifier: GPL-2.0-only
/* wire_samples.c - golden bytes, written by hand from ramster_wire.h. */
#include "wire_samples.h"

#define MAGIC	    0x53, 0x4d, 0x41, 0x52
#define CM(version) MAGIC, (version), 0x00
#define MSG(type)   MAGIC, 0x01, (type), 0x00, 0x00
#define Z4	    0, 0, 0, 0

/* Bytes stand in groups of four or eight: */
/* clang-format off */
const struct sample samples[] = {
	{ "cm-req-control", SAMPLE_CM_REQ, .len = 48,
	  .req = { RAMSTER_ROLE_CONTROL, 0, 0,
		   { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } },
	  .bytes = { CM(1), 0x01, 0x00, Z4, Z4, Z4, Z4,
		     1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, Z4, Z4 } },
	{ "cm-req-write", SAMPLE_CM_REQ, .len = 48,
	  .req = { RAMSTER_ROLE_WRITE, 0x80000001, 0x0807060504030201,
		   { [15] = 0xff } },
	  .bytes = { CM(1), 0x04, 0x00, 0x01, 0x00, 0x00, 0x80, Z4,
		     0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
		     Z4, Z4, Z4, 0, 0, 0, 0xff, Z4, Z4 } },
	{ "cm-rep", SAMPLE_CM_REP, .len = 32,
	  .rep = { .features = 0, .heartbeat_ms = 1000, .grace_ms = 600000,
		   .session = 0x1122334455667788 },
	  .bytes = { CM(1), 0x00, 0x00, Z4, 0xe8, 0x03, 0x00, 0x00,
		     0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
		     0xc0, 0x27, 0x09, 0x00, Z4 } },
	{ "cm-rej", SAMPLE_CM_REJ, .len = 8,
	  .rej = { 1, RAMSTER_REASON_BUSY },
	  .bytes = { CM(1), 0x05, 0x00 } },
	{ "heartbeat", SAMPLE_MSG, .len = 64,
	  .msg = { RAMSTER_MSG_HEARTBEAT, .heartbeat = { 0x20000000, 0x0102030405060708 } },
	  .bytes = { MSG(1), 0x00, 0x00, 0x00, 0x20, Z4,
		     0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01 } },
	{ "slab-request", SAMPLE_MSG, .len = 64,
	  .msg = { RAMSTER_MSG_SLAB_REQUEST, .request = { 16, RAMSTER_SLAB_DEFAULT } },
	  .bytes = { MSG(2), 0x10, 0x00, 0x00, 0x00, Z4, 0x00, 0x00, 0x00, 0x04, Z4 } },
	{ "slab-grant", SAMPLE_MSG, .len = 64,
	  .msg = { RAMSTER_MSG_SLAB_GRANT,
		   .grant = { 7, 0x00007f1234560000, 0x100000, 0xa1b2c3d4, 0x01020304 } },
	  .bytes = { MSG(3), 0x07, 0, 0, 0, Z4, 0x00, 0x00, 0x56, 0x34, 0x12, 0x7f, 0x00, 0x00,
		     0x00, 0x00, 0x10, 0x00, Z4, 0xd4, 0xc3, 0xb2, 0xa1, 0x04, 0x03, 0x02, 0x01 } },
	{ "slab-deny", SAMPLE_MSG, .len = 64,
	  .msg = { RAMSTER_MSG_SLAB_DENY, .deny = { 3, RAMSTER_REASON_NO_ROOM, 4096 } },
	  .bytes = { MSG(4), 0x03, 0, 0, 0, 0x06, 0x00, 0x00, 0x00, 0x00, 0x10, 0, 0, Z4 } },
	{ "slab-release", SAMPLE_MSG, .len = 64,
	  .msg = { RAMSTER_MSG_SLAB_RELEASE, .slab = { 0x0908070605040302, 9, 0, 0 } },
	  .bytes = { MSG(5), 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x09, 0, 0, 0 } },
	{ "slab-revoke", SAMPLE_MSG, .len = 64,
	  .msg = { RAMSTER_MSG_SLAB_REVOKE, .slab = { 5, 9, 10000, RAMSTER_REASON_OPERATOR } },
	  .bytes = { MSG(6), 0x05, 0, 0, 0, Z4, 0x09, 0, 0, 0, 0x10, 0x27, 0, 0, 0x08, 0x00 } },
	{ "slab-fenced", SAMPLE_MSG, .len = 64,
	  .msg = { RAMSTER_MSG_SLAB_FENCED, .slab = { 5, 9, 0, RAMSTER_REASON_DEADLINE } },
	  .bytes = { MSG(7), 0x05, 0, 0, 0, Z4, 0x09, 0, 0, 0, Z4, 0x0a, 0x00 } },
	{ "bye", SAMPLE_MSG, .len = 64,
	  .msg = { RAMSTER_MSG_BYE, .bye = { RAMSTER_REASON_SHUTDOWN } },
	  .bytes = { MSG(8), 0x07, 0x00 } },
};
/* clang-format on */

const size_t samples_count = sizeof(samples) / sizeof(samples[0]);
