/* test_vqvae_names.c - taming's configurations and tensor names in terms of ours: published models
 * by hand, names of a whole network there and back, what VQModel cannot express.
 */
#include "common/model/vqvae_names.h"
#include "tests/test.h"

#include <string.h>

/* ---- names ---- */

TEST(names_by_hand) {
    static const char *const pair[][2] = {
        {"encoder.conv_in.weight", "encoder.conv_in.weight"},
        {"encoder.down.0.block.1.norm1.bias", "encoder.down_blocks.0.resnets.1.norm1.bias"},
        {"encoder.down.3.block.0.nin_shortcut.weight",
         "encoder.down_blocks.3.resnets.0.conv_shortcut.weight"},
        {"encoder.down.4.attn.1.norm.weight",
         "encoder.down_blocks.4.attentions.1.group_norm.weight"},
        {"encoder.down.4.attn.0.q.weight", "encoder.down_blocks.4.attentions.0.to_q.weight"},
        {"encoder.down.4.attn.0.k.bias", "encoder.down_blocks.4.attentions.0.to_k.bias"},
        {"encoder.down.4.attn.0.proj_out.bias", "encoder.down_blocks.4.attentions.0.to_out.0.bias"},
        {"encoder.down.2.downsample.conv.weight",
         "encoder.down_blocks.2.downsamplers.0.conv.weight"},
        {"encoder.mid.block_1.conv1.weight", "encoder.mid_block.resnets.0.conv1.weight"},
        {"encoder.mid.block_2.conv2.bias", "encoder.mid_block.resnets.1.conv2.bias"},
        {"decoder.mid.attn_1.v.weight", "decoder.mid_block.attentions.0.to_v.weight"},
        {"encoder.norm_out.weight", "encoder.conv_norm_out.weight"},
        {"decoder.norm_out.bias", "decoder.conv_norm_out.bias"},
        {"decoder.up.0.block.2.conv1.weight", "decoder.up_blocks.4.resnets.2.conv1.weight"},
        {"decoder.up.4.attn.2.norm.bias", "decoder.up_blocks.0.attentions.2.group_norm.bias"},
        {"decoder.up.1.upsample.conv.bias", "decoder.up_blocks.3.upsamplers.0.conv.bias"},
        {"decoder.conv_out.bias", "decoder.conv_out.bias"},
        {"quant_conv.weight", "quant_conv.weight"},
        {"post_quant_conv.bias", "post_quant_conv.bias"},
        {"quantize.embedding.weight", "quantize.embedding.weight"},
    };
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        char out[VQ_NAME];
        CHECK(vqvae_taming_name(pair[i][0], 5, false, out), "%s", pair[i][0]);
        CHECK_STR(out, pair[i][1]);
        CHECK(vqvae_taming_name(pair[i][1], 5, true, out), "%s", pair[i][1]);
        CHECK_STR(out, pair[i][0]);
    }
    static const char *const none[] = {"",
                                       "encoder",
                                       "encoder.conv_in.weights",
                                       "encoder.conv_in.",
                                       "encoder.down.0.block.1.norm1",
                                       "encoder.down.0.block..norm1.weight",
                                       "encoder.down.00.block.1.norm1.weight",
                                       "encoder.down.1234.block.1.norm1.weight",
                                       "encoder.down.-1.block.1.norm1.weight",
                                       "encoder.down.0.block.1.temb_proj.weight",
                                       "encoder.mid.attn_2.q.weight",
                                       "decoder.up.5.block.0.conv1.weight",
                                       "quantize.embed.weight",
                                       "xencoder.conv_in.weight",
                                       "encoder.down_blocks.0.resnets.1.norm1.bias"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        char out[VQ_NAME];
        CHECK(!vqvae_taming_name(none[i], 5, false, out), "'%s' is taken for '%s'", none[i], out);
    }
}

/* Every parameter of a network with everything in it has a name of theirs, no two the same, and
 * back. */
TEST(names_of_a_network) {
    vqvae_config_t c = {.levels = 3,
                        .channels = {8, 16, 16},
                        .attention = {true, false, true},
                        .layers_per_block = 2,
                        .latent_channels = 4,
                        .vq_embed_dim = 4,
                        .codes = 8,
                        .norm_groups = 4,
                        .in_channels = 3,
                        .out_channels = 3,
                        .mid_attention = true};
    params_t *p = params_new(1);
    vqvae_declare(p, &c);
    size_t n = params_n(p);
    char(*theirs)[VQ_NAME] = xcalloc(n, sizeof *theirs), back[VQ_NAME];
    for (size_t i = 0; i < n; i++) {
        const char *ours = params_at(p, (int)i)->name;
        REQUIRE(vqvae_taming_name(ours, c.levels, true, theirs[i]), "'%s' has no name", ours);
        REQUIRE(vqvae_taming_name(theirs[i], c.levels, false, back), "'%s' has no way back",
                theirs[i]);
        CHECK_STR(back, ours);
        for (size_t j = 0; j < i; j++) CHECK(strcmp(theirs[i], theirs[j]), "'%s' twice", theirs[i]);
        CHECK(!vqvae_taming_training(theirs[i]), "'%s' is no matter of training", theirs[i]);
    }
    free(theirs);
    params_free(p);
    CHECK(vqvae_taming_training("loss.discriminator.main.0.weight") &&
              vqvae_taming_training("model_ema.decay") && vqvae_taming_training("quantize.used"),
          "tensors of training");
    CHECK(!vqvae_taming_training("quantize.proj.weight") && !vqvae_taming_training("lossy"),
          "others");
}

/* ---- configurations ---- */

static int parse(const char *text, vqvae_config_t *c, size_t *resolution, reason_t *why) {
    return vqvae_taming_config(c, resolution, text, strlen(text), why);
}

typedef struct {
    const char *what, *target, *ch_mult, *attn;
    int ch, blocks, z, embed, K, resolution;
    size_t levels, channels[VQ_LEVELS], attention; /* one bit a level */
} published_t;

/* Field by field: bytes between the fields may differ. */
static bool same_config(const vqvae_config_t *a, const vqvae_config_t *b) {
    return a->levels == b->levels && !memcmp(a->channels, b->channels, sizeof a->channels) &&
           !memcmp(a->attention, b->attention, sizeof a->attention) &&
           a->layers_per_block == b->layers_per_block && a->latent_channels == b->latent_channels &&
           a->vq_embed_dim == b->vq_embed_dim && a->codes == b->codes &&
           a->norm_groups == b->norm_groups && a->in_channels == b->in_channels &&
           a->out_channels == b->out_channels && a->mid_attention == b->mid_attention &&
           a->fsq.n == b->fsq.n;
}

TEST(published_configurations) {
    static const published_t use[] = {
        {"imagenet f16 1024",
         "taming.models.vqgan.VQModel",
         "1,1,2,2,4",
         "16",
         128,
         2,
         256,
         256,
         1024,
         256,
         5,
         {128, 128, 256, 256, 512},
         1 << 4},
        {"imagenet f16 16384",
         "taming.models.vqgan.VQModel",
         "1,1,2,2,4",
         "16",
         128,
         2,
         256,
         256,
         16384,
         256,
         5,
         {128, 128, 256, 256, 512},
         1 << 4},
        {"ldm vq-f8",
         "ldm.models.autoencoder.VQModel",
         "1,2,2,4",
         "32",
         128,
         2,
         4,
         4,
         16384,
         256,
         4,
         {128, 256, 256, 512},
         1 << 3},
        {"ldm vq-f16",
         "ldm.models.autoencoder.VQModel",
         "1,1,2,2,4",
         "16",
         128,
         2,
         8,
         8,
         16384,
         256,
         5,
         {128, 128, 256, 256, 512},
         1 << 4},
        {"ldm vq-f4",
         "ldm.models.autoencoder.VQModelInterface",
         "1,2,4",
         "",
         128,
         2,
         3,
         3,
         8192,
         256,
         3,
         {128, 256, 512},
         0},
        {"64 px with attention twice",
         "taming.models.vqgan.VQModel",
         "1,1,1,1,1",
         "8,16",
         64,
         2,
         512,
         512,
         512,
         64,
         5,
         {64, 64, 64, 64, 64},
         1 << 2 | 1 << 3},
    };
    for (size_t i = 0; i < sizeof use / sizeof *use; i++) {
        const published_t *u = &use[i];
        for (int shape = 0; shape < 4; shape++) { /* whole file, model, params, flat */
            char *dd = xasprintf(
                     "\"double_z\":false,\"z_channels\":%d,\"resolution\":%d,\"in_channels\":3,"
                     "\"out_ch\":3,"
                     "\"ch\":%d,\"ch_mult\":[%s],\"num_res_blocks\":%d,\"attn_resolutions\":[%s],"
                     "\"dropout\":0.0",
                     u->z, u->resolution, u->ch, u->ch_mult, u->blocks, u->attn),
                 *nums = xasprintf("\"embed_dim\":%d,\"n_embed\":%d", u->embed, u->K),
                 *params = shape == 3
                               ? xasprintf("{%s,%s}", nums, dd)
                               : xasprintf("{%s,\"lossconfig\":{\"params\":{}},\"ddconfig\":{%s}}",
                                           nums, dd),
                 *model = shape > 1
                              ? xstrdup(params)
                              : xasprintf("{\"target\":\"%s\",\"params\":%s}", u->target, params),
                 *text = shape ? xstrdup(model)
                               : xasprintf("{\"model\":%s,\"data\":{},\"lightning\":{}}", model);
            vqvae_config_t c, want = {.levels = u->levels,
                                      .layers_per_block = (size_t)u->blocks,
                                      .latent_channels = (size_t)u->z,
                                      .vq_embed_dim = (size_t)u->embed,
                                      .codes = (size_t)u->K,
                                      .norm_groups = 32,
                                      .in_channels = 3,
                                      .out_channels = 3,
                                      .mid_attention = true};
            for (size_t l = 0; l < u->levels; l++) {
                want.channels[l] = u->channels[l];
                want.attention[l] = u->attention >> l & 1;
            }
            size_t resolution = 0, warned = warn_count();
            reason_t why = {""};
            CHECK(parse(text, &c, &resolution, &why) == RC_OK, "%s: %s", u->what, why.text);
            CHECK(same_config(&c, &want) && resolution == (size_t)u->resolution, "%s, shape %d",
                  u->what, shape);
            CHECK(warn_count() == warned, "%s: no warning", u->what);
            free(dd), free(nums), free(params), free(model), free(text);
        }
    }
}

#define HEAD "\"embed_dim\":8,\"n_embed\":16,\"z_channels\":8,\"ch\":32,\"num_res_blocks\":1,"
#define REST "\"resolution\":64,\"ch_mult\":[1,2],\"attn_resolutions\":[32]"

TEST(fault_064_taming_configurations) {
    static const struct {
        const char *text, *says;
        int rc;
    } bad[] = {
        {"{" HEAD REST "}", "", RC_OK},
        {"{" HEAD REST
         ",\"attn_type\":\"vanilla\",\"dropout\":0.5,\"double_z\":null,\"resamp_with_conv\":true}",
         "", RC_OK},
        {"{" HEAD REST ",\"attn_type\":\"none\"}", "", RC_OK},
        {"{" HEAD REST ",\"attn_type\":\"linear\"}", "linear", RC_MISFIT},
        {"{" HEAD REST ",\"attn_type\":3}", "attn_type", RC_MISFIT},
        {"{" HEAD REST ",\"double_z\":true}", "double_z", RC_MISFIT},
        {"{" HEAD REST ",\"double_z\":1}", "double_z", RC_MISFIT},
        {"{" HEAD REST ",\"resamp_with_conv\":false}", "resamp_with_conv", RC_MISFIT},
        {"{" HEAD REST ",\"tanh_out\":true}", "tanh_out", RC_MISFIT},
        {"{" HEAD REST ",\"in_channels\":1}", "3 channels", RC_MISFIT},
        {"{" HEAD REST ",\"target\":\"taming.models.vqgan.GumbelVQ\"}", "Gumbel", RC_MISFIT},
        {"{" HEAD REST ",\"target\":\"taming.models.vqgan.EMAVQ\"}", "EMAVQ", RC_MISFIT},
        {"{" HEAD REST ",\"target\":[]}", "target", RC_MISFIT},
        {"{" HEAD "\"resolution\":64,\"ch_mult\":[],\"attn_resolutions\":[]}", "ch_mult",
         RC_MISFIT},
        {"{" HEAD "\"resolution\":64,\"ch_mult\":[1,2],\"attn_resolutions\":32}",
         "attn_resolutions", RC_MISFIT},
        {"{" HEAD "\"resolution\":64,\"ch_mult\":[1,2.5],\"attn_resolutions\":[]}", "ch_mult",
         RC_MISFIT},
        {"{" HEAD "\"resolution\":64,\"ch_mult\":[1,70000],\"attn_resolutions\":[]}", "ch_mult",
         RC_MISFIT},
        {"{" HEAD "\"resolution\":64,\"ch_mult\":[1,60000],\"attn_resolutions\":[]}", "ch_mult",
         RC_MISFIT},
        {"{" HEAD "\"resolution\":64,\"ch_mult\":[1,1,1,1,1,1,1,1,1],\"attn_resolutions\":[]}",
         "ch_mult", RC_MISFIT},
        {"{" HEAD "\"ch_mult\":[1,2],\"attn_resolutions\":[]}", "resolution", RC_MISFIT},
        /* 65 halves to 32 and doubles to 64: the encoder alone would have attention */
        {"{" HEAD "\"resolution\":65,\"ch_mult\":[1,2],\"attn_resolutions\":[65]}",
         "only one of encoder and decoder", RC_MISFIT},
        {"{" HEAD "\"resolution\":65,\"ch_mult\":[1,2],\"attn_resolutions\":[32]}", "", RC_OK},
        {"{\"embed_dim\":8,\"n_embed\":16,\"z_channels\":8,\"ch\":20,\"num_res_blocks\":1," REST
         "}",
         "norm_num_groups", RC_MISFIT},
        {"{\"embed_dim\":8,\"n_embed\":1,\"z_channels\":8,\"ch\":32,\"num_res_blocks\":1," REST "}",
         "num_vq_embeddings", RC_MISFIT},
        {"{\"embed_dim\":0,\"n_embed\":16,\"z_channels\":8,\"ch\":32,\"num_res_blocks\":1," REST
         "}",
         "embed_dim", RC_MISFIT},
        {"{\"n_embed\":16,\"z_channels\":8,\"ch\":32,\"num_res_blocks\":1," REST "}", "embed_dim",
         RC_MISFIT},
        {"{\"model\":{\"params\":{}}}", "missing", RC_MISFIT},
        {"{}", "missing", RC_MISFIT},
        {"[]", "object", RC_DATA},
        {"", "", RC_DATA},
        {"model:\n  params:\n", "1:1", RC_DATA},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        vqvae_config_t c;
        size_t resolution;
        reason_t why = {""};
        int rc = parse(bad[i].text, &c, &resolution, &why);
        CHECK(rc == bad[i].rc && strstr(why.text, bad[i].says), "%s: %d, '%s'", bad[i].text, rc,
              why.text);
    }
    vqvae_config_t c;
    size_t resolution, before = warn_count();
    reason_t why;
    CHECK(!parse("{" HEAD REST ",\"attn_type\":\"none\"}", &c, &resolution, &why) &&
              !c.mid_attention && !c.attention[1],
          "no attention at all");
    CHECK(!parse("{" HEAD REST ",\"use_3d\":true}", &c, &resolution, &why) &&
              warn_count() == before + 1,
          "an unknown key is a warning");
    CHECK(!parse("{" HEAD REST ",\"remap\":\"used.npy\"}", &c, &resolution, &why) &&
              warn_count() == before + 2,
          "a remapped vocabulary is a warning");
}
