/* fuzz_lpips.c - a user's file of LPIPS weights: the bytes rename, reshape and retype the tensors
 * of a good, narrow network, three bytes per edit. An accepted file can be recorded; a refusal has
 * a reason.
 *
 * fuzz-sources: common/nn/lpips.c common/nn/nn.c common/nn/packed.c common/tape/tape.c
 * fuzz-sources: common/tape/params.c common/tape/op_conv.c common/tape/op_linear.c
 * fuzz-sources: common/tape/op_loss.c common/tape/op_math.c common/tape/op_norm.c
 * fuzz-sources: common/tape/op_packed.c common/tape/op_head.c common/tape/op_perceptual.c
 * fuzz-sources: common/tape/op_resample.c common/tape/op_vq.c
 */
#include "common/nn/lpips.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { CONVS = 13, TENSORS = 2 * CONVS + 5 };
static const int place[CONVS] = {0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28},
                 slice[CONVS] = {1, 1, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5},
                 width[6] = {3, 2, 3, 2, 4, 1};

static void check(bool ok) {
    if (!ok) abort();
}

static st_tensor_t tensor(const char *name, int rank, int a, int b, int c) {
    char *copy = malloc(96);
    check(copy);
    snprintf(copy, 96, "%s", name);
    return (st_tensor_t){.name = copy,
                         .dtype = "F32",
                         .rank = rank,
                         .dim = {(uint64_t)a, (uint64_t)b, (uint64_t)c, (uint64_t)c}};
}

static void good(st_tensor_t *t) {
    char name[96];
    int k = 0, before = 3;
    for (int i = 0; i < CONVS; before = width[slice[i++]]) {
        snprintf(name, sizeof name, "features.%d.weight", place[i]);
        t[k++] = tensor(name, 4, width[slice[i]], before, 3);
        snprintf(name, sizeof name, "net.slice%d.%d.bias", slice[i], place[i]);
        t[k++] = tensor(name, 1, width[slice[i]], 1, 1);
    }
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "lins.%d.model.1.weight", i);
        t[k++] = tensor(name, 4, 1, width[i + 1], 1);
    }
}

static void edit(st_tensor_t *t, uint8_t how, uint8_t v) {
    if (how < 8)
        t->dim[how % 4] = v % 9;
    else if (how < 12)
        t->rank = v % (ST_RANK + 1);
    else if (how < 16)
        t->type = (st_type_t)(v % (ST_OTHER + 1));
    else
        t->name[how % strlen(t->name)] = (char)(v ? v : 'x');
}

/* As the reader of the format leaves it: sizes that agree, data that is there. */
static void fill(st_tensor_t *t, uint8_t first) {
    static const uint8_t element[] = {4, 2, 2, 8, 8, 4, 1, 1};
    t->count = 1;
    for (int d = 0; d < t->rank; d++) t->count *= t->dim[d];
    t->bytes = t->count * element[t->type];
    uint8_t *data = malloc(t->bytes + 1);
    check(data);
    memset(data, first, t->bytes);
    t->data = data;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const st_tensor_t *)a)->name, ((const st_tensor_t *)b)->name);
}

static void record(const lpips_t *l) {
    tape_t *t = tape_new(NULL);
    nn_t nn;
    nn_begin(&nn, t);
    var_t a = tape_input(t, "a", F32_4(1, LPIPS_SIDE, LPIPS_SIDE, 3)),
          b = tape_input(t, "b", tape_shape(t, a));
    check(tape_count(t, nn_lpips(&nn, l, a, b)) == 1 && lpips_bytes(l) > 0);
    tape_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    st_tensor_t t[TENSORS];
    reason_t why = {""};
    lpips_t *l;
    good(t);
    for (size_t i = 0; i + 3 <= size && i < 60; i += 3)
        edit(&t[bytes[i] % TENSORS], bytes[i + 1], bytes[i + 2]);
    for (int i = 0; i < TENSORS; i++) fill(&t[i], size % 3 == 1 ? bytes[size - 1] : 0);
    qsort(t, TENSORS, sizeof *t, by_name);
    st_file_t f = {.tensor = t, .n = TENSORS};
    int rc = lpips_read(&l, &f, &why);
    check(rc ? !l && why.text[0] && (rc == RC_DATA || rc == RC_MISFIT) : l != NULL);
    if (l) record(l);
    lpips_free(l);
    for (int i = 0; i < TENSORS; i++) {
        free(t[i].name);
        free((void *)(uintptr_t)t[i].data);
    }
    return 0;
}
