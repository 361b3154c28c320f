/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * daemon.h - the parts of ramsterd and the loop they share: one thread, one
 * sd-event loop, so nothing here needs a lock.
 */
#ifndef RMB_DAEMON_H
#define RMB_DAEMON_H

#include "client.h"
#include "config.h"
#include "control.h"
#include "lend.h"
#include "repatriate.h"
#include "shares.h"
#include "verbs.h"

#define RMB_VERSION "0.1.0"

struct rmb_daemon {
	struct rmb_config cfg;
	sd_event *event;
	struct rmb_verbs *verbs; /* NULL while there is no RDMA device (wait = yes) */
	struct rmb_lend lend;
	struct rmb_shares shares;
	struct rmb_clients clients;
	struct rmb_control *control;
	struct rmb_repatriate *repatriate; /* NULL: not wanted */
	uint64_t started_us;		   /* CLOCK_MONOTONIC */
	sd_event_source *retry;		   /* looks for a device */
	bool stopping, said_bye;
	sd_event_source *stop_post, *stop_timer, *stop_last;
};

/* Run until a signal. Returns the exit status; says what went wrong itself. */
int rmb_daemon_run(const struct rmb_config *cfg);

#endif /* RMB_DAEMON_H */
