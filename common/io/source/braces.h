/* braces.h - one word for many paths: "name-{000..009}.tar", "{train,val}.tar". Shells expand such
 * words too; expanding them here makes a quoted word work as well.
 */
#ifndef IO_BRACES_H
#define IO_BRACES_H

#include "common/base/die.h"

enum { BRACES_MAX = 1000000 }; /* paths of one word */

/* Does the word have a group to expand: {A..B} with two numbers, or {x,y,...}? All other braces are
 * characters like any. */
bool braces_in(const char *word);
/* All paths of a word, in the order of a shell: the last group runs fastest. B may be below A.
 * Numbers are padded with zeros to the longer of A and B when one of them begins with a zero.
 * Groups do not nest. A word without groups is itself. *out is for braces_free. 0, or -1 with a
 * reason when there would be more than BRACES_MAX. */
int braces_expand(const char *word, char ***out, size_t *n, reason_t *why);
/* Frees n paths and their array. */
void braces_free(char **word, size_t n);

#endif
