/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cleancache.h - the front that takes clean pages of files as the page cache
 * lets them go, on kernels that have the hooks (compat/cleancache.h).
 */
#ifndef RMK_CLEANCACHE_H
#define RMK_CLEANCACHE_H

#include "pool.h"

/*
 * Register, if cleancache=1 and the kernel has it. There is no way back: the
 * module is pinned, so this comes last. May sleep.
 */
void rmk_cleancache_start(struct rmk_store *store, struct rmk_writer *writer);

/* Numbers that it may need. */
u64 rmk_cleancache_capacity(void);
/* What a donor says of a share; its connection broke. From the session's work. */
void rmk_cleancache_message(struct rmk_session *s, const struct core_msg *msg);
void rmk_cleancache_broken(struct rmk_session *s);
/* rmk_shares_show() */
ssize_t rmk_cleancache_show_shares(char *buf);

/* Of all its pools. May sleep. */
void rmk_cleancache_stats(struct rmk_pool_stats *out);

#endif /* RMK_CLEANCACHE_H */
