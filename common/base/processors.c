/* processors.c - see processors.h. */
#include "common/base/processors.h"

#include "common/base/cgroup.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIRST_SET = 1024, LARGEST_SET = 1 << 20 };

/* ---- affinity ---- */

/* The kernel says EINVAL to a set that is smaller than its own. 0 = unknown. */
static int affinity(void) {
    for (int n = FIRST_SET; n <= LARGEST_SET; n *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)n);
        size_t size = CPU_ALLOC_SIZE((size_t)n);
        if (!set) return 0;
        CPU_ZERO_S(size, set);
        int failed = sched_getaffinity(0, size, set);
        int error = errno;
        int count = failed ? 0 : CPU_COUNT_S(size, set);
        CPU_FREE(set);
        if (!failed) return count;
        if (error != EINVAL) return 0;
    }
    return 0;
}

/* ---- quota ---- */

/* Processors of `quota` microseconds in each `period`, rounded up; 0 = no limit. */
static uint64_t in_processors(long long quota, long long period) {
    if (quota <= 0 || period <= 0) return 0;
    long long n = quota / period + (quota % period != 0);
    return (uint64_t)(n > INT_MAX ? INT_MAX : n);
}

/* Version 2: "max 100000" or "150000 100000". */
static uint64_t quota_v2(const char *folder) {
    char line[CGROUP_LINE];
    long long quota, period;
    if (!cgroup_line(folder, "cpu.max", line)) return 0;
    if (sscanf(line, "%lld %lld", &quota, &period) != 2) return 0;
    return in_processors(quota, period);
}

/* Version 1: two files; a quota of -1 is none. */
static uint64_t quota_v1(const char *folder) {
    char quota[CGROUP_LINE], period[CGROUP_LINE];
    if (!cgroup_line(folder, "cpu.cfs_quota_us", quota)) return 0;
    if (!cgroup_line(folder, "cpu.cfs_period_us", period)) return 0;
    return in_processors(atoll(quota), atoll(period));
}

int processors_quota(const char *root) {
    return (int)cgroup_least(root, "cpu", quota_v1, quota_v2);
}

int processors_allowed(void) {
    int n = affinity();
    if (!n) n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (n < 1) n = 1;
    int quota = processors_quota("");
    return quota && quota < n ? quota : n;
}
