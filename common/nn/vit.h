/* vit.h - patches of an image, and the pre-norm blocks of a ViT over them (Dosovitskiy et al.
 * 2021). */
#ifndef NN_VIT_H
#define NN_VIT_H

#include "common/nn/nn.h"

typedef struct {
    size_t heads, hidden;
    /* attn.qkv has attn.q_bias and attn.v_bias (EVA: keys have none), not attn.qkv.bias. */
    bool eva;
} vit_opts_t;
/* x [B,T,D] -> [B,T,D], under timm's names in the caller's scope:
 *
 *     a = x + attn.proj(attention(attn.qkv(norm1(x))))
 *     y = a + mlp.fc2(gelu(mlp.fc1(norm2(a))))
 *
 * Norms have eps 1e-6, GELU is exact, every token sees every token, there is no dropout. */
var_t nn_vit_block(nn_t *nn, var_t x, vit_opts_t o);
/* The patches of an image [B,H,W,3] as tokens [B, H/patch * W/patch, width], row by row:
 * proj.weight [width,3,patch,patch], proj.bias. */
var_t nn_patches(nn_t *nn, var_t image, size_t patch, size_t width);

#endif
