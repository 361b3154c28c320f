/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ctl_show.h - the daemon's answers, for people, on standard output. What an answer
 * does not have is shown as 0 or "?".
 */
#ifndef RMB_CTL_SHOW_H
#define RMB_CTL_SHOW_H

#include <jansson.h>

void ctl_show_status(json_t *answer);
void ctl_show_slabs(json_t *answer);
void ctl_show_clients(json_t *answer);
void ctl_show_shares(json_t *answer);
void ctl_show_donated(json_t *answer);
void ctl_show_allowed(json_t *answer);
void ctl_show_denied(json_t *answer);
void ctl_show_revoke_begin(json_t *answer);
/* A line of a revoke that waits: something is back, or all is. */
void ctl_show_progress(json_t *answer);

#endif /* RMB_CTL_SHOW_H */
