/* shard_remove.c - see shard_remove.h. */
#include "tokenize/shard_remove.h"

#include "common/base/die.h"
#include "common/io/fs.h"
#include "common/io/lock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool holds_file(const char *dir, const char *name) {
    char *file = fs_join(dir, name);
    bool there = fs_exists(file);
    free(file);
    return there;
}

static bool is_shard(const char *path) {
    if (!fs_is_dir(path)) return false;
    return fs_dir_empty(path) || holds_file(path, "data.mdb") || holds_file(path, "lock.mdb");
}

void shard_remove(const char *path) {
    static const char *const files[] = {"done", "data.mdb", "lock.mdb"};
    lock_t held;
    reason_t why;
    if (!fs_exists(path)) return;
    if (!is_shard(path)) die(RC_USAGE, "'%s' exists and is no token shard", path);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    char *lock = xasprintf("%.*s.lock", (int)n, path);
    char *shown = xasprintf("%.*s", (int)n, path);
    int rc = lock_take(&held, lock, shown, &why);
    if (rc) die(rc, "%s", why.text);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *file = fs_join(path, files[i]);
        if (unlink(file) && errno != ENOENT) die_errno(RC_RUNTIME, "cannot remove '%s'", file);
        free(file);
    }
    lock_release(&held);
    free(shown);
    free(lock);
}
