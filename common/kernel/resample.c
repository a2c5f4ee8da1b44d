/* resample.c - 2x2 maximum, NHWC (resample.h). A task is a row of the small image. */
#include "common/base/pool.h"
#include "common/kernel/kernel.h"

#include <string.h>

typedef struct {
    const float *x, *dy; /* [N,H,W,C], [N,H/2,W/2,C] */
    float *y, *dx;
    size_t H, W, C;
    bool add;
} pool2_t;

static inline float larger(float m, float v) {
    return v > m || v != v ? v : m; /* NaN stays */
}

/* A row of y from two rows of x. */
static void maxpool_task(void *ctx, size_t row) {
    const pool2_t *p = ctx;
    size_t C = p->C, OH = p->H / 2, OW = p->W / 2;
    const float *top = p->x + (row / OH * p->H + row % OH * 2) * p->W * C, *bottom = top + p->W * C;
    float *y = p->y + row * OW * C;
    for (size_t i = 0; i < OW; i++, top += 2 * C, bottom += 2 * C, y += C)
        for (size_t c = 0; c < C; c++)
            y[c] = larger(larger(larger(top[c], top[C + c]), bottom[c]), bottom[C + c]);
}

void kern_maxpool2_forward(const float *x, size_t N, size_t H, size_t W, size_t C, float *y) {
    pool2_t p = {.x = x, .y = y, .H = H, .W = W, .C = C};
    parallel_for(N * (H / 2), maxpool_task, &p);
}

static inline void give(float *d, float v, bool add) {
    *d = add ? *d + v : v;
}

/* A row of dy to the two rows of dx it came from. */
static void maxpool_back_task(void *ctx, size_t row) {
    const pool2_t *p = ctx;
    size_t C = p->C, OH = p->H / 2, OW = p->W / 2, wide = p->W * C;
    size_t at = (row / OH * p->H + row % OH * 2) * wide;
    const float *dy = p->dy + row * OW * C;
    if (!p->add) {
        /* The last row of an image also clears an odd row below it, which takes no part. */
        size_t rows = row % OH + 1 == OH ? p->H - 2 * (OH - 1) : 2;
        memset(p->dx + at, 0, rows * wide * sizeof(float));
    }
    for (size_t i = 0; i < OW; i++)
        for (size_t c = 0; c < C; c++) {
            size_t a = at + 2 * i * C + c, place[4] = {a, a + C, a + wide, a + wide + C}, best = 0;
            for (size_t k = 1; k < 4; k++) best = p->x[place[k]] > p->x[place[best]] ? k : best;
            give(p->dx + place[best], dy[i * C + c], p->add);
        }
}

void kern_maxpool2_backward(const float *x, const float *dy, size_t N, size_t H, size_t W, size_t C,
                            float *dx, bool add) {
    pool2_t p = {.x = x, .dy = dy, .dx = dx, .H = H, .W = W, .C = C, .add = add};
    parallel_for(N * (H / 2), maxpool_back_task, &p);
}
