/* data_median.c - a source's per-pixel median, and what differs from it; see data.h. */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/io/image/image_metrics.h"
#include "vqvae/data.h"

#include <stdlib.h>

enum { MEDIAN_SAMPLES = 101 };

typedef struct {
    const data_t *d;
    data_source_t *s;
    uint8_t *frames; /* [n,h,w,3] */
    size_t n;
} median_t;

/* Image i of the n that are spread over the training images, or the next that can be read. */
static void median_read(void *ctx, size_t i) {
    median_t *m = ctx;
    size_t n = m->s->n_train, first = i * n / m->n;
    for (size_t k = 0; k < DATA_LOST_IN_A_ROW; k++)
        if (data_read(m->d, m->s, m->s->train[(first + k) % n],
                      m->frames + i * m->d->w * m->d->h * 3))
            return;
    data_die_lost(m->s);
}

static int by_value(const void *a, const void *b) {
    return *(const uint8_t *)a - *(const uint8_t *)b;
}

/* Row y of the median image. */
static void median_row(void *ctx, size_t y) {
    median_t *m = ctx;
    size_t row = m->d->w * 3, frame = row * m->d->h;
    uint8_t v[MEDIAN_SAMPLES];
    for (size_t x = 0; x < row; x++) {
        for (size_t i = 0; i < m->n; i++) v[i] = m->frames[i * frame + y * row + x];
        qsort(v, m->n, 1, by_value);
        m->s->median[y * row + x] = v[m->n / 2];
    }
}

void data_median(const data_t *d, data_source_t *s) {
    size_t n = min_size(s->n_train, MEDIAN_SAMPLES), frame = d->w * d->h * 3;
    median_t m = {.d = d, .s = s, .frames = xmalloc(n * frame), .n = n};
    s->median = xmalloc(frame);
    parallel_for(n, median_read, &m);
    parallel_for(d->h, median_row, &m);
    free(m.frames);
}

void data_medians(data_t *d) {
    for (size_t i = 0; i < d->n; i++) data_median(d, &d->source[i]);
}

size_t data_foreground(const data_t *d, const data_source_t *s, const uint8_t *rgb, bool *front) {
    return image_differs(rgb, s->median, d->w * d->h, front);
}

void data_focus_weights(const data_t *d, const data_source_t *s, const uint8_t *rgb,
                        float *weight) {
    size_t n = d->w * d->h;
    bool *is_front = xmalloc(n * sizeof *is_front);
    double focus = d->config.loss.focus, front = (double)data_foreground(d, s, rgb, is_front),
           mean = (focus * front + ((double)n - front)) / (double)n;
    float high = (float)(focus / mean), low = (float)(1 / mean);
    for (size_t i = 0; i < n; i++) weight[i] = is_front[i] ? high : low;
    free(is_front);
}
