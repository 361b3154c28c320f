/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * frontswap.h - is there frontswap, and may a module use it? Its exports went
 * with 5.17.
 */
#ifndef RMK_COMPAT_FRONTSWAP_H
#define RMK_COMPAT_FRONTSWAP_H

#include "version.h"

#if defined(CONFIG_FRONTSWAP) && RMK_KERNEL_BEFORE(5, 17)
#define RMK_HAVE_FRONTSWAP 1
#include <linux/frontswap.h>
#else
#define RMK_HAVE_FRONTSWAP 0
#endif

#endif /* RMK_COMPAT_FRONTSWAP_H */
