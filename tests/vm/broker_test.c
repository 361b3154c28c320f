// SPDX-License-Identifier: GPL-2.0-only
#include "broker_test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define CONNS 64

const char *bt_address, *bt_socket;
static struct bconn pool[CONNS];
static unsigned int n_pool;

struct bconn *bt_fresh(void)
{
	if (n_pool == CONNS)
		abort();
	return &pool[n_pool++];
}

void bt_close_all(void)
{
	while (n_pool)
		bconn_close(&pool[--n_pool]);
}

void bt_nap_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

/* ---- the operator's side ---- */

FILE *bt_control_send(const char *command)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = 20 };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	FILE *stream;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", bt_socket);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) || !(stream = fdopen(fd, "r+"))) {
		perror(bt_socket);
		exit(1);
	}
	fprintf(stream, "%s\n", command);
	fflush(stream);
	return stream;
}

bool bt_control_says(FILE *stream, const char *words)
{
	char line[65536];

	return fgets(line, sizeof(line), stream) && strstr(line, words);
}

bool bt_operate(const char *command, const char *words)
{
	FILE *stream = bt_control_send(command);
	bool says = bt_control_says(stream, words);

	fclose(stream);
	return says;
}

/* No event tells of the daemon's state: look every 20 ms. */
bool bt_answer_becomes(const char *command, const char *words)
{
	int left = BORROWER_WAIT / 20;

	while (!bt_operate(command, words)) {
		if (!left--)
			return false;
		bt_nap_ms(20);
	}
	return true;
}

long long bt_status(const char *key)
{
	FILE *stream = bt_control_send("{\"command\":\"status\"}");
	char line[4096], quoted[64];
	const char *at;

	snprintf(quoted, sizeof(quoted), "\"%s\":", key);
	at = fgets(line, sizeof(line), stream) ? strstr(line, quoted) : NULL;
	fclose(stream);
	return at ? strtoll(at + strlen(quoted), NULL, 10) : -1;
}

bool bt_status_becomes(const char *key, long long value)
{
	char words[96];

	snprintf(words, sizeof(words), "\"%s\":%lld,", key, value);
	return bt_answer_becomes("{\"command\":\"status\"}", words);
}

bool bt_unshare(void)
{
	char list[65536], command[128];
	FILE *stream = bt_control_send("{\"command\":\"shares\"}");
	const char *at = fgets(list, sizeof(list), stream) ? list : "";

	fclose(stream);
	while ((at = strstr(at, "\"uuid\":\""))) {
		at += strlen("\"uuid\":\"");
		snprintf(command, sizeof(command),
			 "{\"command\":\"share-deny\",\"uuid\":\"%.36s\",\"force\":true}", at);
		bt_operate(command, "");
	}
	return bt_status_becomes("shares_allowed", 0) && bt_status_becomes("shared_bytes", 0);
}

/* ---- what borrowers do ---- */

struct bconn *bt_open_role(enum ramster_role role, uint64_t session, uint8_t client, int *err)
{
	struct bconn *c = bt_fresh();
	struct core_cm_req req;

	borrower_request(&req, role, session, client);
	*err = bconn_connect(c, bt_address, &req);
	c->is_control = role == RAMSTER_ROLE_CONTROL;
	if (!*err && c->is_control)
		*err = bconn_heartbeat(c);
	if (*err < 0)
		printf("# %s connection: %s\n", core_role_name(role), strerror(-*err));
	return c;
}

struct bconn *bt_control(uint8_t client)
{
	int err;
	struct bconn *c = bt_open_role(RAMSTER_ROLE_CONTROL, 0, client, &err);

	return err ? NULL : c;
}

struct bconn *bt_lane(const struct bconn *c, enum ramster_role role, uint8_t client)
{
	int err;
	struct bconn *l = bt_open_role(role, c->rep.session, client, &err);

	return err ? NULL : l;
}

bool bt_receive(struct bconn *c, enum ramster_msg_type type, struct core_msg *msg)
{
	return !bconn_recv(c, msg, BORROWER_WAIT) && msg->type == type;
}

bool bt_bye(struct bconn *c)
{
	struct core_msg msg = { .type = RAMSTER_MSG_BYE };

	return !bconn_send(c, &msg);
}

void bt_keep_alive(void)
{
	unsigned int i;

	for (i = 0; i < n_pool; i++)
		if (pool[i].is_control && !pool[i].down)
			bconn_heartbeat(&pool[i]);
}
