/* optim_config.c - see optim_config.h. */
#include "common/train/optim_config.h"

void optim_settings_check(const optim_config_t *c, const optim_config_t *preset, int64_t steps) {
    if (c->warmup >= steps)
        warn("optim.warmup = %lld is not over in %lld steps: the learning rate never comes to "
             "optim.lr",
             (long long)c->warmup, (long long)steps);
    bool constant = c->schedule == SCHEDULE_CONSTANT;
    if (constant && c->min_ratio != preset->min_ratio)
        warn("optim.min_ratio has no effect: it needs optim.schedule = cosine or linear");
    if (c->lr <= 0) warn("optim.lr = 0: no weight will move");
}
