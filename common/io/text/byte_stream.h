/* byte_stream.h - the bytes of a file from front to back, as often as wanted.
 *
 * gzip and zstd files are unpacked; their first bytes tell them, not their names. "-" is stdin.
 * What can be read only once (stdin, a pipe, a FIFO) is first copied to a nameless file in $TMPDIR
 * or /tmp, so that a pipe behaves like the file that it carries.
 */
#ifndef IO_BYTE_STREAM_H
#define IO_BYTE_STREAM_H

#include "common/base/die.h"
#include <stdint.h>
#include <sys/types.h>

typedef struct byte_stream byte_stream_t;

/* NULL with a reason: *rc is RC_USAGE (no such file, a folder), RC_DATA (unreadable) or RC_RUNTIME
 * (no room for a pipe's copy, or built without what unpacks zstd). */
byte_stream_t *byte_stream_open(const char *path, int *rc, reason_t *why);
/* Reads on: 65536 bytes, fewer at the end. Returns their number, 0 at the end, or -1 with a reason
 * when the file is damaged or cut short. *bytes is borrowed, valid until the next call. */
ssize_t byte_stream_more(byte_stream_t *b, const uint8_t **bytes, reason_t *why);
/* Goes back to the first byte. 0, or -1 with a reason. */
int byte_stream_restart(byte_stream_t *b, reason_t *why);
/* NULL is allowed. */
void byte_stream_close(byte_stream_t *b);

#endif
