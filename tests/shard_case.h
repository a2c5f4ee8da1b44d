/* shard_case.h - small token shards of known contents: what the tests of the dataset share. */
#ifndef TESTS_SHARD_CASE_H
#define TESTS_SHARD_CASE_H

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

/* A shard of control episodes; record i has steps[i] timesteps, value = 100 i + t. Beside them
 * texts, in a task of their own. */
typedef struct {
    uint32_t codes, actions;
    float code_value;
    const uint32_t *steps;
    size_t n;
    size_t texts, text_len;
    const char *task, *vector;       /* names; NULL = "arm", "state" */
    const char *arguments;           /* NULL = "{}" */
    float first_action;              /* of record 0 */
    float first_label, first_state;  /* likewise; a label that is not 0 adds labels */
    uint32_t first_code, first_word; /* likewise, of a text */
    bool unfinished, no_records;
    bool counted;    /* all codes of step t of record i are (i + t) % codes; at most 64 codes */
    uint32_t second; /* width of another observed vector, "extra"; 0 = none */
    const float *rewards; /* [n] of the first step of each record, NULL = none have rewards */
    bool halves;          /* records 2 j and 2 j + 1 are the halves of episode j */
} shard_spec_t;

static inline void put(token_db_t *db, const token_record_t *r) {
    reason_t why = {""};
    if (token_db_put(db, r, &why)) {
        fprintf(stderr, "put: %s\n", why.text);
        exit(1);
    }
}

static inline task_t arm_of(const shard_spec_t *s) {
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

static inline void put_episode(token_db_t *db, const shard_spec_t *s, const task_t *task,
                               size_t i) {
    char key[32];
    uint32_t T = s->steps[i], *codes = xcalloc(T * 4, sizeof *codes);
    float *value = xcalloc(T, sizeof *value), *extra = xcalloc((size_t)T * s->second + 1, 4),
          *action = xcalloc((size_t)T * s->actions, sizeof *action);
    for (uint32_t t = 0; t < T; t++) value[t] = (float)(100 * i + t);
    for (uint32_t k = 0; s->counted && k < 4 * T; k++) codes[k] = ((uint32_t)i + k / 4) % s->codes;
    float *label = xcalloc((size_t)T * s->actions, sizeof *label);
    if (!i) {
        action[0] = s->first_action;
        label[0] = s->first_label;
        value[0] += s->first_state;
        codes[0] = s->first_code;
    }
    token_record_t r = {
        .task = 0,
        .T = T,
        .key = key,
        .key_len = (uint32_t)snprintf(key, sizeof key, "episode_%zu", s->halves ? i / 2 : i),
        .source = "s",
        .source_len = 1,
        .first_step = s->halves && i % 2 ? s->steps[i - 1] : 0};
    float *reward = xcalloc(T, sizeof *reward);
    if (s->rewards) {
        reward[0] = s->rewards[i];
        r.rewards = reward;
    }
    int image = task_first(task, SIDE_OBSERVED, SLOT_IMAGE);
    if (image >= 0)
        r.slot[image] =
            (slot_data_t){.codes = codes, .grid_h = 2, .grid_w = 2, .image_h = 16, .image_w = 16};
    r.slot[task_find(task, SIDE_OBSERVED, s->vector ? s->vector : "state")].vector = value;
    if (s->second) r.slot[task_find(task, SIDE_OBSERVED, "extra")].vector = extra;
    slot_data_t *acted = &r.slot[task_first(task, SIDE_ACTED, SLOT_VECTOR)];
    acted->vector = action;
    if (s->first_label != 0) acted->label_vector = label;
    put(db, &r);
    free(reward);
    free(label);
    free(codes);
    free(value);
    free(extra);
    free(action);
}

static inline void put_text(token_db_t *db, const shard_spec_t *s, uint32_t task, size_t i) {
    char key[32];
    uint32_t *text = xcalloc(s->text_len, sizeof *text);
    for (size_t k = 0; k < s->text_len; k++) text[k] = (uint32_t)k % 256;
    if (!i) text[0] = s->first_word;
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

static inline const char *make_shard(const char *name, const shard_spec_t *s) {
    const char *path = in_folder(name);
    float codebook[128];
    for (int i = 0; i < 128; i++) codebook[i] = s->code_value + (float)i;
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
    for (size_t i = 0; i < s->n && !s->no_records; i++) put_episode(db, s, &m.tasks.v[0], i);
    for (size_t i = 0; i < s->texts && !s->no_records; i++)
        put_text(db, s, (uint32_t)m.tasks.n - 1, i);
    if (token_db_commit(db, &why)) exit(1);
    token_db_close(db);
    tasks_release(&m.tasks);
    return path;
}

static inline gato_config_t plain(void) {
    gato_config_t c;
    config_defaults(gato_config_table, &c);
    return c;
}

static inline dataset_t *open_one(const char *spec, const gato_config_t *c) {
    cli_list_t l = {&spec, 1, 1};
    return dataset_open(&l, c, &(dataset_opts_t){.tasks = NULL});
}

static inline dataset_t *open_two(const char *a, const char *b, const gato_config_t *c) {
    const char *item[] = {a, b};
    return dataset_open(&(cli_list_t){item, 2, 2}, c, &(dataset_opts_t){.tasks = NULL});
}

enum { ALL = UINT32_MAX };

static const uint32_t thirty[] = {9, 3, 1, 2, 40, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
                                  7, 7, 7, 7, 7,  7, 7, 7, 7, 7, 7, 7, 7, 7, 12};
static const shard_spec_t control = {.codes = 4, .actions = 2, .steps = thirty, .n = 30};

/* 4 codes + 1 number + separator + 2 actions: 8 tokens, 5 steps in 40. */
static inline gato_config_t narrow(void) {
    gato_config_t c = plain();
    c.model.context = 40;
    c.data.holdout = 0.3;
    return c;
}

static inline uint32_t record_of(const sequence_t *w) {
    int k = task_first(w->of, SIDE_OBSERVED, SLOT_VECTOR);
    return (uint32_t)(w->record.slot[k].vector[0] / 100);
}

#endif
