// SPDX-License-Identifier: GPL-2.0-only
#include "uuid.h"

#include <errno.h>
#include <string.h>
#include <uuid/uuid.h>

int rmb_uuid_parse(const char *text, uint8_t uuid[16])
{
	uuid_t parsed;

	if (uuid_parse(text, parsed) || uuid_is_null(parsed))
		return -EINVAL;
	memcpy(uuid, parsed, sizeof(parsed));
	return 0;
}

const char *rmb_uuid_format(const uint8_t uuid[16], char out[RMB_UUID_STR])
{
	uuid_unparse_lower(uuid, out);
	return out;
}
