/* example_plan.c - the use that plan.h opens with. */
#include "common/tape/ops.h"
#include "common/tape/plan.h"
#include "tests/test.h"

/* Learns y = 2 x: loss = mean (w x - 2 x)^2 by three steps of gradient descent. */
TEST(train) {
    params_t *params = params_new(7);
    param_init_t ones = {INIT_ONE, 0};
    int w = params_get(params, "w", 2, (size_t[]){1, 1}, LAYOUT_SAME, ones);
    float *weight = params_ptr(params, PARAMS_VALUE, w);
    tape_t *tape = tape_new(params);
    var_t x = tape_input(tape, "x", F32_2(2, 1));
    var_t y = op_linear(tape, x, tape_param(tape, w), NO_VAR, W_OUT_IN);
    var_t loss = op_loss(tape, LOSS_MSE, y, op_scale(tape, x, 2), NO_VAR, false);
    float batch[2] = {1, 3};
    /* use of common/tape/plan.h */
    pass_t pass = {.root = {loss}, .n_roots = 1, .wrt = (const char *[]){"w"}, .n_wrt = 1};
    plan_opts_t opts = {.keep = &y, .n_keep = 1, .pass = &pass, .n_pass = 1};
    plan_t *plan = plan_new(tape, &opts);
    for (int step = 0; step < 3; step++) {
        memcpy(plan_data(plan, x), batch, sizeof batch);
        plan_forward(plan);
        plan_backward(plan, 0);
        weight[0] -= 0.1f * params_ptr(params, PARAMS_GRAD, w)[0];
    }
    float value = plan_scalar(plan, loss), first = ((float *)plan_data(plan, y))[0];
    plan_free(plan);
    /* end of use */
    /* By hand: e = w - 2, loss = 5 e^2, de = -0.1 x 10 e: after the first step w = 2. */
    CHECK_NEAR(weight[0], 2, 1e-6);
    CHECK_NEAR(value, 0, 1e-9);
    CHECK_NEAR(first, 2, 1e-6);
    tape_free(tape);
    params_free(params);
}
