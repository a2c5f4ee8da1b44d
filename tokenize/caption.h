/* caption.h - one JSON line of captions and questions: {"image", "caption"} (or "text"), {"image",
 * "question", "answer"} (or "answers": the most frequent one counts, the first of equals), {"text"}
 * alone. Foreign bytes.
 */
#ifndef TOKENIZE_CAPTION_H
#define TOKENIZE_CAPTION_H

#include "common/base/die.h"
#include <cjson/cJSON.h>
#include <stddef.h>

typedef struct {
    char *image;       /* path; NULL = none */
    char *text;        /* the caption; or question, space, answer. Owned */
    size_t len;        /* bytes of it */
    size_t prompt_len; /* of the question and the space */
} caption_t;
void caption_release(caption_t *c);

/* -1 with a reason. */
int caption_parse(const char *line, size_t size, caption_t *out, reason_t *why);
/* Makes `out` (with its image) of a question and its answer. */
void caption_question(caption_t *out, const char *question, const char *answer);
/* The most frequent of an array of strings or of objects {"answer"}, the first of equals; NULL when
 * there is none. */
const char *caption_answer(const cJSON *answers);

#endif
