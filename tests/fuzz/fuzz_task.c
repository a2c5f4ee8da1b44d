/* fuzz_task.c - arbitrary bytes as the JSON of a list of tasks: what is read prints as it was read,
 * passes its own check, and fits itself.
 */
#include "common/io/token_db/task.h"

#include <stdlib.h>
#include <string.h>

static void check_task(const task_t *t) {
    reason_t why;
    char buf[TASK_NAME + 64];
    int32_t map[TASK_SLOTS];
    if (task_check(t, &why)) BUG("read but not right: %s", why.text);
    if (task_fit(t, t, &why)) BUG("it does not fit itself: %s", why.text);
    task_map(t, t, map);
    for (uint32_t i = 0; i < t->n_slots; i++) {
        if (map[i] != (int32_t)i) BUG("slot %u is found at %d", i, map[i]);
        if (strlen(slot_text(&t->slot[i], buf)) >= sizeof buf) BUG("a long text");
        slot_column(&t->slot[i], t->slot[i].width - 1, buf);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tasks_t list, back;
    reason_t why = {""};
    if (tasks_parse(&list, (const char *)data, size, &why)) {
        if (!why.text[0] || list.n) BUG("refused without a reason, or with something left");
        return 0;
    }
    for (size_t i = 0; i < list.n; i++) check_task(&list.v[i]);
    char *text = tasks_json(&list);
    if (tasks_parse(&back, text, strlen(text), &why)) BUG("%s: %s", text, why.text);
    char *again = tasks_json(&back);
    if (strcmp(text, again) != 0) BUG("%s becomes %s", text, again);
    free(text);
    free(again);
    tasks_release(&list);
    tasks_release(&back);
    return 0;
}
