/* identity.c - see identity.h. */
#include "common/train/identity.h"

#include "common/base/log.h"
#include "common/io/text/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *identity_json(const identity_t *id, int64_t step) {
    char *config = config_print(id->table, id->config);
    char *text = xasprintf("{\"config\":%s,\"data_manifest\":\"%016llx\",%s%s%s\"program\":\"%s\","
                           "\"seed\":\"%llu\",\"step\":%lld}\n",
                           config, (unsigned long long)id->manifest, id->init ? "\"init\":\"" : "",
                           id->init ? id->init : "", id->init ? "\"," : "", id->program,
                           (unsigned long long)id->seed, (long long)step);
    free(config);
    return text;
}

int64_t identity_resume(const identity_t *id, const char *run, const char *json) {
    reason_t why;
    cJSON *o = json_parse(json, strlen(json), false, &why);
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(o, "config");
    const char *seed = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "seed")),
               *manifest =
                   cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "data_manifest")),
               *program = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "program"));
    void *was = xcalloc(1, id->config_size);
    int64_t step;
    config_defaults(id->table, was);
    if (!o || !config || !seed || !manifest || !program ||
        !json_i64(cJSON_GetObjectItemCaseSensitive(o, "step"), &step) || step < 0)
        die(RC_DATA, "'%s': the training state is damaged", run);
    if (strcmp(program, id->program))
        die(RC_MISFIT, "'%s' is a run of %s, not of %s", run, program, id->program);
    const char *init = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "init"));
    if (!init != !id->init || (init && strcmp(init, id->init)))
        die(RC_MISFIT, "'%s' was begun %s%s; --resume needs the same --init", run,
            init ? "from the weights of a RUN with fingerprint " : "without --init",
            init ? init : "");
    if (config_json(id->table, was, config, &why))
        die(RC_MISFIT, "'%s': configuration of another version: %s", run, why.text);
    char text[2048], now[32];
    if (config_diff(id->table, was, id->config, CONFIG_ARCH, text, sizeof text))
        die_list(RC_MISFIT, text, "'%s' was begun with another network (then vs now):", run);
    snprintf(now, sizeof now, "%llu", (unsigned long long)id->seed);
    if (strcmp(seed, now)) die(RC_MISFIT, "'%s' was begun with --seed %s, not %s", run, seed, now);
    snprintf(now, sizeof now, "%016llx", (unsigned long long)id->manifest);
    if (strcmp(manifest, now) && !id->any_data)
        die(RC_MISFIT,
            "'%s' was begun with other data (manifest %s, now %s; --allow-data-change takes it)",
            run, manifest, now);
    if (strcmp(manifest, now)) warn("'%s' goes on with other data than it was begun with", run);
    if (config_diff(id->table, was, id->config, 0, text, sizeof text)) {
        log_line("resuming with changed settings (then vs now):");
        log_list(text);
    }
    cJSON_Delete(o);
    free(was);
    return step;
}
