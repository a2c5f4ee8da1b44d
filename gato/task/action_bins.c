/* action_bins.c - see action_bins.h. */
#include "gato/task/action_bins.h"

#include <stdlib.h>

enum { NUMBERS_MOST = 1 << 20 };
/* The edge of a bin that no number reaches. */
static const float BEYOND = 2;

/* ---- fitting ---- */

/* Numbers equal to v[at], from there on. */
static size_t equal_from(const float *v, size_t n, size_t at) {
    size_t end = at + 1;
    while (end < n && v[end] == v[at]) end++;
    return end - at;
}

static size_t different(const float *v, size_t n) {
    size_t count = 0;
    for (size_t at = 0; at < n; at += equal_from(v, n, at)) count++;
    return count;
}

static float mean(const float *v, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)v[i];
    float m = (float)(sum / (double)n);
    return m < v[0] ? v[0] : m > v[n - 1] ? v[n - 1] : m;
}

/* a < b; a number of the same bin as b. */
static float halfway(float a, float b) {
    float edge = (float)(((double)a + (double)b) / 2);
    return edge > a ? edge : b;
}

/* Where the bin that begins at `at` ends: the next numbers join it as long as that brings it
 * nearer to its share of what is left. `left` different numbers are there for `bins` bins. */
static size_t bin_end(const float *v, size_t n, size_t at, size_t bins, size_t *left) {
    double share = (double)(n - at) / (double)bins;
    size_t end = at + equal_from(v, n, at);
    for (--*left; end<n && * left> bins - 1; --*left) {
        size_t more = equal_from(v, n, end);
        if (bins > 1 && (double)(end - at) + (double)more / 2 > share) break;
        end += more;
    }
    return end;
}

void action_bins_column(const float *v, size_t n, uint32_t bins, float *edge, float *value) {
    size_t left = different(v, n), at = 0;
    uint32_t used = 0;
    for (uint32_t b = 0; b < bins; b++) {
        value[b] = tokens_bin_value(b, bins, false);
        if (b) edge[b - 1] = n ? BEYOND : tokens_bin_value(b, bins, true);
    }
    for (; used < bins && at < n; used++) {
        size_t end = bin_end(v, n, at, bins - used, &left);
        value[used] = mean(v + at, end - at);
        if (used) edge[used - 1] = halfway(v[at - 1], v[at]);
        at = end;
    }
    for (uint32_t b = used; n && b < bins; b++) value[b] = value[used - 1];
}

void action_bins_fit(slot_t *slot, uint32_t bins, size_t records, scaling_feed_fn feed, void *ctx) {
    uint32_t columns = slot->width;
    float **v = xcalloc(columns, sizeof *v);
    size_t *n = xcalloc(columns, sizeof *n);
    scaling_numbers(slot, records, NUMBERS_MOST, feed, ctx, v, n);
    slot->n_bins = bins;
    free(slot->bin_edges);
    free(slot->bin_values);
    slot->bin_edges = xcalloc((size_t)columns * (bins - 1), sizeof *slot->bin_edges);
    slot->bin_values = xcalloc((size_t)columns * bins, sizeof *slot->bin_values);
    for (uint32_t k = 0; k < columns; k++) {
        action_bins_column(v[k], n[k], bins, slot->bin_edges + (size_t)k * (bins - 1),
                           slot->bin_values + (size_t)k * bins);
        free(v[k]);
    }
    free(v);
    free(n);
}

/* ---- use ---- */

/* How many edges are not above x. */
static uint32_t edges_below(const float *edge, uint32_t n, float x) {
    uint32_t low = 0, high = n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (edge[middle] <= x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t action_bin(const tokens_t *t, const slot_t *slot, uint32_t k, float x) {
    if (!t->actions_fitted) return tokens_bin_action(t, x);
    float c = x < -1 ? -1 : x > 1 ? 1 : x;
    return edges_below(slot->bin_edges + (size_t)k * (slot->n_bins - 1), slot->n_bins - 1, c);
}

float action_value(const tokens_t *t, const slot_t *slot, uint32_t k, uint32_t bin, bool left) {
    if (!t->actions_fitted) return tokens_action_value(t, bin, left);
    return slot->bin_values[(size_t)k * slot->n_bins + bin];
}
