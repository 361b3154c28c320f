// SPDX-License-Identifier: GPL-2.0-only
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_BURST   20
#define LIMIT_PER_SEC 5

static void log_line(int level, const char *fmt, va_list ap)
{
	char line[512];

	vsnprintf(line, sizeof(line), fmt, ap);
	/* One write per line: lines of a service stay whole in the journal. */
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "ramsterd: %s\n", line);
	else
		fprintf(stderr, "<%d>%s\n", level, line);
}

void rmb_log(int level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(level, fmt, ap);
	va_end(ap);
}

void rmb_log_limited(int level, const char *fmt, ...)
{
	static unsigned int tokens = LIMIT_BURST, suppressed;
	static time_t last;
	struct timespec now;
	va_list ap;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec > last) {
		unsigned long more = (unsigned long)(now.tv_sec - last) * LIMIT_PER_SEC;

		tokens = more + tokens > LIMIT_BURST ? LIMIT_BURST : (unsigned int)more + tokens;
		last = now.tv_sec;
	}
	if (!tokens) {
		suppressed++;
		return;
	}
	tokens--;
	if (suppressed) {
		rmb_log(LOG_NOTICE, "%u similar lines left out", suppressed);
		suppressed = 0;
	}
	va_start(ap, fmt);
	log_line(level, fmt, ap);
	va_end(ap);
}
