// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * crc32c.c - Castagnoli's polynomial, by SSE 4.2 where there is one.
 *
 * The instruction takes three cycles but can start anew in each: three streams
 * side by side are three times as fast as one. Each stream is a third of a
 * block; what the first two are worth at the end of the block is looked up in
 * a table of "so many zero bytes later".
 */
#include "crc32c.h"

#include <pthread.h>

#define POLY   0x82f63b78u /* bits reversed */
#define STREAM 1360	   /* bytes of each stream: three are a page but for 16 bytes */

static u32 bytewise[256];
static u32 later[4][256]; /* STREAM zero bytes after, by byte of the value */
static bool hardware;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static u32 update_byte(u32 crc, u8 byte)
{
	return crc >> 8 ^ bytewise[(crc ^ byte) & 0xff];
}

static void init(void)
{
	u32 i, k, n, crc;

	for (i = 0; i < 256; i++) {
		crc = i;
		for (k = 0; k < 8; k++)
			crc = crc & 1 ? crc >> 1 ^ POLY : crc >> 1;
		bytewise[i] = crc;
	}
	for (k = 0; k < 4; k++) {
		for (i = 0; i < 256; i++) {
			crc = i << 8 * k;
			for (n = 0; n < STREAM; n++)
				crc = update_byte(crc, 0);
			later[k][i] = crc;
		}
	}
#ifdef __x86_64__
	hardware = __builtin_cpu_supports("sse4.2");
#endif
}

u32 rmr_crc32c_table(const void *data, size_t len)
{
	const u8 *p = data;
	u32 crc = ~0u;

	pthread_once(&once, init);
	while (len--)
		crc = update_byte(crc, *p++);
	return crc;
}

#ifdef __x86_64__
#include <nmmintrin.h>

static u64 load(const u8 *p)
{
	u64 word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static u32 shift(u64 crc)
{
	return later[0][crc & 0xff] ^ later[1][crc >> 8 & 0xff] ^ later[2][crc >> 16 & 0xff] ^
	       later[3][crc >> 24 & 0xff];
}

__attribute__((target("sse4.2"))) static u32 crc_sse(const u8 *p, size_t len)
{
	u64 a = ~0u, b, c;
	size_t i;

	for (; len >= 3 * STREAM; len -= 3 * STREAM, p += 3 * STREAM) {
		b = 0;
		c = 0;
		for (i = 0; i < STREAM; i += 8) {
			a = _mm_crc32_u64(a, load(p + i));
			b = _mm_crc32_u64(b, load(p + STREAM + i));
			c = _mm_crc32_u64(c, load(p + 2 * STREAM + i));
		}
		a = shift(shift(a) ^ b) ^ c;
	}
	for (; len; len -= 8, p += 8)
		a = _mm_crc32_u64(a, load(p));
	return (u32)a;
}
#endif

u32 rmr_crc32c(const void *data, size_t len)
{
	pthread_once(&once, init);
#ifdef __x86_64__
	if (hardware)
		return crc_sse(data, len);
#endif
	return rmr_crc32c_table(data, len);
}
