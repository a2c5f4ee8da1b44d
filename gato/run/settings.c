/* settings.c - see settings.h.
 *
 * A key "is set" when its value is not the default: saying a default aloud is never a fault.
 */
#include "gato/run/settings.h"

#include "common/base/log.h"

#include <math.h>
#include <string.h>

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

/* Each horizon needs a task whose sequences are longer. */
static void check_horizons(const gato_config_t *c, const dataset_t *d) {
    const tasks_t *tasks = dataset_tasks(d);
    for (int i = 0; i < c->loss.horizon.n; i++) {
        size_t horizon = (size_t)c->loss.horizon.v[i], most = 0;
        bool runs = false;
        for (uint32_t t = 0; t < tasks->n; t++) {
            dataset_kinds_t k = dataset_kinds(d, t);
            size_t steps = consecutive(c, k.image_steps);
            if (k.images && steps > most) most = steps;
            /* inside an image, a token is predicted by the one before it */
            bool inside = horizon == 1 && k.image_tokens > 1 && c->loss.image_first > 0;
            runs = runs || (k.images && (steps > horizon || inside));
            if (k.images && k.image_steps && horizon > 1 && steps <= horizon)
                log_line("task '%s': horizon %zu of loss.horizon never runs: a sequence holds %zu "
                         "timesteps in a row",
                         tasks->v[t].name, horizon, steps);
        }
        if (runs) continue;
        if (horizon == 1 && c->loss.image_first <= 0)
            die(RC_USAGE,
                "loss.image = %g would never run: loss.image_first = 0, and no sequence holds two "
                "images in a row (by model.context, train.window, train.prompt and the episodes)",
                c->loss.image);
        if (horizon == 1)
            die(RC_USAGE,
                "loss.image = %g would never run: an image is one token (model.merge = %lld) and "
                "no sequence holds two",
                c->loss.image, (long long)c->model.merge);
        die(RC_USAGE,
            "horizon %zu of loss.horizon would never run in any task: it needs %zu timesteps in a "
            "row, and a sequence holds %zu (by model.context, train.window, train.prompt and the "
            "episodes)",
            horizon, horizon + 1, most ? most : 1);
    }
}

/* An image is told the one before it: a sequence must hold two in a row. */
static void check_last(const gato_config_t *c, const dataset_t *d) {
    if (!c->model.image_last) return;
    for (uint32_t t = 0; t < dataset_tasks(d)->n; t++) {
        dataset_kinds_t k = dataset_kinds(d, t);
        if (k.images && consecutive(c, k.image_steps) > 1) return;
    }
    die(RC_USAGE,
        "model.image_last would never have an effect: no sequence holds two images in a row (by "
        "model.context, train.window, train.prompt and the episodes)");
}

static void check_image_loss(const gato_config_t *c, const dataset_t *d, const dataset_kinds_t *k) {
    if (c->loss.image <= 0) {
        if (c->loss.horizon.n > 1 || c->loss.horizon.v[0] > 1)
            die(RC_USAGE, "loss.horizon is set, but the loss on image codes would never run: set "
                          "loss.image above 0");
        if (c->model.image_last)
            die(RC_USAGE, "model.image_last is set, but the loss on image codes would never run: "
                          "set loss.image above 0");
        return;
    }
    if (!k->images)
        die(RC_USAGE, "loss.image = %g would never run: the shards hold no images; set it to 0",
            c->loss.image);
    check_horizons(c, d);
    check_last(c, d);
}

/* The next vector is predicted: a sequence must hold two timesteps of vectors. */
static void check_vector_loss(const gato_config_t *c, const dataset_t *d) {
    size_t most = 0;
    bool vectors = false;
    if (c->loss.vector <= 0) return;
    for (uint32_t t = 0; t < dataset_tasks(d)->n; t++) {
        dataset_kinds_t k = dataset_kinds(d, t);
        size_t steps = k.observed ? consecutive(c, k.steps) : 0;
        vectors = vectors || k.observed;
        if (steps > most) most = steps;
    }
    if (!vectors)
        die(RC_USAGE,
            "loss.vector = %g would never run: the shards hold no observed vectors; set it to 0",
            c->loss.vector);
    if (most < 2)
        die(RC_USAGE,
            "loss.vector = %g would never run: no sequence holds two timesteps in a row (by "
            "model.context, train.window, train.prompt and the episodes)",
            c->loss.vector);
}

static void check_discrete_loss(const gato_config_t *c, const dataset_kinds_t *k) {
    if (c->loss.discrete > 0 && !k->values)
        die(RC_USAGE,
            "loss.discrete = %g would never run: the shards hold no observed discrete values; set "
            "it to 0",
            c->loss.discrete);
}

static bool has_targets(const gato_config_t *c, const dataset_kinds_t *k) {
    const size_t there[LEARNS] = {[LEARNS_ACTIONS] = k->acted,
                                  [LEARNS_TEXTS] = k->texts,
                                  [LEARNS_IMAGES] = k->images,
                                  [LEARNS_VECTORS] = k->observed,
                                  [LEARNS_VALUES] = k->values};
    for (size_t i = 0; heads[i]; i++)
        if (there[heads[i]->learns] && head_weight(heads[i], c) > 0) return true;
    return false;
}

static void check_targets(const gato_config_t *c, const dataset_t *d, const dataset_kinds_t *all) {
    const tasks_t *tasks = dataset_tasks(d);
    if (!has_targets(c, all)) {
        const char *key = "loss.image";
        if (all->texts) key = "loss.text";
        if (all->acted) key = "loss.action";
        die(RC_USAGE,
            "there is nothing to learn: %zu episodes%s, %zu texts, %zu records with images, and no "
            "loss on any of them; set %s above 0",
            all->episodes, all->acted ? "" : " without actions", all->texts, all->images, key);
    }
    for (uint32_t t = 0; t < tasks->n; t++) {
        dataset_kinds_t k = dataset_kinds(d, t);
        if (k.records && !has_targets(c, &k))
            warn("nothing is learned from task '%s': no loss is on what it holds (the keys loss.*)",
                 tasks->v[t].name);
    }
}

/* Each shard must be drawn: rarely is told, never is refused. */
static void check_shares(const gato_config_t *c, const dataset_t *d) {
    double samples = (double)c->train.steps * (double)c->train.batch * (double)c->train.accumulate;
    for (size_t i = 0; i < dataset_sources(d); i++) {
        double share = dataset_share(d, i);
        if (share <= 0)
            die(RC_USAGE,
                "'%s' would never be drawn: its weight vanishes beside those of the other shards; "
                "choose weights nearer to one another",
                dataset_source(d, i));
        if (share * samples < 1)
            warn("'%s' gives %.2g of the %.0f samples of this training, by its weight: nothing may "
                 "be learned from it",
                 dataset_source(d, i), share * samples, samples);
    }
}

/* ---- what has no effect ---- */

static void no_effect(bool is_set, const char *key, const char *needs) {
    if (is_set) warn("%s has no effect: it needs %s", key, needs);
}

/* Columns of a kind over all tasks. */
static bool any_slot(const tasks_t *tasks, slot_side_t side, slot_kind_t kind) {
    for (size_t i = 0; i < tasks->n; i++)
        if (task_first(&tasks->v[i], side, kind) >= 0) return true;
    return false;
}

static void check_images(const gato_config_t *c, const gato_config_t *preset,
                         const dataset_kinds_t *k) {
    static const char none[] = "images, and no task has any";
    bool patches = c->model.image_in == IMAGE_IN_PATCHES;
    bool vectors = gato_config_image_in(c)->codebook;
    no_effect(!patches && c->model.patch != preset->model.patch, "model.patch",
              "model.image_in = patches");
    no_effect(!patches && c->model.patch_mid != preset->model.patch_mid, "model.patch_mid",
              "model.image_in = patches");
    no_effect(!patches && c->model.patch_groups != preset->model.patch_groups, "model.patch_groups",
              "model.image_in = patches");
    no_effect(!patches && c->model.patch_blocks != preset->model.patch_blocks, "model.patch_blocks",
              "model.image_in = patches");
    no_effect(c->model.code_norm != preset->model.code_norm && !vectors, "model.code_norm",
              "model.image_in = codes or both");
    no_effect(c->model.code_pos_random &&
                  (gato_config_image_in(c)->pixels || c->model.patch_pos == POS_NONE),
              "model.code_pos_random", "codes (model.image_in) with places (model.patch_pos)");
    no_effect(!k->images && c->model.image_in != preset->model.image_in, "model.image_in", none);
    no_effect(!k->images && c->model.merge != preset->model.merge, "model.merge", none);
    no_effect(!k->images && c->model.code_norm != preset->model.code_norm && vectors,
              "model.code_norm", none);
    no_effect(!k->images && c->model.patch_pos != preset->model.patch_pos, "model.patch_pos", none);
}

static void check_model(const gato_config_t *c, const gato_config_t *preset,
                        const dataset_kinds_t *k, const tasks_t *tasks) {
    bool layer = c->model.vector_in != VECTOR_IN_BINS,
         observed = any_slot(tasks, SIDE_OBSERVED, SLOT_VECTOR);
    no_effect(c->model.pos_init != preset->model.pos_init && c->model.patch_pos == POS_NONE &&
                  !c->model.inner_pos,
              "model.pos_init", "model.patch_pos or model.inner_pos");
    no_effect(layer && !observed, "model.vector_in = linear",
              "vector observations, and no task has any");
    no_effect(c->model.mu_law != preset->model.mu_law && (layer || !observed), "model.mu_law",
              "observed numbers in bins (model.vector_in = bins)");
    no_effect(c->model.text_first && !(k->missions && c->model.control_text), "model.text_first",
              "episodes with text, and no task has any");
    no_effect(c->model.vector_first && !observed, "model.vector_first",
              "vector observations, and no task has any");
    no_effect(c->model.control_text != preset->model.control_text && !k->missions,
              "model.control_text", "episodes with text, and no task has any");
}

static void check_losses(const gato_config_t *c, const gato_config_t *preset,
                         const dataset_kinds_t *k, const tasks_t *tasks) {
    static const char episodes[] = "episodes, and no task has any";
    bool vectors = any_slot(tasks, SIDE_ACTED, SLOT_VECTOR),
         discrete = any_slot(tasks, SIDE_ACTED, SLOT_DISCRETE);
    no_effect(!k->acted && c->loss.action != preset->loss.action, "loss.action",
              "actions, and no task has any");
    no_effect(!vectors && c->loss.action_kind != preset->loss.action_kind, "loss.action_kind",
              "continuous actions, and no task has any");
    no_effect(!vectors && c->model.bin_kind != preset->model.bin_kind, "model.bin_kind",
              "continuous actions, and no task has any");
    no_effect(c->loss.action_kind != ACTION_MIX && c->loss.ce_weight != preset->loss.ce_weight,
              "loss.ce_weight", "loss.action_kind = mix");
    no_effect(c->loss.image <= 0 && c->loss.image_changed != preset->loss.image_changed,
              "loss.image_changed", "loss.image above 0");
    no_effect(c->loss.image > 0 && c->loss.image_changed != preset->loss.image_changed &&
                  k->image_steps < 2,
              "loss.image_changed", "sequences of two timesteps (train.window, model.context)");
    no_effect(c->loss.image <= 0 && c->loss.image_first != preset->loss.image_first,
              "loss.image_first", "loss.image above 0");
    no_effect(c->loss.image > 0 && c->loss.image_first != preset->loss.image_first &&
                  (k->image_steps < 2 || c->loss.horizon.v[0] != 1),
              "loss.image_first",
              "sequences of two timesteps (train.window, model.context) and horizon 1 of "
              "loss.horizon");
    no_effect(!k->texts && c->loss.text != preset->loss.text, "loss.text",
              "captions or texts, and no task has any");
    no_effect(!k->episodes && c->train.window != preset->train.window, "train.window", episodes);
    no_effect(c->train.prompt > 0 && c->train.prompt != preset->train.prompt && k->steps < 2,
              "train.prompt", "sequences of two timesteps (train.window, model.context)");
    no_effect(c->act.temperature != preset->act.temperature && c->act.decode != DECODE_SAMPLE,
              "act.temperature", "act.decode = sample");
    no_effect(c->act.decode != preset->act.decode && c->loss.action_kind == ACTION_MSE && !discrete,
              "act.decode", "actions in bins (loss.action_kind = ce or mix)");
}

/* Chunks need actions that follow one another. */
static void check_chunks(const gato_config_t *c, const dataset_t *d) {
    const tasks_t *tasks = dataset_tasks(d);
    no_effect(c->model.chunk > 1 && !any_slot(tasks, SIDE_ACTED, SLOT_VECTOR), "model.chunk",
              "continuous actions, and no task has any");
    for (uint32_t t = 0; t < tasks->n; t++) {
        dataset_kinds_t k = dataset_kinds(d, t);
        bool acts = k.acted && task_first(&tasks->v[t], SIDE_ACTED, SLOT_VECTOR) >= 0;
        if (c->model.chunk > 1 && acts && k.spread && k.spread == k.episodes)
            die(RC_USAGE,
                "model.chunk = %lld: task '%s' has single timesteps of its episodes alone, and "
                "their next actions are in no shard; tokenize without --spread",
                (long long)c->model.chunk, tasks->v[t].name);
    }
}

/* The tokens of a chunk stand in every timestep of training, and at play in those that plan. */
static void check_fast(const gato_config_t *c, const gato_config_t *preset, const dataset_t *d) {
    const tasks_t *tasks = dataset_tasks(d);
    no_effect(c->model.bin_kind != BIN_KIND_FAST && c->model.fast_scale != preset->model.fast_scale,
              "model.fast_scale", "model.bin_kind = fast");
    for (uint32_t t = 0; t < tasks->n && c->model.bin_kind == BIN_KIND_FAST; t++) {
        const task_t *task = &tasks->v[t];
        uint64_t numbers = task_width(task, SIDE_ACTED, SLOT_VECTOR) * (uint64_t)c->model.chunk;
        if (!numbers) continue;
        if (task_width(task, SIDE_ACTED, SLOT_DISCRETE))
            die(RC_USAGE,
                "model.bin_kind = fast: task '%s' acts discrete values too, which are chosen in "
                "every timestep, also where no chunk is: use loss.action_kind = mse",
                task->name);
        if (2 * numbers > FAST_MOST)
            die(RC_USAGE,
                "model.bin_kind = fast: task '%s' has %llu numbers in a chunk (model.chunk), and "
                "%d are possible",
                task->name, (unsigned long long)numbers, FAST_MOST / 2);
    }
}

/* A RUN keeps the bins of each column in config.json, which is read up to some size. */
static void check_quantiles(const gato_config_t *c, const dataset_t *d) {
    enum { MOST = 1 << 17 };
    const tasks_t *tasks = dataset_tasks(d);
    uint64_t bins = 0;
    if (c->model.bin_kind != BIN_KIND_QUANTILE) return;
    for (uint32_t t = 0; t < tasks->n; t++)
        bins += task_width(&tasks->v[t], SIDE_ACTED, SLOT_VECTOR) * (uint64_t)c->model.bins;
    if (bins > MOST)
        die(RC_USAGE,
            "model.bin_kind = quantile: %llu bins of all acted numbers together (model.bins), and "
            "%d are possible",
            (unsigned long long)bins, MOST);
}

/* At play, steps are neighbors. */
static void check_spread(const dataset_t *d) {
    const tasks_t *tasks = dataset_tasks(d);
    for (uint32_t t = 0; t < tasks->n; t++) {
        dataset_kinds_t k = dataset_kinds(d, t);
        if (k.episodes && k.spread == k.episodes && dataset_window(d, t) > 1)
            warn("task '%s': its sequences hold single timesteps, and at play a token will see %u: "
                 "set train.window=1, else the policy acts on what it never learned to read",
                 tasks->v[t].name, dataset_window(d, t));
    }
}

/* A key that some tasks do not follow. */
static void check_tasks(const gato_config_t *c, const dataset_t *d) {
    const tasks_t *tasks = dataset_tasks(d);
    if (tasks->n < 2) return;
    for (uint32_t t = 0; t < tasks->n; t++) {
        dataset_kinds_t k = dataset_kinds(d, t);
        if (k.episodes && k.steps < 2 && c->train.prompt > 0)
            log_line("task '%s': its sequences hold one timestep, and get no prompt",
                     tasks->v[t].name);
        if (k.episodes && c->train.window > (int64_t)dataset_window(d, t))
            warn("task '%s': train.window = %lld is longer than its attention window of %u "
                 "timesteps",
                 tasks->v[t].name, (long long)c->train.window, dataset_window(d, t));
    }
}

static void check_adapters(const gato_config_t *c, const gato_config_t *preset) {
    static const char adapters[] = "adapters (lora.rank)";
    if (c->lora.rank) return;
    no_effect(c->lora.alpha != preset->lora.alpha, "lora.alpha", adapters);
    no_effect(c->lora.dropout != preset->lora.dropout, "lora.dropout", adapters);
    no_effect(strcmp(c->lora.targets, preset->lora.targets) != 0, "lora.targets", adapters);
}

void gato_settings_check(const gato_config_t *c, const dataset_t *d) {
    gato_config_t preset;
    config_defaults(gato_config_table, &preset);
    dataset_kinds_t k = dataset_kinds(d, UINT32_MAX);
    check_image_loss(c, d, &k);
    check_vector_loss(c, d);
    check_discrete_loss(c, &k);
    check_targets(c, d, &k);
    check_shares(c, d);
    check_images(c, &preset, &k);
    check_model(c, &preset, &k, dataset_tasks(d));
    check_losses(c, &preset, &k, dataset_tasks(d));
    check_chunks(c, d);
    check_fast(c, &preset, d);
    check_quantiles(c, d);
    check_spread(d);
    check_tasks(c, d);
    check_adapters(c, &preset);
    no_effect(!*c->train.eval_env && c->train.eval_episodes != preset.train.eval_episodes,
              "train.eval_episodes", "train.eval_env");
    no_effect(c->data.balance != preset.data.balance && dataset_tasks(d)->n < 2, "data.balance",
              "several tasks");
    no_effect(c->data.goal_ahead != preset.data.goal_ahead && c->data.goal != GOAL_AHEAD,
              "data.goal_ahead", "data.goal = ahead");
    no_effect(c->data.goal_share < 1 && c->data.goal == GOAL_NONE, "data.goal_share",
              "data.goal = end or ahead");
    optim_settings_check(&c->optim, &preset.optim, c->train.steps);
    for (size_t i = 0; i < dataset_sources(d); i++)
        if (c->data.holdout > 0 && !dataset_records(d, i, UINT32_MAX, SIDE_VAL))
            log_line("'%s' has one record alone (or one name): it is trained on, and nothing is "
                     "held out",
                     dataset_source(d, i));
}
