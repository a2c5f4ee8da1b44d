/* info.c - `vqvae info`: what a RUN is, as JSON on stdout and as a table on stderr. */
#include "common/base/table.h"
#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "common/io/utf8.h"
#include "common/model/kind.h"
#include "common/model/seed.h"
#include "common/model/vqvae.h"
#include "vqvae/commands.h"
#include "vqvae/seed.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
    vqvae_t *model;
    const char *run;
    const char *kind; /* quantizer.kind of the training; NULL = not known */
    size_t parameters;
    int64_t step; /* of the last checkpoint; -1 = none */
} run_info_t;

/* The same for people. */
static void print_table(const run_info_t *r) {
    char text[256];
    const vqvae_config_t *c = vqvae_config(r->model);
    size_t w, h, gw, gh, stride = vqvae_stride(c);
    table_t t;
    vqvae_preprocess_size(r->model, &w, &h);
    table_begin_plain(&t, "ll");
    table_text(&t, "run");
    table_text(&t, utf8_printable(text, sizeof text, r->run));
    table_text(&t, "parameters");
    table_format(&t, "%zu", r->parameters);
    table_text(&t, "image size");
    if (w) {
        table_format(&t, "%zu x %zu", w, h);
        table_text(&t, "codes per image");
        vqvae_grid(c, w, h, &gw, &gh);
        if (vqvae_most_kept(c))
            table_format(&t, "%zu, in order: any first of them are an image", gw);
        else
            table_format(&t, "%zu x %zu, one per %zu x %zu pixels", gw, gh, stride, stride);
    } else {
        table_format(&t, "native, one code per %zu x %zu pixels", stride, stride);
    }
    table_text(&t, "codebook");
    table_format(&t, "%zu codes of width %zu", c->codes, c->vq_embed_dim);
    table_text(&t, "quantizer");
    table_text(&t, r->kind ? utf8_printable(text, sizeof text, r->kind) : NULL);
    table_text(&t, "fingerprint");
    table_text(&t, vqvae_fingerprint(r->model));
    table_text(&t, "trained steps");
    if (r->step >= 0)
        table_format(&t, "%lld", (long long)r->step);
    else
        table_text(&t, NULL);
    table_print(&t);
}

static void print_json(const run_info_t *r) {
    const vqvae_config_t *c = vqvae_config(r->model);
    size_t w, h, stride = vqvae_stride(c);
    jsonw_t out = {0};
    vqvae_preprocess_size(r->model, &w, &h);
    jsonw_begin(&out);
    jsonw_str(&out, "run", r->run);
    jsonw_str(&out, "kind", model_kind(c)->name);
    jsonw_int(&out, "parameters", (int64_t)r->parameters);
    jsonw_int(&out, "codes", (int64_t)c->codes);
    jsonw_int(&out, "code_dim", (int64_t)c->vq_embed_dim);
    jsonw_int(&out, "stride", (int64_t)stride);
    jsonw_open(&out, "block_out_channels", '[');
    for (size_t i = 0; i < c->levels; i++) jsonw_int(&out, NULL, (int64_t)c->channels[i]);
    jsonw_close(&out, ']');
    if (w) {
        jsonw_open(&out, "size", '[');
        jsonw_int(&out, NULL, (int64_t)w);
        jsonw_int(&out, NULL, (int64_t)h);
        jsonw_close(&out, ']');
        jsonw_int(&out, "tokens", (int64_t)vqvae_tokens(c, w, h));
    } else {
        jsonw_raw(&out, "size", "null");
        jsonw_raw(&out, "tokens", "null");
    }
    jsonw_raw(&out, "quantizer", vqvae_quantizer_json(r->model));
    jsonw_raw(&out, "preprocess", vqvae_preprocess_json(r->model));
    jsonw_str(&out, "fingerprint", vqvae_fingerprint(r->model));
    jsonw_bool(&out, "trained", vqvae_trained(r->model));
    if (r->kind)
        jsonw_str(&out, "quantizer_kind", r->kind);
    else
        jsonw_raw(&out, "quantizer_kind", "null");
    if (r->step >= 0)
        jsonw_int(&out, "step", r->step);
    else
        jsonw_raw(&out, "step", "null");
    puts(jsonw_end(&out));
    jsonw_free(&out);
}

static void print_info(const char *run) {
    if (seed_probe(run)) {
        seed_info(run);
        return;
    }
    run_info_t r = {.model = vqvae_open_or_die(run), .run = run, .step = -1};
    params_t *p = vqvae_params(r.model);
    for (size_t i = 0; i < params_n(p); i++) r.parameters += params_at(p, (int)i)->count;
    /* What only a training in this project leaves. */
    char *path = fs_join(run, "training.json");
    reason_t why;
    cJSON *training = fs_exists(path) ? json_parse_file(path, false, &why) : NULL;
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(training, "config"),
                *quantizer = cJSON_GetObjectItemCaseSensitive(config, "quantizer");
    r.kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(quantizer, "kind"));
    if (!json_i64(cJSON_GetObjectItemCaseSensitive(training, "step"), &r.step)) r.step = -1;
    print_json(&r);
    print_table(&r);
    cJSON_Delete(training);
    free(path);
    vqvae_free(r.model);
}

int cmd_vqvae_info(int argc, char **argv) {
    cli_list_t runs = {0};
    const cli_opt_t options[] = {{"", CLI_LIST, &runs, "RUN", "folder of a tokenizer", true}, {0}};
    cli_parse(argc, argv, "info", "what a RUN is: a JSON object on stdout, a table on stderr",
              (const cli_opt_t *const[]){options}, 1);
    for (size_t i = 0; i < runs.n; i++) print_info(runs.item[i]);
    return RC_OK;
}
