/* run_folder.c - see run_folder.h. */
#include "common/train/run_folder.h"

#include "common/io/fs.h"
#include "common/train/checkpoint.h"
#include "common/train/events.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char LOCK_NAME[] = ".lock";

/* ---- the lock ---- */

void run_folder_look(const run_folder_t *f) {
    if (!f->resume && !f->force) return;
    reason_t why;
    char *path = fs_join(f->out, LOCK_NAME);
    int rc = lock_look(path, f->out, &why);
    if (rc) die(rc, "%s", why.text);
    free(path);
}

static void take_lock(run_folder_t *f) {
    reason_t why;
    char *path = fs_join(f->out, LOCK_NAME);
    int rc = lock_take(&f->lock, path, f->out, &why);
    if (rc) die(rc, "%s", why.text);
    free(path);
}

void run_folder_end(run_folder_t *f) {
    lock_release(&f->lock);
}

/* ---- a former training ---- */

static void remove_file(const char *dir, const char *name) {
    char *path = fs_join(dir, name);
    if (unlink(path) && errno != ENOENT) die_errno(RC_RUNTIME, "cannot remove '%s'", path);
    free(path);
}

/* "step-000500.png": a grid of samples that a training wrote. */
static bool is_sample(const char *name) {
    static const char start[] = "step-";
    if (strncmp(name, start, strlen(start))) return false;
    const char *number = name + strlen(start);
    size_t digits = strspn(number, "0123456789");
    return digits > 0 && !strcmp(number + digits, ".png");
}

static void remove_samples(const char *dir) {
    char *folder = fs_join(dir, "samples");
    DIR *d = opendir(folder);
    if (d) {
        struct dirent *entry;
        while ((entry = readdir(d)))
            if (is_sample(entry->d_name)) remove_file(folder, entry->d_name);
        closedir(d);
    }
    free(folder);
}

void run_folder_clear(const char *dir) {
    /* An imported SEED's weights would be found before those of a VQModel. */
    static const char *const files[] = {"done",          "training.safetensors",
                                        "training.json", "metrics.jsonl",
                                        "report.html",   "seed.safetensors"};
    remove_samples(dir);
    events_remove(dir, NULL);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) remove_file(dir, files[i]);
}

/* ---- beginning ---- */

bool run_folder_begin(run_folder_t *f, st_file_t *file, char **json) {
    reason_t why;
    const char *out = f->out;
    if (fs_exists(out) && !fs_is_dir(out))
        die(RC_USAGE, "'%s' is a file; a folder for the run is needed", out);
    if (!f->resume && !f->force && !fs_dir_empty(out))
        die(RC_USAGE, "'%s' exists and is not empty: --resume goes on, --force replaces it", out);
    if (fs_mkdirs(out, &why)) die(RC_RUNTIME, "%s", why.text);
    if (access(out, W_OK)) die_errno(RC_RUNTIME, "cannot write to '%s'", out);
    take_lock(f);
    if (f->resume && checkpoint_exists(out)) {
        int rc = checkpoint_open(out, file, json, &why);
        if (rc) die(rc, "cannot resume: %s", why.text);
        fs_done_clear(out);
        return true;
    }
    run_folder_clear(out);
    return false;
}
