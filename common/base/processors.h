/* processors.h - how many processors this process may use. Batch systems and containers give a job
 * a part of a machine, by affinity or by a quota of processor time.
 */
#ifndef BASE_PROCESSORS_H
#define BASE_PROCESSORS_H

/* The smaller of the affinity mask's size and the cgroup's quota; at least 1. */
int processors_allowed(void);

/* The quota of the process's cgroup and of all that hold it, in processors, rounded up; 0 = none.
 * Versions 1 and 2 of cgroups are asked, below `root` ("" = the system; tests make trees of their
 * own): ROOT/proc/self/cgroup names the group, ROOT/sys/fs/cgroup holds the limits. What cannot be
 * read limits nothing. */
int processors_quota(const char *root);

#endif
