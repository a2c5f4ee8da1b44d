/* freeze.h - train.freeze: a comma list of prefixes of parameters that keep their bytes, whatever
 * the optimizer, weight decay, averages and restarts do.
 */
#ifndef TRAIN_FREEZE_H
#define TRAIN_FREEZE_H

#include "common/base/die.h"
#include "common/tape/params.h"

enum { FREEZE_MOST = 16 };
/* Patterns for params_match ("!encoder"); they point into `text`, so that the struct must stay
 * where it is. */
typedef struct {
    char text[160];
    const char *pattern[FREEZE_MOST];
    size_t n;
} freeze_t;

/* "encoder, quant_conv,quantize"; "" freezes nothing. -1 with a reason for empty prefixes and more
 * than FREEZE_MOST. */
int freeze_init(freeze_t *f, const char *list, reason_t *why);
bool freeze_match(const freeze_t *f, const char *name);
/* -1 with a reason: a prefix that no parameter begins with (the nearest is named), or nothing is
 * left that `wrt` moves. `absent` may be a prefix without parameters; NULL = none. */
int freeze_check(const freeze_t *f, const params_t *p, const char *const *wrt, size_t n_wrt,
                 const char *absent, reason_t *why);
/* Everything that decides an image's codes is frozen: encoder, quant_conv, quantize. */
bool freeze_keeps_codes(const freeze_t *f, const params_t *p);

#endif
