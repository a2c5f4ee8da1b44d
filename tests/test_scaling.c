/* test_scaling.c - the ends that actions are scaled by, against numbers sorted in the test; the way
 * from a shard's columns to the model's and back to the environment.
 */
#include "tests/folder.h"
#include "tests/test.h"

#include "common/base/pool.h"
#include "common/base/rng.h"
#include "common/io/token_db/bounds.h"
#include "gato/data/dataset.h"
#include "gato/task/scaling.h"

#include <float.h>

enum { RECORDS = 40, ROWS = 25, COLUMNS = 17 };

/* A column's bounds, what its numbers look like, and how it must be scaled. */
typedef struct {
    float low, high;
    double center, spread; /* numbers: center + spread * normal */
    int rare;              /* every so many-th is `center` + 1, the others `center` (0 = normal) */
    scaling_t how;
} column_spec_t;
static const column_spec_t spec[COLUMNS] = {
    {-1, 1, 0, 0.3, 0, SCALING_DECLARED},
    {-INFINITY, INFINITY, 3, 2, 0, SCALING_QUANTILES},
    {0, INFINITY, 1e-3, 1e-4, 0, SCALING_QUANTILES},
    {-INFINITY, 7, -1e6, 1e5, 0, SCALING_QUANTILES},
    {-FLT_MAX, FLT_MAX, 0, 1, 0, SCALING_QUANTILES},
    {-65504, 65504, 0.5, 0.25, 0, SCALING_QUANTILES},
    {0, 65504, 12, 3, 0, SCALING_QUANTILES},
    {-2147483648.0f, 2147483647.0f, -40, 9, 0, SCALING_QUANTILES},
    {-1e4f, 1e4f, 0, 1, 0, SCALING_QUANTILES},   /* bounded, a tenth of a thousandth filled */
    {-1e4f, 1e4f, 0, 2000, 0, SCALING_DECLARED}, /* bounded and filled */
    {0, 1e5f, 5e4, 1e4, 0, SCALING_DECLARED},    /* type-like bounds that are used */
    {-1, 1, 0, 0, 0, SCALING_DECLARED},          /* never moves, inside of sane bounds */
    {-INFINITY, INFINITY, -5, 0, 0, SCALING_QUANTILES}, /* never moves, no bounds */
    {-INFINITY, INFINITY, 2, 0, 250, SCALING_EXTREMES}, /* a gripper that hardly ever closes */
    {0, 0, 2, 1, 3, SCALING_QUANTILES},     /* one number is declared, and others come, */
    {5, 5, 7, 0, 999999, SCALING_EXTREMES}, /* or nearly always another, */
    {5, 5, 5, 0, 0, SCALING_DECLARED},      /* or that one */
};

static float number(size_t record, size_t row, size_t k) {
    size_t at = record * ROWS + row;
    const column_spec_t *s = &spec[k];
    if (s->rare) return (float)(s->center + (at % (size_t)s->rare == 0));
    double v = s->center + s->spread * (double)rng_normal(rng_fold(rng_make(4, "scaling"), k), at);
    return fminf(fmaxf((float)v, s->low), s->high);
}

static void feed(void *ctx, size_t i, scaling_sink_t *sink) {
    for (size_t t = 0; t < ROWS; t++)
        for (size_t k = 0; k < COLUMNS; k++) scaling_put(sink, k, number(i, t, k));
}

static gato_facts_t facts_of_spec(void) {
    float low[COLUMNS], high[COLUMNS];
    for (size_t k = 0; k < COLUMNS; k++) low[k] = spec[k].low, high[k] = spec[k].high;
    shard_meta_t m = {.n_actions = COLUMNS, .action_low = low, .action_high = high};
    gato_facts_t f;
    reason_t why;
    if (gato_facts_from_meta(&f, &m, &why)) BUG("%s", why.text);
    return f;
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double sorted_quantile(const float *v, size_t n, double q) {
    double at = q * (double)(n - 1), below = floor(at);
    size_t i = (size_t)below;
    return (double)v[i] + (at - below) * ((double)v[i + (i + 1 < n)] - (double)v[i]);
}

TEST(the_ends_are_those_of_sorted_numbers) {
    gato_facts_t f = facts_of_spec();
    scaling_choose(&f, RECORDS, feed, NULL);
    for (size_t k = 0; k < COLUMNS; k++) {
        float v[RECORDS * ROWS];
        size_t n = RECORDS * ROWS;
        for (size_t i = 0; i < n; i++) v[i] = number(i / ROWS, i % ROWS, k);
        qsort(v, n, sizeof *v, by_value);
        double low = sorted_quantile(v, n, 0.01), high = sorted_quantile(v, n, 0.99);
        if (spec[k].how == SCALING_DECLARED) low = (double)spec[k].low, high = (double)spec[k].high;
        if (spec[k].how == SCALING_EXTREMES) low = (double)v[0], high = (double)v[n - 1];
        CHECK(f.action_scaling[k] == spec[k].how, "column %zu: %s", k,
              scaling_names[f.action_scaling[k]]);
        CHECK(f.action_low[k] == (float)low && f.action_high[k] == (float)high,
              "column %zu: [%.9g, %.9g], sorted [%.9g, %.9g]", k, (double)f.action_low[k],
              (double)f.action_high[k], low, high);
        CHECK(isfinite(f.action_low[k]) && isfinite(f.action_high[k]));
    }
    gato_facts_release(&f);
}

TEST(any_number_of_threads_and_few_numbers) {
    gato_facts_t a = facts_of_spec(), b = facts_of_spec();
    pool_set_threads(1);
    scaling_choose(&a, RECORDS, feed, NULL);
    pool_set_threads(5);
    scaling_choose(&b, RECORDS, feed, NULL);
    pool_set_threads(0);
    CHECK(!memcmp(a.action_low, b.action_low, COLUMNS * sizeof(float)) &&
          !memcmp(a.action_high, b.action_high, COLUMNS * sizeof(float)) &&
          !memcmp(a.action_scaling, b.action_scaling, COLUMNS));
    gato_facts_release(&a);
    gato_facts_release(&b);
    gato_facts_t none = facts_of_spec();
    scaling_choose(&none, 0, feed, NULL);
    for (size_t k = 0; k < COLUMNS; k++)
        CHECK(isfinite(none.action_low[k]) && none.action_low[k] <= none.action_high[k]);
    gato_facts_release(&none);
}

TEST(there_and_back) {
    static const float ends[][2] = {{-1, 1},     {0, 3},          {-2.5f, 1e5f},
                                    {-1e-6f, 0}, {-3e38f, 3e38f}, {7, 7}};
    static const float at[] = {-1, -0.5f, 0, 0.25f, 1};
    for (size_t e = 0; e < sizeof ends / sizeof *ends; e++)
        for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
            float v = bounds_unscale(at[i], ends[e][0], ends[e][1]);
            CHECK(v >= ends[e][0] && v <= ends[e][1]);
            if (ends[e][0] < ends[e][1])
                CHECK_NEAR(bounds_scale(v, ends[e][0], ends[e][1]), at[i], 1e-6);
            else
                CHECK(v == 7 && bounds_scale(v, 7, 7) == 0);
        }
    CHECK(bounds_scale(1e10f, 0, 1e-30f) == FLT_MAX && bounds_scale(-1e10f, 0, 1e-30f) == -FLT_MAX);
    CHECK(bounds_wide(-INFINITY, 0) && bounds_wide(0, 65504) && bounds_wide(-FLT_MAX, FLT_MAX) &&
          bounds_wide(NAN, 1) && bounds_wide(0, 0) && bounds_wide(5, 5) &&
          !bounds_wide(-32768, 32767) && !bounds_wide(-1, 1));
}

/* ---- through shard and dataset ---- */

enum { EPISODES = 30, LONG = 6 };

/* One column stored scaled, one raw. raw_part: false = a shard of a former version. */
static const char *make_shard(const char *name, bool raw_part) {
    float low[2] = {-4, -INFINITY}, high[2] = {4, INFINITY};
    uint8_t raw[2] = {0, 1};
    shard_meta_t m = {.tool = (char *)"test",
                      .arguments = (char *)"{}",
                      .text_tokenizer = (char *)"byte",
                      .text_vocab = 257,
                      .mu = 100,
                      .M = 256,
                      .n_actions = 2,
                      .action_low = low,
                      .action_high = high,
                      .action_raw = raw_part ? raw : NULL};
    int rc;
    reason_t why = {""};
    token_db_t *db = token_db_create(in_folder(name), &m, 1 << 24, &rc, &why);
    if (!db) BUG("%s", why.text);
    for (size_t i = 0; i < EPISODES; i++) {
        char key[32];
        float action[LONG * 2];
        for (size_t t = 0; t < LONG; t++) {
            action[2 * t] = 0.25f;
            action[2 * t + 1] = (float)(100 * i + t);
        }
        token_record_t r = {.kind = RECORD_EPISODE,
                            .T = LONG,
                            .key = key,
                            .key_len = (uint32_t)snprintf(key, sizeof key, "episode_%zu", i),
                            .source = "s",
                            .source_len = 1,
                            .actions = action,
                            .label_actions = action};
        if (token_db_put(db, &r, &why)) BUG("%s", why.text);
    }
    if (token_db_commit(db, &why)) BUG("%s", why.text);
    token_db_close(db);
    return in_folder(name);
}

static void check_window(const dataset_t *d, float low, float high) {
    sequence_t w;
    REQUIRE(dataset_first_sequence(d, 0, 3, &w));
    for (size_t t = 0; t < LONG; t++) {
        double v = 300 + (double)t, want = 2 * (v - (double)low) / ((double)high - (double)low) - 1;
        CHECK(w.record.actions[2 * t] == 0.25f, "what is scaled as declared stays as it is");
        CHECK_NEAR(w.record.actions[2 * t + 1], want, 1e-6);
        CHECK_NEAR(w.record.label_actions[2 * t + 1], want, 1e-6);
    }
    sequence_release(&w);
}

TEST(sequences_are_scaled_by_the_training_side) {
    folder_open();
    for (int former = 0; former < 2; former++) {
        gato_config_t c;
        config_defaults(gato_config_table, &c);
        config_set(gato_config_table, &c, "data.holdout=0.3");
        const char *path = make_shard(former ? "former.lmdb" : "new.lmdb", !former);
        dataset_t *d = dataset_open(&(cli_list_t){&path, 1, 1}, &c);
        dataset_scale_actions(d, NULL);
        const gato_facts_t *f = dataset_facts(d);
        float v[2 * EPISODES * LONG]; /* executed actions and labels alike */
        size_t n = 0;
        for (size_t i = 0; i < dataset_sequences(d, 0, SIDE_TRAIN); i++) {
            sequence_t w;
            dataset_sequence(d, 0, SIDE_TRAIN, i, &w);
            int episode = atoi(strchr(w.record.key, '_') + 1);
            for (size_t t = 0; t < 2 * LONG; t++) v[n++] = (float)(100 * episode + (int)t / 2);
            sequence_release(&w);
        }
        CHECK(n > 0 && n < 2 * EPISODES * LONG);
        qsort(v, n, sizeof *v, by_value);
        CHECK(f->action_low[0] == -4 && f->action_high[0] == 4);
        CHECK_NEAR(f->action_low[1], sorted_quantile(v, n, 0.01), 1e-4);
        CHECK_NEAR(f->action_high[1], sorted_quantile(v, n, 0.99), 1e-4);
        check_window(d, f->action_low[1], f->action_high[1]);
        gato_facts_t policy = gato_facts_copy(f);
        policy.action_low[1] = -10, policy.action_high[1] = 1000;
        dataset_scale_actions(d, &policy);
        check_window(d, -10, 1000);
        gato_facts_release(&policy);
        dataset_close(d);
    }
    folder_remove();
}
