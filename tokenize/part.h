/* part.h - which of N equal parts of the input a run is to take: "I/N", or "auto" from the
 * environment that Slurm or an MPI starter gives each of its processes.
 */
#ifndef TOKENIZE_PART_H
#define TOKENIZE_PART_H

#include <stdbool.h>
#include <stdint.h>

enum { MOST_PARTS = 1000000 };

typedef struct {
    uint64_t index, count; /* 0 <= index < count */
    bool automatic;
} part_t;

/* NULL: the whole. "auto": the rank (OMPI_COMM_WORLD_RANK of _SIZE, else PMI_RANK of PMI_SIZE, else
 * SLURM_PROCID of SLURM_NTASKS), the place in a Slurm job array (SLURM_ARRAY_TASK_ID of _COUNT,
 * from _MIN on, by _STEP), or both: ranks inside array tasks. die()s (2) when nothing of the kind
 * is set, or it makes no sense. */
part_t part_parse(const char *text);
/* "X.lmdb" -> "X.3-of-8.lmdb": where an automatic part goes, for processes that share one command
 * line. malloc'ed. */
char *part_path(const char *out, part_t p);

#endif
