// SPDX-License-Identifier: GPL-2.0-only
#include "raw_read.h"

#include <errno.h>
#include <rdma/rdma_verbs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u

/* Private data of the server's answer. */
struct target {
	uint64_t addr;
	uint32_t rkey;
};

struct raw {
	struct rdma_cm_id *id;
	struct ibv_mr *mr;
	void *memory;
	struct target target;
	bool asleep;
};

/* ret of librdmacm: negative, with errno. */
static void must(int ret, const char *what)
{
	if (!ret)
		return;
	fprintf(stderr, "raw read: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct rdma_cm_id *endpoint(const char *address, uint16_t port, bool passive)
{
	const struct rdma_addrinfo hints = {
		.ai_flags = passive ? RAI_PASSIVE : RAI_NUMERICHOST,
		.ai_port_space = RDMA_PS_TCP,
	};
	struct ibv_qp_init_attr attr = {
		.cap = { .max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1 },
		.sq_sig_all = 1,
	};
	struct rdma_addrinfo *found;
	struct rdma_cm_id *id;
	char service[8];

	snprintf(service, sizeof(service), "%u", port);
	must(rdma_getaddrinfo(address, service, &hints, &found), "address");
	must(rdma_create_ep(&id, found, NULL, &attr), "endpoint");
	rdma_freeaddrinfo(found);
	return id;
}

static void *page(void)
{
	void *memory = aligned_alloc(PAGE, PAGE);

	must(memory ? 0 : -1, "memory");
	memset(memory, 1, PAGE);
	return memory;
}

void raw_serve(uint16_t port)
{
	struct rdma_conn_param param = { .responder_resources = 1, .initiator_depth = 1 };
	struct rdma_cm_id *listener = endpoint(NULL, port, true), *id;
	struct rdma_cm_event *event;
	struct target target;
	struct ibv_mr *mr;
	void *memory = page();

	must(rdma_listen(listener, 1), "listen");
	printf("ready\n");
	fflush(stdout);
	must(rdma_get_request(listener, &id), "client");
	mr = rdma_reg_read(id, memory, PAGE);
	must(mr ? 0 : -1, "registration");
	target = (struct target){ .addr = (uintptr_t)memory, .rkey = mr->rkey };
	param.private_data = &target;
	param.private_data_len = sizeof(target);
	must(rdma_accept(id, &param), "accept");
	must(rdma_get_cm_event(id->channel, &event), "end");
	rdma_ack_cm_event(event);
	rdma_disconnect(id); /* answers the client, which waits for that */
	exit(0);
}

struct raw *raw_open(const char *address, uint16_t port, bool asleep)
{
	struct rdma_conn_param param = { .responder_resources = 1,
					 .initiator_depth = 1,
					 .retry_count = 7 };
	struct raw *raw = calloc(1, sizeof(*raw));

	must(raw ? 0 : -1, "memory");
	raw->asleep = asleep;
	raw->memory = page();
	raw->id = endpoint(address, port, false);
	raw->mr = rdma_reg_msgs(raw->id, raw->memory, PAGE);
	must(raw->mr ? 0 : -1, "registration");
	must(rdma_connect(raw->id, &param), "connect");
	memcpy(&raw->target, raw->id->event->param.conn.private_data, sizeof(raw->target));
	return raw;
}

void raw_read(struct raw *raw)
{
	struct ibv_wc wc = { .status = IBV_WC_SUCCESS };
	int n = 0;

	must(rdma_post_read(raw->id, NULL, raw->memory, PAGE, raw->mr, IBV_SEND_SIGNALED,
			    raw->target.addr, raw->target.rkey),
	     "post");
	if (raw->asleep)
		n = rdma_get_send_comp(raw->id, &wc);
	while (!n)
		n = ibv_poll_cq(raw->id->send_cq, 1, &wc);
	errno = EIO;
	must(n == 1 && wc.status == IBV_WC_SUCCESS ? 0 : -1, ibv_wc_status_str(wc.status));
}

void raw_close(struct raw *raw)
{
	rdma_disconnect(raw->id);
	rdma_dereg_mr(raw->mr);
	rdma_destroy_ep(raw->id);
	free(raw->memory);
	free(raw);
}
