/* braces.h - "name-{000..009}.tar" and "{train,val}.tar": one word for many paths, as shells write
 * it, expanded by us so that a quoted word works too.
 */
#ifndef IO_BRACES_H
#define IO_BRACES_H

#include "common/base/die.h"

enum { BRACES_MAX = 1000000 }; /* paths of one word */

/* Is there a group to expand: {A..B} with two numbers, or {x,y,...}? Any other brace is a character
 * like others. */
bool braces_in(const char *word);
/* All words, in the order of a shell: the last group runs fastest; B may be below A; numbers are
 * padded with zeros to the longer of A and B when either begins with one. Groups do not nest. A
 * word without groups is itself. *out and its strings are malloc'ed. -1 when there would be more
 * than BRACES_MAX. */
int braces_expand(const char *word, char ***out, size_t *n, reason_t *why);
void braces_free(char **word, size_t n);

#endif
