/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * unit.h - what every unit test program shares: a list of tests that unit.c
 * runs under CUnit, and random numbers that can be had again.
 */
#ifndef UNIT_H
#define UNIT_H

#include <stdint.h>
#include <stdio.h>

#include <CUnit/CUnit.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The program's name and its tests, ended by CU_TEST_INFO_NULL. */
extern const char unit_name[];
extern CU_TestInfo unit_tests[];

/*
 * Random numbers from the seed that main() printed; RAMSTER_SEED in the
 * environment gives the run of that seed again.
 */
uint64_t unit_random(void);
/* 0 .. n - 1; n is not 0 */
uint32_t unit_below(uint32_t n);

/* As CU_ASSERT, but says which row of a table failed and goes on. */
#define UNIT_ROW(row, expr)                                         \
	do {                                                        \
		if (!(expr))                                        \
			printf("\n    row %s: %s\n", (row), #expr); \
		CU_ASSERT(expr);                                    \
	} while (0)

#endif /* UNIT_H */
