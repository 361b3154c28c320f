/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * config.h - the daemon's settings: defaults, then the file, then the command
 * line. One table in config.c names them all; ramsterd.conf(5) describes them.
 */
#ifndef RMB_CONFIG_H
#define RMB_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#define RMB_CONFIG_FILE	   "/etc/ramster/ramsterd.conf"
#define RMB_CONTROL_SOCKET "/run/ramster/ramsterd.sock"
#define RMB_LISTEN_MAX	   16
#define RMB_SHARED_MAX	   64
#define RMB_SHARED_DEFAULT (256ull << 20) /* bytes of a share whose size nobody named */
#define RMB_STRING_MAX	   108		  /* what a unix socket's path may take */

/* A file system whose clean pages its borrowers may share. */
struct rmb_config_shared {
	uint8_t uuid[16];
	uint64_t bytes; /* core_slab_bytes_valid() */
};

struct rmb_config {
	char listen[RMB_LISTEN_MAX][RMB_STRING_MAX]; /* addresses; none: all of this host's */
	unsigned int n_listen;
	uint32_t port;
	bool wait;	  /* for an RDMA device to appear */
	uint64_t donate;  /* bytes lent from the start */
	uint64_t quota;	  /* bytes one client may hold; 0: no limit */
	uint64_t reserve; /* bytes of the host's RAM that stay available */
	int32_t numa;	  /* preferred node of new slabs; -1: any */
	uint32_t max_clients;
	uint32_t max_lanes; /* per session and role */
	uint32_t heartbeat_ms;
	uint32_t grace_ms;
	uint32_t deadline_ms;	   /* of a revoke that names none */
	uint32_t stop_deadline_ms; /* of the revoke that precedes a stop */
	bool force_at_deadline;
	struct rmb_config_shared shared[RMB_SHARED_MAX];
	unsigned int n_shared;
	uint32_t repatriate_ms; /* how often to bring swapped pages home when idle; 0: never */
	char socket[RMB_STRING_MAX];
	char group[RMB_STRING_MAX]; /* may use the control socket besides root; "": nobody */
};

struct rmb_config_key {
	const char *name, *arg, *doc;
};

/* Every setting, ended by a null name; the command line is made from it. */
extern const struct rmb_config_key rmb_config_keys[];

void rmb_config_defaults(struct rmb_config *cfg);
/* Set one key. On error returns -EINVAL with a line for the operator in why. */
int rmb_config_set(struct rmb_config *cfg, const char *name, const char *value, char *why,
		   unsigned int why_len);
/* Read a file. -ENOENT if there is none, -EINVAL with why (which names the line). */
int rmb_config_read(struct rmb_config *cfg, const char *path, char *why, unsigned int why_len);

#endif /* RMB_CONFIG_H */
