/* freeze.c - see freeze.h. */
#include "common/train/freeze.h"

#include "common/base/cli.h"

#include <stdlib.h>
#include <string.h>

int freeze_init(freeze_t *f, const char *list, reason_t *why) {
    *f = (freeze_t){.n = 0};
    char *at = f->text;
    if (2 * strlen(list) + 2 > sizeof f->text) BUG("train.freeze of %zu bytes", strlen(list));
    while (*list) {
        list += strspn(list, " ");
        size_t n = strcspn(list, ","), used = n;
        while (used && list[used - 1] == ' ') used--;
        if (!used || (list[n] && !list[n + 1]))
            return reason_set(why, "train.freeze: an empty prefix between commas");
        if (f->n == FREEZE_MOST)
            return reason_set(why, "train.freeze: at most %d prefixes", FREEZE_MOST);
        f->pattern[f->n++] = at;
        *at++ = '!';
        memcpy(at, list, used);
        at += used;
        *at++ = 0;
        list += n + (list[n] == ',');
    }
    return 0;
}

bool freeze_match(const freeze_t *f, const char *name) {
    for (size_t i = 0; i < f->n; i++)
        if (!strncmp(name, f->pattern[i] + 1, strlen(f->pattern[i] + 1))) return true;
    return false;
}

/* What could have been meant: every name up to one of its dots. */
static int unknown(const char *prefix, const params_t *p, reason_t *why) {
    size_t n = 0, cap = 0;
    char **name = NULL;
    for (size_t i = 0; i < params_n(p); i++) {
        const char *full = params_at(p, (int)i)->name;
        for (const char *dot = strchr(full, '.'); dot; dot = strchr(dot + 1, '.')) {
            size_t length = (size_t)(dot - full);
            if (n && strlen(name[n - 1]) == length && !strncmp(name[n - 1], full, length)) continue;
            name = xgrow(name, &cap, n + 1, sizeof *name);
            name[n++] = xasprintf("%.*s", (int)length, full);
        }
    }
    const char *near = cli_nearest(prefix, (const char *const *)name, n);
    reason_set(why, "train.freeze: no parameter begins with '%s'%s%s%s", prefix,
               near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    for (size_t i = 0; i < n; i++) free(name[i]);
    free(name);
    return -1;
}

int freeze_check(const freeze_t *f, const params_t *p, const char *const *wrt, size_t n_wrt,
                 const char *absent, reason_t *why) {
    size_t moving = 0;
    for (size_t i = 0; i < f->n; i++) {
        bool any = false;
        const char *prefix = f->pattern[i] + 1;
        for (size_t j = 0; j < params_n(p) && !any; j++)
            any = !strncmp(params_at(p, (int)j)->name, prefix, strlen(prefix));
        if (any || (absent && !strcmp(prefix, absent))) continue;
        return unknown(prefix, p, why);
    }
    for (size_t j = 0; j < params_n(p); j++)
        moving += params_match(params_at(p, (int)j)->name, wrt, n_wrt);
    return moving ? 0 : reason_set(why, "train.freeze: nothing is left to train");
}

bool freeze_keeps_codes(const freeze_t *f, const params_t *p) {
    static const char *const codes[] = {"encoder.", "quant_conv.", "quantize."};
    for (size_t i = 0; i < params_n(p); i++) {
        const char *name = params_at(p, (int)i)->name;
        if (params_match(name, codes, 3) && !freeze_match(f, name)) return false;
    }
    return true;
}
