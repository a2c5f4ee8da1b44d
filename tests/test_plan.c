/* test_plan.c - the plan's memory: shared buffers give the bits of separate ones (both full of NaN
 * before) for every kind of model and for random tapes, in any order of passes; and an arena is
 * small.
 */
#include "common/base/pool.h"
#include "common/model/vqvae.h"
#include "tests/test.h"

enum { MODEL_KEEP = 24, MODEL_IN = 24, PASSES = 4, RANGE_OF = 1 << 30, ASCENDING = 1 << 29 };

/* Threads change nothing here (test_ops.c), but waiting ones spin. */
__attribute__((constructor)) static void one_thread(void) {
    pool_set_threads(1);
}

/* A recorded model and what to do with it. */
typedef struct {
    params_t *params;
    tape_t *tape;
    var_t keep[MODEL_KEEP], input[MODEL_IN];
    /* Of integer inputs. RANGE_OF | V: pairs 0, V; ASCENDING | n: n times 0, 2, 4 ..., then -1 */
    uint32_t bound[MODEL_IN];
    size_t n_keep, n_input;
    pass_t pass[PASSES];
    size_t n_pass;
    const char *wrt[PASSES][4];
} model_t;

static void model_open(model_t *m, uint64_t seed) {
    *m = (model_t){.params = params_new(seed)};
    m->tape = tape_new(m->params);
}
static void model_close(model_t *m) {
    tape_free(m->tape);
    params_free(m->params);
}
static var_t keep(model_t *m, var_t v) {
    return m->keep[m->n_keep++] = v;
}
static var_t input(model_t *m, shape_t s, uint32_t bound) {
    m->bound[m->n_input] = bound;
    return m->input[m->n_input++] = tape_input(m->tape, "input", s);
}
/* The pass of root `root` with regard to up to four patterns. */
static void pass_of(model_t *m, var_t root, const char *const *wrt, size_t n) {
    size_t k = m->n_pass++;
    for (size_t i = 0; i < n; i++) m->wrt[k][i] = wrt[i];
    m->pass[k] = (pass_t){.root = {root}, .n_roots = 1, .wrt = m->wrt[k], .n_wrt = n};
}

static plan_t *model_plan(model_t *m, bool unshared, plan_memory_t *memory) {
    plan_opts_t o = {.keep = m->keep,
                     .n_keep = m->n_keep,
                     .pass = m->pass,
                     .n_pass = m->n_pass,
                     .unshared = unshared,
                     .memory = memory};
    return plan_new(m->tape, &o);
}

static void fill_inputs(model_t *m, plan_t *p, uint64_t seed) {
    for (size_t i = 0; i < m->n_input; i++) {
        rng_t r = rng_fold(rng_make(seed, "input"), i);
        void *to = plan_data(p, m->input[i]);
        for (size_t e = 0; e < tape_count(m->tape, m->input[i]); e++) {
            uint32_t b = m->bound[i];
            if (b & RANGE_OF)
                ((int32_t *)to)[e] = e % 2 ? (int32_t)(b - RANGE_OF) : 0;
            else if (b & ASCENDING)
                ((int32_t *)to)[e] = e < b - ASCENDING ? 2 * (int32_t)e : -1;
            else if (tape_shape(m->tape, m->input[i]).type == DT_I32)
                ((int32_t *)to)[e] = (int32_t)rng_below(r, e, b);
            else
                ((float *)to)[e] = 0.7f * rng_normal(r, e);
        }
    }
}

/* One replay over memory full of NaN with the passes in the order given: all gradients (NaN before
 * each pass) and kept values, one after the other. Caller frees. */
static float *replay(model_t *m, plan_t *p, plan_memory_t *memory, const size_t *order,
                     uint64_t seed, size_t *n) {
    size_t block = params_block(m->params);
    *n = m->n_pass * block;
    for (size_t i = 0; i < m->n_keep; i++) *n += tape_count(m->tape, m->keep[i]);
    float *all = xmalloc((*n + 1) * sizeof *all), *at = all + m->n_pass * block;
    memset(memory->base, 0xff, memory->bytes);
    fill_inputs(m, p, seed);
    plan_key(p, seed, 3, 0);
    plan_forward(p);
    for (size_t k = 0; k < m->n_pass; k++) {
        size_t pass = order ? order[k] : k;
        memset(params_base(m->params, PARAMS_GRAD), 0xff, block * sizeof(float));
        plan_backward(p, pass);
        memcpy(all + pass * block, params_base(m->params, PARAMS_GRAD), block * sizeof(float));
    }
    for (size_t i = 0; i < m->n_keep; i++) {
        size_t count = tape_count(m->tape, m->keep[i]);
        memcpy(at, plan_data(p, m->keep[i]), count * sizeof *at);
        at += count;
    }
    return all;
}

/* NaN among results would be equal everywhere: every selected gradient and kept value must be a
 * number. */
static void check_finite(const char *name, const model_t *m, const float *all, size_t n) {
    size_t block = params_block(m->params), bad = 0;
    for (size_t k = 0; k < m->n_pass; k++)
        for (size_t i = 0; i < params_n(m->params); i++) {
            const param_t *q = params_at(m->params, (int)i);
            if (!params_match(q->name, m->pass[k].wrt, m->pass[k].n_wrt)) {
                for (size_t e = 0; e < q->count; e++)
                    CHECK(isnan(all[k * block + q->offset + e]), "%s: pass %zu wrote to '%s'", name,
                          k, q->name);
                continue;
            }
            for (size_t e = 0; e < q->count; e++) bad += !isfinite(all[k * block + q->offset + e]);
            CHECK(!bad, "%s: pass %zu: '%s' has a gradient that is no number", name, k, q->name);
        }
    for (size_t i = 0, at = m->n_pass * block; i < m->n_keep; i++) {
        size_t count = tape_count(m->tape, m->keep[i]);
        if (tape_shape(m->tape, m->keep[i]).type == DT_F32)
            for (size_t e = 0; e < count; e++) bad += !isfinite(all[at + e]);
        at += count;
    }
    CHECK(!bad, "%s: %zu of %zu results are no numbers", name, bad, n);
}

/* Shared and separate buffers, passes forwards and backwards, twice. */
static void check_sharing(const char *name, model_t *m) {
    plan_memory_t apart = {0}, shared = {0};
    plan_t *a = model_plan(m, true, &apart), *b = model_plan(m, false, &shared);
    size_t reverse[PASSES], n, n2;
    for (size_t k = 0; k < m->n_pass; k++) reverse[k] = m->n_pass - 1 - k;
    float *want = replay(m, a, &apart, NULL, 1, &n);
    check_finite(name, m, want, n);
    for (int round = 0; round < 3; round++) {
        float *got = replay(m, b, &shared, round == 1 ? reverse : NULL, 1, &n2);
        CHECK(n == n2 && !memcmp(want, got, n * sizeof *got),
              "%s: shared memory gives other bits (%s)", name,
              round == 1 ? "last pass first"
              : round    ? "again"
                         : "first pass first");
        free(got);
    }
    CHECK(plan_bytes(b) <= plan_bytes(a), "%s: sharing needs more (%zu against %zu)", name,
          plan_bytes(b), plan_bytes(a));
    float *other = replay(m, b, &shared, NULL, 2, &n2);
    CHECK(memcmp(want, other, n * sizeof *other), "%s: other inputs give the same results", name);
    free(other);
    free(want);
    plan_free(a);
    plan_free(b);
    plan_memory_release(&apart);
    plan_memory_release(&shared);
}

/* ---- models ---- */

static const vqvae_config_t SMALL = {.levels = 3,
                                     .channels = {4, 6, 8},
                                     .attention = {false, true, false},
                                     .layers_per_block = 1,
                                     .latent_channels = 5,
                                     .vq_embed_dim = 3,
                                     .codes = 16,
                                     .norm_groups = 2,
                                     .in_channels = 3,
                                     .out_channels = 3,
                                     .mid_attention = true};

static const vqvae_config_t ORDERED = {.levels = 2,
                                       .channels = {4, 6},
                                       .layers_per_block = 1,
                                       .latent_channels = 5,
                                       .vq_embed_dim = 3,
                                       .codes = 16,
                                       .norm_groups = 2,
                                       .in_channels = 3,
                                       .out_channels = 3,
                                       .causal1d = {.queries = 5,
                                                    .width = 8,
                                                    .heads = 2,
                                                    .encoder_layers = 2,
                                                    .decoder_layers = 1,
                                                    .rows = 8,
                                                    .columns = 8,
                                                    .causal = 1}};

static void record_vqvae(model_t *m, const vqvae_config_t *c, size_t n, size_t side, bool train,
                         const char *const *wrt, size_t n_wrt) {
    nn_t nn;
    nn_begin(&nn, m->tape);
    var_t image = input(m, F32_4(n, side, side, 3), 0);
    var_t prequant = vqvae_encode(&nn, c, image, NULL);
    vq_out_t q = op_vq(m->tape, prequant, vqvae_codebook(&nn, c), 0.25f, 1);
    keep(m, q.index);
    keep(m, prequant);
    if (!train) return;
    size_t Q = vqvae_most_kept(c);
    var_t kept = Q ? input(m, I32_1(n * Q), (int)(n * Q)) : NO_VAR,
          recon = vqvae_decode(&nn, c, q.quantized, kept),
          weight = input(m, F32_3(n, side, side), 0);
    var_t parts[] = {op_loss(m->tape, LOSS_L1, recon, image, weight, false), q.loss};
    var_t root = op_weighted_sum(m->tape, parts, (float[]){1, 1}, 2);
    keep(m, recon);
    keep(m, q.counts);
    keep(m, q.sums);
    keep(m, root);
    pass_of(m, root, wrt, n_wrt);
}

TEST(sharing_vqvae) {
    static const char *const all[] = {""}, *const ema[] = {"", "!quantize."},
                             *const decoder[] = {"decoder.", "post_quant_conv."};
    const struct {
        const char *name;
        bool train;
        const char *const *wrt;
        size_t n;
    } use[] = {{"vqvae", true, all, 1},
               {"vqvae, codebook apart", true, ema, 2},
               {"vqvae, encoder frozen", true, decoder, 2},
               {"vqvae, codes", false, NULL, 0}};
    for (size_t i = 0; i < 8; i++) {
        size_t k = i % 4;
        model_t m;
        model_open(&m, 4);
        record_vqvae(&m, i < 4 ? &SMALL : &ORDERED, 2, 16, use[k].train, use[k].wrt, use[k].n);
        check_sharing(use[k].name, &m);
        model_close(&m);
    }
    model_t m; /* the decoder alone */
    model_open(&m, 4);
    nn_t nn;
    nn_begin(&nn, m.tape);
    var_t rows = op_gather(m.tape, vqvae_codebook(&nn, &SMALL), input(&m, I32_1(2 * 16), 16));
    keep(&m, vqvae_decode(&nn, &SMALL, tape_reshape(m.tape, rows, F32_4(2, 4, 4, 3)), NO_VAR));
    check_sharing("vqvae, images", &m);
    model_close(&m);
}

TEST(sharing_transformer) {
    static const char *const all[] = {""}, *const late[] = {"h.1.", "ln_f"},
                             *const frozen[] = {"", "!h.0."};
    for (int way = 0; way < 6; way++) {
        enum { B = 2, T = 7, D = 12, V = 10, SOME = 8 };
        int kind = way % 3;
        size_t rows = way < 3 ? B * T : SOME; /* of the last block */
        model_t m;
        model_open(&m, 6);
        nn_t nn;
        nn_begin(&nn, m.tape);
        var_t token = input(&m, I32_2(B, T), V),
              table = nn_param2(&nn, "embed", V, D, init_normal(1));
        var_t first = input(&m, I32_2(B, T), 1); /* all from position 0 on */
        transformer_opts_t o = {.layers = 3,
                                .heads = 2,
                                .activation = kind,
                                .dropout = kind ? 0.2f : 0,
                                .first = kind == 1 ? first : NO_VAR};
        var_t read = way < 3 ? NO_VAR : input(&m, I32_1(SOME), ASCENDING | (SOME - 1));
        var_t x = nn_transformer(&nn, op_gather(m.tape, table, token), read, o);
        keep(&m, x);
        var_t logits = op_linear(m.tape, tape_reshape(m.tape, x, F32_2(rows, D)), table, NO_VAR,
                                 W_OUT_IN); /* tied */
        var_t range = input(&m, I32_2(rows, 2), RANGE_OF | V), row;
        var_t target = input(&m, I32_1(rows), V),
              total = op_xent(m.tape, logits, target, range, NO_VAR, &row);
        keep(&m, row);
        keep(&m, total);
        pass_of(&m, total, kind == 0 ? all : kind == 1 ? late : frozen, kind == 0 ? 1 : 2);
        check_sharing("transformer", &m);
        model_close(&m);
    }
}

/* A generator and a critic on one tape: the weight of the adversarial part is a ratio of two
 * gradients (Esser et al. 2021), so there are four passes: each part with regard to the generator's
 * last weight, both with seeds 1 and d, the critic's own. */
static var_t critic(nn_t *nn, var_t x) {
    size_t mark = nn_push(nn, "critic");
    x = nn_conv2d(nn, "a", x, 4, 3, 1);
    x = nn_conv2d(nn, "b", op_act(nn->tape, x, ACT_LEAKY_RELU), 1, 3, 1);
    nn_pop(nn, mark);
    return x;
}

static void record_gan(model_t *m) {
    static const char *const last[] = {"generator.last.weight"},
                             *const generator[] = {"generator."}, *const ours[] = {"critic."};
    tape_t *t = m->tape;
    nn_t nn;
    nn_begin(&nn, t);
    var_t image = input(m, F32_4(2, 6, 5, 3), 0), one = input(m, F32_4(2, 6, 5, 1), 0);
    size_t mark = nn_push(&nn, "generator");
    var_t h = nn_groupnorm(&nn, "norm", nn_conv2d(&nn, "first", image, 8, 3, 1), 2, 1e-5f, true);
    var_t fake = nn_conv2d(&nn, "last", h, 3, 3, 1);
    nn_pop(&nn, mark);
    var_t nll = op_loss(t, LOSS_MSE, fake, image, NO_VAR, false),
          adversarial = op_loss(t, LOSS_MSE, critic(&nn, fake), one, NO_VAR, false);
    var_t parts[] = {op_loss(t, LOSS_MSE, critic(&nn, tape_detach(t, fake)), one, NO_VAR, false),
                     op_loss(t, LOSS_L1, critic(&nn, image), one, NO_VAR, false)};
    pass_of(m, nll, last, 1);
    pass_of(m, adversarial, last, 1);
    pass_of(m, nll, generator, 1);
    m->pass[2].root[m->pass[2].n_roots++] = adversarial;
    pass_of(m, op_weighted_sum(t, parts, (float[]){0.5f, 0.5f}, 2), ours, 1);
    keep(m, fake);
}

TEST(sharing_gan) {
    model_t m;
    model_open(&m, 8);
    record_gan(&m);
    check_sharing("gan", &m);
    /* seeds: the third pass is the first plus d times the second; the two passes together add to
     * one sum */
    const float d = 0.375f;
    plan_memory_t memory = {0};
    plan_t *p = model_plan(&m, false, &memory);
    plan_seed(p, 2, 1, d);
    size_t n, block = params_block(m.params),
              at = params_at(m.params, params_find(m.params, "generator.last.weight"))->offset;
    float *all = replay(&m, p, &memory, NULL, 1, &n);
    for (size_t i = 0; i < 8 * 9 * 3; i++)
        CHECK_NEAR(all[2 * block + at + i], (double)all[at + i] + (double)d * all[block + at + i],
                   1e-6);
    plan_seed(p, 2, 0, -2);
    plan_seed(p, 2, 1, 0);
    float *other = replay(&m, p, &memory, NULL, 1, &n);
    for (size_t i = 0; i < 8 * 9 * 3; i++)
        CHECK_NEAR(other[2 * block + at + i], -2 * (double)all[at + i], 1e-6);
    free(all);
    free(other);
    plan_free(p);
    plan_memory_release(&memory);
    model_close(&m);
}

/* ---- random tapes ---- */

enum { R = 6, C = 8 }; /* every value of a random tape */
static const shape_t RC = {DT_F32, 2, {R, C, 1, 1}};

static var_t random_op(model_t *m, nn_t *nn, rng_t r, const var_t *v, uint32_t n) {
    tape_t *t = m->tape;
    var_t a = v[rng_below(r, 1, n)], b = v[rng_below(r, 2, n)];
    char name[32]; /* few names: weights are shared */
    snprintf(name, sizeof name, "%c.%u", 'a' + (char)rng_below(r, 3, 3), rng_below(r, 4, 3));
    size_t mark = nn_push(nn, "%s", name);
    switch (rng_below(r, 5, 14)) {
    case 0:
        a = op_add(t, a, b);
        break;
    case 1:
        a = op_act(t, op_mul(t, a, b), ACT_TANH);
        break;
    case 2:
        a = op_act(t, a, (kern_act_t)rng_below(r, 6, 6));
        break;
    case 3:
        a = op_scale(t, a, 0.5f);
        break;
    case 4:
        a = nn_linear(nn, "linear", a, C, rng_below(r, 6, 2));
        break;
    case 5:
        a = nn_layernorm(nn, "layernorm", a, 1e-5f);
        break;
    case 6:
        a = tape_reshape(
            t, nn_groupnorm(nn, "groupnorm", tape_reshape(t, a, F32_3(2, 3, C)), 2, 1e-5f, true),
            RC);
        break;
    case 7:
        a = op_dropout(t, a, 0.3f, C);
        break;
    case 8:
        a = tape_detach(t, a);
        break;
    case 9:
        a = tape_reshape(t, op_scale(t, tape_reshape(t, a, F32_1(R * C)), 1.5f), RC);
        break;
    case 10: {
        var_t two[] = {a, b};
        a = m->n_input < MODEL_IN
                ? op_gather(t, op_concat_rows(t, two, 2), input(m, I32_1(R), 2 * R))
                : op_add(t, a, b);
        break;
    }
    case 11: {
        vq_out_t q = op_vq(t, a, nn_param2(nn, "codes", 5, C, init_normal(1)), 0.25f, 1);
        a = op_add(t, q.quantized, a);
        break;
    }
    case 12: {
        var_t qkv = tape_reshape(t, nn_linear(nn, "qkv", a, 3 * C, true), F32_3(2, 3, 3 * C));
        a = tape_reshape(
            t,
            op_attention_packed(t, qkv,
                                (attention_opts_t){.heads = 2, .causal = true, .first = NO_VAR}),
            RC);
        break;
    }
    case 13:
        a = tape_reshape(t, nn_conv2d(nn, "conv", tape_reshape(t, a, F32_4(1, 3, 2, C)), C, 3, 1),
                         RC);
        break;
    }
    nn_pop(nn, mark);
    return a;
}

static void record_random(model_t *m, rng_t r) {
    static const char *const patterns[] = {"", "a.", "b.", "c.", "!a.1", "!b.", "a.2", "c.0"};
    enum { OPS = 30 };
    nn_t nn;
    nn_begin(&nn, m->tape);
    var_t v[OPS + 1];
    uint32_t n = 0;
    v[n++] = input(m, RC, 0);
    while (n <= OPS) v[n] = random_op(m, &nn, rng_fold(r, n), v, n), n++;
    for (uint64_t k = 0; k < 1 + rng_below(r, 1, 3); k++) {
        rng_t s = rng_fold(r, 100 + k);
        pass_t *pass = &m->pass[k];
        pass_of(m, op_loss(m->tape, LOSS_MSE, v[n - 1 - rng_below(s, 0, 3)], v[0], NO_VAR, false),
                (const char *[]){patterns[rng_below(s, 1, 8)], patterns[rng_below(s, 2, 8)]}, 2);
        if (rng_below(s, 3, 2))
            pass->root[pass->n_roots++] = op_loss(m->tape, LOSS_L1, v[rng_below(s, 4, n)],
                                                  v[rng_below(s, 5, n)], NO_VAR, true);
    }
    for (uint64_t k = 0; k < 3; k++) keep(m, v[rng_below(r, 200 + k, n)]);
}

TEST(sharing_random_tapes) {
    for (uint64_t seed = 0; seed < 150; seed++) {
        char name[32];
        snprintf(name, sizeof name, "random tape %d", (int)seed);
        model_t m;
        model_open(&m, seed);
        record_random(&m, rng_make(seed, "tape"));
        check_sharing(name, &m);
        /* What a pass leaves out changes nothing in what it selects. */
        plan_memory_t memory[2] = {{0}, {0}};
        size_t n, block = params_block(m.params);
        plan_t *some = model_plan(&m, false, &memory[0]);
        float *part = replay(&m, some, &memory[0], NULL, 1, &n);
        model_t full = m;
        static const char *const all[] = {""};
        for (size_t k = 0; k < m.n_pass; k++) full.pass[k].wrt = all, full.pass[k].n_wrt = 1;
        plan_t *every = model_plan(&full, true, &memory[1]);
        float *whole = replay(&full, every, &memory[1], NULL, 1, &n);
        for (size_t k = 0; k < m.n_pass; k++)
            for (size_t i = 0; i < params_n(m.params); i++) {
                const param_t *q = params_at(m.params, (int)i);
                if (!params_match(q->name, m.pass[k].wrt, m.pass[k].n_wrt)) continue;
                CHECK(!memcmp(part + k * block + q->offset, whole + k * block + q->offset,
                              q->count * sizeof *part),
                      "%s: pass %zu: '%s' depends on what else is selected", name, k, q->name);
            }
        free(part);
        free(whole);
        plan_free(some);
        plan_free(every);
        plan_memory_release(&memory[0]);
        plan_memory_release(&memory[1]);
        model_close(&m);
        if (test_failures) return;
    }
}

/* ---- memory ---- */

TEST(arena_is_small) {
    static const vqvae_config_t c = {.levels = 4,
                                     .channels = {32, 32, 64, 128},
                                     .layers_per_block = 1,
                                     .latent_channels = 64,
                                     .vq_embed_dim = 16,
                                     .codes = 512,
                                     .norm_groups = 8,
                                     .in_channels = 3,
                                     .out_channels = 3,
                                     .mid_attention = true};
    static const char *const all[] = {""};
    double ratio[2], bytes[2];
    for (int train = 0; train < 2; train++) {
        model_t m;
        model_open(&m, 0);
        record_vqvae(&m, &c, 4, 64, train, all, 1);
        plan_t *apart = model_plan(&m, true, NULL), *shared = model_plan(&m, false, NULL);
        bytes[train] = (double)plan_bytes(shared);
        ratio[train] = (double)plan_bytes(apart) / bytes[train];
        plan_free(apart);
        plan_free(shared);
        model_close(&m);
    }
    CHECK(ratio[1] > 2.3, "training: only %.2f times smaller", ratio[1]);
    CHECK(ratio[0] > 3, "inference: only %.2f times smaller", ratio[0]);
    CHECK(bytes[1] > 6 * bytes[0], "inference needs %.0f of the %.0f bytes of training", bytes[0],
          bytes[1]);
}

TEST(memory_of_several_plans) {
    plan_memory_t memory = {0}, alone = {0};
    model_t m[2];
    plan_t *p[2];
    float *want[2], *got;
    size_t n;
    static const char *const all[] = {""};
    for (size_t i = 0; i < 2; i++) {
        model_open(&m[i], 4);
        record_vqvae(&m[i], &SMALL, 1 + 2 * i, 16, true, all, 1);
        plan_t *own = model_plan(&m[i], false, &alone);
        want[i] = replay(&m[i], own, &alone, NULL, 9, &n);
        plan_free(own);
        plan_memory_release(&alone);
        p[i] = model_plan(&m[i], false, &memory);
    }
    CHECK(memory.bytes == plan_bytes(p[1]) && plan_bytes(p[1]) > plan_bytes(p[0]),
          "as large as the largest");
    for (int turn = 0; turn < 4; turn++) {
        got = replay(&m[turn % 2], p[turn % 2], &memory, NULL, 9, &n);
        CHECK(!memcmp(got, want[turn % 2], n * sizeof *got),
              "turn %d: plans in one memory disturb each other", turn);
        free(got);
    }
    for (size_t i = 0; i < 2; i++) {
        plan_free(p[i]);
        free(want[i]);
        model_close(&m[i]);
    }
    plan_memory_release(&memory);
}
