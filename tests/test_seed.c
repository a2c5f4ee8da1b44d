/* test_seed.c - the Q-Former and the SEED tokenizer: what a query may see, bit by bit; codes that
 * are a function of one image; what is refused. The values of the network are held against
 * PyTorch's by cli/seed.sh, Pillow's bytes here (tests/reference/make_seed.py).
 */
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "common/model/seed.h"
#include "common/model/tokenizer.h"
#include "common/model/vqvae.h"
#include "common/nn/qformer.h"
#include "common/tape/plan.h"
#include "tests/child.h"
#include "tests/test.h"

#define REFERENCE "tests/reference/"

__attribute__((constructor)) static void one_thread(void) {
    pool_set_threads(1);
}

static char *folder_new(void) {
    char dir[256];
    child_mkdir(dir);
    return xstrdup(dir);
}
static void folder_free(char *dir) {
    child_rmdir(dir);
    free(dir);
}

/* ---- the Q-Former ---- */

enum { WIDTH = 24, MEMORY = 11, MEMORY_WIDTH = 17, MOST = 3 * 32 * WIDTH };

static void fill(float *x, size_t n, const char *name) {
    rng_t r = rng_make(7, name);
    for (size_t i = 0; i < n; i++) x[i] = rng_normal(r, i);
}

/* y [B,Q,D] of queries [B,Q,D] and memories [B,T,E]. */
static void former(size_t B, size_t Q, bool causal, const float *queries, const float *memory,
                   float *y) {
    params_t *p = params_new(3);
    tape_t *t = tape_new(p);
    nn_t nn;
    nn_begin(&nn, t);
    var_t q = tape_input(t, "queries", F32_3(B, Q, WIDTH)),
          m = tape_input(t, "memory", F32_3(B, MEMORY, MEMORY_WIDTH)), layer[4];
    qformer_opts_t o = {.layers = 4, .heads = 3, .hidden = 40, .causal = causal};
    var_t out = nn_qformer(&nn, q, m, o, layer);
    CHECK(out == layer[3], "the last layer is the output");
    plan_t *plan = plan_new(t, &(plan_opts_t){.keep = &out, .n_keep = 1});
    memcpy(plan_data(plan, q), queries, B * Q * WIDTH * sizeof *queries);
    memcpy(plan_data(plan, m), memory, B * MEMORY * MEMORY_WIDTH * sizeof *memory);
    plan_forward(plan);
    memcpy(y, plan_data(plan, out), B * Q * WIDTH * sizeof *y);
    plan_free(plan);
    tape_free(t);
    params_free(p);
}

TEST(query_20_reaches_none_before_it) {
    static float q[MOST], memory[MEMORY * MEMORY_WIDTH], a[MOST], b[MOST];
    fill(memory, MEMORY * MEMORY_WIDTH, "memory");
    for (size_t Q = 31; Q <= 32; Q++) /* the published network masks only 32 */
        for (int causal = 0; causal < 2; causal++) {
            fill(q, Q * WIDTH, "queries");
            former(1, Q, causal, q, memory, a);
            for (size_t d = 0; d < WIDTH; d++) q[20 * WIDTH + d] += d % 2 ? 0.5f : -0.3f;
            former(1, Q, causal, q, memory, b);
            for (size_t i = 0; i < Q; i++) {
                bool same = !memcmp(a + i * WIDTH, b + i * WIDTH, WIDTH * sizeof *a);
                CHECK(same == (causal && i < 20), "%zu queries, causal %d: query %zu", Q, causal,
                      i);
            }
        }
}

TEST(a_batch_item_is_alone) {
    static float q[MOST], memory[3 * MEMORY * MEMORY_WIDTH], all[MOST], one[MOST];
    size_t each = 32 * WIDTH;
    fill(q, 3 * each, "queries");
    fill(memory, 3 * MEMORY * MEMORY_WIDTH, "memory");
    former(3, 32, true, q, memory, all);
    for (size_t b = 0; b < 3; b++) {
        former(1, 32, true, q + b * each, memory + b * MEMORY * MEMORY_WIDTH, one);
        CHECK(!memcmp(one, all + b * each, each * sizeof *one), "item %zu", b);
    }
    pool_set_threads(3);
    former(3, 32, true, q, memory, one);
    pool_set_threads(1);
    CHECK(!memcmp(one, all, 3 * each * sizeof *one), "3 threads");
}

/* ---- a RUN ---- */

static const seed_config_t TINY = {.image_size = 20,
                                   .patch_size = 5,
                                   .vision_width = 36,
                                   .vision_layers = 2,
                                   .vision_heads = 3,
                                   .vision_mlp = 40,
                                   .width = 24,
                                   .layers = 3,
                                   .heads = 2,
                                   .mlp = 32,
                                   .queries = 6,
                                   .causal = true,
                                   .codes = 50,
                                   .code_width = 4,
                                   .decode_layers = 1,
                                   .decode_mlp = 30,
                                   .head = SEED_HEAD_REVERSE,
                                   .embedding = 9,
                                   .reverse_layers = 2,
                                   .reverse_mlp = 16,
                                   .weights = WEIGHTS_F32};

/* What a test does to the file. */
typedef struct {
    const char *drop, *nan, *cut; /* a tensor's name; cut: its last row */
    bool add, truncate;
    const char *preprocess;
} spoil_t;

static void write_text(const char *dir, const char *name, const char *text) {
    reason_t why;
    char *path = fs_join(dir, name);
    CHECK(!fs_write(path, text, strlen(text), &why), "%s", why.text);
    free(path);
}

static void write_weights(const char *path, const seed_config_t *c, const spoil_t *s) {
    static const float two[2] = {1, 2};
    reason_t why;
    params_t *p = params_new(11);
    seed_declare(p, c, false);
    st_writer_t *w = st_writer_new();
    for (size_t i = 0; i < params_n(p); i++) {
        const param_t *q = params_at(p, (int)i);
        if (s->drop && !strcmp(s->drop, q->name)) continue;
        float *disk = xmalloc(q->count * sizeof *disk);
        params_export(p, PARAMS_VALUE, (int)i, disk);
        if (!strcmp(q->name, "quantize.embedding.weight")) fill(disk, q->count, "codebook");
        /* large enough that images differ in their codes */
        for (size_t k = 0; k < q->count && q->rank != 1; k++) disk[k] *= q->rank == 2 ? 2.5f : 20;
        if (s->nan && !strcmp(s->nan, q->name)) disk[q->count / 2] = NAN;
        uint64_t dim[4];
        for (int d = 0; d < q->rank; d++) dim[d] = q->dim[d];
        if (s->cut && !strcmp(s->cut, q->name)) dim[0]--;
        st_writer_give(w, q->name, ST_F32, q->rank, dim, disk);
    }
    if (s->add) st_writer_add(w, "text_proj.weight", ST_F32, 1, (uint64_t[]){2}, two);
    CHECK(!st_write(w, path, &why), "%s", why.text);
    st_writer_free(w);
    params_free(p);
}

static char *make_run(const seed_config_t *c, const spoil_t *s) {
    char *dir = folder_new(), *path = fs_join(dir, SEED_WEIGHTS_FILE);
    write_weights(path, c, s);
    if (s->truncate) {
        uint8_t *bytes;
        size_t size;
        CHECK(!fs_read(path, 0, &bytes, &size, NULL) && !fs_write(path, bytes, size - 9, NULL));
        free(bytes);
    }
    char *config = seed_config_json(c), *quantizer = seed_quantizer_text(c),
         *preprocess = s->preprocess ? xstrdup(s->preprocess) : seed_preprocess_text(c),
         *text =
             xasprintf("{\"format\":1,\"preprocess\":%s,\"quantizer\":%s}", preprocess, quantizer);
    write_text(dir, "config.json", config);
    write_text(dir, "tokenizer.json", text);
    free(path);
    free(config);
    free(quantizer);
    free(preprocess);
    free(text);
    return dir;
}

static void bytes_of(uint8_t *rgb, size_t n, size_t seed) {
    for (size_t i = 0; i < n; i++)
        rgb[i] = (uint8_t)(i * (seed * 37 + 11) + i / 60 * 7 + seed * 90);
}

TEST(codes_of_an_image_alone) {
    enum { N = 5, PIXELS = 20 * 20 * 3, Q = 6 };
    int rc;
    reason_t why = {""};
    char *dir = make_run(&TINY, &(spoil_t){0});
    tokenizer_t *t = tokenizer_open(dir, &rc, &why);
    REQUIRE(t, "%s", why.text);
    uint8_t rgb[N * PIXELS];
    uint32_t all[N * Q], one[Q];
    double gap[Q];
    for (size_t i = 0; i < N; i++) bytes_of(rgb + i * PIXELS, PIXELS, i);
    CHECK(!tokenizer_can_decode(t));
    CHECK(tokenizer_codes(t) == 50 && tokenizer_width(t) == 4);
    tokenizer_grid_t g = tokenizer_grid(t, 20, 20);
    CHECK(g.h == 1 && g.w == Q, "%zu x %zu", g.h, g.w);
    g = tokenizer_grid(t, 20, 25);
    CHECK(!g.h && !g.w, "another size has no codes");
    tokenizer_encode(t, rgb, N, 20, 20, all);
    size_t different = 0;
    for (int threads = 1; threads <= 3; threads += 2) {
        pool_set_threads(threads);
        for (size_t i = N; i-- > 0;) {
            tokenizer_encode(t, rgb + i * PIXELS, 1, 20, 20, one);
            CHECK(!memcmp(one, all + i * Q, sizeof one), "image %zu, %d threads", i, threads);
            tokenizer_code_gaps(t, rgb + i * PIXELS, 20, 20, one, gap);
            for (size_t k = 0; k < Q; k++) CHECK(gap[k] < 1e-4, "gap %g", gap[k]);
            different += memcmp(one, all, sizeof one) != 0;
        }
    }
    pool_set_threads(1);
    CHECK(different, "all images have the same codes: the test tells nothing");
    one[0] = (one[0] + 1) % 50;
    tokenizer_code_gaps(t, rgb, 20, 20, one, gap);
    CHECK(gap[0] > 0, "another code is further away");
    tokenizer_free(t);
    folder_free(dir);
}

/* An image of one size and the other: whatever comes in, the network sees its own. */
TEST(any_size_comes_in) {
    int rc;
    reason_t why = {""};
    char *dir = make_run(&TINY, &(spoil_t){0});
    tokenizer_t *t = tokenizer_open(dir, &rc, &why);
    REQUIRE(t, "%s", why.text);
    static const size_t sizes[][2] = {{1, 1}, {300, 2}, {20, 20}, {19, 64}};
    for (size_t i = 0; i < 4; i++) {
        image_t im = image_new(sizes[i][0], sizes[i][1]);
        memset(im.rgb, 77, im.w * im.h * 3);
        image_t ready = tokenizer_preprocess(t, &im);
        CHECK(ready.w == 20 && ready.h == 20);
        for (size_t k = 0; k < 1200; k++) CHECK(ready.rgb[k] == 77, "a flat image stays flat");
        image_release(&im);
        image_release(&ready);
    }
    tokenizer_free(t);
    folder_free(dir);
}

TEST(fewer_bits_in_memory) {
    static const kern_weights_t kinds[] = {WEIGHTS_F32, WEIGHTS_BF16, WEIGHTS_Q8};
    size_t bytes[3];
    uint8_t rgb[1200];
    char first[33];
    bytes_of(rgb, sizeof rgb, 2);
    uint32_t exact[6], codes[6];
    double gap[6];
    for (size_t i = 0; i < 3; i++) {
        int rc;
        reason_t why = {""};
        seed_config_t c = TINY;
        c.weights = kinds[i];
        char *dir = make_run(&c, &(spoil_t){0});
        seed_t *s = seed_open(dir, &rc, &why);
        REQUIRE(s, "%s", why.text);
        bytes[i] = seed_bytes(s);
        seed_encode_images(s, rgb, 1, codes);
        if (!i) {
            memcpy(exact, codes, sizeof exact);
            strcpy(first, seed_fingerprint(s));
        } else {
            /* bytes in blocks of 64 are no gain in rows of 24 */
            if (i == 1) CHECK(bytes[1] < bytes[0], "%zu bytes", bytes[1]);
            CHECK(strcmp(first, seed_fingerprint(s)), "other codes, another fingerprint");
            /* what F32 says is nearly nearest here too */
            seed_code_gaps(s, rgb, exact, gap);
            for (size_t k = 0; k < 6; k++) CHECK(gap[k] < 0.1, "kind %zu: gap %g", i, gap[k]);
        }
        seed_free(s);
        folder_free(dir);
    }
}

/* ---- what is refused ---- */

static void refused(const spoil_t *s, int want, const char *words) {
    int rc = -1;
    reason_t why = {""};
    char *dir = make_run(&TINY, s);
    tokenizer_t *t = tokenizer_open(dir, &rc, &why);
    CHECK(!t && rc == want && strstr(why.text, words), "%d, '%s', not %d and '%s'", rc, why.text,
          want, words);
    tokenizer_free(t);
    folder_free(dir);
}

TEST(fault_064_tensors_that_do_not_fit) {
    refused(&(spoil_t){.drop = "visual_encoder.blocks.1.attn.q_bias"}, RC_MISFIT,
            "missing tensor 'visual_encoder.blocks.1.attn.q_bias'");
    refused(&(spoil_t){.drop = "Reverse_Qformer.bert.encoder.layer.1.output_query.dense.bias"},
            RC_MISFIT, "missing tensor 'Reverse_Qformer.bert");
    refused(&(spoil_t){.add = true}, RC_MISFIT, "unknown tensor 'text_proj.weight'");
    refused(&(spoil_t){.cut = "ln_vision.weight"}, RC_MISFIT,
            "another shape of 'ln_vision.weight' (35, not 36)");
    refused(&(spoil_t){.cut = "Qformer.bert.encoder.layer.0.crossattention.self.key.weight"},
            RC_MISFIT, "(23,36, not 24,36)");
}

TEST(fault_061_not_finite_or_damaged) {
    refused(&(spoil_t){.nan = "visual_encoder.blocks.0.mlp.fc1.weight"}, RC_DATA,
            "tensor 'visual_encoder.blocks.0.mlp.fc1.weight' holds a NaN");
    refused(&(spoil_t){.nan = "encode_task_layer.2.bias"}, RC_DATA, "NaN");
    refused(&(spoil_t){.truncate = true}, RC_DATA, SEED_WEIGHTS_FILE);
}

TEST(what_tokenizer_json_may_say) {
    refused(&(spoil_t){.preprocess = "{\"filter\":\"bicubic\",\"mean\":[0,0,0],\"size\":[24,20],"
                                     "\"std\":[1,1,1]}"},
            RC_MISFIT, "preprocess.size");
    refused(&(spoil_t){.preprocess = "{\"filter\":\"bilinear\",\"mean\":[0,0,0],\"size\":[20,20],"
                                     "\"std\":[1,1,1]}"},
            RC_DATA, "bicubic");
    refused(&(spoil_t){.preprocess = "{\"filter\":\"bicubic\",\"mean\":[0,0,0],\"size\":[20,20],"
                                     "\"std\":[1,0,1]}"},
            RC_DATA, "std");
}

TEST(config_json_says_everything) {
    reason_t why;
    seed_config_t back;
    char *text = seed_config_json(&TINY);
    REQUIRE(seed_config_parse(&back, text, strlen(text), &why) == RC_OK, "%s", why.text);
    char *again = seed_config_json(&back);
    CHECK(!strcmp(text, again), "%s", again);
    static const struct {
        const char *from, *to, *words;
    } bad[] = {{"\"causal\":true,", "", "'causal' is missing"},
               {"\"heads\":2", "\"heads\":5", "no multiple of 'heads'"},
               {"\"head\":\"reverse\"", "\"head\":\"sideways\"", "'head' is 'sideways'"},
               {"\"layers\":3", "\"layers\":300", "1 to 255"},
               {"\"mlp\":32,", "", "'mlp' is missing"},
               {"\"mlp\":32", "\"mlp\":3.2", "no whole number"},
               {"\"mlp\":32", "\"mlp\":32,\"down_0\":8", "means nothing"},
               {"\"mlp\":32", "\"mlp\":32,\"mpl\":8", "unknown key 'mpl'"},
               {"\"weights\":\"f32\"", "\"weights\":\"q3\"", "'weights' is 'q3'"},
               {"\"patch_size\":5", "\"patch_size\":7", "no multiple of 'patch_size'"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *at = strstr(text, bad[i].from);
        REQUIRE(at, "'%s' is not in %s", bad[i].from, text);
        char *other =
            xasprintf("%.*s%s%s", (int)(at - text), text, bad[i].to, at + strlen(bad[i].from));
        why.text[0] = 0;
        CHECK(seed_config_parse(&back, other, strlen(other), &why) == RC_MISFIT &&
                  strstr(why.text, bad[i].words),
              "%s: '%s'", bad[i].to, why.text);
        free(other);
    }
    free(text);
    free(again);
}

TEST(a_seed_is_no_vqvae) {
    int rc;
    reason_t why = {""};
    char *dir = make_run(&TINY, &(spoil_t){0});
    CHECK(!vqvae_open(dir, &rc, &why) && rc == RC_MISFIT && strstr(why.text, "SEED"), "%s",
          why.text);
    char *to = fs_join(dir, "copy");
    CHECK(!tokenizer_copy(dir, to, &why), "%s", why.text);
    tokenizer_t *t = tokenizer_open(to, &rc, &why);
    CHECK(t, "%s", why.text);
    tokenizer_free(t);
    free(to);
    folder_free(dir);
}

/* A folder without tokenizer.json takes the place of a SEED: neither's tokenizer.json stays. */
TEST(a_copy_holds_one_tokenizer_alone) {
    reason_t why = {""};
    char *seed = make_run(&TINY, &(spoil_t){0}), *bare = folder_new(), *to = fs_join(seed, "copy"),
         *files[] = {fs_join(bare, "config.json"),
                     fs_join(bare, "diffusion_pytorch_model.safetensors"),
                     fs_join(to, "tokenizer.json"), fs_join(to, SEED_WEIGHTS_FILE),
                     fs_join(to, "config.json")};
    for (size_t i = 0; i < 2; i++) REQUIRE(!fs_write(files[i], "{}", 2, &why), "%s", why.text);
    REQUIRE(!tokenizer_copy(seed, to, &why) && fs_exists(files[2]), "%s", why.text);
    CHECK(!tokenizer_copy(bare, to, &why), "%s", why.text);
    CHECK(!fs_exists(files[2]) && !fs_exists(files[3]) && fs_exists(files[4]));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) free(files[i]);
    free(to);
    folder_free(bare);
    folder_free(seed);
}

/* ---- Pillow's filter ---- */

TEST(bicubic_as_pillow) {
    static const size_t sizes[][2] = {{5, 9}, {48, 3}, {101, 32}, {1, 1}, {7, 64}};
    st_file_t f;
    image_t im;
    reason_t why;
    REQUIRE(!st_open(&f, REFERENCE "seed_reverse.safetensors", &why), "%s", why.text);
    REQUIRE(!image_read(&im, REFERENCE "image3_32x48.png", NULL, &why), "%s", why.text);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char name[40];
        snprintf(name, sizeof name, "bicubic_%zux%zu", sizes[i][0], sizes[i][1]);
        const st_tensor_t *t = st_find(&f, name);
        REQUIRE(t && t->bytes == sizes[i][0] * sizes[i][1] * 3, "%s", name);
        image_t out = image_resize_bicubic(&im, sizes[i][0], sizes[i][1]);
        CHECK(!memcmp(out.rgb, t->data, t->bytes), "%s", name);
        image_release(&out);
    }
    image_release(&im);
    st_close(&f);
}
