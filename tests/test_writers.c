/* test_writers.c - nothing that a program writes is refused by its reader: extreme numbers and odd
 * names through every writer of text, and back. The programs themselves: cli/writers.sh.
 */
#include "tests/folder.h"
#include "tests/test.h"

#include "common/io/episodes/episode_source.h"
#include "common/io/episodes/minari_write.h"
#include "common/io/text/json.h"
#include "common/io/token_db/token_db.h"
#include "gato/run/run.h"
#include "gato/task/scaling.h"

#include <float.h>

static const char *const odd[] = {"a\"b\\c", "\xc3\xbc \xf0\x9f\xa4\x96", "tab\tline\nend",
                                  "{\"id\": [1e999]}", ""};
enum { ODD = sizeof odd / sizeof *odd };

static const float extreme[] = {-INFINITY, INFINITY, -FLT_MAX, FLT_MAX, 0,    -0.0f,
                                FLT_MIN,   1.4e-45f, -1e-7f,   65504,   1e7f, 123456792.0f,
                                0.1f,      16777217, -1,       1};
enum { EXTREME = sizeof extreme / sizeof *extreme };

static void no_numbers(void *ctx, size_t i, scaling_sink_t *sink) {}

/* An episode's task with one acted vector of these bounds; env: JSON. */
static task_t task_of(const char *name, const float *low, const float *high, uint32_t n) {
    task_t t = task_new(*name ? name : "t", RECORD_EPISODE);
    slot_t *slot = task_add(&t, SLOT_VECTOR, SIDE_OBSERVED, name, 2);
    slot->low[1] = -FLT_MAX;
    slot = task_add(&t, SLOT_VECTOR, SIDE_ACTED, name, n);
    memcpy(slot->low, low, n * sizeof *low);
    memcpy(slot->high, high, n * sizeof *high);
    return t;
}

/* ---- a policy's config.json ---- */

static void check_run_text(const gato_config_t *c, const vocabulary_t *v, const tasks_t *tasks) {
    gato_model_t m = {.config = *c, .vocabulary = *v, .tasks = *tasks};
    char *text = run_json(&m);
    run_text_t back;
    reason_t why = {""};
    REQUIRE(run_parse(text, strlen(text), &back, &why) == 0, "%s: %.2000s", why.text, text);
    gato_model_t same = {.config = back.config, .vocabulary = back.vocabulary, .tasks = back.tasks};
    char *again = run_json(&same);
    CHECK_STR(again, text);
    for (size_t i = 0; i < tasks->n; i++) {
        const slot_t *s = &tasks->v[i].slot[1], *b = &back.tasks.v[i].slot[1];
        CHECK_STR(b->name, s->name);
        for (uint32_t k = 0; k < s->width; k++)
            CHECK(b->low[k] == s->low[k] && b->high[k] == s->high[k] && b->raw[k] == s->raw[k] &&
                      b->scale_low[k] == s->scale_low[k] && b->scale_high[k] == s->scale_high[k] &&
                      b->scaling[k] == s->scaling[k],
                  "column %u", k);
    }
    run_text_release(&back);
    free(text);
    free(again);
}

/* Every pair of bounds that a data set can declare. */
TEST(tasks_of_any_bounds) {
    static float low[EXTREME * EXTREME], high[EXTREME * EXTREME];
    uint32_t n = 0;
    for (size_t a = 0; a < EXTREME; a++)
        for (size_t b = 0; b < EXTREME; b++) {
            if (extreme[a] > extreme[b] || extreme[a] == INFINITY || extreme[b] == -INFINITY)
                continue;
            low[n] = extreme[a];
            high[n++] = extreme[b];
        }
    gato_config_t c;
    config_defaults(gato_config_table, &c);
    for (size_t i = 0; i < ODD; i++) {
        task_t t = task_of(odd[i], low, high, n);
        scaling_choose(&t.slot[1], 0, no_numbers, NULL);
        t.random_return = -1e300;
        t.expert_return = 5e-324;
        vocabulary_t v = {.text = 257,
                          .mu = 100,
                          .M = 256,
                          .preprocess = (char *)(uintptr_t)odd[i],
                          .quantizer = (char *)(uintptr_t)odd[i]};
        check_run_text(&c, &v, &(tasks_t){&t, 1});
        task_release(&t);
    }
}

TEST(configurations_at_their_ends) {
    static const char *const set[][2] = {
        {"optim.lr=1e-30", "optim.eps=1e-45"},
        {"optim.weight_decay=0.1", "loss.action=1e6"},
        {"train.freeze=\"a\\\"b\\\\c\"", "train.steps=1000000000000"},
        {"train.freeze=\xc3\xbc", "act.temperature=1000"},
    };
    vocabulary_t v = {.text = 257, .mu = 100, .M = 256};
    float low = -1, high = 1;
    task_t t = task_of("t", &low, &high, 1);
    scaling_choose(&t.slot[1], 0, no_numbers, NULL);
    for (size_t i = 0; i < sizeof set / sizeof *set; i++) {
        gato_config_t c;
        config_defaults(gato_config_table, &c);
        for (int k = 0; k < 2; k++) config_set(gato_config_table, &c, set[i][k]);
        check_run_text(&c, &v, &(tasks_t){&t, 1});
    }
    task_release(&t);
}

/* An infinite or odd bound in use is refused with what is wrong. */
TEST(a_policy_that_cannot_be_scaled_is_refused) {
    float low = -1, high = 1;
    static const char *const put[] = {"null", "\"inf\"", "1e999", "5"};
    task_t t = task_of("t", &low, &high, 1);
    scaling_choose(&t.slot[1], 0, no_numbers, NULL);
    for (size_t i = 0; i < 4; i++) {
        gato_model_t model = {.vocabulary = {.text = 257, .mu = 100, .M = 256}, .tasks = {&t, 1}};
        reason_t why = {""};
        config_defaults(gato_config_table, &model.config);
        char *text = run_json(&model), *at = strstr(text, "\"scale_low\":");
        REQUIRE(at && strchr(at, ']'), "%s", text);
        char *bad =
            xasprintf("%.*s\"scale_low\":[%s%s", (int)(at - text), text, put[i], strchr(at, ']'));
        run_text_t back;
        CHECK(run_parse(bad, strlen(bad), &back, &why) == RC_DATA && *why.text, "%s", put[i]);
        free(bad);
        free(text);
    }
    task_release(&t);
}

/* ---- lines on stdout and in metrics.jsonl ---- */

TEST(lines_of_any_numbers_and_names) {
    static const double numbers[] = {NAN, INFINITY, -INFINITY, DBL_MAX, 5e-324, -0.0, 1e15, 0.1};
    for (size_t i = 0; i < ODD; i++) {
        jsonw_t w;
        reason_t why = {""};
        jsonw_begin(&w);
        jsonw_str(&w, "source", odd[i]);
        jsonw_str(&w, "bytes", "\xff\xfe");
        jsonw_str(&w, "none", NULL);
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
            char key[16];
            snprintf(key, sizeof key, "n%zu", k);
            jsonw_num(&w, key, numbers[k]);
            key[0] = 'f';
            jsonw_float(&w, key, (float)numbers[k]);
        }
        const char *line = jsonw_end(&w);
        cJSON *o = json_parse(line, strlen(line), false, &why);
        CHECK(o, "%s: %s", why.text, line);
        CHECK(!strchr(line, '\n'), "a line is one line");
        if (o) CHECK_STR(cJSON_GetStringValue(cJSON_GetObjectItem(o, "source")), odd[i]);
        cJSON_Delete(o);
        jsonw_free(&w);
    }
}

/* ---- shards ---- */

TEST(shards_of_any_names_and_bounds) {
    folder_open();
    float low[EXTREME], high[EXTREME];
    for (size_t i = 0; i < EXTREME; i++) {
        low[i] = extreme[i] < INFINITY ? extreme[i] : 0;
        high[i] = INFINITY;
    }
    for (size_t i = 0; i < ODD; i++) {
        char name[32];
        int rc;
        reason_t why = {""};
        snprintf(name, sizeof name, "%zu.lmdb", i);
        task_t t = task_of(odd[i], low, high, EXTREME);
        for (size_t k = 0; k < EXTREME; k++) t.slot[1].raw[k] = k % 2;
        t.env = xasprintf("{\"id\": 1}");
        shard_meta_t m = {.tool = (char *)(uintptr_t)odd[i],
                          .arguments = (char *)(uintptr_t)odd[i],
                          .text_tokenizer = (char *)(uintptr_t)odd[i],
                          .tasks = {&t, 1},
                          .mu = 100,
                          .M = 256};
        float action[EXTREME], seen[2] = {-FLT_MAX, 1.4e-45f};
        for (size_t k = 0; k < EXTREME; k++) action[k] = isfinite(extreme[k]) ? extreme[k] : 1;
        token_record_t r = {.T = 1,
                            .key = odd[i],
                            .key_len = (uint32_t)strlen(odd[i]),
                            .source = odd[i],
                            .source_len = (uint32_t)strlen(odd[i])};
        r.slot[0].vector = seen;
        r.slot[1].vector = action;
        token_db_t *db = token_db_create(in_folder(name), &m, 1 << 24, &rc, &why);
        REQUIRE(db && !token_db_put(db, &r, &why) &&
                    !token_db_put_bad(db, odd[i], strlen(odd[i]), odd[i], &why) &&
                    !token_db_commit(db, &why),
                "%s", why.text);
        token_db_close(db);
        db = token_db_open(in_folder(name), &rc, &why);
        REQUIRE(db, "%s", why.text);
        const shard_meta_t *s = token_db_meta(db);
        REQUIRE(s->tasks.n == 1 && s->tasks.v[0].n_slots == 2);
        const slot_t *slot = &s->tasks.v[0].slot[1];
        CHECK_STR(slot->name, odd[i]);
        CHECK_STR(s->arguments, odd[i]);
        CHECK(!memcmp(slot->raw, t.slot[1].raw, EXTREME));
        for (size_t k = 0; k < EXTREME; k++) CHECK(slot->low[k] == low[k], "bound %zu", k);
        token_record_t back;
        REQUIRE(!token_db_get(db, 0, &back, &why), "%s", why.text);
        CHECK(!memcmp(back.slot[1].vector, action, sizeof action) &&
              !memcmp(back.slot[0].vector, seen, sizeof seen));
        token_record_release(&back);
        token_db_close(db);
        task_release(&t);
    }
    folder_remove();
}

/* ---- Minari data sets ---- */

#ifdef WITH_HDF5
enum { STEPS = 2 };

static space_leaf_t box_leaf(const char *path, const char *dtype, double *low, double *high) {
    space_leaf_t l = {
        .kind = SPACE_BOX, .rank = 1, .dim = {1}, .count = 1, .low = low, .high = high};
    snprintf(l.path, sizeof l.path, "%s", path);
    snprintf(l.dtype, sizeof l.dtype, "%s", dtype);
    return l;
}

TEST(minari_data_sets_of_any_names_bounds_and_numbers) {
    static double bound[][2] = {{-INFINITY, INFINITY}, {0, INFINITY},
                                {-DBL_MAX, DBL_MAX},   {NAN, NAN},
                                {5e-324, 1e300},       {-65504, 65504}};
    static const char *const names[] = {"a\"b\\c", "\xc3\xbc", "tab\there", "a.b c", "null", "{}"};
    static const char *const kinds[] = {"float32", "float64", "float64",
                                        "float32", "float64", "float32"};
    enum { LEAVES = 6 };
    folder_open();
    space_leaf_t obs[LEAVES], act = box_leaf("", "float32", &bound[0][0], &bound[0][1]);
    float number[STEPS + 1] = {NAN, INFINITY, FLT_MAX}, *value[LEAVES], *action[] = {number};
    uint8_t flag[STEPS] = {0, 1}, *image[LEAVES] = {NULL};
    char **text[LEAVES] = {NULL};
    for (size_t i = 0; i < LEAVES; i++) {
        obs[i] = box_leaf(names[i], kinds[i], &bound[i][0], &bound[i][1]);
        value[i] = number;
    }
    minari_spec_t spec = {.dataset_id = "we\"ird\\/\xc3\xbc-v0",
                          .algorithm = odd[1],
                          .env_spec = "{\"id\": \"a\\\"b\"}",
                          .obs = obs,
                          .n_obs = LEAVES,
                          .act = &act,
                          .n_act = 1,
                          .dict_obs = true};
    recorded_episode_t e = {.T = STEPS,
                            .image = image,
                            .value = value,
                            .text = text,
                            .action = action,
                            .rewards = number,
                            .terminated = flag,
                            .truncated = flag,
                            .seed = -1,
                            .n_obs = LEAVES,
                            .n_act = 1};
    reason_t why = {""};
    int rc;
    minari_writer_t *w = minari_writer_new(folder, &spec, false, &rc, &why);
    REQUIRE(w && !minari_writer_add(w, &e, &why), "%s", why.text);
    minari_writer_close(w);
    episode_source_t *m = episode_source_open(folder, &rc, &why);
    REQUIRE(m, "%s", why.text);
    CHECK(episode_source_count(m) == 1 && episode_source_n_obs(m) == LEAVES);
    CHECK_STR(episode_source_dataset_id(m), spec.dataset_id);
    for (size_t i = 0; i < episode_source_n_obs(m); i++) {
        const space_leaf_t *l = episode_source_obs(m, i);
        size_t k = 0;
        while (k < LEAVES && strcmp(names[k], l->path) != 0) k++;
        REQUIRE(k < LEAVES, "a leaf '%s'", l->path);
        CHECK(l->low[0] <= l->high[0] && !isnan(l->low[0]), "%s", l->path);
        if (k == 3) CHECK(l->low[0] == -INFINITY && l->high[0] == INFINITY);
        if (k == 5) CHECK(l->low[0] == -65504 && l->high[0] == 65504);
    }
    recorded_episode_t back;
    REQUIRE(!episode_source_read(m, 0, &back, &why), "%s", why.text);
    for (size_t i = 0; i < LEAVES; i++)
        CHECK(isnan(back.value[i][0]) && isinf(back.value[i][1]) && back.value[i][2] == FLT_MAX);
    CHECK(isnan(back.rewards[0]) && isnan(back.action[0][0]));
    recorded_episode_release(&back);
    episode_source_close(m);
    folder_remove();
}
#endif
