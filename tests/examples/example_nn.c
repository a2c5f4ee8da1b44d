/* example_nn.c - the use that nn.h opens with. */
#include "common/nn/nn.h"
#include "tests/test.h"

TEST(blocks) {
    params_t *params = params_new(7);
    tape_t *tape = tape_new(params);
    var_t x = tape_input(tape, "x", F32_2(8, 2));
    /* use of common/nn/nn.h */
    nn_t nn;
    nn_begin(&nn, tape);
    size_t mark = nn_push(&nn, "mlp");
    var_t h = nn_linear(&nn, "fc1", x, 32, true); // mlp.fc1.weight [32,2], mlp.fc1.bias [32]
    h = op_act(tape, h, ACT_RELU);
    var_t y = nn_linear(&nn, "fc2", h, 1, true);
    nn_pop(&nn, mark);
    /* end of use */
    static const char *const names[] = {"mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight",
                                        "mlp.fc2.bias"};
    CHECK(params_n(params) == 4);
    for (size_t i = 0; i < 4; i++) CHECK(params_find(params, names[i]) >= 0, "%s", names[i]);
    shape_t shape = tape_shape(tape, y);
    CHECK(shape.rank == 2 && shape.dim[0] == 8 && shape.dim[1] == 1);
    tape_free(tape);
    params_free(params);
}
