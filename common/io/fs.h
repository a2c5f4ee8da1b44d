/* fs.h - files that appear whole or not at all.
 *
 * Every final file is written to a temporary beside it, fsynced, renamed, and its folder fsynced.
 */
#ifndef IO_FS_H
#define IO_FS_H

#include "common/base/die.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Reads a whole file; 0, or -1 with a reason ("cannot open 'F': ..."). *data has one NUL byte past
 * *size; free(). max 0 = no limit. */
int fs_read(const char *path, size_t max, uint8_t **data, size_t *size, reason_t *why);

/* An atomic file: write through fs_writer_file, then commit (0, or -1 with a reason; the old file
 * is then untouched and the temporary removed). fs_write_abort forgets it. */
typedef struct {
    FILE *file;
    char *path, *temporary;
} fs_writer_t;
int fs_writer_open(fs_writer_t *w, const char *path, reason_t *why);
int fs_writer_commit(fs_writer_t *w, reason_t *why);
void fs_writer_abort(fs_writer_t *w);
/* The three steps at once. */
int fs_write(const char *path, const void *data, size_t size, reason_t *why);
/* Several files that must not mix (weights + training state): finish all temporaries
 * (fs_writer_finish), then rename all. */
int fs_writer_finish(fs_writer_t *w, reason_t *why);
int fs_writer_publish(fs_writer_t *w, size_t n, reason_t *why);

bool fs_exists(const char *path);
/* Whether the name ends so ("runs/x.json", ".json"); capitals count. */
bool fs_ends(const char *path, const char *end);
bool fs_is_dir(const char *path);
bool fs_dir_empty(const char *path); /* true also when missing */
int fs_mkdirs(const char *path, reason_t *why);
int fs_sync_dir(const char *dir, reason_t *why);
/* "a/b" + "c" -> malloc'ed "a/b/c". */
char *fs_join(const char *dir, const char *name);
/* Same file (device and inode)? */
bool fs_same(const char *a, const char *b);

/* DIR/done: removed at a stage's start, written last: {"arguments": xxh64 of `arguments`, "counts":
 * {...}}. */
void fs_done_clear(const char *dir);
int fs_done_write(const char *dir, const char *arguments, const char *counts_json, reason_t *why);

#endif
