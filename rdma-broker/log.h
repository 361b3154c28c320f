/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * log.h - one line per event on stderr, with the "<6>" prefixes of
 * sd-daemon(3) unless stderr is a terminal. Levels are those of <syslog.h>.
 */
#ifndef RMB_LOG_H
#define RMB_LOG_H

#include <syslog.h>

void rmb_log(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * For what a stranger can provoke: at most 20 lines at once and 5 a second in
 * the long run. What was left out is counted and said with the next line.
 */
void rmb_log_limited(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif /* RMB_LOG_H */
