/* whiten.h - gives a codebook zero mean, unit variance and no correlation (model.code_norm =
 * white).
 *
 * Learned codebooks are often nearly one-dimensional: the direction that separates light from dark
 * holds most of the variance, while the directions that say whether a small object is in the cell
 * are a hundredth as long. A linear layer at its usual start does not see those. On whitened
 * vectors it does, and the affine map loses nothing.
 */
#ifndef GATO_WHITEN_H
#define GATO_WHITEN_H

#include <stddef.h>

/* white[K,D] = L^-1 (e_k - mean), L the Cholesky factor of the covariance of e[K,D] over its K
 * rows; every row counts once. Directions without variance (below 1e-10 of the largest) become
 * zero. Computed in double on one thread. */
void whiten_codebook(const float *e, size_t K, size_t D, float *white);

#endif
