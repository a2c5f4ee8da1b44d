/* json_caption.h - where objects of people's data keep a caption: under one of several names, as a
 * string or as a list. One rule for JSON lines and for the json members of tars.
 */
#ifndef IO_JSON_CAPTION_H
#define IO_JSON_CAPTION_H

#include <cjson/cJSON.h>
#include <stddef.h>

/* The names in their order, for messages. */
#define JSON_CAPTION_NAMES "caption, captions, text, sentences, description"

/* The member `name`, or (name NULL) the first of the names above that is no null and no empty
 * string: a string or an array. NULL when there is none. */
const cJSON *json_caption(const cJSON *object, const char *name);
/* Caption i of it; an entry of a list is a string or an object with "raw" or "caption". NULL behind
 * the last one, and for an entry that holds no words. */
const char *json_caption_text(const cJSON *caption, size_t i);
size_t json_caption_count(const cJSON *caption);

#endif
