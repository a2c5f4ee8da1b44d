/* json_stream.h - the elements of JSON that is too long to be held, one after another as text. Only
 * the structure is looked at (brackets, strings, commas); json_parse judges what is inside an
 * element. Foreign bytes.
 *
 *     json_stream_t s = {.more = next_bytes, .ctx = file};
 *     while ((rc = json_stream_next(&s, &why)) > 0) use(s.text, s.size);
 *     json_stream_release(&s);
 */
#ifndef IO_JSON_STREAM_H
#define IO_JSON_STREAM_H

#include "common/base/die.h"
#include <stdint.h>

/* An element may have that many bytes; what is passed over has no limit. */
enum { JSON_ELEMENT_MAX = 1 << 26 };

/* Further bytes, valid until the next call; 0 at the end. */
typedef size_t (*json_more_fn)(void *ctx, const char **bytes);

typedef struct {
    /* set by the caller */
    json_more_fn more;
    void *ctx;
    /* false: the elements of one array, or values one behind the other. true: of one object, the
     * elements of those members that are arrays; other members are passed over. */
    bool members;
    /* the element */
    char *text; /* one NUL behind it */
    size_t size;
    char *member; /* with `members`: whose array it is of, escapes as they stand; else NULL */
    /* inside */
    const char *bytes;
    size_t n, at, cap, member_cap;
    uint64_t before; /* bytes before these */
    int place;
    bool any;   /* the array at hand has an element */
    bool field; /* the object has a member */
} json_stream_t;

/* 1: an element; 0: the end; -1 with a reason ("byte N: ..."): no JSON, cut short, an element of
 * more than JSON_ELEMENT_MAX bytes. */
int json_stream_next(json_stream_t *s, reason_t *why);
/* Did the array or object come to its end? Also true when the reason is what follows it. */
bool json_stream_closed(const json_stream_t *s);
void json_stream_release(json_stream_t *s);

#endif
