/* processors.h - how many processors this process may use. Batch systems and containers give a job
 * a part of a machine, by affinity or by a quota of processor time.
 */
#ifndef BASE_PROCESSORS_H
#define BASE_PROCESSORS_H

/* The smaller of the affinity mask's size and the cgroup's quota; at least 1. */
int processors_allowed(void);

/* The quota of the process's cgroup and of all that hold it, in processors, rounded up; 0 = none.
 * root: as in cgroup.h. */
int processors_quota(const char *root);

#endif
