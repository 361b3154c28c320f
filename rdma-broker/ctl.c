// SPDX-License-Identifier: GPL-2.0-only
/* ramsterctl: tells a running ramsterd what to lend and shows what it does. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "../core/wire.h"
#include "command.h"
#include "config.h"
#include "ctl_show.h"
#include "daemon.h"
#include "size.h"
#include "uuid.h"

#define EXIT_USAGE 2
#define ANSWER_SEC 30 /* for an answer, or after a deadline has passed */

const char *argp_program_version = "ramsterctl " RMB_VERSION;
error_t argp_err_exit_status = EXIT_USAGE;

struct args;

struct command {
	const char *name;
	struct argp argp;
	int (*run)(struct args *args);
	/* A positional argument; NULL: it takes none. Ends the process if it is wrong. */
	void (*parse)(struct args *args, const char *arg, struct argp_state *state);
};

struct args {
	const char *socket;
	bool json;
	const struct command *command;
	const char *verb, *uuid; /* shared */
	const char *size;
	uint64_t bytes, slab;
	int numa; /* -2: not given */
	uint32_t deadline_ms;
	bool has_deadline, force, no_wait;
};

/* ---- talking to the daemon ---- */

/* more_sec: how long the daemon may rightly take on top of the usual. */
static FILE *ctl_connect(const struct args *args, uint32_t more_sec)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = ANSWER_SEC + more_sec };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FILE *stream;

	if (strlen(args->socket) >= sizeof(sa.sun_path)) {
		fprintf(stderr, "ramsterctl: --socket: path is too long (107 bytes at most)\n");
		exit(EXIT_USAGE);
	}
	strcpy(sa.sun_path, args->socket);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		fprintf(stderr, "ramsterctl: cannot reach ramsterd at %s: %s; %s\n", args->socket,
			strerror(errno),
			errno == EACCES || errno == EPERM ?
				"try as root" :
				"is it running (systemctl status ramsterd)?");
		exit(EXIT_FAILURE);
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	stream = fdopen(fd, "r+");
	if (!stream) {
		perror("ramsterctl");
		exit(EXIT_FAILURE);
	}
	return stream;
}

/* One line of the daemon's, checked; the process ends where there is none or it says no. */
static json_t *ctl_read(FILE *stream, const struct args *args)
{
	static char *line;
	static size_t size;
	json_t *answer;
	ssize_t len;

	errno = 0;
	len = getline(&line, &size, stream);
	if (len <= 0) {
		fprintf(stderr, "ramsterctl: no answer from ramsterd: %s\n",
			errno ? strerror(errno) :
				"it closed the connection (allowed here? see its log)");
		exit(EXIT_FAILURE);
	}
	answer = json_loadb(line, (size_t)len, 0, NULL);
	if (!answer) {
		fprintf(stderr,
			"ramsterctl: cannot understand the answer of ramsterd; same version?\n");
		exit(EXIT_FAILURE);
	}
	if (args->json)
		fputs(line, stdout);
	if (!json_is_true(json_object_get(answer, "ok"))) {
		fprintf(stderr, "ramsterctl: %s\n",
			json_string_value(json_object_get(answer, "error")) ?: "refused");
		exit(EXIT_FAILURE);
	}
	return answer;
}

static void ctl_send(FILE *stream, json_t *command)
{
	if (json_dumpf(command, stream, JSON_COMPACT) || fputc('\n', stream) == EOF ||
	    fflush(stream)) {
		fprintf(stderr, "ramsterctl: cannot send to ramsterd: %s\n", strerror(errno));
		exit(EXIT_FAILURE);
	}
	json_decref(command);
}

/* ---- commands ---- */

static int ask(const struct args *args, json_t *command, void (*show)(json_t *))
{
	FILE *stream = ctl_connect(args, 0);
	json_t *answer;

	ctl_send(stream, command);
	answer = ctl_read(stream, args);
	if (!args->json)
		show(answer);
	json_decref(answer);
	fclose(stream);
	return EXIT_SUCCESS;
}

static int run_status(struct args *args)
{
	return ask(args, json_pack("{s:s}", "command", "status"), ctl_show_status);
}

static int run_slabs(struct args *args)
{
	return ask(args, json_pack("{s:s}", "command", "slabs"), ctl_show_slabs);
}

static int run_clients(struct args *args)
{
	return ask(args, json_pack("{s:s}", "command", "clients"), ctl_show_clients);
}

static int run_donate(struct args *args)
{
	json_t *command =
		json_pack("{s:s, s:I}", "command", "donate", "bytes", (json_int_t)args->bytes);

	if (args->numa > -2)
		json_object_set_new(command, "numa", json_integer(args->numa));
	return ask(args, command, ctl_show_donated);
}

/* Ask for something back, and wait for it unless told otherwise. */
static int ask_back(const struct args *args, json_t *command, void (*show)(json_t *))
{
	uint32_t deadline_ms = args->has_deadline ? args->deadline_ms : RMB_DEADLINE_MAX_MS;
	FILE *stream = ctl_connect(args, args->no_wait ? 0 : deadline_ms / 1000);
	int status = EXIT_SUCCESS;
	bool done = args->no_wait;
	json_t *answer;

	json_object_set_new(command, "force", json_boolean(args->force));
	json_object_set_new(command, "wait", json_boolean(!args->no_wait));
	if (args->has_deadline)
		json_object_set_new(command, "deadline_ms", json_integer(args->deadline_ms));
	ctl_send(stream, command);
	answer = ctl_read(stream, args);
	if (!args->json)
		show(answer);
	fflush(stdout);
	json_decref(answer);
	while (!done) {
		answer = ctl_read(stream, args);
		done = json_object_get(answer, "done");
		if (json_integer_value(json_object_get(answer, "kept_bytes")))
			status = EXIT_FAILURE;
		if (!args->json)
			ctl_show_progress(answer);
		fflush(stdout);
		json_decref(answer);
	}
	fclose(stream);
	return status;
}

static int run_revoke(struct args *args)
{
	json_t *command = json_pack("{s:s}", "command", "revoke");

	if (args->slab)
		json_object_set_new(command, "slab", json_integer((json_int_t)args->slab));
	else
		json_object_set_new(command, "bytes", json_integer((json_int_t)args->bytes));
	return ask_back(args, command, ctl_show_revoke_begin);
}

static int run_shared(struct args *args)
{
	json_t *command;

	if (!strcmp(args->verb, "list"))
		return ask(args, json_pack("{s:s}", "command", "shares"), ctl_show_shares);
	if (!strcmp(args->verb, "deny"))
		return ask_back(args,
				json_pack("{s:s, s:s}", "command", "share-deny", "uuid",
					  args->uuid),
				ctl_show_denied);
	command = json_pack("{s:s, s:s}", "command", "share-allow", "uuid", args->uuid);
	if (args->size)
		json_object_set_new(command, "bytes", json_integer((json_int_t)args->bytes));
	return ask(args, command, ctl_show_allowed);
}

/* ---- command line ---- */

enum option_key {
	OPT_SOCKET = 's',
	OPT_JSON = 'j',
	OPT_NUMA = 1000,
	OPT_SLAB,
	OPT_DEADLINE,
	OPT_FORCE,
	OPT_WAIT,
	OPT_NO_WAIT,
};

static const struct argp_option common_options[] = {
	{ "socket", OPT_SOCKET, "PATH", 0, "control socket (default " RMB_CONTROL_SOCKET ")", 10 },
	{ "json", OPT_JSON, NULL, 0, "print the daemon's answer as JSON, one object per line", 10 },
	{ 0 },
};

static const struct argp_option donate_options[] = {
	{ "numa", OPT_NUMA, "NODE", 0, "place new slabs on this node while it has room, or 'any'",
	  0 },
	{ 0 },
};

static const struct argp_option revoke_options[] = {
	{ "slab", OPT_SLAB, "ID", 0, "take this slab back (ramsterctl slabs lists them)", 0 },
	{ "deadline", OPT_DEADLINE, "TIME", 0, "time for the borrower to move out, such as 10s",
	  0 },
	{ "force", OPT_FORCE, NULL, 0, "fence at once; what only lay there is lost", 0 },
	{ "wait", OPT_WAIT, NULL, 0, "wait until it is done (default)", 0 },
	{ "no-wait", OPT_NO_WAIT, NULL, 0, "return at once", 0 },
	{ 0 },
};

static const struct argp_option shared_options[] = {
	{ "deadline", OPT_DEADLINE, "TIME", 0, "deny: time for the borrowers to leave", 0 },
	{ "force", OPT_FORCE, NULL, 0, "deny: end it at once", 0 },
	{ "wait", OPT_WAIT, NULL, 0, "deny: wait until it is done (default)", 0 },
	{ "no-wait", OPT_NO_WAIT, NULL, 0, "deny: return at once", 0 },
	{ 0 },
};

static uint64_t parse_number(struct argp_state *state, const char *what, const char *arg,
			     uint64_t min, uint64_t max)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(arg, &end, 10);
	if (end == arg || *end || errno || arg[0] == '-' || value < min || value > max)
		argp_error(state, "%s: '%s' is not a number from %" PRIu64 " to %" PRIu64, what,
			   arg, min, max);
	return value;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	switch (key) {
	case OPT_SOCKET:
		args->socket = arg;
		return 0;
	case OPT_JSON:
		args->json = true;
		return 0;
	case OPT_NUMA:
		args->numa = strcmp(arg, "any") ? (int)parse_number(state, "--numa", arg, 0, 1023) :
						  -1;
		return 0;
	case OPT_SLAB:
		args->slab = parse_number(state, "--slab", arg, 1, INT64_MAX);
		return 0;
	case OPT_DEADLINE:
		if (rmb_duration_parse(arg, &args->deadline_ms) ||
		    args->deadline_ms > RMB_DEADLINE_MAX_MS)
			argp_error(state,
				   "--deadline: '%s' is not a time up to 1h, such as 10s or 500ms",
				   arg);
		args->has_deadline = true;
		return 0;
	case OPT_FORCE:
		args->force = true;
		return 0;
	case OPT_WAIT:
		args->no_wait = false;
		return 0;
	case OPT_NO_WAIT:
		args->no_wait = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* donate, revoke */
static void parse_size(struct args *args, const char *arg, struct argp_state *state)
{
	if (args->size)
		argp_error(state, "unexpected argument '%s'", arg);
	args->size = arg;
	if (rmb_size_parse(arg, &args->bytes) || !args->bytes)
		argp_error(state, "'%s' is not a size such as 512M or 1G", arg);
}

static void parse_shared(struct args *args, const char *arg, struct argp_state *state)
{
	uint8_t uuid[16];

	if (!args->verb) {
		args->verb = arg;
		if (strcmp(arg, "allow") && strcmp(arg, "deny") && strcmp(arg, "list"))
			argp_error(state, "'%s' is none of allow, deny and list", arg);
	} else if (strcmp(args->verb, "list") && !args->uuid) {
		args->uuid = arg;
		if (rmb_uuid_parse(arg, uuid))
			argp_error(state,
				   "'%s' is not the UUID of a file system; see: blkid, or findmnt -o UUID",
				   arg);
	} else if (!strcmp(args->verb, "allow") && !args->size) {
		parse_size(args, arg, state);
		if (!core_slab_bytes_valid(args->bytes))
			argp_error(state, "'%s' is not a power of two from 1M to 1G", arg);
	} else {
		argp_error(state, "unexpected argument '%s'", arg);
	}
}

static error_t parse_command(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	if (key == ARGP_KEY_INIT) {
		state->child_inputs[0] = args;
		return 0;
	}
	if (key != ARGP_KEY_ARG)
		return parse_option(key, arg, state);
	if (!args->command->parse)
		argp_error(state, "unexpected argument '%s'", arg);
	args->command->parse(args, arg, state);
	return 0;
}

static const struct argp common_argp = { .options = common_options, .parser = parse_option };
static const struct argp_child common_child[] = { { &common_argp, 0, NULL, 0 }, { 0 } };

#define COMMAND(opts, args, doc)                                         \
	{                                                                \
		opts, parse_command, args, doc, common_child, NULL, NULL \
	}

static const struct command commands[] = {
	{ "donate", COMMAND(donate_options, "SIZE", "Lend SIZE more of this machine's RAM."),
	  run_donate, parse_size },
	{ "revoke",
	  COMMAND(revoke_options, "SIZE\n--slab ID",
		  "Take SIZE, or one slab, back: first what nobody uses, then shares, then slabs, whose "
		  "borrowers have until the deadline to move their pages elsewhere."),
	  run_revoke, parse_size },
	{ "shared",
	  COMMAND(shared_options, "allow UUID [SIZE]\ndeny UUID\nlist",
		  "Let the borrowers that have mounted the file system UUID see each other's clean "
		  "pages, SIZE of them (default 256M) in RAM of the donation; or no longer."),
	  run_shared, parse_shared },
	{ "status", COMMAND(NULL, NULL, "Show what is lent."), run_status, NULL },
	{ "slabs", COMMAND(NULL, NULL, "List the slabs that are lent."), run_slabs, NULL },
	{ "clients", COMMAND(NULL, NULL, "List the borrowers."), run_clients, NULL },
};

struct main_args {
	struct args args;
	const struct command *command;
	int rest; /* index of the command's name in argv */
};

static error_t parse_main(int key, char *arg, struct argp_state *state)
{
	struct main_args *m = state->input;
	size_t i;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &m->args;
		return 0;
	case ARGP_KEY_ARG:
		for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
			if (!strcmp(arg, commands[i].name))
				m->command = &commands[i];
		if (!m->command)
			argp_error(state, "unknown command '%s'", arg);
		m->rest = state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "no command given");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Options that are deny's go with deny. */
static bool shared_complete(const struct args *args)
{
	bool for_deny = args->has_deadline || args->force || args->no_wait;

	if (!args->verb || (for_deny && strcmp(args->verb, "deny")))
		return false;
	return args->uuid || !strcmp(args->verb, "list");
}

int main(int argc, char **argv)
{
	static const struct argp main_argp = {
		.parser = parse_main,
		.args_doc = "COMMAND [OPTION...]",
		.doc = "Control the ramsterd of this machine."
		       "\vCommands:\n"
		       "  donate SIZE             lend SIZE more RAM\n"
		       "  revoke SIZE|--slab ID   take RAM back\n"
		       "  shared allow UUID [SIZE]  let borrowers share a file system's pages\n"
		       "  shared deny UUID        no longer\n"
		       "  shared list             list what is shared\n"
		       "  status                  show what is lent\n"
		       "  slabs                   list the slabs that are lent\n"
		       "  clients                 list the borrowers\n\n"
		       "'ramsterctl COMMAND --help' tells more; see ramsterctl(8).",
		.children = common_child,
	};
	struct main_args m = { .args = { .socket = RMB_CONTROL_SOCKET, .numa = -2 } };
	char name[64];

	argp_parse(&main_argp, argc, argv, ARGP_IN_ORDER, NULL, &m);
	snprintf(name, sizeof(name), "ramsterctl %s", m.command->name);
	argv[m.rest] = name;
	m.args.command = m.command;
	argp_parse(&m.command->argp, argc - m.rest, argv + m.rest, 0, NULL, &m.args);
	if (m.command->run == run_donate && !m.args.size) {
		fprintf(stderr, "ramsterctl donate: say how much, such as 512M\n");
		return EXIT_USAGE;
	}
	if (m.command->run == run_revoke && !m.args.size == !m.args.slab) {
		fprintf(stderr,
			"ramsterctl revoke: give either a size, such as 256M, or --slab ID\n");
		return EXIT_USAGE;
	}
	if (m.command->run == run_shared && !shared_complete(&m.args)) {
		fprintf(stderr, "ramsterctl shared: say allow UUID [SIZE], deny UUID, or list\n");
		return EXIT_USAGE;
	}
	return m.command->run(&m.args);
}
