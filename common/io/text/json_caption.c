/* json_caption.c - see json_caption.h. */
#include "common/io/text/json_caption.h"

static const cJSON *holds_words(const cJSON *c) {
    if (cJSON_IsString(c)) return *c->valuestring ? c : NULL;
    return cJSON_IsArray(c) && c->child ? c : NULL;
}

const cJSON *json_caption(const cJSON *object, const char *name) {
    static const char *const names[] = {"caption", "captions", "text", "sentences", "description"};
    if (name) return holds_words(cJSON_GetObjectItemCaseSensitive(object, name));
    const cJSON *found = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++)
        found = holds_words(cJSON_GetObjectItemCaseSensitive(object, names[i]));
    return found;
}

size_t json_caption_count(const cJSON *caption) {
    if (cJSON_IsString(caption)) return 1;
    return cJSON_IsArray(caption) ? (size_t)cJSON_GetArraySize(caption) : 0;
}

/* The words of a string, or of a list's entry. */
static const char *words_in(const cJSON *entry) {
    const char *text = cJSON_GetStringValue(entry);
    if (!text && cJSON_IsObject(entry)) {
        text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, "raw"));
        if (!text) text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, "caption"));
    }
    return text && *text ? text : NULL;
}

const char *json_caption_text(const cJSON *caption, size_t i) {
    if (cJSON_IsString(caption)) return i ? NULL : words_in(caption);
    if (!cJSON_IsArray(caption)) return NULL;
    const cJSON *entry = caption->child;
    while (entry && i) {
        entry = entry->next;
        i--;
    }
    return words_in(entry);
}
