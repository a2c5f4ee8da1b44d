/* json_caption.h - finding the caption in an object of people's data.
 *
 * A caption stands under one of several names, as a string or as a list. One rule serves JSON lines
 * and the json members of tars.
 */
#ifndef IO_JSON_CAPTION_H
#define IO_JSON_CAPTION_H

#include <cjson/cJSON.h>
#include <stddef.h>

/* The names in the order in which they are tried, for messages. */
#define JSON_CAPTION_NAMES "caption, captions, text, sentences, description"

/* The member `name`; or, when name is NULL, the first of the names above that holds words. A string
 * or an array, borrowed; NULL when there is none. */
const cJSON *json_caption(const cJSON *object, const char *name);
/* Caption i of what json_caption returned. An entry of a list is a string, or an object with "raw"
 * or "caption". Borrowed; NULL behind the last one, and for an entry that holds no words. */
const char *json_caption_text(const cJSON *caption, size_t i);
/* Number of entries. */
size_t json_caption_count(const cJSON *caption);

#endif
