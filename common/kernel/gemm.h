/* gemm.h - matrix products and column sums (gemm*.c, colsum.c). The promises of kernel.h hold. */
#ifndef KERNEL_GEMM_H
#define KERNEL_GEMM_H

#include <stdbool.h>
#include <stddef.h>

/* C[M,N] (+)= op(A)[M,K] op(B)[K,N] (+ bias[N])
 *
 *   ta, tb         op transposes: A is stored [K,M], B is stored [N,K]
 *   lda, ldb, ldc  floats from one stored row to the next
 *   bias           added to every row once; NULL = none
 *
 * K = 0 is a sum over nothing: the bias, or zeros. Threads share blocks of C. */
void kern_gemm(bool ta, bool tb, size_t M, size_t N, size_t K, const float *A, size_t lda,
               const float *B, size_t ldb, float *C, size_t ldc, bool add, const float *bias);

/* kern_gemm on the calling thread alone, with the same bits: for use inside a parallel_for. */
void kern_gemm_serial(bool ta, bool tb, size_t M, size_t N, size_t K, const float *A, size_t lda,
                      const float *B, size_t ldb, float *C, size_t ldc, bool add,
                      const float *bias);

/* The same product for gradients, by OpenBLAS where that is faster (the table of gemm_blas.c). An
 * element's bits depend on the whole product's shape, so also on the batch; never on the number of
 * threads. */
void kern_gemm_train(bool ta, bool tb, size_t M, size_t N, size_t K, const float *A, size_t lda,
                     const float *B, size_t ldb, float *C, size_t ldc, bool add);

/* out[c] (+)= sum_r x[r,c], the gradient of a bias
 *
 *   x    [rows,C]
 *   out  [C] */
void kern_colsum(const float *x, size_t rows, size_t C, float *out, bool add);

#endif
