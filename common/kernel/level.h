/* level.h - which instructions the kernels use.
 *
 * On x86-64 every kernel is compiled once per level into one binary (Makefile, LEVELS), and the
 * best level that the processor has is chosen before main:
 *
 *   base         any x86-64
 *   avx2         AVX2 and FMA
 *   avx2_vnni    and AVX-VNNI
 *   avx512       AVX2 and FMA; AVX-512 F, BW, DQ and VL
 *   avx512_vnni  and AVX-512 VNNI
 *
 * Callers call kern_gemm as if there were one: the name is a jump to the chosen level's. A level
 * keeps all promises of kernel.h. Two levels add in other orders and round differently, so they
 * agree within a tolerance, not bit for bit.
 *
 * Elsewhere, and in builds with LEVELS= (sanitizers, coverage), there is one level, "single".
 */
#ifndef KERNEL_LEVEL_H
#define KERNEL_LEVEL_H

#include "common/base/die.h"

/* From the least to the best. */
#define KERN_LEVELS(X) X(base) X(avx2) X(avx2_vnni) X(avx512) X(avx512_vnni)

/* The levels of this binary: 0 .. kern_levels()-1, the best one last. */
size_t kern_levels(void);
const char *kern_level_name(size_t level);
/* Does this processor have all that the level uses? */
bool kern_level_here(size_t level);

/* The level in use. */
size_t kern_level(void);

/* Uses another level from now on; no kernel may be running. -1 with a reason, and nothing changed,
 * when the name is unknown or the processor lacks the level. */
int kern_level_choose(const char *name, reason_t *why);

/* The level that the environment variable KERNEL_LEVEL names, if it is set: for tests and
 * measurements. One that cannot be used ends the program (RC_USAGE). */
void kern_level_from_environment_or_die(void);

#endif
