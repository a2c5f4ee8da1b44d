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

/* A shard of control episodes; record i has steps[i] timesteps, value = 100 i + t. Beside them texts,
 * in a task of their own. */
typedef struct {
    uint32_t codes, actions;
    float code_value;
    const uint32_t *steps;
    size_t n;
    size_t texts, text_len;
    const char *task, *vector; /* names; NULL = "arm", "state" */
    const char *arguments;     /* NULL = "{}" */
    float first_action;        /* of record 0 */
    bool unfinished;
    uint32_t second; /* width of another observed vector, "extra"; 0 = none */
} shard_spec_t;

static void put(token_db_t *db, const token_record_t *r) {
    reason_t why = {""};
    if (token_db_put(db, r, &why)) {
        fprintf(stderr, "put: %s\n", why.text);
        exit(1);
    }
}

static task_t arm_of(const shard_spec_t *s) {
    task_t t = task_new(s->task ? s->task : "arm", RECORD_EPISODE);
    if (s->codes) {
        slot_t *image = task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
        image->grid_h = image->grid_w = 2;
        image->image_h = image->image_w = 16;
    }
    task_add(&t, SLOT_VECTOR, SIDE_OBSERVED, s->vector ? s->vector : "state", 1);
    if (s->second) task_add(&t, SLOT_VECTOR, SIDE_OBSERVED, "extra", s->second);
    slot_t *action = task_add(&t, SLOT_VECTOR, SIDE_ACTED, "", s->actions);
    for (uint32_t k = 0; k < s->actions; k++) {
        action->low[k] = -1;
        action->high[k] = 1;
        action->raw[k] = 0;
    }
    return t;
}

static void put_episode(token_db_t *db, const shard_spec_t *s, const task_t *task, size_t i) {
    char key[32];
    uint32_t T = s->steps[i], *codes = xcalloc(T * 4, sizeof *codes);
    float *value = xcalloc(T, sizeof *value), *extra = xcalloc((size_t)T * s->second + 1, 4),
          *action = xcalloc((size_t)T * s->actions, sizeof *action);
    for (uint32_t t = 0; t < T; t++) value[t] = (float)(100 * i + t);
    if (!i) action[0] = s->first_action;
    token_record_t r = {.task = 0,
                        .T = T,
                        .key = key,
                        .key_len = (uint32_t)snprintf(key, sizeof key, "episode_%zu", i),
                        .source = "s",
                        .source_len = 1};
    int image = task_first(task, SIDE_OBSERVED, SLOT_IMAGE);
    if (image >= 0)
        r.slot[image] =
            (slot_data_t){.codes = codes, .grid_h = 2, .grid_w = 2, .image_h = 16, .image_w = 16};
    r.slot[task_find(task, SIDE_OBSERVED, s->vector ? s->vector : "state")].vector = value;
    if (s->second) r.slot[task_find(task, SIDE_OBSERVED, "extra")].vector = extra;
    r.slot[task_first(task, SIDE_ACTED, SLOT_VECTOR)].vector = action;
    put(db, &r);
    free(codes);
    free(value);
    free(extra);
    free(action);
}

static void put_text(token_db_t *db, const shard_spec_t *s, uint32_t task, size_t i) {
    char key[32];
    uint32_t *text = xcalloc(s->text_len, sizeof *text);
    for (size_t k = 0; k < s->text_len; k++) text[k] = (uint32_t)k % 256;
    token_record_t r = {.task = task,
                        .T = 1,
                        .key = key,
                        .key_len = (uint32_t)snprintf(key, sizeof key, "text/%zu", i),
                        .source = "s",
                        .source_len = 1,
                        .first_step = i};
    r.slot[0] = (slot_data_t){.text = text, .text_len = (uint32_t)s->text_len};
    put(db, &r);
    free(text);
}

static const char *make_shard(const char *name, const shard_spec_t *s) {
    const char *path = in_folder(name);
    float codebook[8];
    for (int i = 0; i < 8; i++) codebook[i] = s->code_value + (float)i;
    shard_meta_t m = {.tool = (char *)"test",
                      .arguments = (char *)(s->arguments ? s->arguments : "{}"),
                      .text_tokenizer = (char *)(s->texts ? "byte" : NULL),
                      .text_vocab = s->texts ? 257 : 0,
                      .mu = 100,
                      .M = 256,
                      .complete = !s->unfinished};
    if (s->n) tasks_add(&m.tasks, arm_of(s));
    if (s->texts) {
        task_t text = task_new("text", RECORD_TEXT);
        task_add(&text, SLOT_TEXT, SIDE_OBSERVED, "text", 1);
        tasks_add(&m.tasks, text);
    }
    if (s->codes) {
        m.codes = s->codes, m.code_dim = 2, m.codebook = codebook;
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
    for (size_t i = 0; i < s->n; i++) put_episode(db, s, &m.tasks.v[0], i);
    for (size_t i = 0; i < s->texts; i++) put_text(db, s, (uint32_t)m.tasks.n - 1, i);
    if (token_db_commit(db, &why)) exit(1);
    token_db_close(db);
    tasks_release(&m.tasks);
    return path;
}

static gato_config_t plain(void) {
    gato_config_t c;
    config_defaults(gato_config_table, &c);
    return c;
}

static dataset_t *open_one(const char *spec, const gato_config_t *c) {
    cli_list_t l = {&spec, 1, 1};
    return dataset_open(&l, c, &(dataset_opts_t){.tasks = NULL});
}

static dataset_t *open_two(const char *a, const char *b, const gato_config_t *c) {
    const char *item[] = {a, b};
    return dataset_open(&(cli_list_t){item, 2, 2}, c, &(dataset_opts_t){.tasks = NULL});
}

enum { ALL = UINT32_MAX };

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
    int k = task_first(w->of, SIDE_OBSERVED, SLOT_VECTOR);
    return (uint32_t)(w->record.slot[k].vector[0] / 100);
}

TEST(windows_cover_every_step_once) {
    gato_config_t c = narrow();
    dataset_t *d = open_one(make_shard("cover.lmdb", &control), &c);
    int seen[30][40] = {{0}}, held[30];
    for (int i = 0; i < 30; i++) held[i] = -1;
    for (int side = SIDE_TRAIN; side <= SIDE_VAL; side++) {
        size_t n = dataset_sequences(d, 0, ALL, (side_t)side);
        CHECK(n > 0, "side %d is empty", side);
        for (size_t i = 0; i < n; i++) {
            sequence_t w;
            dataset_sequence(d, 0, ALL, (side_t)side, i, &w);
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
    CHECK(dataset_sequences(d, 0, ALL, SIDE_ALL) ==
          dataset_sequences(d, 0, ALL, SIDE_TRAIN) + dataset_sequences(d, 0, ALL, SIDE_VAL));
    CHECK(dataset_records(d, SIZE_MAX, ALL, SIDE_TRAIN) +
              dataset_records(d, SIZE_MAX, ALL, SIDE_VAL) ==
          30);
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
    dataset_t *d = open_one(make_shard("moments.lmdb", &control), &c);
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
    const task_t *task = &dataset_tasks(d)->v[0];
    const slot_t *slot = &task->slot[task_find(task, SIDE_OBSERVED, "state")];
    REQUIRE(slot->mean && slot->deviation);
    CHECK_NEAR((double)slot->mean[0], sum / n, 1e-3);
    CHECK_NEAR((double)slot->deviation[0], sqrt(squares / n - sum / n * sum / n), 1e-2);
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
    size_t n = dataset_records(d, SIZE_MAX, ALL, SIDE_TRAIN), seen[30] = {0};
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
    CHECK(dataset_sequences(d, 0, ALL, SIDE_ALL) == 9); /* 39 + 39 + 22 and a separator each */
    size_t tokens = 0;
    for (size_t i = 0; i < dataset_sequences(d, 0, ALL, SIDE_ALL); i++) {
        sequence_t w;
        dataset_sequence(d, 0, ALL, SIDE_ALL, i, &w);
        CHECK(w.n_steps == 1 && w.text_len <= 39 && w.text_first % 39 == 0);
        tokens += w.text_len;
        sequence_release(&w);
    }
    CHECK(tokens == 300);
    dataset_close(d);
}

/* ---- several sources, several tasks ---- */

/* Draws n samples; counts those of the text task, and how often each record of it came. */
static size_t draw(const dataset_t *d, size_t n, size_t *seen, size_t records) {
    size_t texts = 0;
    for (size_t i = 0; i < n; i++) {
        sequence_t w;
        dataset_sample(d, 7, i / 4, i % 4, 4, &w);
        if (w.of->kind == RECORD_TEXT) {
            texts++;
            if (seen && w.record.first_step < records) seen[w.record.first_step]++;
        }
        sequence_release(&w);
    }
    return texts;
}

TEST(sources_are_mixed_by_weight) {
    gato_config_t c = narrow();
    const shard_spec_t text = {.codes = 4, .texts = 10, .text_len = 5};
    char spec[2][500];
    snprintf(spec[0], 500, "%s=3", make_shard("mix_a.lmdb", &control));
    snprintf(spec[1], 500, "%s=1", make_shard("mix_b.lmdb", &text));
    dataset_t *d = open_two(spec[0], spec[1], &c);
    CHECK(dataset_sources(d) == 2 && dataset_tasks(d)->n == 2 &&
          dataset_vocabulary(d)->codes == 4 && dataset_vocabulary(d)->text == 257);
    for (size_t n = 64; n <= 4096; n *= 2) { /* after whole blocks: exact but for rounding */
        size_t texts = draw(d, n, NULL, 0);
        CHECK(texts + 1 >= n / 4 && texts <= n / 4 + 1, "%zu of %zu", texts, n);
    }
    dataset_close(d);
}

/* Whatever its weight, a source gives each record once before any twice. */
TEST(a_weighted_source_has_no_gaps) {
    gato_config_t c = narrow();
    c.data.holdout = 0;
    enum { TEXTS = 57 };
    const shard_spec_t text = {.texts = TEXTS, .text_len = 5};
    char spec[2][500];
    snprintf(spec[0], 500, "%s", make_shard("gap_a.lmdb", &control));
    snprintf(spec[1], 500, "%s=0.31", make_shard("gap_b.lmdb", &text));
    dataset_t *d = open_two(spec[0], spec[1], &c);
    size_t seen[TEXTS] = {0}, drawn = 0;
    for (size_t i = 0; i < 3000; i++) {
        sequence_t w;
        dataset_sample(d, 7, i / 4, i % 4, 4, &w);
        if (w.of->kind == RECORD_TEXT) {
            size_t *times = &seen[w.record.first_step];
            CHECK(*times == drawn / TEXTS, "draw %zu: record %llu came %zu times before", drawn,
                  (unsigned long long)w.record.first_step, *times);
            (*times)++;
            drawn++;
        }
        sequence_release(&w);
    }
    CHECK(drawn > 3 * TEXTS, "%zu draws", drawn);
    dataset_close(d);
}

/* A batch mixes: no place of a batch is bound to a source. */
TEST(every_place_of_a_batch_sees_every_source) {
    gato_config_t c = narrow();
    const shard_spec_t text = {.texts = 10, .text_len = 5};
    dataset_t *d =
        open_two(make_shard("bind_a.lmdb", &control), make_shard("bind_b.lmdb", &text), &c);
    size_t texts[4] = {0};
    for (uint64_t step = 0; step < 256; step++)
        for (size_t i = 0; i < 4; i++) {
            sequence_t w;
            dataset_sample(d, 3, step, i, 4, &w);
            texts[i] += w.of->kind == RECORD_TEXT;
            sequence_release(&w);
        }
    for (size_t i = 0; i < 4; i++)
        CHECK(texts[i] > 90 && texts[i] < 166, "place %zu: %zu of 256", i, texts[i]);
    dataset_close(d);
}

/* One shard of two tasks: by data it is one source, by task they are equal. */
TEST(tasks_have_equal_shares_where_asked) {
    gato_config_t c = narrow();
    shard_spec_t both = control;
    both.texts = 5, both.text_len = 7;
    const char *path = make_shard("both.lmdb", &both);
    dataset_t *d = open_one(path, &c);
    size_t texts = draw(d, 2560, NULL, 0), train = dataset_records(d, 0, 1, SIDE_TRAIN),
           all = dataset_records(d, 0, ALL, SIDE_TRAIN);
    CHECK(dataset_tasks(d)->n == 2 && dataset_sources(d) == 1);
    CHECK(train > 0 && train < 5 && all > train);
    double share = (double)texts / 2560, want = (double)train / (double)all;
    CHECK(share > 0.8 * want && share < 1.2 * want, "%g instead of %g", share, want);
    CHECK(dataset_sequences(d, 0, 0, SIDE_ALL) + dataset_sequences(d, 0, 1, SIDE_ALL) ==
          dataset_sequences(d, 0, ALL, SIDE_ALL));
    dataset_close(d);
    c.data.balance = BALANCE_TASK;
    d = open_one(path, &c);
    texts = draw(d, 2560, NULL, 0);
    CHECK(texts == 1280, "%zu", texts);
    dataset_close(d);
}

/* Tasks of one name are one; sizes that differ are not known; a slot that one lacks is there. */
TEST(tasks_of_one_name_are_one) {
    gato_config_t c = narrow();
    shard_spec_t more = control;
    more.second = 2;
    dataset_t *d =
        open_two(make_shard("one_a.lmdb", &control), make_shard("one_b.lmdb", &more), &c);
    REQUIRE(dataset_tasks(d)->n == 1);
    const task_t *t = &dataset_tasks(d)->v[0];
    CHECK(t->n_slots == 4 && task_find(t, SIDE_OBSERVED, "extra") >= 0);
    for (size_t source = 0; source < 2; source++) {
        sequence_t w;
        REQUIRE(dataset_first_sequence(d, source, 2, &w));
        CHECK(w.of->n_slots == 3 + source && w.task == 0);
        for (uint32_t k = 0; k < w.of->n_slots; k++)
            CHECK_STR(t->slot[w.map[k]].name, w.of->slot[k].name);
        sequence_release(&w);
    }
    dataset_close(d);
}

TEST(without_text_there_is_no_text_vocabulary) {
    gato_config_t c = narrow();
    dataset_t *d = open_one(make_shard("no_text.lmdb", &control), &c);
    CHECK(dataset_vocabulary(d)->text == 0, "%u ids", dataset_vocabulary(d)->text);
    dataset_close(d);
}

TEST(the_manifest_sees_changed_actions) {
    gato_config_t c = narrow();
    shard_spec_t other = control;
    other.first_action = 0.5f;
    dataset_t *a = open_one(make_shard("same_a.lmdb", &control), &c),
              *b = open_one(make_shard("same_b.lmdb", &control), &c),
              *e = open_one(make_shard("same_c.lmdb", &other), &c);
    CHECK(dataset_manifest(a) == dataset_manifest(b));
    CHECK(dataset_manifest(a) != dataset_manifest(e));
    dataset_close(a);
    dataset_close(b);
    dataset_close(e);
}

/* Steps that were picked from an episode are no neighbors: each stands alone. */
TEST(spread_steps_stand_alone) {
    gato_config_t c = narrow();
    shard_spec_t s = control;
    s.arguments = "{\"frames\":9,\"spread\":true}";
    dataset_t *d = open_one(make_shard("spread.lmdb", &s), &c);
    for (size_t i = 0; i < 200; i++) {
        sequence_t w;
        dataset_sample(d, 1, i / 4, i % 4, 4, &w);
        CHECK(w.lone && w.n_steps == (w.n_prompt ? 2 : 1) && w.n_prompt == 0);
        sequence_release(&w);
    }
    CHECK(dataset_kinds(d, ALL).steps == 1 && dataset_kinds(d, ALL).image_steps == 1);
    dataset_close(d);
}

/* ---- a policy's tasks ---- */

static dataset_t *open_with(const char *path, const gato_config_t *c, const dataset_t *policy,
                            bool extend, bool one) {
    return dataset_open(&(cli_list_t){&path, 1, 1}, c,
                        &(dataset_opts_t){.tasks = dataset_tasks(policy),
                                          .vocabulary = dataset_vocabulary(policy),
                                          .extend = extend,
                                          .one_record = one});
}

TEST(a_policy_keeps_what_it_knows) {
    gato_config_t c = narrow();
    shard_spec_t grid = control;
    grid.task = "grid", grid.n = 8, grid.first_action = 0.9f;
    const char *first = make_shard("known.lmdb", &control), *second = make_shard("new.lmdb", &grid);
    dataset_t *policy = open_one(first, &c), *d = open_with(second, &c, policy, true, false);
    const tasks_t *before = dataset_tasks(policy), *now = dataset_tasks(d);
    REQUIRE(now->n == 2);
    char *a = tasks_json(before), *b = tasks_json(&(tasks_t){now->v, 1});
    CHECK_STR(a, b);
    CHECK_STR(now->v[1].name, "grid");
    CHECK(now->v[1].slot[task_first(&now->v[1], SIDE_ACTED, SLOT_VECTOR)].scaling != NULL);
    CHECK(dataset_records(d, SIZE_MAX, 0, SIDE_ALL) == 0 &&
          dataset_records(d, SIZE_MAX, 1, SIDE_ALL) == 8);
    free(a);
    free(b);
    dataset_close(d);
    d = open_with(first, &c, policy, false, true); /* one record: the same sequence */
    sequence_t w, v;
    REQUIRE(dataset_first_sequence(d, 0, 4, &w) && dataset_first_sequence(policy, 0, 4, &v));
    CHECK(record_of(&w) == 4 && w.n_steps == v.n_steps && w.task == v.task);
    sequence_release(&w);
    sequence_release(&v);
    CHECK(!dataset_first_sequence(d, 0, 30, &w));
    dataset_close(d);
    dataset_close(policy);
}

/* ---- refusals: in a child process, as they end it ---- */

typedef struct {
    const char *a, *b;
    gato_config_t c;
    const char *policy; /* a shard whose tasks a policy knows, or NULL */
} opening_t;

static int open_and_exit(void *ctx) {
    opening_t *o = ctx;
    pool_set_threads(1); /* threads do not survive a fork */
    if (o->policy)
        open_with(o->a, &o->c, open_one(o->policy, &o->c), false, false);
    else if (o->b)
        open_two(o->a, o->b, &o->c);
    else
        open_one(o->a, &o->c);
    return 0;
}

static void check_opening(opening_t *o, int code, const char *says1, const char *says2) {
    static child_t child;
    child_run(open_and_exit, o, &child);
    CHECK(child.code == code, "exit %d instead of %d: %s", child.code, code, child.err);
    CHECK(strstr(child.err, says1) != NULL, "no '%s' in: %s", says1, child.err);
    CHECK(strstr(child.err, says2) != NULL, "no '%s' in: %s", says2, child.err);
}

static void check_refused(const char *a, const char *b, const gato_config_t *c, int code,
                          const char *says1, const char *says2) {
    check_opening(&(opening_t){a, b, *c, NULL}, code, says1, says2);
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
                  RC_MISFIT, "'arm'", "width_b.lmdb");
}

TEST(fault_other_slots_of_one_task) {
    gato_config_t c = narrow();
    shard_spec_t other = control;
    other.vector = "joints";
    check_refused(make_shard("slot_a.lmdb", &control), make_shard("slot_b.lmdb", &other), &c,
                  RC_MISFIT, "state", "joints");
}

TEST(fault_a_task_that_the_policy_does_not_know) {
    gato_config_t c = narrow();
    shard_spec_t grid = control;
    grid.task = "grid";
    const char *known = make_shard("task_a.lmdb", &control),
               *data = make_shard("task_b.lmdb", &grid);
    check_opening(&(opening_t){data, NULL, c, known}, RC_MISFIT, "'grid'", "it knows 'arm'");
}

TEST(fault_unfinished_shard) {
    gato_config_t c = narrow();
    shard_spec_t half = control;
    half.unfinished = true;
    check_refused(make_shard("half.lmdb", &half), NULL, &c, RC_DATA, "not finished", "tokenize");
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
