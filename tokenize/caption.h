/* caption.h - what one object of captions or questions says: a JSON line, an element of an array, a
 * row of a table. Foreign bytes: every function returns a reason instead of ending the program.
 *
 *     {"image", "caption"}                      also "text" and others (json_caption.h), or a list
 *     {"image", "question", "answer"}           "answer" or "answers" may be a list
 *     {"image", "conversations": [{"from": "human", "value"}, {"from": "gpt", "value"}, ...]}
 *     {"image", "messages": [{"role": "user", "content"}, {"role": "assistant", "content"}, ...]}
 *
 * The image is a path, under "image", "file_name" or one of a few other names; without one, these
 * are texts alone. A member that is null counts as absent. A list of captions, or the turns of a
 * conversation, are several texts of one image. A bare string is a text.
 *
 * Opens no image: the path is taken as it stands.
 */
#ifndef TOKENIZE_CAPTION_H
#define TOKENIZE_CAPTION_H

#include "common/base/die.h"
#include <cjson/cJSON.h>
#include <stddef.h>

/* Members that may name the image, in their order, for messages. */
#define CAPTION_IMAGE_NAMES "image, file_name, filename, image_file_name, image_path, images"

typedef struct {
    char *text;        /* a caption; or a question, a space, its answer. NUL-ended, owned */
    size_t len;        /* bytes of text */
    size_t prompt_len; /* bytes of the question and the space; 0 for a caption */
} caption_text_t;

typedef struct {
    char *image;          /* its path, owned; NULL = none */
    caption_text_t *text; /* [n], owned */
    size_t n, cap;
} caption_t;
void caption_release(caption_t *caption);

/* Reads JSON of `size` bytes. member: the name of the member that holds the caption (--caption);
 * NULL = the known names. Returns 0; or -1 with a reason, and *out is empty. */
int caption_parse(const char *json, size_t size, const char *member, caption_t *out, reason_t *why);
/* The same for JSON that is parsed already. */
int caption_from_json(const cJSON *object, const char *member, caption_t *out, reason_t *why);

/* Adds a copy of the text as a caption. */
void caption_add(caption_t *out, const char *text);
/* Adds a question with its answer; an empty question leaves the answer as a caption. */
void caption_add_question(caption_t *out, const char *question, const char *answer);
/* The answer that "answer" or "answers" gives: a string; or the most frequent one of an array of
 * strings or of objects {"answer"}, the first of equals. Borrowed from the JSON; NULL when there
 * is none. */
const char *caption_answer(const cJSON *answers);

#endif
