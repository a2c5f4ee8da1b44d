/* test_gato_run.c - a policy's folder: round trip, and what is refused. */
#include "tests/folder.h"
#include "tests/gato_case.h"
#include "tests/test.h"

#include "common/io/fs.h"
#include "common/io/safetensors/safetensors.h"
#include "common/io/text/json.h"
#include "gato/run/run.h"
#include "gato/task/scaling.h"

#include <unistd.h>

static void write_run(gato_model_t *m) {
    reason_t why;
    if (run_save(m, PARAMS_VALUE, folder, &why)) BUG("%s", why.text);
}

static void no_numbers(void *ctx, size_t i, scaling_sink_t *sink) {
    (void)ctx, (void)i, (void)sink;
}

/* What training finds out: statistics of every kind. */
static void know(task_t *t) {
    for (uint32_t k = 0; k < t->n_slots; k++) {
        slot_t *slot = &t->slot[k];
        if (slot->kind == SLOT_TEXT) slot->text_len = 9;
        if (slot->kind != SLOT_VECTOR) continue;
        if (slot->side == SIDE_ACTED) {
            scaling_choose(slot, 0, no_numbers, NULL);
            slot->scale_low[0] = -2.5f;
        } else {
            slot->mean = floats_of(slot->width, 0.1f);
            slot->deviation = floats_of(slot->width, 3);
        }
    }
    t->expert_return = -4.74;
    t->env = xstrdup("{\"name\":\"reacher\"}");
}

/* second: with another task, and first values in place of the case's. */
static gato_model_t *case_run_of(const char *name, bool second) {
    gato_case_t c;
    case_load(&c, name);
    c.vocabulary.fingerprint = (char *)"0123456789abcdef0123456789abcdef";
    c.vocabulary.text_tokenizer = (char *)"byte";
    know(&c.tasks.v[0]);
    task_t other = task_new("grid world/2", RECORD_EPISODE); /* a second body, its name escaped */
    task_add(&other, SLOT_VECTOR, SIDE_OBSERVED, "state", 3);
    task_add(&other, SLOT_VECTOR, SIDE_ACTED, "", 1);
    know(&other);
    if (second)
        tasks_add(&c.tasks, other);
    else
        task_release(&other);
    gato_model_t *m =
        second ? gato_model_new(&c.config, &c.vocabulary, &c.tasks, 1) : case_model(&c);
    write_run(m);
    case_close(&c);
    return m;
}

static gato_model_t *case_run(const char *name) {
    return case_run_of(name, false);
}

TEST(round_trip) {
    folder_open();
    gato_model_t *m = case_run_of("vector_linear", true);
    int rc;
    reason_t why = {""};
    gato_model_t *back = run_load(folder, &rc, &why);
    REQUIRE(back, "%s", why.text);
    char *a = run_json(m), *b = run_json(back);
    CHECK_STR(a, b);
    CHECK(params_n(m->params) == params_n(back->params));
    for (size_t i = 0; i < params_n(m->params); i++) {
        const param_t *p = params_at(m->params, (int)i);
        int at = params_find(back->params, p->name);
        CHECK(at >= 0 &&
                  !memcmp(params_ptr(m->params, PARAMS_VALUE, (int)i),
                          params_ptr(back->params, PARAMS_VALUE, at), p->count * sizeof(float)),
              "%s", p->name);
    }
    CHECK(
        back->vocabulary.codebook &&
        !memcmp(back->vocabulary.codebook,
                params_ptr(m->params, PARAMS_VALUE, params_find(m->params, "image_codes.codebook")),
                32 * 4 * sizeof(float)));
    REQUIRE(back->tasks.n == 2);
    const task_t *t = &back->tasks.v[0];
    const slot_t *action = &t->slot[task_first(t, SIDE_ACTED, SLOT_VECTOR)];
    CHECK(action->scale_low[0] == -2.5f && action->scaling[0] == SCALING_QUANTILES);
    CHECK(t->expert_return == -4.74 && isnan(t->random_return));
    CHECK_STR(back->tasks.v[1].name, "grid world/2");
    free(a);
    free(b);
    gato_model_free(back);
    gato_model_free(m);
    folder_remove();
}

/* NEKO's names and shapes, in PyTorch's layout, as a reader of safetensors sees them. */
TEST(tensors_bear_the_names_of_neko) {
    folder_open();
    gato_model_t *m = case_run("patches");
    st_file_t f;
    reason_t why;
    REQUIRE(!st_open(&f, in_folder(GATO_WEIGHTS_FILE), &why), "%s", why.text);
    static const struct {
        const char *name;
        int rank;
        uint64_t dim[4];
    } want[] = {{"separator_token", 1, {12}},
                {"embed_token.weight", 2, {1313, 12}},
                {"predict_token.weight", 2, {1313, 12}},
                {"pos_embed_observation.weight", 2, {64, 12}},
                {"transformer.h.1.attn.c_attn.weight", 2, {12, 36}},
                {"transformer.h.0.mlp.c_fc.weight", 2, {12, 48}},
                {"transformer.h.0.mlp.c_proj.bias", 1, {12}},
                {"transformer.ln_f.bias", 1, {12}},
                {"image_embedding.patch_embedding.conv1.weight", 4, {64, 3, 3, 3}},
                {"image_embedding.patch_embedding.gn2.weight", 1, {64}},
                {"image_embedding.post_embedding_projection.weight", 2, {12, 768}},
                {"image_embedding.patch_pos_encoding.height_pos_embedding.weight", 2, {128, 12}}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const st_tensor_t *t = st_find(&f, want[i].name);
        CHECK(t && t->rank == want[i].rank && t->type == ST_F32, "%s", want[i].name);
        for (int d = 0; t && d < want[i].rank; d++)
            CHECK(t->dim[d] == want[i].dim[d], "%s", want[i].name);
    }
    CHECK(f.n == 12 * 2 + 16, "%zu tensors", f.n); /* 12 a layer and 16: NEKO's count */
    /* The projection left as it came: channels first. */
    gato_case_t c;
    case_load(&c, "patches");
    const st_tensor_t *t = st_find(&f, "image_embedding.post_embedding_projection.weight"),
                      *source =
                          case_tensor(&c, "w.image_embedding.post_embedding_projection.weight");
    float *a = xmalloc(t->count * sizeof *a), *b = xmalloc(t->count * sizeof *b);
    CHECK(!st_read_f32(t, a, NULL) && !st_read_f32(source, b, NULL) &&
          !memcmp(a, b, t->count * sizeof *a));
    free(a);
    free(b);
    case_close(&c);
    st_close(&f);
    gato_model_free(m);
    folder_remove();
}

static void check_load(int code, const char *says) {
    int rc = -1;
    reason_t why = {""};
    gato_model_t *m = run_load(folder, &rc, &why);
    CHECK(!m && rc == code, "exit %d instead of %d: %s", rc, code, why.text);
    CHECK(strstr(why.text, says) != NULL, "no '%s' in: %s", says, why.text);
    gato_model_free(m);
}

/* Replaces `from` in config.json. */
static void edit_config(const char *from, const char *to) {
    uint8_t *text;
    size_t size;
    reason_t why;
    const char *path = in_folder(GATO_CONFIG_FILE);
    if (fs_read(path, 0, &text, &size, &why)) BUG("%s", why.text);
    char *at = strstr((char *)text, from);
    if (!at) BUG("no %s in config.json", from);
    char *edited =
        xasprintf("%.*s%s%s", (int)(at - (char *)text), (char *)text, to, at + strlen(from));
    if (fs_write(path, edited, strlen(edited), &why)) BUG("%s", why.text);
    free(edited);
    free(text);
}

TEST(fault_missing_run) {
    int rc;
    reason_t why;
    CHECK(!run_load("/nonexistent/run", &rc, &why) && rc == RC_USAGE);
    folder_open();
    check_load(RC_USAGE, "config.json");
    gato_model_t *m = case_run("codes");
    unlink(in_folder(GATO_WEIGHTS_FILE));
    check_load(RC_USAGE, "model.safetensors");
    gato_model_free(m);
    folder_remove();
}

/* Saving refuses such weights, so the file is written again by hand with one value spoiled. */
static void spoil_weight(const char *name) {
    reason_t why;
    st_file_t f;
    if (st_open(&f, in_folder(GATO_WEIGHTS_FILE), &why)) BUG("%s", why.text);
    st_writer_t *w = st_writer_new();
    for (size_t i = 0; i < f.n; i++) {
        st_tensor_t *t = &f.tensor[i];
        float *copy = xmalloc(t->bytes);
        memcpy(copy, t->data, t->bytes);
        if (!strcmp(t->name, name)) copy[3] = NAN;
        st_writer_give(w, t->name, t->type, t->rank, t->dim, copy);
    }
    if (st_write(w, in_folder(GATO_WEIGHTS_FILE), &why)) BUG("%s", why.text);
    st_writer_free(w);
    st_close(&f);
}

TEST(fault_061_weights_with_nan) {
    folder_open();
    gato_model_t *m = case_run("codes");
    spoil_weight("transformer.ln_f.weight");
    check_load(RC_DATA, "transformer.ln_f.weight");
    gato_model_free(m);
    folder_remove();
}

TEST(fault_truncated_and_flipped_files) {
    folder_open();
    gato_model_t *m = case_run("codes");
    if (truncate(in_folder(GATO_WEIGHTS_FILE), 5000)) BUG("truncate");
    check_load(RC_DATA, "model.safetensors");
    write_run(m);
    FILE *f = fopen(in_folder(GATO_WEIGHTS_FILE), "r+b");
    fseek(f, -100, SEEK_END);
    int byte = fgetc(f);
    fseek(f, -100, SEEK_END);
    fputc(byte ^ 1, f);
    fclose(f);
    check_load(RC_DATA, "model.safetensors");
    write_run(m);
    if (truncate(in_folder(GATO_CONFIG_FILE), 40)) BUG("truncate");
    check_load(RC_DATA, "config.json");
    gato_model_free(m);
    folder_remove();
}

TEST(fault_064_configuration_of_another_network) {
    folder_open();
    gato_model_t *m = case_run("codes");
    edit_config("\"layers\": 2", "\"layers\": 3");
    check_load(RC_MISFIT, "too few for 3 layers");
    write_run(m);
    edit_config("\"merge\": 2", "\"merge\": 1");
    check_load(RC_MISFIT, "image_codes.proj.weight");
    write_run(m);
    edit_config("\"width\": 12", "\"width\": 60000");
    check_load(RC_MISFIT, "separator_token");
    write_run(m);
    edit_config("\"version\": 2", "\"version\": 3");
    check_load(RC_MISFIT, "version 3");
    write_run(m);
    edit_config("\"version\": 2", "\"version\": 1");
    check_load(RC_MISFIT, "train the policy again");
    write_run(m);
    edit_config("\"gato\"", "\"vq\"");
    check_load(RC_MISFIT, "vq");
    gato_model_free(m);
    folder_remove();
}

TEST(fault_an_action_without_scaling) {
    folder_open();
    gato_model_t *m = case_run("codes");
    edit_config("\"scaling\"", "\"scalinh\"");
    check_load(RC_DATA, "scal");
    write_run(m);
    edit_config("\"vocabulary\"", "\"facts\"");
    check_load(RC_DATA, "vocabulary");
    gato_model_free(m);
    folder_remove();
}

TEST(fault_the_folder_of_a_tokenizer) {
    folder_open();
    reason_t why;
    static const char text[] = "{\"_class_name\": \"VQModel\"}";
    if (fs_write(in_folder(GATO_CONFIG_FILE), text, strlen(text), &why)) BUG("%s", why.text);
    check_load(RC_MISFIT, "tokenizer");
    folder_remove();
}

TEST(vocabularies_that_do_not_fit) {
    gato_case_t c;
    case_load(&c, "codes");
    vocabulary_t a = c.vocabulary, b = c.vocabulary;
    reason_t why;
    CHECK(!vocabulary_fit(&a, &b, true, &why));
    b.codes = 64;
    CHECK(vocabulary_fit(&a, &b, true, &why) && strstr(why.text, "32 and 64"), "%s", why.text);
    CHECK(!vocabulary_fit(&a, &b, false, &why), "a model of patches does not look at codes");
    b = a;
    a.fingerprint = (char *)"aa", b.fingerprint = (char *)"bb";
    CHECK(vocabulary_fit(&a, &b, true, &why) && strstr(why.text, "aa and bb"), "%s", why.text);
    b.fingerprint = NULL;
    CHECK(!vocabulary_fit(&a, &b, true, &why));
    b.codes = 0; /* text alone fits everything */
    CHECK(!vocabulary_fit(&a, &b, true, &why), "%s", why.text);
    CHECK(vocabulary_fit(&b, &a, true, &why) && strstr(why.text, "0 and 32"), "%s", why.text);
    b.text = 300;
    CHECK(vocabulary_fit(&a, &b, true, &why) && strstr(why.text, "257 and 300"), "%s", why.text);
    a.text = 0;
    CHECK(vocabulary_fit(&a, &b, true, &why) && strstr(why.text, "0 and 300"), "%s", why.text);
    CHECK(!vocabulary_fit(&b, &a, false, &why), "data without text fit a model with text");
    case_close(&c);
}

TEST(vocabularies_are_merged) {
    vocabulary_t none = {.mu = 100, .M = 256}, v = vocabulary_copy(&none);
    vocabulary_t book = {.codes = 2,
                         .code_dim = 1,
                         .codebook = (float[]){1, 2},
                         .fingerprint = (char *)"aa",
                         .mu = 100,
                         .M = 256};
    vocabulary_t text = {.text = 257, .text_tokenizer = (char *)"byte", .mu = 100, .M = 256};
    reason_t why;
    CHECK(!vocabulary_merge(&v, &book, true, &why) && !vocabulary_merge(&v, &text, true, &why));
    CHECK(v.codes == 2 && v.codebook[1] == 2 && v.text == 257);
    CHECK_STR(v.fingerprint, "aa");
    CHECK_STR(v.text_tokenizer, "byte");
    book.codebook = (float[]){1, 3};
    CHECK(vocabulary_merge(&v, &book, true, &why) && strstr(why.text, "codebook"), "%s", why.text);
    text.mu = 50;
    CHECK(vocabulary_merge(&v, &text, true, &why) && strstr(why.text, "mu 100"), "%s", why.text);
    vocabulary_release(&v);
}
