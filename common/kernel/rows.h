/* rows.h - rows out of a table by index, and gradients back into it (rows.c). The promises of
 * kernel.h hold.
 *
 * Indices are in range: who makes them checks them. A negative index means no row.
 */
#ifndef KERNEL_ROWS_H
#define KERNEL_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* out[i,:] (+)= table[idx[i],:], or 0 where idx[i] < 0
 *
 *   table  [.,D]
 *   idx    [n]
 *   out    [n,D] */
void kern_gather_forward(const float *table, const int32_t *idx, size_t n, size_t D, float *out,
                         bool add);

/* dtable[idx[i],:] += dout[i,:] in order of i, where idx[i] >= 0
 *
 *   dout    [n,D]
 *   dtable  [rows,D]; `add` false clears it first */
void kern_gather_backward(const float *dout, const int32_t *idx, size_t n, size_t D, float *dtable,
                          size_t rows, bool add);

#endif
