/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * wire_samples.h - one good example of everything that goes over the wire,
 * with the bytes that it must become. Shared by the unit tests and the
 * writer of the fuzzer's seeds.
 */
#ifndef WIRE_SAMPLES_H
#define WIRE_SAMPLES_H

#include "wire.h"

enum sample_kind { SAMPLE_CM_REQ, SAMPLE_CM_REP, SAMPLE_CM_REJ, SAMPLE_MSG };

struct sample {
	const char *name;
	enum sample_kind kind;
	union {
		struct core_cm_req req;
		struct core_cm_rep rep;
		struct core_cm_rej rej;
		struct core_msg msg;
	};
	size_t len;
	u8 bytes[RAMSTER_MSG_SIZE];
};

extern const struct sample samples[];
extern const size_t samples_count;

#endif /* WIRE_SAMPLES_H */
