/* fuzz_config.c - arbitrary objects through a configuration table: accepted settings print to a
 * text that gives the same settings. */
#include "common/io/text/config.h"
#include "common/io/text/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t steps;
    double lr;
    bool flip;
    int kind;
    char name[CONFIG_STRING];
    config_ints_t channels;
    config_nums_t betas;
} settings_t;

static const config_field_t table[] = {
    {"train.steps", CF_INT, offsetof(settings_t, steps), "10", NULL, 1, 1e9, 0, ""},
    {"optim.lr", CF_NUM, offsetof(settings_t, lr), "0.001", NULL, 0, 0, 0, ""},
    {"data.flip", CF_BOOL, offsetof(settings_t, flip), "true", NULL, 0, 0, 0, ""},
    {"optim.kind", CF_CHOICE, offsetof(settings_t, kind), "\"sgd\"", "adamw|sgd", 0, 0, 0, ""},
    {"model.name", CF_STR, offsetof(settings_t, name), "\"\"", NULL, 0, 0, 0, ""},
    {"model.channels", CF_INTS, offsetof(settings_t, channels), "[1]", NULL, 1, INFINITY, 0, ""},
    {"optim.betas", CF_NUMS, offsetof(settings_t, betas), "[0.9]", NULL, 0, 1, 0, ""},
    {0},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    reason_t why;
    cJSON *root = json_parse((const char *)data, size, false, &why);
    if (!root) return 0;
    settings_t a, b;
    memset(&a, 0, sizeof a);
    config_defaults(table, &a);
    if (config_json(table, &a, root, &why) == 0) {
        char *text = config_print(table, &a), diff[256];
        cJSON *printed = json_parse(text, strlen(text), false, &why);
        if (!printed) BUG("printed configuration is refused: %s", why.text);
        memset(&b, 0, sizeof b);
        config_defaults(table, &b);
        if (config_json(table, &b, printed, &why))
            BUG("printed configuration is refused: %s", why.text);
        if (config_diff(table, &a, &b, 0, diff, sizeof diff)) BUG("changed by printing: %s", diff);
        cJSON_Delete(printed);
        free(text);
    }
    cJSON_Delete(root);
    return 0;
}
