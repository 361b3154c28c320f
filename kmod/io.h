/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * io.h - move up to RMK_IO_PAGES pages between memory and the tiers.
 *
 * An io is memory of the caller (a command of the disk's, or the
 * mover's), so nothing is allocated on the way. Every io runs once: get or put,
 * then done().
 */
#ifndef RMK_IO_H
#define RMK_IO_H

#include <linux/workqueue.h>

#include "store.h"

#define RMK_IO_PAGES 32

enum rmk_io_page_state {
	RMK_PAGE_TODO,
	RMK_PAGE_FLYING, /* its work request is posted */
	RMK_PAGE_DONE,
	RMK_PAGE_FAILED,
	RMK_PAGE_STALE, /* a move that came too late: somebody else has changed the page */
};

struct rmk_io_page {
	struct page *page; /* all PAGE_SIZE of it */
	u32 nr;		   /* page number of the store */
	struct core_entry
		entry; /* get: what was found; put: what is published, then what it replaced */
	struct core_entry expect; /* move: what must still be there */
	u32 crc;
	u8 state; /* enum rmk_io_page_state */
	s16 err;  /* of a FAILED one, as io.err */
};

/* Pages side by side in the io and in a slab: one work request. */
struct rmk_io_run {
	struct rmk_wr wr;
	struct rmk_io *io;
	struct rmk_slab *slab; /* with a reference */
	u32 slot;
	u16 first, n; /* of io->page */
};

/* Which tiers a put may use, besides the index. */
enum rmk_put_to { RMK_PUT_ANYWHERE, RMK_PUT_REMOTE, RMK_PUT_LOCAL };

struct rmk_io {
	struct rmk_store *store;
	/* Called once per get or put; io->err says how it went. Softirq or process context. */
	void (*done)(struct rmk_io *io);
	/*
	 * 0; -EIO: the data is not to be had; -ENOSPC: no tier takes it;
	 * -EAGAIN: nothing is wrong for good, try again a little later.
	 */
	int err;
	u64 start; /* ns, when the front asked; set by the caller unless move */
	enum rmk_lane lane;
	bool move; /* not for a front; put: publish only over page->expect, keep page->crc */
	enum rmk_put_to to; /* put */
	bool reclaim;	    /* put: swap-out, which frees more memory than it takes */
	bool again;	    /* put: the rest needs process context */
	u16 npages, nruns, nspans;
	atomic_t pending;
	struct work_struct work;
	struct rmk_io_page page[RMK_IO_PAGES];
	struct rmk_io_run run[RMK_IO_PAGES];
	struct rmk_span span[RMK_IO_PAGES];
};

/* Once for the memory's life. */
void rmk_io_init(struct rmk_io *io, struct rmk_store *store, void (*done)(struct rmk_io *io));

/*
 * Fill io->page[0..npages) (page, nr, lane and start set by the caller). A page that
 * fails its checksum, or whose request failed, ends FAILED and its content is
 * undefined: it must not be handed out. Process context; does not sleep.
 */
void rmk_io_get(struct rmk_io *io);

/*
 * Store io->page[0..npages) (page, nr, start; with move also expect and crc). Process
 * context; does not sleep.
 */
void rmk_io_put(struct rmk_io *io);

/* Of PAGE_SIZE bytes. */
u32 rmk_page_crc(const void *addr);
/* Does one 64-bit word fill the page? */
bool rmk_page_same_filled(const void *addr, u64 *word);

int rmk_io_module_init(void);
void rmk_io_module_exit(void);

#endif /* RMK_IO_H */
