// SPDX-License-Identifier: GPL-2.0-only
/* ramsterd: lends this machine's RAM to others. This file is its command line. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "daemon.h"
#include "log.h"

#define OVERRIDES_MAX 64
#define EXIT_USAGE    2

const char *argp_program_version = "ramsterd " RMB_VERSION;
error_t argp_err_exit_status = EXIT_USAGE;

struct args {
	const char *file; /* NULL: the usual one, if there is one */
	struct {
		const char *name, *value;
	} override[OVERRIDES_MAX];
	unsigned int n_overrides;
};

/* Options after the first are the settings of config.c, numbered by their index. */
#define KEY_FIRST 1000

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	if (key == 'c') {
		args->file = arg;
		return 0;
	}
	if (key == ARGP_KEY_ARG)
		argp_error(state, "unexpected argument '%s'", arg);
	if (key < KEY_FIRST || key > KEY_FIRST + 100)
		return ARGP_ERR_UNKNOWN;
	if (args->n_overrides == OVERRIDES_MAX)
		argp_error(state, "too many options");
	args->override[args->n_overrides].name = rmb_config_keys[key - KEY_FIRST].name;
	args->override[args->n_overrides++].value = arg ? arg : "yes";
	return 0;
}

static void make_options(struct argp_option *options)
{
	const struct rmb_config_key *key;

	*options++ = (struct argp_option){
		"config", 'c', "FILE", 0, "settings (default " RMB_CONFIG_FILE ")", 0
	};
	for (key = rmb_config_keys; key->name; key++)
		*options++ = (struct argp_option){
			key->name, KEY_FIRST + (int)(key - rmb_config_keys),
			key->arg,  !strcmp(key->arg, "BOOL") ? OPTION_ARG_OPTIONAL : 0,
			key->doc,  1
		};
	*options = (struct argp_option){ 0 };
}

/* The file, then the command line over it. */
static int configure(struct rmb_config *cfg, const struct args *args)
{
	bool listen_reset = false, shared_reset = false;
	char why[256];
	unsigned int i;
	int err;

	rmb_config_defaults(cfg);
	err = rmb_config_read(cfg, args->file ? args->file : RMB_CONFIG_FILE, why, sizeof(why));
	if (err == -ENOENT && args->file) {
		rmb_log(LOG_ERR, "cannot read %s", args->file);
		return err;
	}
	if (err == -EINVAL) {
		rmb_log(LOG_ERR, "%s", why);
		return err;
	}
	for (i = 0; i < args->n_overrides; i++) {
		if (!strcmp(args->override[i].name, "listen") && !listen_reset) {
			listen_reset = true;
			cfg->n_listen = 0;
		}
		if (!strcmp(args->override[i].name, "shared") && !shared_reset) {
			shared_reset = true;
			cfg->n_shared = 0;
		}
		if (rmb_config_set(cfg, args->override[i].name, args->override[i].value, why,
				   sizeof(why))) {
			rmb_log(LOG_ERR, "--%s", why);
			return -EINVAL;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct argp_option options[32];
	const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.doc = "Lend this machine's RAM to others over RDMA."
		       "\vEvery option is also a setting of the file; see ramsterd(8) and "
		       "ramsterd.conf(5). Use ramsterctl(8) to talk to a running ramsterd.",
	};
	struct args args = { 0 };
	struct rmb_config cfg;

	make_options(options);
	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (configure(&cfg, &args))
		return EXIT_USAGE;
	return rmb_daemon_run(&cfg);
}
