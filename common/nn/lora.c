/* lora.c - low-rank adapters beside Conv1D layers (Hu et al. 2021, "LoRA"), under peft's names. */
#include "common/nn/nn.h"

#include "common/base/die.h"
#include "common/kernel/kernel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define A_TAIL ".lora_A.default.weight"
#define B_TAIL ".lora_B.default.weight"

bool nn_lora_targets(const char *list, const char *name) {
    const char *dot = strrchr(name, '.'), *last = dot ? dot + 1 : name;
    size_t n = strlen(last);
    for (const char *at = list; *at; at += strcspn(at, ",")) {
        at += strspn(at, ", ");
        if (strcspn(at, ", ") == n && !strncmp(at, last, n)) return true;
    }
    return false;
}

var_t nn_lora(nn_t *nn, const char *name, var_t x, var_t y, size_t out, size_t lo, size_t sample,
              var_t at) {
    const nn_lora_t *o = &nn->lora;
    tape_t *t = nn->tape;
    if (!o->rank || !nn_lora_targets(o->targets, name)) return y;
    size_t in = shape_cols(tape_shape(t, x)), hi = lo + shape_cols(tape_shape(t, y));
    size_t mark = nn_push(nn, "%s", name);
    /* PyTorch's Kaiming uniform with a = sqrt(5), as peft has it. */
    param_init_t kaiming = init_uniform(1 / sqrtf((float)in));
    var_t A = nn_param2(nn, A_TAIL + 1, o->rank, in, kaiming);
    var_t B = nn_param2(nn, B_TAIL + 1, out, o->rank, init_zero());
    var_t few = op_linear(t, op_dropout_some(t, x, o->dropout, sample, at), A, NO_VAR, W_OUT_IN);
    var_t change = op_linear_columns(t, op_scale(t, few, o->scale), B, NO_VAR, W_OUT_IN, lo, hi);
    nn_pop(nn, mark);
    return op_add(t, y, change);
}

/* The parameter "<layer><tail>". */
static int part(const params_t *p, const char *layer, size_t n, const char *tail) {
    char *name = xasprintf("%.*s%s", (int)n, layer, tail);
    int i = params_find(p, name);
    if (i < 0) BUG("an adapter without '%s'", name);
    free(name);
    return i;
}

/* W [in,out] += scale A^T B^T, A [r,in], B [out,r]. */
static void merge(params_t *p, int a, int b, int w, float scale) {
    const param_t *A = params_at(p, a), *W = params_at(p, w);
    size_t r = A->dim[0], in = A->dim[1], out = W->dim[1], n = out * r;
    float *scaled = xmalloc(n * sizeof *scaled);
    const float *B = params_ptr(p, PARAMS_VALUE, b);
    for (size_t i = 0; i < n; i++) scaled[i] = scale * B[i];
    kern_gemm(true, true, in, out, r, params_ptr(p, PARAMS_VALUE, a), in, scaled, r,
              params_ptr(p, PARAMS_VALUE, w), out, true, NULL);
    free(scaled);
}

size_t nn_lora_merge(params_t *p, float scale) {
    size_t merged = 0;
    for (size_t i = 0; i < params_n(p); i++) {
        const char *name = params_at(p, (int)i)->name;
        if (!nn_lora_owns(name)) continue;
        size_t n = strlen(name) - strlen(A_TAIL);
        if (strcmp(name + n, A_TAIL)) continue;
        merge(p, (int)i, part(p, name, n, B_TAIL), part(p, name, n, ".weight"), scale);
        merged++;
    }
    return merged;
}

bool nn_lora_owns(const char *name) {
    size_t n = strlen(name), k = strlen(A_TAIL);
    return n > k && (!strcmp(name + n - k, A_TAIL) || !strcmp(name + n - k, B_TAIL));
}
