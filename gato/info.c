/* info.c - gato info RUN: what a policy is, one JSON object. */
#include "common/base/cli.h"
#include "common/io/json.h"
#include "gato/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cmd_gato_info(int argc, char **argv) {
    cli_list_t run = {0};
    const cli_opt_t table[] = {{"", CLI_LIST, &run, "RUN", "a policy's folder", true}, {0}};
    cli_parse(argc, argv, "gato info", "What a policy is: sizes, vocabulary, codebook.",
              (const cli_opt_t *const[]){table}, 1);
    if (run.n != 1) die(RC_USAGE, "one RUN folder is needed");
    gato_model_t *m = gato_run_open(run.item[0]);
    jsonw_t w;
    jsonw_begin(&w);
    jsonw_int(&w, "parameters", (int64_t)gato_model_parameters(m));
    jsonw_int(&w, "vocabulary", tokens_total(&m->tokens));
    jsonw_int(&w, "text", m->tokens.text);
    jsonw_int(&w, "continuous", tokens_continuous(&m->tokens));
    jsonw_int(&w, "discrete", tokens_discrete(&m->tokens));
    jsonw_int(&w, "timesteps", m->band);
    char *config = config_print(gato_config_table, &m->config);
    cJSON *facts = gato_facts_json(&m->facts),
          *parsed = json_parse(config, strlen(config), false, NULL);
    char *one_line = parsed ? cJSON_PrintUnformatted(parsed) : NULL,
         *facts_line = cJSON_PrintUnformatted(facts);
    if (!one_line || !facts_line) die(RC_RUNTIME, "out of memory (info)");
    jsonw_raw(&w, "config", one_line);
    jsonw_raw(&w, "facts", facts_line);
    puts(jsonw_end(&w));
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
