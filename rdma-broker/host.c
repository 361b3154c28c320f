// SPDX-License-Identifier: GPL-2.0-only
#include "host.h"

#include <errno.h>
#include <inttypes.h>
#include <numa.h>
#include <numaif.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "log.h"

#define OOM_SCORE_ADJ "-900"

/* The number of KiB that follows "name:" in a file of /proc, in bytes. */
static uint64_t proc_field(const char *path, const char *name)
{
	size_t len = strlen(name);
	uint64_t kib = 0;
	char line[256];
	FILE *f = fopen(path, "re");

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, len) || line[len] != ':')
			continue;
		if (sscanf(line + len + 1, "%" SCNu64, &kib) != 1)
			kib = 0;
		break;
	}
	fclose(f);
	return kib * 1024;
}

uint64_t rmb_host_mem_total(void)
{
	return proc_field("/proc/meminfo", "MemTotal");
}

uint64_t rmb_host_mem_available(void)
{
	return proc_field("/proc/meminfo", "MemAvailable");
}

uint64_t rmb_host_rss(void)
{
	return proc_field("/proc/self/status", "VmRSS");
}

bool rmb_host_numa_exists(int node)
{
	if (numa_available() < 0)
		return node == 0;
	return node >= 0 && node <= numa_max_node() &&
	       numa_bitmask_isbitset(numa_all_nodes_ptr, (unsigned int)node);
}

int rmb_host_numa_prefer(void *addr, uint64_t len, int node)
{
	unsigned long mask[1024 / (8 * sizeof(long))] = { 0 };
	unsigned int bits = 8 * sizeof(long);

	if (numa_available() < 0)
		return 0;
	mask[(unsigned int)node / bits] = 1ul << ((unsigned int)node % bits);
	return mbind(addr, len, MPOL_PREFERRED, mask, 1024, 0) ? -errno : 0;
}

/* The soft limit is there for select(), which nobody here calls. */
static void raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		rmb_log(LOG_NOTICE, "cannot raise own limit of open files: %s", strerror(errno));
}

void rmb_host_protect(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	FILE *f;

	if (setrlimit(RLIMIT_MEMLOCK, &limit)) {
		getrlimit(RLIMIT_MEMLOCK, &limit);
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_MEMLOCK, &limit);
		rmb_log(LOG_WARNING, "may pin only %" PRIu64 " KiB; set LimitMEMLOCK=infinity",
			(uint64_t)limit.rlim_max / 1024);
	}
	raise_files();
	/* On fault: the sparse mappings of libraries are not paged in for nothing. */
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		rmb_log(LOG_WARNING, "cannot lock own memory: %s", strerror(errno));
	f = fopen("/proc/self/oom_score_adj", "we");
	if (!f || fputs(OOM_SCORE_ADJ, f) < 0 || fflush(f))
		rmb_log(LOG_NOTICE, "cannot lower own OOM score: %s", strerror(errno));
	if (f)
		fclose(f);
}
