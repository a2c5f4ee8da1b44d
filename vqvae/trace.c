/* trace.c - `vqvae trace`: intermediate values, gradients and updates, to compare with another
 * framework.
 *
 * The images in order are the whole batch, at native size, v/127.5 - 1, no augmentation. Tensors
 * leave in PyTorch's layout.
 */
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "common/io/safetensors/safetensors.h"
#include "common/io/text/json.h"
#include "common/model/seed.h"
#include "vqvae/commands.h"
#include "vqvae/data.h"
#include "vqvae/quantizer_kind.h"
#include "vqvae/seed.h"
#include "vqvae/trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    size_t n, w, h;
    float *value; /* [n,h,w,3] */
} images_t;

static images_t read_images(const cli_list_t *files, const vqvae_config_t *c,
                            const image_opts_t *opts) {
    size_t stride = vqvae_stride(c), own_w, own_h;
    bool fixed = vqvae_fixed_size(c, &own_w, &own_h);
    images_t all = {.n = files->n};
    for (size_t i = 0; i < files->n; i++) {
        image_t im;
        reason_t why;
        if (!fs_exists(files->item[i])) die(RC_USAGE, "'%s': no such file", files->item[i]);
        if (image_read(&im, files->item[i], opts, &why) != IMAGE_OK)
            die(RC_DATA, "'%s': %s", files->item[i], why.text);
        if (im.w % stride || im.h % stride || !im.w || !im.h)
            die(RC_USAGE, "'%s': %zu x %zu is no multiple of the stride %zu", files->item[i], im.w,
                im.h, stride);
        if (fixed && (im.w != own_w || im.h != own_h))
            die(RC_USAGE, "'%s': %zu x %zu, but the tokenizer takes images of %zu x %zu alone",
                files->item[i], im.w, im.h, own_w, own_h);
        if (i && (im.w != all.w || im.h != all.h))
            die(RC_USAGE, "'%s': %zu x %zu, but '%s' has %zu x %zu; one batch needs one size",
                files->item[i], im.w, im.h, files->item[0], all.w, all.h);
        if (!i) {
            all.w = im.w;
            all.h = im.h;
            all.value = xmalloc(all.n * im.w * im.h * 3 * sizeof(float));
        }
        image_to_float(im.rgb, im.w * im.h * 3, all.value + i * im.w * im.h * 3);
        image_release(&im);
    }
    return all;
}

/* [n,h,w,c] -> [n,c,h,w] */
static void give_nchw(st_writer_t *w, const char *name, shape_t s, const float *x) {
    size_t n = s.dim[0], H = s.dim[1], W = s.dim[2], C = s.dim[3];
    float *out = xmalloc(shape_count(s) * sizeof *out);
    for (size_t i = 0; i < n; i++)
        for (size_t p = 0; p < H * W; p++)
            for (size_t c = 0; c < C; c++)
                out[(i * C + c) * H * W + p] = x[(i * H * W + p) * C + c];
    st_writer_give(w, name, ST_F32, 4, (uint64_t[]){n, C, H, W}, out);
}

static void give_scalar(st_writer_t *w, const char *name, double v) {
    float *x = xmalloc(sizeof *x);
    *x = (float)v;
    st_writer_give(w, name, ST_F32, 1, (uint64_t[]){1}, x);
}

static void trace_forward(params_t *p, const vqvae_config_t *c, const images_t *in,
                          st_writer_t *w) {
    tape_t *t = tape_new(p);
    nn_t nn;
    nn_begin(&nn, t);
    var_t image = tape_input(t, "image", F32_4(in->n, in->h, in->w, 3)), encoder_out;
    var_t prequant = vqvae_encode(&nn, c, image, &encoder_out);
    vq_out_t q = vqvae_quantize(&nn, c, prequant);
    var_t recon = vqvae_decode(&nn, c, q.quantized, NO_VAR);
    var_t keep[] = {encoder_out, prequant, q.index, q.quantized, recon};
    plan_t *plan = plan_new(t, &(plan_opts_t){.keep = keep, .n_keep = 5});
    memcpy(plan_data(plan, image), in->value, tape_count(t, image) * sizeof(float));
    plan_forward(plan);
    give_nchw(w, "encoder_out", tape_shape(t, encoder_out), plan_data(plan, encoder_out));
    give_nchw(w, "prequant", tape_shape(t, prequant), plan_data(plan, prequant));
    give_nchw(w, "quantized", tape_shape(t, q.quantized), plan_data(plan, q.quantized));
    give_nchw(w, "decoder_out", tape_shape(t, recon), plan_data(plan, recon));
    shape_t s = tape_shape(t, q.index);
    const int32_t *idx = plan_data(plan, q.index);
    int64_t *wide = xmalloc(shape_count(s) * sizeof *wide);
    for (size_t i = 0; i < shape_count(s); i++) wide[i] = idx[i];
    st_writer_give(w, "indices", ST_I64, 3, (uint64_t[]){s.dim[0], s.dim[1], s.dim[2]}, wide);
    plan_free(plan);
    tape_free(t);
}

static void give_params(params_t *p, int block, const char *prefix, const char *const *wrt,
                        size_t n_wrt, st_writer_t *w) {
    for (size_t i = 0; i < params_n(p); i++) {
        const param_t *q = params_at(p, (int)i);
        if (!params_match(q->name, wrt, n_wrt)) continue;
        float *disk = xmalloc(q->count * sizeof *disk);
        params_export(p, block, (int)i, disk);
        uint64_t dim[4];
        for (int d = 0; d < q->rank; d++) dim[d] = q->dim[d];
        char *name = xasprintf("%s%s", prefix, q->name);
        st_writer_give(w, name, ST_F32, q->rank, dim, disk);
        free(name);
    }
}

/* Weights of the discriminator: from the file `named`, or from the model's folder; else it starts
 * by the seed. */
static void load_disc(adversary_t *a, const char *model, const char *named) {
    st_file_t f;
    reason_t why;
    char *path;
    if (named && !a) die(RC_USAGE, "--disc needs loss.disc above 0");
    if (named && !fs_exists(named)) die(RC_USAGE, "'%s': no such file", named);
    if (named) {
        if (st_open(&f, named, &why)) die(RC_DATA, "%s", why.text);
        path = xstrdup(named);
    } else if (!a || !adversary_find(model, &f, &path)) {
        return;
    }
    int rc = adversary_load(a, &f, &why);
    if (rc) die(rc, "'%s': discriminator: %s", path, why.text);
    st_close(&f);
    free(path);
}

/* Statistics after a step, beside the parameters. */
static void give_disc(adversary_t *a, const char *prefix, st_writer_t *w) {
    checkpoint_state_t state[ADVERSARY_STATE];
    size_t n = adversary_state(a, state);
    for (size_t i = 1; i < n; i++) { /* 0: the number of updates */
        char *name = xasprintf("%s%s", prefix, state[i].name);
        float *copy = memcpy(xmalloc(state[i].count * sizeof(float)), state[i].data,
                             state[i].count * sizeof(float));
        st_writer_give(w, name, ST_F32, 1, (uint64_t[]){state[i].count}, copy);
        free(name);
    }
}

static void give_gan(trainer_t *t, const trainer_step_t *r, st_writer_t *w) {
    static const char *const disc[] = {ADVERSARY_PREFIX};
    if (t->lpips) give_scalar(w, "loss_perceptual", r->loss_perceptual);
    if (!r->adversarial) return;
    give_scalar(w, "loss_gan", r->gan.loss_gan);
    give_scalar(w, "d_weight", r->gan.d_weight);
    give_scalar(w, "loss_disc", r->gan.loss_disc);
    give_params(t->params, PARAMS_GRAD, "grad/", disc, 1, w);
}

static void trace_train(params_t *p, const config_t *c, const images_t *in, int64_t steps,
                        uint64_t seed, const char *model, const char *disc, st_writer_t *w) {
    static const char *const all[] = {""};
    trainer_t *t = trainer_new(c, p, in->n, in->w, in->h, seed);
    load_disc(t->adversary, model, disc);
    trainer_plain(t); /* Adam makes a whole step of the noise of a gradient near zero */
    quantizer_adopt(&t->quantizer);
    for (int64_t s = 0; s < steps; s++) {
        trainer_step_t r;
        graph_t *g = trainer_graph_at(t, s);
        for (int64_t m = 0; m < c->train.accumulate; m++) {
            memcpy(plan_data(g->plan, g->image), in->value,
                   in->n * in->w * in->h * 3 * sizeof(float));
            if (g->weight != NO_VAR)
                for (size_t i = 0; i < in->n * in->w * in->h; i++)
                    ((float *)plan_data(g->plan, g->weight))[i] = 1; /* no source, no median */
            trainer_replay(t, s, m, &r);
        }
        if (!s) {
            give_scalar(w, "loss", r.loss);
            give_scalar(w, "loss_rec", r.loss_rec);
            give_scalar(w, "loss_vq", r.loss_vq);
            give_params(p, PARAMS_GRAD, "grad/", t->wrt, t->n_wrt, w);
            give_gan(t, &r, w);
        }
        trainer_update(t, s, &r);
        if (r.skipped)
            die(RC_RUNTIME, "step %lld: loss or gradient is not finite", (long long)s + 1);
        char prefix[48];
        snprintf(prefix, sizeof prefix, "param/%lld/", (long long)s + 1);
        give_params(p, PARAMS_VALUE, prefix, all, 1, w);
        give_disc(t->adversary, prefix, w);
    }
    trainer_free(t);
}

/* The RUN's own configuration if it has one; a folder without is a plain codebook, trained by
 * gradient. What depends on the length of a run is switched off. */
static config_t trace_config(const char *model, const vqvae_config_t *m, const cli_list_t *set,
                             const images_t *in) {
    config_t c;
    config_defaults(config_table, &c);
    c.quantizer.kind = quantizer_kind_index(&quant_ste);
    config_of_run(model, &c);
    c.loss.perceptual_weights[0] = 0; /* a RUN knows the file's last part only */
    config_from_model(&c, m);
    c.train.warmup_no_quant = 0;
    c.optim.warmup = 0;
    c.optim.clip = 0;
    c.optim.schedule = SCHEDULE_CONSTANT;
    c.loss.disc_start = 0;
    c.loss.disc_ramp = 0;
    c.quantizer.restart = false;
    c.model.tail_dropout = 0;
    c.train.accumulate = 1;
    c.data.size = (config_ints_t){{(int64_t)in->w, (int64_t)in->h}, 2};
    config_sets(config_table, &c, set);
    return c;
}

int cmd_vqvae_trace(int argc, char **argv) {
    const char *model = NULL, *out = NULL, *config = NULL, *disc = NULL;
    cli_list_t images = {0}, set = {0};
    bool train = false, lenient = false;
    int64_t steps = 1, threads = 0;
    uint64_t seed = 0;
    const cli_opt_t options[] = {
        {"--model", CLI_STR, &model, "RUN", "the tokenizer", true},
        {"--image", CLI_LIST, &images, "FILE...",
         "images of one size, a multiple of the stride: the whole batch; a SEED tokenizer takes "
         "any sizes",
         true},
        {"--out", CLI_STR, &out, "FILE", "safetensors file to write", true},
        {"--train", CLI_FLAG, &train, NULL,
         "also write losses, gradients, and the parameters after each step", false},
        {"--steps", CLI_INT, &steps, "N", "optimizer steps (with --train)", false},
        {"--config", CLI_STR, &config, "FILE", "JSON file of configuration keys (with --train)",
         false},
        {"--set", CLI_LIST, &set, "KEY=VALUE",
         "configuration keys; warm-up, clipping, schedule and restarts are off unless set", false},
        {"--disc", CLI_STR, &disc, "FILE",
         "safetensors file of the discriminator (with --train); without it the model folder's, "
         "else "
         "one that starts by the seed",
         false},
        {"--seed", CLI_U64, &seed, "S", "seed of everything random", false},
        {"--lenient", CLI_FLAG, &lenient, NULL, IMAGE_LENIENT_HELP, false},
        {"--threads", CLI_INT, &threads, "N", "threads (0 = all processors)", false},
        {0},
    };
    cli_parse(argc, argv, "trace", "write intermediate values, to compare with another framework",
              (const cli_opt_t *const[]){options}, 1);
    if (steps < 1) die(RC_USAGE, "--steps must be at least 1");
    pool_set_threads((int)threads);
    reason_t why;
    image_opts_t opts = image_opts_default();
    opts.lenient = lenient;
    if (seed_probe(model)) {
        if (train)
            die(RC_USAGE, "--train: '%s' is a SEED tokenizer, which is not trained here", model);
        seed_trace(model, &images, &opts, out);
        return RC_OK;
    }
    vqvae_t *v = vqvae_open_or_die(model);
    images_t in = read_images(&images, vqvae_config(v), &opts);
    st_writer_t *w = st_writer_new();
    trace_forward(vqvae_params(v), vqvae_config(v), &in, w);
    if (train) {
        config_t c = trace_config(model, vqvae_config(v), &set, &in);
        if (config) {
            config_file(config_table, &c, config);
            config_sets(config_table, &c, &set);
        }
        trace_train(vqvae_params(v), &c, &in, steps, seed, model, disc, w);
    }
    if (st_write(w, out, &why)) die(RC_RUNTIME, "%s", why.text);
    st_writer_free(w);
    free(in.value);
    vqvae_free(v);
    return RC_OK;
}
