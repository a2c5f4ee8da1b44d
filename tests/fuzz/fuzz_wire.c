/* fuzz_wire.c - arbitrary lines as the replies of an environment's child: first a hello, and then,
 * for the task that it declared or a fixed one, each line as an observation, an outcome, an action.
 * What is accepted must keep within the limits of the protocol; what is refused must say why.
 *
 * fuzz-sources: gato/env/protocol.c
 */
#include "common/io/text/json.h"
#include "gato/env/protocol.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static task_t fixed_task(void) {
    task_t task = task_new("walk", RECORD_EPISODE);
    slot_t *front = task_add(&task, SLOT_IMAGE, SIDE_OBSERVED, "front", 1);
    front->image_h = 4;
    front->image_w = 6;
    task_add(&task, SLOT_TEXT, SIDE_OBSERVED, "mission", 1);
    task_add(&task, SLOT_VECTOR, SIDE_OBSERVED, "state", 3);
    task_add(&task, SLOT_VECTOR, SIDE_ACTED, "push", 2);
    return task;
}

static void check_refusal(int rc, const reason_t *why) {
    if (rc && !why->text[0]) BUG("refused without a reason");
}

static void check_task(const task_t *task) {
    uint64_t bytes = 0;
    if (task_check(task, NULL)) BUG("a task that is none");
    for (uint32_t i = 0; i < task->n_slots; i++)
        if (task->slot[i].kind == SLOT_IMAGE)
            bytes += (uint64_t)task->slot[i].image_h * task->slot[i].image_w * 3;
    if (bytes > PROTOCOL_OBSERVATION) BUG("images of %llu bytes", (unsigned long long)bytes);
    if (protocol_action_bytes(task) > sizeof(env_action_t)) BUG("actions of too many bytes");
}

static void check_reply(const task_t *task, const cJSON *reply) {
    reason_t why = {""};
    size_t bytes[TASK_SLOTS], sum = 0, action = 0;
    bool absent[TASK_SLOTS];
    env_outcome_t out = {0};
    int rc = protocol_read_slots(reply, task, bytes, absent, &why);
    check_refusal(rc, &why);
    for (uint32_t i = 0; rc == 0 && i < TASK_SLOTS; i++) {
        if (!absent[i] && (i >= task->n_slots || task->slot[i].side == SIDE_ACTED))
            BUG("bytes for a slot that shows nothing");
        sum += bytes[i];
    }
    if (rc == 0 && sum > PROTOCOL_OBSERVATION) BUG("an observation of %zu bytes", sum);
    why.text[0] = 0;
    check_refusal(protocol_read_outcome(reply, &out, &why), &why);
    why.text[0] = 0;
    rc = protocol_read_action(reply, task, &action, &why);
    check_refusal(rc, &why);
    if (rc == 0 && action > sizeof(env_action_t)) BUG("an action of %zu bytes", action);
    why.text[0] = 0;
    check_refusal(protocol_ok(reply, &why), &why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    task_t task = fixed_task();
    const char *at = (const char *)data, *end = at + size;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        cJSON *reply = json_parse(at, (size_t)(stop - at), false, NULL);
        if (cJSON_IsObject(reply)) {
            reason_t why = {""};
            protocol_hello_t told;
            int rc = protocol_read_hello(reply, &told, &why);
            check_refusal(rc, &why);
            if (rc == 0) {
                check_task(&told.task);
                task_release(&task);
                task = told.task;
            }
            check_reply(&task, reply);
        }
        cJSON_Delete(reply);
        at = stop + 1;
    }
    task_release(&task);
    return 0;
}
