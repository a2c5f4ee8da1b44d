/* foreign.c - see foreign.h. */
#include "gato/run/foreign.h"

#include "common/io/text/json.h"

#include <string.h>

const foreign_t *const foreigns[] = {&foreign_gpt2, &foreign_neko, NULL};

const foreign_t *foreign_find(const char *name) {
    for (size_t i = 0; foreigns[i]; i++)
        if (!strcmp(foreigns[i]->name, name)) return foreigns[i];
    return NULL;
}

int foreign_integer(const cJSON *o, const char *key, int64_t preset, int64_t *out, reason_t *why) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    uint64_t v;
    *out = preset;
    if (!item || cJSON_IsNull(item)) return preset ? 0 : reason_set(why, "'%s' is missing", key);
    if (!json_u64(item, &v) || v < 1 || v > 1 << 24)
        return reason_set(why, "'%s' is no positive integer", key);
    *out = (int64_t)v;
    return 0;
}

bool foreign_flag(const cJSON *o, const char *key, bool preset) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    if (cJSON_IsNumber(item)) return item->valuedouble != 0;
    return cJSON_IsBool(item) ? cJSON_IsTrue(item) : preset;
}
