/* memory.h - how much memory this process may still take without crowding out others. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdint.h>

/* Bytes: the least of what the system calls available, of what each cgroup that holds the process
 * leaves below its limit (its cache of files that are not in use counts as free), and of what the
 * process's own limit on address space (ulimit -v) leaves beside what it has mapped. root: as in
 * cgroup.h. Where the system tells nothing, half of the machine's memory. */
uint64_t memory_available(const char *root);

#endif
