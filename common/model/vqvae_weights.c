/* vqvae_weights.c - a network's weights from a safetensors file, under the tensor names that
 * diffusers (its older releases too) or taming-transformers give them. */
#include "common/model/vqvae_names.h"
#include "common/nn/weights.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    vqvae_names_t names;
    size_t levels;
} naming_t;

/* Files of older diffusers name the attention tensors query, key, value, proj_attn. */
static void modern_name(const char *name, char out[VQ_NAME]) {
    static const char *const old[] = {".query.", ".key.", ".value.", ".proj_attn."},
                             *const new[] = {".to_q.", ".to_k.", ".to_v.", ".to_out.0."};
    snprintf(out, VQ_NAME, "%s", name);
    for (size_t i = 0; i < 4; i++) {
        const char *at = strstr(name, old[i]);
        if (at)
            snprintf(out, VQ_NAME, "%.*s%s%s", (int)(at - name), name, new[i], at + strlen(old[i]));
    }
}

static bool our_name(const void *context, const char *theirs, char out[WEIGHTS_NAME]) {
    const naming_t *n = context;
    if (n->names == VQ_NAMES_TAMING) return vqvae_taming_name(theirs, n->levels, false, out);
    modern_name(theirs, out);
    return true;
}

static bool their_name(const void *context, const char *ours, char out[WEIGHTS_NAME]) {
    const naming_t *n = context;
    return n->names == VQ_NAMES_TAMING && vqvae_taming_name(ours, n->levels, true, out);
}

/* What a training leaves in some people's files beside the network. */
static bool of_training(const void *context, const char *tensor) {
    static const char *const training_only[] = {"discriminator.", "loss.discriminator.",
                                                "loss.perceptual_loss."};
    const naming_t *n = context;
    if (n->names == VQ_NAMES_TAMING) return vqvae_taming_training(tensor);
    return params_match(tensor, training_only, 3);
}

static const char *gumbel(const void *context, const char *tensor) {
    if (strcmp(tensor, "quantize.embed.weight") && strncmp(tensor, "quantize.proj.", 14))
        return NULL;
    return "a Gumbel model has no nearest code and is not supported";
}

int vqvae_read_named(params_t *p, const char *path, vqvae_names_t names, size_t levels,
                     size_t *ignored, reason_t *why) {
    naming_t naming = {names, levels};
    weights_names_t translation = {.ours = our_name,
                                   .theirs = their_name,
                                   .ignored = of_training,
                                   .refusal = gumbel,
                                   .context = &naming,
                                   .loose_axes = true};
    st_file_t f;
    reason_t inner;
    *ignored = 0;
    if (st_open_parts(&f, path, &inner)) {
        reason_set(why, "%s", inner.text);
        return RC_DATA;
    }
    int rc = weights_read(p, &f, path, &translation, ignored, why);
    if (st_parts_end(&f, &inner)) { /* damage comes before its consequences */
        reason_set(why, "'%s': %s", path, inner.text);
        rc = RC_DATA;
    }
    return rc;
}

int vqvae_read_weights(params_t *p, const char *path, reason_t *why) {
    size_t ignored;
    return vqvae_read_named(p, path, VQ_NAMES_DIFFUSERS, 0, &ignored, why);
}
