/* kernel.h - the contract of every numeric kernel.
 *
 * A kernel takes plain pointers and sizes. Matrices are row-major; a feature map is NHWC, which is
 * the same memory as a matrix [N*H*W, C]. One header per noun:
 *
 *   gemm.h       matrix products, column sums
 *   packed.h     linear layers over weights packed once (32, 16 or 8 bits)
 *   conv.h       2-D convolution
 *   resample.h   2x2 maximum
 *   norm.h       GroupNorm, LayerNorm, BatchNorm
 *   act.h        activations, scale, add, multiply, dropout
 *   attention.h  attention, and attention over a KV cache
 *   rows.h       rows out of a table, gradients back into it
 *   vq.h         nearest code, statistics of an assignment, the rotation trick, unit rows
 *   fsq.h        finite scalar quantization
 *   loss.h       L1, MSE, cross entropy, expected bin, GAN losses, perceptual distance
 *   optim.h      Adam, sum of squares
 *
 * Names: kern_<op>_forward and kern_<op>_backward. A gradient's name begins with d. Sizes in square
 * brackets are shapes, the last one contiguous.
 *
 * Promises (tests/test_kernel.c holds them against double-precision loops):
 *  - A kernel never fails. It allocates nothing that outlives the call but the thread's scratch
 *    memory (common/base/scratch.h), and it may use the thread pool (common/base/pool.h).
 *  - Outputs do not overlap inputs unless a comment allows it.
 *  - An output element depends on its own row or image and on the shapes of ONE image. It depends
 *    neither on the batch size, nor on the place in the batch, nor on the number of threads.
 *    The gradients of kern_gemm_train alone may depend on the batch size.
 *  - Sums over the batch (gradients of weights, biases and tables; losses) are cut into at most
 *    KERN_PIECES pieces. The shape fixes the pieces and they are added in order, so any number of
 *    threads gives the same bytes.
 *  - `add` false overwrites the output, true adds to it. Comments write both as (+)=.
 */
#ifndef KERNEL_KERNEL_H
#define KERNEL_KERNEL_H

#include "common/kernel/act.h"
#include "common/kernel/attention.h"
#include "common/kernel/conv.h"
#include "common/kernel/fsq.h"
#include "common/kernel/gemm.h"
#include "common/kernel/loss.h"
#include "common/kernel/norm.h"
#include "common/kernel/optim.h"
#include "common/kernel/packed.h"
#include "common/kernel/resample.h"
#include "common/kernel/rows.h"
#include "common/kernel/vq.h"

enum { KERN_PIECES = 8 };

#endif
