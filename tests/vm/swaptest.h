/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * swaptest.h - the memory that swaptest tests: anonymous memory of its own, unless the program is
 * linked with a file that has these functions too (swaptest_far.c).
 */
#ifndef SWAPTEST_H
#define SWAPTEST_H

#include <stddef.h>
#include <stdint.h>

/* So many bytes of zeroes, of pages of 4096; ends the program with status 2 if there are none. */
char *tested_memory(size_t bytes);
/* How many pages of it have been brought back so far because somebody touched them. */
uint64_t tested_faults(void);
/* Called once, at the end. */
void tested_end(void);

#endif
