/* json_stream.h - the elements of JSON that is too long for memory, one after another as text.
 *
 *     json_stream_t s = {.more = next_bytes, .ctx = file};
 *     while ((rc = json_stream_next(&s, &why)) > 0) use(s.text, s.size);
 *     json_stream_release(&s);
 *
 * Bytes may come from anywhere. Only the structure is checked (brackets, strings, commas);
 * json_parse judges what is inside an element.
 */
#ifndef IO_JSON_STREAM_H
#define IO_JSON_STREAM_H

#include "common/base/die.h"
#include <stdint.h>

/* The most bytes of an element. What is passed over has no limit. */
enum { JSON_ELEMENT_MAX = 1 << 26 };

/* Gives further bytes, valid until the next call, and returns their number; 0 at the end. */
typedef size_t (*json_more_fn)(void *ctx, const char **bytes);

typedef struct {
    /* Set by the caller. */
    json_more_fn more;
    void *ctx;
    /* false: the elements are those of one array, or values one behind another. true: they are
     * those of the arrays in one object; its other members are passed over. */
    bool members;

    /* The element: valid until the next call, one NUL behind it. */
    char *text;
    size_t size;
    char *member; /* with `members`: the name of the array, escapes as they stand; else NULL */

    /* Private. */
    const char *bytes; /* from `more`: n of them, the cursor at `at` */
    size_t n, at, cap, member_cap;
    uint64_t before; /* bytes of the file before these */
    int place;
    bool any;   /* the current array has an element */
    bool field; /* the object has a member */
} json_stream_t;

/* Reads the next element. 1: there is one; 0: the end; -1 with a reason ("byte N: ..."): not JSON,
 * cut short, or an element of more than JSON_ELEMENT_MAX bytes. */
int json_stream_next(json_stream_t *s, reason_t *why);
/* Was the end of the array or object reached? Also true when the reason is what follows it. */
bool json_stream_closed(const json_stream_t *s);
/* Frees the element and starts anew with the same caller's fields. */
void json_stream_release(json_stream_t *s);

#endif
