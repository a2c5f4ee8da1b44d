/* bench.c - our side of `make bench`: kernels, the encoder and the player, timed inside one
 * process.
 *
 * Reads a command a line from stdin and answers each with one line of JSON, so that bench.py can
 * alternate it with the other side. A time is the median of the repetitions that fit into
 * `seconds`, after a warm-up. What the programs print themselves (training, tokenizing) is not
 * measured here.
 *
 *   limits
 *       the machine: multiply-adds and reading of memory, all threads
 *   conv forward|input|weight N SIDE C SECONDS
 *       a 3x3 convolution of N x SIDE x SIDE pixels, C to C channels
 *   encode RUN RGB BATCH SECONDS
 *       images of 64 px out of the raw file RGB to codes
 *   decode FOLDER
 *       one thread reads and decodes the folder's images, 1,000 at most
 *   control RUN RGB FILL STEPS HOW
 *       STEPS timed steps of a policy behind FILL others;
 *       HOW: cache, rebuild, or cache with bf16, q8 or q4 weights
 *   first RUN RGB
 *       opens a policy and acts once
 *   images DIR RGB COUNT FOLDER...
 *       COUNT PNG files of 64 px: crops and mirrored crops of the folders' images; the first ones
 *       also as raw bytes
 *   stream CONFIG DIR FOLDER...
 *       what `vqvae train` sees, step by step, and its held-out images: raw
 */
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "common/io/source/image_source.h"
#include "common/kernel/kernel.h"
#include "common/kernel/lanes.h"
#include "gato/play/player.h"
#include "vqvae/data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 64, PIXELS = SIDE * SIDE * 3, RAW = 64 /* images in the raw file */, MOST = 4096 };

/* ---- time ---- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *t, size_t n, double q) {
    qsort(t, n, sizeof *t, by_value);
    return t[(size_t)floor(q * (double)(n - 1) + 0.5)];
}

/* Median seconds of a call. */
static double measure(void (*call)(void *), void *ctx, double seconds) {
    static double t[MOST];
    size_t n = 0;
    call(ctx);
    call(ctx);
    for (double start = log_now(), now = start; n < MOST && (n < 3 || now - start < seconds); n++) {
        double before = now;
        call(ctx);
        now = log_now();
        t[n] = now - before;
    }
    return quantile(t, n, 0.5);
}

/* ---- the machine's limits ---- */

enum { CHAINS = 12 /* independent sums: latency x issue width */, ROUNDS = 4000000 };

static volatile float sink[1024]; /* results that must not be optimized away */

static void fma_item(void *ctx, size_t i) {
    lanes_t sum[CHAINS], a, b;
    for (int l = 0; l < LANES; l++) a[l] = 0.5f + (float)(i + 1) * 1e-3f, b[l] = 1e-3f * (float)l;
    for (int c = 0; c < CHAINS; c++) sum[c] = b * (float)c;
    for (size_t r = 0; r < ROUNDS; r++)
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++) sum[c] = sum[c] * a + b;
    for (int c = 1; c < CHAINS; c++) sum[0] += sum[c];
    sink[i % 1024] = sum[0][0];
}

static void fma_all(void *ctx) {
    parallel_for((size_t)pool_threads(), fma_item, ctx);
}

enum { STRETCH = 1 << 20 /* floats an item reads */, STRETCHES = 128 };

static void read_item(void *ctx, size_t i) {
    const lanes_t *x = (const lanes_t *)((const float *)ctx + i * STRETCH);
    lanes_t sum[8] = {0};
    for (size_t k = 0; k < STRETCH / LANES; k += 8)
        for (size_t c = 0; c < 8; c++) sum[c] += x[k + c];
    for (int c = 1; c < 8; c++) sum[0] += sum[c];
    sink[i] = sum[0][0];
}

static void read_all(void *ctx) {
    parallel_for(STRETCHES, read_item, ctx);
}

static void limits(void) {
    double flops = 2.0 * LANES * CHAINS * ROUNDS * pool_threads(),
           bytes = 4.0 * STRETCH * STRETCHES;
    double fma = measure(fma_all, NULL, 1);
    float *x = xaligned((size_t)bytes);
    for (size_t i = 0; i < (size_t)STRETCH * STRETCHES; i++) x[i] = (float)(i & 7);
    double reading = measure(read_all, x, 1);
    free(x);
    printf("{\"gflops\":%.2f,\"gbytes\":%.2f,\"threads\":%d}\n", flops / fma * 1e-9,
           bytes / reading * 1e-9, pool_threads());
}

/* Multiply-adds of all threads for some hundredths of a second: does the machine give us what it
 * can at this moment?
 */
static void speed(void) {
    double start = log_now();
    fma_all(NULL);
    printf("{\"gflops\":%.2f}\n",
           2.0 * LANES * CHAINS * ROUNDS * pool_threads() / (log_now() - start) * 1e-9);
}

/* ---- convolution ---- */

typedef struct {
    kern_conv_t g;
    char op;
    float *x, *w, *y, *bias;
} conv_t;

static float *noise(size_t n, const char *name) {
    float *x = xaligned(n * sizeof *x);
    rng_t r = rng_make(1, name);
    for (size_t i = 0; i < n; i++) x[i] = rng_uniform(r, i) - 0.5f;
    return x;
}

static void conv_call(void *ctx) {
    conv_t *c = ctx;
    if (c->op == 'f') kern_conv_forward(&c->g, c->x, c->w, c->bias, c->y);
    if (c->op == 'i') kern_conv_backward_input(&c->g, c->y, c->w, c->x, false);
    if (c->op == 'w') kern_conv_backward_weight(&c->g, c->x, c->y, c->w, false);
}

static bool conv(const char *rest) {
    char op[16];
    size_t N, S, C;
    double seconds;
    if (sscanf(rest, "%15s %zu %zu %zu %lf", op, &N, &S, &C, &seconds) != 5) return false;
    conv_t c = {.g = {N, S, S, C, S, S, C, 3, 3, 1, 1, 1, 1}, .op = op[0]};
    c.x = noise(N * S * S * C, "x");
    c.y = noise(N * S * S * C, "y");
    c.w = noise(9 * C * C, "w");
    c.bias = noise(C, "bias");
    printf("{\"seconds\":%.9g}\n", measure(conv_call, &c, seconds));
    free(c.x);
    free(c.y);
    free(c.w);
    free(c.bias);
    return true;
}

/* ---- images ---- */

static uint8_t *read_raw(const char *path) {
    uint8_t *rgb;
    size_t size;
    reason_t why;
    if (fs_read(path, 0, &rgb, &size, &why)) die(RC_RUNTIME, "%s", why.text);
    if (size != (size_t)RAW * PIXELS)
        die(RC_DATA, "'%s' has %zu bytes instead of %d", path, size, RAW * PIXELS);
    return rgb;
}

/* Crop k of an image: a window of 75 to 100 % of the smaller side, every other one mirrored. */
static image_t crop(const image_t *im, uint64_t k) {
    rng_t r = rng_fold(rng_make(1, "crop"), k);
    size_t least = im->w < im->h ? im->w : im->h,
           side = least - (size_t)(rng_uniform(r, 0) * 0.25f * (float)least);
    image_t window = image_crop(im, rng_below(r, 1, (uint32_t)(im->w - side + 1)),
                                rng_below(r, 2, (uint32_t)(im->h - side + 1)), side, side);
    image_t out = image_resize(&window, SIDE, SIDE);
    image_release(&window);
    for (size_t y = 0; k % 2 && y < SIDE; y++)
        for (size_t x = 0; x < SIDE / 2; x++)
            for (size_t c = 0; c < 3; c++) {
                uint8_t *a = &out.rgb[(y * SIDE + x) * 3 + c],
                        *b = &out.rgb[(y * SIDE + SIDE - 1 - x) * 3 + c], t = *a;
                *a = *b;
                *b = t;
            }
    return out;
}

static bool images(char *rest) {
    char *next, *dir = strtok_r(rest, " \n", &next), *raw = strtok_r(NULL, " \n", &next),
                *count = strtok_r(NULL, " \n", &next), *folder;
    image_source_t *source[8];
    size_t n_sources = 0, n = count ? strtoul(count, NULL, 10) : 0, bad = 0;
    while (n_sources < 8 && (folder = strtok_r(NULL, " \n", &next)))
        source[n_sources++] = image_source_open_or_die(folder);
    if (!n || !n_sources) return false;
    image_opts_t o = image_opts_default();
    reason_t why;
    uint8_t *first = xcalloc(RAW, PIXELS);
    if (fs_mkdirs(dir, &why)) die(RC_RUNTIME, "%s", why.text);
    for (size_t i = 0; i < n; i++) {
        const image_source_t *s = source[i % n_sources];
        image_t im;
        char name[32];
        if (image_source_read(s, i / n_sources % image_source_count(s), &im, &o, &why)) {
            bad++;
            continue;
        }
        image_t out = crop(&im, i);
        if (i < RAW) memcpy(first + i * PIXELS, out.rgb, PIXELS);
        snprintf(name, sizeof name, "%05zu.png", i);
        char *path = fs_join(dir, name);
        uint8_t *png;
        size_t size;
        if (image_encode_png(&out, &png, &size, &why)) die(RC_RUNTIME, "%s", why.text);
        FILE *file = fopen(path, "wb"); /* fs_write would wait for the disk, 5,000 times */
        if (!file || fwrite(png, 1, size, file) != size || fclose(file))
            die_errno(RC_RUNTIME, "cannot write '%s'", path);
        free(png);
        free(path);
        image_release(&out);
        image_release(&im);
    }
    if (fs_write(raw, first, (size_t)RAW * PIXELS, &why)) die(RC_RUNTIME, "%s", why.text);
    free(first);
    for (size_t i = 0; i < n_sources; i++) image_source_close(source[i]);
    printf("{\"images\":%zu,\"bad\":%zu}\n", n - bad, bad);
    return true;
}

/* ---- training images, as `vqvae train` would see them ---- */

static void append(FILE *f, const uint8_t *rgb, size_t n) {
    if (fwrite(rgb, 1, n, f) != n) die_errno(RC_RUNTIME, "cannot write images");
}

static FILE *create(const char *dir, const char *name) {
    char *path = fs_join(dir, name);
    FILE *f = fopen(path, "wb");
    if (!f) die_errno(RC_RUNTIME, "cannot create '%s'", path);
    free(path);
    return f;
}

static bool stream(char *rest) {
    char *next, *path = strtok_r(rest, " \n", &next), *dir = strtok_r(NULL, " \n", &next), *folder;
    const char *item[8];
    cli_list_t specs = {.item = item};
    config_t c;
    reason_t why;
    while (specs.n < 8 && (folder = strtok_r(NULL, " \n", &next))) item[specs.n++] = folder;
    if (!specs.n) return false;
    config_defaults(config_table, &c);
    config_file(config_table, &c, path);
    if (fs_mkdirs(dir, &why)) die(RC_RUNTIME, "%s", why.text);
    data_t *d = data_open(&specs, &c, 0, 0.01, 0, false);
    size_t n = (size_t)(c.train.steps * c.train.batch), held = 128, pixels = d->w * d->h * 3;
    uint8_t *rgb = xmalloc(pixels);
    FILE *f = create(dir, "stream.rgb");
    for (size_t g = 0; g < n; g++) {
        data_sample(d, g, rgb, NULL);
        append(f, rgb, pixels);
    }
    if (fclose(f)) die_errno(RC_RUNTIME, "cannot write images");
    f = create(dir, "held.rgb");
    for (size_t i = 0; i < held; i++) { /* those of its held-out figure */
        const data_source_t *s = &d->source[i % d->n];
        size_t count = data_count(s, SPLIT_VAL);
        data_read(d, s, data_item(s, SPLIT_VAL, i / d->n * 7919 % count), rgb);
        append(f, rgb, pixels);
    }
    if (fclose(f)) die_errno(RC_RUNTIME, "cannot write images");
    data_close(d);
    free(rgb);
    printf("{\"samples\":%zu,\"held_out\":%zu}\n", n, held);
    return true;
}

/* ---- encoder ---- */

typedef struct {
    vqvae_t *v;
    uint8_t *rgb;
    size_t n;
    uint32_t *codes;
} encode_t;

static void encode_call(void *ctx) {
    encode_t *e = ctx;
    vqvae_encode_images(e->v, e->rgb, e->n, SIDE, SIDE, e->codes);
}

/* Multiply-adds x 2 of one image's encoding. */
static double encode_flops(const vqvae_t *v) {
    params_t *p = params_new(1);
    tape_t *t = tape_new(p);
    nn_t nn;
    nn_begin(&nn, t);
    vqvae_encode(&nn, vqvae_config(v), tape_input(t, "image", F32_4(1, SIDE, SIDE, 3)), NULL);
    double flops = tape_flops(t);
    tape_free(t);
    params_free(p);
    return flops;
}

static bool encode(const char *rest) {
    char run[512], raw[512];
    encode_t e = {0};
    double seconds;
    int rc;
    reason_t why;
    if (sscanf(rest, "%511s %511s %zu %lf", run, raw, &e.n, &seconds) != 4 || !e.n || e.n > RAW)
        return false;
    e.v = vqvae_open(run, &rc, &why);
    if (!e.v) die(rc, "%s", why.text);
    size_t f = vqvae_stride(vqvae_config(e.v)), grid = SIDE / f * (SIDE / f);
    e.rgb = read_raw(raw);
    e.codes = xcalloc(e.n * grid, sizeof *e.codes);
    double t = measure(encode_call, &e, seconds);
    printf("{\"seconds\":%.9g,\"flops\":%.0f,\"codes\":[", t, encode_flops(e.v) * (double)e.n);
    for (size_t i = 0; i < grid; i++) printf("%s%u", i ? "," : "", e.codes[i]);
    puts("]}");
    vqvae_free(e.v);
    free(e.rgb);
    free(e.codes);
    return true;
}

static bool decode(char *rest) {
    enum { READ = 1000 };
    char *next, *dir = strtok_r(rest, " \n", &next);
    if (!dir) return false;
    image_source_t *s = image_source_open_or_die(dir);
    image_opts_t o = image_opts_default();
    size_t n = image_source_count(s) < READ ? image_source_count(s) : READ;
    double start = 0;
    for (int warm = 0; warm < 2; warm++) {
        start = log_now();
        for (size_t i = 0; i < n; i++) {
            image_t im;
            reason_t why;
            if (image_source_read(s, i, &im, &o, &why))
                die(RC_DATA, "'%s': %s", image_source_key(s, i), why.text);
            image_release(&im);
        }
    }
    printf("{\"seconds\":%.9g}\n", (log_now() - start) / (double)n);
    image_source_close(s);
    return true;
}

/* ---- acting ---- */

/* A policy in one lane at its first task. The body that it moves is that task itself, with images
 * of SIDE out of the raw file, vectors between 0 and 1, and no text. */
typedef struct {
    player_t *player;
    const task_t *body;
    uint8_t *rgb;
    float *vector; /* [columns of all observed vectors] */
} actor_t;

static actor_t actor_open(const char *run, const char *raw, const char *how) {
    int rc;
    reason_t why;
    player_opts_t o = {.rebuild = !strcmp(how, "rebuild"), .decode = -1};
    if (strcmp(how, "cache") && !o.rebuild && gato_weights_named(how, &o.weights, &why))
        die(RC_USAGE, "%s", why.text);
    actor_t a = {.player = player_open(run, &o, &rc, &why)};
    if (!a.player) die(rc, "%s", why.text);
    a.body = player_model(a.player)->tasks.v;
    for (uint32_t k = 0; k < a.body->n_slots; k++) {
        const slot_t *s = &a.body->slot[k];
        if (s->kind == SLOT_IMAGE && (s->image_w != SIDE || s->image_h != SIDE))
            die(RC_MISFIT, "'%s' reads images of %u x %u, not %d x %d", run, s->image_w, s->image_h,
                SIDE, SIDE);
        if (s->side == SIDE_OBSERVED && s->kind == SLOT_DISCRETE)
            die(RC_MISFIT, "'%s' reads discrete values", run);
    }
    int task = player_bind(a.player, a.body, NULL, false, &why);
    if (task < 0 || player_lanes(a.player, 1, &why)) die(RC_MISFIT, "%s", why.text);
    player_reset(a.player, 0, (uint32_t)task);
    a.rgb = read_raw(raw);
    a.vector = xcalloc(task_width(a.body, SIDE_OBSERVED, SLOT_VECTOR) + 1, sizeof *a.vector);
    return a;
}

static void actor_close(actor_t *a) {
    player_close(a->player);
    free(a->rgb);
    free(a->vector);
}

/* Timestep t: what is done in it. */
static env_action_t act(actor_t *a, size_t t) {
    reason_t why;
    rng_t r = rng_fold(rng_make(1, "vector"), t);
    env_observation_t seen = {0};
    size_t column = 0;
    for (uint32_t k = 0; k < a->body->n_slots; k++) {
        const slot_t *s = &a->body->slot[k];
        if (s->side != SIDE_OBSERVED) continue;
        if (s->kind == SLOT_IMAGE) seen.slot[k].rgb = a->rgb + t % RAW * PIXELS;
        if (s->kind != SLOT_VECTOR) continue;
        seen.slot[k].vector = a->vector + column;
        for (uint32_t i = 0; i < s->width; i++, column++)
            a->vector[column] = rng_uniform(r, column);
    }
    player_turn_t turn = {.seen = &seen, .draw = r};
    if (player_push(a->player, &turn, 1, &why)) die(RC_RUNTIME, "%s", why.text);
    return turn.action;
}

static bool control(const char *rest) {
    static double ms[MOST];
    char run[512], raw[512], how[16];
    size_t fill, steps;
    if (sscanf(rest, "%511s %511s %zu %zu %15s", run, raw, &fill, &steps, how) != 5 || !steps ||
        steps > MOST)
        return false;
    actor_t a = actor_open(run, raw, how);
    for (size_t t = 0; t < fill; t++) act(&a, t);
    for (size_t t = 0; t < steps; t++) {
        double start = log_now();
        act(&a, fill + t);
        ms[t] = (log_now() - start) * 1000;
    }
    const gato_model_t *m = player_model(a.player);
    printf("{\"p50\":%.6g,", quantile(ms, steps, 0.5));
    printf("\"p99\":%.6g,\"attn_window\":%u,\"vocabulary\":%u}\n", quantile(ms, steps, 0.99),
           m->window[0], tokens_total(&m->tokens));
    actor_close(&a);
    return true;
}

static bool first(const char *rest) {
    char run[512], raw[512];
    if (sscanf(rest, "%511s %511s", run, raw) != 2) return false;
    actor_t a = actor_open(run, raw, "cache");
    env_action_t action = act(&a, 0);
    printf("{\"action\":[%.4f,%.4f]}\n", (double)action.vector[0], (double)action.vector[1]);
    fflush(stdout);
    actor_close(&a);
    return true;
}

int main(int argc, char **argv) {
    pool_set_threads(argc > 1 ? atoi(argv[1]) : 0);
    char line[4096], name[16];
    while (fgets(line, sizeof line, stdin)) {
        int used = 0;
        bool known = sscanf(line, "%15s%n", name, &used) == 1;
        char *rest = line + used;
        if (known && !strcmp(name, "limits"))
            limits();
        else if (known && !strcmp(name, "speed"))
            speed();
        else if (known)
            known = (!strcmp(name, "conv") && conv(rest)) ||
                    (!strcmp(name, "encode") && encode(rest)) ||
                    (!strcmp(name, "control") && control(rest)) ||
                    (!strcmp(name, "first") && first(rest)) ||
                    (!strcmp(name, "images") && images(rest)) ||
                    (!strcmp(name, "decode") && decode(rest)) ||
                    (!strcmp(name, "stream") && stream(rest));
        if (!known) die(RC_USAGE, "no such command: %s", line);
        fflush(stdout);
    }
    return 0;
}
