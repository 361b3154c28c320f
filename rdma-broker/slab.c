// SPDX-License-Identifier: GPL-2.0-only
#include "slab.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "verbs.h"

struct rmb_slab *rmb_slab_create(struct rmb_pd *pd, uint64_t bytes, int node)
{
	struct rmb_slab *slab = calloc(1, sizeof(*slab));
	int err;

	if (!slab)
		return NULL;
	slab->bytes = bytes;
	err = rmb_memfile_map(&slab->memory, "ramster-slab", bytes, node);
	if (!err) {
		/* A donor may have more slabs than a process may have files. */
		rmb_memfile_close(&slab->memory);
		slab->mr = rmb_mr_create(pd, slab->memory.addr, bytes, true, &slab->rkey);
		if (slab->mr)
			return slab;
		err = -errno;
		rmb_memfile_unmap(&slab->memory);
	}
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
	rmb_memfile_unmap(&slab->memory);
}

void rmb_slab_destroy(struct rmb_slab *slab)
{
	rmb_slab_clear(slab);
	sd_event_source_disable_unref(slab->deadline);
	free(slab);
}
