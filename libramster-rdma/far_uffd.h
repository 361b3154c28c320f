/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * far_uffd.h - what the kernel does for far memory: userfaultfd.
 */
#ifndef RMR_FAR_UFFD_H
#define RMR_FAR_UFFD_H

#include "util.h"

#define FAR_PAGE 4096ull

/* A range of anonymous memory whose faults are told to us. */
struct far_uffd {
	const struct rmr_log *log;
	u8 *base;
	u64 bytes;
	int fd;
	int nothing;	/* an empty memfd: what is mapped of it is SIGBUS; -1 until needed */
	bool user_only; /* faults in system calls are not told: they fail with EFAULT */
	bool can_poison;
};

/* Reserve bytes. -ENOSYS, -EPERM, each with a line to the log; -ENOMEM. */
int far_uffd_init(struct far_uffd *u, u64 bytes, const struct rmr_log *log);
void far_uffd_uninit(struct far_uffd *u);

/* Map a copy of data at page, write-protected or not, and wake who waits for it. */
int far_uffd_copy(const struct far_uffd *u, u64 page, const void *data, bool protect);
/* On return no thread writes to the page, until it is let. */
int far_uffd_protect(const struct far_uffd *u, u64 page);
/* Let it be written, and wake who waits for that. */
void far_uffd_unprotect(const struct far_uffd *u, u64 page);
/* The page is missing from now on. */
int far_uffd_drop(const struct far_uffd *u, u64 page);
/* Who waits for the page shall look again. */
void far_uffd_wake(const struct far_uffd *u, u64 page);
/*
 * To touch the page is SIGBUS from now on, also for who waits for it already. If
 * that cannot be done (too many mappings), the same for the whole range: false.
 */
bool far_uffd_poison(struct far_uffd *u, u64 page);
/* A page that was poisoned is missing from now on. */
int far_uffd_restore(struct far_uffd *u, u64 page);

#endif /* RMR_FAR_UFFD_H */
