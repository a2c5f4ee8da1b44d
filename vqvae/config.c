/* config.c - see config.h. */
#include "vqvae/config.h"

#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "common/model/kind.h"
#include "vqvae/quantizer_kind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(config_t, member)

const config_field_t config_table[] = {
    {"model.kind", CF_CHOICE, AT(model.kind), "\"grid\"", MODEL_KIND_CHOICES, 0, 0, CONFIG_ARCH,
     "what codes stand for" MODEL_KINDS(MODEL_KIND_HELP)},
    {"model.block_out_channels", CF_INTS, AT(model.block_out_channels), "[32,32,64,128]", NULL, 1,
     4096, CONFIG_ARCH, "channels of each level; each further level halves the resolution"},
    {"model.layers_per_block", CF_INT, AT(model.layers_per_block), "1", NULL, 1, 16, CONFIG_ARCH,
     "residual blocks per level (the decoder has one more)"},
    {"model.attention_levels", CF_INTS, AT(model.attention_levels), "[]", NULL, 0, 7, CONFIG_ARCH,
     "levels with attention after each block (0 = full size)"},
    {"model.latent_channels", CF_INT, AT(model.latent_channels), "64", NULL, 1, 4096, CONFIG_ARCH,
     "channels of the encoder's output"},
    {"model.vq_embed_dim", CF_INT, AT(model.vq_embed_dim), "16", NULL, 1, 4096, CONFIG_ARCH,
     "width of a code (fsq: the number of its levels)"},
    {"model.num_vq_embeddings", CF_INT, AT(model.num_vq_embeddings), "512", NULL, 2, 1 << 20,
     CONFIG_ARCH, "codes in the codebook (fsq: the product of its levels)"},
    {"model.norm_num_groups", CF_INT, AT(model.norm_num_groups), "8", NULL, 1, 1024, CONFIG_ARCH,
     "groups of every GroupNorm; divides all channels"},
    {"model.mid_attention", CF_BOOL, AT(model.mid_attention), "true", NULL, 0, 0, CONFIG_ARCH,
     "attention at the lowest resolution"},
    {"model.queries", CF_INT, AT(model.queries), "16", NULL, 1, 1024, CONFIG_ARCH,
     "codes of an image (causal1d)"},
    {"model.width", CF_INT, AT(model.width), "128", NULL, 1, 8192, CONFIG_ARCH,
     "width of the transformers (causal1d)"},
    {"model.heads", CF_INT, AT(model.heads), "4", NULL, 1, 1024, CONFIG_ARCH,
     "heads of the transformers; divide the width (causal1d)"},
    {"model.encoder_layers", CF_INT, AT(model.encoder_layers), "4", NULL, 1, 64, CONFIG_ARCH,
     "blocks over the queries; every second one attends to the features (causal1d)"},
    {"model.decoder_layers", CF_INT, AT(model.decoder_layers), "2", NULL, 1, 64, CONFIG_ARCH,
     "blocks over the codes, and as many that take features from them (causal1d)"},
    {"model.causal", CF_BOOL, AT(model.causal), "true", NULL, 0, 0, CONFIG_ARCH,
     "a code depends on its own and earlier queries alone, not on all (causal1d)"},
    {"model.tail_dropout", CF_NUM, AT(model.tail_dropout), "0.5", NULL, 0, 1, 0,
     "share of the training samples that keep only their first codes, a random number of them, so "
     "that any first codes are an image (causal1d)"},
    {"quantizer.kind", CF_CHOICE, AT(quantizer.kind), "\"ema\"", QUANTIZER_CHOICES, 0, 0, 0,
     "how codes are learned" QUANTIZER_KINDS(QUANTIZER_HELP)},
    {"quantizer.commitment_weight", CF_NUM, AT(quantizer.commitment_weight), "0.25", NULL, 0, 1e6,
     0, "weight of mean (sg(e) - z)^2 (kinds with a codebook)"},
    {"quantizer.codebook_weight", CF_NUM, AT(quantizer.codebook_weight), "1", NULL, 0, 1e6, 0,
     "weight of mean (e - sg(z))^2 (kinds trained by gradient)"},
    {"quantizer.decay", CF_NUM, AT(quantizer.decay), "0.99", NULL, 0, 1, 0,
     "decay of the moving averages (ema)"},
    {"quantizer.restart", CF_BOOL, AT(quantizer.restart), "true", NULL, 0, 0, 0,
     "move hardly used codes onto encoder outputs, until the last tenth of the steps (kinds whose "
     "codes learn one by one)"},
    {"quantizer.kmeans", CF_BOOL, AT(quantizer.kmeans), "true", NULL, 0, 0, 0,
     "start the codebook by k-means over encoder outputs (kinds whose codes learn one by one; not "
     "with --init)"},
    {"quantizer.levels", CF_INTS, AT(quantizer.levels), "[8,8,8]", NULL, 3, KERN_FSQ_MOST,
     CONFIG_ARCH, "levels of each channel (fsq): their product is the number of codes"},
    {"loss.rec", CF_CHOICE, AT(loss.rec), "\"l1\"", "l1|mse", 0, 0, 0, "reconstruction loss"},
    {"loss.focus", CF_NUM, AT(loss.focus), "1", NULL, 1, 1e6, 0,
     "weight of pixels that differ from their source's median image (1 = off); keeps small moving "
     "objects"},
    {"loss.perceptual", CF_NUM, AT(loss.perceptual), "0", NULL, 0, 1e6, 0,
     "weight of LPIPS beside the reconstruction loss (0 = off; taming uses 1)"},
    {"loss.perceptual_weights", CF_PATH, AT(loss.perceptual_weights), "\"\"", NULL, 0, 0, 0,
     "safetensors file with VGG16 and LPIPS's linear layers (made by pipelines/convert_lpips.py)"},
    {"loss.disc", CF_NUM, AT(loss.disc), "0", NULL, 0, 1e6, 0,
     "weight of the GAN term (0 = no discriminator; 0.1 is safer than taming's 0.8)"},
    {"loss.disc_start", CF_INT, AT(loss.disc_start), "0", NULL, 0, 1e12, 0,
     "first step (not epoch) of the discriminator and the GAN term"},
    {"loss.disc_ramp", CF_INT, AT(loss.disc_ramp), "0", NULL, 0, 1e12, 0,
     "steps after disc_start over which the GAN term rises from 0; meanwhile the discriminator "
     "trains"},
    {"loss.disc_kind", CF_CHOICE, AT(loss.disc_kind), "\"hinge\"", "hinge|vanilla", 0, 0, 0,
     "the discriminator's loss"},
    {"loss.disc_adaptive", CF_BOOL, AT(loss.disc_adaptive), "true", NULL, 0, 0, 0,
     "scale the GAN term by the ratio of gradients at the decoder's last layer"},
    {"loss.disc_channels", CF_INT, AT(loss.disc_channels), "64", NULL, 1, 1024, 0,
     "channels of the discriminator's first layer"},
    {"loss.disc_layers", CF_INT, AT(loss.disc_layers), "3", NULL, 1, 6, 0,
     "layers of the discriminator that halve the resolution (3: each logit sees 70 x 70 pixels)"},
    OPTIM_CONFIG_ROWS("\"adam\"", "[0.9,0.99]", "0", "100", "0.05"),
    {"train.steps", CF_INT, AT(train.steps), "2000", NULL, 1, 1e12, 0, "optimizer steps"},
    {"train.batch", CF_INT, AT(train.batch), "16", NULL, 1, 65536, 0, "images per replay"},
    {"train.accumulate", CF_INT, AT(train.accumulate), "1", NULL, 1, 65536, 0,
     "replays per optimizer step; their gradients are averaged"},
    {"train.warmup_no_quant", CF_INT, AT(train.warmup_no_quant), "-1", NULL, -1, 1e12, 0,
     "first steps without quantizer, as an autoencoder (l2: on vectors of unit length; fsq: on "
     "values between the outer levels); -1 = a tenth of train.steps, none with --init"},
    {"train.weight_average", CF_NUM, AT(train.weight_average), "0", NULL, 0, 0.999999, 0,
     "decay of the moving average of the weights that the RUN publishes (0 = off)"},
    {"train.save_every", CF_INT, AT(train.save_every), "500", NULL, 0, 1e12, 0,
     "steps between checkpoints (0 = only at the end)"},
    {"train.eval_every", CF_INT, AT(train.eval_every), "500", NULL, 0, 1e12, 0,
     "steps between held-out metrics and sample images (0 = only at the end)"},
    {"train.log_every", CF_INT, AT(train.log_every), "20", NULL, 1, 1e9, 0,
     "steps between lines of metrics.jsonl"},
    {"train.tensorboard", CF_BOOL, AT(train.tensorboard), "true", NULL, 0, 0, 0,
     "also write the metrics and sample images as a TensorBoard event file"},
    {"train.freeze", CF_STR, AT(train.freeze), "\"\"", NULL, 0, 0, 0,
     "parameters that do not change, as a comma list of prefixes (\"encoder,quant_conv,quantize\" "
     "keeps the codes and trains the decoder alone)"},
    {"data.size", CF_INTS, AT(data.size), "[64,64]", NULL, 1, 32768, 0,
     "width and height that images are fitted to, in pixels; one number = a square"},
    {"data.crop", CF_CHOICE, AT(data.crop), "\"center\"", "center|random|resized", 0, 0, 0,
     "center: the largest part from the middle; random: 80 to 100 % of that, at a random place; "
     "resized: a random area and shape within crop_scale and crop_ratio, resized to data.size"},
    {"data.crop_scale", CF_NUMS, AT(data.crop_scale), "[0.08,1]", NULL, 1e-4, 1, 0,
     "with crop = resized: least and largest share of the image's area"},
    {"data.crop_ratio", CF_NUMS, AT(data.crop_ratio), "[0.75,1.3333333333333333]", NULL, 0.01, 100,
     0, "with crop = resized: least and largest width over height; 1 = the shape of data.size"},
    {"data.flip", CF_BOOL, AT(data.flip), "false", NULL, 0, 0, 0,
     "mirror half of the images left to right"},
    {"data.holdout", CF_NUM, AT(data.holdout), "0.05", NULL, 0, 0.9, 0,
     "share of the groups (data.split_by) held out of training"},
    {"data.split_by", CF_CHOICE, AT(data.split_by), "\"name\"", "name|folder|episode", 0, 0, 0,
     "what a group is: it is trained on or held out as a whole"},
    {"data.background", CF_INTS, AT(data.background), "[255,255,255]", NULL, 0, 255, 0,
     "red, green and blue behind transparent images"},
    {"data.cache", CF_NUM, AT(data.cache), "0.25", NULL, 0, 1e9, 0,
     "memory for images decoded and brought to the size that data.crop needs: below 1 a share of "
     "what is free at the start, from 1 on megabytes (0 = none: each sample is decoded)"},
    {"data.cache_file", CF_PATH, AT(data.cache_file), "\"\"", NULL, 0, 0, 0,
     "file that keeps them all, for later runs and others at the same time (\"\" = none); it only "
     "grows, and may be removed at any time"},
    {0},
};

void config_begin(config_t *c) {
    config_defaults(config_table, c);
    /* No value that can be set: nobody has named one. */
    c->model.vq_embed_dim = 0;
    c->model.num_vq_embeddings = 0;
}

void config_settle(config_t *c) {
    config_t preset;
    config_defaults(config_table, &preset);
    int64_t width = preset.model.vq_embed_dim, codes = preset.model.num_vq_embeddings;
    const quantizer_kind_t *kind = quantizer_kind(c);
    if (kind->settle) kind->settle(c, &width, &codes);
    if (c->train.warmup_no_quant < 0) c->train.warmup_no_quant = c->train.steps / 10;
    if (!c->model.vq_embed_dim) c->model.vq_embed_dim = width;
    if (!c->model.num_vq_embeddings) c->model.num_vq_embeddings = codes;
}

static void check_range(const config_nums_t *v, const char *name) {
    if (v->n != 2 || v->v[0] > v->v[1])
        die(RC_USAGE, "%s: two numbers are needed, the smaller one first", name);
}

vqvae_config_t config_model(const config_t *c) {
    vqvae_config_t m = {.layers_per_block = (size_t)c->model.layers_per_block,
                        .latent_channels = (size_t)c->model.latent_channels,
                        .vq_embed_dim = (size_t)c->model.vq_embed_dim,
                        .codes = (size_t)c->model.num_vq_embeddings,
                        .norm_groups = (size_t)c->model.norm_num_groups,
                        .in_channels = 3,
                        .out_channels = 3,
                        .mid_attention = c->model.mid_attention};
    m.levels = (size_t)c->model.block_out_channels.n;
    if (m.levels > VQ_LEVELS)
        die(RC_USAGE, "model.block_out_channels: at most %d levels", VQ_LEVELS);
    for (size_t i = 0; i < m.levels; i++) m.channels[i] = (size_t)c->model.block_out_channels.v[i];
    for (int i = 0; i < c->model.attention_levels.n; i++) {
        if (c->model.attention_levels.v[i] >= (int64_t)m.levels)
            die(RC_USAGE, "model.attention_levels: there is no level %lld",
                (long long)c->model.attention_levels.v[i]);
        m.attention[c->model.attention_levels.v[i]] = true;
    }
    if (quantizer_kind(c)->network) quantizer_kind(c)->network(c, &m);
    reason_t why;
    size_t w, h, f = m.levels ? vqvae_stride(&m) : 1;
    config_size(c, &w, &h);
    const model_kind_t *kind = model_kind_at((size_t)c->model.kind);
    vqvae_causal1d_t asked = {.queries = (size_t)c->model.queries,
                              .width = (size_t)c->model.width,
                              .heads = (size_t)c->model.heads,
                              .encoder_layers = (size_t)c->model.encoder_layers,
                              .decoder_layers = (size_t)c->model.decoder_layers,
                              .causal = c->model.causal};
    if (kind->shape && m.levels) kind->shape(&m, &asked, w, h);
    if (vqvae_config_check(&m, &why)) die(RC_USAGE, "model: %s", why.text);
    if (w % f || h % f)
        die(RC_USAGE, "data.size: %zu x %zu is no multiple of the network's stride %zu", w, h, f);
    check_range(&c->data.crop_scale, "data.crop_scale");
    check_range(&c->data.crop_ratio, "data.crop_ratio");
    if (c->optim.betas.n != 2) die(RC_USAGE, "optim.betas: two numbers are needed");
    for (int i = 0; i < 2; i++)
        if (c->optim.betas.v[i] >= 1) die(RC_USAGE, "optim.betas must be below 1");
    return m;
}

void config_from_model(config_t *c, const vqvae_config_t *m) {
    c->model.block_out_channels.n = (int)m->levels;
    c->model.attention_levels.n = 0;
    for (size_t i = 0; i < m->levels; i++) {
        c->model.block_out_channels.v[i] = (int64_t)m->channels[i];
        if (m->attention[i])
            c->model.attention_levels.v[c->model.attention_levels.n++] = (int64_t)i;
    }
    c->model.layers_per_block = (int64_t)m->layers_per_block;
    c->model.latent_channels = (int64_t)m->latent_channels;
    c->model.vq_embed_dim = (int64_t)m->vq_embed_dim;
    c->model.num_vq_embeddings = (int64_t)m->codes;
    c->model.norm_num_groups = (int64_t)m->norm_groups;
    c->model.mid_attention = m->mid_attention;
    c->model.kind = model_kind_index(model_kind(m));
    if (m->causal1d.queries) {
        c->model.queries = (int64_t)m->causal1d.queries;
        c->model.width = (int64_t)m->causal1d.width;
        c->model.heads = (int64_t)m->causal1d.heads;
        c->model.encoder_layers = (int64_t)m->causal1d.encoder_layers;
        c->model.decoder_layers = (int64_t)m->causal1d.decoder_layers;
        c->model.causal = m->causal1d.causal;
    }
    quantizer_from_network(c, m);
}

size_t config_tail(const config_t *c, const vqvae_config_t *m) {
    return c->model.tail_dropout > 0 ? vqvae_most_kept(m) : 0;
}

int64_t config_warmup_of_run(const char *run) {
    int64_t warmup;
    reason_t why;
    char *path = fs_join(run, "training.json");
    cJSON *o = fs_exists(path) ? json_parse_file(path, false, &why) : NULL;
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(o, "config"),
                *train = cJSON_GetObjectItemCaseSensitive(config, "train");
    if (!json_i64(cJSON_GetObjectItemCaseSensitive(train, "warmup_no_quant"), &warmup)) warmup = -1;
    cJSON_Delete(o);
    free(path);
    return warmup;
}

bool config_of_run(const char *run, config_t *c) {
    reason_t why = {"damaged"};
    char *path = fs_join(run, "training.json");
    bool is = fs_exists(path);
    if (is) {
        cJSON *o = json_parse_file(path, false, &why);
        const cJSON *config = cJSON_GetObjectItemCaseSensitive(o, "config");
        if (!config || config_json(config_table, c, config, &why))
            die(RC_DATA, "'%s': %s", path, why.text);
        cJSON_Delete(o);
    }
    free(path);
    return is;
}

void config_size(const config_t *c, size_t *w, size_t *h) {
    if (c->data.size.n < 1 || c->data.size.n > 2)
        die(RC_USAGE, "data.size: one number, or width and height, is needed");
    *w = (size_t)c->data.size.v[0];
    *h = (size_t)c->data.size.v[c->data.size.n - 1];
}

image_opts_t config_image_opts(const config_t *c, uint64_t max_pixels) {
    image_opts_t o = image_opts_default();
    if (c->data.background.n != 3) die(RC_USAGE, "data.background: three numbers are needed");
    for (int i = 0; i < 3; i++) o.background[i] = (uint8_t)c->data.background.v[i];
    if (max_pixels) o.max_pixels = max_pixels;
    return o;
}

char *config_preprocess(const config_t *c) {
    size_t w, h;
    config_size(c, &w, &h);
    const int64_t *b = c->data.background.v;
    return xasprintf(
        "{\"background\":[%d,%d,%d],\"fit\":\"cover\",\"range\":[-1,1],\"size\":[%zu,%zu]}",
        (int)b[0], (int)b[1], (int)b[2], w, h);
}

optimizer_t config_optimizer(const config_t *c) {
    return optimizer_of(&c->optim, c->train.steps, c->train.weight_average);
}

/* ---- beside a loaded tokenizer ---- */

/* Its network and its preprocessing: the size it has, if it has one, and what stands behind
 * transparent images. */
static void take_tokenizer(config_t *c, const vqvae_t *v) {
    uint8_t rgb[3];
    size_t w, h;
    config_from_model(c, vqvae_config(v));
    if (vqvae_preprocess_background(v, rgb))
        c->data.background = (config_ints_t){{rgb[0], rgb[1], rgb[2]}, 3};
    vqvae_preprocess_size(v, &w, &h);
    if (w) c->data.size = (config_ints_t){{(int64_t)w, (int64_t)h}, 2};
}

config_t config_for_model(const vqvae_t *v, const char *run, const cli_list_t *set) {
    config_t c;
    config_defaults(config_table, &c);
    config_of_run(run, &c);
    c.data.crop = CROP_CENTER; /* nothing is cropped at random here */
    *c.data.cache_file = 0;    /* what is read once or twice needs no file */
    take_tokenizer(&c, v);
    config_sets(config_table, &c, set);
    config_model(&c);
    size_t w, h, own_w, own_h;
    config_size(&c, &w, &h);
    if (vqvae_fixed_size(vqvae_config(v), &own_w, &own_h) && (w != own_w || h != own_h))
        die(RC_USAGE, "data.size: %zu x %zu, but '%s' takes images of %zu x %zu alone", w, h, run,
            own_w, own_h);
    return c;
}

void config_from_init(config_t *c, const vqvae_t *v) {
    take_tokenizer(c, v);
    c->train.warmup_no_quant = 0;
}
