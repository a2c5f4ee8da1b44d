/* fuzz_token_record.c - arbitrary bytes as values of a shard, with a corrected checksum so that the
 * content is read. An accepted record or meta must build the same content again.
 */
#include "common/io/token_db/token_db_value.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* Two tasks: one with a slot of every kind on both sides, one of a text about an image. */
static const char tasks_text[] =
    "[{\"kind\":\"episode\",\"name\":\"a\",\"slots\":["
    "{\"kind\":\"image\",\"name\":\"i\",\"side\":\"observed\"},"
    "{\"kind\":\"image\",\"name\":\"j\",\"side\":\"observed\"},"
    "{\"kind\":\"text\",\"name\":\"t\",\"side\":\"observed\"},"
    "{\"high\":[1,1],\"kind\":\"vector\",\"low\":[0,0],\"name\":\"v\",\"side\":\"observed\"},"
    "{\"kind\":\"discrete\",\"name\":\"d\",\"range\":[3,900],\"side\":\"observed\"},"
    "{\"high\":[1,1],\"kind\":\"vector\",\"low\":[0,0],\"name\":\"v\",\"raw\":[0,1],"
    "\"side\":\"acted\"},"
    "{\"kind\":\"discrete\",\"name\":\"d\",\"range\":[5],\"side\":\"acted\"}]},"
    "{\"kind\":\"text\",\"name\":\"b\",\"slots\":["
    "{\"kind\":\"image\",\"name\":\"i\",\"side\":\"observed\"},"
    "{\"kind\":\"text\",\"name\":\"t\",\"side\":\"observed\"}]}]";

static bool equal(const void *a, const void *b, uint64_t bytes) {
    return !a == !b && (!a || !memcmp(a, b, bytes));
}

static bool same_slot(const slot_data_t *a, const slot_data_t *b, const slot_t *s, uint64_t T) {
    uint64_t cells = T * a->grid_h * a->grid_w, numbers = 4 * T * s->width;
    return a->grid_h == b->grid_h && a->grid_w == b->grid_w && a->image_h == b->image_h &&
           a->image_w == b->image_w && a->text_len == b->text_len &&
           a->prompt_len == b->prompt_len && a->pixels_bytes == b->pixels_bytes &&
           equal(a->present, b->present, T) && equal(a->codes, b->codes, 4 * cells) &&
           equal(a->pixels, b->pixels, a->pixels_bytes) &&
           equal(a->pixel_size, b->pixel_size, 4 * T) && equal(a->text, b->text, 4 * a->text_len) &&
           equal(a->vector, b->vector, numbers) && equal(a->discrete, b->discrete, numbers) &&
           equal(a->label_vector, b->label_vector, numbers) &&
           equal(a->label_discrete, b->label_discrete, numbers);
}

static bool same_record(const token_record_t *a, const token_record_t *b, const task_t *task) {
    for (uint32_t i = 0; i < task->n_slots; i++)
        if (!same_slot(&a->slot[i], &b->slot[i], &task->slot[i], a->T)) return false;
    return a->task == b->task && a->T == b->T && a->first_step == b->first_step &&
           a->key_len == b->key_len && equal(a->key, b->key, a->key_len) &&
           equal(a->rewards, b->rewards, 4 * (uint64_t)a->T) &&
           equal(a->success, b->success, a->T) && equal(a->label, b->label, a->label_len);
}

static void check_record(const uint8_t *v, size_t size, uint32_t codes) {
    static tasks_t tasks;
    reason_t why = {""};
    if (!tasks.n && tasks_parse(&tasks, tasks_text, sizeof tasks_text - 1, &why))
        BUG("%s", why.text);
    const shard_meta_t meta = {
        .codes = codes, .text_vocab = codes > 65536 ? 70000 : 257, .tasks = tasks};
    token_record_t r;
    int rc = token_record_parse(v, size, 7, &meta, &r, &why);
    if (rc) {
        if (!why.text[0] || r.owned) BUG("refused without a reason, or with something left");
        return;
    }
    size_t again_size;
    uint8_t *again = token_record_build(&meta, 7, &r, &again_size, &why);
    token_record_t r2;
    if (!again) BUG("read but not to be written: %s", why.text);
    if (token_record_parse(again, again_size, 7, &meta, &r2, &why))
        BUG("written but not to be read: %s", why.text);
    if (!same_record(&r, &r2, &tasks.v[r.task])) BUG("a record changes by writing");
    token_record_release(&r2);
    token_record_release(&r);
    free(again);
}

static void check_meta(const uint8_t *v, size_t size) {
    shard_meta_t meta = {.codes = 4, .code_dim = 2}, back;
    reason_t why;
    if (token_codebook_parse(v, size, &meta, &why) == 0) shard_meta_release(&meta);
    if (token_meta_parse(v, size, &meta, &why)) return;
    size_t again_size;
    uint8_t *again = token_meta_build(&meta, &again_size);
    if (token_meta_parse(again, again_size, &back, &why))
        BUG("a meta that cannot be read: %s", why.text);
    char *a = tasks_json(&meta.tasks), *b = tasks_json(&back.tasks);
    if (strcmp(a, b) != 0) BUG("tasks change by writing");
    free(a);
    free(b);
    free(again);
    shard_meta_release(&meta);
    shard_meta_release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    uint8_t what = data[0], *v = malloc(size); /* malloc aligns */
    memcpy(v, data + 1, --size);
    if (size >= VALUE_HEADER && !(what & 1)) {
        uint64_t sum = XXH64(v + 24, size - 24, XXH64(v, 16, 0));
        memcpy(v + 16, &sum, 8);
    }
    if (what & 2)
        check_record(v, size, what & 4 ? 70000 : 512);
    else
        check_meta(v, size);
    free(v);
    return 0;
}
