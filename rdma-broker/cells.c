// SPDX-License-Identifier: GPL-2.0-only
#include "cells.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "../core/dir.h"

#define NONE CORE_DIR_NONE

struct rmb_cell {
	uint64_t object;
	uint64_t tag;	     /* 0: empty, or given */
	uint32_t prev, next; /* in the chain of the object; NONE at its ends */
};

struct rmb_run {
	struct rmb_holder *holder; /* NULL: not lent */
	uint64_t given;		   /* a bit for each slot that is to be put */
	uint32_t full;
	struct rmb_run **list; /* the one it is on; NULL while it is lent */
	struct rmb_run *prev, *next;
};

static uint32_t run_first(const struct rmb_cells *c, const struct rmb_run *run)
{
	return (uint32_t)(run - c->runs) * RMB_RUN_SLOTS;
}

/* To the list where it belongs now; it keeps its place if that is where it is. */
static void run_settle(struct rmb_cells *c, struct rmb_run *run)
{
	struct rmb_run **list = run->holder ? NULL : run->full ? &c->filled : &c->empty;

	if (list == run->list)
		return;
	if (run->list)
		DL_DELETE(*run->list, run);
	run->list = list;
	if (list)
		DL_APPEND(*list, run);
}

/* No slot of it is to be put any more. */
static void run_end(struct rmb_cells *c, struct rmb_run *run)
{
	struct rmb_holder *holder = run->holder;
	unsigned int i;

	for (i = 0; holder->runs[i] != run; i++)
		;
	holder->runs[i] = holder->runs[--holder->n];
	run->holder = NULL;
	run->given = 0;
	run_settle(c, run);
}

/* ---- cells ---- */

static void *bucket(struct rmb_cells *c, uint64_t tag)
{
	return (uint8_t *)c->dir + core_dir_offset(tag, c->slots);
}

static uint32_t *chain(struct rmb_cells *c, uint64_t object)
{
	return &c->heads[((object ^ c->seed) * (c->seed | 1) >> 32) & (c->slots - 1)];
}

static void cell_fill(struct rmb_cells *c, uint32_t slot, uint64_t object, uint64_t tag)
{
	struct rmb_cell *cell = &c->cells[slot];
	uint32_t *head = chain(c, object);

	cell->object = object;
	cell->tag = tag;
	cell->prev = NONE;
	cell->next = *head;
	if (*head != NONE)
		c->cells[*head].prev = slot;
	*head = slot;
	c->runs[slot / RMB_RUN_SLOTS].full++;
	c->pages++;
}

/* The page's entry is out of the directory already. */
static void cell_empty(struct rmb_cells *c, uint32_t slot)
{
	struct rmb_run *run = &c->runs[slot / RMB_RUN_SLOTS];
	struct rmb_cell *cell = &c->cells[slot];

	if (cell->next != NONE)
		c->cells[cell->next].prev = cell->prev;
	if (cell->prev != NONE)
		c->cells[cell->prev].next = cell->next;
	else
		*chain(c, cell->object) = cell->next;
	cell->tag = 0;
	run->full--;
	c->pages--;
	run_settle(c, run);
}

static void forget(struct rmb_cells *c, uint32_t slot)
{
	uint64_t tag = c->cells[slot].tag;

	core_dir_erase(bucket(c, tag), tag);
	cell_empty(c, slot);
}

static void run_empty(struct rmb_cells *c, struct rmb_run *run)
{
	uint32_t slot = run_first(c, run), end = slot + RMB_RUN_SLOTS;

	for (; run->full && slot < end; slot++)
		if (c->cells[slot].tag)
			forget(c, slot);
}

/* ---- what holders and borrowers do ---- */

uint32_t rmb_cells_give(struct rmb_cells *c, struct rmb_holder *holder, uint32_t count,
			uint32_t *first)
{
	struct rmb_run *run = c->empty ? c->empty : c->filled;

	if (!run || holder->n >= c->hold_max)
		return 0;
	c->evicted += run->full;
	run_empty(c, run);
	run->given = count < 64 ? (1ull << count) - 1 : ~0ull;
	run->holder = holder;
	holder->runs[holder->n++] = run;
	run_settle(c, run);
	*first = run_first(c, run);
	return count;
}

int rmb_cells_put(struct rmb_cells *c, struct rmb_holder *holder, uint32_t slot, uint64_t object,
		  uint64_t tag, uint64_t check)
{
	uint64_t bit = 1ull << slot % RMB_RUN_SLOTS;
	struct rmb_run *run;
	uint32_t before;

	if (slot >= c->slots)
		return -ENOENT;
	run = &c->runs[slot / RMB_RUN_SLOTS];
	if (run->holder != holder || !(run->given & bit))
		return -ENOENT;
	before = core_dir_put(bucket(c, tag), tag, slot, check);
	if (before != NONE) {
		c->evicted += c->cells[before].tag != tag;
		cell_empty(c, before);
	}
	cell_fill(c, slot, object, tag);
	run->given &= ~bit;
	if (!run->given)
		run_end(c, run);
	return 0;
}

uint32_t rmb_cells_flush_page(struct rmb_cells *c, uint64_t tag)
{
	/* Without pages the directory may not be there yet: do not touch it. */
	uint32_t slot = c->pages ? core_dir_erase(bucket(c, tag), tag) : NONE;

	if (slot == NONE)
		return 0;
	cell_empty(c, slot);
	return 1;
}

uint32_t rmb_cells_flush_object(struct rmb_cells *c, uint64_t object)
{
	uint32_t slot = *chain(c, object), next, n = 0;

	for (; slot != NONE; slot = next) {
		next = c->cells[slot].next;
		if (c->cells[slot].object != object)
			continue;
		forget(c, slot);
		n++;
	}
	return n;
}

uint32_t rmb_cells_flush_all(struct rmb_cells *c)
{
	uint32_t i, n = c->pages;

	for (i = 0; c->pages && i < c->slots / RMB_RUN_SLOTS; i++)
		run_empty(c, &c->runs[i]);
	return n;
}

void rmb_cells_leave(struct rmb_cells *c, struct rmb_holder *holder)
{
	while (holder->n)
		run_end(c, holder->runs[0]);
}

int rmb_cells_init(struct rmb_cells *c, void *dir, uint32_t slots, uint64_t seed)
{
	uint32_t i, runs = slots / RMB_RUN_SLOTS;

	*c = (struct rmb_cells){ .dir = dir, .slots = slots, .seed = seed };
	c->hold_max = runs / 4 > RMB_HOLD_MAX ? RMB_HOLD_MAX : runs / 4 ? runs / 4 : 1;
	c->cells = calloc(slots, sizeof(*c->cells));
	c->heads = malloc(slots * sizeof(*c->heads));
	c->runs = calloc(runs, sizeof(*c->runs));
	if (!c->cells || !c->heads || !c->runs) {
		rmb_cells_uninit(c);
		return -ENOMEM;
	}
	for (i = 0; i < slots; i++)
		c->heads[i] = NONE;
	for (i = 0; i < runs; i++)
		run_settle(c, &c->runs[i]);
	return 0;
}

void rmb_cells_uninit(struct rmb_cells *c)
{
	free(c->cells);
	free(c->heads);
	free(c->runs);
	*c = (struct rmb_cells){ 0 };
}
