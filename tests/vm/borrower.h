/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * borrower.h - a borrower in userspace, for tests: one connection at a time,
 * blocking, every wait bounded. It can also do what no borrower may.
 */
#ifndef BORROWER_H
#define BORROWER_H

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include "../../core/wire.h"

#define BORROWER_SLAB (1ull << 20) /* bytes of the slabs that tests ask for */
#define BORROWER_WAIT 8000	   /* ms that anything may take */

struct bconn {
	struct rdma_event_channel *events;
	struct rdma_cm_id *id;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct ibv_mr *mr;
	uint8_t *buf;  /* receive slots, a send slot, a data area of a slab */
	uint8_t *data; /* the data area, BORROWER_SLAB bytes */
	unsigned int n_recv;
	unsigned int order[64], n_order; /* slots with messages, as they came */
	bool is_control;		 /* the test's own note */
	bool down;			 /* the donor has disconnected */
	struct ibv_wc last;		 /* of the last send or RDMA */
	bool sent;
	struct core_cm_rep rep; /* the donor's answer */
	enum ramster_reason rejected;
};

/* Called every 100 ms while an RDMA is waited for: a chance to keep sessions alive. */
extern void (*borrower_idle)(void);
/* Connections opened while this is set give up a lost packet after about 2 s. */
extern bool borrower_impatient;

/* Everything in the connect request, to be bent by tests. */
void borrower_request(struct core_cm_req *req, enum ramster_role role, uint64_t session,
		      uint8_t client);

/*
 * Connect with any private data. 0: accepted, rep is filled in; 1: rejected,
 * rejected says why; negative errno. In each case bconn_close() is due.
 */
int bconn_open(struct bconn *c, const char *address, const void *private_data, uint8_t len);
/*
 * The usual case: an encoded request. Tries again while the CM itself rejects:
 * rxe numbers a new QP as one that was closed just now, which the CM of the
 * other side takes for a ghost of it.
 */
int bconn_connect(struct bconn *c, const char *address, const struct core_cm_req *req);
/* Send the request and go away before any answer. */
int bconn_open_and_vanish(const char *address, const void *private_data, uint8_t len);
void bconn_close(struct bconn *c);

/* Any bytes; waits for the completion. 0 or a negative errno. */
int bconn_send_bytes(struct bconn *c, const void *data, uint32_t len);
int bconn_send(struct bconn *c, const struct core_msg *msg);
int bconn_heartbeat(struct bconn *c);
/* The next message that is not a heartbeat; sends heartbeats meanwhile. */
int bconn_recv(struct bconn *c, struct core_msg *msg, int timeout_ms);
/* Is the connection ended by the donor within the time? Sends nothing. */
bool bconn_ended(struct bconn *c, int timeout_ms);
/*
 * READ or WRITE between data and the slab; the completion's status, or a
 * negative errno. The donor's end of the connection ends it too.
 */
int bconn_rdma(struct bconn *c, bool write, uint32_t len, uint64_t addr, uint32_t rkey);

#endif /* BORROWER_H */
