/* settings.c - see settings.h.
 *
 * A key "is set" when its value is not the default: to spell out a default is never a fault.
 */
#include "vqvae/settings.h"

#include "common/base/log.h"
#include "common/model/kind.h"
#include "vqvae/quantizer_kind.h"

#include <stdlib.h>
#include <string.h>

/* ---- what would never run ---- */

static void check_quantizer(const config_t *c) {
    if (c->train.warmup_no_quant >= c->train.steps)
        die(RC_USAGE,
            "train.warmup_no_quant = %lld of train.steps = %lld: the quantizer would never run; "
            "set train.warmup_no_quant below the steps (-1 = a tenth of them)",
            (long long)c->train.warmup_no_quant, (long long)c->train.steps);
}

static void check_disc(const config_t *c) {
    config_t preset;
    config_defaults(config_table, &preset);
    const struct {
        const char *key;
        bool is_set;
    } parts[] = {
        {"loss.disc_start", c->loss.disc_start != preset.loss.disc_start},
        {"loss.disc_ramp", c->loss.disc_ramp != preset.loss.disc_ramp},
        {"loss.disc_kind", c->loss.disc_kind != preset.loss.disc_kind},
        {"loss.disc_adaptive", c->loss.disc_adaptive != preset.loss.disc_adaptive},
        {"loss.disc_channels", c->loss.disc_channels != preset.loss.disc_channels},
        {"loss.disc_layers", c->loss.disc_layers != preset.loss.disc_layers},
    };
    if (c->loss.disc <= 0) {
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            if (parts[i].is_set)
                die(RC_USAGE,
                    "%s is set, but the discriminator would never run: set loss.disc above 0",
                    parts[i].key);
        return;
    }
    if (c->loss.disc_start >= c->train.steps)
        die(RC_USAGE,
            "loss.disc_start = %lld of train.steps = %lld: the discriminator would never run; set "
            "loss.disc_start below the steps",
            (long long)c->loss.disc_start, (long long)c->train.steps);
    if (c->loss.disc_start + c->loss.disc_ramp > c->train.steps)
        warn("loss.disc_ramp = %lld does not end within %lld steps: the GAN term never reaches its "
             "full weight loss.disc",
             (long long)c->loss.disc_ramp, (long long)c->train.steps);
}

static void check_perceptual(const config_t *c) {
    if (*c->loss.perceptual_weights && c->loss.perceptual <= 0)
        die(RC_USAGE, "loss.perceptual_weights is set, but LPIPS would never run: set "
                      "loss.perceptual above 0");
}

/* ---- what has no effect ---- */

static void warn_no_effect(bool is_set, const char *key, const char *needs) {
    if (is_set) warn("%s has no effect: it needs %s", key, needs);
}

static bool ints_equal(const config_ints_t *a, const config_ints_t *b) {
    if (a->n != b->n) return false;
    for (int i = 0; i < a->n; i++)
        if (a->v[i] != b->v[i]) return false;
    return true;
}

static bool nums_equal(const config_nums_t *a, const config_nums_t *b) {
    if (a->n != b->n) return false;
    for (int i = 0; i < a->n; i++)
        if (a->v[i] != b->v[i]) return false;
    return true;
}

/* Keys of quantizer.* that only some kinds read. */
static void check_quantizer_keys(const config_t *c, const config_t *preset) {
    const quantizer_kind_t *kind = quantizer_kind(c);
    const struct {
        const char *key;
        bool is_set, shapes; /* shapes: it would change the network */
    } keys[] = {
        {"levels", !ints_equal(&c->quantizer.levels, &preset->quantizer.levels), true},
        {"commitment_weight", c->quantizer.commitment_weight != preset->quantizer.commitment_weight,
         false},
        {"codebook_weight", c->quantizer.codebook_weight != preset->quantizer.codebook_weight,
         false},
        {"decay", c->quantizer.decay != preset->quantizer.decay, false},
        {"restart", c->quantizer.restart != preset->quantizer.restart, false},
        {"kmeans", c->quantizer.kmeans != preset->quantizer.kmeans, false},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (!keys[i].is_set || quantizer_reads(kind, keys[i].key)) continue;
        char *who = quantizer_readers(keys[i].key);
        if (keys[i].shapes)
            die(RC_USAGE, "quantizer.%s needs quantizer.kind = %s, not %s", keys[i].key, who,
                kind->name);
        warn("quantizer.%s has no effect: it needs quantizer.kind = %s, not %s", keys[i].key, who,
             kind->name);
        free(who);
    }
}

/* Keys of model.* that only one kind reads: with another kind they cannot be meant. */
static void check_model_keys(const config_t *c, const config_t *preset) {
    const struct {
        const char *key;
        bool is_set;
    } keys[] = {
        {"queries", c->model.queries != preset->model.queries},
        {"width", c->model.width != preset->model.width},
        {"heads", c->model.heads != preset->model.heads},
        {"encoder_layers", c->model.encoder_layers != preset->model.encoder_layers},
        {"decoder_layers", c->model.decoder_layers != preset->model.decoder_layers},
        {"causal", c->model.causal != preset->model.causal},
        {"tail_dropout", c->model.tail_dropout != preset->model.tail_dropout},
    };
    const model_kind_t *mine = model_kind_at((size_t)c->model.kind);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (!keys[i].is_set || model_kind_reads(mine->keys, keys[i].key)) continue;
        for (size_t k = 0; k < model_kinds(); k++)
            if (model_kind_reads(model_kind_at(k)->keys, keys[i].key))
                die(RC_USAGE, "model.%s needs model.kind = %s, not %s", keys[i].key,
                    model_kind_at(k)->name, mine->name);
    }
}

void settings_check(const config_t *c) {
    config_t preset;
    config_defaults(config_table, &preset);
    check_model_keys(c, &preset);
    check_quantizer(c);
    check_quantizer_keys(c, &preset);
    check_disc(c);
    check_perceptual(c);
    warn_no_effect(!quantizer_kind(c)->codebook && strstr(c->train.freeze, "quantize"),
                   "train.freeze = quantize", "a quantizer.kind with a codebook");
    bool resized = c->data.crop == CROP_RESIZED;
    warn_no_effect(!resized && !nums_equal(&c->data.crop_scale, &preset.data.crop_scale),
                   "data.crop_scale", "data.crop = resized");
    warn_no_effect(!resized && !nums_equal(&c->data.crop_ratio, &preset.data.crop_ratio),
                   "data.crop_ratio", "data.crop = resized");
    optim_settings_check(&c->optim, &preset.optim, c->train.steps);
}

/* ---- beside the data ---- */

static bool has_folders(const image_source_t *s) {
    for (size_t i = 0; i < image_source_count(s); i++)
        if (strchr(image_source_key(s, i), '/')) return true;
    return false;
}

void settings_check_data(const config_t *c, const data_t *d) {
    bool grouped = false;
    for (size_t i = 0; i < d->n; i++) {
        const data_source_t *s = &d->source[i];
        const char *name = image_source_name(s->source);
        if (!s->n_held_out && c->data.holdout > 0)
            log_line("'%s' has only one image (or one name): it is trained on, and nothing is held "
                     "out",
                     name);
        if (c->loss.focus > 1 && s->n_train == 1)
            warn("loss.focus has no effect on '%s': no pixel differs from the median of one image",
                 name);
        grouped |= !s->frames && has_folders(s->source);
    }
    if (c->data.split_by != SPLIT_NAME && !grouped)
        warn("data.split_by has no effect: no source has images in folders (datasets of episodes "
             "are always split by episode)");
}
