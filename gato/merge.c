/* merge.c - `gato merge`: a policy with adapters (LoRA) as one without, whose layers hold the
 * sums. */
#include "common/base/cli.h"
#include "common/base/pool.h"
#include "common/io/text/json.h"
#include "gato/commands.h"
#include "gato/derive.h"

#include <stdio.h>
#include <string.h>

/* The same network without adapters. */
static gato_model_t *without_adapters(const gato_model_t *m) {
    gato_config_t c = m->config, preset;
    config_defaults(gato_config_table, &preset);
    c.lora = preset.lora;
    gato_model_t *plain = gato_model_blank(&c, &m->vocabulary, &m->tasks);
    for (size_t i = 0; i < params_n(plain->params); i++) {
        const param_t *p = params_at(plain->params, (int)i);
        int from = params_find(m->params, p->name);
        if (from < 0) BUG("no parameter '%s'", p->name);
        memcpy(params_ptr(plain->params, PARAMS_VALUE, (int)i),
               params_ptr(m->params, PARAMS_VALUE, from), p->count * sizeof(float));
    }
    return plain;
}

int cmd_gato_merge(int argc, char **argv) {
    const char *model = NULL, *out = NULL;
    bool force = false;
    int64_t threads = 0;
    const cli_opt_t options[] = {
        {"--model", CLI_STR, &model, "RUN", "a policy with adapters", true},
        {"--out", CLI_STR, &out, "RUN", "folder of the policy without", true},
        {"--force", CLI_FLAG, &force, NULL, "replace an existing RUN", false},
        {"--threads", CLI_INT, &threads, "N", "threads (0 = all processors)", false},
        {0},
    };
    cli_parse(argc, argv, "merge", "add a policy's adapters (LoRA) to its layers",
              (const cli_opt_t *const[]){options}, 1);
    pool_set_threads((int)threads);
    gato_model_t *m = run_open(model);
    derive_check(model, out, force);
    if (!m->config.lora.rank) die(RC_USAGE, "'%s' has no adapters to merge", model);
    size_t adapters = 0;
    for (size_t i = 0; i < params_n(m->params); i++)
        adapters += nn_lora_owns(params_at(m->params, (int)i)->name);
    gato_model_merge(m);
    gato_model_t *plain = without_adapters(m);
    jsonw_t w = {0};
    jsonw_begin(&w);
    jsonw_int(&w, "merged", (int64_t)(adapters / 2));
    jsonw_int(&w, "tensors", (int64_t)params_n(plain->params));
    jsonw_int(&w, "parameters", (int64_t)gato_model_parameters(plain));
    const char *counts = jsonw_end(&w);
    derive_run(plain, model, out, "merge", counts);
    puts(counts);
    jsonw_free(&w);
    gato_model_free(plain);
    gato_model_free(m);
    return RC_OK;
}
