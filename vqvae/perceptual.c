/* perceptual.c - see perceptual.h. */
#include "vqvae/perceptual.h"

#include "common/io/fs.h"

lpips_t *perceptual_open(const config_t *c, size_t w, size_t h) {
    const char *path = c->loss.perceptual_weights;
    if (c->loss.perceptual <= 0) return NULL;
    if (!*path)
        die(RC_USAGE,
            "loss.perceptual needs loss.perceptual_weights, a safetensors file of VGG16 and LPIPS");
    if (!fs_exists(path)) die(RC_USAGE, "loss.perceptual_weights: '%s': no such file", path);
    if (w < LPIPS_SIDE || h < LPIPS_SIDE)
        die(RC_USAGE,
            "loss.perceptual: images of %zu x %zu are too small; at least %d x %d is needed", w, h,
            LPIPS_SIDE, LPIPS_SIDE);
    lpips_t *l;
    reason_t why;
    int rc = lpips_load(&l, path, &why);
    if (rc) die(rc, "loss.perceptual_weights: %s", why.text);
    return l;
}
