/* freeze.h - train.freeze: parameters that keep their bytes, whatever the optimizer, weight decay,
 * averages and restarts do. They are named by a list of prefixes, separated by commas.
 */
#ifndef TRAIN_FREEZE_H
#define TRAIN_FREEZE_H

#include "common/base/die.h"
#include "common/io/text/config.h"
#include "common/tape/params.h"

enum { FREEZE_MOST = 96 /* all that a policy of some forty tasks has */ };
typedef struct {
    char text[2 * CONFIG_STRING]; /* a '!' and an end for each prefix come to the list's bytes */
    /* [n] patterns for params_match ("!encoder"). They point into `text`, so the struct must not be
     * moved or copied. */
    const char *pattern[FREEZE_MOST];
    size_t n;
} freeze_t;

/* Parses "encoder, quant_conv,quantize"; "" freezes nothing. 0; or -1 with a reason for an empty
 * prefix or more than FREEZE_MOST of them. BUG when `list` is too long for f->text: a configuration
 * string (CF_STR) is not. */
int freeze_init(freeze_t *f, const char *list, reason_t *why);
/* True if the parameter is frozen. */
bool freeze_match(const freeze_t *f, const char *name);
/* Does the list make sense for these parameters? 0; or -1 with a reason when no parameter begins
 * with a prefix (the nearest name is proposed), or when nothing is left for the [n_wrt] patterns
 * `wrt` to move. `absent` is a prefix that may have no parameters; NULL = there is none. */
int freeze_check(const freeze_t *f, const params_t *p, const char *const *wrt, size_t n_wrt,
                 const char *absent, reason_t *why);
/* True if everything that decides an image's codes is frozen: encoder, quant_conv, quantize. */
bool freeze_keeps_codes(const freeze_t *f, const params_t *p);

#endif
