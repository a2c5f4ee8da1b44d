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

/* A slot of those columns, in a task that the caller releases. */
static slot_t *slot_of_spec(task_t *t) {
    *t = task_new("arm", RECORD_EPISODE);
    slot_t *slot = task_add(t, SLOT_VECTOR, SIDE_ACTED, "", COLUMNS);
    for (size_t k = 0; k < COLUMNS; k++) slot->low[k] = spec[k].low, slot->high[k] = spec[k].high;
    return slot;
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
    task_t t;
    slot_t *f = slot_of_spec(&t);
    scaling_choose(f, RECORDS, feed, NULL);
    for (size_t k = 0; k < COLUMNS; k++) {
        float v[RECORDS * ROWS];
        size_t n = RECORDS * ROWS;
        for (size_t i = 0; i < n; i++) v[i] = number(i / ROWS, i % ROWS, k);
        qsort(v, n, sizeof *v, by_value);
        double low = sorted_quantile(v, n, 0.01), high = sorted_quantile(v, n, 0.99);
        if (spec[k].how == SCALING_DECLARED) low = (double)spec[k].low, high = (double)spec[k].high;
        if (spec[k].how == SCALING_EXTREMES) low = (double)v[0], high = (double)v[n - 1];
        CHECK(f->scaling[k] == spec[k].how, "column %zu: %s", k, scaling_names[f->scaling[k]]);
        CHECK(f->scale_low[k] == (float)low && f->scale_high[k] == (float)high,
              "column %zu: [%.9g, %.9g], sorted [%.9g, %.9g]", k, (double)f->scale_low[k],
              (double)f->scale_high[k], low, high);
        CHECK(isfinite(f->scale_low[k]) && isfinite(f->scale_high[k]));
    }
    task_release(&t);
}

TEST(any_number_of_threads_and_few_numbers) {
    task_t ta, tb, tn;
    slot_t *a = slot_of_spec(&ta), *b = slot_of_spec(&tb), *none = slot_of_spec(&tn);
    pool_set_threads(1);
    scaling_choose(a, RECORDS, feed, NULL);
    pool_set_threads(5);
    scaling_choose(b, RECORDS, feed, NULL);
    pool_set_threads(0);
    CHECK(!memcmp(a->scale_low, b->scale_low, COLUMNS * sizeof(float)) &&
          !memcmp(a->scale_high, b->scale_high, COLUMNS * sizeof(float)) &&
          !memcmp(a->scaling, b->scaling, COLUMNS));
    scaling_choose(none, 0, feed, NULL);
    for (size_t k = 0; k < COLUMNS; k++)
        CHECK(isfinite(none->scale_low[k]) && none->scale_low[k] <= none->scale_high[k]);
    task_release(&ta);
    task_release(&tb);
    task_release(&tn);
}

/* At play: into [-1,1] and back, clamped on the way out, by arithmetic of the test's own. */
TEST(units_of_the_environment) {
    task_t t = task_new("arm", RECORD_EPISODE);
    slot_t *slot = task_add(&t, SLOT_VECTOR, SIDE_ACTED, "torque", 3);
    for (int k = 0; k < 3; k++) slot->low[k] = -1, slot->high[k] = 1;
    scaling_choose(slot, 0, feed, NULL);
    slot->scale_low[1] = 0, slot->scale_high[1] = 10;
    slot->scale_low[2] = slot->scale_high[2] = 7;
    float units[3], scaled[3];
    scaling_to_units(slot, (float[]){0.25f, 0.5f, 0.9f}, units);
    CHECK(units[0] == 0.25f && units[1] == 7.5f && units[2] == 7);
    scaling_to_units(slot, (float[]){-3, 2, -5}, units);
    CHECK(units[0] == -1 && units[1] == 10 && units[2] == 7);
    scaling_from_units(slot, (float[]){0.5f, 2.5f, 7}, scaled);
    CHECK(scaled[0] == 0.5f && scaled[1] == -0.5f && scaled[2] == 0);
    task_release(&t);
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

static const float declared[2][2] = {{-4, 4}, {-INFINITY, INFINITY}};

/* Two slots of one column each: "grip" is stored scaled, "joint" raw. */
static const char *make_shard(const char *name) {
    static const char *const names[2] = {"grip", "joint"};
    shard_meta_t m = {
        .tool = (char *)"test", .arguments = (char *)"{}", .mu = 100, .M = 256, .complete = true};
    task_t task = task_new("arm", RECORD_EPISODE);
    for (int k = 0; k < 2; k++) {
        slot_t *slot = task_add(&task, SLOT_VECTOR, SIDE_ACTED, names[k], 1);
        slot->low[0] = declared[k][0], slot->high[0] = declared[k][1];
        slot->raw[0] = k == 1;
    }
    tasks_add(&m.tasks, task);
    int rc;
    reason_t why = {""};
    token_db_t *db = token_db_create(in_folder(name), &m, 1 << 24, &rc, &why);
    if (!db) BUG("%s", why.text);
    for (size_t i = 0; i < EPISODES; i++) {
        char key[32];
        float grip[LONG], joint[LONG];
        for (size_t t = 0; t < LONG; t++) {
            grip[t] = 0.25f;
            joint[t] = (float)(100 * i + t);
        }
        token_record_t r = {.T = LONG,
                            .key = key,
                            .key_len = (uint32_t)snprintf(key, sizeof key, "episode_%zu", i),
                            .source = "s",
                            .source_len = 1};
        r.slot[0] = (slot_data_t){.vector = grip, .label_vector = grip};
        r.slot[1] = (slot_data_t){.vector = joint, .label_vector = joint};
        if (token_db_put(db, &r, &why)) BUG("%s", why.text);
    }
    if (token_db_commit(db, &why)) BUG("%s", why.text);
    token_db_close(db);
    tasks_release(&m.tasks);
    return in_folder(name);
}

static void check_window(const dataset_t *d, float low, float high) {
    sequence_t w;
    REQUIRE(dataset_first_sequence(d, 0, 3, &w));
    for (size_t t = 0; t < LONG; t++) {
        double v = 300 + (double)t, want = 2 * (v - (double)low) / ((double)high - (double)low) - 1;
        CHECK(w.record.slot[0].vector[t] == 0.25f, "what is scaled as declared stays as it is");
        CHECK_NEAR(w.record.slot[1].vector[t], want, 1e-6);
        CHECK_NEAR(w.record.slot[1].label_vector[t], want, 1e-6);
    }
    sequence_release(&w);
}

TEST(sequences_are_scaled_by_the_training_side) {
    folder_open();
    gato_config_t c;
    config_defaults(gato_config_table, &c);
    config_set(gato_config_table, &c, "data.holdout=0.3");
    const char *path = make_shard("new.lmdb");
    cli_list_t specs = {&path, 1, 1};
    dataset_t *d = dataset_open(&specs, &c, &(dataset_opts_t){.tasks = NULL});
    const task_t *task = &dataset_tasks(d)->v[0];
    float v[2 * EPISODES * LONG]; /* executed actions and labels alike */
    size_t n = 0;
    for (size_t i = 0; i < dataset_sequences(d, 0, 0, SIDE_TRAIN); i++) {
        sequence_t w;
        dataset_sequence(d, 0, 0, SIDE_TRAIN, i, &w);
        int episode = atoi(strchr(w.record.key, '_') + 1);
        for (size_t t = 0; t < 2 * LONG; t++) v[n++] = (float)(100 * episode + (int)t / 2);
        sequence_release(&w);
    }
    CHECK(n > 0 && n < 2 * EPISODES * LONG);
    qsort(v, n, sizeof *v, by_value);
    const slot_t *grip = &task->slot[0], *joint = &task->slot[1];
    CHECK(grip->scale_low[0] == -4 && grip->scale_high[0] == 4);
    CHECK_NEAR(joint->scale_low[0], sorted_quantile(v, n, 0.01), 1e-4);
    CHECK_NEAR(joint->scale_high[0], sorted_quantile(v, n, 0.99), 1e-4);
    check_window(d, joint->scale_low[0], joint->scale_high[0]);
    tasks_t policy = tasks_copy(dataset_tasks(d));
    policy.v[0].slot[1].scale_low[0] = -10, policy.v[0].slot[1].scale_high[0] = 1000;
    dataset_t *other = dataset_open(
        &specs, &c, &(dataset_opts_t){.tasks = &policy, .vocabulary = dataset_vocabulary(d)});
    check_window(other, -10, 1000);
    dataset_close(other);
    tasks_release(&policy);
    dataset_close(d);
    folder_remove();
}
