/* level_names.h - the functions of this folder that other files call, and what they are called at a
 * level. The Makefile includes it ahead of each kernel that it compiles for a level.
 *
 * KERNELS(X, L) is X(L, name) for each. Compiled for a level, kern_gemm is the symbol
 * "kern_gemm.avx2", in the definition and in the calls of other kernels. What is not listed here
 * would be defined once per level under one name, and the linker would take any of them:
 * tests/cli/levels.sh refuses that. Functions in headers are `static inline`, for the same reason.
 */
#ifndef KERNEL_LEVEL_NAMES_H
#define KERNEL_LEVEL_NAMES_H

#include "common/kernel/kernel.h"
#include "common/kernel/winograd.h"

#define KERNELS(X, L)                                                                              \
    X(L, kern_act_backward)                                                                        \
    X(L, kern_act_forward)                                                                         \
    X(L, kern_add)                                                                                 \
    X(L, kern_dropout)                                                                             \
    X(L, kern_dropout_rows)                                                                        \
    X(L, kern_mul)                                                                                 \
    X(L, kern_scale)                                                                               \
    X(L, kern_attention_backward)                                                                  \
    X(L, kern_attention_forward)                                                                   \
    X(L, kern_attention_scratch)                                                                   \
    X(L, kern_attention_cached)                                                                    \
    X(L, kern_cache_move)                                                                          \
    X(L, kern_cache_width)                                                                         \
    X(L, kern_batchnorm_backward)                                                                  \
    X(L, kern_batchnorm_forward)                                                                   \
    X(L, kern_colsum)                                                                              \
    X(L, kern_conv_backward_input)                                                                 \
    X(L, kern_conv_backward_weight)                                                                \
    X(L, kern_conv_forward)                                                                        \
    X(L, kern_conv_pack)                                                                           \
    X(L, kern_conv_pack_bytes)                                                                     \
    X(L, kern_conv_packed)                                                                         \
    X(L, kern_fsq_backward)                                                                        \
    X(L, kern_fsq_bound)                                                                           \
    X(L, kern_fsq_codes)                                                                           \
    X(L, kern_fsq_forward)                                                                         \
    X(L, kern_fsq_vectors)                                                                         \
    X(L, kern_gemm)                                                                                \
    X(L, kern_gemm_serial)                                                                         \
    X(L, kern_gemm_train)                                                                          \
    X(L, kern_groupnorm_backward)                                                                  \
    X(L, kern_groupnorm_forward)                                                                   \
    X(L, kern_layernorm_backward)                                                                  \
    X(L, kern_layernorm_forward)                                                                   \
    X(L, kern_loss_backward)                                                                       \
    X(L, kern_loss_forward)                                                                        \
    X(L, kern_gan_backward)                                                                        \
    X(L, kern_gan_forward)                                                                         \
    X(L, kern_adam)                                                                                \
    X(L, kern_sumsq)                                                                               \
    X(L, kern_pack)                                                                                \
    X(L, kern_pack_bytes)                                                                          \
    X(L, kern_packed_columns)                                                                      \
    X(L, kern_packed_linear)                                                                       \
    X(L, kern_unpack)                                                                              \
    X(L, kern_feature_distance_backward)                                                           \
    X(L, kern_feature_distance_forward)                                                            \
    X(L, kern_standardize_backward)                                                                \
    X(L, kern_standardize_forward)                                                                 \
    X(L, kern_maxpool2_backward)                                                                   \
    X(L, kern_maxpool2_forward)                                                                    \
    X(L, kern_gather_backward)                                                                     \
    X(L, kern_gather_forward)                                                                      \
    X(L, kern_unit_rows_backward)                                                                  \
    X(L, kern_unit_rows_forward)                                                                   \
    X(L, kern_vq_nearest)                                                                          \
    X(L, kern_vq_nearest_packed)                                                                   \
    X(L, kern_vq_pack)                                                                             \
    X(L, kern_vq_pack_bytes)                                                                       \
    X(L, kern_vq_rotate_backward)                                                                  \
    X(L, kern_vq_stats)                                                                            \
    X(L, winograd_backward_input)                                                                  \
    X(L, winograd_filter)                                                                          \
    X(L, winograd_floats)                                                                          \
    X(L, winograd_forward)                                                                         \
    X(L, winograd_pays)                                                                            \
    X(L, winograd_backward_weight)                                                                 \
    X(L, kern_expect_backward)                                                                     \
    X(L, kern_expect_forward)                                                                      \
    X(L, kern_head_backward)                                                                       \
    X(L, kern_head_forward)                                                                        \
    X(L, kern_head_scratch)                                                                        \
    X(L, kern_xent_backward)                                                                       \
    X(L, kern_xent_forward)

#ifdef KERNEL_LEVEL
#define KERNEL_NAME(L, name) extern __typeof__(name) name __asm__(#name "." L);
KERNELS(KERNEL_NAME, KERNEL_LEVEL)
#undef KERNEL_NAME
#endif

#endif
