/* import.c - `gato import`: weights that others trained become a RUN, which train --init, eval and
 * trace take.
 *
 * Weights come as safetensors, the configuration as JSON. Everything is checked before the first
 * byte is written: a network is taken whole, or refused with what does not fit. The RUN knows
 * texts, and captioned images where the network takes images; --data adds the tasks of shards.
 */
#include "common/train/import.h"
#include "common/base/cli.h"
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "common/io/text/text_tokenizer.h"
#include "common/train/run_folder.h"
#include "gato/commands.h"
#include "gato/data/dataset.h"
#include "gato/run/foreign.h"
#include "gato/run/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    const char *weights, *config, *bpe, *out;
    cli_list_t data;
    const foreign_t *from;
    gato_config_t network;
    vocabulary_t vocabulary;
    gato_model_t *model;
    size_t ignored;
} import_t;

/* The values lie within the bounds of the table, and fit each other. */
static void check_network(const import_t *m) {
    reason_t why;
    gato_config_t c;
    char *text = config_print(gato_config_table, &m->network);
    cJSON *o = json_parse(text, strlen(text), false, &why);
    config_defaults(gato_config_table, &c);
    if (!o || config_json(gato_config_table, &c, o, &why) || gato_config_check(&c, &why))
        die(RC_MISFIT, "'%s': %s", m->config, why.text);
    cJSON_Delete(o);
    free(text);
}

/* Refuses a network far beyond what the file can hold before any memory is asked for. */
static void check_plausible(const import_t *m) {
    struct stat st;
    double D = (double)m->network.model.width,
           least = D * (double)m->vocabulary.text + 12 * D * D * (double)m->network.model.layers;
    if (!stat(m->weights, &st) && least > (double)st.st_size)
        die(RC_MISFIT, "'%s' describes a network of more than %.0f numbers; '%s' has %jd bytes",
            m->config, least, m->weights, (intmax_t)st.st_size);
}

/* The tokenizer of the network's text ids: --bpe, or bytes. */
static void take_words(import_t *m) {
    int rc;
    reason_t why;
    text_tokenizer_t *t = m->bpe ? text_tokenizer_bpe(m->bpe, &rc, &why) : text_tokenizer_bytes();
    if (!t) die(rc, "--bpe: %s", why.text);
    uint32_t has = text_tokenizer_ids(t), wants = m->vocabulary.text;
    if (m->bpe && has != wants)
        die(RC_MISFIT, "--bpe '%s' has %u ids, the network of '%s' has %u of text", m->bpe, has,
            m->config, wants);
    if (m->bpe) {
        m->vocabulary.text_tokenizer = xstrdup(text_tokenizer_name(t));
        m->vocabulary.text_file = xstrdup(text_tokenizer_file(t));
    } else if (has != wants) {
        warn("'%s' has %u text ids, which are no bytes: without their tokenizer (--bpe) it neither "
             "reads nor writes texts",
             m->config, wants);
    }
    text_tokenizer_free(t);
}

static void describe(import_t *m, const st_file_t *file) {
    size_t size;
    reason_t why;
    uint8_t *text = import_read_config(m->config, &size);
    cJSON *o = json_parse((char *)text, size, false, &why);
    if (!o) die(RC_DATA, "'%s': %s", m->config, why.text);
    if (!cJSON_IsObject(o)) die(RC_DATA, "'%s': not a JSON object", m->config);
    config_defaults(gato_config_table, &m->network);
    m->vocabulary = (vocabulary_t){.mu = 100, .M = 256};
    if (m->from->describe(o, file, &m->network, &m->vocabulary, &why))
        die(RC_MISFIT, "'%s': %s", m->config, why.text);
    check_network(m);
    check_plausible(m);
    take_words(m);
    cJSON_Delete(o);
    free(text);
}

/* Those that `tokenize text` and `tokenize images` write. */
static tasks_t own_tasks(const foreign_t *from) {
    tasks_t list = {0};
    task_t text = task_new("text", RECORD_TEXT), image = task_new("image", RECORD_IMAGE);
    task_add(&text, SLOT_TEXT, SIDE_OBSERVED, "text", 1);
    tasks_add(&list, text);
    if (!from->images) {
        task_release(&image);
        return list;
    }
    task_add(&image, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
    task_add(&image, SLOT_TEXT, SIDE_OBSERVED, "text", 1);
    tasks_add(&list, image);
    return list;
}

static void make_model(import_t *m) {
    tasks_t tasks = own_tasks(m->from);
    if (m->data.n) {
        dataset_opts_t o = {.tasks = &tasks, .vocabulary = &m->vocabulary, .extend = true};
        dataset_t *d = dataset_open(&m->data, &m->network, &o);
        m->model = gato_model_new(&m->network, dataset_vocabulary(d), dataset_tasks(d), 0);
        dataset_close(d);
    } else {
        m->model = gato_model_new(&m->network, &m->vocabulary, &tasks, 0);
    }
    tasks_release(&tasks);
}

static void read_weights(import_t *m) {
    st_file_t file;
    reason_t why, damage;
    if (st_open_parts(&file, m->weights, &why)) die(RC_DATA, "%s", why.text);
    describe(m, &file);
    make_model(m);
    int rc = m->from->read(m->model, &file, m->weights, &m->ignored, &why);
    if (st_parts_end(&file, &damage)) /* before its consequences */
        die(RC_DATA, "'%s': %s", m->weights, damage.text);
    if (rc) die(rc, "%s", why.text);
}

/* The tokenizer is not replaced by its own copy. */
static void check_words(const import_t *m) {
    char *ours = fs_join(m->out, GATO_TEXT_FILE);
    char *theirs = m->bpe ? fs_join(m->bpe, "tokenizer.json") : NULL;
    if (m->bpe && (fs_same(ours, m->bpe) || fs_same(ours, theirs)))
        die(RC_USAGE, "--bpe '%s' lies in --out '%s', where it would be replaced", m->bpe, m->out);
    free(ours);
    free(theirs);
}

static void write_run(const import_t *m, const char *counts) {
    reason_t why;
    if (fs_mkdirs(m->out, &why)) die(RC_RUNTIME, "%s", why.text);
    fs_done_clear(m->out);
    run_folder_clear(m->out); /* what a training left would not fit the new weights */
    int rc = run_save(m->model, PARAMS_VALUE, m->out, &why);
    if (rc) die(rc, "%s", why.text);
    if (fs_done_write(m->out, m->from->name, counts, &why)) die(RC_RUNTIME, "%s", why.text);
}

static void tell(const import_t *m, jsonw_t *w) {
    const gato_model_t *model = m->model;
    size_t numbers = 0;
    for (size_t i = 0; i < params_n(model->params); i++)
        numbers += params_at(model->params, (int)i)->count;
    jsonw_begin(w);
    jsonw_str(w, "from", m->from->name);
    jsonw_int(w, "tensors", (int64_t)params_n(model->params));
    jsonw_int(w, "parameters", (int64_t)numbers);
    jsonw_int(w, "ignored", (int64_t)m->ignored);
    jsonw_int(w, "width", model->config.model.width);
    jsonw_int(w, "layers", model->config.model.layers);
    jsonw_int(w, "heads", model->config.model.heads);
    jsonw_int(w, "context", model->config.model.context);
    jsonw_int(w, "text", model->vocabulary.text);
    jsonw_int(w, "tasks", (int64_t)model->tasks.n);
}

int cmd_gato_import(int argc, char **argv) {
    static const char *const files[] = {GATO_CONFIG_FILE, GATO_WEIGHTS_FILE, GATO_TEXT_FILE};
    import_t m = {.data = {0}};
    const char *from = NULL;
    bool force = false;
    int64_t threads = 0;
    const cli_opt_t options[] = {
        {"--from", CLI_STR, &from, "gpt2|neko",
         "whose tensor names and configuration the files follow", true},
        {"--weights", CLI_STR, &m.weights, "FILE", "safetensors file (F32, F16, BF16 or F64)",
         true},
        {"--config", CLI_STR, &m.config, "FILE", "config.json of GPT-2, or NEKO's args.json", true},
        {"--bpe", CLI_STR, &m.bpe, "PATH",
         "the tokenizer of its texts: a tokenizer.json, or a folder with one or with vocab.json "
         "and merges.txt (default: bytes)",
         false},
        {"--out", CLI_STR, &m.out, "RUN", "folder of the new RUN", true},
        {"--data", CLI_LIST, &m.data, "X.lmdb",
         "a token shard whose tasks the RUN shall know (repeatable)", false},
        {"--force", CLI_FLAG, &force, NULL, "replace an existing RUN", false},
        {"--threads", CLI_INT, &threads, "N", "threads (0 = all processors)", false},
        {0},
    };
    cli_parse(argc, argv, "import", "turn a policy of NEKO, or a GPT-2, into a RUN",
              (const cli_opt_t *const[]){options}, 1);
    m.from = foreign_find(from);
    if (!m.from) die(RC_USAGE, "--from '%s': 'gpt2' or 'neko' is needed", from);
    pool_set_threads((int)threads);
    import_check_weights(m.weights);
    import_check_out(m.out, force, files, sizeof files / sizeof *files, m.weights, m.config);
    check_words(&m);
    read_weights(&m);
    jsonw_t w = {0};
    tell(&m, &w);
    const char *counts = jsonw_end(&w);
    write_run(&m, counts);
    puts(counts);
    jsonw_free(&w);
    gato_model_free(m.model);
    vocabulary_release(&m.vocabulary);
    free(m.data.item);
    return RC_OK;
}
