// SPDX-License-Identifier: GPL-2.0-only
/* hello.c - the program of ramster-rdma(7): a page goes to a donor and comes back. */
#include <ramster/ramster_rdma.h>
#include <stdio.h>
#include <string.h>

static char page[4096];

int main(int argc, char **argv)
{
	struct rmr_pool *pool;
	struct rmr *fabric;
	int err;

	if (argc != 2)
		return fprintf(stderr, "usage: hello DONOR[,DONOR...]\n"), 2;
	err = rmr_open(argv[1], NULL, &fabric);
	if (err)
		return fprintf(stderr, "%s: %s\n", argv[1], strerror(-err)), 1;
	if (rmr_wait_connected(fabric, 5000))
		fprintf(stderr, "no donor answers; pages are compressed in this process\n");
	err = rmr_pool_create(fabric, RMR_PERSISTENT, sizeof(page), &pool);
	strcpy(page, "hello from the other machine");
	if (!err)
		err = rmr_put(pool, 1, 42, page);
	memset(page, 0, sizeof(page));
	if (!err)
		err = rmr_get(pool, 1, 42, page);
	printf("%s\n", err ? strerror(-err) : page);
	rmr_close(fabric);
	return err != 0;
}
