/* caption.h - what one object of captions or questions says: a JSON line, an element of an array, a
 * row of a table. Foreign bytes.
 *
 *     {"image", "caption"}                      also "text" and others (json_caption.h), or a list
 *     {"image", "question", "answer"}           "answer" or "answers" may be a list
 *     {"image", "conversations": [{"from": "human", "value"}, {"from": "gpt", "value"}, ...]}
 *     {"image", "messages": [{"role": "user", "content"}, {"role": "assistant", "content"}, ...]}
 *
 * An image is a path under "image", "file_name" or one of a few other names. A member that is null
 * is absent; without an image these are texts. A list of captions and the turns of a conversation
 * are several texts of one image. A bare string is a text.
 */
#ifndef TOKENIZE_CAPTION_H
#define TOKENIZE_CAPTION_H

#include "common/base/die.h"
#include <cjson/cJSON.h>
#include <stddef.h>

typedef struct {
    char *text;        /* the caption; or question, space, answer. Owned */
    size_t len;        /* bytes of it */
    size_t prompt_len; /* of the question and the space; 0 = a caption */
} caption_text_t;

typedef struct {
    char *image; /* path; NULL = none. Owned */
    caption_text_t *text;
    size_t n, cap;
} caption_t;
void caption_release(caption_t *c);

/* Of JSON. member: holds the caption (--caption), NULL = the known names. -1 with a reason, and
 * *out empty. */
int caption_parse(const char *json, size_t size, const char *member, caption_t *out, reason_t *why);
/* The same of what has been parsed. */
int caption_take(const cJSON *object, const char *member, caption_t *out, reason_t *why);

/* Adds a text; copied. */
void caption_add(caption_t *out, const char *text);
/* Adds a question with its answer; a question without a word is a caption. */
void caption_add_question(caption_t *out, const char *question, const char *answer);
/* A string; or of an array of strings or of objects {"answer"} the most frequent one, the first of
 * equals. NULL when there is none. */
const char *caption_answer(const cJSON *answers);

#endif
