/* cgroup.h - limits that a batch system or a container sets: the files of the process's cgroup and
 * of all that hold it, versions 1 and 2.
 *
 * ROOT/proc/self/cgroup names the group, below ROOT/sys/fs/cgroup are its files; root "" is the
 * system, tests make trees of their own. What cannot be read limits nothing.
 */
#ifndef BASE_CGROUP_H
#define BASE_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

enum { CGROUP_LINE = 4096 + 256 };

/* The limit that the files in `folder` state; 0 = none. */
typedef uint64_t cgroup_limit_t(const char *folder);

/* The smallest limit over all groups, 0 = none. `controller` is version 1's name ("cpu"); v1 and v2
 * read the files of their version. */
uint64_t cgroup_least(const char *root, const char *controller, cgroup_limit_t *v1,
                      cgroup_limit_t *v2);

/* The first line of folder/name without its line break; false if there is none. */
bool cgroup_line(const char *folder, const char *name, char line[CGROUP_LINE]);

#endif
