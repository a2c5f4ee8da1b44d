/* settings.c - see settings.h.
 *
 * A key "is set" when its value is not the default: saying a default aloud is never a fault.
 */
#include "gato/run/settings.h"

#include "common/base/log.h"

#include <math.h>

/* ---- what would never run ---- */

/* Most consecutive timesteps that are predicted in one sequence: half a sequence when every one of
 * them begins with a prompt. */
static size_t consecutive(const gato_config_t *c, size_t steps) {
    double per_step = (double)(c->train.batch * c->train.accumulate);
    size_t prompt, main_part;
    if (nearbyint(c->train.prompt * per_step) < per_step) return steps;
    dataset_prompt_split(steps, &prompt, &main_part);
    return main_part > prompt ? main_part : prompt;
}

static void check_image_loss(const gato_config_t *c, const dataset_kinds_t *k) {
    long long horizon = (long long)c->loss.horizon;
    if (c->loss.image <= 0) {
        if (horizon > 1)
            die(RC_USAGE,
                "loss.horizon = %lld is set, but the loss on image codes would never run: set "
                "loss.image above 0",
                horizon);
        return;
    }
    if (!k->images)
        die(RC_USAGE, "loss.image = %g would never run: the shards hold no images; set it to 0",
            c->loss.image);
    size_t steps = consecutive(c, k->image_steps);
    if (horizon > 1 && steps <= (size_t)horizon)
        die(RC_USAGE,
            "loss.horizon = %lld would never run: it needs %lld timesteps in a row, and a sequence "
            "holds %zu (by model.context, train.window, train.prompt and the episodes)",
            horizon, horizon + 1, k->image_steps ? steps : 1);
    if (horizon == 1 && k->image_tokens < 2 && steps < 2)
        die(RC_USAGE,
            "loss.image = %g would never run: an image is one token (model.merge = %lld) "
            "and no sequence holds two",
            c->loss.image, (long long)c->model.merge);
}

static bool has_targets(const gato_config_t *c, const dataset_kinds_t *k, bool actions) {
    return (k->episodes && actions && c->loss.action > 0) || (k->texts && c->loss.text > 0) ||
           (k->images && c->loss.image > 0);
}

static void check_targets(const gato_config_t *c, const dataset_t *d, const dataset_kinds_t *all) {
    const gato_facts_t *f = dataset_facts(d);
    bool actions = f->n_actions + f->n_discrete_actions > 0;
    if (!has_targets(c, all, actions)) {
        const char *key = all->episodes && actions ? "loss.action"
                          : all->texts             ? "loss.text"
                                                   : "loss.image";
        die(RC_USAGE,
            "there is nothing to learn: %zu episodes%s, %zu texts, %zu records with images, and "
            "no loss on any of them; set %s above 0",
            all->episodes, actions ? "" : " without actions", all->texts, all->images, key);
    }
    for (size_t i = 0; i < dataset_sources(d); i++) {
        dataset_kinds_t k = dataset_kinds(d, i, i + 1);
        if (!has_targets(c, &k, actions))
            warn("nothing is learned from '%s': no loss is on what it holds (loss.action, "
                 "loss.text, loss.image)",
                 dataset_source(d, i));
    }
}

/* ---- what has no effect ---- */

static void no_effect(bool is_set, const char *key, const char *needs) {
    if (is_set) warn("%s has no effect: it needs %s", key, needs);
}

static void check_model(const gato_config_t *c, const gato_config_t *preset,
                        const dataset_kinds_t *k, const gato_facts_t *f) {
    bool patches = c->model.image_in == IMAGE_IN_PATCHES,
         linear = c->model.vector_in == VECTOR_IN_LINEAR;
    bool vectors = c->model.image_in == IMAGE_IN_CODES || c->model.image_in == IMAGE_IN_BOTH;
    no_effect(!patches && c->model.patch != preset->model.patch, "model.patch",
              "model.image_in = patches");
    no_effect(!patches && c->model.patch_mid != preset->model.patch_mid, "model.patch_mid",
              "model.image_in = patches");
    no_effect(!patches && c->model.patch_groups != preset->model.patch_groups, "model.patch_groups",
              "model.image_in = patches");
    no_effect(c->model.code_norm != preset->model.code_norm && !vectors, "model.code_norm",
              "model.image_in = codes or both");
    no_effect(c->model.code_pos_random && (patches || c->model.patch_pos == POS_NONE),
              "model.code_pos_random", "codes (model.image_in) with places (model.patch_pos)");
    no_effect(c->model.pos_init != preset->model.pos_init && c->model.patch_pos == POS_NONE &&
                  !c->model.inner_pos,
              "model.pos_init", "model.patch_pos or model.inner_pos");
    no_effect(!k->images && c->model.image_in != preset->model.image_in, "model.image_in",
              "images, and the shards hold none");
    no_effect(!k->images && c->model.merge != preset->model.merge, "model.merge",
              "images, and the shards hold none");
    no_effect(!k->images && c->model.code_norm != preset->model.code_norm && vectors,
              "model.code_norm", "images, and the shards hold none");
    no_effect(!k->images && c->model.patch_pos != preset->model.patch_pos, "model.patch_pos",
              "images, and the shards hold none");
    no_effect(linear && !f->n_continuous, "model.vector_in = linear",
              "vector observations, and the shards hold none");
    no_effect(c->model.mu_law != preset->model.mu_law && (linear || !f->n_continuous),
              "model.mu_law", "observed numbers in bins (model.vector_in = bins)");
    no_effect(c->model.text_first && !k->texts && !(k->mission && c->model.control_text),
              "model.text_first", "text, and no timestep has any");
}

static void check_losses(const gato_config_t *c, const gato_config_t *preset,
                         const dataset_kinds_t *k, const gato_facts_t *f) {
    no_effect(!k->episodes && c->loss.action != preset->loss.action, "loss.action",
              "episodes, and the shards hold none");
    no_effect(!f->n_actions && c->loss.action_kind != preset->loss.action_kind, "loss.action_kind",
              "continuous actions, and the shards hold none");
    no_effect(c->loss.action_kind != ACTION_MIX && c->loss.ce_weight != preset->loss.ce_weight,
              "loss.ce_weight", "loss.action_kind = mix");
    no_effect(!k->texts && c->loss.text != preset->loss.text, "loss.text",
              "captions or texts, and the shards hold none");
    no_effect(!k->episodes && c->train.window != preset->train.window, "train.window",
              "episodes, and the shards hold none");
    no_effect(c->train.prompt > 0 && c->train.prompt != preset->train.prompt && k->steps < 2,
              "train.prompt", "sequences of two timesteps (train.window, model.context)");
    no_effect(c->act.temperature != preset->act.temperature && c->act.decode != DECODE_SAMPLE,
              "act.temperature", "act.decode = sample");
    no_effect(c->act.decode != preset->act.decode && c->loss.action_kind == ACTION_MSE &&
                  !f->n_discrete_actions,
              "act.decode", "actions in bins (loss.action_kind = ce or mix)");
}

void gato_settings_check(const gato_config_t *c, const dataset_t *d) {
    gato_config_t preset;
    config_defaults(gato_config_table, &preset);
    const gato_facts_t *f = dataset_facts(d);
    dataset_kinds_t k = dataset_kinds(d, 0, dataset_sources(d));
    check_image_loss(c, &k);
    check_targets(c, d, &k);
    check_model(c, &preset, &k, f);
    check_losses(c, &preset, &k, f);
    optim_settings_check(&c->optim, &preset.optim, c->train.steps);
    for (size_t i = 0; i < dataset_sources(d); i++)
        if (c->data.holdout > 0 && !dataset_source_records(d, i, SIDE_VAL))
            log_line("'%s' has one record alone (or one name): it is trained on, and nothing is "
                     "held out",
                     dataset_source(d, i));
}
