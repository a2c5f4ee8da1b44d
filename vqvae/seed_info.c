/* seed_info.c - `vqvae info` of a SEED tokenizer: JSON on stdout, a table on stderr. */
#include "common/base/table.h"
#include "common/io/text/json.h"
#include "common/io/utf8.h"
#include "common/model/seed.h"
#include "vqvae/seed.h"

#include <stdio.h>

static const char *head_text(const seed_config_t *c) {
    static const char *const text[] = {[SEED_HEAD_NONE] = "none",
                                       [SEED_HEAD_REVERSE] = "reverse Q-Former",
                                       [SEED_HEAD_DOWN] = "image_down"};
    return text[c->head];
}

static void print_table(seed_t *s, const char *run, size_t parameters) {
    char text[256];
    const seed_config_t *c = seed_config(s);
    table_t t;
    table_begin_plain(&t, "ll");
    table_text(&t, "run");
    table_text(&t, utf8_printable(text, sizeof text, run));
    table_text(&t, "parameters");
    table_format(&t, "%zu, %.0f MB in memory as %s", parameters, (double)seed_bytes(s) / 1e6,
                 seed_weights_name(c->weights));
    table_text(&t, "image size");
    table_format(&t, "%zu x %zu, patches of %zu", c->image_size, c->image_size, c->patch_size);
    table_text(&t, "codes per image");
    table_format(&t, "%zu in order%s", c->queries,
                 c->causal ? "" : ", each seeing all others (not causal)");
    table_text(&t, "codebook");
    table_format(&t, "%zu codes of width %zu", c->codes, c->code_width);
    table_text(&t, "ViT");
    table_format(&t, "%zu blocks of width %zu, %zu heads", c->vision_layers, c->vision_width,
                 c->vision_heads);
    table_text(&t, "Q-Former");
    table_format(&t, "%zu layers of width %zu, %zu heads", c->layers, c->width, c->heads);
    table_text(&t, "head");
    table_format(&t, "%s, embedding of %zu", head_text(c), c->embedding);
    table_text(&t, "fingerprint");
    table_text(&t, seed_fingerprint(s));
    table_print(&t);
}

void seed_info(const char *run) {
    int rc;
    reason_t why;
    seed_t *s = seed_open(run, &rc, &why);
    if (!s) die(rc, "%s", why.text);
    const seed_config_t *c = seed_config(s);
    size_t parameters = 0;
    for (size_t i = 0; i < params_n(seed_params(s)); i++)
        parameters += params_at(seed_params(s), (int)i)->count;
    jsonw_t out = {0};
    jsonw_begin(&out);
    jsonw_str(&out, "run", run);
    jsonw_int(&out, "parameters", (int64_t)parameters);
    jsonw_int(&out, "codes", (int64_t)c->codes);
    jsonw_int(&out, "code_dim", (int64_t)c->code_width);
    jsonw_open(&out, "size", '[');
    jsonw_int(&out, NULL, (int64_t)c->image_size);
    jsonw_int(&out, NULL, (int64_t)c->image_size);
    jsonw_close(&out, ']');
    jsonw_int(&out, "tokens", (int64_t)c->queries);
    jsonw_bool(&out, "causal", c->causal);
    jsonw_int(&out, "embedding", (int64_t)c->embedding);
    jsonw_str(&out, "weights", seed_weights_name(c->weights));
    jsonw_int(&out, "memory", (int64_t)seed_bytes(s));
    jsonw_raw(&out, "quantizer", seed_quantizer_json(s));
    jsonw_raw(&out, "preprocess", seed_preprocess_json(s));
    jsonw_str(&out, "fingerprint", seed_fingerprint(s));
    jsonw_bool(&out, "trained", true);
    puts(jsonw_end(&out));
    jsonw_free(&out);
    print_table(s, run, parameters);
    seed_free(s);
}
