/* leaves.c - see leaves.h. */
#include "common/io/token_db/leaves.h"

#include "common/io/text/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const parts[LEAF_PARTS] = {"image", "continuous", "discrete", "text"};
/* In the order of their keys: canonical JSON. */
static const struct {
    leaf_side_t side;
    const char *key;
} sides[LEAF_SIDES] = {{LEAF_ACTION, "actions"}, {LEAF_OBSERVATION, "observations"}};

void leaves_add(leaves_t *l, leaf_side_t side, leaf_part_t part, const char *name, uint32_t width) {
    l->v = xrealloc(l->v, (l->n + 1) * sizeof *l->v);
    l->v[l->n++] = (leaf_t){xstrdup(name), side, part, width};
}

void leaves_release(leaves_t *l) {
    for (size_t i = 0; i < l->n; i++) free(l->v[i].name);
    free(l->v);
    *l = (leaves_t){0};
}

uint64_t leaves_width(const leaves_t *l, leaf_side_t side, leaf_part_t part) {
    uint64_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (l->v[i].side == side && l->v[i].part == part) n += l->v[i].width;
    return n;
}

/* ---- JSON ---- */

char *leaves_json(const leaves_t *l) {
    jsonw_t w;
    jsonw_begin(&w);
    for (size_t s = 0; s < LEAF_SIDES; s++) {
        jsonw_open(&w, sides[s].key, '[');
        for (size_t i = 0; i < l->n; i++) {
            if (l->v[i].side != sides[s].side) continue;
            jsonw_open(&w, NULL, '{');
            jsonw_str(&w, "name", l->v[i].name);
            jsonw_str(&w, "part", parts[l->v[i].part]);
            jsonw_int(&w, "width", l->v[i].width);
            jsonw_close(&w, '}');
        }
        jsonw_close(&w, ']');
    }
    char *text = xstrdup(jsonw_end(&w));
    jsonw_free(&w);
    return text;
}

static int parse_leaf(leaves_t *out, leaf_side_t side, const cJSON *item, reason_t *why) {
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "name")),
               *part = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "part"));
    const cJSON *width = cJSON_GetObjectItemCaseSensitive(item, "width");
    uint64_t n = 0;
    size_t k = 0;
    while (part && k < LEAF_PARTS && strcmp(part, parts[k]) != 0) k++;
    if (!name || !part || k == LEAF_PARTS || !width || !json_u64(width, &n) || !n || n > UINT32_MAX)
        return reason_set(why, "leaves: a leaf lacks a name, a known part or a width");
    leaves_add(out, side, (leaf_part_t)k, name, (uint32_t)n);
    return 0;
}

static int parse_sides(leaves_t *out, const cJSON *root, reason_t *why) {
    for (size_t s = 0; s < LEAF_SIDES; s++) {
        const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, sides[s].key), *item;
        if (!cJSON_IsArray(list)) return reason_set(why, "leaves: '%s' is no list", sides[s].key);
        cJSON_ArrayForEach(item, list) {
            if (parse_leaf(out, sides[s].side, item, why)) return -1;
        }
    }
    return 0;
}

int leaves_parse(leaves_t *out, const char *json, reason_t *why) {
    reason_t inner;
    *out = (leaves_t){0};
    cJSON *root = json_parse(json, strlen(json), false, &inner);
    if (!root) return reason_set(why, "leaves: %.300s", inner.text);
    int rc = parse_sides(out, root, why);
    cJSON_Delete(root);
    if (rc) leaves_release(out);
    return rc;
}

/* ---- comparison ---- */

/* Leaf k of a part, counted from 0; NULL behind the last. */
static const leaf_t *leaf_at(const leaves_t *l, leaf_side_t side, leaf_part_t part, size_t k) {
    size_t before = 0;
    for (size_t i = 0; i < l->n; i++) {
        const leaf_t *leaf = &l->v[i];
        if (leaf->side != side || leaf->part != part) continue;
        if (before == k) return leaf;
        before++;
    }
    return NULL;
}

/* Also true when both are NULL: two parts end together. */
static bool same_leaf(const leaf_t *a, const leaf_t *b) {
    if (!a || !b || a->width != b->width) return a == b;
    return !*a->name || !*b->name || !strcmp(a->name, b->name);
}

static bool same_part(const leaves_t *a, const leaves_t *b, leaf_side_t side, leaf_part_t part) {
    if (!leaf_at(a, side, part, 0) || !leaf_at(b, side, part, 0)) return true;
    for (size_t k = 0;; k++) {
        const leaf_t *x = leaf_at(a, side, part, k), *y = leaf_at(b, side, part, k);
        if (!same_leaf(x, y)) return false;
        if (!x) return true;
    }
}

/* Writes "a, b (3 columns), c", shortened by "..." where there is no room. */
static void show(const leaves_t *l, leaf_side_t side, leaf_part_t part, char out[400]) {
    size_t at = 0;
    for (size_t k = 0;; k++) {
        const leaf_t *leaf = leaf_at(l, side, part, k);
        if (!leaf) return;
        if (at + 100 > 400) {
            snprintf(out + at, 400 - at, ", ...");
            return;
        }
        at += (size_t)snprintf(out + at, 400 - at, "%s%.60s", k ? ", " : "",
                               *leaf->name ? leaf->name : "(no name)");
        if (leaf->width > 1)
            at += (size_t)snprintf(out + at, 400 - at, " (%u columns)", leaf->width);
    }
}

static int compare(const leaves_t *a, const leaves_t *b, reason_t *why) {
    static const char *const what[LEAF_SIDES] = {"observations", "actions"};
    for (int side = 0; side < LEAF_SIDES; side++)
        for (int part = 0; part < LEAF_PARTS; part++) {
            char x[400] = "", y[400] = "";
            if (same_part(a, b, (leaf_side_t)side, (leaf_part_t)part)) continue;
            show(a, (leaf_side_t)side, (leaf_part_t)part, x);
            show(b, (leaf_side_t)side, (leaf_part_t)part, y);
            return reason_set(why, "other columns: %s %s are [%s] and [%s]", parts[part],
                              what[side], x, y);
        }
    return 0;
}

int leaves_fit(const char *a, const char *b, reason_t *why) {
    leaves_t x, y = {0};
    if (!a || !b) return 0;
    if (leaves_parse(&x, a, why)) return -1;
    int rc = leaves_parse(&y, b, why);
    if (!rc) rc = compare(&x, &y, why);
    leaves_release(&x);
    leaves_release(&y);
    return rc;
}

char *leaves_merge(const char *a, const char *b) {
    leaves_t x, y, sum = {0};
    if (!a && !b) return NULL;
    if (!a || !b || leaves_parse(&x, a, NULL)) return xstrdup(a ? a : b);
    if (leaves_parse(&y, b, NULL)) BUG("leaves that were never checked");
    for (size_t i = 0; i < x.n; i++)
        leaves_add(&sum, x.v[i].side, x.v[i].part, x.v[i].name, x.v[i].width);
    for (size_t i = 0; i < y.n; i++)
        if (!leaf_at(&x, y.v[i].side, y.v[i].part, 0))
            leaves_add(&sum, y.v[i].side, y.v[i].part, y.v[i].name, y.v[i].width);
    char *text = leaves_json(&sum);
    leaves_release(&x);
    leaves_release(&y);
    leaves_release(&sum);
    return text;
}

const char *leaves_column(const leaves_t *l, leaf_side_t side, leaf_part_t part, uint32_t column,
                          char buf[300]) {
    *buf = 0;
    for (size_t k = 0;; k++) {
        const leaf_t *leaf = leaf_at(l, side, part, k);
        if (!leaf) return buf;
        if (column >= leaf->width) {
            column -= leaf->width;
            continue;
        }
        if (leaf->width > 1 || !*leaf->name)
            snprintf(buf, 300, "%.255s[%u]", leaf->name, column);
        else
            snprintf(buf, 300, "%.255s", leaf->name);
        return buf;
    }
}
