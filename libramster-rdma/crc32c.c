// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/*
 * crc32c.c - Castagnoli's polynomial, by the best that the processor has.
 *
 * With carry-less multiplication of wide registers (VPCLMULQDQ) 256 bytes are folded at a
 * time: what lies D bits before the end of the message is worth the same as its
 * product with x^D mod P at the end (Gopal et al., Intel, 2009). What remains, 16 bytes,
 * goes through the instruction of SSE 4.2.
 *
 * With SSE 4.2 alone: its instruction takes three cycles but can start anew in each: three streams
 * side by side are three times as fast as one. Each stream is a third of a
 * block; what the first two are worth at the end of the block is looked up in
 * a table of "so many zero bytes later".
 *
 * Else, and where an emulator (QEMU) computes that instruction bit by bit: eight bytes at a time
 * by eight tables (Kounavis and Berry, Intel, 2005).
 */
#include "crc32c.h"

#include <endian.h>
#include <pthread.h>
#include <time.h>

#define POLY   0x82f63b78u /* bits reversed */
#define STREAM 1360	   /* bytes of each stream: three are a page but for 16 bytes */

static u32 tables[8][256]; /* of a byte, so many zero bytes after */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static u32 update_byte(u32 crc, u8 byte)
{
	return crc >> 8 ^ tables[0][(crc ^ byte) & 0xff];
}

static u64 load(const u8 *p)
{
	u64 word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static u32 update_eight(u32 crc, const u8 *p)
{
	u64 word = le64toh(load(p)) ^ crc;
	u32 i;

	for (crc = 0, i = 0; i < 8; i++)
		crc ^= tables[7 - i][word >> 8 * i & 0xff];
	return crc;
}

static u32 crc_tables(u32 crc, const u8 *p, size_t len)
{
	for (; len >= 8; len -= 8, p += 8)
		crc = update_eight(crc, p);
	while (len--)
		crc = update_byte(crc, *p++);
	return crc;
}

#ifdef __x86_64__
#include <immintrin.h>

static u32 later[4][256]; /* STREAM zero bytes after, by byte of the value */
static u64 fold_by[3][2]; /* for 2048, 512 and 128 bits: high and low half of a lane */
static bool has_sse, has_wide;

/* x^n mod P, its bits reversed as all here, and by one place to the left: clmul wants it so */
static u64 power(u32 n)
{
	u32 x = 0x80000000u;

	while (n--)
		x = x & 1 ? x >> 1 ^ POLY : x >> 1;
	return (u64)x << 1;
}

static void init_later(void)
{
	u32 i, k, n, crc;

	for (k = 0; k < 4; k++) {
		for (i = 0; i < 256; i++) {
			crc = i << 8 * k;
			for (n = 0; n < STREAM; n++)
				crc = update_byte(crc, 0);
			later[k][i] = crc;
		}
	}
}

static void init_folding(void)
{
	static const u32 bits[3] = { 2048, 512, 128 };
	u32 i;

	for (i = 0; i < 3; i++) {
		fold_by[i][0] = power(bits[i] + 32);
		fold_by[i][1] = power(bits[i] - 32);
	}
}

static u32 shift(u64 crc)
{
	return later[0][crc & 0xff] ^ later[1][crc >> 8 & 0xff] ^ later[2][crc >> 16 & 0xff] ^
	       later[3][crc >> 24 & 0xff];
}

__attribute__((target("sse4.2"))) static u32 crc_sse(u32 from, const u8 *p, size_t len)
{
	u64 a = from, b, c;
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

#define WIDE __attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.2")))

/* lanes, moved by the distance of key, and what lies there */
WIDE static __m512i fold(__m512i lanes, __m512i key, __m512i there)
{
	return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(lanes, key, 0x00),
					 _mm512_clmulepi64_epi128(lanes, key, 0x11), there, 0x96);
}

WIDE static __m128i fold_lane(__m128i lane, __m128i key, __m128i there)
{
	return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(lane, key, 0x00),
					   _mm_clmulepi64_si128(lane, key, 0x11)),
			     there);
}

WIDE static __m128i key_of(const u64 *key)
{
	return _mm_set_epi64x((long long)key[1], (long long)key[0]);
}

/* len is 256 at least. */
WIDE static u32 crc_wide(const u8 *p, size_t len)
{
	__m512i key = _mm512_broadcast_i32x4(key_of(fold_by[0])), a[4];
	__m128i lane;
	u32 i, crc;

	for (i = 0; i < 4; i++)
		a[i] = _mm512_loadu_si512(p + 64 * i);
	a[0] = _mm512_xor_si512(a[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128(-1)));
	for (p += 256, len -= 256; len >= 256; p += 256, len -= 256)
		for (i = 0; i < 4; i++)
			a[i] = fold(a[i], key, _mm512_loadu_si512(p + 64 * i));
	key = _mm512_broadcast_i32x4(key_of(fold_by[1]));
	for (i = 1; i < 4; i++)
		a[i] = fold(a[i - 1], key, a[i]);
	lane = _mm512_extracti32x4_epi32(a[3], 0);
	lane = fold_lane(lane, key_of(fold_by[2]), _mm512_extracti32x4_epi32(a[3], 1));
	lane = fold_lane(lane, key_of(fold_by[2]), _mm512_extracti32x4_epi32(a[3], 2));
	lane = fold_lane(lane, key_of(fold_by[2]), _mm512_extracti32x4_epi32(a[3], 3));
	crc = (u32)_mm_crc32_u64(0, (u64)_mm_cvtsi128_si64(lane));
	crc = (u32)_mm_crc32_u64(crc, (u64)_mm_extract_epi64(lane, 1));
	return crc_sse(crc, p, len);
}
#endif

/* ---- the choice ---- */

static void init_tables(void)
{
	u32 i, k, crc;

	for (i = 0; i < 256; i++) {
		crc = i;
		for (k = 0; k < 8; k++)
			crc = crc & 1 ? crc >> 1 ^ POLY : crc >> 1;
		tables[0][i] = crc;
	}
	for (k = 1; k < 8; k++)
		for (i = 0; i < 256; i++)
			tables[k][i] = update_byte(tables[k - 1][i], 0);
}

#ifdef __x86_64__
/* The best of some runs over a page, ns. */
static u64 time_of(u32 (*crc)(u32 from, const u8 *p, size_t len))
{
	const u8 page[4096] = { 0 };
	volatile u32 sink;
	u64 best = ~0ull, took;
	struct timespec a, b;
	u32 i;

	for (i = 0; i < 5; i++) {
		clock_gettime(CLOCK_MONOTONIC, &a);
		sink = crc(0, page, sizeof(page));
		clock_gettime(CLOCK_MONOTONIC, &b);
		took = (u64)(b.tv_sec - a.tv_sec) * 1000000000 + (u64)b.tv_nsec - (u64)a.tv_nsec;
		best = took < best ? took : best;
	}
	(void)sink;
	return best;
}
#endif

static void init(void)
{
	init_tables();
#ifdef __x86_64__
	init_later();
	has_sse = __builtin_cpu_supports("sse4.2") && time_of(crc_sse) < time_of(crc_tables);
	has_wide = has_sse && __builtin_cpu_supports("avx512f") &&
		   __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("pclmul");
	init_folding();
#endif
}

u32 rmr_crc32c_table(const void *data, size_t len)
{
	pthread_once(&once, init);
	return crc_tables(~0u, data, len);
}

u32 rmr_crc32c(const void *data, size_t len)
{
	pthread_once(&once, init);
#ifdef __x86_64__
	if (has_wide && len >= 256)
		return crc_wide(data, len);
	if (has_sse)
		return crc_sse(~0u, data, len);
#endif
	return rmr_crc32c_table(data, len);
}
