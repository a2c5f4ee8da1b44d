/* foreign_gpt2.c - GPT-2 (Radford et al. 2019) as Hugging Face stores it in transformers:
 * config.json and tensors "h.0.attn.c_attn.weight", with "transformer." before them or not.
 *
 * Its blocks are ours. wte becomes the text rows of the token table and of the token head, which
 * are two parameters from then on; lm_head, where a file has one, is the head's. wpe becomes the
 * inner positions: a text is one timestep, so token i has position i. The ids beyond text have no
 * rows in GPT-2. Theirs in the table are drawn with the mean and deviation that each column of wte
 * has; in the head they are the mean of all text rows, so that their logits are the mean of the
 * text's.
 */
#include "gato/run/foreign.h"

#include "common/io/text/json.h"
#include "common/nn/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "transformer."

/* ---- configuration ---- */

static int activation(const cJSON *o, int *out, reason_t *why) {
    static const struct {
        const char *name;
        int kind; /* model.activation */
    } known[] = {{"gelu_new", 1}, {"gelu_pytorch_tanh", 1}, {"gelu", 0}};
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, "activation_function");
    const char *name = item ? cJSON_GetStringValue(item) : "gelu_new";
    for (size_t i = 0; name && i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i].name, name)) {
            *out = known[i].kind;
            return 0;
        }
    return reason_set(why,
                      "'activation_function' is '%.60s'; gelu_new, gelu_pytorch_tanh and gelu are "
                      "supported",
                      name ? name : "?");
}

/* Switches that would change the network. */
static int check_switches(const cJSON *o, int64_t width, reason_t *why) {
    static const struct {
        const char *key;
        bool want;
    } use[] = {{"scale_attn_weights", true},
               {"scale_attn_by_inverse_layer_idx", false},
               {"add_cross_attention", false}};
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "model_type"));
    int64_t inner;
    if (type && strcmp(type, "gpt2"))
        return reason_set(why, "'model_type' is '%.60s', not gpt2", type);
    for (size_t i = 0; i < sizeof use / sizeof *use; i++)
        if (foreign_flag(o, use[i].key, use[i].want) != use[i].want)
            return reason_set(why, "'%s' must be %s", use[i].key, use[i].want ? "true" : "false");
    if (foreign_integer(o, "n_inner", 4 * width, &inner, why)) return -1;
    if (inner != 4 * width)
        return reason_set(why, "'n_inner' is %lld; 4 n_embd = %lld is needed", (long long)inner,
                          (long long)(4 * width));
    const cJSON *eps = cJSON_GetObjectItemCaseSensitive(o, "layer_norm_epsilon");
    if (eps && !(fabs(eps->valuedouble - 1e-5) < 1e-9))
        return reason_set(why, "'layer_norm_epsilon' must be 1e-5");
    return 0;
}

static int describe(const cJSON *o, const st_file_t *file, gato_config_t *c, vocabulary_t *v,
                    reason_t *why) {
    (void)file;
    int64_t text, context;
    if (foreign_integer(o, "n_embd", 0, &c->model.width, why) ||
        foreign_integer(o, "n_layer", 0, &c->model.layers, why) ||
        foreign_integer(o, "n_head", 0, &c->model.heads, why) ||
        foreign_integer(o, "vocab_size", 0, &text, why) ||
        foreign_integer(o, "n_ctx", 1024, &context, why) ||
        foreign_integer(o, "n_positions", context, &c->model.context, why) ||
        activation(o, &c->model.activation, why) || check_switches(o, c->model.width, why))
        return -1;
    v->text = (uint32_t)text;
    return 0;
}

/* ---- tensors ---- */

static bool our_name(const void *context, const char *theirs, char out[WEIGHTS_NAME]) {
    (void)context;
    size_t skip = strncmp(theirs, PREFIX, strlen(PREFIX)) ? 0 : strlen(PREFIX);
    snprintf(out, WEIGHTS_NAME, "%s", theirs + skip);
    return true;
}

/* context: has the file the prefix? lm_head never has it. */
static bool their_name(const void *context, const char *ours, char out[WEIGHTS_NAME]) {
    const bool *prefix = context;
    snprintf(out, WEIGHTS_NAME, "%s%s", *prefix && strcmp(ours, "lm_head.weight") ? PREFIX : "",
             ours);
    return true;
}

/* Causal masks. */
static bool ignored_name(const void *context, const char *name) {
    static const char *const tail[] = {".attn.bias", ".attn.masked_bias"};
    (void)context;
    size_t n = strlen(name);
    for (size_t i = 0; i < 2; i++) {
        size_t k = strlen(tail[i]);
        if (n > k && !strcmp(name + n - k, tail[i])) return true;
    }
    return false;
}

static void declare(params_t *p, const char *name, size_t a, size_t b) {
    params_get(p, name, b ? 2 : 1, (size_t[]){a, b}, LAYOUT_SAME, init_zero());
}

/* GPT-2's parameters under its own names. */
static params_t *network(const gato_model_t *m, bool head) {
    params_t *p = params_blank();
    size_t D = (size_t)m->config.model.width, V = m->vocabulary.text;
    static const struct {
        const char *name;
        size_t in, out; /* in widths; 0 = of one axis */
    } layer[] = {
        {"ln_1.weight", 0, 1},      {"ln_1.bias", 0, 1},          {"attn.c_attn.weight", 1, 3},
        {"attn.c_attn.bias", 0, 3}, {"attn.c_proj.weight", 1, 1}, {"attn.c_proj.bias", 0, 1},
        {"ln_2.weight", 0, 1},      {"ln_2.bias", 0, 1},          {"mlp.c_fc.weight", 1, 4},
        {"mlp.c_fc.bias", 0, 4},    {"mlp.c_proj.weight", 4, 1},  {"mlp.c_proj.bias", 0, 1}};
    declare(p, "wte.weight", V, D);
    declare(p, "wpe.weight", (size_t)m->config.model.context, D);
    for (int64_t i = 0; i < m->config.model.layers; i++)
        for (size_t k = 0; k < sizeof layer / sizeof *layer; k++) {
            char name[64];
            snprintf(name, sizeof name, "h.%lld.%s", (long long)i, layer[k].name);
            if (layer[k].in)
                declare(p, name, layer[k].in * D, layer[k].out * D);
            else
                declare(p, name, layer[k].out * D, 0);
        }
    declare(p, "ln_f.weight", D, 0);
    declare(p, "ln_f.bias", D, 0);
    if (head) declare(p, "lm_head.weight", V, D);
    return p;
}

static float *value_of(params_t *p, const char *name, size_t *count) {
    int i = params_find(p, name);
    if (i < 0) BUG("no parameter '%s'", name);
    if (count) *count = params_at(p, i)->count;
    return params_ptr(p, PARAMS_VALUE, i);
}

/* Rows V .. all of a table [all,D] after its first V: the mean of each column, plus draws of its
 * deviation where `drawn`. */
static void fill_rows(float *table, size_t V, size_t all, size_t D, bool drawn) {
    rng_t rng = rng_make(0, "import.gpt2.rows");
    for (size_t d = 0; d < D; d++) {
        double mean = 0, square = 0;
        for (size_t i = 0; i < V; i++) mean += (double)table[i * D + d] / (double)V;
        for (size_t i = 0; i < V; i++) {
            double off = (double)table[i * D + d] - mean;
            square += off * off / (double)V;
        }
        for (size_t i = V; i < all; i++)
            table[i * D + d] = (float)(mean + (drawn ? sqrt(square) : 0) *
                                                  (double)rng_normal(rng, (i - V) * D + d));
    }
}

static void copy(gato_model_t *m, params_t *from, bool head) {
    size_t D = (size_t)m->config.model.width, V = m->vocabulary.text,
           all = tokens_total(&m->tokens), places = (size_t)m->config.model.context;
    float *table = value_of(m->params, "embed_token.weight", NULL),
          *logits = value_of(m->params, "predict_token.weight", NULL);
    memcpy(table, value_of(from, "wte.weight", NULL), V * D * sizeof *table);
    memcpy(logits, value_of(from, head ? "lm_head.weight" : "wte.weight", NULL),
           V * D * sizeof *logits);
    fill_rows(table, V, all, D, true);
    fill_rows(logits, V, all, D, false);
    memcpy(value_of(m->params, "pos_embed_observation.weight", NULL),
           value_of(from, "wpe.weight", NULL), places * D * sizeof *table);
    for (size_t i = 0; i < params_n(from); i++) {
        const param_t *p = params_at(from, (int)i);
        char name[128];
        size_t ours = 0;
        if (strncmp(p->name, "h.", 2) && strncmp(p->name, "ln_f.", 5)) continue;
        snprintf(name, sizeof name, PREFIX "%s", p->name);
        float *to = value_of(m->params, name, &ours);
        if (ours != p->count) BUG("'%s' has %zu numbers, not %zu", name, ours, p->count);
        memcpy(to, params_ptr(from, PARAMS_VALUE, (int)i), ours * sizeof *to);
    }
}

static int read_weights(gato_model_t *m, st_file_t *file, const char *path, size_t *ignored,
                        reason_t *why) {
    bool head = st_find(file, "lm_head.weight"), prefix = st_find(file, PREFIX "wte.weight");
    weights_names_t names = {
        .ours = our_name, .theirs = their_name, .ignored = ignored_name, .context = &prefix};
    params_t *p = network(m, head);
    int rc = weights_read(p, file, path, &names, ignored, why);
    if (!rc) copy(m, p, head);
    params_free(p);
    return rc;
}

const foreign_t foreign_gpt2 = {.name = "gpt2", .describe = describe, .read = read_weights};
