/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * params.h - what modprobe was told, checked.
 */
#ifndef RMK_PARAMS_H
#define RMK_PARAMS_H

#include <linux/types.h>
#include <linux/socket.h>

#include "remote.h"

struct rmk_donor_address {
	struct sockaddr_storage addr;
	char name[64]; /* as given */
};

/* A size as in "64M", with K, M, G or T and a line's end or none: -EINVAL; -ERANGE: above 2^64. */
int rmk_parse_bytes(const char *text, u64 *bytes);

struct rmk_params {
	struct rmk_donor_address donors[RMK_MAX_DONORS];
	u32 ndonors;
	u64 npages; /* of the device */
	u64 slab_bytes;
	u64 zpool_bytes;
	bool wait;
};

/* 0, or -EINVAL after one log line that names the parameter and its limits. May sleep. */
int rmk_params_parse(struct rmk_params *out);

#endif /* RMK_PARAMS_H */
