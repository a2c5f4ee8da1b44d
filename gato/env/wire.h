/* wire.h - a child process that answers requests over its standard streams (FORMATS.md 7): frames,
 * time limits, and its end.
 *
 * A message is one line of JSON and the raw bytes that it announces. A request has one reply. Use:
 *
 *     wire_t *w = wire_start("python3 child.py", NULL, &why);
 *     cJSON *reply = wire_ask(w, "step", "{\"bytes\":8,\"verb\":\"step\"}", action, 8, 30, &why);
 *     if (!reply) ...
 *     if (wire_read(w, observation, size, &why) || wire_done(w, &why)) ...
 *     wire_close(w);
 *
 * Whatever a child does, no call takes longer than its limit, nor more memory than WIRE_LINE bytes
 * and what its caller gave. Any failure stops the child with all of its process group; the reason
 * names the command, the verb and the first bytes of its answer. A dead child does not raise SIGPIPE
 * here, and no child outlives this process: it meets the end of its standard input, and Linux sends
 * SIGKILL to the shell.
 */
#ifndef GATO_WIRE_H
#define GATO_WIRE_H

#include "common/base/die.h"
#include <cjson/cJSON.h>
#include <stddef.h>

/* Most bytes of a line, its end included. */
enum { WIRE_LINE = 1 << 20 };

typedef struct wire wire_t;
/* Starts `sh -c command` in a process group of its own. log: a file that its standard error is
 * appended to; NULL = this program's. NULL with a reason. Close with wire_close. */
wire_t *wire_start(const char *command, const char *log, reason_t *why);
/* Asks the child to end (the verb `close`), waits a moment, then stops it. NULL is allowed. */
void wire_close(wire_t *w);
/* Has the child been stopped, by a failure? Only wire_close may follow. */
bool wire_stopped(const wire_t *w);

/* Sends a request, one line without its end and `size` bytes, and reads the line of the reply: an
 * object. The limit, in seconds from now, holds for the bytes behind it, too. verb: for messages.
 * Delete with cJSON_Delete. NULL with a reason. */
cJSON *wire_ask(wire_t *w, const char *verb, const char *line, const void *bytes, size_t size,
                double limit, reason_t *why);
/* Reads exactly n bytes of the reply. 0, or -1 with a reason. */
int wire_read(wire_t *w, void *to, size_t n, reason_t *why);
/* The reply is read: nothing more may have come. 0, or -1 with a reason. */
int wire_done(wire_t *w, reason_t *why);
/* A reply that does not say what it must: stops the child. Returns -1, the reason being `cause` with
 * the command, the verb and the first bytes. */
int wire_refuse(wire_t *w, const char *cause, reason_t *why);

#endif
