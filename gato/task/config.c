/* config.c - see config.h. */
#include "gato/task/config.h"

#include <stdio.h>
#include <string.h>

#define AT(member) offsetof(gato_config_t, member)

const config_field_t gato_config_table[] = {
    {"model.width", CF_INT, AT(model.width), "128", NULL, 1, 65536, CONFIG_ARCH,
     "width of a token (D)"},
    {"model.layers", CF_INT, AT(model.layers), "4", NULL, 1, 256, CONFIG_ARCH,
     "transformer blocks"},
    {"model.heads", CF_INT, AT(model.heads), "4", NULL, 1, 1024, CONFIG_ARCH,
     "attention heads; divides the width"},
    {"model.context", CF_INT, AT(model.context), "1024", NULL, 2, 65536, CONFIG_ARCH,
     "tokens a token can see; the attention window is as many whole timesteps as fit"},
    {"model.bins", CF_INT, AT(model.bins), "1024", NULL, 2, 65536, CONFIG_ARCH,
     "bins of a continuous value (NEKO: 1024); most ids of FAST (bin_kind = fast)"},
    {"model.bin_kind", CF_CHOICE, AT(model.bin_kind), "\"uniform\"", "uniform|mulaw|quantile|fast",
     0, 0, CONFIG_ARCH,
     "tokens of acted numbers: bins of equal width over [-1,1] (NEKO), of equal width behind the "
     "mu-law, so that they are narrow around 0 (mulaw), or of equal shares of the training data's "
     "numbers, column by column (quantile); or the tokens that FAST makes of a chunk (fast: "
     "action_kind = ce, model.chunk, train.window = 1). Of these only uniform goes with "
     "action_kind "
     "= mix"},
    {"model.fast_scale", CF_NUM, AT(model.fast_scale), "10", NULL, 0.01, 1e4, CONFIG_ARCH,
     "coefficients of a chunk are rounded to whole multiples of 1 / fast_scale (bin_kind = fast; "
     "with "
     "--fast its files say it)"},
    {"model.chunk", CF_INT, AT(model.chunk), "1", NULL, 1, 1024, CONFIG_ARCH,
     "actions that are predicted at once: those of a timestep and of the next ones of its episode "
     "(action_kind = mse or bin_kind = fast; act.execute, act.ensemble)"},
    {"model.image_in", CF_CHOICE, AT(model.image_in), "\"codes\"", "codes|table|both|patches", 0, 0,
     CONFIG_ARCH,
     "how images enter: as codebook vectors through a linear layer (codes), as rows of the token "
     "table (table), as the sum of the two (both), or as pixels through the patch block (patches)"},
    {"model.merge", CF_INT, AT(model.merge), "1", NULL, 1, 16, CONFIG_ARCH,
     "m: m x m codes become one input token (image_in = codes)"},
    {"model.code_norm", CF_CHOICE, AT(model.code_norm), "\"none\"", "none|white", 0, 0, CONFIG_ARCH,
     "codebook vectors enter as they are (none), or with zero mean, uncorrelated and of unit "
     "variance over the codebook (white): often a few directions hold nearly all of the variance, "
     "and small things live in the others"},
    {"model.vector_in", CF_CHOICE, AT(model.vector_in), "\"bins\"", "bins|linear", 0, 0,
     CONFIG_ARCH,
     "a vector observation enters as one bin token per number (bins), or as one token through a "
     "linear layer (linear) that starts on numbers of zero mean and unit variance over the data"},
    {"model.patch_pos", CF_CHOICE, AT(model.patch_pos), "\"neko\"", "none|neko|gato", 0, 0,
     CONFIG_ARCH,
     "row and column vectors of image tokens: none, drawn from half-open intervals (neko), or "
     "from intervals that include both ends (gato)"},
    {"model.code_pos_random", CF_BOOL, AT(model.code_pos_random), "false", NULL, 0, 0, 0,
     "in training, draw the rows and columns of codes as those of patches; false: always take "
     "their means"},
    {"model.inner_pos", CF_BOOL, AT(model.inner_pos), "true", NULL, 0, 0, CONFIG_ARCH,
     "add the position inside the timestep to observation tokens"},
    {"model.pos_init", CF_NUM, AT(model.pos_init), "1", NULL, 0, 10, 0,
     "standard deviation of the position tables at the start (NEKO: 1, about 14 times the content "
     "of an image token)"},
    {"model.block_init", CF_NUM, AT(model.block_init), "0.02", NULL, 0, 10, 0,
     "standard deviation of the blocks' matrices at the start (GPT-2 and NEKO: 0.02; narrow "
     "models learn sooner from larger values)"},
    {"model.dropout", CF_NUM, AT(model.dropout), "0", NULL, 0, 0.9, 0,
     "dropout of embeddings and residual branches in training (NEKO: 0.1; small budgets need "
     "none)"},
    {"model.activation", CF_CHOICE, AT(model.activation), "\"gelu\"", "gelu|gelu_new|geglu", 0, 0,
     CONFIG_ARCH, "exact GELU (gelu), GPT-2's tanh form (gelu_new), or gated (geglu)"},
    {"model.mu_law", CF_CHOICE, AT(model.mu_law), "\"always\"", "always|outside", 0, 0, CONFIG_ARCH,
     "squash every observed number (NEKO), or only those outside [-1,1] (Gato)"},
    {"model.text_first", CF_BOOL, AT(model.text_first), "false", NULL, 0, 0, CONFIG_ARCH,
     "text before the image inside a timestep of control (Gato); false: after it (NEKO). What is "
     "predicted of a captioned image always stands after it"},
    {"model.vector_first", CF_BOOL, AT(model.vector_first), "false", NULL, 0, 0, CONFIG_ARCH,
     "observed vectors before the images inside a timestep of control, so that images are "
     "predicted "
     "behind the vectors of their own timestep; false: after them (Gato)"},
    {"model.control_text", CF_BOOL, AT(model.control_text), "true", NULL, 0, 0, CONFIG_ARCH,
     "repeat the text of an episode (its mission) in every timestep"},
    {"model.image_last", CF_BOOL, AT(model.image_last), "false", NULL, 0, 0, CONFIG_ARCH,
     "the next image (loss.image, horizon 1) is also predicted from the codes of the same place "
     "one timestep before, which it may copy"},
    {"model.patch", CF_INT, AT(model.patch), "16", NULL, 1, 256, CONFIG_ARCH,
     "side of a patch in pixels"},
    {"model.patch_mid", CF_INT, AT(model.patch_mid), "128", NULL, 1, 4096, CONFIG_ARCH,
     "middle channels of the patch block"},
    {"model.patch_groups", CF_INT, AT(model.patch_groups), "32", NULL, 1, 4096, CONFIG_ARCH,
     "groups of its GroupNorm; divides the channels"},
    {"model.patch_blocks", CF_INT, AT(model.patch_blocks), "1", NULL, 0, 2, CONFIG_ARCH,
     "residual blocks in front of the patch's linear layer (NEKO: 1)"},
    {"loss.action", CF_NUM, AT(loss.action), "1", NULL, 0, 1e6, 0, "weight of the action loss"},
    {"loss.action_kind", CF_CHOICE, AT(loss.action_kind), "\"ce\"", "ce|mse|mix", 0, 0, CONFIG_ARCH,
     "loss of continuous actions: cross entropy over bins (ce), regression from the separator "
     "(mse), or cross entropy plus the squared error of the bins' expectation (mix)"},
    {"loss.ce_weight", CF_NUM, AT(loss.ce_weight), "0.1", NULL, 0, 1e6, 0,
     "weight of the cross entropy (action_kind = mix)"},
    {"loss.text", CF_NUM, AT(loss.text), "1", NULL, 0, 1e6, 0, "weight of the text loss"},
    {"loss.image", CF_NUM, AT(loss.image), "0", NULL, 0, 1e6, CONFIG_HEAD,
     "weight of the loss on image codes (0 = Gato)"},
    {"loss.image_changed", CF_NUM, AT(loss.image_changed), "1", NULL, 1e-3, 1e6, 0,
     "weight of the codes that differ from those of the same place in the image that they are "
     "predicted from (one timestep before, or k), beside 1 of the others; the loss stays a "
     "weighted "
     "mean"},
    {"loss.image_first", CF_NUM, AT(loss.image_first), "1", NULL, 0, 1e6, 0,
     "weight of the codes of an image that has none before it in its sequence; 0 = they are not "
     "predicted"},
    {"loss.horizon", CF_INTS, AT(loss.horizon), "[1]", NULL, 1, 1000, CONFIG_ARCH,
     "which image codes are predicted, [1,5]: 1: an image token by the token before it; k > 1: "
     "token j of step t predicts token j of step t + k"},
    {"loss.vector", CF_NUM, AT(loss.vector), "0", NULL, 0, 1e6, CONFIG_HEAD,
     "weight of the loss on the next observed vectors (0 = Gato)"},
    {"loss.discrete", CF_NUM, AT(loss.discrete), "0", NULL, 0, 1e6, 0,
     "weight of the loss on the next observed discrete values (0 = Gato)"},
    {"loss.per_sequence", CF_BOOL, AT(loss.per_sequence), "false", NULL, 0, 0, 0,
     "average the loss over sequences instead of tokens"},
    {"lora.rank", CF_INT, AT(lora.rank), "0", NULL, 0, 1024, CONFIG_ARCH,
     "rank of adapters beside the layers of the transformer, which alone train in it (LoRA; NEKO: "
     "8); with --init. 0 = none"},
    {"lora.alpha", CF_NUM, AT(lora.alpha), "32", NULL, 1e-3, 1e6, CONFIG_ARCH,
     "what an adapter adds is multiplied by lora.alpha / lora.rank"},
    {"lora.dropout", CF_NUM, AT(lora.dropout), "0.1", NULL, 0, 0.9, 0,
     "dropout of the adapters' input in training"},
    {"lora.targets", CF_STR, AT(lora.targets), "\"c_attn\"", NULL, 0, 0, CONFIG_ARCH,
     "which layers have adapters: c_attn, c_proj, c_fc, with commas"},
    OPTIM_CONFIG_ROWS("\"adamw\"", "[0.9,0.95]", "0.1", "40", "0.1"),
    {"train.steps", CF_INT, AT(train.steps), "4800", NULL, 1, 1e12, 0, "optimizer steps"},
    {"train.batch", CF_INT, AT(train.batch), "16", NULL, 1, 65536, 0, "sequences per replay"},
    {"train.accumulate", CF_INT, AT(train.accumulate), "1", NULL, 1, 65536, 0,
     "replays per optimizer step"},
    {"train.window", CF_INT, AT(train.window), "0", NULL, 0, 65536, 0,
     "timesteps of a training sequence (0 = as many as the context holds); a token sees no more, "
     "in "
     "training and at play"},
    {"train.prompt", CF_NUM, AT(train.prompt), "0.25", NULL, 0, 1, 0,
     "share of control sequences that begin with a prompt, another piece of their episode; half "
     "of the prompts are its end"},
    {"train.weight_average", CF_NUM, AT(train.weight_average), "0", NULL, 0, 0.999999, 0,
     "decay of a moving average of the weights, saved in their place (0 = off)"},
    {"train.save_every", CF_INT, AT(train.save_every), "500", NULL, 0, 1e12, 0,
     "steps between checkpoints (0 = only the last)"},
    {"train.eval_every", CF_INT, AT(train.eval_every), "500", NULL, 0, 1e12, 0,
     "steps between held-out metrics (0 = only the last)"},
    {"train.eval_env", CF_STR, AT(train.eval_env), "\"\"", NULL, 0, 0, 0,
     "a built-in environment that the policy plays whenever held-out metrics are taken (gato act); "
     "\"\" = none"},
    {"train.eval_episodes", CF_INT, AT(train.eval_episodes), "20", NULL, 1, 1e6, 0,
     "episodes of train.eval_env"},
    {"train.log_every", CF_INT, AT(train.log_every), "20", NULL, 1, 1e9, 0,
     "steps between lines of metrics.jsonl"},
    {"train.tensorboard", CF_BOOL, AT(train.tensorboard), "true", NULL, 0, 0, 0,
     "also write the metrics (and sample grids) as a TensorBoard event file"},
    {"train.freeze", CF_STR, AT(train.freeze), "\"\"", NULL, 0, 0, 0,
     "prefixes of parameters that do not train, with commas (\"transformer,embed_token\")"},
    {"data.holdout", CF_NUM, AT(data.holdout), "0.05", NULL, 0, 0.9, 0,
     "share of groups held out of training"},
    {"data.split_by", CF_CHOICE, AT(data.split_by), "\"name\"", "name|folder|episode", 0, 0, 0,
     "what is never split between the training and the held-out side"},
    {"data.balance", CF_CHOICE, AT(data.balance), "\"data\"", "data|task", 0, 0, 0,
     "how often a shard is drawn: by its weight (data), or so that every task has the same share "
     "(task)"},
    {"data.goal", CF_CHOICE, AT(data.goal), "\"none\"", "none|end|ahead", 0, 0, 0,
     "episodes with images get one more, \"goal\", behind the others: the first camera's of the "
     "record's last timestep (end) or of the one data.goal_ahead steps on (ahead), as if it had "
     "been the goal; at play it comes from --goal"},
    {"data.goal_ahead", CF_INT, AT(data.goal_ahead), "10", NULL, 1, 1e9, 0,
     "timesteps from the present to the goal, at most up to the record's last (goal = ahead)"},
    {"data.goal_share", CF_NUM, AT(data.goal_share), "1", NULL, 0.001, 1, 0,
     "share of training sequences with a goal; the others miss it, so that the policy also plays "
     "without (held-out metrics always have it)"},
    {"act.decode", CF_CHOICE, AT(act.decode), "\"mean\"", "mean|center|left|greedy|sample", 0, 0, 0,
     "continuous action from the bins: their expectation (mean), the center of the likeliest "
     "(center, greedy), its left edge (left, NEKO's way), or the center of a drawn one (sample)"},
    {"act.temperature", CF_NUM, AT(act.temperature), "1", NULL, 0.001, 1000, 0,
     "temperature of drawn tokens (decode = sample)"},
    {"act.execute", CF_INT, AT(act.execute), "1", NULL, 1, 1024, 0,
     "actions of a chunk that are used before the next one is predicted (model.chunk)"},
    {"act.ensemble", CF_NUM, AT(act.ensemble), "-1", NULL, -1, 1000, 0,
     "w: an action is the mean of what all chunks that reach it say, weighted exp(-w i), i = 0 for "
     "the oldest (Zhao et al. 2023); -1 = off"},
    {0},
};

const char *gato_config_new_head(const gato_config_t *from, const gato_config_t *to,
                                 double weight[2]) {
    for (const config_field_t *f = gato_config_table; f->key; f++) {
        if (!(f->flags & CONFIG_HEAD)) continue;
        memcpy(&weight[0], (const char *)from + f->offset, sizeof *weight);
        memcpy(&weight[1], (const char *)to + f->offset, sizeof *weight);
        if (weight[0] <= 0 && weight[1] > 0) return f->key;
    }
    return NULL;
}

const image_in_reads_t *gato_config_image_in(const gato_config_t *c) {
    static const image_in_reads_t reads[] = {[IMAGE_IN_CODES] = {.codebook = true},
                                             [IMAGE_IN_TABLE] = {.ids = true},
                                             [IMAGE_IN_BOTH] = {.codebook = true, .ids = true},
                                             [IMAGE_IN_PATCHES] = {.pixels = true}};
    return &reads[c->model.image_in];
}

int gato_config_check_chunks(int64_t chunk, int64_t execute, double ensemble, reason_t *why) {
    if (execute > chunk)
        return reason_set(why, "act.execute = %lld is more than a chunk holds: model.chunk = %lld",
                          (long long)execute, (long long)chunk);
    if (ensemble == ENSEMBLE_OFF) return 0;
    if (!(ensemble >= 0))
        return reason_set(why, "act.ensemble = %g: 0 or more is needed, or -1 = off", ensemble);
    if (chunk < 2)
        return reason_set(why, "act.ensemble = %g averages chunks, and model.chunk is 1", ensemble);
    if (execute > 1)
        return reason_set(why,
                          "act.ensemble = %g needs a chunk in every step, and act.execute = %lld",
                          ensemble, (long long)execute);
    return 0;
}

int gato_config_check_decode(const gato_config_t *c, int decode, reason_t *why) {
    if (decode != DECODE_LEFT) return 0;
    if (c->model.bin_kind == BIN_KIND_FAST)
        return reason_set(why,
                          "act.decode = left: the tokens of model.bin_kind = fast have no left "
                          "edge; they are the likeliest or drawn (sample)");
    if (c->model.bin_kind != BIN_KIND_QUANTILE) return 0;
    return reason_set(why, "act.decode = left: the bins of model.bin_kind = quantile stand for the "
                           "mean of their numbers; center takes it");
}

int gato_config_chunks(int64_t chunk, int64_t execute, double ensemble, char *out, size_t size) {
    if (ensemble != ENSEMBLE_OFF)
        return snprintf(out, size, "%lld actions at once, averaged by the weights exp(-%g i)",
                        (long long)chunk, ensemble);
    return snprintf(out, size, "%lld actions at once, %lld used before the next", (long long)chunk,
                    (long long)execute);
}

/* The list names layers, each once. */
static int check_targets(const gato_config_t *c, reason_t *why) {
    static const char *const known[] = {"c_attn", "c_proj", "c_fc"};
    bool seen[3] = {0};
    if (!c->lora.rank) return 0;
    if (c->lora.rank > c->model.width)
        return reason_set(why, "lora.rank = %lld is above model.width = %lld",
                          (long long)c->lora.rank, (long long)c->model.width);
    for (const char *at = c->lora.targets;; at++) {
        size_t n = strcspn(at, ","), i = 0;
        while (i < 3 && (strlen(known[i]) != n || strncmp(at, known[i], n))) i++;
        if (i == 3 || seen[i])
            return reason_set(why,
                              "lora.targets = '%.60s': c_attn, c_proj and c_fc are layers, "
                              "with commas between them",
                              c->lora.targets);
        seen[i] = true;
        at += n;
        if (!*at) return 0;
    }
}

/* The tokens of a chunk tell all its actions: a later timestep must not see them. */
static int check_fast(const gato_config_t *c, reason_t *why) {
    if (c->model.bin_kind != BIN_KIND_FAST) return 0;
    if (c->loss.action_kind != ACTION_CE)
        return reason_set(why, "model.bin_kind = fast predicts tokens: it needs loss.action_kind = "
                               "ce");
    if (c->model.chunk < 2)
        return reason_set(why,
                          "model.bin_kind = fast makes tokens of chunks, and model.chunk is 1");
    if (c->train.window != 1)
        return reason_set(
            why, "model.bin_kind = fast needs train.window = 1: the tokens of a chunk tell "
                 "the next timesteps their actions");
    return 0;
}

int gato_config_check(const gato_config_t *c, reason_t *why) {
    if (c->model.width % c->model.heads)
        return reason_set(why, "model.width = %lld is no multiple of model.heads = %lld",
                          (long long)c->model.width, (long long)c->model.heads);
    if (c->model.patch_mid % c->model.patch_groups)
        return reason_set(why, "model.patch_mid = %lld is no multiple of model.patch_groups = %lld",
                          (long long)c->model.patch_mid, (long long)c->model.patch_groups);
    if (c->model.merge > 1 && c->model.image_in != IMAGE_IN_CODES)
        return reason_set(why, "model.merge = %lld needs model.image_in = codes",
                          (long long)c->model.merge);
    for (int i = 1; i < c->loss.horizon.n; i++)
        if (c->loss.horizon.v[i] <= c->loss.horizon.v[i - 1])
            return reason_set(why, "loss.horizon must rise from one to the next, [1,5]");
    if (!c->loss.horizon.n) return reason_set(why, "loss.horizon needs a number");
    if (c->loss.image > 0 && gato_config_image_in(c)->pixels)
        return reason_set(why, "loss.image predicts codes, and this model.image_in reads pixels");
    if (c->model.image_last && !gato_config_image_in(c)->codebook)
        return reason_set(why, "model.image_last reads codebook vectors, and this model.image_in "
                               "has none");
    if (c->model.image_last && c->loss.horizon.v[0] != 1)
        return reason_set(why, "model.image_last is of the next image, and loss.horizon has no 1");
    if (check_fast(c, why)) return -1;
    if (c->model.chunk > 1 && c->loss.action_kind != ACTION_MSE &&
        c->model.bin_kind != BIN_KIND_FAST)
        return reason_set(why,
                          "model.chunk = %lld needs loss.action_kind = mse or model.bin_kind = "
                          "fast: bins are tokens of the "
                          "timestep, and those of its next ones are not known when it is past",
                          (long long)c->model.chunk);
    if (c->model.bin_kind != BIN_KIND_UNIFORM && c->loss.action_kind == ACTION_MIX)
        return reason_set(why,
                          "model.bin_kind = %s: the expectation of loss.action_kind = mix is "
                          "over bins of equal width",
                          c->model.bin_kind == BIN_KIND_MULAW ? "mulaw" : "quantile");
    if (gato_config_check_decode(c, c->act.decode, why)) return -1;
    if (gato_config_check_chunks(c->model.chunk, c->act.execute, c->act.ensemble, why)) return -1;
    if (check_targets(c, why)) return -1;
    if (c->optim.betas.n != 2) return reason_set(why, "optim.betas needs two numbers");
    for (int i = 0; i < 2; i++)
        if (c->optim.betas.v[i] >= 1) return reason_set(why, "optim.betas must be below 1");
    return 0;
}
