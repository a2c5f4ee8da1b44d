/* folder.h - the running test's temporary folder: folder_open, in_folder("name"), folder_remove. */
#ifndef TESTS_FOLDER_H
#define TESTS_FOLDER_H

#include "tests/child.h"

static char folder[256];

static inline void folder_open(void) {
    child_mkdir(folder);
}
static inline void folder_remove(void) {
    child_rmdir(folder);
}

/* The path of `name` in the folder: one of eight buffers in turn. */
static inline const char *in_folder(const char *name) {
    static char path[8][400];
    static int k;
    k = (k + 1) % 8;
    snprintf(path[k], sizeof path[k], "%s/%s", folder, name);
    return path[k];
}

#endif
