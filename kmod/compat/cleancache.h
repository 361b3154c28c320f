/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cleancache.h - is there cleancache? It went with 5.17.
 */
#ifndef RMK_COMPAT_CLEANCACHE_H
#define RMK_COMPAT_CLEANCACHE_H

#include "version.h"

#if defined(CONFIG_CLEANCACHE) && RMK_KERNEL_BEFORE(5, 17)
#define RMK_HAVE_CLEANCACHE 1
#include <linux/cleancache.h>
#else
#define RMK_HAVE_CLEANCACHE 0
#endif

#endif /* RMK_COMPAT_CLEANCACHE_H */
