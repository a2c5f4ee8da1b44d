/* memory.c - see memory.h. */
#include "common/base/memory.h"

#include "common/base/cgroup.h"
#include "common/base/die.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The number behind `name` at the start of a line of a file; false if there is none. */
static bool number_of(const char *folder, const char *file, const char *name, uint64_t *value) {
    char line[CGROUP_LINE];
    char *path = xasprintf("%s/%s", folder, file);
    FILE *f = fopen(path, "re");
    free(path);
    bool found = false;
    size_t n = strlen(name);
    while (f && !found && fgets(line, sizeof line, f)) {
        unsigned long long number;
        found = !strncmp(line, name, n) && sscanf(line + n, "%llu", &number) == 1;
        if (found) *value = number;
    }
    if (f) fclose(f);
    return found;
}

/* What is left below a limit: at least a byte, since 0 is no limit. */
static uint64_t below(uint64_t limit, uint64_t used, uint64_t idle) {
    used -= idle < used ? idle : used;
    return used < limit ? limit - used : 1;
}

/* Version 2; a limit that is no number is "max". */
static uint64_t left_v2(const char *folder) {
    uint64_t limit, used, idle = 0;
    if (!number_of(folder, "memory.max", "", &limit)) return 0;
    if (!number_of(folder, "memory.current", "", &used)) return 0;
    number_of(folder, "memory.stat", "inactive_file ", &idle);
    return below(limit, used, idle);
}

/* Version 1; no limit is a number beyond all memory. */
static uint64_t left_v1(const char *folder) {
    uint64_t limit, used, idle = 0;
    if (!number_of(folder, "memory.limit_in_bytes", "", &limit)) return 0;
    if (!number_of(folder, "memory.usage_in_bytes", "", &used)) return 0;
    number_of(folder, "memory.stat", "total_inactive_file ", &idle);
    return below(limit, used, idle);
}

static uint64_t system_available(const char *root) {
    uint64_t kilobytes;
    char *proc = xasprintf("%s/proc", root);
    bool told = number_of(proc, "meminfo", "MemAvailable:", &kilobytes);
    free(proc);
    if (told) return kilobytes << 10;
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 2 : 0;
}

/* What ulimit -v leaves beside what is mapped already; 0: there is no limit. */
static uint64_t space_left(const char *root) {
    struct rlimit space;
    uint64_t pages = 0;
    if (getrlimit(RLIMIT_AS, &space) || space.rlim_cur == RLIM_INFINITY) return 0;
    char *proc = xasprintf("%s/proc/self", root);
    number_of(proc, "statm", "", &pages);
    free(proc);
    return below(space.rlim_cur, pages * (uint64_t)sysconf(_SC_PAGESIZE), 0);
}

uint64_t memory_available(const char *root) {
    uint64_t least = system_available(root), group = cgroup_least(root, "memory", left_v1, left_v2);
    uint64_t space = space_left(root);
    if (group && group < least) least = group;
    return space && space < least ? space : least;
}
