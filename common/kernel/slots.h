/* slots.h - which kernel uses which block of a thread's scratch memory (common/base/scratch.h).
 *
 * Two kernels may share a slot only if neither calls the other while it still reads the block.
 * A slot marked "caller" is filled by the thread that calls the kernel and read by all tasks;
 * a slot marked "task" belongs to one task at a time.
 */
#ifndef KERNEL_SLOTS_H
#define KERNEL_SLOTS_H

#include "common/base/scratch.h"

enum {
    SCRATCH_GEMM_PACK,      /* caller: the packed right-hand side */
    SCRATCH_GEMM_TASK,      /* task: packed steps of both sides */
    SCRATCH_GEMM_PARTS,     /* caller: partial sums */
    SCRATCH_CONV_PACK,      /* caller: packed weights, or weights at Winograd's points */
    SCRATCH_CONV_TASK,      /* task: gathered pixels, or a block of Winograd's points */
    SCRATCH_CONV_POINTERS,  /* task: lists of taps */
    SCRATCH_CONV_PARTS,     /* caller: partial sums of a weight gradient */
    SCRATCH_REDUCE,         /* caller: column sums; the zeros outside an image */
    SCRATCH_NORM,           /* caller: partial sums of a norm */
    SCRATCH_NORM_TASK,      /* task: sums of a block */
    SCRATCH_NORM_COEF,      /* task: coefficients of an image */
    SCRATCH_ATTENTION_TASK, /* task: strips of scores */
    SCRATCH_PACKED,         /* caller: rows rounded to bytes */
    SCRATCH_PACKED_TASK,    /* task: widened panels */
    SCRATCH_VQ,             /* caller: the packed codes */
    SCRATCH_VQ_TASK,        /* task: scores of some codes */
    SCRATCH_HEAD_TASK,      /* task: the logits that an expectation reads */
    SCRATCH_USED
};
_Static_assert((int)SCRATCH_USED <= (int)SCRATCH_SLOTS, "more slots than scratch.h has");

#endif
