/* adversary.c - see adversary.h. W is the decoder's last weight, g the generator's term. */
#include "vqvae/adversary.h"

#include "common/base/die.h"
#include "common/io/fs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char LAST[] = "decoder.conv_out.weight";
static const char *const LAST_ONLY[] = {LAST}, *const DISC_ONLY[] = {ADVERSARY_PREFIX};
static const float MOMENTUM = 0.1f; /* of the running statistics, PyTorch's */

enum { MEAN, VAR, STATS };
enum { REAL, RECONSTRUCTED, SIDES };
/* Statistics of a BatchNorm of `width` channels. */
typedef struct {
    /* "discriminator.main.3.running_mean", "...var" */
    char name[STATS][64];
    float *running[STATS];
    /* Means over the micro-batches of a step. */
    float *batch[SIDES][STATS];
    size_t width;
} norm_t;

struct adversary {
    patchgan_t net;
    params_t *params;
    double weight;
    int64_t start, ramp, accumulate;
    disc_kind_t kind;
    bool adaptive;
    optimizer_t optimizer;
    norm_t norm[PATCHGAN_LAYERS];
    /* A tensor of the training state, so a float: exact up to 2^24 updates, where Adam's correction
     * has long been 1. */
    float updates;
    /* Keeps the gradient of W while d is measured. */
    float *saved;
};

/* ---- life ---- */

/* The seed is the run's even where the params were made by another (a trace over a loaded
 * model). */
static void initialise(adversary_t *a, uint64_t seed) {
    params_t *fresh = params_new(seed);
    patchgan_declare(fresh, &a->net, "discriminator");
    patchgan_declare(a->params, &a->net, "discriminator");
    for (size_t i = 0; i < params_n(fresh); i++) {
        const param_t *q = params_at(fresh, (int)i);
        memcpy(params_ptr(a->params, PARAMS_VALUE, params_find(a->params, q->name)),
               params_ptr(fresh, PARAMS_VALUE, (int)i), q->count * sizeof(float));
    }
    params_free(fresh);
}

adversary_t *adversary_new(const config_t *c, params_t *p, size_t w, size_t h, uint64_t seed) {
    if (c->loss.disc <= 0) return NULL;
    adversary_t *a = NEW(adversary_t);
    a->net = (patchgan_t){(size_t)c->loss.disc_channels, (size_t)c->loss.disc_layers};
    if (!patchgan_fits(&a->net, h, w))
        die(RC_USAGE,
            "loss.disc_layers: a discriminator of %zu halvings needs images of at least %zu x "
            "%zu",
            a->net.layers, (size_t)3 << a->net.layers, (size_t)3 << a->net.layers);
    a->params = p;
    a->weight = c->loss.disc;
    a->start = c->loss.disc_start;
    a->ramp = c->loss.disc_ramp;
    a->accumulate = c->train.accumulate;
    a->kind = (disc_kind_t)c->loss.disc_kind;
    a->adaptive = c->loss.disc_adaptive;
    a->optimizer = config_optimizer(c);
    a->optimizer.average = 0;
    /* A warm-up of its own, from its first step on. */
    a->optimizer.schedule.steps = c->train.steps > a->start ? c->train.steps - a->start : 1;
    a->optimizer.wrt = DISC_ONLY;
    a->optimizer.n_wrt = 1;
    initialise(a, seed);
    if (params_find(p, LAST) < 0) BUG("the tokenizer's parameters come first: no '%s'", LAST);
    a->saved = xmalloc(params_at(p, params_find(p, LAST))->count * sizeof(float));
    for (size_t i = 0; i < a->net.layers; i++) {
        norm_t *n = &a->norm[i];
        n->width = patchgan_width(&a->net, i + 1);
        for (int s = MEAN; s < STATS; s++) {
            snprintf(n->name[s], sizeof n->name[s], ADVERSARY_PREFIX "main.%zu.running_%s",
                     patchgan_norm(i), s == MEAN ? "mean" : "var");
            n->running[s] = xcalloc(n->width, sizeof(float));
            for (int side = REAL; side < SIDES; side++)
                n->batch[side][s] = xcalloc(n->width, sizeof(float));
        }
        for (size_t k = 0; k < n->width; k++) n->running[VAR][k] = 1;
    }
    return a;
}

void adversary_free(adversary_t *a) {
    if (!a) return;
    for (size_t i = 0; i < a->net.layers; i++)
        for (int s = MEAN; s < STATS; s++) {
            free(a->norm[i].running[s]);
            for (int side = REAL; side < SIDES; side++) free(a->norm[i].batch[side][s]);
        }
    free(a->saved);
    free(a);
}

bool adversary_acts(const adversary_t *a, int64_t step) {
    return a && step >= a->start;
}

/* ---- tape and plan ---- */

adversary_vars_t adversary_record(const adversary_t *a, nn_t *nn, var_t image, var_t recon) {
    adversary_vars_t v;
    size_t mark = nn_push(nn, "discriminator");
    var_t real = nn_patchgan(nn, &a->net, image, v.stats[REAL]),
          fake = nn_patchgan(nn, &a->net, recon, v.stats[RECONSTRUCTED]);
    bool hinge = a->kind == DISC_HINGE;
    var_t half[2] = {op_gan(nn->tape, hinge ? GAN_HINGE_REAL : GAN_VANILLA_REAL, real),
                     op_gan(nn->tape, hinge ? GAN_HINGE_FAKE : GAN_VANILLA_FAKE, fake)};
    v.gan = op_gan(nn->tape, GAN_GENERATOR, fake);
    v.loss = op_weighted_sum(nn->tape, half, (float[]){0.5f, 0.5f}, 2);
    nn_pop(nn, mark);
    return v;
}

size_t adversary_keep(const adversary_t *a, const adversary_vars_t *v, var_t *keep) {
    size_t n = 0;
    keep[n++] = v->gan;
    keep[n++] = v->loss;
    for (int side = REAL; side < SIDES; side++)
        for (size_t i = 0; i < a->net.layers; i++) {
            keep[n++] = v->stats[side][i].mean;
            keep[n++] = v->stats[side][i].var;
        }
    return n;
}

enum { PASS_MAIN, PASS_DISC, PASS_NLL, PASS_GAN };

size_t adversary_passes(const adversary_t *a, const adversary_vars_t *v, var_t nll, pass_t *pass) {
    pass[0] = (pass_t){.root = {v->loss}, .n_roots = 1, .wrt = DISC_ONLY, .n_wrt = 1};
    if (!a->adaptive) return 1;
    pass[1] = (pass_t){.root = {nll}, .n_roots = 1, .wrt = LAST_ONLY, .n_wrt = 1};
    pass[2] = (pass_t){.root = {v->gan}, .n_roots = 1, .wrt = LAST_ONLY, .n_wrt = 1};
    return 3;
}

/* ---- a step ---- */

/* |gradient| of a pass at W, whose gradient g [n] the pass overwrites. */
static double gradient_norm(plan_t *plan, size_t pass, const float *g, size_t n) {
    plan_backward(plan, pass);
    return sqrt(kern_sumsq(g, n));
}

/* |d nll / d W| / (|d g / d W| + 1e-4), at most 1e4. What earlier micro-batches left in the
 * gradient of W is put back. */
static double gradient_ratio(adversary_t *a, plan_t *plan) {
    int at = params_find(a->params, LAST);
    size_t n = params_at(a->params, at)->count;
    float *g = params_ptr(a->params, PARAMS_GRAD, at);
    memcpy(a->saved, g, n * sizeof *g);
    double nll = gradient_norm(plan, PASS_NLL, g, n), gan = gradient_norm(plan, PASS_GAN, g, n),
           d = nll / (gan + 1e-4);
    memcpy(g, a->saved, n * sizeof *g);
    return d > 1e4 ? 1e4 : d; /* NaN stays: the step is skipped */
}

/* Adds a share of the replay's BatchNorm statistics; the first replay overwrites. */
static void gather_stats(adversary_t *a, plan_t *plan, const adversary_vars_t *v, int64_t micro) {
    float share = 1.f / (float)a->accumulate;
    for (int side = REAL; side < SIDES; side++)
        for (size_t i = 0; i < a->net.layers; i++) {
            const float *now[2] = {plan_data(plan, v->stats[side][i].mean),
                                   plan_data(plan, v->stats[side][i].var)};
            for (int s = MEAN; s < STATS; s++) {
                float *sum = a->norm[i].batch[side][s];
                for (size_t k = 0; k < a->norm[i].width; k++)
                    sum[k] = share * now[s][k] + (micro ? sum[k] : 0);
            }
        }
}

double adversary_replay(adversary_t *a, plan_t *plan, const adversary_vars_t *v, int64_t step,
                        int64_t micro, adversary_step_t *out) {
    double share = 1.0 / (double)a->accumulate, d = a->weight;
    int64_t age = step - a->start;
    plan_accumulate(plan, PASS_DISC, micro > 0);
    plan_backward(plan, PASS_DISC);
    gather_stats(a, plan, v, micro);
    if (a->adaptive) d *= gradient_ratio(a, plan);
    if (age < a->ramp) d *= (double)age / (double)a->ramp;
    plan_seed(plan, PASS_MAIN, 1, (float)d);
    out->loss_gan += share * plan_scalar(plan, v->gan);
    out->loss_disc += share * plan_scalar(plan, v->loss);
    out->d_weight += share * d;
    return share * d * plan_scalar(plan, v->gan);
}

/* running = (1 - MOMENTUM) running + MOMENTUM batch, for the real images first, as in a training
 * step of taming. */
static void apply_stats(adversary_t *a) {
    for (size_t i = 0; i < a->net.layers; i++)
        for (int side = REAL; side < SIDES; side++)
            for (int s = MEAN; s < STATS; s++)
                for (size_t k = 0; k < a->norm[i].width; k++) {
                    float *r = &a->norm[i].running[s][k];
                    *r = (1 - MOMENTUM) * *r + MOMENTUM * a->norm[i].batch[side][s][k];
                }
}

bool adversary_update(adversary_t *a, const adversary_step_t *s) {
    if (!isfinite(s->loss_disc)) return false;
    optimizer_step_t step =
        optimizer_step(&a->optimizer, a->params, (int64_t)a->updates, 1.0 / (double)a->accumulate);
    if (step.skipped) return false;
    a->updates += 1;
    apply_stats(a);
    return true;
}

/* ---- state and files ---- */

size_t adversary_state(adversary_t *a, checkpoint_state_t *out) {
    size_t n = 0;
    if (!a) return 0;
    out[n++] = (checkpoint_state_t){ADVERSARY_PREFIX "updates", &a->updates, 1};
    for (size_t i = 0; i < a->net.layers; i++)
        for (int s = MEAN; s < STATS; s++)
            out[n++] =
                (checkpoint_state_t){a->norm[i].name[s], a->norm[i].running[s], a->norm[i].width};
    return n;
}

/* Tensor `name` ("discriminator.main...") in any of the files' spellings. */
static const st_tensor_t *find(const st_file_t *f, const char *name) {
    static const char *const prefix[] = {"", "loss.", "value/", "state/"};
    char full[160];
    for (size_t i = 0; i < sizeof prefix / sizeof *prefix; i++) {
        snprintf(full, sizeof full, "%s%s", prefix[i], name);
        const st_tensor_t *t = st_find(f, full);
        if (t) return t;
    }
    return st_find(f, name + strlen(ADVERSARY_PREFIX));
}

bool adversary_in(const st_file_t *f) {
    return find(f, ADVERSARY_PREFIX "main.0.weight") != NULL;
}

/* The numbers of a tensor of this shape, malloc'ed in *out. */
static int read_one(const st_file_t *f, const char *name, int rank, const size_t *dim, float **out,
                    reason_t *why) {
    size_t n = 1;
    for (int d = 0; d < rank; d++) n *= dim[d];
    *out = xmalloc(n * sizeof **out);
    return checkpoint_read(find(f, name), name, rank, dim, *out, why);
}

int adversary_load(adversary_t *a, const st_file_t *f, reason_t *why) {
    float *disk;
    for (size_t i = 0; i < params_n(a->params); i++) {
        const param_t *q = params_at(a->params, (int)i);
        if (strncmp(q->name, ADVERSARY_PREFIX, strlen(ADVERSARY_PREFIX))) continue;
        int rc = read_one(f, q->name, q->rank, q->dim, &disk, why);
        if (!rc) params_import(a->params, PARAMS_VALUE, (int)i, disk);
        free(disk);
        if (rc) return rc;
    }
    for (size_t i = 0; i < a->net.layers; i++)
        for (int s = MEAN; s < STATS; s++) {
            norm_t *n = &a->norm[i];
            if (!find(f, n->name[s])) continue;
            int rc = read_one(f, n->name[s], 1, &n->width, &disk, why);
            if (!rc) memcpy(n->running[s], disk, n->width * sizeof *disk);
            free(disk);
            if (rc) return rc;
        }
    return RC_OK;
}

bool adversary_find(const char *run, st_file_t *f, char **path) {
    static const char *const files[] = {"diffusion_pytorch_model.safetensors",
                                        "training.safetensors"};
    reason_t why;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        *path = fs_join(run, files[i]);
        if (fs_exists(*path)) {
            if (st_open(f, *path, &why)) die(RC_DATA, "%s", why.text);
            if (adversary_in(f)) return true;
            st_close(f);
        }
        free(*path);
    }
    return false;
}

bool adversary_like(const adversary_t *a, const st_file_t *f) {
    size_t theirs = 0, ours = 0;
    for (size_t i = 0; i < params_n(a->params); i++) {
        const param_t *q = params_at(a->params, (int)i);
        if (strncmp(q->name, ADVERSARY_PREFIX, strlen(ADVERSARY_PREFIX))) continue;
        if (!checkpoint_shaped(find(f, q->name), q->rank, q->dim)) return false;
        ours++;
    }
    /* One with more layers may begin alike. */
    for (int i = 0; i < 3 * (PATCHGAN_LAYERS + 2); i++) {
        char name[64];
        snprintf(name, sizeof name, ADVERSARY_PREFIX "main.%d.weight", i);
        theirs += find(f, name) != NULL;
        snprintf(name, sizeof name, ADVERSARY_PREFIX "main.%d.bias", i);
        theirs += find(f, name) != NULL;
    }
    return theirs == ours;
}
