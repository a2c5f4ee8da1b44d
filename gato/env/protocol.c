/* protocol.c - requests as lines, replies as checked values. */
#include "gato/env/protocol.h"
#include "common/io/text/json.h"
#include "common/io/utf8.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- requests: members in the order of canonical JSON ---- */

static const char *yes(bool b) {
    return b ? "true" : "false";
}

const char *protocol_hello(char line[PROTOCOL_REQUEST]) {
    snprintf(line, PROTOCOL_REQUEST, "{\"protocol\":%d,\"verb\":\"hello\"}", PROTOCOL_VERSION);
    return line;
}

const char *protocol_reset(char line[PROTOCOL_REQUEST], uint64_t seed, uint64_t episode,
                           bool images) {
    snprintf(line, PROTOCOL_REQUEST,
             "{\"episode\":%" PRIu64 ",\"images\":%s,\"seed\":%" PRIu64 ",\"verb\":\"reset\"}",
             episode, yes(images), seed);
    return line;
}

const char *protocol_step(char line[PROTOCOL_REQUEST], size_t bytes, bool images) {
    snprintf(line, PROTOCOL_REQUEST, "{\"bytes\":%zu,\"images\":%s,\"verb\":\"step\"}", bytes,
             yes(images));
    return line;
}

const char *protocol_observe(char line[PROTOCOL_REQUEST], bool images) {
    snprintf(line, PROTOCOL_REQUEST, "{\"images\":%s,\"verb\":\"observe\"}", yes(images));
    return line;
}

const char *protocol_expert(char line[PROTOCOL_REQUEST]) {
    snprintf(line, PROTOCOL_REQUEST, "{\"verb\":\"expert\"}");
    return line;
}

const char *protocol_goal(char line[PROTOCOL_REQUEST]) {
    snprintf(line, PROTOCOL_REQUEST, "{\"verb\":\"goal\"}");
    return line;
}

/* ---- replies ---- */

static const cJSON *member(const cJSON *reply, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(reply, name);
}

static int read_flag(const cJSON *reply, const char *name, bool *out, reason_t *why) {
    const cJSON *item = member(reply, name);
    if (!cJSON_IsBool(item)) return reason_set(why, "'%s' is not true or false", name);
    *out = cJSON_IsTrue(item);
    return 0;
}

int protocol_ok(const cJSON *reply, reason_t *why) {
    bool ok = false;
    if (read_flag(reply, "ok", &ok, why)) return -1;
    if (ok) return 0;
    const cJSON *error = member(reply, "error");
    if (!cJSON_IsString(error) || !error->valuestring[0])
        return reason_set(why, "'ok' is false without an 'error'");
    char text[512];
    reason_set(why, "%s", utf8_printable(text, sizeof text, error->valuestring));
    return 1;
}

/* Bytes that the values of a slot take, the most for a text. */
static uint64_t slot_bytes(const slot_t *slot) {
    if (slot->kind == SLOT_TEXT) return PROTOCOL_TEXT;
    if (slot->kind == SLOT_IMAGE) return (uint64_t)slot->image_h * slot->image_w * 3;
    return (uint64_t)slot->width * 4;
}

/* What an environment needs beyond a task: sizes of images, actions that fit env_action_t, and an
 * observation that fits into memory. */
static int check_task(const task_t *task, reason_t *why) {
    char name[TASK_NAME + 64];
    uint64_t bytes = 0;
    bool acts = false;
    if (task->kind != RECORD_EPISODE) return reason_set(why, "its task is not one of episodes");
    for (uint32_t i = 0; i < task->n_slots; i++) {
        const slot_t *slot = &task->slot[i];
        if (slot->side == SIDE_ACTED) {
            acts = true;
            continue;
        }
        if (slot->kind == SLOT_IMAGE && (!slot->image_h || !slot->image_w))
            return reason_set(why, "%s has no size", slot_text(slot, name));
        bytes += slot_bytes(slot);
    }
    if (!acts) return reason_set(why, "its task has no actions");
    if (bytes > PROTOCOL_OBSERVATION)
        return reason_set(why, "its observations have %" PRIu64 " bytes, at most %d are allowed",
                          bytes, PROTOCOL_OBSERVATION);
    if (env_n_vector(task) > ENV_ACTIONS || env_n_discrete(task) > ENV_DISCRETE)
        return reason_set(why,
                          "its actions have %zu numbers and %zu discrete values, at most %d "
                          "and %d are allowed",
                          env_n_vector(task), env_n_discrete(task), ENV_ACTIONS, ENV_DISCRETE);
    return 0;
}

static int parse_task(const cJSON *item, task_t *task, reason_t *why) {
    if (!cJSON_IsObject(item)) return reason_set(why, "'task' is not an object");
    char *text = json_canonical(item), *list = xasprintf("[%s]", text);
    tasks_t tasks;
    reason_t bad;
    int rc = tasks_parse(&tasks, list, strlen(list), &bad);
    free(text);
    free(list);
    if (rc) return reason_set(why, "'task': %s", bad.text);
    *task = task_copy(&tasks.v[0]);
    tasks_release(&tasks);
    if (!check_task(task, why)) return 0;
    task_release(task);
    return -1;
}

int protocol_read_hello(const cJSON *reply, protocol_hello_t *to, reason_t *why) {
    uint64_t version;
    if (!json_u64(member(reply, "protocol"), &version))
        return reason_set(why, "'protocol' is not a number");
    if (version != PROTOCOL_VERSION)
        return reason_set(why, "it speaks protocol %" PRIu64 ", this program %d", version,
                          PROTOCOL_VERSION);
    if (read_flag(reply, "expert", &to->expert, why)) return -1;
    to->goal = false; /* children that were written before goals say nothing of them */
    if (member(reply, "goal") && read_flag(reply, "goal", &to->goal, why)) return -1;
    return parse_task(member(reply, "task"), &to->task, why);
}

static int check_bytes(const slot_t *slot, uint64_t bytes, reason_t *why) {
    char name[TASK_NAME + 64];
    uint64_t want = slot_bytes(slot);
    bool text = slot->kind == SLOT_TEXT;
    if (text ? bytes <= want : bytes == want) return 0;
    return reason_set(why, "%s has %" PRIu64 " bytes, %s %" PRIu64, slot_text(slot, name), bytes,
                      text ? "at most" : "wanted", want);
}

int protocol_read_slots(const cJSON *reply, const task_t *task, size_t bytes[TASK_SLOTS],
                        bool absent[TASK_SLOTS], reason_t *why) {
    for (uint32_t i = 0; i < TASK_SLOTS; i++) {
        bytes[i] = 0;
        absent[i] = true;
    }
    const cJSON *slots = member(reply, "slots"), *item;
    if (!cJSON_IsObject(slots)) return reason_set(why, "'slots' is not an object");
    cJSON_ArrayForEach(item, slots) {
        char name[TASK_NAME];
        utf8_printable(name, sizeof name, item->string);
        int i = task_find(task, SIDE_OBSERVED, item->string);
        if (i < 0) return reason_set(why, "its task has no observed slot '%s'", name);
        uint64_t n;
        if (!json_u64(item, &n))
            return reason_set(why, "bytes of slot '%s' are not a number", name);
        if (check_bytes(&task->slot[i], n, why)) return -1;
        bytes[i] = (size_t)n;
        absent[i] = false;
    }
    return 0;
}

int protocol_read_outcome(const cJSON *reply, env_outcome_t *out, reason_t *why) {
    const cJSON *reward = member(reply, "reward");
    if (!cJSON_IsNumber(reward)) return reason_set(why, "'reward' is not a number");
    out->reward = (float)reward->valuedouble;
    return read_flag(reply, "terminated", &out->terminated, why) ||
                   read_flag(reply, "truncated", &out->truncated, why) ||
                   read_flag(reply, "success", &out->success, why)
               ? -1
               : 0;
}

int protocol_read_action(const cJSON *reply, const task_t *task, size_t *bytes, reason_t *why) {
    uint64_t n;
    if (!json_u64(member(reply, "bytes"), &n)) return reason_set(why, "'bytes' is not a number");
    size_t want = protocol_action_bytes(task);
    if (n && n != want)
        return reason_set(why, "an action of %" PRIu64 " bytes, wanted %zu", n, want);
    *bytes = (size_t)n;
    return 0;
}

/* ---- actions ---- */

size_t protocol_action_bytes(const task_t *task) {
    return env_n_vector(task) * sizeof(float) + env_n_discrete(task) * sizeof(uint32_t);
}

void protocol_pack_action(const task_t *task, const env_action_t *action, void *bytes) {
    size_t n = env_n_vector(task) * sizeof(float);
    memcpy(bytes, action->vector, n);
    memcpy((char *)bytes + n, action->discrete, env_n_discrete(task) * sizeof(uint32_t));
}

void protocol_unpack_action(const task_t *task, const void *bytes, env_action_t *action) {
    size_t n = env_n_vector(task) * sizeof(float);
    memcpy(action->vector, bytes, n);
    memcpy(action->discrete, (const char *)bytes + n, env_n_discrete(task) * sizeof(uint32_t));
}
