/* fs.h - files that appear whole or not at all.
 *
 * Every final file is written to a temporary beside it, synced, renamed, and its folder synced.
 * Devices and pipes are written in place. Two processes cannot write one file at a time.
 */
#ifndef IO_FS_H
#define IO_FS_H

#include "common/base/die.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Reads a whole file of at most `max` bytes (0 = no limit). *data is malloc'ed and has one NUL
 * behind its *size bytes. 0, or -1 with a reason and *data NULL. */
int fs_read(const char *path, size_t max, uint8_t **data, size_t *size, reason_t *why);

/* ---- atomic writing ---- */

/* An open writer: write to `file`, then commit or abort. */
typedef struct {
    FILE *file;
    char *path, *temporary;
} fs_writer_t;

/* 0, or -1 with a reason; then there is nothing to abort. */
int fs_writer_open(fs_writer_t *w, const char *path, reason_t *why);
/* Makes the temporary the file. 0; or -1 with a reason, the old file untouched and the temporary
 * removed. */
int fs_writer_commit(fs_writer_t *w, reason_t *why);
/* Removes the temporary. Nothing happens when the writer is not open. */
void fs_writer_abort(fs_writer_t *w);
/* Open, write and commit at once. */
int fs_write(const char *path, const void *data, size_t size, reason_t *why);
/* Copies a file of any size, a piece at a time. 0, or -1 with a reason. */
int fs_copy(const char *from, const char *to, reason_t *why);

/* A commit in two steps, for files that must not mix (weights and training state): finish every
 * writer, then publish all. Finishing syncs the temporary, so that every error of a disk has shown
 * before the first rename. Both: 0, or -1 with a reason and their writers aborted. */
int fs_writer_finish(fs_writer_t *w, reason_t *why);
int fs_writer_publish(fs_writer_t *w, size_t n, reason_t *why);

/* ---- paths and folders ---- */

bool fs_exists(const char *path);
/* Does the path end in `end` (".json")? Case counts. */
bool fs_ends(const char *path, const char *end);
bool fs_is_dir(const char *path);
/* Also true when there is nothing at `path`, or only what killed writers left (".NAME.tmp"). */
bool fs_dir_empty(const char *path);
/* Makes a folder and its parents, unless they are there. 0, or -1 with a reason. */
int fs_mkdirs(const char *path, reason_t *why);
/* Syncs the entries of a folder. 0, or -1 with a reason. */
int fs_sync_dir(const char *dir, reason_t *why);
/* "a/b" and "c" -> "a/b/c", malloc'ed. */
char *fs_join(const char *dir, const char *name);
/* Are both there and one file or folder (device and inode)? */
bool fs_same(const char *a, const char *b);

/* ---- DIR/done: a stage has ended ---- */

/* Removes the file, at the start of a stage. For programs: dies (RC_RUNTIME) when it cannot. */
void fs_done_clear(const char *dir);
/* Writes the file, as the last of a stage: {"arguments": XXH64 of `arguments`, "counts":
 * counts_json}; NULL counts are {}. 0, or -1 with a reason. */
int fs_done_write(const char *dir, const char *arguments, const char *counts_json, reason_t *why);

#endif
