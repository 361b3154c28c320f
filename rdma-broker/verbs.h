/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * verbs.h - the RDMA of the donor side. verbs.c is the one file of the broker
 * that sees librdmacm and libibverbs.
 *
 * Everything runs in the thread of one sd-event loop. A connection belongs to
 * whoever answered its request, until rmb_conn_destroy(); it may be destroyed
 * in any callback, its own included. After down() nothing more is called for
 * it, but it still has to be destroyed.
 */
#ifndef RMB_VERBS_H
#define RMB_VERBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "../include/ramster/ramster_wire.h"

struct rmb_verbs; /* the listeners */
struct rmb_conn;  /* a connection, control or lane */
struct rmb_pd;	  /* a protection domain: what one client may reach */
struct rmb_mr;	  /* memory that the clients of its domain reach */

struct rmb_verbs_ops {
	/* Answer it, before returning. */
	void (*request)(void *ctx, struct rmb_conn *conn, const void *private_data, size_t len);
	/* A message of len <= RAMSTER_MSG_SIZE bytes that nobody has vouched for. */
	void (*message)(struct rmb_conn *conn, void *owner, const void *data, size_t len);
	/* It is over; why is a few words for the log. device_gone: its domain is dead too. */
	void (*down)(struct rmb_conn *conn, void *owner, const char *why, bool device_gone);
};

/* NULL and a line in why, if there is no RDMA here. ops and ctx must outlive it. */
struct rmb_verbs *rmb_verbs_create(sd_event *event, const struct rmb_verbs_ops *ops, void *ctx,
				   char *why, size_t why_len);
void rmb_verbs_destroy(struct rmb_verbs *verbs);
/* Listen on an address ("10.0.0.2", "fd00::2") or, NULL, on all. 0 or a negative errno. */
int rmb_verbs_listen(struct rmb_verbs *verbs, const char *address, uint16_t port);
/* Names of the devices, for people: "rxe0, mlx5_0". */
void rmb_verbs_devices(char *out, size_t len);

/*
 * Each request ends with a reject, or is prepared and accepted. Preparing makes
 * the queue pair, so that what is destroyed in between cannot lend it its
 * number, which the client's CM would take for a ghost. A negative errno: conn
 * is of no use, destroy or reject it.
 */
int rmb_conn_prepare(struct rmb_conn *conn, struct rmb_pd *pd, void *owner, bool control);
int rmb_conn_accept(struct rmb_conn *conn, const void *private_data, size_t len);
void rmb_conn_reject(struct rmb_conn *conn, const void *private_data, size_t len);

/*
 * Send RAMSTER_MSG_SIZE bytes on a control connection, in order. If too many that
 * are limited wait for the client, the connection goes down, from the loop.
 */
void rmb_conn_send(struct rmb_conn *conn, const struct ramster_msg *msg, bool limited);
/* Messages not yet taken by the client. */
unsigned int rmb_conn_unsent(const struct rmb_conn *conn);
/* When the client last took a message, or the oldest one was sent since. Microseconds. */
uint64_t rmb_conn_progress_us(const struct rmb_conn *conn);
/*
 * Has the connection failed on this side? A lane does when it touches a fenced
 * slab; rxe up to Linux 6.1 does not tell the client, who then waits in vain.
 */
bool rmb_conn_broken(const struct rmb_conn *conn);
/* Handle now what has arrived; the callbacks may destroy conn. */
void rmb_conn_drain(struct rmb_conn *conn);
void rmb_conn_destroy(struct rmb_conn *conn);
const char *rmb_conn_peer(const struct rmb_conn *conn);	  /* "10.0.0.1:34567" */
const char *rmb_conn_device(const struct rmb_conn *conn); /* "rxe0" */

struct rmb_pd *rmb_pd_create(struct rmb_conn *conn); /* on conn's device; NULL: errno */
bool rmb_pd_fits(const struct rmb_pd *pd, const struct rmb_conn *conn); /* same device? */
void rmb_pd_destroy(struct rmb_pd *pd); /* lives on as long as its connections and memory */

/*
 * Let the clients of the domain read the memory, and write it if writable. Pins
 * it, which faults it in. NULL: errno.
 */
struct rmb_mr *rmb_mr_create(struct rmb_pd *pd, void *addr, size_t len, bool writable,
			     uint32_t *rkey);
/* The fence: on return no client can reach the memory. A negative errno if the device is gone. */
int rmb_mr_destroy(struct rmb_mr *mr);

#endif /* RMB_VERBS_H */
