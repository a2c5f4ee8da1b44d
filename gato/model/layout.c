/* layout.c - see layout.h. */
#include "gato/model/layout.h"

#include "common/base/die.h"

size_t layout_observation(const layout_t *l) {
    return l->count[PART_IMAGE] + l->count[PART_TEXT] + l->count[PART_CONTINUOUS] +
           l->count[PART_DISCRETE];
}

size_t layout_tokens(const layout_t *l) {
    return layout_observation(l) + l->count[PART_SEPARATOR] + l->count[PART_ACTION] +
           l->count[PART_DISCRETE_ACTION];
}

part_t layout_order(const layout_t *l, size_t i) {
    if (l->text_first && i < 2) return i ? PART_IMAGE : PART_TEXT;
    return (part_t)i;
}

size_t layout_start(const layout_t *l, part_t part) {
    size_t at = 0;
    for (size_t i = 0; i < PARTS; i++) {
        part_t p = layout_order(l, i);
        if (p == part) return at;
        at += l->count[p];
    }
    BUG("no part %d", (int)part);
}

part_t layout_part(const layout_t *l, size_t i, size_t *index) {
    for (size_t k = 0; k < PARTS; k++) {
        part_t p = layout_order(l, k);
        if (i < l->count[p]) {
            *index = i;
            return p;
        }
        i -= l->count[p];
    }
    BUG("no such token in a timestep of %zu", layout_tokens(l));
}

int32_t layout_inner(const layout_t *l, size_t i) {
    return i < layout_observation(l) ? (int32_t)i : -1;
}

bool layout_target(const layout_t *l, size_t i) {
    size_t index;
    part_t p = layout_part(l, i, &index);
    return p == PART_ACTION || p == PART_DISCRETE_ACTION || (p == PART_TEXT && l->text_target);
}

int32_t layout_position(size_t i, size_t n, size_t vocabulary, bool closed, bool mean, float draw) {
    if (i >= n || n > vocabulary) BUG("place %zu of %zu over %zu positions", i, n, vocabulary);
    size_t low = i * vocabulary / n, high = (i + 1) * vocabulary / n; /* half-open */
    size_t last = closed && high < vocabulary ? high : high - 1;
    if (!mean) {
        size_t at = (size_t)(draw * (float)(last - low + 1));
        return (int32_t)(low + (at < last - low + 1 ? at : last - low));
    }
    if (closed) {
        size_t middle = (low + high) / 2;
        return (int32_t)(middle < vocabulary ? middle : vocabulary - 1);
    }
    size_t sum = low + high - 1, half = sum / 2;
    return (int32_t)(half + (sum % 2 && half % 2)); /* x.5 goes to the even neighbour */
}
