/* run.c - see run.h. */
#include "gato/run/run.h"

#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "common/nn/weights.h"
#include "common/train/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- config.json ---- */

char *run_json(const gato_model_t *m) {
    char *config = config_print(gato_config_table, &m->config);
    cJSON *o = gato_facts_json(&m->facts);
    char *facts = cJSON_Print(o);
    if (!facts) die(RC_RUNTIME, "out of memory (config.json)");
    char *text =
        xasprintf("{\n\"format\": \"gato\",\n\"version\": %d,\n\"config\": %s,\n\"facts\": %s\n}\n",
                  GATO_VERSION, config, facts);
    free(config);
    free(facts);
    cJSON_Delete(o);
    return text;
}

/* Refuses sizes that no real model has, so that products do not overflow. */
static int check_sizes(const gato_facts_t *f, reason_t *why) {
    const struct {
        const char *what;
        uint32_t v, most;
    } size[] = {{"text_vocab", f->text_vocab, 1 << 24},
                {"n_continuous", f->n_continuous, 1 << 20},
                {"n_discrete", f->n_discrete, 1 << 20},
                {"n_actions", f->n_actions, 1 << 20},
                {"codes", f->codes, 1 << 24},
                {"n_discrete_actions", f->n_discrete_actions, 1 << 20},
                {"grid_h", f->grid_h, 1 << 15},
                {"grid_w", f->grid_w, 1 << 15},
                {"image_h", f->image_h, 1 << 15},
                {"image_w", f->image_w, 1 << 15},
                {"code_dim", f->code_dim, 1 << 16}};
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        if (size[i].v > size[i].most)
            return reason_set(why, "facts: '%s' = %u is beyond %u", size[i].what, size[i].v,
                              size[i].most);
    if (f->codes && !f->code_dim) return reason_set(why, "facts: codes without a width");
    return 0;
}

int run_parse(const char *text, size_t size, gato_config_t *c, gato_facts_t *f, reason_t *why) {
    config_defaults(gato_config_table, c);
    *f = (gato_facts_t){0};
    cJSON *o = json_parse(text, size, false, why);
    if (!o) return RC_DATA;
    const char *format = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "format"));
    uint64_t version = 0;
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, "version"),
                *config = cJSON_GetObjectItemCaseSensitive(o, "config");
    int rc = RC_OK;
    if (!format || strcmp(format, "gato")) {
        reason_set(why, "'format' is %s%s; that of a policy is gato", format ? "" : "missing",
                   format ? format : "");
        rc = RC_MISFIT;
    } else if (!v || !json_u64(v, &version) || version != GATO_VERSION) {
        reason_set(why, "version %llu; this program reads version %d", (unsigned long long)version,
                   GATO_VERSION);
        rc = RC_MISFIT;
    } else if (!cJSON_IsObject(config)) {
        reason_set(why, "'config' is missing");
        rc = RC_DATA;
    } else if (config_json(gato_config_table, c, config, why) || gato_config_check(c, why)) {
        rc = RC_MISFIT;
    } else if (gato_facts_parse(f, cJSON_GetObjectItemCaseSensitive(o, "facts"), why) ||
               check_sizes(f, why)) {
        rc = RC_DATA;
    }
    if (rc) gato_facts_release(f);
    cJSON_Delete(o);
    return rc;
}

/* ---- weights ---- */

/* The causal masks and the unused token table of NEKO's transformer. */
static bool ignored(const void *context, const char *name) {
    if (!strcmp(name, "transformer.wte.weight")) return true;
    size_t n = strlen(name);
    static const char *const tail[] = {".attn.bias", ".attn.masked_bias"};
    for (size_t i = 0; i < 2; i++) {
        size_t k = strlen(tail[i]);
        if (!strncmp(name, "transformer.h.", 14) && n > k && !strcmp(name + n - k, tail[i]))
            return true;
    }
    return false;
}

static const weights_names_t names = {.ignored = ignored};

int run_read_weights(gato_model_t *m, const char *path, reason_t *why) {
    st_file_t f;
    if (st_open(&f, path, why)) return RC_DATA;
    int rc = weights_read(m->params, &f, path, &names, NULL, why);
    st_close(&f);
    return rc;
}

static void shape_text(char out[96], int rank, const uint64_t *dim) {
    size_t at = (size_t)snprintf(out, 96, "[");
    for (int d = 0; d < rank && at < 80; d++)
        at +=
            (size_t)snprintf(out + at, 96 - at, "%s%llu", d ? "," : "", (unsigned long long)dim[d]);
    snprintf(out + at, 96 - at, "]");
}

/* Compares config.json with the file before a network of the claimed size takes memory. */
static int check_claim(const gato_config_t *c, const gato_facts_t *f, const st_file_t *file,
                       const char *path, reason_t *why) {
    tokens_t tokens = gato_tokens(c, f);
    const st_tensor_t *t = st_find(file, "embed_token.weight");
    uint64_t vocab = tokens_total(&tokens), width = (uint64_t)c->model.width;
    if (!t)
        return reason_set(
            why, "'%s' does not fit its configuration: missing tensor 'embed_token.weight'", path);
    if (t->rank != 2 || t->dim[0] != vocab || t->dim[1] != width) {
        char shape[96];
        shape_text(shape, t->rank, t->dim);
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

static gato_model_t *load_model(const gato_config_t *c, const gato_facts_t *f, const char *path,
                                int *rc, reason_t *why) {
    st_file_t file;
    *rc = fs_exists(path) ? RC_DATA : RC_USAGE;
    if (st_open(&file, path, why)) return NULL;
    gato_model_t *m = NULL;
    *rc = RC_MISFIT;
    if (!check_claim(c, f, &file, path, why)) {
        m = gato_model_blank(c, f);
        *rc = weights_read(m->params, &file, path, &names, NULL, why);
    }
    st_close(&file);
    if (m && *rc) {
        gato_model_free(m);
        m = NULL;
    }
    if (!m) return NULL;
    int at = params_find(m->params, "image_codes.codebook");
    if (at >= 0) {
        m->facts.codebook = xmalloc(params_at(m->params, at)->count * sizeof(float));
        params_export(m->params, PARAMS_VALUE, at, m->facts.codebook);
    }
    return m;
}

gato_model_t *run_load(const char *dir, int *rc, reason_t *why) {
    *rc = RC_USAGE;
    if (!fs_is_dir(dir)) {
        reason_set(why, "no policy folder '%s'", dir);
        return NULL;
    }
    char *config_path = fs_join(dir, GATO_CONFIG_FILE),
         *weights_path = fs_join(dir, GATO_WEIGHTS_FILE);
    uint8_t *text = NULL;
    size_t size;
    gato_config_t c;
    gato_facts_t f = {0};
    gato_model_t *m = NULL;
    reason_t inner;
    if (fs_exists(config_path)) *rc = RC_DATA;
    if (fs_read(config_path, (size_t)16 << 20, &text, &size, why)) goto end;
    *rc = run_parse((char *)text, size, &c, &f, &inner);
    if (*rc) {
        reason_set(why, "'%s': %s", config_path, inner.text);
        goto end;
    }
    m = load_model(&c, &f, weights_path, rc, why);
    gato_facts_release(&f);
end:
    free(text);
    free(config_path);
    free(weights_path);
    return m;
}

gato_model_t *run_open(const char *dir) {
    int rc;
    reason_t why;
    gato_model_t *m = run_load(dir, &rc, &why);
    if (!m) die(rc, "%s", why.text);
    return m;
}

int run_save(const gato_model_t *m, const char *dir, reason_t *why) {
    static const char *const all[] = {""};
    char *json = run_json(m);
    checkpoint_text_t text = {GATO_CONFIG_FILE, json};
    checkpoint_t c = {.params = m->params,
                      .weights_file = GATO_WEIGHTS_FILE,
                      .weights_block = PARAMS_VALUE,
                      .weights = all,
                      .n_weights = 1,
                      .text = &text,
                      .n_text = 1};
    int rc = checkpoint_save_weights(dir, &c, why);
    free(json);
    return rc;
}
