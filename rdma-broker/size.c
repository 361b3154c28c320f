// SPDX-License-Identifier: GPL-2.0-only
#include "size.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DAY_MS (24u * 3600 * 1000)

/* A decimal number without sign, exponent or hex; *end is what follows. */
static int number_parse(const char *text, double *value, const char **end)
{
	size_t digits = strspn(text, "0123456789.");
	char copy[32], *stop;

	if (!digits || !isdigit((unsigned char)text[0]) || digits >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, digits);
	copy[digits] = '\0';
	*value = strtod(copy, &stop);
	if (*stop)
		return -EINVAL;
	*end = text + digits;
	return 0;
}

int rmb_size_parse(const char *text, uint64_t *bytes)
{
	static const char units[] = "bkmgtp";
	const char *unit, *found;
	double value;
	int err = number_parse(text, &value, &unit);

	if (err)
		return err;
	if (*unit) {
		found = strchr(units, tolower((unsigned char)*unit));
		if (!found || (unit[1] && strcasecmp(unit + 1, "ib") && strcasecmp(unit + 1, "b")))
			return -EINVAL;
		if (found == units && unit[1])
			return -EINVAL;
		value *= (double)(1ull << (10 * (found - units)));
	}
	if (value >= 9223372036854775808.0)
		return -ERANGE;
	*bytes = (uint64_t)value;
	return 0;
}

int rmb_duration_parse(const char *text, uint32_t *ms)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = {
		{ "", 1000 },	{ "s", 1000 },	  { "ms", 1 },
		{ "m", 60000 }, { "min", 60000 }, { "h", 3600000 },
	};
	const char *unit;
	double value;
	size_t i;
	int err = number_parse(text, &value, &unit);

	if (err)
		return err;
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(unit, units[i].unit))
			continue;
		value *= units[i].ms;
		if (value > DAY_MS)
			return -ERANGE;
		*ms = (uint32_t)value;
		return 0;
	}
	return -EINVAL;
}

const char *rmb_size_format(uint64_t bytes, char out[RMB_SIZE_STR])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	unsigned int i = 0;

	while (value >= 1024 && i < 6) {
		value /= 1024;
		i++;
	}
	snprintf(out, RMB_SIZE_STR, value == (double)(uint64_t)value ? "%.0f %s" : "%.1f %s", value,
		 units[i]);
	return out;
}
