/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * zstd.h - 5.15's names for zstd on 5.10, which has upstream's of that day.
 */
#ifndef RMK_COMPAT_ZSTD_H
#define RMK_COMPAT_ZSTD_H

#include <linux/zstd.h>

#include "version.h"

#if RMK_KERNEL_BEFORE(5, 16)

#define zstd_parameters ZSTD_parameters
#define zstd_cctx	ZSTD_CCtx
#define zstd_dctx	ZSTD_DCtx

#define zstd_compress_bound(size)	   ZSTD_compressBound(size)
#define zstd_is_error(code)		   ZSTD_isError(code)
#define zstd_get_params(level, size)	   ZSTD_getParams(level, size, 0)
#define zstd_cctx_workspace_bound(cparams) ZSTD_CCtxWorkspaceBound(*(cparams))
#define zstd_dctx_workspace_bound()	   ZSTD_DCtxWorkspaceBound()
#define zstd_init_cctx(workspace, size)	   ZSTD_initCCtx(workspace, size)
#define zstd_init_dctx(workspace, size)	   ZSTD_initDCtx(workspace, size)
#define zstd_compress_cctx(ctx, dst, dst_size, src, src_size, params) \
	ZSTD_compressCCtx(ctx, dst, dst_size, src, src_size, *(params))
#define zstd_decompress_dctx(ctx, dst, dst_size, src, src_size) \
	ZSTD_decompressDCtx(ctx, dst, dst_size, src, src_size)

#endif

#endif /* RMK_COMPAT_ZSTD_H */
