/* test_vqvae_folder.c - the tokenizer's folder on disk: round trips, configurations of others, and
 * everything that is wrong with a folder in its exit code.
 */
#include "common/base/pool.h"
#include "common/io/safetensors/safetensors.h"
#include "common/io/text/json.h"
#include "tests/folder.h"
#include "tests/test.h"
#include "tests/vqvae_folder.h"

#include <unistd.h>

__attribute__((constructor)) static void one_thread(void) {
    pool_set_threads(1);
}

TEST(folder_round_trip) {
    folder_open();
    params_t *p = own_params(&OWN);
    const char *dir = in_folder("run");
    char print[33];
    write_run(dir, p, &OWN, NULL);
    int rc;
    reason_t why = {""};
    vqvae_t *v = vqvae_open(dir, &rc, &why);
    REQUIRE(v, "%d: %s", rc, why.text);
    CHECK(!memcmp(vqvae_config(v), &OWN, sizeof OWN), "config");
    params_t *q = vqvae_params(v);
    CHECK(params_n(p) == params_n(q), "%zu and %zu tensors", params_n(p), params_n(q));
    for (size_t i = 0; i < params_n(p); i++) {
        int at = params_find(q, params_at(p, (int)i)->name);
        CHECK(at >= 0 &&
                  !memcmp(params_ptr(p, PARAMS_VALUE, (int)i), params_ptr(q, PARAMS_VALUE, at),
                          params_at(p, (int)i)->count * sizeof(float)),
              "'%s'", params_at(p, (int)i)->name);
    }
    size_t w = 9, h = 9;
    vqvae_preprocess_size(v, &w, &h);
    CHECK(w == 0 && h == 0, "a bare folder works at native size");
    CHECK_STR(vqvae_quantizer_json(v), "{\"kind\":\"vq\"}");
    vqvae_fingerprint_make(p, PARAMS_VALUE, vqvae_quantizer_json(v), vqvae_preprocess_json(v),
                           print);
    CHECK_STR(print, vqvae_fingerprint(v));
    vqvae_free(v);
    /* with a tokenizer.json */
    const char *preprocess =
        "{\"background\":[255,255,255],\"fit\":\"cover\",\"range\":[-1,1],\"size\":[48,32]}";
    vqvae_fingerprint_make(p, PARAMS_VALUE, "{\"kind\":\"vq\"}", preprocess, print);
    char *tokenizer =
        xasprintf("{ \"format\":1, \"quantizer\":{\"kind\":\"vq\"}, \"fingerprint\":\"%s\",\n"
                  "\"preprocess\":{\"size\":[48, "
                  "32],\"range\":[-1,1.0],\"background\":[255,255,255],\"fit\":\"cover\"}}",
                  print);
    write_run(dir, p, &OWN, tokenizer);
    v = vqvae_open(dir, &rc, &why);
    REQUIRE(v, "%d: %s", rc, why.text);
    CHECK_STR(vqvae_preprocess_json(v), preprocess); /* canonical */
    CHECK_STR(vqvae_fingerprint(v), print);
    vqvae_preprocess_size(v, &w, &h);
    CHECK(w == 48 && h == 32, "%zu x %zu", w, h);
    vqvae_free(v);
    free(tokenizer);
    params_free(p);
    folder_remove();
}

TEST(config_round_trip) {
    vqvae_config_t some[] = {OWN, OWN, OWN, OWN};
    some[1] = (vqvae_config_t){.levels = 1,
                               .channels = {5},
                               .attention = {true},
                               .layers_per_block = 3,
                               .latent_channels = 1,
                               .vq_embed_dim = 1,
                               .codes = 2,
                               .norm_groups = 5,
                               .in_channels = 3,
                               .out_channels = 3};
    some[2].levels = 4, some[2].channels[3] = 32,
    some[2].attention[0] = some[2].attention[3] = true, some[2].attention[2] = false;
    some[3].levels = VQ_LEVELS, some[3].mid_attention = false;
    for (int i = 0; i < VQ_LEVELS; i++)
        some[3].channels[i] = 4 + 4 * (size_t)i, some[3].attention[i] = i % 3 == 1;
    for (size_t i = 0; i < 4; i++) {
        vqvae_config_t back;
        reason_t why = {""};
        char *text = vqvae_config_json(&some[i], 64);
        CHECK(!vqvae_config_parse(&back, text, strlen(text), &why), "%s", why.text);
        CHECK(!memcmp(&back, &some[i], sizeof back), "config %zu", i);
        /* All keys of diffusers and nothing else. */
        static const char *const keys[] = {"_class_name",
                                           "_diffusers_version",
                                           "act_fn",
                                           "block_out_channels",
                                           "down_block_types",
                                           "force_upcast",
                                           "in_channels",
                                           "latent_channels",
                                           "layers_per_block",
                                           "lookup_from_codebook",
                                           "mid_block_add_attention",
                                           "norm_num_groups",
                                           "norm_type",
                                           "num_vq_embeddings",
                                           "out_channels",
                                           "sample_size",
                                           "scaling_factor",
                                           "up_block_types",
                                           "vq_embed_dim"};
        cJSON *o = cJSON_Parse(text);
        CHECK(cJSON_GetArraySize(o) == sizeof keys / sizeof *keys, "%d keys",
              cJSON_GetArraySize(o));
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            CHECK(cJSON_GetObjectItemCaseSensitive(o, keys[k]), "key '%s'", keys[k]);
        cJSON_Delete(o);
        free(text);
    }
}

static int parse(const char *text, vqvae_config_t *c, reason_t *why) {
    return vqvae_config_parse(c, text, strlen(text), why);
}

TEST(config_of_others) {
    vqvae_config_t c;
    reason_t why = {""};
    CHECK(!parse("{\"_class_name\":\"VQModel\",\"act_fn\":\"swish\"}", &c, &why),
          "SiLU by its other name");
    /* files in the wild */
    CHECK(
        !parse(
            "{\"_class_name\":\"VQModel\",\"_diffusers_version\":\"0.1.2\",\"act_fn\":\"silu\","
            "\"block_out_"
            "channels\":[128,256,512],\"down_block_types\":"
            "[\"DownEncoderBlock2D\",\"DownEncoderBlock2D\",\"DownEncoderBlock2D\"],\"in_"
            "channels\":3,\"latent_"
            "channels\":3,\"layers_per_block\":2,"
            "\"num_vq_embeddings\":8192,\"out_channels\":3,\"sample_size\":256,\"up_block_types\":["
            "\"UpDecoderBlock2D\",\"UpDecoderBlock2D\","
            "\"UpDecoderBlock2D\"]}",
            &c, &why),
        "%s", why.text);
    CHECK(c.levels == 3 && c.channels[2] == 512 && c.vq_embed_dim == 3 && c.norm_groups == 32 &&
              c.codes == 8192 && c.mid_attention,
          "defaults of absent keys");
    CHECK(
        !parse(
            "{\"_class_name\":\"VQModel\",\"block_out_channels\":[128,256,256,512,768],\"down_"
            "block_types\":["
            "\"DownEncoderBlock2D\",\"DownEncoderBlock2D\","
            "\"DownEncoderBlock2D\",\"DownEncoderBlock2D\",\"DownEncoderBlock2D\"],\"latent_"
            "channels\":64,"
            "\"layers_per_block\":2,\"lookup_from_codebook\":true,"
            "\"mid_block_add_attention\":false,\"norm_type\":\"group\",\"num_vq_embeddings\":8192,"
            "\"vq_embed_"
            "dim\":null,\"up_block_types\":"
            "[\"UpDecoderBlock2D\",\"UpDecoderBlock2D\",\"UpDecoderBlock2D\",\"UpDecoderBlock2D\","
            "\"UpDecoderBlock2D\"]}",
            &c, &why),
        "%s", why.text);
    CHECK(c.levels == 5 && !c.mid_attention && c.vq_embed_dim == 64, "no attention in the middle");
    CHECK(!parse("{\"_class_name\":\"VQModel\"}", &c, &why) && c.levels == 1 &&
              c.channels[0] == 64 && c.codes == 256 && c.latent_channels == 3,
          "all defaults: %s", why.text);
    size_t before = warn_count();
    CHECK(!parse("{\"_class_name\":\"VQModel\",\"new_key\":1}", &c, &why) &&
              warn_count() == before + 1,
          "an unknown key is a warning");
}

/* Levels in place of a codebook: no tensor of it, its vectors computed, its own class. */
TEST(folder_without_codebook) {
    vqvae_config_t c = OWN, back;
    c.vq_embed_dim = 3, c.codes = 5 * 4 * 3, c.fsq = (kern_fsq_t){3, {5, 4, 3}};
    reason_t why = {""};
    char *text = vqvae_config_json(&c, 32);
    REQUIRE(!parse(text, &back, &why), "%s", why.text);
    CHECK(!memcmp(&back, &c, sizeof c), "config.json and back");
    cJSON *o = cJSON_Parse(text);
    CHECK_STR(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "_class_name")),
              "VQModelFSQ");
    CHECK(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(o, "fsq_levels")) == 3,
          "three levels");
    cJSON_Delete(o);
    free(text);
    folder_open();
    const char *dir = in_folder("run");
    params_t *p = own_params(&c);
    CHECK(params_find(p, "quantize.embedding.weight") < 0, "no codebook");
    write_run(dir, p, &c, NULL);
    int rc;
    vqvae_t *v = vqvae_open(dir, &rc, &why);
    REQUIRE(v, "%s", why.text);
    CHECK_STR(vqvae_quantizer_json(v), "{\"kind\":\"fsq\",\"levels\":[5,4,3]}");
    const float *e = vqvae_codebook_data(v);
    for (size_t k = 0; k < 60; k++) {
        CHECK_NEAR(e[3 * k], (double)(k % 5) / 2 - 1, 1e-7);
        CHECK_NEAR(e[3 * k + 1], (double)(k / 5 % 4) / 2 - 1, 1e-7);
        CHECK_NEAR(e[3 * k + 2], (double)(k / 20) - 1, 1e-7);
    }
    vqvae_free(v);
    params_free(p);
    folder_remove();
    static const char *const bad[] = {
        "\"fsq_levels\":[5,4,2],\"vq_embed_dim\":3,\"num_vq_embeddings\":40",
        "\"fsq_levels\":[5,4,3],\"vq_embed_dim\":4,\"num_vq_embeddings\":60",
        "\"fsq_levels\":[5,4,3],\"vq_embed_dim\":3,\"num_vq_embeddings\":61",
        "\"fsq_levels\":[5,4,3],\"vq_embed_dim\":3",
        "\"fsq_levels\":[1001],\"vq_embed_dim\":1,\"num_vq_embeddings\":1001",
        "\"fsq_levels\":[5,4.5,3],\"vq_embed_dim\":3,\"num_vq_embeddings\":60",
        "\"fsq_levels\":\"5\",\"vq_embed_dim\":3,\"num_vq_embeddings\":60",
        "\"fsq_levels\":[1000,1000,1000,1000,1000,1000,1000,1000],\"vq_embed_dim\":8,\"num_vq_"
        "embeddings\":60",
        "\"fsq_levels\":[3,3,3,3,3,3,3,3,3],\"vq_embed_dim\":9,\"num_vq_embeddings\":60",
        "\"vq_embed_dim\":3,\"num_vq_embeddings\":60",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char line[300];
        snprintf(line, sizeof line, "{\"_class_name\":\"VQModelFSQ\",%s}", bad[i]);
        CHECK(parse(line, &back, &why) == RC_MISFIT, "%s", line);
    }
}

/* ---- bad folders ---- */

/* The exit code and what the reason says. */
static void check_load(const char *what, const char *dir, int want, const char *says) {
    int rc = -1;
    reason_t why = {""};
    vqvae_t *v = vqvae_open(dir, &rc, &why);
    CHECK(rc == want && !v == !!want, "%s: %d, not %d: %s", what, rc, want, why.text);
    CHECK(!want || strstr(why.text, says), "%s says nothing of '%s': %s", what, says, why.text);
    vqvae_free(v);
}

TEST(fault_064_config_of_another_kind) {
    static const struct {
        const char *text, *says;
        int rc;
    } bad[] = {
        {"{\"_class_name\":\"AutoencoderKL\"}", "AutoencoderKL", RC_MISFIT},
        {"{\"_class_name\":\"VQModelFSQ\"}", "VQModelFSQ", RC_MISFIT},
        {"{\"_class_name\":\"VQModel\",\"norm_type\":\"spatial\"}", "spatial", RC_MISFIT},
        {"{\"_class_name\":\"VQModel\",\"act_fn\":\"relu\"}", "relu", RC_MISFIT},
        {"{\"_class_name\":\"VQModel\",\"down_block_types\":[\"CrossAttnDownBlock2D\"]}",
         "CrossAttnDownBlock2D", RC_MISFIT},
        {"{\"_class_name\":\"VQModel\",\"down_block_types\":[\"AttnDownEncoderBlock2D\"],\"up_"
         "block_types\":["
         "\"UpDecoderBlock2D\"]}",
         "attention", RC_MISFIT},
        {"{\"_class_name\":\"VQModel\",\"block_out_channels\":[64,64]}", "down_block_types",
         RC_MISFIT},
        {"{\"_class_name\":\"VQModel\",\"block_out_channels\":[]}", "block_out_channels",
         RC_MISFIT},
        {"{\"_class_name\":\"VQModel\",\"block_out_channels\":[64.5]}", "block_out_channels",
         RC_MISFIT},
        {"{\"_class_name\":\"VQModel\",\"block_out_channels\":[48]}", "norm_num_groups", RC_MISFIT},
        {"{\"_class_name\":\"VQModel\",\"num_vq_embeddings\":-4}", "num_vq_embeddings", RC_MISFIT},
        {"{\"_class_name\":\"VQModel\",\"latent_channels\":1e300}", "latent_channels", RC_MISFIT},
        {"{\"_class_name\":\"VQModel\",\"in_channels\":1}", "channels", RC_MISFIT},
        {"{\"_class_name\":\"VQModel\",\"layers_per_block\":0}", "layers_per_block", RC_MISFIT},
        {"{\"_class_name\":\"VQModel\",\"mid_block_add_attention\":\"yes\"}",
         "mid_block_add_attention", RC_MISFIT},
        {"{\"_class_name\":\"VQModel\",", "1:", RC_DATA},
        {"[1,2]", "object", RC_DATA},
        {"", "", RC_DATA},
        {"{\"_class_name\":\"VQModel\",\"_class_name\":\"VQModel\"}", "", RC_DATA},
    };
    folder_open();
    const char *dir = in_folder("run");
    params_t *p = own_params(&OWN);
    write_run(dir, p, &OWN, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put(dir, "config.json", bad[i].text);
        check_load(bad[i].text, dir, bad[i].rc, bad[i].says);
    }
    check_load("no folder", in_folder("none"), RC_USAGE, "none");
    check_load("a file", in_folder("run/config.json"), RC_USAGE, "no tokenizer");
    params_free(p);
    folder_remove();
}

typedef struct {
    const char *drop, *rename, *to,
        *spoil; /* a tensor that is left out, renamed, whose last value becomes `value` */
    float value;
    const char *reshape; /* loses its last row */
    const char *add;
    st_type_t type;
    bool old_names; /* of attention tensors, as 1x1 convolutions */
} edit_t;

static uint16_t half_of(float v) { /* exact for the numbers used here; else toward zero */
    uint32_t u;
    memcpy(&u, &v, 4);
    int e = (int)(u >> 23 & 255) - 112;
    if (e <= 0) return (uint16_t)(u >> 16 & 0x8000);
    return (uint16_t)((u >> 16 & 0x8000) | (uint32_t)e << 10 | (u >> 13 & 1023));
}

static void write_edited(const char *dir, params_t *p, const edit_t *e) {
    st_writer_t *w = st_writer_new();
    for (size_t i = 0; i < params_n(p); i++) {
        const param_t *q = params_at(p, (int)i);
        if (e->drop && !strncmp(q->name, e->drop, strlen(e->drop))) continue;
        float *v = xmalloc(q->count * sizeof *v);
        uint64_t dim[4] = {1, 1, 1, 1};
        int rank = q->rank;
        params_export(p, PARAMS_VALUE, (int)i, v);
        for (int d = 0; d < rank; d++) dim[d] = q->dim[d];
        if (e->spoil && !strcmp(q->name, e->spoil)) v[q->count - 1] = e->value;
        if (e->reshape && !strcmp(q->name, e->reshape)) dim[0]--;
        char name[256];
        snprintf(name, sizeof name, "%s",
                 e->rename && !strcmp(q->name, e->rename) ? e->to : q->name);
        if (e->old_names && strstr(name, "attentions")) {
            static const char *const now[] = {"to_q", "to_k", "to_v", "to_out.0"}, *const then[] = {
                                                                                       "query",
                                                                                       "key",
                                                                                       "value",
                                                                                       "proj_attn"};
            for (int k = 0; k < 4; k++) {
                char *at = strstr(name, now[k]), rest[64];
                if (!at) continue;
                snprintf(rest, sizeof rest, "%s", at + strlen(now[k]));
                snprintf(at, sizeof name - (size_t)(at - name), "%s%s", then[k], rest);
                if (rank == 2) rank = 4;
            }
        }
        if (e->type == ST_F16 || e->type == ST_BF16) {
            uint16_t *s = xmalloc(q->count * sizeof *s);
            for (size_t j = 0; j < q->count; j++) {
                uint32_t u;
                memcpy(&u, &v[j], 4);
                s[j] = e->type == ST_F16 ? half_of(v[j]) : (uint16_t)(u >> 16);
            }
            st_writer_give(w, name, e->type, rank, dim, s);
            free(v);
        } else {
            st_writer_give(w, name, e->type, rank, dim,
                           v); /* for ST_I32 the bits are as good as any */
        }
    }
    static float one = 1;
    if (e->add) st_writer_add(w, e->add, ST_F32, 1, (uint64_t[]){1}, &one);
    reason_t why;
    char *path = fs_join(dir, WEIGHTS);
    if (st_write(w, path, &why)) BUG("%s", why.text);
    st_writer_free(w);
    free(path);
}

TEST(fault_061_nan_in_weights) {
    folder_open();
    const char *dir = in_folder("run");
    params_t *p = own_params(&OWN);
    write_run(dir, p, &OWN, NULL);
    write_edited(dir, p, &(edit_t){.spoil = "decoder.conv_out.bias", .value = NAN});
    check_load("nan", dir, RC_DATA, "decoder.conv_out.bias");
    write_edited(dir, p, &(edit_t){.spoil = "quantize.embedding.weight", .value = -INFINITY});
    check_load("infinity", dir, RC_DATA, "quantize.embedding.weight");
    write_edited(dir, p,
                 &(edit_t){.spoil = "encoder.conv_in.weight", .value = INFINITY, .type = ST_BF16});
    check_load("infinity in bfloat16", dir, RC_DATA, "encoder.conv_in.weight");
    params_free(p);
    folder_remove();
}

TEST(fault_063_weights_file) {
    folder_open();
    const char *dir = in_folder("run");
    params_t *p = own_params(&OWN);
    write_run(dir, p, &OWN, NULL);
    char *path = fs_join(dir, WEIGHTS);
    uint8_t *bytes;
    size_t size;
    reason_t why;
    if (fs_read(path, 0, &bytes, &size, &why)) BUG("%s", why.text);
    const size_t cut[] = {0, 7, 8, 100, size - 1};
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        if (fs_write(path, bytes, cut[i], &why)) BUG("%s", why.text);
        check_load("cut", dir, RC_DATA, "");
    }
    bytes[size - 5] ^= 1; /* our files carry a hash */
    if (fs_write(path, bytes, size, &why)) BUG("%s", why.text);
    check_load("a flipped bit", dir, RC_DATA, "xxh3");
    unlink(path);
    check_load("no weights", dir, RC_USAGE, WEIGHTS);
    free(bytes);
    free(path);
    params_free(p);
    folder_remove();
}

TEST(fault_064_weights_of_another_architecture) {
    static const struct {
        const char *what;
        edit_t edit;
        int rc;
        const char *says;
    } use[] = {
        {"missing", {.drop = "decoder.conv_in.bias"}, RC_MISFIT, "decoder.conv_in.bias"},
        {"extra", {.add = "loss.logvar"}, RC_MISFIT, "loss.logvar"},
        {"renamed",
         {.rename = "quant_conv.weight", .to = "quant_conv.kernel"},
         RC_MISFIT,
         "quant_conv.kernel"},
        {"another shape",
         {.reshape = "quantize.embedding.weight"},
         RC_MISFIT,
         "quantize.embedding.weight"},
        {"gumbel",
         {.rename = "quantize.embedding.weight", .to = "quantize.embed.weight"},
         RC_MISFIT,
         "quantize.embed.weight"},
        {"five differences of many", {.drop = "decoder."}, RC_MISFIT, "missing tensor 'decoder."},
        {"integers", {.type = ST_I32}, RC_MISFIT, "I32"},
        {"half", {.type = ST_F16}, RC_OK, ""},
        {"bfloat16", {.type = ST_BF16}, RC_OK, ""},
        {"old names of attention", {.old_names = true}, RC_OK, ""},
    };
    folder_open();
    const char *dir = in_folder("run");
    params_t *p = own_params(&OWN);
    write_run(dir, p, &OWN, NULL);
    for (size_t i = 0; i < sizeof use / sizeof *use; i++) {
        write_edited(dir, p, &use[i].edit);
        check_load(use[i].what, dir, use[i].rc, use[i].says);
    }
    int rc;
    reason_t why = {""};
    write_edited(dir, p, &(edit_t){.drop = "decoder."});
    CHECK(!vqvae_open(dir, &rc, &why), "missing tensors");
    size_t named = 0;
    for (const char *at = why.text; (at = strstr(at, "missing tensor")); at++) named++;
    CHECK(named == 5, "%zu differences named: %s", named, why.text);
    /* what the file says is what is loaded, under the old names too */
    write_edited(dir, p, &(edit_t){.old_names = true});
    vqvae_t *v = vqvae_open(dir, &rc, &why);
    REQUIRE(v, "%s", why.text);
    const char *name = "encoder.mid_block.attentions.0.to_out.0.weight";
    CHECK(!memcmp(params_ptr(vqvae_params(v), PARAMS_VALUE, params_find(vqvae_params(v), name)),
                  params_ptr(p, PARAMS_VALUE, params_find(p, name)), 32 * 32 * sizeof(float)),
          "'%s'", name);
    vqvae_free(v);
    params_free(p);
    folder_remove();
}

TEST(fault_047_tokenizer_json) {
    static const struct {
        const char *text;
        int rc;
        const char *says;
    } bad[] = {
        {"{\"format\":2,\"quantizer\":{\"kind\":\"vq\"},\"preprocess\":{\"size\":null}}", RC_MISFIT,
         "format 2"},
        {"{\"quantizer\":{\"kind\":\"vq\"},\"preprocess\":{}}", RC_DATA, "format"},
        {"{\"format\":1,\"preprocess\":{}}", RC_DATA, "quantizer"},
        {"{\"format\":1,\"quantizer\":{\"kind\":\"vq\"},\"preprocess\":{\"size\":[32]}}", RC_DATA,
         "size"},
        {"{\"format\":1,\"quantizer\":{\"kind\":\"vq\"},\"preprocess\":{\"size\":[32,-1]}}",
         RC_DATA, "size"},
        {"{\"format\":1,", RC_DATA, "tokenizer.json"},
        {"{\"format\":1,\"quantizer\":{\"kind\":\"fsq\"},\"preprocess\":{\"size\":null}}",
         RC_MISFIT, "fsq"},
        {"{\"format\":1,\"quantizer\":{\"kind\":\"vq\"},\"preprocess\":{\"size\":[30,32]}}",
         RC_MISFIT, "30"}, /* no multiple of the stride */
        {"{\"format\":1,\"quantizer\":{\"kind\":\"vq\"},\"preprocess\":{\"size\":null},"
         "\"fingerprint\":"
         "\"00000000000000000000000000000000\"}",
         RC_MISFIT, "00000000000000000000000000000000"},
    };
    folder_open();
    const char *dir = in_folder("run");
    params_t *p = own_params(&OWN);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_run(dir, p, &OWN, bad[i].text);
        check_load(bad[i].text, dir, bad[i].rc, bad[i].says);
    }
    params_free(p);
    folder_remove();
}
