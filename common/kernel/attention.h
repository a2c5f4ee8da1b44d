/* attention.h - softmax attention without a stored T x T matrix (attention.c), and attention of a
 * few new positions over a KV cache (attention_cache.c). The promises of kernel.h hold. */
#ifndef KERNEL_ATTENTION_H
#define KERNEL_ATTENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- attention ---- */

/* The shapes and the mask of one attention: B batch items, `heads` heads of dh columns.
 *
 * q and o are [B,Tq,heads,dh], k and v are [B,Tk,heads,dh]. Rows are ldq, ldk, ldv, ldo floats
 * apart and head h begins at column h*dh, so q, k and v may lie in one packed matrix [B*T,3D].
 * With `causal` row i of q stands at key position i + (Tk - Tq): the last query sees the last
 * key. */
typedef struct {
    size_t B, Tq, Tk, heads, dh, ldq, ldk, ldv, ldo;
    /* Multiplies q.k, usually 1/sqrt(dh). */
    float scale;
    /* A query sees no key behind its own position. */
    bool causal;
    /* NULL, or [B,Tk] and only with `causal`: the first key position that the query at this
     * position sees, the last being its own: first[i] <= j <= i. So an attention window is any
     * function of the positions, and several sequences may follow one another in a row of Tk
     * positions, each seeing only itself. A negative value marks padding, which sees only itself;
     * no range of another position may reach over it. */
    const int32_t *first;
    /* NULL, or [Tq] and only with `causal`: q and o are the rows of some positions alone, [Tq,D]
     * over all batch items, and row i stands at position at[i] % Tk of batch item at[i] / Tk. They
     * ascend; negative ones come last and are padding: their rows of o and dq become 0. */
    const int32_t *at;
} kern_attention_t;

/* o = softmax(scale q k^T + mask) v
 *
 *   q, k, v  as kern_attention_t says
 *   o        a row that sees no key becomes 0
 *   lse      [B,heads,Tq], with `at` [heads,Tq]: log of the softmax denominators, for the backward
 *
 * After Dao et al. 2022 (FlashAttention). */
void kern_attention_forward(const kern_attention_t *g, const float *q, const float *k,
                            const float *v, float *o, float *lse);

/* Bytes that kern_attention_backward wants as `scratch`. */
size_t kern_attention_scratch(const kern_attention_t *g);

/* With p = softmax(scale q k^T + mask), dp = do v^T and delta_i = sum_d o_id do_id:
 *   dv (+)= p^T do      dq (+)= ds k      dk (+)= ds^T q      ds = scale p (dp - delta)
 *
 *   o, lse      kern_attention_forward's
 *   do_         strides of o
 *   dq, dk, dv  strides of q, k, v
 *   scratch     kern_attention_scratch(g) bytes, or NULL if those are none */
void kern_attention_backward(const kern_attention_t *g, const float *q, const float *k,
                             const float *v, const float *o, const float *lse, const float *do_,
                             float *dq, float *dk, float *dv, bool add, void *scratch);

/* ---- attention over a KV cache ---- */

/* `capacity`, and where a range of positions begins, are multiples of this. */
enum { KERN_CACHE_PANEL = 16 };

/* T new positions of one sequence, a lane, behind `used` cached ones. D = heads*dh. */
typedef struct {
    size_t T, heads, dh;
    size_t capacity; /* positions that the cache holds; used + T at most */
    size_t used;
    /* New position i sees the positions first .. used + i. */
    size_t first;
    /* The first `early` new positions are of an older timestep: they see early_first .. used +
     * i. */
    size_t early, early_first;
    /* Of the first `skip` new positions only keys and values are wanted. */
    size_t skip;
    float scale;
    const float *qkv; /* [T,3D]: columns q | k | v */
    float *cache;     /* [capacity, kern_cache_width]; only these functions know its layout */
    float *out;       /* [T-skip,D] */
} kern_cached_t;

/* Floats per position of a cache. */
size_t kern_cache_width(size_t heads, size_t dh);

/* For each of n lanes: writes the new keys and values to positions used .. used+T-1, then
 * out[i - skip] = softmax(scale q_i K^T) V over the positions that new position i sees.
 *
 * heads and dh are the same in all lanes, everything else is each lane's own. A lane has the bits
 * that it has alone. */
void kern_attention_cached(const kern_cached_t *lane, size_t n);

/* Copies positions first .. first+n-1 of a cache to the front of another.
 *
 *   first  a multiple of KERN_CACHE_PANEL
 *   to     may be `from`, with to_capacity = capacity */
void kern_cache_move(size_t heads, size_t dh, const float *from, size_t capacity, size_t first,
                     size_t n, float *to, size_t to_capacity);

#endif
