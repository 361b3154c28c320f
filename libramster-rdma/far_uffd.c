// SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause
#include "far_uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../include/ramster/ramster_rdma.h"

/* Linux 6.6; not yet in the headers of Debian 12. */
#ifndef UFFD_FEATURE_POISON
#define UFFD_FEATURE_POISON (1 << 14)
struct uffdio_poison {
	struct uffdio_range range;
	__u64 mode;
	__s64 updated;
};
#define UFFDIO_POISON _IOWR(UFFDIO, 0x08, struct uffdio_poison)
#endif
#ifndef USERFAULTFD_IOC_NEW /* Linux 6.1 */
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

/* ---- to open it ---- */

/* By the device, for those whom its permissions let. */
static int open_device(int flags)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int fd = -1;

	if (device < 0)
		return -1;
	fd = ioctl(device, USERFAULTFD_IOC_NEW, flags);
	close(device);
	return fd;
}

static int open_uffd(bool *user_only)
{
	const int flags = O_CLOEXEC | O_NONBLOCK;
	int fd = (int)syscall(SYS_userfaultfd, flags);

	*user_only = false;
	if (fd >= 0 || errno == ENOSYS)
		return fd < 0 ? -errno : fd;
	fd = open_device(flags);
	if (fd >= 0)
		return fd;
	*user_only = true;
	fd = (int)syscall(SYS_userfaultfd, flags | UFFD_USER_MODE_ONLY);
	return fd < 0 ? -errno : fd;
}

/* What the kernel has; it is asked by a descriptor of its own, for each can be asked once. */
static int probe(u64 *features)
{
	struct uffdio_api api = { .api = UFFD_API };
	bool user_only;
	int fd = open_uffd(&user_only);
	int err;

	if (fd < 0)
		return fd;
	err = ioctl(fd, UFFDIO_API, &api) ? -errno : 0;
	close(fd);
	*features = api.features;
	return err;
}

static int open_checked(struct far_uffd *u)
{
	struct uffdio_api api = { .api = UFFD_API };
	u64 features = 0;
	int err = probe(&features);

	if (err == -EPERM || err == -EACCES) {
		rmr_log(u->log, RMR_LOG_WARNING,
			"far memory: userfaultfd is not permitted; allow /dev/userfaultfd or set sysctl "
			"vm.unprivileged_userfaultfd=1");
		return -EPERM;
	}
	if (err == -EMFILE || err == -ENFILE || err == -ENOMEM)
		return err;
	if (err || !(features & UFFD_FEATURE_PAGEFAULT_FLAG_WP)) {
		rmr_log(u->log, RMR_LOG_WARNING,
			"far memory: this kernel has no userfaultfd with write-protection; it needs "
			"Linux 5.7 or later on x86-64 or arm64");
		return -ENOSYS;
	}
	u->can_poison = features & UFFD_FEATURE_POISON;
	api.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | (features & UFFD_FEATURE_POISON);
	u->fd = open_uffd(&u->user_only);
	if (u->fd < 0)
		return u->fd;
	if (ioctl(u->fd, UFFDIO_API, &api))
		return -errno;
	if (u->user_only)
		rmr_log(u->log, RMR_LOG_WARNING,
			"far memory: only faults of the program itself are permitted; system calls "
			"that touch pages which are not here fail with EFAULT");
	return 0;
}

/* ---- the range ---- */

/* Let faults of pages be told to us: of new memory. */
static int adopt(const struct far_uffd *u, u8 *addr, u64 bytes)
{
	struct uffdio_register reg = {
		.range = { .start = (u64)(uintptr_t)addr, .len = bytes },
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};

	/* a huge page would come whole; a child would find pages missing that nobody brings */
	madvise(addr, bytes, MADV_NOHUGEPAGE);
	if (madvise(addr, bytes, MADV_DONTFORK) || ioctl(u->fd, UFFDIO_REGISTER, &reg))
		return -errno;
	return reg.ioctls & (1ull << _UFFDIO_WRITEPROTECT) ? 0 : -ENOSYS;
}

int far_uffd_init(struct far_uffd *u, u64 bytes, const struct rmr_log *log)
{
	int err;

	u->log = log;
	u->fd = -1;
	u->nothing = -1;
	u->bytes = bytes;
	u->base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (u->base == MAP_FAILED)
		return -errno;
	err = open_checked(u);
	if (!err)
		err = adopt(u, u->base, bytes);
	if (err)
		far_uffd_uninit(u);
	return err;
}

void far_uffd_uninit(struct far_uffd *u)
{
	munmap(u->base, u->bytes);
	if (u->fd >= 0)
		close(u->fd);
	if (u->nothing >= 0)
		close(u->nothing);
}

/* ---- pages ---- */

static u64 address(const struct far_uffd *u, u64 page)
{
	return (u64)(uintptr_t)u->base + page * FAR_PAGE;
}

int far_uffd_copy(const struct far_uffd *u, u64 page, const void *data, bool protect)
{
	struct uffdio_copy copy = {
		.dst = address(u, page),
		.src = (u64)(uintptr_t)data,
		.len = FAR_PAGE,
		.mode = protect ? UFFDIO_COPY_MODE_WP : 0,
	};

	return ioctl(u->fd, UFFDIO_COPY, &copy) ? -errno : 0;
}

static int write_protect(const struct far_uffd *u, u64 page, u64 mode)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = address(u, page), .len = FAR_PAGE },
		.mode = mode,
	};

	return ioctl(u->fd, UFFDIO_WRITEPROTECT, &wp) ? -errno : 0;
}

int far_uffd_protect(const struct far_uffd *u, u64 page)
{
	return write_protect(u, page, UFFDIO_WRITEPROTECT_MODE_WP);
}

void far_uffd_unprotect(const struct far_uffd *u, u64 page)
{
	write_protect(u, page, 0);
}

int far_uffd_drop(const struct far_uffd *u, u64 page)
{
	return madvise(u->base + page * FAR_PAGE, FAR_PAGE, MADV_DONTNEED) ? -errno : 0;
}

void far_uffd_wake(const struct far_uffd *u, u64 page)
{
	struct uffdio_range range = { .start = address(u, page), .len = FAR_PAGE };

	ioctl(u->fd, UFFDIO_WAKE, &range);
}

/* ---- pages that are lost ---- */

/* Map nothing over a range. Pages side by side become one mapping: they go on in the file. */
static bool map_nothing(struct far_uffd *u, u64 page, u64 bytes)
{
	if (u->nothing < 0)
		u->nothing = memfd_create("ramster-lost", MFD_CLOEXEC);
	return u->nothing >= 0 &&
	       mmap(u->base + page * FAR_PAGE, bytes, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, u->nothing, (off_t)(page * FAR_PAGE)) != MAP_FAILED;
}

/* Nobody may ever see what is left of the range. */
static void give_up(struct far_uffd *u)
{
	struct uffdio_range all = { .start = address(u, 0), .len = u->bytes };

	if (!map_nothing(u, 0, u->bytes))
		munmap(u->base, u->bytes); /* then it is SIGSEGV */
	ioctl(u->fd, UFFDIO_WAKE, &all);
}

bool far_uffd_poison(struct far_uffd *u, u64 page)
{
	struct uffdio_poison poison = {
		.range = { .start = address(u, page), .len = FAR_PAGE },
	};

	if (u->can_poison && !ioctl(u->fd, UFFDIO_POISON, &poison))
		return true;
	if (!map_nothing(u, page, FAR_PAGE)) {
		give_up(u);
		return false;
	}
	far_uffd_wake(u, page);
	return true;
}

int far_uffd_restore(struct far_uffd *u, u64 page)
{
	u8 *addr = u->base + page * FAR_PAGE;

	if (u->can_poison)
		return far_uffd_drop(u, page);
	if (mmap(addr, FAR_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
		 -1, 0) == MAP_FAILED)
		return -errno;
	/* only when faults are told may it be touched: else it would be zeroes unknown to us */
	if (adopt(u, addr, FAR_PAGE) || mprotect(addr, FAR_PAGE, PROT_READ | PROT_WRITE))
		return -errno;
	return 0;
}
