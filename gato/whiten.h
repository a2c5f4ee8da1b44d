/* whiten.h - a codebook made zero-mean, uncorrelated and of unit variance (model.code_norm =
 * white).
 *
 * Learned codebooks are often nearly one-dimensional: the direction that tells light from dark
 * holds most of the variance, and whether a small object is in the cell lives in directions a
 * hundredth as long. A linear layer at its usual start does not see those; on whitened vectors it
 * does, and the affine map loses nothing.
 */
#ifndef GATO_WHITEN_H
#define GATO_WHITEN_H

#include <stddef.h>

/* white[K,D] = L^-1 (e_k - mean), L the Cholesky factor of the covariance of e[K,D] over its K
 * rows, every row counting once. Directions without variance (below 1e-10 of the largest) become
 * zero. Computed in double on one thread. */
void whiten_codebook(const float *e, size_t K, size_t D, float *white);

#endif
