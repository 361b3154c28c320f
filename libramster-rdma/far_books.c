// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
#include "far_books.h"

#define RESIDENT_8 0x0101010101010101ull

u64 far_clock_next(struct far_clock *c, u64 *budget)
{
	const u8 mask = FAR_RESIDENT | FAR_BUSY | FAR_PINNED;
	u64 page, eight;
	u8 flags;

	while (*budget) {
		if (c->hand >= c->pages)
			c->hand = 0;
		if (!(c->hand & 7)) {
			/* most of a large range is not here: eight at a time */
			eight = __atomic_load_n((u64 *)(void *)(c->flags + c->hand),
						__ATOMIC_RELAXED);
			if (!(eight & RESIDENT_8)) {
				c->hand += 8;
				*budget -= *budget < 8 ? *budget : 8;
				continue;
			}
		}
		page = c->hand++;
		(*budget)--;
		flags = __atomic_load_n(&c->flags[page], __ATOMIC_RELAXED);
		if ((flags & mask) != FAR_RESIDENT)
			continue;
		if (!(flags & FAR_USED))
			return page;
		__atomic_fetch_and(&c->flags[page], (u8)~FAR_USED, __ATOMIC_RELAXED);
	}
	return FAR_NONE;
}

void far_window_init(struct far_window *w, u32 max)
{
	u32 i;

	memset(w, 0, sizeof(*w));
	w->max = max;
	for (i = 0; i < FAR_STREAMS; i++)
		w->streams[i].begin = w->streams[i].end = FAR_NONE;
}

/* The stream that goes on at page, else the one that has not gone on for longest, anew. */
static struct far_stream *find(struct far_window *w, u64 page, bool *found)
{
	struct far_stream *s, *oldest = &w->streams[0];

	for (s = w->streams; s < w->streams + FAR_STREAMS; s++) {
		*found = page >= s->begin && page <= s->end;
		if (*found)
			return s;
		if (w->now - s->used > w->now - oldest->used)
			oldest = s;
	}
	return oldest;
}

static u32 grow(const struct far_window *w, u32 window)
{
	window = window ? 2 * window : FAR_WINDOW_FIRST;
	return window < w->max ? window : w->max;
}

u32 far_window_fault(struct far_window *w, u64 page, u64 *from)
{
	struct far_stream *s;
	bool found = false;

	w->now++;
	s = find(w, page, &found);
	s->used = w->now;
	if (!found) {
		s->begin = s->end = page + 1;
		s->window = 0;
		return 0;
	}
	/* asked for but not there yet: the program has caught up, and half the window is left */
	if (s->end > page && s->end - page > s->window / 2)
		return 0;
	*from = s->end > page ? s->end : page + 1;
	s->window = grow(w, s->window);
	s->begin = page + 1;
	s->end = *from + s->window;
	return s->window;
}
