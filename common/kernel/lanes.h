/* lanes.h - the processor's own vectors of floats, for register tiles: how many floats a register
 * holds (LANES), how they are read, and a multiply-add.
 *
 * A tile keeps its sums in registers. A vector longer than a register would live in memory, and the
 * sums with it, so these are exactly a register long and each tile's file chooses its own size.
 * (The loops of vmath.h have no sums to keep: its vectors have eight floats at least.)
 */
#ifndef KERNEL_LANES_H
#define KERNEL_LANES_H

#if defined __AVX__
#include <immintrin.h>
#elif defined __aarch64__
#include <arm_neon.h>
#endif

#if defined __AVX512F__
enum { LANES = 16 };
#elif defined __AVX__
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif

typedef float lanes_t __attribute__((vector_size(4 * LANES)));
typedef float lanes_u __attribute__((vector_size(4 * LANES), aligned(4))); /* in memory */

static inline __attribute__((always_inline)) lanes_t lanes_set(float s) {
    return s - (lanes_t){0};
}

/* acc + a b, rounded once on every processor that can. Left to itself GCC fuses some chains and not
 * others, so the same sum would have other bits in another tile. */
static inline __attribute__((always_inline)) lanes_t lanes_madd(lanes_t a, lanes_t b, lanes_t acc) {
#if defined __AVX512F__
    return _mm512_fmadd_ps(a, b, acc);
#elif defined __FMA__
    return _mm256_fmadd_ps(a, b, acc);
#elif defined __aarch64__
    return vfmaq_f32(acc, a, b);
#else
    return acc + a * b;
#endif
}

/* The same, with the result in acc's own register. GCC 12 else lets the sums of an unrolled loop
 * wander from register to register, until it is out of them and keeps some in memory. */
static inline __attribute__((always_inline)) lanes_t lanes_madd_in_place(lanes_t a, lanes_t b,
                                                                         lanes_t acc) {
#if defined __AVX512F__
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
#elif defined __FMA__
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b));
    return acc;
#else
    return lanes_madd(a, b, acc);
#endif
}

#endif
