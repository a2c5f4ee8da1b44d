/* cgroup.c - see cgroup.h. */
#include "common/base/cgroup.h"

#include "common/base/die.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cgroup_line(const char *folder, const char *name, char line[CGROUP_LINE]) {
    char *path = xasprintf("%s/%s", folder, name);
    FILE *f = fopen(path, "re");
    free(path);
    if (!f) return false;
    bool any = fgets(line, CGROUP_LINE, f) != NULL;
    fclose(f);
    if (any) line[strcspn(line, "\n")] = 0;
    return any;
}

static uint64_t smaller_limit(uint64_t a, uint64_t b) {
    if (!a || !b) return a ? a : b;
    return a < b ? a : b;
}

/* The smallest limit of MOUNT/GROUP and of every folder above it, up to MOUNT. A group outside of
 * our view of the tree ("/../x") has nothing to read but the mount itself. */
static uint64_t limit_of_path(const char *mount, const char *group, cgroup_limit_t *limit_of) {
    bool outside = strstr(group, "/..") != NULL;
    char *folder = xasprintf("%s%s", mount, outside ? "" : group);
    size_t stop = strlen(mount);
    uint64_t limit = 0;
    for (;;) {
        limit = smaller_limit(limit, limit_of(folder));
        if (strlen(folder) <= stop) break;
        char *slash = strrchr(folder, '/');
        *slash = 0;
    }
    free(folder);
    return limit;
}

/* Is the name among those of a list "cpu,cpuacct"? */
static bool names(const char *controllers, size_t length, const char *name) {
    for (const char *at = controllers; at < controllers + length;) {
        size_t left = (size_t)(controllers + length - at), n = strcspn(at, ",:");
        if (n > left) n = left;
        if (n == strlen(name) && !memcmp(at, name, n)) return true;
        at += n + 1;
    }
    return false;
}

/* A line of /proc/self/cgroup: "0::/group" (version 2), "4:cpu,cpuacct:/group" (version 1). */
static uint64_t limit_of_line(const char *root, const char *line, const char *controller,
                              cgroup_limit_t *v1, cgroup_limit_t *v2) {
    const char *controllers = strchr(line, ':');
    const char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) return 0;
    size_t length = (size_t)(group - ++controllers);
    group++;
    char *mount[2];
    cgroup_limit_t *limit_of = v2;
    if (length == 0) {
        mount[0] = xasprintf("%s/sys/fs/cgroup", root);
        mount[1] = xasprintf("%s/sys/fs/cgroup/unified", root);
    } else if (names(controllers, length, controller)) {
        limit_of = v1;
        mount[0] = xasprintf("%s/sys/fs/cgroup/%.*s", root, (int)length, controllers);
        mount[1] = xasprintf("%s/sys/fs/cgroup/%s", root, controller);
    } else {
        return 0;
    }
    uint64_t limit = smaller_limit(limit_of_path(mount[0], group, limit_of),
                                   limit_of_path(mount[1], group, limit_of));
    free(mount[0]);
    free(mount[1]);
    return limit;
}

uint64_t cgroup_least(const char *root, const char *controller, cgroup_limit_t *v1,
                      cgroup_limit_t *v2) {
    char line[CGROUP_LINE];
    char *path = xasprintf("%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    free(path);
    uint64_t limit = 0;
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        limit = smaller_limit(limit, limit_of_line(root, line, controller, v1, v2));
    }
    if (f) fclose(f);
    return limit;
}
