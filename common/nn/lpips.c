/* lpips.c - see lpips.h. */
#include "common/nn/lpips.h"

#include "common/base/die.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONVS = 13, SLICES = 5 };

/* Number of each convolution in torchvision's `features`, and its slice; a slice ends with the ReLU
 * that is compared, and all but the first begin with a pooling. */
static const int FEATURE[CONVS] = {0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28};
static const int SLICE[CONVS] = {1, 1, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5};

/* Of inputs in [-1,1], so that ImageNet's pixels have mean 0 and variance 1. */
static const float SHIFT[3] = {-0.030f, -0.088f, -0.188f}, SCALE[3] = {0.458f, 0.448f, 0.450f};

struct lpips {
    size_t width[CONVS + 1]; /* width[0] = 3 */
    float *weight[CONVS];    /* [3,3,in,out] */
    float *bias[CONVS], *linear[SLICES];
};

void lpips_free(lpips_t *l) {
    if (!l) return;
    for (int i = 0; i < CONVS; i++) {
        free(l->weight[i]);
        free(l->bias[i]);
    }
    for (int i = 0; i < SLICES; i++) free(l->linear[i]);
    free(l);
}

size_t lpips_bytes(const lpips_t *l) {
    size_t n = 0;
    if (!l) return 0;
    for (int i = 0; i < CONVS; i++) n += (9 * l->width[i] + 1) * l->width[i + 1];
    return n * sizeof(float);
}

/* ---- reading ---- */

static const char *const PREFIX[] = {"", "loss.perceptual_loss.", "perceptual_loss.", "vgg.",
                                     "net."};

static const st_tensor_t *find(const st_file_t *f, const char *name) {
    char full[128];
    const st_tensor_t *t = NULL;
    for (size_t i = 0; i < sizeof PREFIX / sizeof *PREFIX && !t; i++) {
        snprintf(full, sizeof full, "%s%s", PREFIX[i], name);
        t = st_find(f, full);
    }
    return t;
}

static const st_tensor_t *find_conv(const st_file_t *f, int i, const char *what) {
    char name[64];
    snprintf(name, sizeof name, "net.slice%d.%d.%s", SLICE[i], FEATURE[i], what);
    const st_tensor_t *t = find(f, name);
    if (t) return t;
    snprintf(name, sizeof name, "features.%d.%s", FEATURE[i], what);
    return find(f, name);
}

static const st_tensor_t *find_linear(const st_file_t *f, int i) {
    static const char *const pattern[] = {"lin%d.model.1.weight", "lins.%d.model.1.weight",
                                          "lin%d.model.0.weight", "lins.%d.model.0.weight"};
    const st_tensor_t *t = NULL;
    for (size_t k = 0; k < sizeof pattern / sizeof *pattern && !t; k++) {
        char number[2] = {(char)('0' + i), 0}, name[64];
        const char *at = strstr(pattern[k], "%d");
        snprintf(name, sizeof name, "%.*s%s%s", (int)(at - pattern[k]), pattern[k], number, at + 2);
        t = find(f, name);
    }
    return t;
}

static int misfit(reason_t *why, const char *name, const st_tensor_t *t, const char *wanted) {
    char shape[96] = "";
    if (!t) {
        reason_set(why, "LPIPS's tensor '%s' is missing", name);
        return RC_MISFIT;
    }
    for (int d = 0; d < t->rank; d++) {
        size_t at = strlen(shape);
        snprintf(shape + at, sizeof shape - at, "%s%llu", d ? "," : "",
                 (unsigned long long)t->dim[d]);
    }
    reason_set(why, "LPIPS's tensor '%s' has the shape [%s], wanted is %s", t->name, shape, wanted);
    return RC_MISFIT;
}

/* The numbers of a tensor, malloc'ed in *out. */
static int numbers(const st_tensor_t *t, float **out, reason_t *why) {
    reason_t inner;
    *out = xmalloc(t->count * sizeof **out);
    if (st_read_f32(t, *out, &inner)) {
        reason_set(why, "LPIPS's tensor '%s': %s", t->name, inner.text);
        return RC_MISFIT;
    }
    if (st_finite(*out, t->count)) return RC_OK;
    reason_set(why, "LPIPS's tensor '%s' holds a NaN or infinity", t->name);
    return RC_DATA;
}

static int read_conv(lpips_t *l, const st_file_t *f, int i, reason_t *why) {
    char name[64], wanted[64];
    size_t in = l->width[i], out = 0;
    const st_tensor_t *w = find_conv(f, i, "weight"), *b = find_conv(f, i, "bias");
    snprintf(name, sizeof name, "features.%d.weight", FEATURE[i]);
    snprintf(wanted, sizeof wanted, "[any,%zu,3,3]", in);
    if (!w || w->rank != 4 || !w->dim[0] || w->dim[1] != in || w->dim[2] != 3 || w->dim[3] != 3)
        return misfit(why, name, w, wanted);
    out = l->width[i + 1] = (size_t)w->dim[0];
    snprintf(name, sizeof name, "features.%d.bias", FEATURE[i]);
    snprintf(wanted, sizeof wanted, "[%zu]", out);
    if (!b || b->rank != 1 || b->dim[0] != out) return misfit(why, name, b, wanted);
    float *disk;
    int rc = numbers(w, &disk, why);
    l->weight[i] = xmalloc(w->count * sizeof(float));
    for (size_t o = 0; o < out && !rc; o++) /* OIHW -> [3,3,in,out] */
        for (size_t c = 0; c < in; c++)
            for (size_t k = 0; k < 9; k++)
                l->weight[i][(k * in + c) * out + o] = disk[(o * in + c) * 9 + k];
    free(disk);
    return rc ? rc : numbers(b, &l->bias[i], why);
}

static int read_linear(lpips_t *l, const st_file_t *f, int i, size_t width, reason_t *why) {
    char name[64], wanted[64];
    const st_tensor_t *w = find_linear(f, i);
    snprintf(name, sizeof name, "lin%d.model.1.weight", i);
    snprintf(wanted, sizeof wanted, "[1,%zu,1,1]", width);
    bool fits = w && w->count == width;
    for (int d = 0; fits && d < w->rank; d++) fits = w->dim[d] == 1 || w->dim[d] == width;
    if (!fits) return misfit(why, name, w, wanted);
    return numbers(w, &l->linear[i], why);
}

int lpips_read(lpips_t **out, const st_file_t *f, reason_t *why) {
    lpips_t *l = NEW(lpips_t);
    int rc = RC_OK;
    l->width[0] = 3;
    for (int i = 0; i < CONVS && !rc; i++) {
        rc = read_conv(l, f, i, why);
        if (!rc && (i + 1 == CONVS || SLICE[i + 1] != SLICE[i]))
            rc = read_linear(l, f, SLICE[i] - 1, l->width[i + 1], why);
    }
    if (rc) {
        lpips_free(l);
        l = NULL;
    }
    *out = l;
    return rc;
}

int lpips_load(lpips_t **out, const char *path, reason_t *why) {
    st_file_t f;
    reason_t inner;
    *out = NULL;
    if (st_open(&f, path, &inner)) {
        reason_set(why, "%s", inner.text);
        return RC_DATA;
    }
    int rc = lpips_read(out, &f, &inner);
    if (rc) reason_set(why, "'%s': %s", path, inner.text);
    st_close(&f);
    return rc;
}

/* ---- recording ---- */

static var_t pixels(tape_t *t, var_t x) {
    return op_standardize(t, x, tape_bound(t, "shift", F32_1(3), SHIFT),
                          tape_bound(t, "scale", F32_1(3), SCALE));
}

static var_t layer(nn_t *nn, const lpips_t *l, int i, var_t x) {
    tape_t *t = nn->tape;
    var_t w = tape_bound(t, "weight", F32_4(3, 3, l->width[i], l->width[i + 1]), l->weight[i]);
    var_t b = tape_bound(t, "bias", F32_1(l->width[i + 1]), l->bias[i]);
    x = op_conv2d(t, x, w, b,
                  (conv_opts_t){.stride = 1,
                                .pad_top = 1,
                                .pad_left = 1,
                                .pad_bottom = 1,
                                .pad_right = 1,
                                .up = 1,
                                .plain = nn->plain_conv});
    return op_act(t, x, ACT_RELU);
}

var_t nn_lpips(nn_t *nn, const lpips_t *l, var_t a, var_t b) {
    tape_t *t = nn->tape;
    var_t distance[SLICES];
    size_t mark = nn_push(nn, "lpips");
    size_t n = 0;
    a = pixels(t, a);
    b = pixels(t, b);
    for (int i = 0; i < CONVS; i++) {
        if (i && SLICE[i] != SLICE[i - 1]) {
            a = op_maxpool2(t, a);
            b = op_maxpool2(t, b);
        }
        a = layer(nn, l, i, a);
        b = layer(nn, l, i, b);
        if (i + 1 < CONVS && SLICE[i + 1] == SLICE[i]) continue;
        var_t w = tape_bound(t, "linear", F32_1(l->width[i + 1]), l->linear[n]);
        distance[n++] = op_feature_distance(t, a, b, w);
    }
    var_t sum = op_weighted_sum(t, distance, (float[]){1, 1, 1, 1, 1}, n);
    nn_pop(nn, mark);
    return sum;
}
