/* golden.h - reference numbers of other implementations that lie beside the project, not in it. */
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H

#include "tests/test.h"

#include "common/io/fs.h"

/* The path of a file below $GOLDENS, or ../shared/goldens; NULL where it is missing, and the test
 * counts as skipped. The caller frees it. */
static inline char *golden_path(const char *name) {
    const char *base = getenv("GOLDENS");
    char *path = fs_join(base ? base : "../shared/goldens", name);
    if (fs_exists(path)) return path;
    SKIP("no '%s'", path);
    free(path);
    return NULL;
}

#endif
