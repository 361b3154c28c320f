/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * broker_test.h - what the tests of broker_client.c and broker_shares.c share: the
 * operator's socket, and connections that are closed when a test ends.
 */
#ifndef BROKER_TEST_H
#define BROKER_TEST_H

#include <stdio.h>

#include "borrower.h"

#define STR_(x) #x
#define STR(x)	STR_(x)
/* In a test: end it with this line's words unless cond holds. */
#define NEED(cond)                                               \
	do {                                                     \
		if (!(cond))                                     \
			return "line " STR(__LINE__) ": " #cond; \
	} while (0)

struct broker_test {
	const char *name;	  /* NULL ends a list */
	const char *(*run)(void); /* NULL, or what is wrong */
};

extern const char *bt_address, *bt_socket; /* the daemon's, and its control socket */
extern const struct broker_test bt_share_tests[];
/* Not a test: join the share and stay, whatever the donor says, until the session ends. */
int bt_share_in(void);

/* A connection that is closed when the test ends. */
struct bconn *bt_fresh(void);
void bt_close_all(void);
void bt_nap_ms(long ms);

/* The operator's side. The process ends if the daemon cannot be reached. */
FILE *bt_control_send(const char *command);
/* Does the next line hold these words? */
bool bt_control_says(FILE *stream, const char *words);
/* Send a command; does the first line of the answer hold these words? */
bool bt_operate(const char *command, const char *words);
/* The same, tried for a bounded time. */
bool bt_answer_becomes(const char *command, const char *words);
/* A number of the daemon's status; -1: it has none of that name. */
long long bt_status(const char *key);
/* Wait for such a number, for a bounded time. */
bool bt_status_becomes(const char *key, long long value);
/* Deny what tests have allowed. */
bool bt_unshare(void);

/* Borrowers' connections; control ones have said hello. err: as bconn_connect(). */
struct bconn *bt_open_role(enum ramster_role role, uint64_t session, uint8_t client, int *err);
/* NULL: there is none. */
struct bconn *bt_control(uint8_t client);
struct bconn *bt_lane(const struct bconn *c, enum ramster_role role, uint8_t client);
/* Is the next message of this type? msg is it in any case. */
bool bt_receive(struct bconn *c, enum ramster_msg_type type, struct core_msg *msg);
bool bt_bye(struct bconn *c);
/* A heartbeat on every control connection: all sessions go on while one lane waits. */
void bt_keep_alive(void);

#endif /* BROKER_TEST_H */
