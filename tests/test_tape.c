/* test_tape.c - what a tape means: an op runs backward only where its gradient arrives and is
 * wanted (counted by an op of our own), bound memory, weights under one name, layouts on disk; and
 * what a mistake while recording says.
 */
#include "common/base/pool.h"
#include "common/nn/nn.h"
#include "common/tape/op.h"
#include "common/tape/plan.h"
#include "tests/child.h"
#include "tests/test.h"

__attribute__((constructor)) static void one_thread(void) {
    pool_set_threads(1);
}

/* ---- which ops run ---- */

enum { PROBES = 16 };
static int ran_forward[PROBES], ran_backward[PROBES];

static void probe_forward(const op_run_t *r) {
    ran_forward[r->attr->i[0]]++;
    memcpy(r->out[0], r->in[0], shape_count(*r->in_shape[0]) * sizeof(float));
}
static void probe_backward(const op_run_t *r) {
    ran_backward[r->attr->i[0]]++;
    kern_scale(r->dout[0], 1, shape_count(*r->in_shape[0]), r->din[0], r->add[0]);
}
static const opdef_t probe_def = {
    .name = "probe", .forward = probe_forward, .backward = probe_backward, .grads_in = 1};

/* The same value, counted. */
static var_t probe(tape_t *t, var_t x, int number) {
    op_spec_t s = {.def = &probe_def, .n_in = 1, .n_out = 1, .in = {x}, .out = {tape_shape(t, x)}};
    s.attr.i[0] = number;
    return tape_op(t, &s);
}

static void expect_runs(plan_t *p, size_t pass, const char *name, const int *which, int n) {
    memset(ran_forward, 0, sizeof ran_forward);
    memset(ran_backward, 0, sizeof ran_backward);
    plan_forward(p);
    plan_backward(p, pass);
    for (int i = 0; i < PROBES; i++) {
        int want = 0;
        for (int j = 0; j < n; j++) want |= which[j] == i;
        CHECK(ran_backward[i] == want, "%s: op %d ran backward %d times, not %d", name, i,
              ran_backward[i], want);
    }
}

/*  x -0- A -1- B -2- C -3-> loss      dead end: A -4- E (no root)
 *         \-5- detach -6- D -7-/      only D is below 7 and 6; x leads to no parameter */
TEST(pass_rule) {
    params_t *params = params_new(2);
    tape_t *t = tape_new(params);
    nn_t nn;
    nn_begin(&nn, t);
    int lonely =
        params_get(params, "lonely", 1, (size_t[]){5}, LAYOUT_SAME, (param_init_t){INIT_ONE, 0});
    var_t x = tape_input(t, "x", F32_2(2, 3));
    var_t a = probe(t, nn_linear(&nn, "A", probe(t, x, 0), 3, true), 1);
    var_t c =
        probe(t, nn_linear(&nn, "C", probe(t, nn_linear(&nn, "B", a, 3, true), 2), 3, true), 3);
    nn_linear(&nn, "E", probe(t, a, 4), 3, true);
    var_t d =
        probe(t,
              nn_linear(&nn, "D",
                        probe(t, tape_reshape(t, tape_detach(t, probe(t, a, 5)), F32_2(2, 3)), 6),
                        3, true),
              7);
    var_t root = op_loss(t, LOSS_MSE, op_add(t, c, d), x, NO_VAR, false),
          side = op_loss(t, LOSS_MSE, d, x, NO_VAR, false);
    static const char *const all[] = {""}, *const only_b[] = {"B"}, *const only_c[] = {"C"},
                             *const only_d[] = {"D"}, *const only_e[] = {"E", "lonely"},
                             *const not_a[] = {"", "!A"};
    const struct {
        const char *name;
        var_t root;
        const char *const *wrt;
        size_t n_wrt;
        int runs[8], n;
    } use[] = {
        {"all", root, all, 1, {1, 2, 3, 7}, 4},
        {"B alone", root, only_b, 1, {2, 3}, 2}, /* A's is not wanted */
        {"C alone", root, only_c, 1, {3}, 1},
        {"D alone", root, only_d, 1, {7}, 1}, /* the detach stops before 6 */
        {"out of reach", root, only_e, 2, {0}, 0},
        {"A frozen", root, not_a, 2, {2, 3, 7}, 3},
        {"the side", side, all, 1, {7}, 1},
    };
    enum { N = sizeof use / sizeof *use };
    for (size_t i = 0; i < N; i++) {
        pass_t pass = {
            .root = {use[i].root}, .n_roots = 1, .wrt = use[i].wrt, .n_wrt = use[i].n_wrt};
        plan_t *p =
            plan_new(t, &(plan_opts_t){.keep = &x, .n_keep = 1, .pass = &pass, .n_pass = 1});
        for (int e = 0; e < 6; e++) ((float *)plan_data(p, x))[e] = (float)(e * e) - 3;
        for (size_t e = 0; e < params_block(params); e++) params_base(params, PARAMS_GRAD)[e] = 7;
        expect_runs(p, 0, use[i].name, use[i].runs, use[i].n);
        for (size_t k = 0; k < params_n(params); k++) {
            const param_t *q = params_at(params, (int)k);
            const float *g = params_ptr(params, PARAMS_GRAD, (int)k);
            bool selected = params_match(q->name, use[i].wrt, use[i].n_wrt),
                 reached =
                     (q->name[0] == 'D' || (use[i].root == root && strchr("ABC", q->name[0])));
            for (size_t e = 0; e < q->count; e++) {
                if (!selected)
                    CHECK(g[e] == 7, "%s: '%s' is frozen, but its gradient became %g", use[i].name,
                          q->name, g[e]);
                else if (!reached)
                    CHECK(g[e] == 0, "%s: '%s' is out of reach, but has gradient %g", use[i].name,
                          q->name, g[e]);
                else
                    CHECK(isfinite(g[e]) && g[e] != 7, "%s: '%s' was not written", use[i].name,
                          q->name);
            }
        }
        /* what is out of reach and adds stays as it was */
        for (size_t e = 0; e < params_block(params); e++) params_base(params, PARAMS_GRAD)[e] = 7;
        plan_accumulate(p, 0, true);
        plan_backward(p, 0);
        CHECK(params_ptr(params, PARAMS_GRAD, lonely)[4] == 7,
              "%s: nothing is added to what is out of reach", use[i].name);
        plan_free(p);
    }
    tape_free(t);
    params_free(params);
}

TEST(extern_binding) {
    tape_t *t = tape_new(NULL);
    var_t e = tape_extern(t, "cache", F32_2(2, 2)),
          y = op_scale(t, tape_reshape(t, e, F32_1(4)), 2);
    plan_t *p = plan_new(t, &(plan_opts_t){.keep = &y, .n_keep = 1});
    float one[4] = {1, 2, 3, 4}, two[4] = {5, 6, 7, 8};
    plan_bind(p, e, one);
    plan_forward(p);
    CHECK(((float *)plan_data(p, y))[3] == 8, "the first binding");
    one[3] = -1; /* bound, not copied */
    plan_forward(p);
    CHECK(((float *)plan_data(p, y))[3] == -2, "memory of the caller");
    plan_bind(p, e, two);
    plan_forward(p);
    CHECK(((float *)plan_data(p, y))[0] == 10 && plan_data(p, e) == two, "the second binding");
    plan_free(p);
    tape_free(t);
}

TEST(shared_weight) {
    static const char *const all[] = {""};
    float grad[2][12];
    for (int tied = 0; tied < 2; tied++) {
        params_t *params = params_new(3);
        tape_t *t = tape_new(params);
        nn_t nn;
        nn_begin(&nn, t);
        var_t x = tape_input(t, "x", F32_2(2, 3));
        var_t a = nn_linear(&nn, "one", x, 3, true),
              b = nn_linear(&nn, tied ? "one" : "two", a, 3, true);
        CHECK(params_n(params) == (tied ? 2 : 4), "%zu parameters", params_n(params));
        if (!tied) /* the same numbers under two names */
            for (int i = 0; i < 2; i++)
                memcpy(params_ptr(params, PARAMS_VALUE, 2 + i), params_ptr(params, PARAMS_VALUE, i),
                       params_at(params, i)->count * sizeof(float));
        pass_t pass = {.root = {op_loss(t, LOSS_MSE, b, x, NO_VAR, false)},
                       .n_roots = 1,
                       .wrt = all,
                       .n_wrt = 1};
        plan_t *p = plan_new(t, &(plan_opts_t){.pass = &pass, .n_pass = 1});
        for (int e = 0; e < 6; e++) ((float *)plan_data(p, x))[e] = (float)e - 2;
        plan_forward(p);
        plan_backward(p, 0);
        for (size_t e = 0; e < 12; e++) {
            int i = e < 9 ? 0 : 1;
            size_t at = e < 9 ? e : e - 9;
            grad[tied][e] = params_ptr(params, PARAMS_GRAD, i)[at] +
                            (tied ? 0 : params_ptr(params, PARAMS_GRAD, 2 + i)[at]);
        }
        plan_free(p);
        tape_free(t);
        params_free(params);
    }
    for (size_t e = 0; e < 12; e++) CHECK_NEAR(grad[0][e], grad[1][e], 1e-6);
}

TEST(layouts_on_disk) {
    enum { O = 5, I = 3, KH = 2, KW = 4, PIXELS = 7 };
    float disk[O * I * KH * KW], back[O * I * KH * KW];
    for (size_t i = 0; i < O * I * KH * KW; i++) disk[i] = (float)i;
    params_t *p = params_new(0);
    int conv = params_get(p, "conv", 4, (size_t[]){O, I, KH, KW}, LAYOUT_CONV,
                          (param_init_t){INIT_ZERO, 0});
    params_import(p, PARAMS_VALUE, conv, disk);
    const float *m = params_ptr(p, PARAMS_VALUE, conv);
    for (size_t o = 0; o < O; o++)
        for (size_t i = 0; i < I; i++)
            for (size_t y = 0; y < KH; y++)
                for (size_t x = 0; x < KW; x++)
                    CHECK(m[((y * KW + x) * I + i) * O + o] ==
                              disk[((o * I + i) * KH + y) * KW + x],
                          "memory [kh,kw,in,out] of OIHW");
    params_export(p, PARAMS_VALUE, conv, back);
    CHECK(!memcmp(disk, back, sizeof disk), "out as it went in");
    int patch = params_get(p, "patch", 2, (size_t[]){O, 3 * PIXELS}, LAYOUT_PIXELS,
                           (param_init_t){INIT_ZERO, 0});
    params_import(p, PARAMS_VALUE, patch, disk);
    m = params_ptr(p, PARAMS_VALUE, patch);
    for (size_t o = 0; o < O; o++)
        for (size_t i = 0; i < PIXELS; i++)
            for (size_t c = 0; c < 3; c++)
                CHECK(m[(o * PIXELS + i) * 3 + c] == disk[o * 3 * PIXELS + c * PIXELS + i],
                      "memory [out, pixel, 3] of channels first");
    params_export(p, PARAMS_VALUE, patch, back);
    CHECK(!memcmp(disk, back, O * 3 * PIXELS * sizeof *disk), "out as it went in");
    /* what a tape sees: initialised by seed and name in disk order, whatever the layout */
    params_t *q = params_new(5), *r = params_new(5);
    float a[O * I * KH * KW], b[O * I * KH * KW];
    params_get(q, "w", 4, (size_t[]){O, I, KH, KW}, LAYOUT_CONV, (param_init_t){INIT_UNIFORM, 2});
    params_get(r, "v", 1, (size_t[]){3}, LAYOUT_SAME, (param_init_t){INIT_NORMAL, 1});
    params_get(r, "w", 4, (size_t[]){O, I, KH, KW}, LAYOUT_SAME, (param_init_t){INIT_UNIFORM, 2});
    params_export(q, PARAMS_VALUE, 0, a);
    params_export(r, PARAMS_VALUE, 1, b);
    CHECK(!memcmp(a, b, sizeof a), "the start is a function of seed and name");
    params_free(p);
    params_free(q);
    params_free(r);
}

TEST(patterns) {
    static const char *const p[] = {"encoder.", "!encoder.mid", "encoder.mid.b"};
    CHECK(params_match("encoder.conv", p, 3) && !params_match("encoder.mid.a", p, 3) &&
              params_match("encoder.mid.b.w", p, 3),
          "the last match decides");
    CHECK(!params_match("decoder.conv", p, 3) && !params_match("encoder.conv", p, 0) &&
              params_match("x", (const char *[]){""}, 1),
          "nothing, all");
}

/* ---- mistakes ---- */

static tape_t *wrong_tape(params_t *params) {
    tape_t *t = tape_new(params);
    tape_scope(t, "encoder.down_blocks.%d", 2);
    return t;
}
#define X(...) tape_input(t, "x", __VA_ARGS__)

/* arg: which mistake */
static int mistake(void *arg) {
    params_t *params = params_new(0);
    tape_t *t = wrong_tape(params);
    nn_t nn;
    attention_opts_t two = {.heads = 2, .first = NO_VAR};
    switch (*(int *)arg) {
    case 0:
        op_linear(t, X(F32_2(2, 5)), X(F32_2(3, 4)), NO_VAR, W_OUT_IN);
        break;
    case 1:
        op_linear(t, X(F32_2(2, 5)), X(F32_2(3, 4)), NO_VAR, W_IN_OUT);
        break;
    case 2:
        op_linear(t, X(F32_2(2, 4)), X(F32_2(3, 4)), X(F32_1(4)), W_OUT_IN);
        break;
    case 3:
        op_conv2d(t, X(F32_4(1, 8, 8, 3)), X(F32_4(3, 3, 4, 5)), NO_VAR,
                  (conv_opts_t){1, 1, 1, 1, 1, 1, false});
        break;
    case 4:
        op_conv2d(t, X(F32_4(1, 2, 2, 3)), X(F32_4(5, 5, 3, 7)), NO_VAR,
                  (conv_opts_t){1, 1, 1, 1, 1, 1, false});
        break;
    case 5:
        op_groupnorm(t, X(F32_4(1, 2, 2, 6)), X(F32_1(6)), X(F32_1(6)), 4, 1e-6f, false);
        break;
    case 6:
        op_layernorm(t, X(F32_2(2, 6)), X(F32_1(5)), X(F32_1(5)), 1e-6f);
        break;
    case 7:
        op_add(t, X(F32_2(2, 6)), X(F32_2(2, 7)));
        break;
    case 8:
        op_mul(t, X(F32_2(2, 6)), X(F32_1(13)));
        break;
    case 9:
        op_attention(t, X(F32_3(1, 4, 7)), X(F32_3(1, 4, 7)), X(F32_3(1, 4, 7)), two);
        break;
    case 10:
        op_attention(t, X(F32_3(1, 5, 6)), X(F32_3(1, 5, 6)), X(F32_3(1, 4, 6)), two);
        break;
    case 11:
        op_gather(t, X(F32_2(9, 2)), X(F32_1(3)));
        break;
    case 12:
        op_concat_rows(t, (var_t[]){X(F32_2(1, 4)), X(F32_2(1, 6))}, 2);
        break;
    case 13:
        op_maxpool2(t, X(F32_3(2, 3, 5)));
        break;
    case 14:
        op_loss(t, LOSS_L1, X(F32_2(2, 6)), X(F32_2(3, 6)), NO_VAR, false);
        break;
    case 15:
        op_loss(t, LOSS_L1, X(F32_2(2, 6)), X(F32_2(2, 6)), X(F32_1(6)), false);
        break;
    case 16:
        op_xent(t, X(F32_2(3, 8)), X(I32_1(3)), X(I32_2(4, 2)), NO_VAR, NULL);
        break;
    case 17:
        op_vq(t, X(F32_4(1, 2, 2, 5)), X(F32_2(16, 4)), 1, 1);
        break;
    case 18:
        op_weighted_sum(t, (var_t[]){X(F32_1(2))}, (float[]){1}, 1);
        break;
    case 19:
        tape_reshape(t, X(F32_2(2, 6)), F32_3(2, 2, 2));
        break;
    case 20: /* blocks name the layer */
        nn_begin(&nn, t);
        nn_push(&nn, "decoder.up_blocks.%d", 1);
        nn_linear(&nn, "to_q", X(F32_2(2, 6)), 3, true);
        nn_linear(&nn, "to_q", X(F32_2(2, 6)), 4, true);
        break;
    case 21: {
        var_t y = op_scale(t, X(F32_1(3)), 2);
        plan_data(plan_new(t, &(plan_opts_t){0}), y);
        break;
    }
    case 22: {
        var_t y = op_scale(t, tape_extern(t, "cache", F32_1(3)), 2);
        plan_forward(plan_new(t, &(plan_opts_t){.keep = &y, .n_keep = 1}));
        break;
    }
    case 23:
        plan_new(
            t, &(plan_opts_t){.pass = &(pass_t){.root = {X(F32_1(3))}, .n_roots = 1}, .n_pass = 1});
        break;
    case 24: /* three rows of q, two positions */
        op_attention_some(t, X(F32_2(3, 6)), X(F32_3(1, 4, 12)), X(I32_1(2)),
                          (attention_opts_t){.heads = 2, .causal = true, .first = NO_VAR});
        break;
    case 25:
        op_dropout_some(t, X(F32_2(3, 6)), 0.1f, 6, X(I32_1(2)));
        break;
    }
    return 0;
}

TEST(mistakes_name_scope_and_shapes) {
    static const struct {
        const char *says[4];
    } want[] = {
        {{"encoder.down_blocks.2", "linear", "[2,5]", "[3,4]"}},
        {{"encoder.down_blocks.2", "linear", "[2,5]", "[3,4]"}},
        {{"encoder.down_blocks.2", "linear", "[3,4]", "[4]"}},
        {{"encoder.down_blocks.2", "conv2d", "[1,8,8,3]", "[3,3,4,5]"}},
        {{"encoder.down_blocks.2", "conv2d", "[1,2,2,3]", "[5,5,3,7]"}},
        {{"encoder.down_blocks.2", "groupnorm", "[1,2,2,6]", "[4]"}},
        {{"encoder.down_blocks.2", "layernorm", "[2,6]", "[5]"}},
        {{"encoder.down_blocks.2", "add", "[2,6]", "[2,7]"}},
        {{"encoder.down_blocks.2", "mul", "[2,6]", "[13]"}},
        {{"encoder.down_blocks.2", "attention", "[1,4,7]", "[2]"}},
        {{"encoder.down_blocks.2", "attention", "[1,5,6]", "[1,4,6]"}},
        {{"encoder.down_blocks.2", "gather", "[9,2]", "[3]"}},
        {{"encoder.down_blocks.2", "concat_rows", "[1,4]", "[1,6]"}},
        {{"encoder.down_blocks.2", "maxpool2", "[2,3,5]", ""}},
        {{"encoder.down_blocks.2", "loss", "[2,6]", "[3,6]"}},
        {{"encoder.down_blocks.2", "loss", "[2,6]", "[6]"}},
        {{"encoder.down_blocks.2", "xent", "[3,8]", "i32[4,2]"}},
        {{"encoder.down_blocks.2", "vq", "[1,2,2,5]", "[16,4]"}},
        {{"encoder.down_blocks.2", "weighted_sum", "[2]", "[]"}},
        {{"encoder.down_blocks.2", "reshape", "[2,6]", "[2,2,2]"}},
        {{"decoder.up_blocks.1.to_q.weight", "shape", "[3,6]", "[4,6]"}},
        {{"kept", "", "", ""}},
        {{"'cache'", "bound", "", ""}},
        {{"scalar", "", "", ""}},
        {{"encoder.down_blocks.2", "attention", "[3,6]", "i32[2]"}},
        {{"encoder.down_blocks.2", "dropout", "[3,6]", "i32[2]"}},
    };
    for (int i = 0; i < (int)(sizeof want / sizeof *want); i++) {
        child_t c;
        child_run(mistake, &i, &c);
        CHECK(c.code == 128 + 6, "mistake %d: left with %d", i, c.code);
        CHECK(child_lines(c.err) == 1, "mistake %d: one line, not \"%s\"", i, c.err);
        for (int j = 0; j < 4; j++)
            CHECK(strstr(c.err, want[i].says[j]), "mistake %d says nothing of '%s': %s", i,
                  want[i].says[j], c.err);
    }
}
