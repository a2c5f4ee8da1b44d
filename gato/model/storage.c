/* storage.c - how the weights of linear layers may be stored for forward-only use, and where fewer
 * bits are worth it (model.h). */
#include "common/base/log.h"
#include "common/kernel/level.h"
#include "gato/model/model.h"

#include <string.h>

static const char *const names[] = {
    [WEIGHTS_F32] = "f32", [WEIGHTS_BF16] = "bf16", [WEIGHTS_Q8] = "q8", [WEIGHTS_Q4] = "q4"};
enum { KINDS = sizeof names / sizeof *names };

/* How many times as fast as f32 a linear layer of 768 to 2,304 columns is: 67 rows, those of a
 * control step, and one row, a text's next id. One thread of a Xeon of the Sapphire Rapids
 * generation, 2026-11-28, best of many on a busy machine: good to a third. */
static const struct {
    const char *level;
    double many[KINDS], one[KINDS];
} measured[] = {
    {"base", {1, 0.83, 0.93, 0.53}, {1, 0.59, 0.95, 0.62}},
    {"avx2", {1, 1.1, 1.5, 2.0}, {1, 1.3, 7.7, 11}},
    {"avx2_vnni", {1, 1.0, 3.3, 2.9}, {1, 1.4, 7.9, 11}},
    {"avx512", {1, 1.05, 1.0, 1.8}, {1, 1.7, 5.7, 11}},
    {"avx512_vnni", {1, 1.05, 2.9, 2.9}, {1, 1.7, 8.4, 15}},
};

int gato_weights_named(const char *name, kern_weights_t *kind, reason_t *why) {
    for (size_t i = 0; i < KINDS; i++)
        if (!strcmp(name, names[i])) {
            *kind = (kern_weights_t)i;
            return 0;
        }
    return reason_set(why, "'%s' is no storage of weights: f32, bf16, q8 or q4", name);
}

void gato_weights_warn(kern_weights_t kind, bool rows) {
    const char *level = kern_level_name(kern_level());
    for (size_t i = 0; i < sizeof measured / sizeof *measured; i++) {
        if (strcmp(measured[i].level, level)) continue;
        double gain = rows ? measured[i].many[kind] : measured[i].one[kind];
        if (kind != WEIGHTS_F32 && gain < 1)
            warn("--weights %s: slower than f32 with kernels of level %s (%.2g of its speed when "
                 "measured)",
                 names[kind], level, gain);
    }
}
