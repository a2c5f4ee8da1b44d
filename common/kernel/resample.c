/* resample.c - nearest-neighbour enlargement by two and its adjoint, NHWC; one task a row of the small image. */
#include "common/base/pool.h"
#include "common/kernel/kernel.h"

#include <string.h>

typedef struct {
    const float *in;
    float *out;
    size_t W, C;
    bool add;
} resample_t;

static void forward_task(void *ctx, size_t row) {
    const resample_t *r = ctx;
    size_t C = r->C, wide = 2 * r->W * C;
    const float *x = r->in + row * r->W * C;
    float *y = r->out + row * 2 * wide;
    for (size_t i = 0; i < r->W; i++) {
        memcpy(y + 2 * i * C, x + i * C, C * sizeof *y);
        memcpy(y + (2 * i + 1) * C, x + i * C, C * sizeof *y);
    }
    memcpy(y + wide, y, wide * sizeof *y);
}

void kern_upsample2_forward(const float *x, size_t N, size_t H, size_t W, size_t C, float *y) {
    resample_t r = {.in = x, .out = y, .W = W, .C = C};
    parallel_for(N * H, forward_task, &r);
}

static void backward_task(void *ctx, size_t row) {
    const resample_t *r = ctx;
    size_t C = r->C, wide = 2 * r->W * C;
    const float *dy = r->in + row * 2 * wide;
    float *dx = r->out + row * r->W * C;
    for (size_t i = 0; i < r->W; i++) {
        const float *top = dy + 2 * i * C, *bottom = top + wide;
        float *d = dx + i * C;
        for (size_t c = 0; c < C; c++) {
            float s = (top[c] + top[C + c]) + (bottom[c] + bottom[C + c]);
            d[c] = r->add ? d[c] + s : s;
        }
    }
}

void kern_upsample2_backward(const float *dy, size_t N, size_t H, size_t W, size_t C, float *dx, bool add) {
    resample_t r = {.in = dy, .out = dx, .W = W, .C = C, .add = add};
    parallel_for(N * H, backward_task, &r);
}
