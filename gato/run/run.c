/* run.c - see run.h. */
#include "gato/run/run.h"

#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "common/io/text/text_tokenizer.h"
#include "common/model/tokenizer.h"
#include "common/nn/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ---- config.json ---- */

char *run_json(const gato_model_t *m) {
    char *config = config_print(gato_config_table, &m->config), *tasks = tasks_json(&m->tasks);
    cJSON *o = vocabulary_json(&m->vocabulary);
    char *vocabulary = cJSON_Print(o);
    if (!vocabulary) die(RC_RUNTIME, "out of memory (config.json)");
    char *text = xasprintf("{\n\"format\": \"gato\",\n\"version\": %d,\n\"config\": %s,\n"
                           "\"vocabulary\": %s,\n\"tasks\": %s\n}\n",
                           GATO_VERSION, config, vocabulary, tasks);
    free(config);
    free(vocabulary);
    free(tasks);
    cJSON_Delete(o);
    return text;
}

size_t run_files(const gato_model_t *m, const char *json, checkpoint_text_t text[2]) {
    const char *words = m->vocabulary.text_file;
    size_t n = 0;
    /* In place before the config.json that names it. */
    if (words) text[n++] = (checkpoint_text_t){GATO_TEXT_FILE, words};
    text[n++] = (checkpoint_text_t){GATO_CONFIG_FILE, json};
    return n;
}

void run_text_release(run_text_t *t) {
    vocabulary_release(&t->vocabulary);
    tasks_release(&t->tasks);
}

/* No action leaves a policy unscaled. */
static int check_scaling(const tasks_t *tasks, reason_t *why) {
    for (size_t i = 0; i < tasks->n; i++)
        for (uint32_t k = 0; k < tasks->v[i].n_slots; k++) {
            const slot_t *slot = &tasks->v[i].slot[k];
            char name[TASK_NAME + 64];
            if (slot->kind == SLOT_VECTOR && slot->side == SIDE_ACTED &&
                (!slot->scale_low || !slot->scale_high || !slot->scaling))
                return reason_set(why, "tasks: '%s' does not say how %s is scaled",
                                  tasks->v[i].name, slot_text(slot, name));
        }
    return 0;
}

/* Bins that were fitted are there where the configuration says so, and as many. */
static int check_bins(const gato_config_t *c, const vocabulary_t *v, const tasks_t *tasks,
                      reason_t *why) {
    bool fast = c->model.bin_kind == BIN_KIND_FAST;
    uint32_t bins = c->model.bin_kind == BIN_KIND_QUANTILE ? (uint32_t)c->model.bins : 0;
    for (size_t i = 0; i < tasks->n; i++)
        for (uint32_t k = 0; k < tasks->v[i].n_slots; k++) {
            const slot_t *slot = &tasks->v[i].slot[k];
            char name[TASK_NAME + 64];
            if (slot->kind != SLOT_VECTOR || slot->side != SIDE_ACTED) continue;
            if (fast && !v->fast) return reason_set(why, "vocabulary: 'fast' is missing");
            if (slot->n_bins != bins)
                return reason_set(why, "tasks: '%s' has %u bins of its own for %s instead of %u",
                                  tasks->v[i].name, slot->n_bins, slot_text(slot, name), bins);
        }
    if (v->fast && !fast) return reason_set(why, "'fast' without model.bin_kind = fast");
    return 0;
}

static int parse_tasks(const cJSON *list, tasks_t *tasks, reason_t *why) {
    char *text = cJSON_PrintUnformatted(list);
    if (!text) return reason_set(why, "'tasks' is missing");
    int rc = tasks_parse(tasks, text, strlen(text), why);
    free(text);
    return rc ? rc : check_scaling(tasks, why);
}

static int check_version(const cJSON *o, reason_t *why) {
    const char *format = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "format"));
    uint64_t version = 0;
    if (!format && cJSON_GetObjectItemCaseSensitive(o, "_class_name"))
        return reason_set(why, "this is an image tokenizer (a RUN of vqvae), no policy");
    if (!format || strcmp(format, "gato"))
        return reason_set(why, "'format' is %s%.40s; that of a policy is gato",
                          format ? "" : "missing", format ? format : "");
    if (!json_u64(cJSON_GetObjectItemCaseSensitive(o, "version"), &version))
        return reason_set(why, "'version' is missing");
    if (version == 1)
        return reason_set(why,
                          "version 1 knew one task only; this program reads version %d: train "
                          "the policy again (tokenize its data again first)",
                          GATO_VERSION);
    if (version != GATO_VERSION)
        return reason_set(why, "version %llu; this program reads version %d",
                          (unsigned long long)version, GATO_VERSION);
    return 0;
}

int run_parse(const char *text, size_t size, run_text_t *t, reason_t *why) {
    *t = (run_text_t){.tasks = {0}};
    config_defaults(gato_config_table, &t->config);
    cJSON *o = json_parse(text, size, false, why);
    if (!o) return RC_DATA;
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(o, "config");
    int rc = RC_OK;
    if (check_version(o, why)) {
        rc = RC_MISFIT;
    } else if (!cJSON_IsObject(config)) {
        reason_set(why, "'config' is missing");
        rc = RC_DATA;
    } else if (config_json(gato_config_table, &t->config, config, why) ||
               gato_config_check(&t->config, why)) {
        rc = RC_MISFIT;
    } else if (vocabulary_parse(&t->vocabulary, cJSON_GetObjectItemCaseSensitive(o, "vocabulary"),
                                why) ||
               parse_tasks(cJSON_GetObjectItemCaseSensitive(o, "tasks"), &t->tasks, why) ||
               check_bins(&t->config, &t->vocabulary, &t->tasks, why)) {
        rc = RC_DATA;
    }
    if (rc) run_text_release(t);
    cJSON_Delete(o);
    return rc;
}

/* The file of the text tokenizer, if it has one: read, and made sure to be that tokenizer's. */
static int read_words(const char *dir, vocabulary_t *v, reason_t *why) {
    enum { MOST = 1 << 28 };
    if (!v->text_tokenizer || !strcmp(v->text_tokenizer, "byte")) return RC_OK;
    char *path = fs_join(dir, GATO_TEXT_FILE);
    uint8_t *text = NULL;
    size_t size;
    reason_t inner;
    int rc = RC_DATA;
    if (!fs_read(path, MOST, &text, &size, why)) {
        text_tokenizer_t *t = text_tokenizer_load(v->text_tokenizer, (char *)text, &rc, &inner);
        if (!t) {
            reason_set(why, "'%s': %s", path, inner.text);
        } else if (text_tokenizer_ids(t) != v->text) {
            rc = RC_MISFIT;
            reason_set(why, "'%s' has %u ids, the policy was trained on %u", path,
                       text_tokenizer_ids(t), v->text);
        } else {
            rc = RC_OK;
            v->text_file = xstrdup(text_tokenizer_file(t));
        }
        text_tokenizer_free(t);
    }
    free(text);
    free(path);
    return rc;
}

/* Do the ids of a timestep's chunks fit into what is kept of them at play? */
static int check_chunks(const run_text_t *t, const fast_t *f, reason_t *why) {
    uint32_t chunk = (uint32_t)t->config.model.chunk;
    for (size_t i = 0; i < t->tasks.n; i++) {
        const task_t *task = &t->tasks.v[i];
        uint64_t D = task_width(task, SIDE_ACTED, SLOT_VECTOR);
        if (D * fast_most(chunk, 1) > FAST_MOST)
            return reason_set(why,
                              "task '%.60s': chunks of %u actions of %llu numbers are too long",
                              task->name, chunk, (unsigned long long)D);
        for (uint32_t k = 0; k < task->n_slots; k++)
            if (task->slot[k].side == SIDE_ACTED && task->slot[k].kind == SLOT_VECTOR &&
                fast_fits(f, task->slot[k].width, why))
                return -1;
    }
    return 0;
}

/* The files of FAST, if it has it: read, and made sure to be the ones that it was trained with. */
static int read_fast(const char *dir, run_text_t *t, reason_t *why) {
    vocabulary_t *v = &t->vocabulary;
    if (!v->fast) return RC_OK;
    char *folder = fs_join(dir, RUN_FAST);
    int rc;
    fast_t *f = fast_open(folder, (uint32_t)t->config.model.chunk, &rc, why);
    if (!f) {
        rc = rc == RC_USAGE ? RC_DATA : rc;
    } else if (fast_ids(f) != v->fast || !v->fast_name ||
               strcmp(fast_fingerprint(f), v->fast_name)) {
        rc = RC_MISFIT;
        reason_set(why, "'%s' is FAST %s of %u ids, the policy was trained with %s of %u", folder,
                   fast_fingerprint(f), fast_ids(f), v->fast_name ? v->fast_name : "another",
                   v->fast);
    } else if (check_chunks(t, f, why)) {
        rc = RC_MISFIT;
    } else {
        rc = RC_OK;
        v->fast_processor = xstrdup(fast_processor(f));
        v->fast_tokenizer = xstrdup(fast_tokenizer(f));
    }
    fast_free(f);
    free(folder);
    return rc;
}

int run_read_text(const char *dir, run_text_t *t, reason_t *why) {
    enum { MOST = 16 << 20 };
    char *path = fs_join(dir, GATO_CONFIG_FILE);
    uint8_t *text = NULL;
    size_t size;
    reason_t inner;
    int rc = fs_exists(path) ? RC_DATA : RC_USAGE;
    if (!fs_read(path, MOST, &text, &size, why)) {
        rc = run_parse((char *)text, size, t, &inner);
        if (rc) reason_set(why, "'%s': %s", path, inner.text);
    }
    free(text);
    free(path);
    if (rc) return rc;
    rc = read_words(dir, &t->vocabulary, why);
    if (!rc) rc = read_fast(dir, t, why);
    if (rc) run_text_release(t);
    return rc;
}

/* ---- weights ---- */

/* The causal masks and the unused token table of NEKO's transformer. */
static bool ignored(const void *context, const char *theirs) {
    static const char *const tail[] = {".attn.bias", ".attn.masked_bias"};
    char name[WEIGHTS_NAME];
    if (!run_name_of_peft(theirs, name)) return false;
    if (!strcmp(name, "transformer.wte.weight")) return true;
    size_t n = strlen(name);
    for (size_t i = 0; i < 2; i++) {
        size_t k = strlen(tail[i]);
        if (!strncmp(name, "transformer.h.", 14) && n > k && !strcmp(name + n - k, tail[i]))
            return true;
    }
    return false;
}

static const weights_names_t names = {.ignored = ignored};

/* Puts `in` in place of the first `out` of the name. */
static void replace(char name[WEIGHTS_NAME], const char *out, const char *in) {
    char *at = strstr(name, out);
    size_t was = strlen(out), is = strlen(in);
    if (!at || strlen(name) - was + is >= WEIGHTS_NAME) return;
    memmove(at + is, at + was, strlen(at + was) + 1);
    memcpy(at, in, is);
}

bool run_name_of_peft(const char *theirs, char out[WEIGHTS_NAME]) {
    if (strlen(theirs) >= WEIGHTS_NAME) return false;
    strcpy(out, theirs);
    replace(out, "transformer.base_model.model.", "transformer.");
    replace(out, ".base_layer.", ".");
    replace(out, ".lora_A.weight", ".lora_A.default.weight");
    replace(out, ".lora_B.weight", ".lora_B.default.weight");
    return true;
}

static bool ours(const void *context, const char *theirs, char out[WEIGHTS_NAME]) {
    return run_name_of_peft(theirs, out);
}

int run_read_neko(gato_model_t *m, st_file_t *file, const char *path, size_t *passed_over,
                  reason_t *why) {
    static const weights_names_t neko = {.ours = ours, .ignored = ignored};
    return weights_read(m->params, file, path, &neko, passed_over, why);
}

static void shape_text(char out[96], int rank, const uint64_t *dim) {
    size_t at = (size_t)snprintf(out, 96, "[");
    for (int d = 0; d < rank && at < 80; d++)
        at +=
            (size_t)snprintf(out + at, 96 - at, "%s%llu", d ? "," : "", (unsigned long long)dim[d]);
    snprintf(out + at, 96 - at, "]");
}

/* Compares config.json with the file before a network of the claimed size takes memory. */
static int check_claim(const run_text_t *text, const st_file_t *file, const char *path,
                       reason_t *why) {
    const gato_config_t *c = &text->config;
    tokens_t tokens = vocabulary_tokens(c, &text->vocabulary);
    uint64_t vocab = tokens_total(&tokens), width = (uint64_t)c->model.width;
    const st_tensor_t *t = st_find(file, "separator_token"),
                      *table = st_find(file, "embed_token.weight"); /* of models with tokens */
    if (!t)
        return reason_set(
            why, "'%s' does not fit its configuration: missing tensor 'separator_token'", path);
    if (t->rank != 1 || t->dim[0] != width)
        return reason_set(why,
                          "'%s' does not fit its configuration: 'separator_token' is not [%llu]",
                          path, (unsigned long long)width);
    if (table && (table->rank != 2 || table->dim[0] != vocab || table->dim[1] != width)) {
        char shape[96];
        shape_text(shape, table->rank, table->dim);
        return reason_set(why,
                          "'%s' does not fit its configuration: 'embed_token.weight' is %s instead "
                          "of [%llu,%llu]",
                          path, shape, (unsigned long long)vocab, (unsigned long long)width);
    }
    if (file->n < (size_t)c->model.layers * 12)
        return reason_set(why, "'%s' holds %zu tensors, too few for %lld layers", path, file->n,
                          (long long)c->model.layers);
    return 0;
}

/* The codebook is a tensor of the file; the vocabulary has it too. */
static int read_codebook(vocabulary_t *v, const st_file_t *file, reason_t *why) {
    const st_tensor_t *t = st_find(file, "image_codes.codebook");
    if (!t || !v->codes) return 0;
    if (t->rank != 2 || t->dim[0] != v->codes || t->dim[1] != v->code_dim)
        return reason_set(why, "'image_codes.codebook' is not [%u,%u]", v->codes, v->code_dim);
    v->codebook = xmalloc(t->count * sizeof *v->codebook);
    return st_read_f32(t, v->codebook, why);
}

static gato_model_t *load_model(run_text_t *text, const char *path, int *rc, reason_t *why) {
    st_file_t file;
    *rc = fs_exists(path) ? RC_DATA : RC_USAGE;
    if (st_open(&file, path, why)) return NULL;
    gato_model_t *m = NULL;
    *rc = RC_MISFIT;
    if (!check_claim(text, &file, path, why) && !read_codebook(&text->vocabulary, &file, why)) {
        m = gato_model_blank(&text->config, &text->vocabulary, &text->tasks);
        *rc = weights_read(m->params, &file, path, &names, NULL, why);
    }
    st_close(&file);
    if (m && *rc) {
        gato_model_free(m);
        m = NULL;
    }
    return m;
}

gato_model_t *run_load(const char *dir, int *rc, reason_t *why) {
    *rc = RC_USAGE;
    if (!fs_is_dir(dir)) {
        reason_set(why, "no policy folder '%s'", dir);
        return NULL;
    }
    run_text_t text;
    *rc = run_read_text(dir, &text, why);
    if (*rc) return NULL;
    char *path = fs_join(dir, GATO_WEIGHTS_FILE);
    gato_model_t *m = load_model(&text, path, rc, why);
    run_text_release(&text);
    free(path);
    return m;
}

gato_model_t *run_open(const char *dir) {
    int rc;
    reason_t why;
    gato_model_t *m = run_load(dir, &rc, &why);
    if (!m) die(rc, "%s", why.text);
    return m;
}

void run_fingerprint(const gato_model_t *m, char out[RUN_FINGERPRINT]) {
    const params_t *p = m->params;
    uint64_t h = 0;
    for (size_t i = 0; i < params_n(p); i++) {
        const param_t *q = params_at(p, (int)i);
        h = XXH64(q->name, strlen(q->name), h);
        h = XXH64(params_ptr((params_t *)p, PARAMS_VALUE, (int)i), q->count * sizeof(float), h);
    }
    snprintf(out, RUN_FINGERPRINT, "%016llx", (unsigned long long)h);
}

int run_write_fast(const gato_model_t *m, const char *dir, reason_t *why) {
    if (!m->fast) return 0;
    const char *const text[] = {fast_processor(m->fast), fast_tokenizer(m->fast)},
                      *const file[] = {FAST_PROCESSOR_FILE, FAST_TOKENIZER_FILE};
    char *folder = fs_join(dir, RUN_FAST);
    int rc = fs_mkdirs(folder, why);
    for (size_t i = 0; i < 2 && !rc; i++) {
        char *path = fs_join(folder, file[i]);
        rc = fs_write(path, text[i], strlen(text[i]), why);
        free(path);
    }
    free(folder);
    return rc ? -1 : 0;
}

int run_save(const gato_model_t *m, int block, const char *dir, reason_t *why) {
    static const char *const all[] = {""};
    char *json = run_json(m);
    checkpoint_text_t text[2];
    checkpoint_t c = {.params = m->params,
                      .weights_file = GATO_WEIGHTS_FILE,
                      .weights_block = block,
                      .weights = all,
                      .n_weights = 1,
                      .text = text,
                      .n_text = run_files(m, json, text)};
    int rc = run_write_fast(m, dir, why) || checkpoint_save_weights(dir, &c, why) ? -1 : 0;
    free(json);
    return rc;
}

int run_copy_tokenizer(const char *from, const char *dir, reason_t *why) {
    char *to = fs_join(dir, RUN_TOKENIZER);
    int rc = tokenizer_copy(from, to, why);
    free(to);
    return rc;
}
