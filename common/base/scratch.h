/* scratch.h - per-thread scratch memory that grows to the largest request and stays: kernels need
 * packed panels and small tables on every call, and fresh pages cost more than the work. Content is
 * undefined between calls.
 */
#ifndef BASE_SCRATCH_H
#define BASE_SCRATCH_H

#include <stddef.h>

/* Each user has its own slot, so that nested kernels do not overwrite one another. */
typedef enum {
    SCRATCH_GEMM_PACK,  /* the packed right-hand side, shared by the tasks of one call */
    SCRATCH_GEMM_TASK,  /* a task's panel */
    SCRATCH_GEMM_PARTS, /* partial sums */
    SCRATCH_CONV_PACK,
    SCRATCH_CONV_TASK,
    SCRATCH_CONV_POINTERS,
    SCRATCH_CONV_PARTS,
    SCRATCH_REDUCE,
    SCRATCH_NORM, /* partial sums of a norm */
    SCRATCH_NORM_TASK,
    SCRATCH_NORM_COEF,
    SCRATCH_ATTENTION_TASK,
    SCRATCH_PACKED,      /* rows as bytes */
    SCRATCH_PACKED_TASK, /* widened panels */
    SCRATCH_VQ,
    SCRATCH_VQ_TASK,
    SCRATCH_SLOTS
} scratch_slot_t;

/* At least `bytes`, 64-byte aligned, of the calling thread. */
void *scratch_get(scratch_slot_t slot, size_t bytes);

#endif
