/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * raw_read.h - READs of a page by verbs alone, for comparison. What fails ends the process with
 * a line that says what.
 */
#ifndef RAW_READ_H
#define RAW_READ_H

#include <stdbool.h>
#include <stdint.h>

struct raw;

/* Let one client read a page, until it leaves; does not return. */
void raw_serve(uint16_t port);
/* asleep: wait for the device to tell, do not poll. */
struct raw *raw_open(const char *address, uint16_t port, bool asleep);
void raw_read(struct raw *raw);
void raw_close(struct raw *raw);

#endif /* RAW_READ_H */
