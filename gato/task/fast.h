/* fast.h - chunks of actions as tokens by FAST (Pertsch et al. 2025, arXiv 2501.09747), in the
 * files of Hugging Face's processor physical-intelligence/fast.
 *
 * A chunk x [H, D], scaled to [-1,1], becomes H D whole numbers and these a text:
 *
 *     X_k,d = s_k sum_t x_t,d cos(pi (2 t + 1) k / 2 H),  s_0 = sqrt(1 / H), else sqrt(2 / H)
 *     q_k,d = round(scale X_k,d)                          halves to even
 *     text  = the characters q_0,0 - min_token, ..., q_0,D-1 - min_token, q_1,0 - min_token, ...
 *
 * so low frequencies come first. The text, UTF-8, becomes ids by a byte-level BPE. Back: x is the
 * inverse transform of q / scale. A number of the chunk moves by no more than 0.5 / scale per
 * coefficient. Use:
 *
 *     fast_t *f = fast_open("fast", 8, &rc, &why); // chunks of 8 actions
 *     fast_encode(f, x, D, &ids);
 *     fast_state_t s = fast_begin(f, D);
 *     while (s.left) {                             // id after id, whatever chooses them
 *         id = one with fast_allows(f, &s, id);
 *         fast_take(f, &s, id);
 *     }
 *     fast_decode(f, id, n, D, x);
 *
 * Characters are below FAST_CHARACTERS. One that the BPE has no tokens for gives way to the nearest
 * that it has; coefficients beyond them all end at the last one.
 */
#ifndef GATO_FAST_H
#define GATO_FAST_H

#include "common/io/text/bpe.h"

#include <stdbool.h>

enum {
    FAST_CHARACTERS = 0x800, /* two bytes of UTF-8 at most */
    FAST_MOST = 4096         /* most ids (fast_most) of all chunks of a timestep */
};
#define FAST_PROCESSOR_FILE "processor_config.json"
#define FAST_TOKENIZER_FILE "tokenizer.json"

/* Does not change after it was made: any number of threads may use it. */
typedef struct fast fast_t;

/* Opens a folder with the two files, for chunks of `chunk` >= 2 actions. NULL with a reason; *rc is
 * RC_USAGE (nothing there, or a build without PCRE2), RC_DATA (unreadable, a BPE that cannot write
 * all numbers of coefficients), or RC_MISFIT (time_horizon is another chunk). */
fast_t *fast_open(const char *dir, uint32_t chunk, int *rc, reason_t *why);
/* The same from the texts of the files. */
fast_t *fast_parse(const char *processor, const char *tokenizer, uint32_t chunk, int *rc,
                   reason_t *why);
void fast_free(fast_t *f);

/* The texts of the files, as they were read. */
const char *fast_processor(const fast_t *f);
const char *fast_tokenizer(const fast_t *f);
/* 32 hex digits: equal for files that give equal ids. */
const char *fast_fingerprint(const fast_t *f);
/* Ids are below this number. */
uint32_t fast_ids(const fast_t *f);
double fast_scale(const fast_t *f);
/* Can it write actions of D numbers (action_dim)? 0, or -1 with both. */
int fast_fits(const fast_t *f, uint32_t D, reason_t *why);
/* Ids of a chunk are never more. */
static inline uint32_t fast_most(uint32_t chunk, uint32_t D) {
    return 2 * chunk * D;
}

/* Appends the ids of a chunk x [H, D] in [-1,1] (clamped to it). */
void fast_encode(const fast_t *f, const float *x, uint32_t D, text_ids_t *out);
/* The chunk of ids that make it whole (fast_begin) to x [H, D], maybe beyond [-1,1]. */
void fast_decode(const fast_t *f, const uint32_t *id, size_t n, uint32_t D, float *x);

/* What is still to be written: coefficients; is the last one half there? */
typedef struct {
    uint32_t left;
    bool half;
} fast_state_t;
fast_state_t fast_begin(const fast_t *f, uint32_t D);
/* May the id come next? Some always may while coefficients are left, and following them always
 * reaches the end. */
bool fast_allows(const fast_t *f, const fast_state_t *s, uint32_t id);
/* Takes it. BUG: it is not allowed. */
void fast_take(const fast_t *f, fast_state_t *s, uint32_t id);

/* ---- fitting ---- */

/* The coefficients q [H D] of a chunk. */
void fast_coefficients(const float *x, uint32_t H, uint32_t D, double scale, int32_t *q);
/* Fits both files to n chunks: the coefficients q of one after the other, length[i] of chunk i.
 * min_token is the least of them, every character up to the greatest has tokens, and the BPE has
 * `most` ids at most. D: action_dim, 0 = chunks of several. NULL with a reason; *rc is RC_USAGE. */
fast_t *fast_fit(const int32_t *q, const uint32_t *length, size_t n, uint32_t H, uint32_t D,
                 double scale, uint32_t most, int *rc, reason_t *why);

#endif
