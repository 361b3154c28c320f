/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pattern.h - contents of test pages, each found out when it is elsewhere, of
 * another time, or damaged.
 *
 * A page begins with random words that its seed determines; one word of the same
 * origin fills the rest. So how many are random says how well it compresses: 0
 * is a page filled with one word, PATTERN_WORDS/2 gives half.
 */
#ifndef PATTERN_H
#define PATTERN_H

#include <stdint.h>

#define PAGE	      4096u
#define PATTERN_WORDS (PAGE / sizeof(uint64_t))

/* splitmix64: a full-period generator of which each step is one multiply chain. */
static inline uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* What sets the version of a page of a run apart from all others. */
static inline uint64_t pattern_seed(uint64_t run, uint32_t page, uint32_t version)
{
	uint64_t state = run ^ (uint64_t)page << 32 ^ version;

	return next_random(&state);
}

static inline void pattern_fill(uint64_t *words, unsigned int random, uint64_t seed)
{
	uint64_t state = seed;
	unsigned int i;

	for (i = 0; i < random; i++)
		words[i] = next_random(&state);
	for (; i < PATTERN_WORDS; i++)
		words[i] = ~seed;
}

/* The first word that is not as pattern_fill() left it; PATTERN_WORDS: all are. */
static inline unsigned int pattern_check(const uint64_t *words, unsigned int random, uint64_t seed)
{
	uint64_t state = seed;
	unsigned int i;

	for (i = 0; i < PATTERN_WORDS; i++)
		if (words[i] != (i < random ? next_random(&state) : ~seed))
			break;
	return i;
}

#endif
