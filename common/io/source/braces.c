/* braces.c - see braces.h. */
#include "common/io/source/braces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One group of a word: text up to `open`, alternatives, the rest behind `close`. */
typedef struct {
    const char *open, *close;
    bool range;
    long long from, to;
    int width; /* of numbers padded with zeros; 0 = as they are */
} group_t;

/* Digits, at most 18, ending at `end`. */
static bool number(const char *p, const char *end, long long *v, bool *zero) {
    if (p == end || end - p > 18) return false;
    *v = 0;
    for (const char *q = p; q < end; q++) {
        if (*q < '0' || *q > '9') return false;
        *v = *v * 10 + (*q - '0');
    }
    *zero = *p == '0' && end - p > 1;
    return true;
}

static bool parse_range(group_t *g) {
    const char *dots = strstr(g->open, "..");
    bool zero_from, zero_to;
    if (!dots || dots > g->close) return false;
    if (!number(g->open + 1, dots, &g->from, &zero_from) ||
        !number(dots + 2, g->close, &g->to, &zero_to))
        return false;
    long a = dots - g->open - 1, b = g->close - dots - 2;
    g->width = zero_from || zero_to ? (int)(a > b ? a : b) : 0;
    g->range = true;
    return true;
}

static bool find_group(const char *word, group_t *g) {
    for (const char *p = word; (p = strchr(p, '{')); p++) {
        size_t inner = strcspn(p + 1, "{}");
        if (p[1 + inner] != '}') continue;
        *g = (group_t){.open = p, .close = p + 1 + inner};
        if (parse_range(g) || memchr(p, ',', inner + 1)) return true;
    }
    return false;
}

bool braces_in(const char *word) {
    group_t g;
    return find_group(word, &g);
}

typedef struct {
    char **word;
    size_t n, cap;
} words_list_t;

static int expand(const char *done, const char *rest, words_list_t *to, reason_t *why);

/* `middle` takes the group's place; what stands before it is final. */
static int with(const char *done, const char *rest, const group_t *g, const char *middle,
                size_t size, words_list_t *to, reason_t *why) {
    char *head = xasprintf("%s%.*s%.*s", done, (int)(g->open - rest), rest, (int)size, middle);
    int rc = expand(head, g->close + 1, to, why);
    free(head);
    return rc;
}

static int expand_range(const char *done, const char *rest, const group_t *g, words_list_t *to,
                        reason_t *why) {
    long long step = g->from <= g->to ? 1 : -1, v = g->from;
    for (;; v += step) {
        char text[32];
        int n = snprintf(text, sizeof text, "%0*lld", g->width ? g->width : 1, v);
        if (with(done, rest, g, text, (size_t)n, to, why)) return -1;
        if (v == g->to) return 0;
    }
}

static int expand(const char *done, const char *rest, words_list_t *to, reason_t *why) {
    group_t g;
    if (!find_group(rest, &g)) {
        if (to->n == BRACES_MAX) return reason_set(why, "more than %d paths", BRACES_MAX);
        to->word = xgrow(to->word, &to->cap, to->n + 1, sizeof *to->word);
        to->word[to->n++] = xasprintf("%s%s", done, rest);
        return 0;
    }
    if (g.range) return expand_range(done, rest, &g, to, why);
    for (const char *p = g.open + 1;; p++) {
        size_t n = strcspn(p, ",}");
        if (with(done, rest, &g, p, n, to, why)) return -1;
        p += n;
        if (p == g.close) return 0;
    }
}

int braces_expand(const char *word, char ***out, size_t *n, reason_t *why) {
    words_list_t list = {0};
    if (expand("", word, &list, why)) {
        braces_free(list.word, list.n);
        return -1;
    }
    *out = list.word;
    *n = list.n;
    return 0;
}

void braces_free(char **word, size_t n) {
    for (size_t i = 0; i < n; i++) free(word[i]);
    free(word);
}
