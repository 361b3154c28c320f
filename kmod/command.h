/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * command.h - what a disk is asked for: bios of one direction, side by side, as one io.
 *
 * Commands are made with the disk, so that nothing is allocated for a bio. One
 * belongs to who got it until he runs it; then to the io, which gives it back
 * when its bios have ended.
 */
#ifndef RMK_COMMAND_H
#define RMK_COMMAND_H

#include <linux/types.h>

#include "store.h"

struct bio;
struct rmk_command;
struct rmk_commands;

/* n commands over store. May sleep. ERR_PTR on failure. */
struct rmk_commands *rmk_commands_create(struct rmk_store *store, u32 n);
/* Waits until every command is back: each ends within the sessions' time-outs. May sleep. */
void rmk_commands_destroy(struct rmk_commands *all);
/* Try again what waited for a connection or for room. Any context. */
void rmk_commands_kick(struct rmk_commands *all);

/*
 * A command of a read or write of whole pages, nr being the first one's number.
 * Sleeps until one is free if wait is set; else NULL when there is none.
 */
struct rmk_command *rmk_command_get(struct rmk_commands *all, struct bio *bio, u32 nr, bool wait);
/* Add one more bio to a command that was not run; false: it does not go on where that ends. */
bool rmk_command_add(struct rmk_command *cmd, struct bio *bio, u32 nr);
/* Has it as many pages as it can have? */
bool rmk_command_full(const struct rmk_command *cmd);
/*
 * Do it; its bios end by themselves, perhaps before this returns. Process
 * context. Does not sleep, but may wait on the spot for a read (poll.h).
 */
void rmk_command_run(struct rmk_command *cmd);

#endif /* RMK_COMMAND_H */
