/* caption.c - see caption.h. */
#include "tokenize/caption.h"

#include "common/io/json.h"

#include <stdlib.h>
#include <string.h>

void caption_release(caption_t *c) {
    free(c->image);
    free(c->text);
    *c = (caption_t){0};
}

static const char *string_of(const cJSON *object, const char *key) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

static const char *answer_of(const cJSON *a) {
    return cJSON_IsObject(a) ? string_of(a, "answer") : cJSON_GetStringValue(a);
}

enum { MOST_ANSWERS = 1000 }; /* each is compared with each; VQA has ten */

const char *caption_answer(const cJSON *answers) {
    const char *best = NULL;
    size_t most = 0;
    if (!cJSON_IsArray(answers) || cJSON_GetArraySize(answers) > MOST_ANSWERS) return NULL;
    for (const cJSON *a = answers->child; a; a = a->next) {
        const char *text = answer_of(a);
        size_t n = 0;
        for (const cJSON *b = a; text && b; b = b->next)
            n += answer_of(b) && !strcmp(answer_of(b), text);
        if (n > most) most = n, best = text;
    }
    return best;
}

void caption_question(caption_t *out, const char *question, const char *answer) {
    out->text = xasprintf("%s %s", question, answer);
    out->len = strlen(out->text);
    out->prompt_len = strlen(question) + 1;
}

static int take_fields(const cJSON *o, caption_t *out, reason_t *why) {
    const char *question = string_of(o, "question"), *answer = string_of(o, "answer"),
               *text = string_of(o, "caption");
    const cJSON *image = cJSON_GetObjectItemCaseSensitive(o, "image");
    if (image && !cJSON_IsString(image)) return reason_set(why, "\"image\" is no path");
    if (image && !*image->valuestring) return reason_set(why, "\"image\" is empty");
    if (image) out->image = xstrdup(image->valuestring);
    if (!text) text = string_of(o, "text");
    if (question) {
        if (!answer) answer = caption_answer(cJSON_GetObjectItemCaseSensitive(o, "answers"));
        if (!answer || !*answer) return reason_set(why, "a question without an answer");
        if (text) return reason_set(why, "a question and a text");
        caption_question(out, question, answer);
        return 0;
    }
    if (!text || !*text) return reason_set(why, "neither a text or caption nor a question");
    out->text = xstrdup(text);
    out->len = strlen(text);
    return 0;
}

int caption_parse(const char *line, size_t size, caption_t *out, reason_t *why) {
    *out = (caption_t){0};
    cJSON *o = json_parse(line, size, false, why);
    if (!o) return -1;
    int rc = cJSON_IsObject(o) ? take_fields(o, out, why) : reason_set(why, "no JSON object");
    cJSON_Delete(o);
    if (rc) caption_release(out);
    return rc;
}
