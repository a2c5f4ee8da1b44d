/* adapter.c - `gato adapter`: a policy's adapters (LoRA) as a folder of peft's, or those of such a
 * folder beside the layers of a policy. */
#include "common/base/cli.h"
#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "gato/commands.h"
#include "gato/derive.h"
#include "gato/run/peft.h"

#include <stdio.h>

static size_t count_adapters(const gato_model_t *m) {
    size_t n = 0;
    for (size_t i = 0; i < params_n(m->params); i++)
        n += nn_lora_owns(params_at(m->params, (int)i)->name);
    return n / 2;
}

static void write_folder(const gato_model_t *m, const char *out, bool bare) {
    reason_t why;
    if (fs_mkdirs(out, &why) || peft_write(m, out, bare, &why)) die(RC_RUNTIME, "%s", why.text);
}

int cmd_gato_adapter(int argc, char **argv) {
    const char *model = NULL, *from = NULL, *out = NULL;
    bool force = false, bare = false;
    const cli_opt_t options[] = {
        {"--model", CLI_STR, &model, "RUN",
         "a policy with adapters; with --from one without, whose layers get them", true},
        {"--from", CLI_STR, &from, "DIR",
         "a folder of peft's (adapter_config.json, adapter_model.safetensors)", false},
        {"--out", CLI_STR, &out, "DIR", "such a folder; with --from the policy's RUN", true},
        {"--bare", CLI_FLAG, &bare, NULL,
         "name layers as in a GPT2Model (NEKO), not as in a GPT2LMHeadModel", false},
        {"--force", CLI_FLAG, &force, NULL, "write into a folder that is not empty", false},
        {0},
    };
    cli_parse(argc, argv, "adapter", "write a policy's adapters (LoRA) for peft, or take peft's",
              (const cli_opt_t *const[]){options}, 1);
    if (bare && from) die(RC_USAGE, "--bare does nothing with --from: both names are known");
    if (from && fs_same(from, out)) die(RC_USAGE, "'%s' is both --from and --out", from);
    gato_model_t *m = run_open(model), *made = NULL;
    int rc = RC_USAGE;
    reason_t why;
    derive_check(model, out, force);
    if (from && m->config.lora.rank)
        die(RC_USAGE, "'%s' has adapters already: gato merge adds them to its layers", model);
    if (!from && !m->config.lora.rank) die(RC_USAGE, "'%s' has no adapters to write", model);
    if (from && !(made = peft_read(m, from, &rc, &why))) die(rc, "%s", why.text);
    const gato_model_t *has = made ? made : m;
    jsonw_t w;
    jsonw_begin(&w);
    jsonw_int(&w, "adapters", (int64_t)count_adapters(has));
    jsonw_int(&w, "rank", has->config.lora.rank);
    jsonw_num(&w, "alpha", has->config.lora.alpha);
    jsonw_str(&w, "targets", has->config.lora.targets);
    const char *line = jsonw_end(&w);
    if (made)
        derive_run(made, model, out, "adapter", line);
    else
        write_folder(m, out, bare);
    puts(line);
    jsonw_free(&w);
    if (made) gato_model_free(made);
    gato_model_free(m);
    return RC_OK;
}
