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

#include "command.h"
#include "config.h"
#include "daemon.h"
#include "size.h"

#define EXIT_USAGE 2
#define ANSWER_SEC 30 /* for an answer, or after a deadline has passed */

const char *argp_program_version = "ramsterctl " RMB_VERSION;
error_t argp_err_exit_status = EXIT_USAGE;

struct args {
	const char *socket;
	bool json;
	bool takes_size; /* donate, revoke */
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

/* ---- showing ---- */

static json_int_t number(json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static const char *text(json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key)) ?: "?";
}

/* A size; three may be in use at a time. */
static const char *size_of(json_t *object, const char *key)
{
	static char out[3][RMB_SIZE_STR];
	static int next;

	next = (next + 1) % 3;
	return rmb_size_format((uint64_t)number(object, key), out[next]);
}

static void show_status(json_t *s)
{
	json_int_t up = number(s, "uptime_ms") / 1000;

	printf("ramsterd %s, up %lldh %02lldm %02llds, %s %s%s\n", text(s, "version"),
	       (long long)up / 3600, (long long)up / 60 % 60, (long long)up % 60,
	       json_is_true(json_object_get(s, "listening")) ? "listening on" :
							       "waiting for a device,",
	       text(s, "devices"),
	       json_is_true(json_object_get(s, "stopping")) ? ", stopping" : "");
	printf("  donated   %10s\n", size_of(s, "donation_bytes"));
	printf("  granted   %10s  in %lld slabs, %lld of them asked back\n",
	       size_of(s, "granted_bytes"), (long long)number(s, "slabs"),
	       (long long)number(s, "revoking_slabs"));
	printf("  free      %10s\n", size_of(s, "free_bytes"));
	printf("  resident  %10s  of the host's %s available, %s reserved\n",
	       size_of(s, "rss_bytes"), size_of(s, "mem_available_bytes"),
	       size_of(s, "reserve_bytes"));
	printf("  clients   %10lld  (%lld dropped, %lld connections rejected)\n",
	       (long long)number(s, "clients"), (long long)number(s, "clients_dropped"),
	       (long long)number(s, "connections_rejected"));
	printf("  slabs     %10lld  granted so far, %lld released, %lld fenced\n",
	       (long long)number(s, "slabs_granted_total"),
	       (long long)number(s, "slabs_released_total"),
	       (long long)number(s, "slabs_fenced_total"));
	printf("  messages  %10lld  in, %lld out\n", (long long)number(s, "messages_in"),
	       (long long)number(s, "messages_out"));
}

static void show_slabs(json_t *answer)
{
	json_t *list = json_object_get(answer, "slabs"), *slab;
	char left[32];
	size_t i;

	if (!json_array_size(list)) {
		puts("no slabs are granted");
		return;
	}
	printf("%8s %10s  %-18s %9s %9s  %s\n", "SLAB", "SIZE", "STATE", "AGE", "DEADLINE",
	       "CLIENT");
	json_array_foreach(list, i, slab) {
		snprintf(left, sizeof(left), "-");
		if (json_object_get(slab, "deadline_ms"))
			snprintf(left, sizeof(left), "%.1fs",
				 (double)number(slab, "deadline_ms") / 1000);
		printf("%8lld %10s  %-18s %8.1fs %9s  %s\n", (long long)number(slab, "id"),
		       size_of(slab, "bytes"), text(slab, "state"),
		       (double)number(slab, "age_ms") / 1000, left, text(slab, "client"));
	}
}

static void show_clients(json_t *answer)
{
	json_t *list = json_object_get(answer, "clients"), *client;
	size_t i;

	if (!json_array_size(list)) {
		puts("no clients");
		return;
	}
	printf("%-28s %-9s %-8s %10s %6s %11s %10s  %s\n", "CLIENT", "STATE", "DEVICE", "GRANTED",
	       "SLABS", "PAGES", "SILENT", "LANES (demand bulk write)");
	json_array_foreach(list, i, client)
		printf("%-28s %-9s %-8s %10s %6lld %11lld %9.1fs  %lld %lld %lld\n",
		       text(client, "peer"), text(client, "state"), text(client, "device"),
		       size_of(client, "granted_bytes"), (long long)number(client, "slabs"),
		       (long long)number(client, "used_pages"),
		       (double)number(client, "silent_ms") / 1000,
		       (long long)number(client, "demand_lanes"),
		       (long long)number(client, "bulk_lanes"),
		       (long long)number(client, "write_lanes"));
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
	return ask(args, json_pack("{s:s}", "command", "status"), show_status);
}

static int run_slabs(struct args *args)
{
	return ask(args, json_pack("{s:s}", "command", "slabs"), show_slabs);
}

static int run_clients(struct args *args)
{
	return ask(args, json_pack("{s:s}", "command", "clients"), show_clients);
}

static void show_donated(json_t *answer)
{
	printf("%s donated, %s free\n", size_of(answer, "donation_bytes"),
	       size_of(answer, "free_bytes"));
}

static int run_donate(struct args *args)
{
	json_t *command =
		json_pack("{s:s, s:I}", "command", "donate", "bytes", (json_int_t)args->bytes);

	if (args->numa > -2)
		json_object_set_new(command, "numa", json_integer(args->numa));
	return ask(args, command, show_donated);
}

static void show_revoke_begin(json_t *answer)
{
	json_t *slabs = json_object_get(answer, "slabs");

	printf("%s donated now; %s were unused, %s are in %zu slabs that are asked back\n",
	       size_of(answer, "donation_bytes"), size_of(answer, "unused_bytes"),
	       size_of(answer, "revoking_bytes"), json_array_size(slabs));
	fflush(stdout);
}

static int show_revoke_end(json_t *answer)
{
	printf("done: %s back, of which %s were fenced", size_of(answer, "released_bytes"),
	       size_of(answer, "fenced_bytes"));
	if (!number(answer, "kept_bytes")) {
		putchar('\n');
		return EXIT_SUCCESS;
	}
	printf("; %s stay with their borrowers (force-at-deadline = no), --force takes them\n",
	       size_of(answer, "kept_bytes"));
	return EXIT_FAILURE;
}

static json_t *revoke_command(const struct args *args)
{
	json_t *command = json_pack("{s:s, s:b, s:b}", "command", "revoke", "force", args->force,
				    "wait", !args->no_wait);

	if (args->slab)
		json_object_set_new(command, "slab", json_integer((json_int_t)args->slab));
	else
		json_object_set_new(command, "bytes", json_integer((json_int_t)args->bytes));
	if (args->has_deadline)
		json_object_set_new(command, "deadline_ms", json_integer(args->deadline_ms));
	return command;
}

static int run_revoke(struct args *args)
{
	uint32_t deadline_ms = args->has_deadline ? args->deadline_ms : RMB_DEADLINE_MAX_MS;
	FILE *stream = ctl_connect(args, args->no_wait ? 0 : deadline_ms / 1000);
	int status = EXIT_SUCCESS;
	bool done = args->no_wait;
	json_t *answer;

	ctl_send(stream, revoke_command(args));
	answer = ctl_read(stream, args);
	if (!args->json)
		show_revoke_begin(answer);
	json_decref(answer);
	while (!done) {
		answer = ctl_read(stream, args);
		done = json_object_get(answer, "done");
		if (done && number(answer, "kept_bytes"))
			status = EXIT_FAILURE;
		if (!args->json && done)
			show_revoke_end(answer);
		else if (!args->json)
			printf("  slab %lld (%s) %s, %lld to go\n",
			       (long long)number(answer, "slab"), size_of(answer, "bytes"),
			       text(answer, "outcome"), (long long)number(answer, "left"));
		fflush(stdout);
		json_decref(answer);
	}
	fclose(stream);
	return status;
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

static error_t parse_command(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	if (key == ARGP_KEY_INIT) {
		state->child_inputs[0] = args;
		return 0;
	}
	if (key != ARGP_KEY_ARG)
		return parse_option(key, arg, state);
	if (!args->takes_size || args->size)
		argp_error(state, "unexpected argument '%s'", arg);
	args->size = arg;
	if (rmb_size_parse(arg, &args->bytes) || !args->bytes)
		argp_error(state, "'%s' is not a size such as 512M or 1G", arg);
	return 0;
}

static const struct argp common_argp = { .options = common_options, .parser = parse_option };
static const struct argp_child common_child[] = { { &common_argp, 0, NULL, 0 }, { 0 } };

struct command {
	const char *name;
	struct argp argp;
	int (*run)(struct args *args);
	bool takes_size;
};

#define COMMAND(opts, args, doc)                                         \
	{                                                                \
		opts, parse_command, args, doc, common_child, NULL, NULL \
	}

static const struct command commands[] = {
	{ "donate", COMMAND(donate_options, "SIZE", "Lend SIZE more of this machine's RAM."),
	  run_donate, true },
	{ "revoke",
	  COMMAND(revoke_options, "SIZE\n--slab ID",
		  "Take SIZE, or one slab, back: first what nobody uses, then slabs, whose "
		  "borrowers have until the deadline to move their pages elsewhere."),
	  run_revoke, true },
	{ "status", COMMAND(NULL, NULL, "Show what is lent."), run_status, false },
	{ "slabs", COMMAND(NULL, NULL, "List the slabs that are lent."), run_slabs, false },
	{ "clients", COMMAND(NULL, NULL, "List the borrowers."), run_clients, false },
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

int main(int argc, char **argv)
{
	static const struct argp main_argp = {
		.parser = parse_main,
		.args_doc = "COMMAND [OPTION...]",
		.doc = "Control the ramsterd of this machine."
		       "\vCommands:\n"
		       "  donate SIZE             lend SIZE more RAM\n"
		       "  revoke SIZE|--slab ID   take RAM back\n"
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
	m.args.takes_size = m.command->takes_size;
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
	return m.command->run(&m.args);
}
