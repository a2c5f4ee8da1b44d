/* test_gato_embed.c - embeddings: first values that follow the data, and NEKO's own image
 * embedding. */
#include "tests/gato_case.h"
#include "tests/golden.h"
#include "tests/test.h"

/* The start of vector_in = linear: W (x - mean) / deviation + b of the same seed without known
 * moments. */
TEST(vectors_start_standardized) {
    gato_config_t c;
    config_defaults(gato_config_table, &c);
    config_set(gato_config_table, &c, "model.vector_in=linear");
    config_set(gato_config_table, &c, "model.width=16");
    float mean[3] = {2, -7, 0.5f}, deviation[3] = {0.1f, 30, 1}, x[3] = {2.05f, 11, -0.25f};
    vocabulary_t v = {.text = 3, .mu = 100, .M = 256};
    tasks_t tasks = {0};
    tasks_add(&tasks, task_new("body", RECORD_EPISODE));
    slot_t *slot = task_add(&tasks.v[0], SLOT_VECTOR, SIDE_OBSERVED, "arm/state", 3);
    gato_model_t *plain = gato_model_new(&c, &v, &tasks, 9);
    slot->mean = floats_of(3, 0);
    slot->deviation = floats_of(3, 0);
    memcpy(slot->mean, mean, sizeof mean);
    memcpy(slot->deviation, deviation, sizeof deviation);
    gato_model_t *m = gato_model_new(&c, &v, &tasks, 9);
    tasks_release(&tasks);
    const float *w[2], *b[2];
    gato_model_t *both[2] = {plain, m};
    for (int i = 0; i < 2; i++) {
        params_t *p = both[i]->params;
        w[i] =
            params_ptr(p, PARAMS_VALUE, params_find(p, "vector_embedding.body.arm%2Fstate.weight"));
        b[i] =
            params_ptr(p, PARAMS_VALUE, params_find(p, "vector_embedding.body.arm%2Fstate.bias"));
    }
    for (size_t i = 0; i < 16; i++) {
        double want = (double)b[0][i], got = (double)b[1][i];
        for (size_t j = 0; j < 3; j++) {
            want +=
                (double)w[0][i * 3 + j] * ((double)x[j] - (double)mean[j]) / (double)deviation[j];
            got += (double)w[1][i * 3 + j] * (double)x[j];
        }
        CHECK_NEAR(got, want, 1e-5);
    }
    gato_model_free(plain);
    gato_model_free(m);
}

/* ---- NEKO's own image embedding, where it lies beside the project ---- */

TEST(neko_patches_agree) {
    st_file_t f;
    char *path = golden_path("neko/image_embedding_small_pos.safetensors");
    if (!path) return;
    REQUIRE(!st_open(&f, path, NULL));
    free(path);
    gato_config_t c;
    config_defaults(gato_config_table, &c);
    static const char *const set[] = {"model.image_in=patches", "model.width=32",
                                      "model.patch_mid=32", "model.patch_groups=8",
                                      "model.inner_pos=false"};
    for (size_t i = 0; i < 5; i++) config_set(gato_config_table, &c, set[i]);
    static const char *const sizes[] = {"80x80", "77x77", "64x96"};
    for (size_t k = 0; k < 3; k++) {
        char name[64];
        snprintf(name, sizeof name, "%s.u8", sizes[k]);
        const st_tensor_t *u8 = st_find(&f, name);
        size_t h = (size_t)u8->dim[1], w = (size_t)u8->dim[2];
        vocabulary_t v = {.text = 2, .mu = 100, .M = 256};
        tasks_t tasks = {0};
        tasks_add(&tasks, task_new("body", RECORD_EPISODE));
        task_add(&tasks.v[0], SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
        gato_model_t *m = gato_model_new(&c, &v, &tasks, 1);
        tasks_release(&tasks);
        size_t loaded = 0;
        for (size_t i = 0; i < params_n(m->params); i++) {
            const param_t *p = params_at(m->params, (int)i);
            if (strncmp(p->name, "image_embedding.", 16)) continue;
            snprintf(name, sizeof name, "w.%s", p->name + 16);
            const st_tensor_t *t = st_find(&f, name);
            REQUIRE(t && t->count == p->count, "%s", name);
            float *weight = xmalloc(p->count * sizeof *weight);
            st_read_f32(t, weight, NULL);
            params_import(m->params, PARAMS_VALUE, (int)i, weight);
            free(weight);
            loaded++;
        }
        CHECK(loaded == 10, "%zu", loaded);
        uint8_t *rgb = xmalloc(h * w * 3);
        for (size_t i = 0; i < h * w; i++)
            for (size_t ch = 0; ch < 3; ch++) rgb[i * 3 + ch] = u8->data[ch * h * w + i];
        batch_t b;
        batch_init(&b, m);
        timestep_t s = {.slot[0] = {.rgb = rgb, .image_h = h, .image_w = w}};
        batch_begin(&b, 0);
        batch_observation(&b, &s, 0, 0, NULL);
        batch_end(&b);
        gato_graphs_t *g = gato_graphs_new(m, (graph_opts_t){.all_logits = true, .exact = true});
        case_step(g, &b);
        const gato_graph_t *at = gato_graphs_last(g);
        const float *ours = plan_data(at->plan, at->embeddings);
        snprintf(name, sizeof name, "%s.out", sizes[k]);
        const st_tensor_t *out = st_find(&f, name);
        REQUIRE(out && out->count == b.pool[gato_model_pool(m, 0, 0)].n * 32);
        float *want = xmalloc(out->count * sizeof *want);
        st_read_f32(out, want, NULL);
        double d = 0;
        for (size_t i = 0; i < out->count; i++)
            d = fmax(d, fabs((double)want[i] - (double)ours[i]));
        CHECK(d < 1e-5, "%s: %g", sizes[k], d);
        free(want);
        free(rgb);
        gato_graphs_free(g);
        batch_release(&b);
        gato_model_free(m);
    }
    st_close(&f);
}
