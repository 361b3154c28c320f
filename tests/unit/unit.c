// SPDX-License-Identifier: GPL-2.0-only
/* unit.c - main() of every unit test program. */
#include "unit.h"

#include <stdlib.h>
#include <time.h>

#include <CUnit/Basic.h>

static uint64_t state;

/* splitmix64: any seed will do, also 0 */
uint64_t unit_random(void)
{
	uint64_t x = state += 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

uint32_t unit_below(uint32_t n)
{
	return (uint32_t)(unit_random() >> 32) % n;
}

static uint64_t pick_seed(void)
{
	const char *given = getenv("RAMSTER_SEED");
	struct timespec now;

	if (given)
		return strtoull(given, NULL, 0);
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(void)
{
	CU_SuiteInfo suites[] = {
		{ .pName = unit_name, .pTests = unit_tests },
		CU_SUITE_INFO_NULL,
	};
	unsigned int failed;

	state = pick_seed();
	printf("%s: RAMSTER_SEED=%llu\n", unit_name, (unsigned long long)state);
	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS) {
		fprintf(stderr, "%s: CUnit: %s\n", unit_name, CU_get_error_msg());
		return EXIT_FAILURE;
	}
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	failed = CU_get_number_of_failures() || !CU_get_number_of_asserts();
	CU_cleanup_registry();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
