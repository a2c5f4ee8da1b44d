/* processors.c - see processors.h. */
#include "common/base/processors.h"

#include "common/base/die.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_SET = 1024, LARGEST_SET = 1 << 20, LINE = 4096 + 256 };

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

/* The first line of a file without its line break; false if there is none. */
static bool first_line(const char *path, char line[LINE]) {
    FILE *f = fopen(path, "re");
    if (!f) return false;
    bool any = fgets(line, LINE, f) != NULL;
    fclose(f);
    if (any) line[strcspn(line, "\n")] = 0;
    return any;
}

/* Processors of `quota` microseconds in each `period`, rounded up; 0 = no limit. */
static int in_processors(long long quota, long long period) {
    if (quota <= 0 || period <= 0) return 0;
    long long n = quota / period + (quota % period != 0);
    return n > INT_MAX ? INT_MAX : (int)n;
}

/* Version 2: "max 100000" or "150000 100000". */
static int quota_v2(const char *folder) {
    char line[LINE];
    long long quota, period;
    char *path = xasprintf("%s/cpu.max", folder);
    bool any = first_line(path, line);
    free(path);
    if (!any || sscanf(line, "%lld %lld", &quota, &period) != 2) return 0;
    return in_processors(quota, period);
}

/* Version 1: two files; a quota of -1 is none. */
static int quota_v1(const char *folder) {
    char quota[LINE], period[LINE];
    char *path[2] = {xasprintf("%s/cpu.cfs_quota_us", folder),
                     xasprintf("%s/cpu.cfs_period_us", folder)};
    bool any = first_line(path[0], quota) && first_line(path[1], period);
    free(path[0]);
    free(path[1]);
    return any ? in_processors(atoll(quota), atoll(period)) : 0;
}

static int smaller_limit(int a, int b) {
    if (!a || !b) return a ? a : b;
    return a < b ? a : b;
}

/* The smallest limit of MOUNT/GROUP and of every folder above it, up to MOUNT. A group outside of
 * our view of the tree ("/../x") has nothing to read but the mount itself. */
static int quota_of_path(const char *mount, const char *group, int (*quota)(const char *)) {
    bool outside = strstr(group, "/..") != NULL;
    char *folder = xasprintf("%s%s", mount, outside ? "" : group);
    size_t stop = strlen(mount);
    int limit = 0;
    for (;;) {
        limit = smaller_limit(limit, quota(folder));
        if (strlen(folder) <= stop) break;
        char *slash = strrchr(folder, '/');
        *slash = 0;
    }
    free(folder);
    return limit;
}

static bool names_cpu(const char *controllers, size_t length) {
    for (const char *at = controllers; at < controllers + length;) {
        size_t left = (size_t)(controllers + length - at), n = strcspn(at, ",:");
        if (n > left) n = left;
        if (n == 3 && !memcmp(at, "cpu", 3)) return true;
        at += n + 1;
    }
    return false;
}

/* A line of /proc/self/cgroup: "0::/group" (version 2), "4:cpu,cpuacct:/group" (version 1). */
static int quota_of_line(const char *root, const char *line) {
    const char *controllers = strchr(line, ':');
    const char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) return 0;
    size_t length = (size_t)(group - ++controllers);
    group++;
    char *mount[2];
    int (*quota)(const char *) = quota_v2;
    if (length == 0) {
        mount[0] = xasprintf("%s/sys/fs/cgroup", root);
        mount[1] = xasprintf("%s/sys/fs/cgroup/unified", root);
    } else if (names_cpu(controllers, length)) {
        quota = quota_v1;
        mount[0] = xasprintf("%s/sys/fs/cgroup/%.*s", root, (int)length, controllers);
        mount[1] = xasprintf("%s/sys/fs/cgroup/cpu", root);
    } else {
        return 0;
    }
    int limit =
        smaller_limit(quota_of_path(mount[0], group, quota), quota_of_path(mount[1], group, quota));
    free(mount[0]);
    free(mount[1]);
    return limit;
}

int processors_quota(const char *root) {
    char line[LINE];
    char *path = xasprintf("%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    free(path);
    int limit = 0;
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        limit = smaller_limit(limit, quota_of_line(root, line));
    }
    if (f) fclose(f);
    return limit;
}

int processors_allowed(void) {
    int n = affinity();
    if (!n) n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (n < 1) n = 1;
    return smaller_limit(n, processors_quota(""));
}
