// SPDX-License-Identifier: GPL-2.0-only
#include "daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "host.h"
#include "log.h"
#include "revoke.h"
#include "size.h"

#define RETRY_US 2000000ull  /* between looks for an RDMA device */
#define BYE_US	 1000000ull  /* for the last messages to leave */
#define REAP_US	 20000000ull /* for the last slabs to be taken down */

/* ---- stopping: ask back, wait, fence, say goodbye, go; every step has an end ---- */

static int on_last(sd_event_source *source, uint64_t usec, void *opaque)
{
	struct rmb_daemon *daemon = opaque;

	(void)source, (void)usec;
	sd_event_exit(daemon->event, EXIT_SUCCESS);
	return 0;
}

/* Runs after every turn of the loop while stopping. */
static int on_stop_progress(sd_event_source *source, void *opaque)
{
	struct rmb_daemon *daemon = opaque;

	(void)source;
	if (daemon->lend.granted)
		return 0;
	if (!daemon->said_bye) {
		daemon->said_bye = true;
		rmb_clients_bye(&daemon->clients);
		sd_event_source_set_time_relative(daemon->stop_last, BYE_US);
	}
	if (!rmb_clients_unsent(&daemon->clients))
		sd_event_exit(daemon->event, EXIT_SUCCESS);
	return 0;
}

static int on_stop_deadline(sd_event_source *source, uint64_t usec, void *opaque)
{
	struct rmb_daemon *daemon = opaque;

	(void)source, (void)usec;
	rmb_revoke_fence_all(&daemon->lend, &daemon->shares);
	return 0;
}

static int stop_begin(struct rmb_daemon *daemon)
{
	uint64_t deadline_us = daemon->cfg.stop_deadline_ms * 1000ull;
	char size[RMB_SIZE_STR];

	daemon->stopping = true;
	daemon->clients.stopping = true;
	sd_notifyf(0, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu", deadline_us + REAP_US);
	rmb_log(LOG_NOTICE, "stopping; %s are lent and have %" PRIu32 " ms to move out",
		rmb_size_format(daemon->lend.granted, size), daemon->cfg.stop_deadline_ms);
	if (sd_event_add_time_relative(daemon->event, &daemon->stop_last, CLOCK_MONOTONIC,
				       deadline_us + REAP_US, 0, on_last, daemon) < 0 ||
	    sd_event_add_time_relative(daemon->event, &daemon->stop_timer, CLOCK_MONOTONIC,
				       deadline_us, 10000, on_stop_deadline, daemon) < 0 ||
	    sd_event_add_post(daemon->event, &daemon->stop_post, on_stop_progress, daemon) < 0)
		return sd_event_exit(daemon->event, EXIT_FAILURE);
	rmb_revoke_all(&daemon->lend, &daemon->shares, daemon->cfg.stop_deadline_ms);
	return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *opaque)
{
	struct rmb_daemon *daemon = opaque;

	(void)source;
	if (info->ssi_signo == SIGHUP) {
		rmb_log(LOG_NOTICE, "nothing is reloaded on SIGHUP; restart, or use ramsterctl");
		return 0;
	}
	if (daemon->stopping) {
		rmb_log(LOG_NOTICE, "second signal: exiting at once");
		_exit(EXIT_FAILURE); /* the kernel takes the slabs down */
	}
	return stop_begin(daemon);
}

static int signals_init(struct rmb_daemon *daemon)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (sd_event_add_signal(daemon->event, NULL, signals[i], on_signal, daemon) < 0)
			return -ENOMEM;
	return 0;
}

/* ---- listening ---- */

static int listen_all(struct rmb_daemon *daemon)
{
	const struct rmb_config *cfg = &daemon->cfg;
	unsigned int i, n = cfg->n_listen ? cfg->n_listen : 1;
	const char *address;
	int err;

	for (i = 0; i < n; i++) {
		address = cfg->n_listen ? cfg->listen[i] : NULL;
		err = rmb_verbs_listen(daemon->verbs, address, (uint16_t)cfg->port);
		if (!err)
			continue;
		/* The CM says EADDRNOTAVAIL for both. */
		rmb_log(LOG_ERR,
			"cannot listen on %s port %" PRIu32
			": %s; is the port taken, or the address not on an RDMA device (rdma link)?",
			address ? address : "all addresses", cfg->port, strerror(-err));
		return err;
	}
	return 0;
}

static int try_listen(struct rmb_daemon *daemon, char *why, size_t why_len)
{
	char devices[128], size[RMB_SIZE_STR];
	int err;

	daemon->verbs =
		rmb_verbs_create(daemon->event, &rmb_client_ops, &daemon->clients, why, why_len);
	if (!daemon->verbs)
		return -ENODEV;
	err = listen_all(daemon);
	if (err) {
		rmb_verbs_destroy(daemon->verbs);
		daemon->verbs = NULL;
		snprintf(why, why_len, "not listening");
		return err;
	}
	rmb_verbs_devices(devices, sizeof(devices));
	rmb_log(LOG_INFO, "listening on port %" PRIu32 " (%s), lending %s", daemon->cfg.port,
		devices, rmb_size_format(daemon->lend.donation, size));
	return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *opaque)
{
	struct rmb_daemon *daemon = opaque;
	char why[256];

	(void)usec;
	if (!daemon->stopping && try_listen(daemon, why, sizeof(why))) {
		sd_event_source_set_time_relative(source, RETRY_US);
		sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	return 0;
}

static int listen_init(struct rmb_daemon *daemon)
{
	char why[256];
	int err = try_listen(daemon, why, sizeof(why));

	if (!err)
		return 0;
	rmb_log(daemon->cfg.wait ? LOG_WARNING : LOG_ERR, "%s", why);
	if (!daemon->cfg.wait)
		return err;
	rmb_log(LOG_INFO, "waiting for an RDMA device");
	return sd_event_add_time_relative(daemon->event, &daemon->retry, CLOCK_MONOTONIC, RETRY_US,
					  0, on_retry, daemon);
}

/* ---- life ---- */

static void on_ended(void *opaque, uint64_t id, const char *share, uint64_t bytes,
		     const char *outcome)
{
	struct rmb_daemon *daemon = opaque;

	if (daemon->control)
		rmb_control_ended(daemon->control, id, share, bytes, outcome);
}

static int donate_init(struct rmb_daemon *daemon)
{
	char why[256];

	if (!rmb_lend_donate(&daemon->lend, daemon->cfg.donate, why, sizeof(why)))
		return 0;
	rmb_log(LOG_ERR, "donate: %s", why);
	return -EINVAL;
}

static int daemon_init(struct rmb_daemon *daemon)
{
	int err = sd_event_default(&daemon->event);

	if (err < 0)
		return err;
	rmb_host_protect();
	sd_event_now(daemon->event, CLOCK_MONOTONIC, &daemon->started_us);
	sd_event_set_watchdog(daemon->event, true);
	err = signals_init(daemon);
	if (!err)
		err = rmb_lend_init(&daemon->lend, daemon->event, &daemon->cfg);
	if (err)
		return err;
	daemon->lend.ended = on_ended;
	daemon->lend.ended_ctx = daemon;
	err = rmb_shares_init(&daemon->shares, daemon->event, &daemon->cfg, &daemon->lend);
	if (!err)
		err = rmb_clients_init(&daemon->clients, daemon->event, &daemon->cfg, &daemon->lend,
				       &daemon->shares);
	if (!err)
		err = donate_init(daemon);
	if (err)
		return err;
	/* First, because it says so best if another ramsterd runs. */
	daemon->control = rmb_control_create(daemon);
	return daemon->control ? listen_init(daemon) : -EIO;
}

/* Also after an init that stopped half way: what was not begun is still zero. */
static void daemon_uninit(struct rmb_daemon *daemon)
{
	if (daemon->control)
		rmb_control_destroy(daemon->control);
	daemon->control = NULL;
	sd_event_source_disable_unref(daemon->retry);
	sd_event_source_disable_unref(daemon->stop_post);
	sd_event_source_disable_unref(daemon->stop_timer);
	sd_event_source_disable_unref(daemon->stop_last);
	rmb_clients_uninit(&daemon->clients);
	rmb_shares_uninit(&daemon->shares);
	rmb_lend_uninit(&daemon->lend);
	if (daemon->verbs)
		rmb_verbs_destroy(daemon->verbs);
	sd_event_unref(daemon->event);
}

int rmb_daemon_run(const struct rmb_config *cfg)
{
	struct rmb_daemon *daemon = calloc(1, sizeof(*daemon));
	int status = EXIT_FAILURE;

	if (!daemon)
		return EXIT_FAILURE;
	daemon->cfg = *cfg;
	if (daemon_init(daemon) >= 0) {
		if (cfg->repatriate_ms)
			daemon->repatriate = rmb_repatriate_start(cfg->repatriate_ms);
		sd_notify(0, "READY=1");
		status = sd_event_loop(daemon->event);
		if (status < 0) {
			rmb_log(LOG_CRIT, "event loop: %s", strerror(-status));
			status = EXIT_FAILURE;
		}
	}
	rmb_repatriate_stop(daemon->repatriate);
	daemon_uninit(daemon);
	free(daemon);
	return status;
}
