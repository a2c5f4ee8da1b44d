/* test_action_bins.c - bins with equal shares of the numbers: edges against numbers sorted in the
 * test, counts and means by hand, and columns of few, equal or no numbers.
 */
#include "tests/test.h"

#include "common/base/pool.h"
#include "common/base/rng.h"
#include "gato/task/action_bins.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RECORDS = 64, ROWS = 16, NUMBERS = RECORDS * ROWS, BINS = 16, COLUMNS = 8 };

/* What a column's numbers look like. */
typedef enum { SPREAD, CONSTANT, TWO, SPIKE, LATTICE, OUTLIERS, NEIGHBORS, TAIL } look_t;

/* Number i of a column, in the units of the environment: [-1,1] is [-2,6] there. */
static float number(size_t i, size_t column) {
    rng_t draw = rng_fold(rng_make(9, "bins"), column);
    double normal = (double)rng_normal(draw, i);
    switch ((look_t)column) {
    case SPREAD:
        return (float)(2 + 0.9 * normal);
    case CONSTANT:
        return 4.5f;
    case TWO:
        return i % 3 ? 6 : -2;
    case SPIKE: /* two thirds are one number amid the others */
        return i % 3 ? 2 : (float)(2 + normal);
    case LATTICE:
        return (float)(i % 11) * 0.5f;
    case OUTLIERS: /* beyond the bounds */
        return (float)(i % 2 ? 2 + 5 * normal : 2);
    case NEIGHBORS:
        return i % 2 ? 3 : nextafterf(3, 4);
    default:
        return (float)exp(2 * normal) - 2;
    }
}

static void feed(void *ctx, size_t i, scaling_sink_t *sink) {
    size_t stride = ctx ? *(size_t *)ctx : 1;
    for (size_t t = 0; t < ROWS; t++)
        for (size_t k = 0; k < COLUMNS; k++)
            scaling_put(sink, k, number((i * ROWS + t) * stride % NUMBERS, k));
}

static void nothing(void *ctx, size_t i, scaling_sink_t *sink) {
    (void)ctx, (void)i, (void)sink;
}

static slot_t *slot_new(task_t *t) {
    *t = task_new("arm", RECORD_EPISODE);
    slot_t *slot = task_add(t, SLOT_VECTOR, SIDE_ACTED, "", COLUMNS);
    slot->scale_low = floats_of(COLUMNS, -2);
    slot->scale_high = floats_of(COLUMNS, 6);
    slot->scaling = xcalloc(COLUMNS, 1);
    return slot;
}

static float scaled(float v) {
    double s = 2 * ((double)v + 2) / 8 - 1;
    return (float)(s < -1 ? -1 : s > 1 ? 1 : s);
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void sorted(float v[NUMBERS], size_t column) {
    for (size_t i = 0; i < NUMBERS; i++) v[i] = scaled(number(i, column));
    qsort(v, NUMBERS, sizeof *v, by_value);
}

static const tokens_t fitted = {.text = 257, .bins = BINS, .actions_fitted = true};

/* Numbers that all differ: 64 in each bin, cut where numpy.quantile(v, k / 16, method="midpoint")
 * cuts, at (n - 1) k / 16 from below and above; a bin's value is the mean of its 64. */
TEST(edges_are_quantiles) {
    task_t t;
    slot_t *s = slot_new(&t);
    float v[NUMBERS];
    action_bins_fit(s, BINS, RECORDS, feed, NULL);
    REQUIRE(s->n_bins == BINS);
    sorted(v, SPREAD);
    for (size_t k = 1; k < BINS; k++) {
        double at = (double)(NUMBERS - 1) * (double)k / BINS;
        float want = (float)(((double)v[(size_t)floor(at)] + (double)v[(size_t)ceil(at)]) / 2);
        CHECK(s->bin_edges[k - 1] == want, "edge %zu: %.9g, wanted %.9g", k,
              (double)s->bin_edges[k - 1], (double)want);
    }
    for (uint32_t b = 0; b < BINS; b++) {
        double sum = 0;
        for (size_t i = 0; i < 64; i++) sum += (double)v[64 * b + i];
        CHECK_NEAR((double)s->bin_values[b], sum / 64, 1e-7);
        for (size_t i = 0; i < 64; i++)
            CHECK(action_bin(&fitted, s, SPREAD, v[64 * b + i]) == b, "%u", b);
    }
    task_release(&t);
}

/* What holds of every column: values lie in their bins, all numbers of a bin have its mean, and
 * weighted by how many there are the values give the mean of the numbers. */
static void check_column(const slot_t *s, size_t column) {
    float v[NUMBERS];
    double sum[BINS] = {0}, all = 0, told = 0;
    size_t count[BINS] = {0};
    sorted(v, column);
    for (size_t i = 0; i < NUMBERS; i++) {
        uint32_t b = action_bin(&fitted, s, (uint32_t)column, v[i]);
        REQUIRE(b < BINS);
        sum[b] += (double)v[i];
        count[b]++;
        all += (double)v[i];
    }
    for (uint32_t b = 0; b < BINS; b++) {
        float value = action_value(&fitted, s, (uint32_t)column, b, false);
        CHECK(fabsf(value) <= 1);
        if (!count[b]) continue;
        CHECK_NEAR((double)value, sum[b] / (double)count[b], 1e-6);
        CHECK(action_bin(&fitted, s, (uint32_t)column, value) == b, "column %zu, bin %u", column,
              b);
        told += (double)count[b] * (double)value;
    }
    CHECK_NEAR(told / NUMBERS, all / NUMBERS, 1e-6);
}

/* The number comes back as it was. */
static bool exact(const slot_t *s, size_t column, float units) {
    float v = scaled(units);
    uint32_t b = action_bin(&fitted, s, (uint32_t)column, v);
    return action_value(&fitted, s, (uint32_t)column, b, false) == v;
}

TEST(few_and_equal_numbers) {
    task_t t;
    slot_t *s = slot_new(&t);
    reason_t why = {""};
    s->low[0] = -2, s->high[0] = 6;
    action_bins_fit(s, BINS, RECORDS, feed, NULL);
    for (size_t k = 0; k < COLUMNS; k++) check_column(s, k);
    for (uint32_t b = 0; b < BINS; b++)
        CHECK(action_value(&fitted, s, CONSTANT, b, false) == scaled(4.5f));
    CHECK(exact(s, CONSTANT, 4.5f) && exact(s, TWO, 6) && exact(s, TWO, -2));
    CHECK(action_bin(&fitted, s, TWO, -0.01f) == 0 && action_bin(&fitted, s, TWO, 0.01f) == 1);
    for (int i = 0; i < 11; i++) CHECK(exact(s, LATTICE, 0.5f * (float)i), "%d", i);
    CHECK(exact(s, SPIKE, 2) && !exact(s, SPIKE, 2.01f));
    CHECK(exact(s, NEIGHBORS, 3) && exact(s, NEIGHBORS, nextafterf(3, 4)));
    CHECK(exact(s, OUTLIERS, 2) && exact(s, OUTLIERS, 6) && exact(s, OUTLIERS, 1000));
    CHECK(action_bin(&fitted, s, SPREAD, INFINITY) == BINS - 1);
    CHECK(action_bin(&fitted, s, SPREAD, -INFINITY) == 0);
    CHECK(!task_check(&t, &why), "%s", why.text);
    /* The numbers beside the spike share the bins that it leaves: a third of 1,024 in 15 bins. */
    float v[NUMBERS];
    size_t count[BINS] = {0};
    sorted(v, SPIKE);
    for (size_t i = 0; i < NUMBERS; i++) count[action_bin(&fitted, s, SPIKE, v[i])]++;
    size_t none = 0;
    for (size_t b = 0; b < BINS; b++) none += !count[b];
    CHECK(none <= 4, "%zu bins are empty", none);
    task_release(&t);
}

TEST(a_column_without_numbers) {
    task_t t;
    slot_t *s = slot_new(&t);
    tokens_t even = {.text = 257, .bins = BINS};
    action_bins_fit(s, BINS, 0, nothing, NULL);
    for (int i = -100; i <= 100; i++) {
        float x = (float)i / 100;
        CHECK(action_bin(&fitted, s, 0, x) == action_bin(&even, s, 0, x), "%g", (double)x);
    }
    for (uint32_t b = 0; b < BINS; b++)
        CHECK(action_value(&fitted, s, 0, b, false) == action_value(&even, s, 0, b, false));
    task_release(&t);
}

/* Neither threads nor the order of the numbers matter. */
TEST(any_threads_and_order) {
    task_t ta, tb;
    slot_t *a = slot_new(&ta), *b = slot_new(&tb);
    size_t stride = 7;
    pool_set_threads(1);
    action_bins_fit(a, BINS, RECORDS, feed, NULL);
    pool_set_threads(5);
    action_bins_fit(b, BINS, RECORDS, feed, &stride);
    pool_set_threads(0);
    CHECK(!memcmp(a->bin_edges, b->bin_edges, COLUMNS * (BINS - 1) * sizeof(float)));
    CHECK(!memcmp(a->bin_values, b->bin_values, COLUMNS * BINS * sizeof(float)));
    task_release(&ta);
    task_release(&tb);
}

/* More numbers than are kept: those of every third record, as if there were no others. */
TEST(a_share_of_many_numbers) {
    task_t t;
    slot_t *s = slot_new(&t);
    float *v[COLUMNS];
    size_t n[COLUMNS];
    scaling_numbers(s, RECORDS, NUMBERS / 3 + 1, feed, NULL, v, n);
    for (size_t k = 0; k < COLUMNS; k++) {
        float want[NUMBERS];
        size_t m = 0;
        for (size_t i = 0; i < NUMBERS; i++)
            if (i / ROWS % 3 == 0) want[m++] = scaled(number(i, k));
        qsort(want, m, sizeof *want, by_value);
        CHECK(n[k] == m && !memcmp(v[k], want, m * sizeof *want), "column %zu: %zu of %zu", k, n[k],
              m);
        free(v[k]);
    }
    task_release(&t);
}

/* By hand: of 8 numbers in 3 bins, the first bin's share is 2.67; 0 comes twice, and three times 1
 * would lead farther beyond it than two stay behind. Then 3 of 6, and what is left. */
TEST(shares_by_hand) {
    static const float v[8] = {0, 0, 0.25f, 0.25f, 0.25f, 0.5f, 0.75f, 0.75f};
    float edge[2], value[3];
    action_bins_column(v, 8, 3, edge, value);
    CHECK(edge[0] == 0.125f && edge[1] == 0.375f, "%g %g", (double)edge[0], (double)edge[1]);
    CHECK(value[0] == 0 && value[1] == 0.25f && value[2] == 2.0f / 3, "%g", (double)value[2]);
}
