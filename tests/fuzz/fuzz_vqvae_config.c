/* fuzz_vqvae_config.c - arbitrary text as a network's configuration, diffusers' and taming's, and
 * as a tensor's name: what is accepted prints to a text that gives the same network, and a
 * translated name translates back.
 *
 * fuzz-sources: common/model/vqvae.c common/model/vqvae_config.c common/model/vqvae_names.c
 * fuzz-sources: common/model/codes.c common/model/codes_vq.c common/model/codes_fsq.c
 * fuzz-sources: common/model/kind.c common/model/kind_grid.c common/model/kind_causal1d.c
 * fuzz-sources: common/nn/cross_attention.c
 * fuzz-sources: common/nn/nn.c common/nn/attention.c common/nn/resnet.c common/nn/packed.c
 * fuzz-sources: common/nn/weights.c common/tape/tape.c common/tape/params.c
 * fuzz-sources: common/tape/op_attention.c common/tape/op_conv.c common/tape/op_linear.c
 * fuzz-sources: common/tape/op_math.c common/tape/op_norm.c common/tape/op_packed.c
 * fuzz-sources: common/tape/op_resample.c common/tape/op_rows.c common/tape/op_vq.c
 * fuzz-sources: common/tape/op_fsq.c common/tape/op_head.c
 */
#include "common/model/vqvae_names.h"

#include <stdlib.h>
#include <string.h>

static void printed(const vqvae_config_t *c) {
    vqvae_config_t back;
    reason_t why;
    char *text = vqvae_config_json(c, 32);
    if (vqvae_config_parse(&back, text, strlen(text), &why))
        BUG("printed configuration is refused: %s", why.text);
    if (memcmp(c, &back, sizeof back)) BUG("changed by printing: %s", text);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    vqvae_config_t c;
    size_t resolution;
    reason_t why;
    if (!vqvae_config_parse(&c, (const char *)data, size, &why)) printed(&c);
    if (!vqvae_taming_config(&c, &resolution, (const char *)data, size, &why)) printed(&c);
    char name[1025], there[VQ_NAME], back[VQ_NAME];
    if (size > 1024) return 0;
    memcpy(name, data, size);
    name[size] = 0;
    if (!vqvae_taming_name(name, 5, false, there)) return 0;
    if (!vqvae_taming_name(there, 5, true, back) || strcmp(back, name))
        BUG("'%s' becomes '%s'", name, there);
    return 0;
}
