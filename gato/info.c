/* info.c - `gato info`: describes a policy, as JSON on stdout and as a table on stderr. */
#include "common/base/cli.h"
#include "common/base/table.h"
#include "common/io/text/json.h"
#include "common/io/utf8.h"
#include "gato/run/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The same for people. */
static void print_table(const char *run, const gato_model_t *m) {
    char text[256];
    const gato_config_t *c = &m->config;
    const gato_facts_t *f = &m->facts;
    table_t t;
    table_begin_plain(&t, "ll");
    table_text(&t, "run");
    table_text(&t, utf8_printable(text, sizeof text, run));
    table_text(&t, "parameters");
    table_format(&t, "%zu", gato_model_parameters(m));
    table_text(&t, "transformer");
    table_format(&t, "width %lld, %lld layers, %lld heads", (long long)c->model.width,
                 (long long)c->model.layers, (long long)c->model.heads);
    table_text(&t, "attention window");
    table_format(&t, "%d timesteps within %lld tokens", m->attn_window,
                 (long long)c->model.context);
    table_text(&t, "vocabulary");
    table_format(&t, "%d ids", tokens_total(&m->tokens));
    table_text(&t, "codebook");
    if (f->codes)
        table_format(&t, "%u codes of width %u, %u x %u per image", f->codes, f->code_dim,
                     f->grid_w, f->grid_h);
    else
        table_text(&t, NULL);
    table_text(&t, "fingerprint");
    table_text(&t, f->fingerprint);
    table_text(&t, "values per step");
    table_format(&t, "%u continuous, %u discrete", f->n_continuous, f->n_discrete);
    table_text(&t, "actions per step");
    table_format(&t, "%u continuous, %u discrete", f->n_actions, f->n_discrete_actions);
    table_print(&t);
}

int cmd_gato_info(int argc, char **argv) {
    cli_list_t run = {0};
    const cli_opt_t table[] = {{"", CLI_LIST, &run, "RUN", "the folder of a policy", true}, {0}};
    cli_parse(argc, argv, "gato info",
              "describe a policy: a JSON object on stdout, a table on stderr",
              (const cli_opt_t *const[]){table}, 1);
    if (run.n != 1) die(RC_USAGE, "give one RUN folder");
    gato_model_t *m = run_open(run.item[0]);
    jsonw_t w;
    jsonw_begin(&w);
    jsonw_int(&w, "parameters", (int64_t)gato_model_parameters(m));
    jsonw_int(&w, "vocabulary", tokens_total(&m->tokens));
    jsonw_int(&w, "text", m->tokens.text);
    jsonw_int(&w, "continuous", tokens_continuous(&m->tokens));
    jsonw_int(&w, "discrete", tokens_discrete(&m->tokens));
    jsonw_int(&w, "timesteps", m->attn_window);
    char *config = config_print(gato_config_table, &m->config);
    cJSON *facts = gato_facts_json(&m->facts),
          *parsed = json_parse(config, strlen(config), false, NULL);
    char *one_line = parsed ? cJSON_PrintUnformatted(parsed) : NULL,
         *facts_line = cJSON_PrintUnformatted(facts);
    if (!one_line || !facts_line) die(RC_RUNTIME, "out of memory (info)");
    jsonw_raw(&w, "config", one_line);
    jsonw_raw(&w, "facts", facts_line);
    puts(jsonw_end(&w));
    print_table(run.item[0], m);
    jsonw_free(&w);
    free(config);
    free(one_line);
    free(facts_line);
    cJSON_Delete(facts);
    cJSON_Delete(parsed);
    gato_model_free(m);
    free(run.item);
    return RC_OK;
}
