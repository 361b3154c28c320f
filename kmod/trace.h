/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trace.h - tracepoints, system "ramster". docs/statistics.md describes the
 * events and their fields.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ramster

#if !defined(RMK_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define RMK_TRACE_H

#include <linux/string.h>
#include <linux/tracepoint.h>

#include "slab.h"

/* For programs that read the events' formats, which name them. */
TRACE_DEFINE_ENUM(CORE_EMPTY);
TRACE_DEFINE_ENUM(CORE_REMOTE);
TRACE_DEFINE_ENUM(CORE_ZSTD);
TRACE_DEFINE_ENUM(CORE_SAME);
TRACE_DEFINE_ENUM(CORE_LOST);
TRACE_DEFINE_ENUM(CORE_STAGED);

#define RMK_SHOW_WHERE(where)                                                                 \
	__print_symbolic(where, { CORE_EMPTY, "empty" }, { CORE_REMOTE, "remote" },           \
			 { CORE_ZSTD, "zstd" }, { CORE_SAME, "same" }, { CORE_LOST, "lost" }, \
			 { CORE_STAGED, "staged" })

/* The macros look like functions, but clang-format does not know how they nest. */
/* clang-format off */

/* A try to read page nr for a front ended ns after the front asked; err: 0 or -errno. */
TRACE_EVENT(ramster_get,
	    TP_PROTO(u32 nr, enum core_where where, int err, u64 ns),
	    TP_ARGS(nr, where, err, ns),
	    TP_STRUCT__entry(
			__field(u32, page)
			__field(u32, where)
			__field(int, error)
			__field(u64, ns)
	    ),
	    TP_fast_assign(
			__entry->page = nr;
			__entry->where = where;
			__entry->error = err;
			__entry->ns = ns;
	    ),
	    TP_printk("page=%u where=%s error=%d ns=%llu", __entry->page,
		      RMK_SHOW_WHERE(__entry->where), __entry->error, __entry->ns)
);

/* A try to store page nr for a front ended; err: 0, or -errno and where is CORE_EMPTY. */
TRACE_EVENT(ramster_put,
	    TP_PROTO(u32 nr, enum core_where where, int err),
	    TP_ARGS(nr, where, err),
	    TP_STRUCT__entry(
			__field(u32, page)
			__field(u32, where)
			__field(int, error)
	    ),
	    TP_fast_assign(
			__entry->page = nr;
			__entry->where = where;
			__entry->error = err;
	    ),
	    TP_printk("page=%u where=%s error=%d", __entry->page,
		      RMK_SHOW_WHERE(__entry->where), __entry->error)
);

/* Page nr, which lay there, was forgotten. */
TRACE_EVENT(ramster_flush,
	    TP_PROTO(u32 nr, enum core_where where),
	    TP_ARGS(nr, where),
	    TP_STRUCT__entry(
			__field(u32, page)
			__field(u32, where)
	    ),
	    TP_fast_assign(
			__entry->page = nr;
			__entry->where = where;
	    ),
	    TP_printk("page=%u where=%s", __entry->page, RMK_SHOW_WHERE(__entry->where))
);

/* Page nr came to lie elsewhere: written behind, evacuated, shipped, brought home, or lost. */
TRACE_EVENT(ramster_move,
	    TP_PROTO(u32 nr, enum core_where from, enum core_where to),
	    TP_ARGS(nr, from, to),
	    TP_STRUCT__entry(
			__field(u32, page)
			__field(u32, from)
			__field(u32, to)
	    ),
	    TP_fast_assign(
			__entry->page = nr;
			__entry->from = from;
			__entry->to = to;
	    ),
	    TP_printk("page=%u from=%s to=%s", __entry->page, RMK_SHOW_WHERE(__entry->from),
		      RMK_SHOW_WHERE(__entry->to))
);

/* In the life of a slab; slabs.lock is held. */
DECLARE_EVENT_CLASS(ramster_slab,
		    TP_PROTO(const struct rmk_slab *slab),
		    TP_ARGS(slab),
		    TP_STRUCT__entry(
				__array(char, donor, 64)
				__field(u64, slab)
				__field(u64, bytes)
		    ),
		    TP_fast_assign(
				strscpy(__entry->donor, rmk_session_name(slab->session), 64);
				__entry->slab = slab->id;
				__entry->bytes = slab->len;
		    ),
		    TP_printk("donor=%s slab=%llu bytes=%llu", __entry->donor,
			      __entry->slab, __entry->bytes)
);

DEFINE_EVENT(ramster_slab, ramster_grant,
	     TP_PROTO(const struct rmk_slab *slab),
	     TP_ARGS(slab)
);

DEFINE_EVENT(ramster_slab, ramster_revoke,
	     TP_PROTO(const struct rmk_slab *slab),
	     TP_ARGS(slab)
);

DEFINE_EVENT(ramster_slab, ramster_release,
	     TP_PROTO(const struct rmk_slab *slab),
	     TP_ARGS(slab)
);

DEFINE_EVENT(ramster_slab, ramster_fence,
	     TP_PROTO(const struct rmk_slab *slab),
	     TP_ARGS(slab)
);

/* clang-format on */

#endif /* RMK_TRACE_H */

/* Outside the guard: it includes this file again. Kbuild says where "." is. */
#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
