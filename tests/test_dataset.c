/* test_dataset.c - what is sampled from shards, counted and compared with the shards' own contents,
 * and what is refused. */
#include "tests/child.h"
#include "tests/folder.h"
#include "tests/test.h"

#include "common/base/pool.h"
#include "common/io/split.h"
#include "gato/data/dataset.h"

/* One folder for all tests; a child leaves it alone. */
__attribute__((constructor)) static void begin(void) {
    folder_open();
}
__attribute__((destructor)) static void end(void) {
    if (!child_self) folder_remove();
}

/* A shard of control episodes; record i has steps[i] timesteps, continuous value = 100 i + t. */
typedef struct {
    uint32_t codes, actions;
    float code_value;
    const uint32_t *steps;
    size_t n;
    size_t texts, text_len;
} shard_spec_t;

static void put(token_db_t *db, const token_record_t *r) {
    reason_t why = {""};
    if (token_db_put(db, r, &why)) {
        fprintf(stderr, "put: %s\n", why.text);
        exit(1);
    }
}

static const char *make_shard(const char *name, const shard_spec_t *s) {
    const char *path = in_folder(name);
    float codebook[8], low[4] = {-1, -1, -1, -1}, high[4] = {1, 1, 1, 1};
    for (int i = 0; i < 8; i++) codebook[i] = s->code_value + (float)i;
    shard_meta_t m = {.tool = (char *)"test",
                      .arguments = (char *)"{}",
                      .text_tokenizer = (char *)"byte",
                      .text_vocab = 257,
                      .mu = 100,
                      .M = 256};
    if (s->n)
        m.n_continuous = 1, m.n_actions = s->actions, m.action_low = low, m.action_high = high;
    if (s->codes) {
        m.codes = s->codes, m.code_dim = 2, m.codebook = codebook, m.grid_h = m.grid_w = 2,
        m.image_h = m.image_w = 16;
        m.fingerprint = s->code_value > 0 ? (char *)"11111111111111111111111111111111"
                                          : (char *)"00000000000000000000000000000000";
        m.quantizer = m.preprocess = (char *)"{}";
    }
    int rc;
    reason_t why = {""};
    token_db_t *db = token_db_create(path, &m, 1 << 24, &rc, &why);
    if (!db) {
        fprintf(stderr, "create: %s\n", why.text);
        exit(1);
    }
    for (size_t i = 0; i < s->n; i++) {
        char key[32];
        uint32_t T = s->steps[i], *codes = xcalloc(T * 4, sizeof *codes);
        float *value = xcalloc(T, sizeof *value),
              *action = xcalloc((size_t)T * s->actions, sizeof *action);
        for (uint32_t t = 0; t < T; t++) value[t] = (float)(100 * i + t);
        token_record_t r = {.kind = RECORD_EPISODE,
                            .T = T,
                            .key = key,
                            .key_len = (uint32_t)snprintf(key, sizeof key, "episode_%zu", i),
                            .source = "s",
                            .source_len = 1,
                            .continuous = value,
                            .actions = action};
        if (s->codes) r.codes = codes, r.grid_h = r.grid_w = 2, r.image_h = r.image_w = 16;
        put(db, &r);
        free(codes);
        free(value);
        free(action);
    }
    for (size_t i = 0; i < s->texts; i++) {
        char key[32];
        uint32_t *text = xcalloc(s->text_len, sizeof *text);
        for (size_t k = 0; k < s->text_len; k++) text[k] = (uint32_t)k % 256;
        token_record_t r = {.kind = RECORD_TEXT,
                            .T = 1,
                            .key = key,
                            .key_len = (uint32_t)snprintf(key, sizeof key, "text/%zu", i),
                            .source = "s",
                            .source_len = 1,
                            .text = text,
                            .text_len = (uint32_t)s->text_len};
        put(db, &r);
        free(text);
    }
    if (token_db_commit(db, &why)) exit(1);
    token_db_close(db);
    return path;
}

static gato_config_t plain(void) {
    gato_config_t c;
    config_defaults(gato_config_table, &c);
    return c;
}

static dataset_t *open_one(const char *spec, const gato_config_t *c) {
    cli_list_t l = {&spec, 1, 1};
    return dataset_open(&l, c);
}

static const uint32_t thirty[] = {9, 3, 1, 2, 40, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
                                  7, 7, 7, 7, 7,  7, 7, 7, 7, 7, 7, 7, 7, 7, 12};
static const shard_spec_t control = {.codes = 4, .actions = 2, .steps = thirty, .n = 30};

/* 4 codes + 1 number + separator + 2 actions: 8 tokens, 5 steps in 40. */
static gato_config_t narrow(void) {
    gato_config_t c = plain();
    c.model.context = 40;
    c.data.holdout = 0.3;
    return c;
}

static uint32_t record_of(const sequence_t *w) {
    return (uint32_t)(w->record.continuous[0] / 100);
}

TEST(windows_cover_every_step_once) {
    gato_config_t c = narrow();
    dataset_t *d = open_one(make_shard("cover.lmdb", &control), &c);
    int seen[30][40] = {{0}}, held[30];
    for (int i = 0; i < 30; i++) held[i] = -1;
    for (int side = SIDE_TRAIN; side <= SIDE_VAL; side++) {
        size_t n = dataset_sequences(d, 0, (side_t)side);
        CHECK(n > 0, "side %d is empty", side);
        for (size_t i = 0; i < n; i++) {
            sequence_t w;
            dataset_sequence(d, 0, (side_t)side, i, &w);
            uint32_t r = record_of(&w);
            CHECK(w.n_steps <= 5 && w.n_prompt == 0);
            CHECK(held[r] == -1 || held[r] == side, "record %u stands on both sides", r);
            held[r] = side;
            for (size_t k = 0; k < w.n_steps; k++) {
                CHECK(!k || w.step[k] == w.step[k - 1] + 1);
                seen[r][w.step[k]]++;
            }
            sequence_release(&w);
        }
    }
    for (size_t r = 0; r < 30; r++)
        for (size_t t = 0; t < 40; t++)
            CHECK(seen[r][t] == (t < thirty[r]), "record %zu, step %zu: %d times", r, t,
                  seen[r][t]);
    CHECK(dataset_sequences(d, 0, SIDE_ALL) ==
          dataset_sequences(d, 0, SIDE_TRAIN) + dataset_sequences(d, 0, SIDE_VAL));
    CHECK(dataset_records(d, SIDE_TRAIN) + dataset_records(d, SIDE_VAL) == 30);
    /* the rule itself: XXH64(key) % 1000 < 300 */
    for (uint32_t r = 0; r < 30; r++) {
        char key[32];
        snprintf(key, sizeof key, "episode_%u", r);
        CHECK(held[r] == (int)split_held_out(key, 0.3), "%s", key);
    }
    dataset_close(d);
}

/* Mean and deviation of the numbers, over the training side alone. */
TEST(moments_of_the_vector) {
    gato_config_t c = narrow();
    const char *path = make_shard("moments.lmdb", &control);
    dataset_t *d = open_one(path, &c);
    CHECK(!dataset_facts(d)->vector_mean, "bins need no moments");
    dataset_close(d);
    c.model.vector_in = VECTOR_IN_LINEAR;
    d = open_one(path, &c);
    REQUIRE(dataset_facts(d)->vector_mean);
    double n = 0, sum = 0, squares = 0; /* of small whole numbers: exact */
    for (uint32_t r = 0; r < 30; r++) {
        char key[32];
        snprintf(key, sizeof key, "episode_%u", r);
        if (split_held_out(key, 0.3)) continue;
        for (uint32_t t = 0; t < thirty[r]; t++) {
            double v = 100 * r + t;
            n += 1, sum += v, squares += v * v;
        }
    }
    CHECK(n > 0);
    CHECK_NEAR((double)dataset_facts(d)->vector_mean[0], sum / n, 1e-3);
    CHECK_NEAR((double)dataset_facts(d)->vector_deviation[0], sqrt(squares / n - sum / n * sum / n),
               1e-2);
    dataset_close(d);
}

static bool same_window(const sequence_t *a, const sequence_t *b) {
    return a->n_steps == b->n_steps && a->n_prompt == b->n_prompt && record_of(a) == record_of(b) &&
           a->sample == b->sample && !memcmp(a->step, b->step, a->n_steps * sizeof *a->step);
}

TEST(a_sample_follows_seed_step_and_index_alone) {
    gato_config_t c = narrow();
    const char *path = make_shard("sample.lmdb", &control);
    dataset_t *d = open_one(path, &c), *other = open_one(path, &c);
    size_t moved = 0;
    for (uint64_t step = 0; step < 5; step++)
        for (size_t i = 0; i < 8; i++) {
            sequence_t a, b, e;
            dataset_sample(d, 1, step, i, 8, &a);
            dataset_sample(other, 1, 4 - step, 7 - i, 8, &b); /* another order */
            sequence_release(&b);
            dataset_sample(other, 1, step, i, 8, &b);
            dataset_sample(d, 2, step, i, 8, &e);
            CHECK(same_window(&a, &b), "step %llu, sample %zu", (unsigned long long)step, i);
            moved += !same_window(&a, &e);
            sequence_release(&a);
            sequence_release(&b);
            sequence_release(&e);
        }
    CHECK(moved > 30, "the seed moves %zu of 40 samples", moved);
    CHECK(dataset_manifest(d) == dataset_manifest(other));
    dataset_close(d);
    dataset_close(other);
}

/* One pass shows every training record once, and never a held-out one. */
TEST(an_epoch_shows_each_training_record_once) {
    gato_config_t c = narrow();
    dataset_t *d = open_one(make_shard("epoch.lmdb", &control), &c);
    size_t n = dataset_records(d, SIDE_TRAIN), seen[30] = {0};
    for (size_t g = 0; g < 3 * n; g++) {
        sequence_t w;
        dataset_sample(d, 5, g / 4, g % 4, 4, &w);
        char key[32];
        snprintf(key, sizeof key, "episode_%u", record_of(&w));
        CHECK(!split_held_out(key, 0.3), "%s is held out", key);
        seen[record_of(&w)]++;
        sequence_release(&w);
    }
    for (size_t r = 0; r < 30; r++)
        CHECK(seen[r] == 0 || seen[r] == 3, "record %zu: %zu times", r, seen[r]);
    dataset_close(d);
}

/* 5 steps fit: main round(2.5) = 2, prompt 3. 16 samples: 4 prompted, the first 2 by the end. */
TEST(prompts_are_part_of_their_episode) {
    gato_config_t c = narrow();
    dataset_t *d = open_one(make_shard("prompt.lmdb", &control), &c);
    size_t prompt, main_part;
    dataset_prompt_split(37, &prompt, &main_part);
    CHECK(main_part == 18 && prompt == 19, "%zu + %zu", prompt, main_part);
    dataset_prompt_split(1, &prompt, &main_part);
    CHECK(main_part == 1 && prompt == 0);
    size_t short_ones = 0, starts[40] = {0};
    for (uint64_t step = 0; step < 800; step++)
        for (size_t i = 0; i < 16; i++) {
            sequence_t w;
            dataset_sample(d, 9, step, i, 16, &w);
            uint32_t T = thirty[record_of(&w)], p = T < 3 ? T : 3, m = T < 2 ? T : 2,
                     whole = T < 5 ? T : 5;
            if (i >= 4) {
                CHECK(w.n_prompt == 0 && w.n_steps == whole);
            } else {
                CHECK(w.n_prompt == p && w.n_steps == p + m, "T %u: %zu + %zu", T, w.n_prompt,
                      w.n_steps);
                if (i < 2) CHECK(w.step[0] == T - p, "T %u: prompt from %u", T, w.step[0]);
                short_ones += T < 5;
            }
            for (size_t k = 0; k < w.n_steps; k++) {
                CHECK(w.step[k] < T);
                if (k && k != w.n_prompt) CHECK(w.step[k] == w.step[k - 1] + 1);
            }
            if (T == 40 && i >= 4) starts[w.step[0]]++;
            sequence_release(&w);
        }
    CHECK(short_ones > 20, "short episodes were not prompted");
    CHECK(starts[35] > 0 || split_held_out("episode_4", 0.3), "the last start never comes up");
    for (size_t k = 36; k < 40; k++) CHECK(starts[k] == 0);
    dataset_close(d);
}

TEST(long_text_is_cut) {
    gato_config_t c = narrow();
    const shard_spec_t s = {.texts = 3, .text_len = 100};
    dataset_t *d = open_one(make_shard("text.lmdb", &s), &c);
    CHECK(dataset_sequences(d, 0, SIDE_ALL) == 9); /* 39 + 39 + 22 and a separator each */
    size_t tokens = 0;
    for (size_t i = 0; i < dataset_sequences(d, 0, SIDE_ALL); i++) {
        sequence_t w;
        dataset_sequence(d, 0, SIDE_ALL, i, &w);
        CHECK(w.n_steps == 1 && w.text_len <= 39 && w.text_first % 39 == 0);
        tokens += w.text_len;
        sequence_release(&w);
    }
    CHECK(tokens == 300);
    dataset_close(d);
}

TEST(sources_are_mixed_by_weight) {
    gato_config_t c = narrow();
    const shard_spec_t text = {.codes = 4, .texts = 10, .text_len = 5};
    char spec[2][200];
    snprintf(spec[0], 200, "%s=3", make_shard("mix_a.lmdb", &control));
    snprintf(spec[1], 200, "%s=1", make_shard("mix_b.lmdb", &text));
    const char *item[] = {spec[0], spec[1]};
    cli_list_t l = {item, 2, 2};
    dataset_t *d = dataset_open(&l, &c);
    CHECK(dataset_sources(d) == 2 && dataset_facts(d)->n_actions == 2 &&
          dataset_facts(d)->codes == 4);
    size_t texts = 0;
    for (size_t i = 0; i < 4000; i++) {
        sequence_t w;
        dataset_sample(d, 0, i, 0, 1, &w);
        texts += w.record.kind == RECORD_TEXT;
        sequence_release(&w);
    }
    CHECK(texts > 900 && texts < 1100, "%zu of 4000", texts);
    dataset_close(d);
}

/* ---- refusals: in a child process, as they end it ---- */

typedef struct {
    const char *a, *b;
    gato_config_t c;
} opening_t;

static int open_and_exit(void *ctx) {
    opening_t *o = ctx;
    const char *item[] = {o->a, o->b};
    cli_list_t l = {item, o->b ? 2 : 1, 2};
    pool_set_threads(1); /* threads do not survive a fork */
    dataset_open(&l, &o->c);
    return 0;
}

static void check_refused(const char *a, const char *b, const gato_config_t *c, int code,
                          const char *says1, const char *says2) {
    opening_t o = {a, b, *c};
    static child_t child;
    child_run(open_and_exit, &o, &child);
    CHECK(child.code == code, "exit %d instead of %d: %s", child.code, code, child.err);
    CHECK(strstr(child.err, says1) != NULL, "no '%s' in: %s", says1, child.err);
    CHECK(strstr(child.err, says2) != NULL, "no '%s' in: %s", says2, child.err);
}

TEST(fault_codebooks_of_two_shards) {
    gato_config_t c = narrow();
    shard_spec_t other = control;
    other.code_value = 0.5f;
    check_refused(make_shard("book_a.lmdb", &control), make_shard("book_b.lmdb", &other), &c,
                  RC_MISFIT, "00000000000000000000000000000000",
                  "11111111111111111111111111111111");
}

TEST(fault_action_widths_of_two_shards) {
    gato_config_t c = narrow();
    shard_spec_t other = control;
    other.actions = 3;
    check_refused(make_shard("width_a.lmdb", &control), make_shard("width_b.lmdb", &other), &c,
                  RC_MISFIT, "actions", "2 and 3");
}

TEST(fault_timestep_longer_than_the_context) {
    gato_config_t c = narrow();
    c.model.context = 7;
    check_refused(make_shard("long.lmdb", &control), NULL, &c, RC_USAGE, "8", "7");
}

TEST(fault_missing_shard) {
    gato_config_t c = narrow();
    check_refused("/nonexistent/x.lmdb", NULL, &c, RC_USAGE, "x.lmdb", "");
}

TEST(fault_pixels_wanted_and_not_kept) {
    gato_config_t c = narrow();
    c.model.image_in = IMAGE_IN_PATCHES;
    check_refused(make_shard("codes_only.lmdb", &control), NULL, &c, RC_MISFIT, "pixels",
                  "episode_");
}
