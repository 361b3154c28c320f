/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * version.h - which kernel this is built for, and the oldest that serves.
 *
 * Only kmod/compat asks. Where a changed feature leaves a macro behind, that is
 * probed for instead.
 */
#ifndef RMK_COMPAT_VERSION_H
#define RMK_COMPAT_VERSION_H

#include <linux/version.h>

#define RMK_KERNEL_BEFORE(major, minor) (KERNEL_VERSION(major, minor, 0) > LINUX_VERSION_CODE)

#if RMK_KERNEL_BEFORE(5, 10)
#error "ramster_rdma needs Linux 5.10 or newer"
#endif

#endif /* RMK_COMPAT_VERSION_H */
