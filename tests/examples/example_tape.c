/* example_tape.c - the use that tape.h opens with. */
#include "common/tape/ops.h"
#include "common/tape/tape.h"
#include "tests/test.h"

TEST(record) {
    /* use of common/tape/tape.h */
    params_t *params = params_new(7); // the seed of first values
    param_init_t ones = {INIT_ONE, 0};
    int w = params_get(params, "w", 2, (size_t[]){1, 3}, LAYOUT_SAME, ones);
    tape_t *tape = tape_new(params);
    var_t x = tape_input(tape, "x", F32_2(4, 3));
    var_t y = op_linear(tape, x, tape_param(tape, w), NO_VAR, W_OUT_IN); // x w^T
    shape_t shape = tape_shape(tape, y);                                 // [4,1]
    double flops = tape_flops(tape);                                     // 4 x 3 multiply-adds
    /* end of use */
    CHECK(shape.rank == 2 && shape.dim[0] == 4 && shape.dim[1] == 1);
    CHECK_NEAR(flops, 2 * 4 * 3, 0);
    tape_free(tape);
    params_free(params);
}
