/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR BSD-3-Clause */
/*
 * ramster_rdma.h - memory of other machines for programs, by RDMA.
 *
 * A program opens a fabric, makes pools and puts pages into them: page index of
 * object lies in RAM that some donor (ramsterd) lends, else compressed in this
 * process. docs/library.md and ramster-rdma(7) tell the whole story.
 *
 * Every function returns 0 or a negative errno unless it says otherwise. All
 * may be called by any thread at any time, except that of a queue one function
 * at a time may be called, and that nothing may be destroyed or closed while a call
 * uses it. None prints, exits or touches signals. What the library knows of a
 * process does not survive fork(): the child must not call it.
 */
#ifndef RAMSTER_RDMA_H
#define RAMSTER_RDMA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rmr;	  /* a fabric that was opened */
struct rmr_pool;  /* pages of one size and kind */
struct rmr_buf;	  /* memory of the program that the RDMA device may reach: no copying */
struct rmr_queue; /* calls that are under way, and their ends */

/* What a log line is about, as syslog has it. */
#define RMR_LOG_WARNING 4
#define RMR_LOG_INFO	6

struct rmr_options {
	size_t size;	     /* set by rmr_options_init() */
	uint64_t slab_bytes; /* borrowed at a time: a power of two, 1 MiB to 1 GiB; 64 MiB */
	uint64_t zstd_bytes; /* limit of the compressed tier; 64 MiB; 0: no such tier */
	uint32_t poll_us;    /* a call waits so long on the spot before it sleeps; 200 */
	uint32_t timeout_ms; /* no call waits longer for a donor or for room; 30000 */
	/* Called with a line without line end, by any thread; NULL: no log. Must not call back. */
	void (*log)(void *arg, int level, const char *line);
	void *log_arg;
};

void rmr_options_init(struct rmr_options *options);

/*
 * Open a fabric: connect in the background to each of donors, which is a list
 * "10.0.0.2,10.0.0.3:7470,[fd00::2]:7470" of numeric addresses, 16 at most, and
 * stay connected. options NULL: the defaults. -EINVAL: an address or option is
 * not valid; -ENODEV: this machine cannot do RDMA; -ENOMEM, -EAGAIN: no resources.
 */
int rmr_open(const char *donors, const struct rmr_options *options, struct rmr **fabric);
/* Wait until a donor answers. -ETIMEDOUT. Optional: without donors pages are compressed. */
int rmr_wait_connected(struct rmr *fabric, uint32_t timeout_ms);
/* Give everything back. All queues and buffers must be gone; pools go with it. */
void rmr_close(struct rmr *fabric);

/* Pages of a persistent pool are kept; if their donor dies, gets say -EIO, never old data. */
#define RMR_PERSISTENT 0u
/* Pages of an ephemeral pool may vanish at any time: a get says -ENOENT then. */
#define RMR_EPHEMERAL 1u

#define RMR_PAGE_MIN 4096u
#define RMR_PAGE_MAX (2u << 20)

/*
 * A new, empty pool. page_bytes: a power of two, RMR_PAGE_MIN to RMR_PAGE_MAX,
 * at most slab_bytes. -EINVAL, -ENOMEM.
 */
int rmr_pool_create(struct rmr *fabric, unsigned int flags, size_t page_bytes,
		    struct rmr_pool **pool);
/* Forget all its pages. Calls of queues that use it may still be under way. */
void rmr_pool_destroy(struct rmr_pool *pool);

/*
 * Store a page. Until it returns, gets find the page as it was before. If it
 * fails the page is gone, the old copy too: -ENOSPC: no donor and no tier has
 * room; -ENOMEM.
 */
int rmr_put(struct rmr_pool *pool, uint64_t object, uint64_t index, const void *page);
/*
 * Fetch a page. -ENOENT: it was never put, was flushed, or has vanished; -EIO: it
 * was lost with its donor, or came back damaged; -ETIMEDOUT: its donor does not
 * answer, it may be had later. After an error nothing useful is left at page.
 */
int rmr_get(struct rmr_pool *pool, uint64_t object, uint64_t index, void *page);
/*
 * The same for len bytes from offset on. The page travels as a whole, because
 * the whole is checked. Of a page that is not there no part can be put: -ENOENT. One
 * that cannot be fetched stays as it is, and one that others keep changing: -EAGAIN.
 */
int rmr_put_range(struct rmr_pool *pool, uint64_t object, uint64_t index, size_t offset, size_t len,
		  const void *data);
int rmr_get_range(struct rmr_pool *pool, uint64_t object, uint64_t index, size_t offset, size_t len,
		  void *data);
/* Forget a page; -ENOENT if there was none. Forget all pages of an object: how many. */
int rmr_flush_page(struct rmr_pool *pool, uint64_t object, uint64_t index);
int64_t rmr_flush_object(struct rmr_pool *pool, uint64_t object);

/* A page of a call that is given several, or that does not wait. */
struct rmr_page {
	uint64_t object, index;
	void *addr;	     /* page_bytes of memory */
	struct rmr_buf *buf; /* in which addr lies, or NULL: it is copied once */
	int result;	     /* 0 or a negative errno, as of rmr_put() and rmr_get() */
};

/* n pages at once. Returns 0 if each has result 0, else the first other one. */
int rmr_putv(struct rmr_pool *pool, struct rmr_page *pages, size_t n);
int rmr_getv(struct rmr_pool *pool, struct rmr_page *pages, size_t n);

/*
 * Let the RDMA device reach memory that stays where it is until it is
 * unregistered; it is pinned then. -ENOMEM, often of RLIMIT_MEMLOCK.
 */
int rmr_buf_register(struct rmr *fabric, void *addr, size_t len, struct rmr_buf **buf);
void rmr_buf_unregister(struct rmr_buf *buf);

struct rmr_done {
	void *tag;
	int result;
};

/* A queue of up to depth calls under way, 1 to 4096. */
int rmr_queue_create(struct rmr *fabric, unsigned int depth, struct rmr_queue **queue);
/* Waits for the calls under way; their ends are not told any more. */
void rmr_queue_destroy(struct rmr_queue *queue);
/*
 * Start a put or get of a page, whose memory must not be touched until the end
 * of the call is told, with tag. *page itself is not needed any more. Of several puts of
 * one page the one started last counts. -EAGAIN: depth calls are under way.
 */
int rmr_queue_put(struct rmr_queue *queue, struct rmr_pool *pool, const struct rmr_page *page,
		  void *tag);
int rmr_queue_get(struct rmr_queue *queue, struct rmr_pool *pool, const struct rmr_page *page,
		  void *tag);
/*
 * Calls that are started from here on, until the queue is next polled, waited for or armed, go
 * together, 16 at a time at most, which costs less than one by one. The last of them go with that
 * poll, wait or arm, and it must come soon: not before does anything happen to them.
 */
void rmr_queue_batch(struct rmr_queue *queue);
/* Up to max ends of calls, without waiting; returns how many. */
int rmr_queue_poll(struct rmr_queue *queue, struct rmr_done *done, int max);
/* The same, but waits for the first one; 0 after timeout_ms. */
int rmr_queue_wait(struct rmr_queue *queue, struct rmr_done *done, int max, uint32_t timeout_ms);
/*
 * A file descriptor for poll, select and epoll: readable when there may be ends
 * to poll. It tells of an end only after rmr_queue_arm() returned 0; that returns
 * 1 if there are ends already: poll them first.
 */
int rmr_queue_fd(const struct rmr_queue *queue);
int rmr_queue_arm(struct rmr_queue *queue);

struct rmr_stats {
	uint32_t donors, donors_live;
	uint32_t slabs, slabs_revoked;	       /* borrowed now; of these asked back */
	uint64_t remote_pages, zstd_pages;     /* where pages lie now */
	uint64_t same_pages, lost_pages;       /* one word repeated; gone with their donor */
	uint64_t zstd_bytes;		       /* RAM of the compressed tier */
	uint64_t gets, hits, puts;	       /* since open, as what follows */
	uint64_t remote_reads, remote_writes;  /* pages, by RDMA */
	uint64_t evacuated, shipped, vanished; /* moved off revoked slabs, to new room; dropped */
	uint64_t crc_errors;		       /* pages that came back damaged */
};

/* size: sizeof(struct rmr_stats) as the program was compiled. */
void rmr_stats(struct rmr *fabric, struct rmr_stats *stats, size_t size);

/* ---- far memory: a range of addresses larger than the RAM it may use ---- */

struct rmr_far;

/* Least limit of far memory, in bytes. */
#define RMR_FAR_LIMIT_MIN (1u << 20)

struct rmr_far_options {
	size_t size;	       /* set by rmr_far_options_init() */
	uint32_t threads;      /* that bring pages, 1 to 16; as many as CPUs, 4 at most */
	uint32_t window_pages; /* fetched ahead of a sequential run at most, 0 to 64; 64 */
	/*
	 * A page cannot be had: error is -EIO (it was lost with its donor), -ETIMEDOUT or
	 * -ENOSPC (there is no room for other pages). Who touches it gets SIGBUS when
	 * this has returned. Called by any thread; must neither touch far memory nor call back.
	 */
	void (*lost)(void *arg, void *addr, int error);
	void *lost_arg;
};

void rmr_far_options_init(struct rmr_far_options *options);

/*
 * Reserve size bytes of address space, zeroes at first, of which at most local_limit
 * lie in RAM here, the rest where the fabric keeps persistent pages. Both are multiples
 * of 4096. Beside that it takes a byte per page, and 256 KiB of registered buffers per
 * thread. The range is not for children (fork), nor for devices (O_DIRECT, rmr_buf) unless
 * pinned, and must not be unmapped, remapped or given to madvise(). -EINVAL; -ENOMEM;
 * -ENOSYS: this kernel has no userfaultfd with write-protection; -EPERM: it is not allowed.
 */
int rmr_far_create(struct rmr *fabric, size_t size, size_t local_limit,
		   const struct rmr_far_options *options, struct rmr_far **far);
/* Nobody may touch the range any more. All its contents are forgotten. */
void rmr_far_destroy(struct rmr_far *far);
void *rmr_far_addr(const struct rmr_far *far);

#define RMR_FAR_WILLNEED \
	1 /* begin to fetch, as much as fits into 3/4 of the limit; returns at once */
#define RMR_FAR_DONTNEED 2 /* forget: zeroes from now on, also what was lost; ends pins */
#define RMR_FAR_PIN	 3 /* fetch and keep in RAM; all pins: 3/4 of the limit, else -ENOMEM */
#define RMR_FAR_UNPIN	 4 /* of pages that are pinned or not */

/* addr and len are multiples of 4096, within the range. A pin that fails pins nothing: -EIO, ... */
int rmr_far_advise(struct rmr_far *far, void *addr, size_t len, int advice);

struct rmr_far_stats {
	uint64_t size, limit, resident, resident_peak, pinned; /* bytes */
	uint64_t faults, write_faults; /* on missing and on write-protected pages */
	uint64_t zeroed, fetched;      /* faults answered with zeroes; by a get */
	uint64_t fetched_ahead;	       /* pages that nobody waited for when it began */
	uint64_t dropped, written;     /* pages that went: clean ones; with a put */
	uint64_t rescued;	       /* written to again while they were put */
	uint64_t stalls;	       /* faults that had to wait for room */
	uint64_t lost;		       /* pages that became SIGBUS */
	uint64_t user_mode_only;       /* 1: system calls fail with EFAULT on pages not here */
};

/* size: sizeof(struct rmr_far_stats) as the program was compiled. */
void rmr_far_stats(struct rmr_far *far, struct rmr_far_stats *stats, size_t size);

#ifdef __cplusplus
}
#endif

#endif /* RAMSTER_RDMA_H */
