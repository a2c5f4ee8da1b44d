/* part.h - which of N equal parts of the input a run is to take, by --shard: "I/N", or "auto" from
 * the environment that Slurm or an MPI starter gives each of its processes.
 *
 * Parses and names; job.h cuts the input.
 */
#ifndef TOKENIZE_PART_H
#define TOKENIZE_PART_H

#include <stdbool.h>
#include <stdint.h>

enum { MOST_PARTS = 1000000 };

typedef struct {
    uint64_t index, count; /* 0 <= index < count <= MOST_PARTS */
    bool automatic;        /* from "auto" */
} part_t;

/* text: the value of --shard; NULL is the whole, part 0 of 1.
 *
 * "auto" reads the rank of this process: OMPI_COMM_WORLD_RANK of _SIZE, else PMI_RANK of PMI_SIZE,
 * else SLURM_PROCID of SLURM_NTASKS; and its place in a Slurm job array: SLURM_ARRAY_TASK_ID of
 * _COUNT, counted from _MIN by _STEP. With both, the ranks of one array task are neighbours.
 *
 * die()s (2) when the text is no part, when "auto" finds none of these variables, or when they
 * contradict each other. */
part_t part_parse(const char *text);

/* "X.lmdb" -> "X.3-of-8.lmdb", malloc'ed: the file of an automatic part, for processes that share
 * one command line. */
char *part_path(const char *out, part_t part);

#endif
