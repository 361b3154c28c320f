// SPDX-License-Identifier: GPL-2.0-only
#include "slab.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host.h"
#include "log.h"
#include "verbs.h"

static int slab_map(struct rmb_slab *slab, int node)
{
	int err;

	slab->fd = memfd_create("ramster-slab", MFD_CLOEXEC);
	if (slab->fd < 0 || ftruncate(slab->fd, (off_t)slab->bytes))
		return -errno;
	slab->addr = mmap(NULL, slab->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, slab->fd, 0);
	if (slab->addr == MAP_FAILED) {
		slab->addr = NULL;
		return -errno;
	}
	/* Registration pins the pages; the lock that mlockall() put on top is of no use. */
	munlock(slab->addr, slab->bytes);
	/* A dump of the daemon must not hold its borrowers' memory. */
	madvise(slab->addr, slab->bytes, MADV_DONTDUMP);
	if (node >= 0) {
		err = rmb_host_numa_prefer(slab->addr, slab->bytes, node);
		if (err)
			rmb_log(LOG_WARNING, "cannot prefer NUMA node %d: %s", node,
				strerror(-err));
	}
	return 0;
}

struct rmb_slab *rmb_slab_create(struct rmb_pd *pd, uint64_t bytes, int node)
{
	struct rmb_slab *slab = calloc(1, sizeof(*slab));
	int err;

	if (!slab)
		return NULL;
	slab->bytes = bytes;
	slab->fd = -1;
	err = slab_map(slab, node);
	if (!err) {
		slab->mr = rmb_mr_create(pd, slab->addr, bytes, &slab->rkey);
		if (slab->mr)
			return slab;
		err = -errno;
	}
	rmb_slab_clear(slab);
	free(slab);
	errno = -err;
	return NULL;
}

void rmb_slab_clear(struct rmb_slab *slab)
{
	int err;

	if (slab->mr) {
		err = rmb_mr_destroy(slab->mr);
		if (err)
			rmb_log(LOG_ERR, "slab %" PRIu64 ": cannot deregister: %s", slab->id,
				strerror(-err));
		slab->mr = NULL;
	}
	if (slab->addr) {
		munmap(slab->addr, slab->bytes);
		slab->addr = NULL;
	}
	if (slab->fd >= 0) {
		close(slab->fd);
		slab->fd = -1;
	}
}

void rmb_slab_destroy(struct rmb_slab *slab)
{
	rmb_slab_clear(slab);
	sd_event_source_disable_unref(slab->deadline);
	free(slab);
}
