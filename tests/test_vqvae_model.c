/* test_vqvae_model.c - the tokenizer's network against numbers of diffusers and PyTorch
 * (tests/reference): values, gradients, updates; codes that are a function of one image; what the
 * fingerprint covers.
 */
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "common/io/safetensors/safetensors.h"
#include "common/io/text/json.h"
#include "common/train/checkpoint.h"
#include "tests/folder.h"
#include "tests/test.h"
#include "tests/vqvae_folder.h"
#include "vqvae/trainer.h"

#define REFERENCE "tests/reference/"

__attribute__((constructor)) static void one_thread(void) {
    pool_set_threads(1);
}

/* ---- reference numbers ---- */

static st_file_t st_get(const char *path) {
    st_file_t f;
    reason_t why;
    if (st_open(&f, path, &why)) BUG("%s (tests run in the top folder)", why.text);
    return f;
}

/* Values of a tensor as floats; caller frees. */
static float *values(const st_file_t *f, const char *name, size_t *n) {
    const st_tensor_t *t = st_find(f, name);
    if (!t) BUG("no tensor '%s'", name);
    float *v = xmalloc((*n = t->count) * sizeof *v);
    if (st_read_f32(t, v, NULL)) BUG("'%s' is no float", name);
    return v;
}

static double scalar(const st_file_t *f, const char *name) {
    size_t n;
    float *v = values(f, name, &n), x = v[0];
    free(v);
    return x;
}

/* |a - b| <= absolute + relative * largest |b| */
static void check_tensor(const char *name, const float *a, const float *b, size_t n,
                         double absolute, double relative) {
    double most = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)b[i]));
        worst = fmax(worst, isfinite(a[i]) ? fabs((double)a[i] - b[i]) : INFINITY);
    }
    CHECK(worst <= absolute + relative * most, "%s: differs by %g, largest %g", name, worst, most);
}

/* Images as one batch [n,h,w,3]. */
static float *images(const char *const *file, size_t n, size_t *w, size_t *h) {
    float *all = NULL;
    for (size_t i = 0; i < n; i++) {
        image_t im;
        reason_t why;
        image_opts_t o = image_opts_default();
        char *path = fs_join(REFERENCE, file[i]);
        if (image_read(&im, path, &o, &why)) BUG("%s", why.text);
        *w = im.w, *h = im.h;
        if (!all) all = xmalloc(n * im.w * im.h * 3 * sizeof *all);
        image_to_float(im.rgb, im.w * im.h * 3, all + i * im.w * im.h * 3);
        image_release(&im);
        free(path);
    }
    return all;
}

/* Our [n,h,w,c] against the file's [n,c,h,w]. */
static void check_map(const st_file_t *f, const char *name, const float *ours, shape_t s) {
    size_t n, C = s.dim[3], HW = s.dim[1] * s.dim[2];
    float *theirs = values(f, name, &n), *turned = xmalloc(n * sizeof *turned);
    CHECK(n == shape_count(s), "%s: %zu values, the reference has %zu", name, shape_count(s), n);
    for (size_t i = 0; i < n && n == shape_count(s); i++)
        turned[(i / (HW * C) * C + i % C) * HW + i / C % HW] = ours[i];
    check_tensor(name, turned, theirs, n, 1e-6, 1e-5);
    free(theirs);
    free(turned);
}

static void check_forward(const char *model, const char *trace, const char *const *file, size_t n) {
    int rc;
    reason_t why = {""};
    vqvae_t *v = vqvae_open(model, &rc, &why);
    REQUIRE(v, "%s", why.text);
    const vqvae_config_t *c = vqvae_config(v);
    st_file_t f = st_get(trace);
    size_t w, h, m;
    float *x = images(file, n, &w, &h);
    tape_t *t = tape_new(vqvae_params(v));
    nn_t nn;
    nn_begin(&nn, t);
    var_t input = tape_input(t, "image", F32_4(n, h, w, 3)), encoder_out,
          prequant = vqvae_encode(&nn, c, input, &encoder_out);
    vq_out_t q = op_vq(t, prequant, vqvae_codebook(&nn, c), 0, 0);
    var_t recon = vqvae_decode(&nn, c, q.quantized, NO_VAR),
          keep[] = {encoder_out, prequant, q.index, q.quantized, recon};
    plan_t *p = plan_new(t, &(plan_opts_t){.keep = keep, .n_keep = 5});
    memcpy(plan_data(p, input), x, n * w * h * 3 * sizeof *x);
    plan_forward(p);
    check_map(&f, "encoder_out", plan_data(p, encoder_out), tape_shape(t, encoder_out));
    check_map(&f, "prequant", plan_data(p, prequant), tape_shape(t, prequant));
    check_map(&f, "quantized", plan_data(p, q.quantized), tape_shape(t, q.quantized));
    check_map(&f, "decoder_out", plan_data(p, recon), tape_shape(t, recon));
    const st_tensor_t *ids = st_find(&f, "indices");
    const int32_t *ours = plan_data(p, q.index);
    REQUIRE(ids && ids->type == ST_I64 && ids->count == tape_count(t, q.index), "indices");
    for (size_t i = 0; i < ids->count; i++) {
        int64_t id;
        memcpy(&id, ids->data + 8 * i, 8);
        CHECK(id == ours[i], "index %zu: %d, the reference has %d", i, (int)ours[i], (int)id);
    }
    /* The frozen way, from bytes, gives the same codes and the same images. */
    size_t stride = vqvae_stride(c);
    uint8_t *rgb = xmalloc(n * w * h * 3), *back = xmalloc(n * w * h * 3);
    uint32_t *codes = xmalloc(ids->count * sizeof *codes);
    image_from_float(x, n * w * h * 3, rgb);
    vqvae_encode_images(v, rgb, n, w, h, codes);
    for (size_t i = 0; i < ids->count; i++)
        CHECK(codes[i] == (uint32_t)ours[i], "frozen: index %zu", i);
    vqvae_decode_codes(v, codes, n, w / stride, h / stride, back);
    float *theirs = values(&f, "decoder_out", &m);
    for (size_t i = 0; i < n * w * h * 3; i++) {
        double want = round(
            (fmin(1,
                  fmax(-1,
                       (double)theirs[(i / (w * h * 3) * 3 + i % 3) * w * h + i / 3 % (w * h)])) +
             1) *
            127.5);
        CHECK(fabs(back[i] - want) <= 1, "frozen: byte %zu is %d, not %g", i, back[i], want);
    }
    free(theirs), free(rgb), free(back), free(codes), free(x);
    plan_free(p);
    tape_free(t);
    st_close(&f);
    vqvae_free(v);
}

TEST(forward_as_diffusers) {
    check_forward(REFERENCE "vq", REFERENCE "vq_32x32.safetensors",
                  (const char *[]){"image0_32x32.png", "image1_32x32.png"}, 2);
    check_forward(REFERENCE "vq", REFERENCE "vq_24x40.safetensors",
                  (const char *[]){"image2_24x40.png"}, 1);
    check_forward(REFERENCE "vq2", REFERENCE "vq2_24x40.safetensors",
                  (const char *[]){"image2_24x40.png"}, 1);
}

static void check_block(const st_file_t *f, params_t *p, int block, const char *prefix,
                        double absolute, double relative, double to_k) {
    size_t n, seen = 0;
    for (size_t i = 0; i < f->n; i++) {
        const char *name = f->tensor[i].name;
        if (strncmp(name, prefix, strlen(prefix))) continue;
        int at = params_find(p, name + strlen(prefix));
        CHECK(at >= 0, "no parameter '%s'", name + strlen(prefix));
        if (at < 0) continue;
        float *theirs = values(f, name, &n), *ours = xmalloc(n * sizeof *ours);
        params_export(p, block, at, ours);
        bool key_bias = strstr(
            name,
            "to_k.bias"); /* softmax ignores it: rounding noise, which Adam turns into steps */
        check_tensor(name, ours, theirs, n, key_bias ? to_k : absolute, key_bias ? 0 : relative);
        free(theirs);
        free(ours);
        seen++;
    }
    CHECK(seen > 10, "only %zu tensors under '%s'", seen, prefix);
}

/* Two Adam steps on both images: as one batch, or one after the other accumulated. */
static void check_training(const char *file, const char *rec, const char *commitment,
                           const char *codebook, size_t accumulate) {
    int rc;
    reason_t why = {""};
    vqvae_t *v = vqvae_open(REFERENCE "vq", &rc, &why);
    REQUIRE(v, "%s", why.text);
    config_t c;
    config_defaults(config_table, &c);
    config_from_model(&c, vqvae_config(v));
    char set[12][64] = {"quantizer.kind=ste",
                        "optim.kind=adam",
                        "optim.lr=0.001",
                        "optim.betas=[0.5,0.9]",
                        "optim.clip=0",
                        "optim.warmup=0",
                        "optim.schedule=constant",
                        "quantizer.restart=false",
                        "train.warmup_no_quant=0"};
    snprintf(set[9], 64, "loss.rec=%s", rec);
    snprintf(set[10], 64, "quantizer.commitment_weight=%s", commitment);
    snprintf(set[11], 64, "quantizer.codebook_weight=%s", codebook);
    for (int i = 0; i < 12; i++) config_set(config_table, &c, set[i]);
    c.data.size = (config_ints_t){{32, 32}, 2};
    c.train.accumulate = (int64_t)accumulate;
    size_t w, h, n = 2 / accumulate;
    float *x = images((const char *[]){"image0_32x32.png", "image1_32x32.png"}, 2, &w, &h);
    st_file_t f = st_get(file);
    params_t *p = vqvae_params(v);
    trainer_t *t = trainer_new(&c, p, n, w, h, 0);
    quantizer_adopt(&t->quantizer);
    for (int64_t s = 0; s < 2; s++) {
        trainer_step_t r;
        for (size_t m = 0; m < accumulate; m++) {
            graph_t *g = trainer_graph(t, true);
            memcpy(plan_data(g->plan, g->image), x + m * n * w * h * 3, n * w * h * 3 * sizeof *x);
            trainer_replay(t, s, (int64_t)m, &r);
        }
        CHECK_NEAR(r.loss, scalar(&f, s ? "loss/2" : "loss"), 2e-6);
        CHECK_NEAR(r.loss_rec, scalar(&f, s ? "loss_rec/2" : "loss_rec"), 2e-6);
        CHECK_NEAR(r.loss_vq, scalar(&f, s ? "loss_vq/2" : "loss_vq"), 2e-6);
        if (!s && accumulate == 1) check_block(&f, p, PARAMS_GRAD, "grad/", 1e-9, 1e-4, 1e-6);
        trainer_update(t, s, &r);
        CHECK(!r.skipped && r.quantized, "a step");
        check_block(&f, p, PARAMS_VALUE, s ? "param/2/" : "param/1/", 2e-5, 0, 2.1e-3);
    }
    trainer_free(t);
    st_close(&f);
    free(x);
    vqvae_free(v);
}

TEST(training_as_pytorch_l1_paper) {
    check_training(REFERENCE "vq_train_l1_paper.safetensors", "l1", "0.25", "1", 1);
}
TEST(training_as_pytorch_mse_legacy) {
    check_training(REFERENCE "vq_train_mse_legacy.safetensors", "mse", "1", "0.25", 1);
}
TEST(training_accumulated_as_pytorch) {
    check_training(REFERENCE "vq_train_l1_paper.safetensors", "l1", "0.25", "1", 2);
}

/* What is frozen keeps its bits, and nothing else does; the codebook of moving averages too. */
TEST(frozen_prefix) {
    static const struct {
        const char *list, *prefix[3];
    } use[] = {{"", {NULL}},
               {"encoder", {"encoder"}},
               {"decoder.mid_block", {"decoder.mid_block"}},
               {"quantize", {"quantize"}},
               {"post_quant_conv.", {"post_quant_conv."}},
               {"encoder,quant_conv, quantize", {"encoder", "quant_conv", "quantize"}},
               {"decoder.conv_out.bias , encoder.mid_block",
                {"decoder.conv_out.bias", "encoder.mid_block"}}};
    for (int kind = 0; kind < 2; kind++)
        for (size_t f = 0; f < sizeof use / sizeof *use; f++) {
            int rc;
            reason_t why = {""};
            vqvae_t *v = vqvae_open(REFERENCE "vq", &rc, &why);
            REQUIRE(v, "%s", why.text);
            config_t c;
            config_defaults(config_table, &c);
            config_from_model(&c, vqvae_config(v));
            c.quantizer.kind = kind;
            c.quantizer.decay = 0.5;
            c.train.warmup_no_quant = 0;
            c.optim.weight_decay = 0.1;
            c.data.size = (config_ints_t){{32, 32}, 2};
            c.train.weight_average = 0.9;
            snprintf(c.train.freeze, sizeof c.train.freeze, "%s", use[f].list);
            size_t w, h;
            float *x = images((const char *[]){"image0_32x32.png", "image1_32x32.png"}, 2, &w, &h);
            params_t *p = vqvae_params(v);
            float *before = xmalloc(params_block(p) * sizeof *before);
            memcpy(before, params_base(p, PARAMS_VALUE), params_block(p) * sizeof *before);
            memcpy(params_base(p, PARAMS_AVERAGE), before, params_block(p) * sizeof *before);
            trainer_t *t = trainer_new(&c, p, 2, w, h, 0);
            quantizer_adopt(&t->quantizer);
            for (int64_t s = 0; s < ((f == 3 || f == 5) && !kind ? 180 : 2);
                 s++) { /* long enough for codes to die */
                trainer_step_t r;
                graph_t *g = trainer_graph(t, true);
                memcpy(plan_data(g->plan, g->image), x, 2 * w * h * 3 * sizeof *x);
                trainer_replay(t, s, 0, &r);
                trainer_update(t, s, &r);
            }
            CHECK(quantizer_used(&t->quantizer) > 3, "use is counted");
            for (size_t i = 0; i < params_n(p); i++) {
                const param_t *q = params_at(p, (int)i);
                bool stays = !memcmp(before + q->offset, params_ptr(p, PARAMS_VALUE, (int)i),
                                     q->count * sizeof *before);
                bool frozen = false;
                for (size_t k = 0; k < 3 && use[f].prefix[k]; k++)
                    frozen |= !strncmp(q->name, use[f].prefix[k], strlen(use[f].prefix[k]));
                CHECK(stays == frozen, "freeze '%s', %s: '%s' %s", use[f].list,
                      kind ? "ste" : "ema", q->name, stays ? "stays" : "moves");
                stays = !memcmp(before + q->offset, params_ptr(p, PARAMS_AVERAGE, (int)i),
                                q->count * sizeof *before);
                CHECK(stays == frozen, "freeze '%s', %s: the average of '%s' %s", use[f].list,
                      kind ? "ste" : "ema", q->name, stays ? "stays" : "moves");
            }
            trainer_free(t);
            free(before);
            free(x);
            vqvae_free(v);
        }
}

/* ---- codes of one image ---- */

static void random_images(uint8_t *rgb, size_t n, size_t w, size_t h) {
    for (size_t i = 0; i < n; i++)
        for (size_t y = 0; y < h; y++)
            for (size_t x = 0; x < w; x++)
                for (size_t c = 0; c < 3; c++)
                    rgb[((i * h + y) * w + x) * 3 + c] =
                        (uint8_t)(127 + 100 * sin((double)(x * (i % 5 + 1) + y * (c + 1) + i) / 3) +
                                  (double)rng_below(rng_make(i, "noise"), (y * w + x) * 3 + c, 27));
}

static void check_codes(const char *dir, size_t N, size_t w, size_t h) {
    int rc;
    reason_t why = {""};
    vqvae_t *v = vqvae_open(dir, &rc, &why);
    REQUIRE(v, "%s", why.text);
    size_t f = vqvae_stride(vqvae_config(v)), grid = w / f * (h / f), image = w * h * 3, used = 0;
    uint8_t *rgb = xmalloc(N * image), *batch = xmalloc(N * image),
            *seen = xcalloc(vqvae_config(v)->codes, 1), *shown = xmalloc(N * image),
            *again = xmalloc(N * image);
    uint32_t *want = xmalloc(N * grid * sizeof *want), *got = xmalloc(N * grid * sizeof *got);
    random_images(rgb, N, w, h);
    pool_set_threads(1);
    for (size_t i = 0; i < N; i++) {
        vqvae_encode_images(v, rgb + i * image, 1, w, h, want + i * grid);
        vqvae_decode_codes(v, want + i * grid, 1, w / f, h / f, shown + i * image);
    }
    for (size_t i = 0; i < N * grid; i++) used += !seen[want[i]]++;
    CHECK(used > 8, "only %zu codes used: the test says little", used);
    const size_t batches[] = {3, 16, 2, N};
    for (int threads = 1; threads <= 3; threads++) {
        pool_set_threads(threads);
        for (size_t b = 0; b < 4; b++) {
            size_t size = batches[b];
            for (size_t first = 0; first < N; first += size) {
                size_t m = N - first < size ? N - first : size;
                for (size_t i = 0; i < m; i++)
                    memcpy(batch + i * image, rgb + (first + i) * 11 % N * image,
                           image); /* another order */
                vqvae_encode_images(v, batch, m, w, h, got);
                vqvae_decode_codes(v, got, m, w / f, h / f, again);
                for (size_t i = 0; i < m; i++) {
                    size_t which = (first + i) * 11 % N;
                    CHECK(!memcmp(got + i * grid, want + which * grid, grid * sizeof *got),
                          "codes of image %zu in a batch of %zu, %d threads", which, m, threads);
                    CHECK(!memcmp(again + i * image, shown + which * image, image),
                          "image %zu decoded in a batch of %zu, %d threads", which, m, threads);
                }
            }
        }
    }
    pool_set_threads(1);
    free(rgb), free(batch), free(seen), free(want), free(got), free(shown), free(again);
    vqvae_free(v);
}

/* Codes could hide a difference in the last bit: the values before quantizing must be equal too,
 * over packed filters as over the parameters themselves. */
static void check_prequant(const char *dir, size_t w, size_t h) {
    enum { N = 16 };
    int rc;
    reason_t why;
    vqvae_t *v = vqvae_open(dir, &rc, &why);
    size_t image = w * h * 3, each = 0;
    uint8_t *rgb = xmalloc(N * image);
    float *alone = NULL;
    nn_packed_t *twins = nn_packed_new(vqvae_params(v), WEIGHTS_F32);
    random_images(rgb, N, w, h);
    static const size_t sizes[] = {1, 3, 16};
    for (size_t b = 0; b < 3; b++)
        for (int way = 0; way < 4; way++) {
            int threads = 1 + way % 2;
            size_t n = sizes[b];
            pool_set_threads(threads);
            tape_t *t = tape_new(vqvae_params(v));
            nn_t nn;
            nn_begin(&nn, t);
            nn.packed = way < 2 ? NULL : twins;
            var_t input = tape_input(t, "image", F32_4(n, h, w, 3)),
                  out = vqvae_encode(&nn, vqvae_config(v), input, NULL);
            plan_t *p = plan_new(t, &(plan_opts_t){.keep = &out, .n_keep = 1});
            each = tape_count(t, out) / n;
            if (!alone) alone = xmalloc(N * each * sizeof *alone);
            for (size_t i = 0; i < N; i += n) {
                size_t m = N - i < n ? N - i : n;
                image_to_float(rgb + i * image, m * image, plan_data(p, input));
                plan_forward(p);
                if (n == 1 && way == 0)
                    memcpy(alone + i * each, plan_data(p, out), each * sizeof *alone);
                else
                    CHECK(!memcmp(alone + i * each, plan_data(p, out), m * each * sizeof *alone),
                          "prequant of image %zu on in a batch of %zu, %d threads%s", i, n, threads,
                          nn.packed ? ", packed" : "");
            }
            plan_free(p);
            tape_free(t);
        }
    pool_set_threads(1);
    free(rgb);
    free(alone);
    CHECK(nn_packed_bytes(twins) > 0, "nothing was packed");
    nn_packed_free(twins);
    vqvae_free(v);
}

TEST(codes_of_one_image) {
    folder_open();
    const char *dir = in_folder("run");
    params_t *p = own_params(&OWN);
    write_run(dir, p, &OWN, NULL);
    check_codes(dir, 37, 20, 28);
    check_prequant(dir, 20, 28);
    check_codes(dir, 4, 256, 192); /* many blocks per image */
    check_codes(REFERENCE "vq", 37, 32, 32);
    params_free(p);
    vqvae_config_t c = OWN; /* levels, spread over by a greater last layer */
    c.vq_embed_dim = 3, c.codes = 60, c.fsq = (kern_fsq_t){3, {5, 4, 3}};
    p = own_params(&c);
    int last = params_find(p, "quant_conv.weight");
    for (size_t i = 0; i < params_at(p, last)->count; i++)
        params_ptr(p, PARAMS_VALUE, last)[i] *= 4;
    write_run(dir, p, &c, NULL);
    check_codes(dir, 37, 20, 28);
    params_free(p);
    folder_remove();
}

TEST(native_size_is_padded) {
    folder_open();
    const char *dir = in_folder("run");
    params_t *p = own_params(&OWN);
    write_run(dir, p, &OWN, NULL);
    int rc;
    reason_t why;
    vqvae_t *v = vqvae_open(dir, &rc, &why);
    REQUIRE(v, "%s", why.text);
    image_t im = image_new(9, 6);
    for (size_t i = 0; i < 9 * 6 * 3; i++) im.rgb[i] = (uint8_t)(i * 5);
    image_t out = vqvae_preprocess(v, &im);
    REQUIRE(out.w == 12 && out.h == 8, "%zu x %zu", out.w, out.h);
    for (size_t y = 0; y < 8; y++)
        for (size_t x = 0; x < 12; x++)
            CHECK(!memcmp(out.rgb + (y * 12 + x) * 3,
                          im.rgb + ((y < 6 ? y : 5) * 9 + (x < 9 ? x : 8)) * 3, 3),
                  "pixel %zu %zu", x, y);
    image_release(&im);
    image_release(&out);
    vqvae_free(v);
    params_free(p);
    folder_remove();
}

/* ---- fingerprint ---- */

TEST(fingerprint_covers) {
    params_t *p = own_params(&OWN);
    char base[33], print[33];
    const char *q = "{\"kind\":\"vq\"}", *pre = "{\"range\":[-1,1],\"size\":null}";
    vqvae_fingerprint_make(p, PARAMS_VALUE, q, pre, base);
    CHECK(strlen(base) == 32 && strspn(base, "0123456789abcdef") == 32, "'%s'", base);
    for (size_t i = 0; i < params_n(p); i++) {
        const param_t *t = params_at(p, (int)i);
        bool covered = !strncmp(t->name, "encoder.", 8) || !strncmp(t->name, "quant_conv.", 11) ||
                       !strncmp(t->name, "quantize.", 9);
        const size_t places[] = {0, t->count / 2, t->count - 1};
        for (size_t k = 0; k < 3; k++) {
            float *v = params_ptr(p, PARAMS_VALUE, (int)i) + places[k], was = *v;
            *v = nextafterf(was, 9); /* one bit */
            vqvae_fingerprint_make(p, PARAMS_VALUE, q, pre, print);
            CHECK(!!strcmp(base, print) == covered, "'%s'[%zu]", t->name, places[k]);
            *v = was;
        }
    }
    vqvae_fingerprint_make(p, PARAMS_VALUE, q, "{\"range\":[-1,1],\"size\":[64,64]}", print);
    CHECK(strcmp(base, print), "preprocess is covered");
    vqvae_fingerprint_make(p, PARAMS_VALUE, "{\"kind\":\"l2\"}", pre, print);
    CHECK(strcmp(base, print), "the quantizer is covered");
    vqvae_fingerprint_make(p, PARAMS_VALUE, "{\"kind\":\"vq\"}{", pre + 1, print);
    CHECK(strcmp(base, print), "the border between the two texts is covered");
    params_base(p, PARAMS_AVERAGE);
    vqvae_fingerprint_make(p, PARAMS_AVERAGE, q, pre, print);
    CHECK(strcmp(base, print), "of the block that is asked for");
    vqvae_fingerprint_make(p, PARAMS_VALUE, q, pre, print);
    CHECK_STR(base, print);
    /* the order in which parameters were made does not matter */
    params_t *other = params_new(99);
    for (size_t i = params_n(p); i-- > 0;) {
        const param_t *t = params_at(p, (int)i);
        int at =
            params_get(other, t->name, t->rank, t->dim, t->layout, (param_init_t){INIT_ZERO, 0});
        memcpy(params_ptr(other, PARAMS_VALUE, at), params_ptr(p, PARAMS_VALUE, (int)i),
               t->count * sizeof(float));
    }
    vqvae_fingerprint_make(other, PARAMS_VALUE, q, pre, print);
    CHECK_STR(base, print);
    params_free(other);
    params_free(p);
}
