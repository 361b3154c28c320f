/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * report.h - the daemon's state as JSON. It says what the daemon knows: data
 * goes past it by RDMA, so bytes read and written are not among it.
 */
#ifndef RMB_REPORT_H
#define RMB_REPORT_H

#include <jansson.h>

#include "daemon.h"
#include "revoke.h"

/* New references; NULL if there is no memory. */
json_t *rmb_report_status(const struct rmb_daemon *daemon);
json_t *rmb_report_slabs(const struct rmb_daemon *daemon);
json_t *rmb_report_clients(const struct rmb_daemon *daemon);
json_t *rmb_report_shares(const struct rmb_daemon *daemon);
/* One that there is. */
json_t *rmb_report_share(const struct rmb_daemon *daemon, const uint8_t *uuid);
json_t *rmb_report_revoked(const struct rmb_daemon *daemon, const struct rmb_revoked *revoked,
			   uint32_t deadline_ms);

#endif /* RMB_REPORT_H */
