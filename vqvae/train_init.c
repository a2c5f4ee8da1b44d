/* train_init.c - see train_init.h. */
#include "vqvae/train_init.h"

#include "common/io/fs.h"
#include "vqvae/data.h"
#include "vqvae/quantizer_kind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_quantizer(const train_init_t *init, const vqvae_t *v) {
    char *known = vqvae_quantizer_text(vqvae_config(v));
    if (strcmp(vqvae_quantizer_json(v), known))
        die(RC_MISFIT, "--init '%s': its quantizer is %s; this program trains %s", init->run,
            vqvae_quantizer_json(v), known);
    free(known);
}

static void copy_weights(params_t *to, params_t *from) {
    for (size_t i = 0; i < params_n(from); i++) {
        const param_t *q = params_at(from, (int)i);
        int at = params_find(to, q->name);
        memcpy(params_ptr(to, PARAMS_VALUE, at), params_ptr(from, PARAMS_VALUE, (int)i),
               q->count * sizeof(float));
    }
}

void train_init_load(train_init_t *init, const char *out, params_t *p, config_t *c) {
    if (fs_same(init->run, out)) die(RC_USAGE, "'%s' is both --init and --out", init->run);
    vqvae_t *v = vqvae_open_or_die(init->run);
    check_quantizer(init, v);
    config_from_init(c, v);
    init->config = *c;
    init->preprocess = xstrdup(vqvae_preprocess_json(v));
    snprintf(init->fingerprint, sizeof init->fingerprint, "%s", vqvae_fingerprint(v));
    init->trained = vqvae_trained(v);
    vqvae_declare(p, vqvae_config(v));
    copy_weights(p, vqvae_params(v));
    vqvae_free(v);
}

void train_init_check(const train_init_t *init, const config_t *c) {
    char differences[1024];
    if (config_diff(config_table, &init->config, c, CONFIG_ARCH, differences, sizeof differences))
        die_list(RC_MISFIT, differences,
                 "--init '%s' has another network than the configuration asks for (RUN vs "
                 "configuration):",
                 init->run);
    vqvae_config_t was = config_model(&init->config);
    size_t w, h, asked_w, asked_h;
    config_size(c, &asked_w, &asked_h);
    if (vqvae_fixed_size(&was, &w, &h) && (w != asked_w || h != asked_h))
        die(RC_MISFIT, "--init '%s' takes images of %zu x %zu alone: data.size cannot be another",
            init->run, w, h);
    bool has_codebook = quantizer_kind(&init->config)->codebook;
    if (has_codebook != quantizer_kind(c)->codebook)
        die(RC_MISFIT, "--init '%s' %s: quantizer.kind cannot be another", init->run,
            has_codebook ? "has a codebook" : "has no codebook");
}

static void load_discriminator(const train_init_t *init, adversary_t *a) {
    st_file_t file;
    reason_t why;
    char *path;
    if (!adversary_find(init->run, &file, &path)) return;
    if (adversary_like(a, &file)) {
        int rc = adversary_load(a, &file, &why);
        if (rc) die(rc, "'%s': discriminator: %s", path, why.text);
    } else {
        warn("'%s' holds a discriminator of another shape; a new one starts by the seed", path);
    }
    st_close(&file);
    free(path);
}

void train_init_state(const train_init_t *init, trainer_t *t) {
    quantizer_adopt(&t->quantizer);
    if (t->adversary) load_discriminator(init, t->adversary);
}
