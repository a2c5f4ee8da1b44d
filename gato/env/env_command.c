/* env_command.c - an environment in a child process (FORMATS.md 7). The task is what the child told
 * when it was first started; a child that takes the place of a dead one has to tell the same.
 *
 * An observation comes with the reply to `reset` or `step` and is kept until the next. It has
 * images when the last one was wanted with images; else they are fetched when they are wanted.
 */
#include "common/io/text/json.h"
#include "gato/env/env_driver.h"
#include "gato/env/protocol.h"
#include "gato/env/wire.h"
#include <stdlib.h>
#include <string.h>

static const double START = 120, RESET = 60, STEP = 30; /* limits in seconds */

/* What a child showed. */
typedef struct {
    bool absent[TASK_SLOTS];
    uint8_t *bytes[TASK_SLOTS]; /* text: with a NUL behind it */
    size_t cap[TASK_SLOTS];
} shown_t;

typedef struct {
    char *command, *log; /* log: NULL = this program's stderr */
    double start, reset, step;
    wire_t *wire; /* NULL: none was started, or it is to be replaced */
    task_t task;
    char *declared;    /* the task as JSON, NULL before the first start */
    bool expert, goal; /* does it answer these verbs? */
    bool images;       /* are they asked for with the next observation? */
    bool with_images;  /* has the present observation them? */
    shown_t present, solved;
} command_t;

/* Sends a request and takes a reply that is no error. NULL with a reason. */
static cJSON *ask(command_t *c, const char *verb, const char *line, const void *bytes, size_t size,
                  double limit, reason_t *why) {
    cJSON *reply = wire_ask(c->wire, verb, line, bytes, size, limit, why);
    if (!reply) return NULL;
    reason_t bad;
    int answer = protocol_ok(reply, &bad);
    if (answer == 0) return reply;
    cJSON_Delete(reply);
    if (answer < 0)
        wire_refuse(c->wire, bad.text, why);
    else if (!wire_done(c->wire, why))
        reason_set(why, "environment '%s': %s: it says: %s", c->command, verb, bad.text);
    return NULL;
}

/* ---- start ---- */

/* The task must be the one that is known, if one is. */
static int adopt_task(command_t *c, task_t *task, reason_t *why) {
    char *declared = tasks_json(&(tasks_t){task, 1});
    if (c->declared && strcmp(declared, c->declared) != 0) {
        task_release(task);
        free(declared);
        return wire_refuse(c->wire, "it was started anew and declares another task", why);
    }
    if (c->declared) {
        task_release(task);
        free(declared);
    } else {
        c->task = *task;
        c->declared = declared;
    }
    return 0;
}

static int hello(command_t *c, reason_t *why) {
    char line[PROTOCOL_REQUEST];
    cJSON *reply = ask(c, "hello", protocol_hello(line), NULL, 0, c->start, why);
    if (!reply) return -1;
    protocol_hello_t said;
    reason_t bad;
    int rc = protocol_read_hello(reply, &said, &bad);
    cJSON_Delete(reply);
    if (rc) return wire_refuse(c->wire, bad.text, why);
    c->expert = said.expert;
    c->goal = said.goal;
    return adopt_task(c, &said.task, why) || wire_done(c->wire, why) ? -1 : 0;
}

static void drop_child(command_t *c) {
    wire_close(c->wire);
    c->wire = NULL;
}

static int start(command_t *c, reason_t *why) {
    c->wire = wire_start(c->command, c->log, why);
    if (c->wire && !hello(c, why)) return 0;
    drop_child(c);
    return -1;
}

static void command_close(void *self) {
    command_t *c = self;
    drop_child(c);
    for (size_t i = 0; i < TASK_SLOTS; i++) {
        free(c->present.bytes[i]);
        free(c->solved.bytes[i]);
    }
    if (c->declared) task_release(&c->task);
    free(c->declared);
    free(c->command);
    free(c->log);
    free(c);
}

static double limit_of(double asked, double preset) {
    return asked > 0 ? asked : preset;
}

static void *command_open(const env_opts_t *o, task_t *task, int *rc, reason_t *why) {
    *rc = RC_RUNTIME;
    command_t *c = NEW(command_t);
    *c = (command_t){.command = xstrdup(o->command),
                     .log = o->log ? xstrdup(o->log) : NULL,
                     .start = limit_of(o->start_timeout, START),
                     .reset = limit_of(o->reset_timeout, RESET),
                     .step = limit_of(o->step_timeout, STEP)};
    if (!start(c, why)) {
        *task = task_copy(&c->task);
        return c;
    }
    command_close(c);
    return NULL;
}

/* ---- observations ---- */

/* Reads one slot into its own memory, which the task bounds. */
static int read_slot(command_t *c, shown_t *to, uint32_t i, size_t n, reason_t *why) {
    to->bytes[i] = xgrow(to->bytes[i], &to->cap[i], n + 1, 1);
    if (wire_read(c->wire, to->bytes[i], n, why)) return -1;
    to->bytes[i][n] = 0;
    if (c->task.slot[i].kind == SLOT_TEXT && memchr(to->bytes[i], 0, n))
        return wire_refuse(c->wire, "a text with a NUL", why);
    return 0;
}

/* The slots behind a reply. */
static int read_slots(command_t *c, const cJSON *reply, shown_t *to, reason_t *why) {
    size_t bytes[TASK_SLOTS];
    reason_t bad;
    if (protocol_read_slots(reply, &c->task, bytes, to->absent, &bad))
        return wire_refuse(c->wire, bad.text, why);
    for (uint32_t i = 0; i < c->task.n_slots; i++)
        if (!to->absent[i] && read_slot(c, to, i, bytes[i], why)) return -1;
    return wire_done(c->wire, why);
}

static int read_observation(command_t *c, const cJSON *reply, bool images, reason_t *why) {
    c->with_images = images;
    return read_slots(c, reply, &c->present, why);
}

static int fetch(command_t *c, reason_t *why) {
    char line[PROTOCOL_REQUEST];
    cJSON *reply = ask(c, "observe", protocol_observe(line, true), NULL, 0, c->step, why);
    int rc = reply ? read_observation(c, reply, true, why) : -1;
    cJSON_Delete(reply);
    return rc;
}

static env_value_t value_of(const command_t *c, uint32_t i) {
    const void *bytes = c->present.bytes[i]; /* from malloc: aligned for any type */
    env_value_t value = {0};
    switch (c->task.slot[i].kind) {
    case SLOT_IMAGE:
        value.rgb = bytes;
        break;
    case SLOT_TEXT:
        value.text = bytes;
        break;
    case SLOT_VECTOR:
        value.vector = bytes;
        break;
    case SLOT_DISCRETE:
        value.discrete = bytes;
        break;
    case SLOT_KINDS:
        BUG("slot %u has no kind", i);
    }
    return value;
}

static int command_observe(void *self, bool images, env_observation_t *seen, reason_t *why) {
    command_t *c = self;
    c->images = images && task_first(&c->task, SIDE_OBSERVED, SLOT_IMAGE) >= 0;
    if (c->images && !c->with_images && fetch(c, why)) return -1;
    for (uint32_t i = 0; i < c->task.n_slots; i++)
        if (!c->present.absent[i] && (images || c->task.slot[i].kind != SLOT_IMAGE))
            seen->slot[i] = value_of(c, i);
    return 0;
}

/* ---- episodes ---- */

static int command_reset(void *self, uint64_t seed, uint64_t episode, reason_t *why) {
    command_t *c = self;
    if (c->wire && wire_stopped(c->wire)) drop_child(c);
    if (!c->wire && start(c, why)) return -1;
    char line[PROTOCOL_REQUEST];
    cJSON *reply =
        ask(c, "reset", protocol_reset(line, seed, episode, c->images), NULL, 0, c->reset, why);
    int rc = reply ? read_observation(c, reply, c->images, why) : -1;
    cJSON_Delete(reply);
    return rc;
}

static int command_step(void *self, const env_action_t *action, env_outcome_t *out, reason_t *why) {
    command_t *c = self;
    char line[PROTOCOL_REQUEST];
    uint8_t bytes[sizeof *action];
    size_t n = protocol_action_bytes(&c->task);
    protocol_pack_action(&c->task, action, bytes);
    cJSON *reply = ask(c, "step", protocol_step(line, n, c->images), bytes, n, c->step, why);
    if (!reply) return -1;
    reason_t bad;
    int rc = protocol_read_outcome(reply, out, &bad) ? wire_refuse(c->wire, bad.text, why)
                                                     : read_observation(c, reply, c->images, why);
    cJSON_Delete(reply);
    return rc;
}

static env_expert_t command_expert(void *self, env_action_t *action, reason_t *why) {
    command_t *c = self;
    if (!c->expert) return ENV_NO_EXPERT;
    char line[PROTOCOL_REQUEST];
    uint8_t bytes[sizeof *action];
    cJSON *reply = ask(c, "expert", protocol_expert(line), NULL, 0, c->step, why);
    if (!reply) return ENV_EXPERT_FAILED;
    size_t n = 0;
    reason_t bad;
    int rc = protocol_read_action(reply, &c->task, &n, &bad);
    cJSON_Delete(reply);
    if (rc) wire_refuse(c->wire, bad.text, why);
    if (rc || wire_read(c->wire, bytes, n, why) || wire_done(c->wire, why))
        return ENV_EXPERT_FAILED;
    if (!n) return ENV_NO_EXPERT;
    protocol_unpack_action(&c->task, bytes, action);
    return ENV_EXPERT;
}

static bool command_knows_goals(const void *self) {
    const command_t *c = self;
    return c->goal;
}

/* A reply without slots: the child knows no goal here. */
static env_goal_t command_goal(void *self, env_observation_t *goal, reason_t *why) {
    command_t *c = self;
    char line[PROTOCOL_REQUEST];
    cJSON *reply = ask(c, "goal", protocol_goal(line), NULL, 0, c->step, why);
    int rc = reply ? read_slots(c, reply, &c->solved, why) : -1;
    cJSON_Delete(reply);
    if (rc) return ENV_GOAL_FAILED;
    env_goal_t answer = ENV_NO_GOAL;
    for (uint32_t i = 0; i < c->task.n_slots; i++) {
        if (c->solved.absent[i]) continue;
        if (c->task.slot[i].kind != SLOT_IMAGE) {
            wire_refuse(c->wire, "a goal of something else than images", why);
            return ENV_GOAL_FAILED;
        }
        goal->slot[i].rgb = c->solved.bytes[i];
        answer = ENV_GOAL;
    }
    return answer;
}

const env_driver_t env_command = {
    .open = command_open,
    .close = command_close,
    .reset = command_reset,
    .observe = command_observe,
    .step = command_step,
    .expert = command_expert,
    .goal = command_goal,
    .knows_goals = command_knows_goals,
};
