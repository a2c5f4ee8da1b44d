/* protocol.h - the messages of an environment's child (FORMATS.md 7) as values: what its lines of
 * JSON say, checked against its task before memory is taken for the bytes behind them. No streams
 * here.
 */
#ifndef GATO_PROTOCOL_H
#define GATO_PROTOCOL_H

#include "gato/env/env.h"
#include <cjson/cJSON.h>

enum {
    PROTOCOL_VERSION = 1,
    PROTOCOL_TEXT = 1 << 16,        /* most bytes of a text */
    PROTOCOL_OBSERVATION = 1 << 26, /* most bytes of an observation */
    PROTOCOL_REQUEST = 160          /* bytes of a request's line, its end included */
};

/* Requests, written to `line`, which is returned. */
const char *protocol_hello(char line[PROTOCOL_REQUEST]);
const char *protocol_reset(char line[PROTOCOL_REQUEST], uint64_t seed, uint64_t episode,
                           bool images);
const char *protocol_step(char line[PROTOCOL_REQUEST], size_t bytes, bool images);
const char *protocol_observe(char line[PROTOCOL_REQUEST], bool images);
const char *protocol_expert(char line[PROTOCOL_REQUEST]);
const char *protocol_goal(char line[PROTOCOL_REQUEST]);

/* Is it a reply and no error? 0; 1 with the child's own reason; -1 with a reason when it says
 * neither. */
int protocol_ok(const cJSON *reply, reason_t *why);
/* What a child says that it is. */
typedef struct {
    task_t task;
    bool expert, goal; /* does it answer `expert`, and `goal`? */
} protocol_hello_t;
/* The reply to `hello`. 0 and the caller owns to->task, or -1 with a reason. */
int protocol_read_hello(const cJSON *reply, protocol_hello_t *to, reason_t *why);
/* How many bytes of each slot follow; 0 and absent[i] where a slot is missing. 0, or -1 with a
 * reason, also for sizes that the task does not allow. */
int protocol_read_slots(const cJSON *reply, const task_t *task, size_t bytes[TASK_SLOTS],
                        bool absent[TASK_SLOTS], reason_t *why);
int protocol_read_outcome(const cJSON *reply, env_outcome_t *out, reason_t *why);
/* The reply to `expert`: how many bytes follow, those of an action or none. */
int protocol_read_action(const cJSON *reply, const task_t *task, size_t *bytes, reason_t *why);

/* Bytes of an action; an action as bytes and back. */
size_t protocol_action_bytes(const task_t *task);
void protocol_pack_action(const task_t *task, const env_action_t *action, void *bytes);
void protocol_unpack_action(const task_t *task, const void *bytes, env_action_t *action);

#endif
