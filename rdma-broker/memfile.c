// SPDX-License-Identifier: GPL-2.0-only
#include "memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host.h"
#include "log.h"

static int map(struct rmb_memfile *file, const char *name)
{
	file->fd = memfd_create(name, MFD_CLOEXEC);
	if (file->fd < 0 || ftruncate(file->fd, (off_t)file->bytes))
		return -errno;
	file->addr = mmap(NULL, file->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, 0);
	if (file->addr == MAP_FAILED) {
		file->addr = NULL;
		return -errno;
	}
	return 0;
}

int rmb_memfile_map(struct rmb_memfile *file, const char *name, uint64_t bytes, int node)
{
	int err;

	file->bytes = bytes;
	file->addr = NULL;
	err = map(file, name);
	if (err) {
		rmb_memfile_unmap(file);
		return err;
	}
	/* Registration pins the pages; the lock that mlockall() put on top is of no use. */
	munlock(file->addr, bytes);
	/* A dump of the daemon must not hold its borrowers' memory. */
	madvise(file->addr, bytes, MADV_DONTDUMP);
	if (node >= 0) {
		err = rmb_host_numa_prefer(file->addr, bytes, node);
		if (err)
			rmb_log(LOG_WARNING, "cannot prefer NUMA node %d: %s", node,
				strerror(-err));
	}
	return 0;
}

int rmb_memfile_fill(struct rmb_memfile *file, uint64_t offset, uint64_t bytes)
{
	return fallocate(file->fd, 0, (off_t)offset, (off_t)bytes) ? -errno : 0;
}

void rmb_memfile_close(struct rmb_memfile *file)
{
	if (file->fd >= 0) {
		close(file->fd);
		file->fd = -1;
	}
}

void rmb_memfile_unmap(struct rmb_memfile *file)
{
	if (file->addr) {
		munmap(file->addr, file->bytes);
		file->addr = NULL;
	}
	rmb_memfile_close(file);
}
