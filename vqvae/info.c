/* info.c - `vqvae info`: what a RUN is, as JSON on stdout and as a table on stderr. */
#include "common/base/table.h"
#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "common/io/utf8.h"
#include "vqvae/commands.h"
#include "vqvae/data.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
    vqvae_t *model;
    const char *run, *kind; /* kind: quantizer.kind of the training, NULL = not known */
    size_t parameters;
    int64_t step; /* of the last checkpoint, -1 = none */
} run_info_t;

/* The same for people. */
static void print_table(const run_info_t *r) {
    char text[256];
    const vqvae_config_t *c = vqvae_config(r->model);
    size_t w, h, stride = vqvae_stride(c);
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
        table_format(&t, "%zu x %zu, one per %zu x %zu pixels", w / stride, h / stride, stride,
                     stride);
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

int cmd_vqvae_info(int argc, char **argv) {
    cli_list_t runs = {0};
    const cli_opt_t options[] = {{"", CLI_LIST, &runs, "RUN", "folder of a tokenizer", true}, {0}};
    cli_parse(argc, argv, "info", "what a RUN is: a JSON object on stdout, a table on stderr",
              (const cli_opt_t *const[]){options}, 1);
    for (size_t i = 0; i < runs.n; i++) {
        reason_t why;
        vqvae_t *v = vqvae_open_or_die(runs.item[i]);
        const vqvae_config_t *c = vqvae_config(v);
        size_t parameters = 0, w, h;
        params_t *p = vqvae_params(v);
        for (size_t j = 0; j < params_n(p); j++) parameters += params_at(p, (int)j)->count;
        vqvae_preprocess_size(v, &w, &h);
        jsonw_t out = {0};
        jsonw_begin(&out);
        jsonw_str(&out, "run", runs.item[i]);
        jsonw_int(&out, "parameters", (int64_t)parameters);
        jsonw_int(&out, "codes", (int64_t)c->codes);
        jsonw_int(&out, "code_dim", (int64_t)c->vq_embed_dim);
        jsonw_int(&out, "stride", (int64_t)vqvae_stride(c));
        jsonw_open(&out, "block_out_channels", '[');
        for (size_t j = 0; j < c->levels; j++) jsonw_int(&out, NULL, (int64_t)c->channels[j]);
        jsonw_close(&out, ']');
        if (w) {
            jsonw_open(&out, "size", '[');
            jsonw_int(&out, NULL, (int64_t)w);
            jsonw_int(&out, NULL, (int64_t)h);
            jsonw_close(&out, ']');
            jsonw_int(&out, "tokens", (int64_t)(w / vqvae_stride(c) * (h / vqvae_stride(c))));
        } else {
            jsonw_raw(&out, "size", "null");
            jsonw_raw(&out, "tokens", "null");
        }
        jsonw_raw(&out, "quantizer", vqvae_quantizer_json(v));
        jsonw_raw(&out, "preprocess", vqvae_preprocess_json(v));
        jsonw_str(&out, "fingerprint", vqvae_fingerprint(v));
        jsonw_bool(&out, "trained", vqvae_trained(v));
        char *training = fs_join(runs.item[i], "training.json");
        cJSON *t = fs_exists(training) ? json_parse_file(training, false, &why) : NULL;
        const cJSON *config = cJSON_GetObjectItemCaseSensitive(t, "config"),
                    *recipe = cJSON_GetObjectItemCaseSensitive(config, "quantizer");
        const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(recipe, "kind"));
        if (kind)
            jsonw_str(&out, "quantizer_kind", kind);
        else
            jsonw_raw(&out, "quantizer_kind", "null");
        int64_t step = -1;
        if (json_i64(cJSON_GetObjectItemCaseSensitive(t, "step"), &step))
            jsonw_int(&out, "step", step);
        else
            jsonw_raw(&out, "step", "null");
        puts(jsonw_end(&out));
        print_table(&(run_info_t){v, runs.item[i], kind, parameters, step});
        jsonw_free(&out);
        cJSON_Delete(t);
        free(training);
        vqvae_free(v);
    }
    return RC_OK;
}
