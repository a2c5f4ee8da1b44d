/* test_writers.c - nothing that a program writes is refused by its reader: extreme numbers and odd
 * names through every writer of text, and back. The programs themselves: cli/writers.sh.
 */
#include "tests/folder.h"
#include "tests/test.h"

#include "common/io/episodes/episode_source.h"
#include "common/io/episodes/minari_write.h"
#include "common/io/text/json.h"
#include "common/io/token_db/leaves.h"
#include "common/io/token_db/token_db.h"
#include "gato/run/run.h"

#include <float.h>

static const char *const odd[] = {"a\"b\\c", "\xc3\xbc \xf0\x9f\xa4\x96", "tab\tline\nend",
                                  "{\"id\": [1e999]}", ""};
enum { ODD = sizeof odd / sizeof *odd };

static const float extreme[] = {-INFINITY, INFINITY, -FLT_MAX, FLT_MAX, 0,    -0.0f,
                                FLT_MIN,   1.4e-45f, -1e-7f,   65504,   1e7f, 123456792.0f,
                                0.1f,      16777217, -1,       1};
enum { EXTREME = sizeof extreme / sizeof *extreme };

/* ---- a policy's config.json ---- */

static void check_run_text(const gato_facts_t *f, const gato_config_t *c) {
    gato_model_t m = {.config = *c, .facts = *f};
    char *text = run_json(&m);
    gato_model_t back = {0};
    reason_t why = {""};
    int rc = run_parse(text, strlen(text), &back.config, &back.facts, &why);
    REQUIRE(rc == 0, "%s: %s", why.text, text);
    char *again = run_json(&back);
    CHECK_STR(again, text);
    const gato_facts_t *g = &back.facts;
    for (uint32_t k = 0; k < f->n_actions; k++)
        CHECK(g->action_low[k] == f->action_low[k] && g->action_high[k] == f->action_high[k] &&
                  g->declared_low[k] == f->declared_low[k] &&
                  g->declared_high[k] == f->declared_high[k] &&
                  g->action_scaling[k] == f->action_scaling[k],
              "column %u", k);
    CHECK(!f->env || !strcmp(g->env, f->env));
    gato_facts_release(&back.facts);
    free(text);
    free(again);
}

/* Every pair of bounds that a data set can declare, before and after scaling was chosen. */
TEST(facts_of_any_bounds) {
    float low[EXTREME * EXTREME], high[EXTREME * EXTREME];
    shard_meta_t m = {.text_vocab = 257, .action_low = low, .action_high = high};
    for (size_t a = 0; a < EXTREME; a++)
        for (size_t b = 0; b < EXTREME; b++) {
            if (extreme[a] > extreme[b]) continue;
            low[m.n_actions] = extreme[a];
            high[m.n_actions++] = extreme[b];
        }
    gato_config_t c;
    config_defaults(gato_config_table, &c);
    for (size_t i = 0; i < ODD; i++) {
        leaves_t l = {0};
        leaves_add(&l, LEAF_ACTION, LEAF_CONTINUOUS, odd[i], m.n_actions);
        m.leaves = leaves_json(&l);
        m.env = m.preprocess = m.quantizer = (char *)(uintptr_t)odd[i];
        gato_facts_t f;
        reason_t why;
        REQUIRE(!gato_facts_from_meta(&f, &m, &why), "%s", why.text);
        check_run_text(&f, &c);
        gato_facts_release(&f);
        free(m.leaves);
        leaves_release(&l);
    }
}

TEST(configurations_at_their_ends) {
    static const char *const set[][2] = {
        {"optim.lr=1e-30", "optim.eps=1e-45"},
        {"optim.weight_decay=0.1", "loss.action=1e6"},
        {"train.freeze=\"a\\\"b\\\\c\"", "train.steps=1000000000000"},
        {"train.freeze=\xc3\xbc", "act.temperature=1000"},
    };
    gato_facts_t f = {.text_vocab = 257, .mu = 100, .M = 256};
    for (size_t i = 0; i < sizeof set / sizeof *set; i++) {
        gato_config_t c;
        config_defaults(gato_config_table, &c);
        for (int k = 0; k < 2; k++) config_set(gato_config_table, &c, set[i][k]);
        check_run_text(&f, &c);
    }
}

/* What a former version wrote for an infinite bound is refused with what is wrong. */
TEST(a_policy_that_cannot_be_scaled_is_refused) {
    float low = -1, high = 1;
    shard_meta_t m = {.text_vocab = 257, .n_actions = 1, .action_low = &low, .action_high = &high};
    static const char *const put[] = {"null", "\"inf\"", "1e999", "5"};
    for (size_t i = 0; i < 4; i++) {
        gato_model_t model = {0};
        gato_config_t c;
        gato_facts_t f = {0};
        reason_t why = {""};
        config_defaults(gato_config_table, &model.config);
        REQUIRE(!gato_facts_from_meta(&model.facts, &m, &why));
        char *text = run_json(&model), *at = strstr(text, "\"action_low\":");
        REQUIRE(at && strchr(at, ']'));
        char *bad =
            xasprintf("%.*s\"action_low\": [%s%s", (int)(at - text), text, put[i], strchr(at, ']'));
        CHECK(run_parse(bad, strlen(bad), &c, &f, &why) == RC_DATA && *why.text, "%s", put[i]);
        free(bad);
        free(text);
        gato_facts_release(&model.facts);
    }
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
    uint8_t raw[EXTREME];
    for (size_t i = 0; i < EXTREME; i++) low[i] = extreme[i], high[i] = INFINITY, raw[i] = i % 2;
    for (size_t i = 0; i < ODD; i++) {
        char name[32];
        int rc;
        reason_t why = {""};
        leaves_t l = {0};
        snprintf(name, sizeof name, "%zu.lmdb", i);
        leaves_add(&l, LEAF_ACTION, LEAF_CONTINUOUS, odd[i], EXTREME);
        shard_meta_t m = {.tool = (char *)(uintptr_t)odd[i],
                          .arguments = (char *)(uintptr_t)odd[i],
                          .text_tokenizer = (char *)(uintptr_t)odd[i],
                          .env = (char *)(uintptr_t)odd[i],
                          .text_vocab = 257,
                          .n_actions = EXTREME,
                          .action_low = low,
                          .action_high = high,
                          .action_raw = raw,
                          .leaves = leaves_json(&l),
                          .mu = 100,
                          .M = 256};
        float action[EXTREME];
        for (size_t k = 0; k < EXTREME; k++) action[k] = isfinite(extreme[k]) ? extreme[k] : 1;
        token_record_t r = {.kind = RECORD_EPISODE,
                            .T = 1,
                            .key = odd[i],
                            .key_len = (uint32_t)strlen(odd[i]),
                            .source = odd[i],
                            .source_len = (uint32_t)strlen(odd[i]),
                            .actions = action};
        token_db_t *db = token_db_create(in_folder(name), &m, 1 << 24, &rc, &why);
        REQUIRE(db && !token_db_put(db, &r, &why) &&
                    !token_db_put_bad(db, odd[i], strlen(odd[i]), odd[i], &why) &&
                    !token_db_commit(db, &why),
                "%s", why.text);
        token_db_close(db);
        db = token_db_open(in_folder(name), &rc, &why);
        REQUIRE(db, "%s", why.text);
        const shard_meta_t *s = token_db_meta(db);
        CHECK_STR(s->leaves, m.leaves);
        CHECK_STR(s->arguments, odd[i]);
        CHECK(!memcmp(s->action_low, low, sizeof low) && !memcmp(s->action_raw, raw, sizeof raw));
        token_record_t back;
        REQUIRE(!token_db_get(db, 0, &back, &why), "%s", why.text);
        CHECK(!memcmp(back.actions, action, sizeof action));
        token_record_release(&back);
        token_db_close(db);
        free(m.leaves);
        leaves_release(&l);
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
    minari_writer_t *w = minari_writer_new(folder, &spec, &why);
    REQUIRE(w && !minari_writer_add(w, &e, &why) && !minari_writer_commit(w, &why), "%s", why.text);
    int rc;
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
