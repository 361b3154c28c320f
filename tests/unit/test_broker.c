// SPDX-License-Identifier: GPL-2.0-only
/* What the broker reads: sizes, times, settings, commands of its socket; what waits to be sent. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"
#include "backlog.h"
#include "client.h"
#include "command.h"
#include "config.h"
#include "host.h"
#include "loan.h"
#include "repatriate.h"
#include "size.h"
#include "uuid.h"

const char unit_name[] = "broker";

#define K   1024ull
#define BAD (-EINVAL)
#define BIG (-ERANGE)

#define UUID "0123abcd-4567-89ef-0123-456789abcdef"

static void sizes(void)
{
	static const struct {
		const char *text;
		int err;
		uint64_t bytes;
	} rows[] = {
		{ "0", 0, 0 },
		{ "4096", 0, 4096 },
		{ "4096b", 0, 4096 },
		{ "1k", 0, K },
		{ "512M", 0, 512 * K * K },
		{ "64MiB", 0, 64 * K * K },
		{ "64MB", 0, 64 * K * K },
		{ "1.5G", 0, 3 * K * K * K / 2 },
		{ "2t", 0, 2 * K * K * K * K },
		{ "1p", 0, K * K * K * K * K },
		{ "8191P", 0, 8191 * K * K * K * K * K },
		{ "8192P", BIG, 0 },
		{ "9999999999999999999", BIG, 0 },
		{ "", BAD, 0 },
		{ "M", BAD, 0 },
		{ "-1", BAD, 0 },
		{ "+1", BAD, 0 },
		{ " 1", BAD, 0 },
		{ "1 M", BAD, 0 },
		{ "1x", BAD, 0 },
		{ "1Mx", BAD, 0 },
		{ "1bb", BAD, 0 },
		{ "1..5", BAD, 0 },
		{ ".5", BAD, 0 },
		{ "0x10", BAD, 0 },
		{ "1e3", BAD, 0 },
		{ "nan", BAD, 0 },
		{ "1111111111111111111111111111111111111", BAD, 0 },
	};
	uint64_t bytes;
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		bytes = 0;
		err = rmb_size_parse(rows[i].text, &bytes);
		UNIT_ROW(rows[i].text, err == rows[i].err && bytes == rows[i].bytes);
	}
}

static void size_texts(void)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
		{ 0, "0 B" },	     { 1023, "1023 B" },       { 1024, "1 KiB" },
		{ 1536, "1.5 KiB" }, { 64 * K * K, "64 MiB" }, { 3 * K * K * K / 2, "1.5 GiB" },
		{ ~0ull, "16 EiB" },
	};
	char out[RMB_SIZE_STR];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		UNIT_ROW(rows[i].text, !strcmp(rmb_size_format(rows[i].bytes, out), rows[i].text));
}

static void durations(void)
{
	static const struct {
		const char *text;
		int err;
		uint32_t ms;
	} rows[] = {
		{ "10", 0, 10000 },  { "10s", 0, 10000 },    { "500ms", 0, 500 },
		{ "0", 0, 0 },	     { "2m", 0, 120000 },    { "2min", 0, 120000 },
		{ "1.5s", 0, 1500 }, { "24h", 0, 86400000 }, { "25h", BIG, 0 },
		{ "-1s", BAD, 0 },   { "1y", BAD, 0 },	     { "", BAD, 0 },
		{ "s", BAD, 0 },     { "1 s", BAD, 0 },	     { "99999999999999h", BIG, 0 },
	};
	uint32_t ms;
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		ms = 0;
		err = rmb_duration_parse(rows[i].text, &ms);
		UNIT_ROW(rows[i].text, err == rows[i].err && ms == rows[i].ms);
	}
}

static void settings(void)
{
	static const struct {
		const char *name, *value;
		bool ok;
	} rows[] = {
		{ "donate", "1G", true },
		{ "donate", "lots", false },
		{ "port", "1", true },
		{ "port", "0", false },
		{ "port", "65536", false },
		{ "port", "-1", false },
		{ "port", "7x", false },
		{ "wait", "yes", true },
		{ "wait", "maybe", false },
		{ "reserve", "10%", true },
		{ "reserve", "100%", true },
		{ "reserve", "101%", false },
		{ "reserve", "%", false },
		{ "reserve", "1000%", false },
		{ "reserve", "2G", true },
		{ "numa", "any", true },
		{ "numa", "0", true },
		{ "numa", "1023", false },
		{ "heartbeat", "10ms", true },
		{ "heartbeat", "9ms", false },
		{ "heartbeat", "61s", false },
		{ "grace", "10m", true },
		{ "grace", "11m", false },
		{ "max-clients", "0", false },
		{ "max-lanes", "256", true },
		{ "max-lanes", "257", false },
		{ "group", "", true },
		{ "shared", UUID, true },
		{ "shared", UUID " 1M", true },
		{ "shared", UUID " \t 1G", true },
		{ "shared", UUID " 3M", false },
		{ "shared", UUID " 512K", false },
		{ "shared", UUID " 2G", false },
		{ "shared", UUID " lots", false },
		{ "shared", UUID " 1M 1M", false },
		{ "shared", UUID "0 1M", false },
		{ "shared", "1M", false },
		{ "shared", "", false },
		{ "shared", "00000000-0000-0000-0000-000000000000", false },
		{ "colour", "red", false },
		{ "", "", false },
	};
	struct rmb_config cfg;
	char why[128];
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		rmb_config_defaults(&cfg);
		why[0] = '\0';
		err = rmb_config_set(&cfg, rows[i].name, rows[i].value, why, sizeof(why));
		UNIT_ROW(rows[i].name, !err == rows[i].ok && !why[0] == rows[i].ok);
	}
	rmb_config_defaults(&cfg);
	for (i = 0; i < RMB_LISTEN_MAX; i++)
		CU_ASSERT(!rmb_config_set(&cfg, "listen", "::1", why, sizeof(why)));
	CU_ASSERT(rmb_config_set(&cfg, "listen", "::1", why, sizeof(why)) == BAD);
	CU_ASSERT(cfg.n_listen == RMB_LISTEN_MAX);
}

static void uuids(void)
{
	static const struct {
		const char *text, *again; /* NULL: none */
	} rows[] = {
		{ UUID, UUID },
		{ "0123ABCD-4567-89EF-0123-456789ABCDEF", UUID },
		{ "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001" },
		{ "00000000-0000-0000-0000-000000000000", NULL },
		{ "0123abcd456789ef0123456789abcdef", NULL },
		{ " " UUID, NULL },
		{ UUID " ", NULL },
		{ "1234-ABCD", NULL },
		{ "", NULL },
	};
	char out[RMB_UUID_STR];
	uint8_t uuid[16];
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		err = rmb_uuid_parse(rows[i].text, uuid);
		UNIT_ROW(rows[i].text, err == (rows[i].again ? 0 : BAD));
		UNIT_ROW(rows[i].text, err || !strcmp(rmb_uuid_format(uuid, out), rows[i].again));
	}
}

/* A UUID that is named again has the last size; there is room for so many and no more. */
static void many_shared(void)
{
	char value[64], why[128];
	struct rmb_config cfg;
	unsigned int i;

	rmb_config_defaults(&cfg);
	for (i = 0; i < RMB_SHARED_MAX; i++) {
		snprintf(value, sizeof(value), "0123abcd-4567-89ef-0123-%012x", i);
		CU_ASSERT(!rmb_config_set(&cfg, "shared", value, why, sizeof(why)));
	}
	CU_ASSERT(rmb_config_set(&cfg, "shared", UUID, why, sizeof(why)) == BAD);
	CU_ASSERT(cfg.n_shared == RMB_SHARED_MAX && cfg.shared[i - 1].bytes == 256 * K * K);
	snprintf(value + 36, sizeof(value) - 36, " 2M");
	CU_ASSERT(!rmb_config_set(&cfg, "shared", value, why, sizeof(why)));
	CU_ASSERT(cfg.n_shared == RMB_SHARED_MAX && cfg.shared[i - 1].bytes == 2 * K * K);
}

/* Every key of the table can be set, and the table names all that can. */
static void setting_names(void)
{
	const struct rmb_config_key *key;
	struct rmb_config cfg;
	char why[128];
	int err;

	rmb_config_defaults(&cfg);
	for (key = rmb_config_keys; key->name; key++) {
		err = rmb_config_set(&cfg, key->name, "?", why, sizeof(why));
		UNIT_ROW(key->name, !err || !strstr(why, "unknown"));
	}
}

static void file_of_settings(void)
{
	static const struct {
		const char *name, *text, *why;
	} rows[] = {
		{ "good", "# words\ndonate = 1G\nlisten = fd00::2\nlisten = 10.0.0.2\n", NULL },
		{ "unknown", "donate = 1G\ncolour = red\n", ":2: unknown setting 'colour'" },
		{ "range", "port = 0\n", ":1: port: '0' is out of range" },
		{ "section", "[donor]\ndonate = 1G\n", ":2: sections such as [donor]" },
		{ "no value", "donate = 1G\n\nnonsense\n", ":3: not a 'name = value' line" },
	};
	struct rmb_config cfg;
	char why[256];
	size_t i, len;
	int err, fd;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		char path[] = "/tmp/ramster-unit-XXXXXX";

		fd = mkstemp(path);
		CU_ASSERT_FATAL(fd >= 0);
		len = strlen(rows[i].text);
		CU_ASSERT_FATAL(write(fd, rows[i].text, len) == (ssize_t)len);
		close(fd);
		rmb_config_defaults(&cfg);
		err = rmb_config_read(&cfg, path, why, sizeof(why));
		UNIT_ROW(rows[i].name,
			 rows[i].why ? err == BAD && strstr(why, rows[i].why) :
				       !err && cfg.donate == K * K * K && cfg.n_listen == 2);
		unlink(path);
	}
	CU_ASSERT(rmb_config_read(&cfg, "/nonexistent/file", why, sizeof(why)) == -ENOENT);
}

static void commands(void)
{
	static const struct {
		const char *line, *why; /* why NULL: understood */
		struct rmb_command cmd;
	} rows[] = {
		{ "{\"command\":\"status\"}", NULL, { .type = RMB_COMMAND_STATUS, .numa = -1 } },
		{ "{\"command\":\"donate\",\"bytes\":5,\"numa\":1}",
		  NULL,
		  { .type = RMB_COMMAND_DONATE, .bytes = 5, .has_numa = true, .numa = 1 } },
		{ "{\"command\":\"revoke\",\"slab\":7,\"force\":true,\"deadline_ms\":0}",
		  NULL,
		  { .type = RMB_COMMAND_REVOKE,
		    .slab = 7,
		    .force = true,
		    .has_deadline = true,
		    .numa = -1 } },
		{ "{\"command\":\"revoke\",\"bytes\":9,\"wait\":true}",
		  NULL,
		  { .type = RMB_COMMAND_REVOKE, .bytes = 9, .wait = true, .numa = -1 } },
		{ "{\"command\":\"shares\"}", NULL, { .type = RMB_COMMAND_SHARES, .numa = -1 } },
		{ "{\"command\":\"share-allow\",\"uuid\":\"" UUID "\",\"bytes\":5}",
		  NULL,
		  { .type = RMB_COMMAND_SHARE_ALLOW, .uuid = { 1 }, .bytes = 5, .numa = -1 } },
		{ "{\"command\":\"share-deny\",\"uuid\":\"" UUID "\",\"wait\":true}",
		  NULL,
		  { .type = RMB_COMMAND_SHARE_DENY, .uuid = { 1 }, .wait = true, .numa = -1 } },
		{ "{\"command\":\"share-allow\",\"bytes\":5}", "missing: 'uuid'", { 0 } },
		{ "{\"command\":\"share-allow\",\"uuid\":7}", "not a string: 'uuid'", { 0 } },
		{ "{\"command\":\"share-deny\",\"uuid\":\"sda1\"}", "not the UUID", { 0 } },
		{ "{\"command\":\"share-deny\",\"uuid\":\"" UUID "\",\"bytes\":5}",
		  "not used here: 'bytes'",
		  { 0 } },
		{ "{\"command\":\"shares\",\"uuid\":\"" UUID "\"}", "not used here", { 0 } },
		{ "", "not JSON", { 0 } },
		{ "[]", "not an object", { 0 } },
		{ "{}", "missing: 'command'", { 0 } },
		{ "{\"command\":7}", "missing: 'command'", { 0 } },
		{ "{\"command\":\"fly\"}", "unknown command 'fly'", { 0 } },
		{ "{\"command\":\"slabs\",\"slab\":1}", "not used here: 'slab'", { 0 } },
		{ "{\"command\":\"revoke\",\"\":1,\"slab\":1}", "not used here: ''", { 0 } },
		{ "{\"command\":\"revoke\",\"ms\":1,\"slab\":1}", "not used here: 'ms'", { 0 } },
		{ "{\"command\":\"donate\"}", "missing: 'bytes'", { 0 } },
		{ "{\"command\":\"donate\",\"bytes\":0}", "out of range: 'bytes'", { 0 } },
		{ "{\"command\":\"donate\",\"bytes\":1.5}", "not an integer: 'bytes'", { 0 } },
		{ "{\"command\":\"revoke\",\"bytes\":1,\"slab\":1}", "give one of", { 0 } },
		{ "{\"command\":\"revoke\"}", "give one of", { 0 } },
		{ "{\"command\":\"revoke\",\"slab\":1,\"force\":1}", "not true or false", { 0 } },
		{ "{\"command\":\"revoke\",\"slab\":1,\"deadline_ms\":3600001}",
		  "out of range",
		  { 0 } },
		{ "{\"command\":\"status\",\"command\":\"slabs\"}", "not JSON", { 0 } },
	};
	struct rmb_command cmd;
	uint8_t uuid[16];
	char why[128];
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		memset(&cmd, 0, sizeof(cmd));
		why[0] = '\0';
		err = rmb_command_parse(rows[i].line, strlen(rows[i].line), &cmd, why, sizeof(why));
		UNIT_ROW(rows[i].line, err == (rows[i].why ? BAD : 0));
		UNIT_ROW(rows[i].line, !rows[i].why || strstr(why, rows[i].why));
		UNIT_ROW(rows[i].line,
			 cmd.type == rows[i].cmd.type && cmd.bytes == rows[i].cmd.bytes &&
				 cmd.slab == rows[i].cmd.slab && cmd.numa == rows[i].cmd.numa &&
				 cmd.has_numa == rows[i].cmd.has_numa &&
				 cmd.has_deadline == rows[i].cmd.has_deadline &&
				 cmd.deadline_ms == rows[i].cmd.deadline_ms &&
				 cmd.force == rows[i].cmd.force && cmd.wait == rows[i].cmd.wait);
		/* In the rows .uuid says no more than that there is one: it is UUID. */
		if (rows[i].cmd.uuid[0])
			UNIT_ROW(rows[i].line, !rmb_uuid_parse(UUID, uuid) &&
						       !memcmp(cmd.uuid, uuid, sizeof(uuid)));
	}
}

/* Lines come out as they went in, whatever the pieces. */
static void lines(void)
{
	static struct rmb_lines in;
	static char text[3 * RMB_LINE_MAX], again[3 * RMB_LINE_MAX];
	size_t i, at = 0, out = 0, room, piece, len;
	const char *line;
	char *buf;

	for (i = 0; i < sizeof(text); i++)
		text[i] = unit_below(1000) ? (char)('a' + unit_below(26)) : '\n';
	text[sizeof(text) - 1] = '\n';
	while (at < sizeof(text)) {
		buf = rmb_lines_room(&in, &room);
		CU_ASSERT_FATAL(room);
		piece = 1 + unit_below(5000);
		piece = piece < room ? piece : room;
		piece = piece < sizeof(text) - at ? piece : sizeof(text) - at;
		memcpy(buf, text + at, piece);
		rmb_lines_added(&in, piece);
		at += piece;
		while ((line = rmb_lines_next(&in, &len))) {
			memcpy(again + out, line, len);
			out += len;
			again[out++] = '\n';
			rmb_lines_drop(&in, len);
		}
	}
	CU_ASSERT(out == sizeof(text) && !memcmp(text, again, sizeof(text)));
}

static void pressure(void)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t us;
	} rows[] = {
		{ "some avg10=0.00 avg60=0.00 avg300=0.00 total=123\nfull avg10=0.00 total=9\n",
		  true, 123 },
		{ "some avg10=0.00 total=18446744073709551615\n", true, UINT64_MAX },
		{ "full avg10=0.00 total=9\n", false, 0 },
		{ "some avg10=0.00\nfull avg10=0.00 total=9\n", false, 0 },
		{ "some total=", false, 0 },
		{ "", false, 0 },
	};
	uint64_t us;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		us = 0;
		UNIT_ROW(rows[i].text,
			 rmb_repatriate_parse(rows[i].text, &us) == rows[i].ok && us == rows[i].us);
	}
}

/* One borrower's samples in turn: when pages come home, and how many are left there. */
static void repatriation(void)
{
	static const struct {
		const char *name;
		uint64_t stalled_us, available, pages, left;
	} rows[] = {
		{ "calm once", 0, 900, 10000, 10000 },
		{ "twice", 1000, 900, 10000, 10000 },
		{ "three times: a twentieth", 1000, 900, 10000, 9500 },
		{ "and on", 0, 900, 9500, 9025 },
		{ "pressure: not now", 1001, 900, 9025, 9025 },
		{ "nor just after", 0, 900, 9025, 9025 },
		{ "nor yet", 0, 900, 9025, 9025 },
		{ "again", 0, 900, 9025, 8574 },
		{ "memory is used, without pressure", 0, 250, 8574, 8574 },
		{ "but for a little", 0, 260, 8574, 8564 },
		{ "few: not slower and slower", 0, 900, 100, 36 },
		{ "the last", 0, 900, 36, 0 },
		{ "nothing left", 0, 900, 0, 0 },
		{ "many: not all at once", 0, 900000, 1000000, 997952 },
	};
	struct rmb_repatriate_state state = { 0 };
	struct rmb_repatriate_sample s = { .interval_us = 1000000, .total = 1000 };
	uint64_t left;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		s.stalled_us = rows[i].stalled_us;
		s.available = rows[i].available;
		s.pages = rows[i].pages;
		left = rmb_repatriate_step(&state, &s);
		UNIT_ROW(rows[i].name, left == rows[i].left);
	}
}

/* In the order they came, limited or not; many slabs leave as much room for the rest as few. */
static void backlog(void)
{
	const unsigned int slabs = 5 * RMB_BACKLOG_MAX / 4;
	struct ramster_msg msg = { .magic = 0 };
	struct rmb_backlog waiting;
	unsigned int i;
	bool ok = true;

	rmb_backlog_init(&waiting);
	CU_ASSERT(!rmb_backlog_first(&waiting));
	for (i = 0; i < slabs + RMB_BACKLOG_MAX; i++) {
		msg.magic = i;
		ok = ok && rmb_backlog_add(&waiting, &msg, i >= slabs);
	}
	CU_ASSERT(ok && waiting.len == slabs + RMB_BACKLOG_MAX);
	CU_ASSERT(!rmb_backlog_add(&waiting, &msg, true));
	msg.magic = i;
	CU_ASSERT(rmb_backlog_add(&waiting, &msg, false));
	for (i = 0; ok && i < slabs; i++) {
		ok = rmb_backlog_first(&waiting)->magic == i;
		rmb_backlog_drop(&waiting);
	}
	CU_ASSERT(ok && !rmb_backlog_add(&waiting, &msg, true));
	CU_ASSERT(rmb_backlog_first(&waiting)->magic == i);
	rmb_backlog_drop(&waiting);
	CU_ASSERT(rmb_backlog_add(&waiting, &msg, true));
	CU_ASSERT(waiting.len == RMB_BACKLOG_MAX + 1);
	rmb_backlog_uninit(&waiting);
	CU_ASSERT(!waiting.len && !waiting.limited && !rmb_backlog_first(&waiting));
}

/* Without memory: nobody looks at it but who takes it down. */
static void lend_one(struct rmb_lend *lend, struct rmb_client *client, uint64_t bytes)
{
	struct rmb_slab *slab = calloc(1, sizeof(*slab));

	CU_ASSERT_FATAL(slab != NULL);
	slab->bytes = bytes;
	slab->memory.fd = -1;
	rmb_loan_begin(lend, slab, client);
}

/* Revokes in turn, of two clients: how much, and the ids of what they take. */
static void revoke_in_turn(struct rmb_lend *lend, struct rmb_client *clients)
{
	static const struct {
		const char *name;
		uint64_t bytes, staying;
		size_t n;
		uint64_t ids[2];
	} rows[] = {
		{ "what nobody has, then the oldest of who has most",
		  2 * K * K,
		  5 * K * K,
		  1,
		  { 1 } },
		{ "the oldest left; of equals who came first", 2 * K * K, 2 * K * K, 2, { 3, 4 } },
		{ "what is left", 3 * K * K, 0, 2, { 2, 5 } },
	};
	struct rmb_shares shares = { 0 };
	struct rmb_revoke how = { .deadline_ms = 1000 };
	struct rmb_revoked out;
	char why[128];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		/* One that was away has what it had. */
		rmb_lend_orphan(lend, &clients[1]);
		if (i % 2)
			rmb_lend_resume(lend, &clients[1]);
		how.bytes = rows[i].bytes;
		CU_ASSERT_FATAL(!rmb_revoke(lend, &shares, &how, &out, why, sizeof(why)));
		UNIT_ROW(rows[i].name,
			 out.n == rows[i].n && lend->staying == rows[i].staying &&
				 !memcmp(out.ids, rows[i].ids, out.n * sizeof(*out.ids)));
		free(out.ids);
	}
	CU_ASSERT(!lend->holders && !clients[0].staying_bytes && !clients[1].staying_bytes);
}

static void revokes(void)
{
	static const uint64_t mib[][2] = { { 0, 1 }, { 1, 1 }, { 0, 1 }, { 0, 2 }, { 1, 1 } };
	struct rmb_clients all = { 0 };
	struct rmb_client clients[2] = { { .all = &all }, { .all = &all } };
	struct rmb_config cfg;
	struct rmb_lend lend;
	sd_event *event = NULL;
	size_t i;

	rmb_config_defaults(&cfg);
	CU_ASSERT_FATAL(sd_event_new(&event) >= 0 && !rmb_lend_init(&lend, event, &cfg));
	all.lend = &lend;
	for (i = 0; i < ARRAY_SIZE(mib); i++)
		lend_one(&lend, &clients[mib[i][0]], mib[i][1] * K * K);
	lend.donation = 7 * K * K;
	revoke_in_turn(&lend, clients);
	rmb_lend_resume(&lend, &clients[1]);
	while (lend.slabs && !lend.reap) {
		rmb_loan_release(&lend, lend.slabs);
		CU_ASSERT_FATAL(lend.reap != NULL);
		rmb_loan_reap(&lend);
	}
	CU_ASSERT(!lend.granted && !clients[0].slabs && !clients[1].slabs);
	rmb_lend_uninit(&lend);
	sd_event_unref(event);
}

CU_TestInfo unit_tests[] = {
	{ "sizes", sizes },
	{ "sizes as text", size_texts },
	{ "durations", durations },
	{ "settings", settings },
	{ "UUIDs", uuids },
	{ "many shared file systems", many_shared },
	{ "names of settings", setting_names },
	{ "file of settings", file_of_settings },
	{ "commands", commands },
	{ "lines", lines },
	{ "messages that wait", backlog },
	{ "revokes", revokes },
	{ "memory pressure", pressure },
	{ "when swapped pages come home", repatriation },
	CU_TEST_INFO_NULL,
};
