// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
/* slots.c - next-fit allocation of runs of slots in a bitmap. */
#include "slots.h"

/* First slot in [from, n) whose bit, xor invert, is set; n if there is none. */
static u32 find_next(const struct core_slots *s, u32 from, u64 invert)
{
	u32 w = from / 64;
	u64 word, skip = ~0ull << (from % 64);

	for (; from < s->n; skip = ~0ull, from = ++w * 64) {
		word = (s->map[w] ^ invert) & skip;
		if (word) {
			from = w * 64 + core_ctz64(word);
			break;
		}
	}
	return from < s->n ? from : s->n;
}

static u32 next_free(const struct core_slots *s, u32 from)
{
	return find_next(s, from, ~0ull);
}

u32 core_slots_next_used(const struct core_slots *s, u32 from)
{
	return find_next(s, from, 0);
}

/* The bits of word w that lie in [first, first + n). */
static u64 run_mask(u32 w, u32 first, u32 n)
{
	u32 last = first + n - 1;
	u64 mask = ~0ull;

	if (w == first / 64)
		mask &= ~0ull << (first % 64);
	if (w == last / 64)
		mask &= ~0ull >> (63 - last % 64);
	return mask;
}

void core_slots_init(struct core_slots *s, u64 *map, u32 n)
{
	memset(map, 0, CORE_SLOTS_WORDS(n) * sizeof(*map));
	s->map = map;
	s->n = n;
	s->used = 0;
	s->cursor = 0;
}

static void take(struct core_slots *s, u32 first, u32 n)
{
	u32 w;

	for (w = first / 64; w <= (first + n - 1) / 64; w++)
		s->map[w] |= run_mask(w, first, n);
	s->used += n;
	s->cursor = first + n < s->n ? first + n : 0;
}

u32 core_slots_alloc(struct core_slots *s, u32 want, u32 *first)
{
	u32 best = 0, best_at = 0, runs, at = s->cursor, end, len;
	bool wrapped = false;

	if (!want || s->used == s->n)
		return 0;
	for (runs = 0; runs < CORE_SLOTS_SEARCH && best < want; runs++) {
		at = next_free(s, at);
		if (at == s->n) {
			if (wrapped)
				break;
			wrapped = true;
			at = next_free(s, 0);
		}
		if (wrapped && at >= s->cursor)
			break;
		end = core_slots_next_used(s, at);
		len = end - at < want ? end - at : want;
		if (len > best) {
			best = len;
			best_at = at;
		}
		at = end;
	}
	if (best) {
		take(s, best_at, best);
		*first = best_at;
	}
	return best;
}

int core_slots_free(struct core_slots *s, u32 first, u32 n)
{
	u64 mask;
	u32 w;

	if (!n || first >= s->n || n > s->n - first)
		return -EINVAL;
	for (w = first / 64; w <= (first + n - 1) / 64; w++) {
		mask = run_mask(w, first, n);
		if ((s->map[w] & mask) != mask)
			return -EINVAL;
	}
	for (w = first / 64; w <= (first + n - 1) / 64; w++)
		s->map[w] &= ~run_mask(w, first, n);
	s->used -= n;
	return 0;
}

bool core_slots_test(const struct core_slots *s, u32 slot)
{
	return slot < s->n && (s->map[slot / 64] >> (slot % 64) & 1);
}
