/* peft.c - see peft.h. */
#include "gato/run/peft.h"

#include "common/io/fs.h"
#include "common/io/safetensors/safetensors.h"
#include "common/io/text/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of peft's names: before those of the wrapped network. */
static const char WRAPPED[] = "base_model.model.", DEFAULT[] = ".default.weight";

/* ---- writing ---- */

static void put_targets(jsonw_t *w, const char *list) {
    jsonw_open(w, "target_modules", '[');
    for (const char *at = list; *at; at += strspn(at, ",")) {
        size_t n = strcspn(at, ",");
        jsonw_bytes(w, NULL, at, n);
        at += n;
    }
    jsonw_close(w, ']');
}

/* What peft cannot do without, and what says how the numbers are meant. */
static int write_config(const gato_model_t *m, const char *dir, reason_t *why) {
    jsonw_t w;
    jsonw_begin(&w);
    jsonw_raw(&w, "base_model_name_or_path", "null");
    jsonw_str(&w, "bias", "none");
    jsonw_bool(&w, "fan_in_fan_out", true); /* Conv1D */
    jsonw_bool(&w, "inference_mode", true);
    jsonw_num(&w, "lora_alpha", m->config.lora.alpha);
    jsonw_num(&w, "lora_dropout", m->config.lora.dropout);
    jsonw_raw(&w, "modules_to_save", "null");
    jsonw_str(&w, "peft_type", "LORA");
    jsonw_int(&w, "r", m->config.lora.rank);
    put_targets(&w, m->config.lora.targets);
    jsonw_raw(&w, "task_type", "null");
    char *path = fs_join(dir, PEFT_CONFIG), *text = xasprintf("%s\n", jsonw_end(&w));
    int rc = fs_write(path, text, strlen(text), why);
    jsonw_free(&w);
    free(text);
    free(path);
    return rc;
}

int peft_write(const gato_model_t *m, const char *dir, bool bare, reason_t *why) {
    st_writer_t *w = st_writer_new();
    st_writer_meta(w, "format", "pt");
    for (size_t i = 0; i < params_n(m->params); i++) {
        const param_t *p = params_at(m->params, (int)i);
        if (!nn_lora_owns(p->name)) continue;
        const char *of = bare ? p->name + strlen("transformer.") : p->name;
        size_t n = strlen(of) - strlen(DEFAULT);
        char *name = xasprintf("%s%.*s.weight", WRAPPED, (int)n, of);
        st_writer_add(w, name, ST_F32, 2, (uint64_t[]){p->dim[0], p->dim[1]},
                      params_ptr(m->params, PARAMS_VALUE, (int)i));
        free(name);
    }
    char *path = fs_join(dir, PEFT_WEIGHTS);
    int rc = st_write(w, path, why);
    st_writer_free(w);
    free(path);
    return rc ? rc : write_config(m, dir, why);
}

/* ---- reading ---- */

static bool is_empty(const cJSON *item) {
    if (!item || cJSON_IsNull(item) || cJSON_IsFalse(item)) return true;
    return (cJSON_IsArray(item) || cJSON_IsObject(item)) && !item->child;
}

/* Members that change what adapters are or where they stand. */
static int check_kind(const cJSON *o, reason_t *why) {
    static const char *const other[] = {
        "alpha_pattern",           "exclude_modules", "layers_to_transform", "lora_bias",
        "megatron_config",         "modules_to_save", "rank_pattern",        "target_parameters",
        "trainable_token_indices", "use_dora"};
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "peft_type"));
    const char *bias = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "bias"));
    const char *init =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "init_lora_weights"));
    if (!type || strcmp(type, "LORA"))
        return reason_set(why, "peft_type is '%s': only LORA is known", type ? type : "");
    if (bias && strcmp(bias, "none"))
        return reason_set(why, "bias = '%s': only none is known", bias);
    if (init && strcmp(init, "gaussian") && strcmp(init, "orthogonal"))
        return reason_set(why, "init_lora_weights = '%s' has changed the layers themselves", init);
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (!is_empty(cJSON_GetObjectItemCaseSensitive(o, other[i])))
            return reason_set(why, "'%s' is set, which is not known here", other[i]);
    return 0;
}

static int number_of(const cJSON *o, const char *key, double *out, reason_t *why) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!item) return 0; /* the preset stays */
    if (!cJSON_IsNumber(item)) return reason_set(why, "'%s' is no number", key);
    *out = item->valuedouble;
    return 0;
}

static int read_config(const char *path, gato_config_t *c, int *code, reason_t *why) {
    reason_t cause;
    double rank = 8, alpha = 8, dropout = 0; /* peft's presets */
    cJSON *o = json_parse_file(path, false, &cause);
    *code = o ? RC_MISFIT : RC_DATA;
    if (!o) return reason_set(why, "%s", cause.text);
    int rc = cJSON_IsObject(o) ? check_kind(o, &cause) : reason_set(&cause, "no JSON object");
    if (!rc)
        rc = number_of(o, "r", &rank, &cause) || number_of(o, "lora_alpha", &alpha, &cause) ||
             number_of(o, "lora_dropout", &dropout, &cause);
    /* alpha / sqrt(r) instead of alpha / r */
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "use_rslora"))) alpha *= sqrt(rank);
    cJSON_Delete(o);
    if (!rc && !(rank >= 1 && rank <= 1024 && floor(rank) == rank && alpha >= 1e-3 &&
                 alpha <= 1e6 && dropout >= 0 && dropout <= 0.9))
        rc = reason_set(&cause, "r = %g, lora_alpha = %g, lora_dropout = %g is out of range", rank,
                        alpha, dropout);
    if (rc) return reason_set(why, "'%s': %s", path, cause.text);
    c->lora.rank = (int64_t)rank;
    c->lora.alpha = alpha;
    c->lora.dropout = dropout;
    return 0;
}

/* The RUN's name of a tensor; false: it is none of an adapter. */
static bool name_of(const char *theirs, char out[WEIGHTS_NAME]) {
    char name[WEIGHTS_NAME];
    size_t n = strlen(WRAPPED);
    if (strncmp(theirs, WRAPPED, n) || !run_name_of_peft(theirs + n, name)) return false;
    bool bare = !strncmp(name, "h.", 2);
    if (strlen(name) + 12 >= WEIGHTS_NAME) return false;
    snprintf(out, WEIGHTS_NAME, "%s%.*s", bare ? "transformer." : "", WEIGHTS_NAME - 13, name);
    return nn_lora_owns(out);
}

/* The layers that the tensors stand beside, as lora.targets. */
static void find_targets(const st_file_t *file, char *out, size_t size) {
    static const char *const known[] = {"c_attn", "c_proj", "c_fc"};
    *out = 0;
    for (size_t k = 0; k < 3; k++) {
        char part[32];
        snprintf(part, sizeof part, ".%s.lora_A.", known[k]);
        bool any = false;
        for (size_t i = 0; i < file->n; i++) any = any || strstr(file->tensor[i].name, part);
        size_t used = strlen(out);
        if (any) snprintf(out + used, size - used, "%s%s", used ? "," : "", known[k]);
    }
}

static int copy_tensor(params_t *p, const st_tensor_t *t, bool *filled, reason_t *why) {
    char name[WEIGHTS_NAME];
    reason_t cause;
    int i = name_of(t->name, name) ? params_find(p, name) : -1;
    if (i < 0) return reason_set(why, "'%.200s' stands beside no layer of the RUN", t->name);
    const param_t *q = params_at(p, i);
    if (t->rank != 2 || t->dim[0] != q->dim[0] || t->dim[1] != q->dim[1])
        return reason_set(why, "'%.200s' has another shape than the layer's [%zu,%zu]", t->name,
                          q->dim[0], q->dim[1]);
    float *to = params_ptr(p, PARAMS_VALUE, i);
    if (st_read_f32(t, to, &cause)) return reason_set(why, "'%.200s': %s", t->name, cause.text);
    filled[i] = true;
    return 0;
}

/* Fills all adapters, once each. */
static int read_tensors(gato_model_t *m, const st_file_t *file, int *rc, reason_t *why) {
    bool *filled = xcalloc(params_n(m->params) + 1, sizeof *filled);
    int bad = 0;
    *rc = RC_MISFIT;
    for (size_t i = 0; i < file->n && !bad; i++)
        bad = copy_tensor(m->params, &file->tensor[i], filled, why);
    for (size_t i = 0; i < params_n(m->params) && !bad; i++) {
        const param_t *p = params_at(m->params, (int)i);
        if (!nn_lora_owns(p->name)) continue;
        if (!filled[i]) bad = reason_set(why, "there is no '%s'", p->name);
        if (bad || st_finite(params_ptr(m->params, PARAMS_VALUE, (int)i), p->count)) continue;
        *rc = RC_DATA;
        bad = reason_set(why, "'%s' holds a NaN or infinity", p->name);
    }
    free(filled);
    return bad;
}

static gato_model_t *with_adapters(const gato_model_t *base, const gato_config_t *c) {
    gato_model_t *m = gato_model_blank(c, &base->vocabulary, &base->tasks);
    for (size_t i = 0; i < params_n(base->params); i++) {
        const param_t *p = params_at(base->params, (int)i);
        int to = params_find(m->params, p->name);
        if (to < 0) BUG("no parameter '%s'", p->name);
        memcpy(params_ptr(m->params, PARAMS_VALUE, to),
               params_ptr(base->params, PARAMS_VALUE, (int)i), p->count * sizeof(float));
    }
    return m;
}

static gato_model_t *read_folder(const gato_model_t *base, const char *config, const char *weights,
                                 int *rc, reason_t *why) {
    gato_config_t c = base->config;
    st_file_t file;
    reason_t cause;
    *rc = RC_USAGE;
    if (!fs_exists(config)) return reason_set(why, "no file '%s'", config), NULL;
    if (!fs_exists(weights)) return reason_set(why, "no file '%s'", weights), NULL;
    if (read_config(config, &c, rc, why)) return NULL;
    *rc = RC_DATA;
    if (st_open(&file, weights, why)) return NULL;
    *rc = RC_MISFIT;
    find_targets(&file, c.lora.targets, sizeof c.lora.targets);
    gato_model_t *m = NULL;
    if (!*c.lora.targets)
        reason_set(why, "'%s' has no adapters of c_attn, c_proj or c_fc", weights);
    else if (gato_config_check(&c, &cause))
        reason_set(why, "'%s': %s", config, cause.text);
    else
        m = with_adapters(base, &c);
    if (m && read_tensors(m, &file, rc, &cause)) {
        reason_set(why, "'%s': %s", weights, cause.text);
        gato_model_free(m);
        m = NULL;
    }
    st_close(&file);
    return m;
}

gato_model_t *peft_read(const gato_model_t *base, const char *dir, int *rc, reason_t *why) {
    char *config = fs_join(dir, PEFT_CONFIG), *weights = fs_join(dir, PEFT_WEIGHTS);
    gato_model_t *m = read_folder(base, config, weights, rc, why);
    free(config);
    free(weights);
    return m;
}
