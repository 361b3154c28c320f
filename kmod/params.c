// SPDX-License-Identifier: GPL-2.0-only
/*
 * params.c - module parameters.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ctype.h>
#include <linux/inet.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <net/net_namespace.h>

#include "params.h"
#include "store.h"

static char *broker;
module_param(broker, charp, 0444);
MODULE_PARM_DESC(
	broker,
	"donors: ADDR[:PORT][,ADDR[:PORT]...], IPv6 as [ADDR]:PORT; up to 16; the port is 7470 unless given");

static char *size;
module_param(size, charp, 0444);
MODULE_PARM_DESC(
	size,
	"size of the device in bytes, K, M, G or T: 1M to 16T (default: twice the RAM); costs 16 bytes of RAM per 4 KiB");

static char *slab_size = "64M";
module_param(slab_size, charp, 0444);
MODULE_PARM_DESC(
	slab_size,
	"how much to borrow at a time, a power of two from 1M to 1G (default 64M): smaller gives memory back sooner, larger registers less often");

static unsigned int zpool_percent = 20;
module_param(zpool_percent, uint, 0444);
MODULE_PARM_DESC(
	zpool_percent,
	"RAM that pages no donor has room for may take up compressed, in percent, 0 to 90 (default 20)");

static bool wait = true;
module_param(wait, bool, 0444);
MODULE_PARM_DESC(
	wait,
	"fail to load when no donor answers within 8 seconds (default); 0: load, compress, and keep trying");

int rmk_parse_bytes(const char *text, u64 *bytes)
{
	static const char units[] = "KMGT";
	size_t len = strspn(text, "0123456789");
	char digits[21];
	const char *unit;
	u32 shift = 0;
	int err;

	if (!len || len >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, len);
	digits[len] = '\0';
	err = kstrtou64(digits, 10, bytes);
	if (err)
		return err;
	text += len;
	unit = *text ? strchr(units, toupper(*text)) : NULL;
	if (unit) {
		shift = 10 * (unit - units + 1);
		text++;
	}
	if (*text == '\n')
		text++;
	if (*text)
		return -EINVAL;
	if (*bytes > U64_MAX >> shift)
		return -ERANGE;
	*bytes <<= shift;
	return 0;
}

static int parse_bytes(const char *name, const char *text, u64 *out)
{
	int err = rmk_parse_bytes(text, out);

	if (err == -ERANGE)
		*out = U64_MAX; /* which is out of any range */
	if (err != -EINVAL)
		return 0;
	pr_err("%s=%s is not a size: give a number and K, M, G or T\n", name, text);
	return -EINVAL;
}

static int parse_size(struct rmk_params *p)
{
	u64 bytes = (u64)totalram_pages() << (PAGE_SHIFT + 1);

	if (size && parse_bytes("size", size, &bytes))
		return -EINVAL;
	p->npages = bytes >> PAGE_SHIFT;
	if (bytes >= 1u << 20 && p->npages <= RMK_MAX_PAGES)
		return 0;
	pr_err("size=%s is out of range: 1M to 16T\n", size ?: "(twice the RAM)");
	return -EINVAL;
}

static int parse_slab_size(struct rmk_params *p)
{
	if (parse_bytes("slab_size", slab_size, &p->slab_bytes))
		return -EINVAL;
	if (core_slab_bytes_valid(p->slab_bytes))
		return 0;
	pr_err("slab_size=%s is not a power of two from 1M to 1G\n", slab_size);
	return -EINVAL;
}

static int parse_zpool(struct rmk_params *p)
{
	if (zpool_percent > 90) {
		pr_err("zpool_percent=%u is out of range: 0 to 90\n", zpool_percent);
		return -EINVAL;
	}
	p->zpool_bytes = ((u64)totalram_pages() << PAGE_SHIFT) * zpool_percent / 100;
	return 0;
}

/* "A", "A:PORT", "[A]" or "[A]:PORT"; a bare IPv6 address has more than one colon and no port. */
static int parse_address(char *text, struct rmk_donor_address *out)
{
	char port[8] = __stringify(RAMSTER_WIRE_PORT);
	char *host = text, *colon = NULL;
	int err;

	strscpy(out->name, text, sizeof(out->name));
	if (*text == '[') {
		char *close = strchr(text, ']');

		if (!close)
			return -EINVAL;
		host = text + 1;
		*close = '\0';
		colon = close[1] == ':' ? close + 1 : NULL;
		if (close[1] && !colon)
			return -EINVAL;
	} else if (strchr(text, ':') == strrchr(text, ':')) {
		colon = strchr(text, ':');
	}
	if (colon) {
		*colon = '\0';
		if (strscpy(port, colon + 1, sizeof(port)) <= 0)
			return -EINVAL;
	}
	err = inet_pton_with_scope(&init_net, AF_UNSPEC, host, port, &out->addr);
	return err ? -EINVAL : 0;
}

static int parse_broker(struct rmk_params *p)
{
	char *copy, *rest, *one;
	int err = 0;

	if (!broker || !*broker) {
		if (!wait)
			return 0;
		pr_err("no broker= given: say whom to borrow from, broker=ADDR[:PORT], or wait=0 to only compress\n");
		return -EINVAL;
	}
	copy = kstrdup(broker, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	rest = copy;
	while (!err && (one = strsep(&rest, ","))) {
		char shown[64];

		strscpy(shown, one, sizeof(shown));
		if (p->ndonors == RMK_MAX_DONORS) {
			pr_err("broker= names more than %d donors\n", RMK_MAX_DONORS);
			err = -EINVAL;
		} else if (parse_address(one, &p->donors[p->ndonors++])) {
			pr_err("broker=%s: '%s' is not ADDR[:PORT] or [IPV6]:PORT\n", broker,
			       shown);
			err = -EINVAL;
		}
	}
	kfree(copy);
	return err;
}

int rmk_params_parse(struct rmk_params *out)
{
	int err;

	out->wait = wait;
	err = parse_broker(out);
	if (!err)
		err = parse_size(out);
	if (!err)
		err = parse_slab_size(out);
	if (!err)
		err = parse_zpool(out);
	return err;
}
