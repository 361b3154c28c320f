// SPDX-License-Identifier: GPL-2.0-only
/*
 * fuzz_wire.c - every wire decoder on arbitrary bytes. The first byte chooses
 * the decoder. What decodes must encode to a message that decodes to the same.
 */
#include "wire.h"

#include <stdlib.h>

#define CHECK(expr)              \
	do {                     \
		if (!(expr))     \
			abort(); \
	} while (0)

/* memset: the structs are compared with memcmp, padding too */
#define FUZZ(kind)                                                          \
	static void fuzz_##kind(const u8 *data, size_t len)                 \
	{                                                                   \
		struct core_##kind first, second;                           \
		struct ramster_##kind wire;                                 \
                                                                            \
		memset(&first, 0, sizeof(first));                           \
		memset(&second, 0, sizeof(second));                         \
		if (core_##kind##_decode(&first, data, len))                \
			return;                                             \
		core_##kind##_encode(&wire, &first);                        \
		CHECK(!core_##kind##_decode(&second, &wire, sizeof(wire))); \
		CHECK(!memcmp(&first, &second, sizeof(first)));             \
	}

FUZZ(cm_req)
FUZZ(cm_rep)
FUZZ(msg)

/* A reject always carries our own version, so only the reason makes the round trip. */
static void fuzz_cm_rej(const u8 *data, size_t len)
{
	struct core_cm_rej first, second;
	struct ramster_cm_rej wire;

	if (core_cm_rej_decode(&first, data, len))
		return;
	core_cm_rej_encode(&wire, first.reason);
	CHECK(!core_cm_rej_decode(&second, &wire, sizeof(wire)));
	CHECK(first.reason == second.reason && second.version == RAMSTER_WIRE_VERSION);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	static void (*const targets[])(const u8 *, size_t) = {
		fuzz_cm_req,
		fuzz_cm_rep,
		fuzz_cm_rej,
		fuzz_msg,
	};

	if (len)
		targets[data[0] % 4](data + 1, len - 1);
	return 0;
}
