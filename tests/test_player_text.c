/* test_player_text.c - texts that a policy writes: each id against the logits of the same network
 * run whole over the finished text, alone and in company; the sampler against shares counted by
 * hand.
 */
#include "tests/player_case.h"

enum { SIDE = 8, IDS = 12 };

typedef struct {
    const char *name, *set[3];
    bool image;
} writer_t;
static const writer_t writers[] = {
    {"patches", {"model.image_in=patches", "model.patch=4", "model.patch_groups=3"}, true},
    {"no inner positions",
     {"model.inner_pos=false", "model.image_in=patches", "model.patch=4"},
     true},
    {"text alone", {"model.bins=16"}, false},
};
enum { WRITERS = sizeof writers / sizeof *writers };

/* A random policy in the folder "run" that writes the texts of a task, in bytes. */
static gato_model_t *make_writer(const writer_t *w) {
    gato_config_t c;
    reason_t why;
    static const char *const base[] = {"model.width=16",    "model.heads=2",
                                       "model.layers=2",    "model.context=64",
                                       "model.patch_mid=6", "model.patch_groups=3"};
    config_defaults(gato_config_table, &c);
    for (size_t i = 0; i < sizeof base / sizeof *base; i++)
        config_set(gato_config_table, &c, base[i]);
    for (size_t i = 0; i < 3 && w->set[i]; i++) config_set(gato_config_table, &c, w->set[i]);
    if (gato_config_check(&c, &why) || fs_mkdirs(in_folder("run"), &why)) BUG("%s", why.text);
    char byte[] = "byte";
    vocabulary_t v = {.text = 257, .text_tokenizer = byte, .mu = 100, .M = 256};
    tasks_t tasks = {0};
    task_t t = task_new("words", RECORD_TEXT);
    if (w->image) add_image(&t, "image", SIDE, SIDE);
    task_add(&t, SLOT_TEXT, SIDE_OBSERVED, "text", 1);
    tasks_add(&tasks, t);
    gato_model_t *m = gato_model_new(&c, &v, &tasks, 5);
    tasks_release(&tasks);
    shake(m);
    save(m);
    return m;
}

static void draw_image(uint8_t rgb[SIDE * SIDE * 3], uint64_t seed) {
    for (size_t i = 0; i < SIDE * SIDE * 3; i++)
        rgb[i] = (uint8_t)rng_u64(rng_make(seed, "image"), i);
}

/* The whole text through the network at once: were these ids chosen? */
static void check_written(gato_model_t *m, const writer_t *w, const sampler_t *how,
                          const player_text_t *text) {
    uint32_t all[200], k = w->image;
    size_t given = strlen(text->given), n = 0;
    reason_t why;
    for (size_t i = 0; i < given; i++) all[n++] = (uint8_t)text->given[i];
    if (given && w->image) all[n++] = ' ';
    given = n;
    for (size_t i = 0; i < text->written.n; i++) all[n++] = text->written.id[i];
    if (text->ended) all[n++] = 256;
    timestep_t s = {.task = 0};
    if (text->rgb) s.slot[0] = (slot_value_t){.rgb = text->rgb, .image_h = SIDE, .image_w = SIDE};
    s.slot[k] = (slot_value_t){.text = all, .text_len = n, .text_given = given};
    batch_t b;
    batch_init(&b, m);
    batch_begin(&b, 0);
    if (batch_observation(&b, &s, 0, 0, &why)) BUG("%s", why.text);
    batch_end(&b);
    gato_metrics_t f;
    gato_metrics_init(&f, m);
    gato_graphs_t *g = gato_graphs_new(m, (graph_opts_t){.all_logits = true, .exact = true});
    gato_step(g, &b, 0, 0, 0, false, &f);
    const gato_graph_t *at = gato_graphs_last(g);
    const float *logits = plan_data(at->plan, at->logits);
    size_t first = batch_positions(&b) - 1 - n; /* of the text; the separator is behind it */
    for (size_t i = given; i < n; i++) {
        const float *row = logits + (first + i - 1) * tokens_total(&m->tokens);
        uint32_t want = sampler_choose(how, row, 257, rng_uniform64(text->draw, i - given));
        CHECK(all[i] == want, "%s: id %zu is %u, not %u", w->name, i - given, all[i], want);
    }
    gato_graphs_free(g);
    gato_metrics_release(&f);
    batch_release(&b);
}

TEST(every_id_is_the_whole_networks_choice) {
    static const sampler_t hows[] = {{0, 0, 1}, {0.7, 0, 1}, {1.5, 20, 0.9}};
    static const char *const given[] = {"", "what?", "a"};
    for (size_t kind = 0; kind < WRITERS; kind++) {
        int rc;
        reason_t why;
        uint8_t rgb[3][SIDE * SIDE * 3];
        gato_model_t *m = make_writer(&writers[kind]);
        player_t *p = player_open(in_folder("run"), &(player_opts_t){.decode = -1}, &rc, &why);
        REQUIRE(p && !player_lanes(p, 3, &why), "%s", why.text);
        int task = player_writes(p, "words", &why);
        for (size_t h = 0; h < sizeof hows / sizeof *hows; h++) {
            player_text_t text[3], alone;
            for (size_t i = 0; i < 3; i++) {
                draw_image(rgb[i], i);
                text[i] = (player_text_t){.rgb = writers[kind].image ? rgb[i] : NULL,
                                          .image_w = SIDE,
                                          .image_h = SIDE,
                                          .given = writers[kind].image ? given[i] : given[2],
                                          .draw = rng_make(i, "draw")};
            }
            player_write(p, (uint32_t)task, &hows[h], IDS, text, 3);
            for (size_t i = 0; i < 3; i++) REQUIRE(!text[i].rc, "%s", text[i].why.text);
            alone = text[1];
            player_write(p, (uint32_t)task, &hows[h], IDS, &alone, 1);
            REQUIRE(!alone.rc, "%s", alone.why.text);
            CHECK(alone.written.n == text[1].written.n && alone.ended == text[1].ended &&
                  !memcmp(alone.written.id, text[1].written.id, 4 * alone.written.n));
            for (size_t i = 0; i < 3; i++) {
                CHECK(text[i].ended || text[i].written.n == IDS);
                check_written(m, &writers[kind], &hows[h], &text[i]);
                text_ids_release(&text[i].written);
            }
            text_ids_release(&alone.written);
        }
        player_close(p);
        gato_model_free(m);
    }
}

/* A text that never ends stops where the end and the separator still have a place. */
TEST(a_text_fits_the_context) {
    int rc;
    reason_t why;
    const writer_t *w = &writers[2];
    gato_model_t *m = make_writer(w);
    int at = params_find(m->params, "predict_token.weight");
    float *row = params_ptr(m->params, PARAMS_VALUE, at) + 256 * 16;
    for (size_t d = 0; d < 16; d++) row[d] = 0;
    save(m);
    player_t *p = player_open(in_folder("run"), &(player_opts_t){.decode = -1}, &rc, &why);
    REQUIRE(p && !player_lanes(p, 1, &why), "%s", why.text);
    player_text_t text = {.given = "abc"};
    sampler_t likeliest = {0, 0, 1};
    player_write(p, 0, &likeliest, 1000, &text, 1);
    REQUIRE(!text.rc, "%s", text.why.text);
    CHECK(!text.ended && text.written.n == 64 - 3 - 2, "%zu ids", text.written.n);
    text_ids_release(&text.written);

    char longer[70];
    memset(longer, 'x', sizeof longer);
    longer[63] = 0;
    text.given = longer;
    player_write(p, 0, &likeliest, 9, &text, 1);
    CHECK(text.rc == RC_USAGE && strstr(text.why.text, "63 tokens"));
    text.given = "";
    player_write(p, 0, &likeliest, 9, &text, 1);
    CHECK(text.rc == RC_USAGE);
    uint8_t rgb[SIDE * SIDE * 3] = {0};
    text = (player_text_t){.given = "a", .rgb = rgb, .image_w = SIDE, .image_h = SIDE};
    player_write(p, 0, &likeliest, 9, &text, 1);
    CHECK(text.rc == RC_MISFIT);
    CHECK(player_writes(p, "other", &why) < 0 && strstr(why.text, "'words'"));
    player_close(p);
    gato_model_free(m);
}

/* What is cut amid a character ends before it; what chose its end stays as it is. */
TEST(a_cut_text_ends_with_a_character) {
    static const struct {
        const char *bytes, *cut;
    } cases[] = {{"ab", "ab"},
                 {"a\xc3", "a"},
                 {"a\xc3\xa9", "a\xc3\xa9"},
                 {"\xe2\x82", ""},
                 {"\xe2\x82\xac", "\xe2\x82\xac"},
                 {"x\xf0\x9f\x98", "x"},
                 {"x\xf0\x9f\x98\x80", "x\xf0\x9f\x98\x80"},
                 {"\x80\x80", "\x80\x80"},
                 {"", ""}};
    int rc;
    reason_t why;
    gato_model_t *m = make_writer(&writers[2]);
    player_t *p = player_open(in_folder("run"), &(player_opts_t){.decode = -1}, &rc, &why);
    REQUIRE(p != NULL, "%s", why.text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int ended = 0; ended < 2; ended++) {
            player_text_t text = {.ended = ended};
            for (const char *b = cases[i].bytes; *b; b++) text_ids_add(&text.written, (uint8_t)*b);
            size_t size;
            char *written = player_text(p, &text, &size);
            const char *want = ended ? cases[i].bytes : cases[i].cut;
            CHECK(size == strlen(want) && !strcmp(written, want), "case %zu, %zu bytes", i, size);
            free(written);
            text_ids_release(&text.written);
        }
    player_close(p);
    gato_model_free(m);
}

/* In company of texts that do not fit: theirs is the reason, the others are written. */
TEST(an_image_that_does_not_fit_is_alone) {
    int rc;
    reason_t why;
    uint8_t rgb[4 * SIDE * SIDE * 3] = {0};
    gato_model_t *m = make_writer(&writers[0]);
    player_t *p = player_open(in_folder("run"), &(player_opts_t){.decode = -1}, &rc, &why);
    REQUIRE(p && !player_lanes(p, 3, &why), "%s", why.text);
    player_text_t text[3];
    for (size_t i = 0; i < 3; i++)
        text[i] = (player_text_t){
            .rgb = rgb, .image_w = i ? SIDE : 2 * SIDE, .image_h = SIDE, .given = ""};
    sampler_t likeliest = {0, 0, 1};
    player_write(p, 0, &likeliest, IDS, text, 3);
    CHECK(text[0].rc == RC_MISFIT && strstr(text[0].why.text, "16 pixels"), "%s", text[0].why.text);
    CHECK(!text[0].written.n && !text[1].rc && !text[2].rc);
    check_written(m, &writers[0], &likeliest, &text[1]);
    check_written(m, &writers[0], &likeliest, &text[2]);
    for (size_t i = 0; i < 3; i++) text_ids_release(&text[i].written);
    player_close(p);
    gato_model_free(m);
}

/* Probabilities 0.5, 0.25, 0.125, 0.125 at temperature 1. */
TEST(sampler) {
    const float logits[4] = {logf(0.125f), logf(0.5f), logf(0.125f), logf(0.25f)};
    static const struct {
        sampler_t how;
        double share[4];
    } cases[] = {
        {{0, 0, 1}, {0, 1, 0, 0}},
        {{1, 0, 1}, {0.125, 0.5, 0.125, 0.25}},
        {{1, 1, 1}, {0, 1, 0, 0}},
        {{1, 2, 1}, {0, 2 / 3.0, 0, 1 / 3.0}},
        {{1, 3, 1}, {1 / 7.0, 4 / 7.0, 0, 2 / 7.0}}, /* of equal ones the first */
        {{1, 0, 0.4}, {0, 1, 0, 0}},
        {{1, 0, 0.6}, {0, 2 / 3.0, 0, 1 / 3.0}},
        {{1, 2, 0.6}, {0, 1, 0, 0}}, /* 2/3 of what top_k has left */
        {{2, 0, 1}, {0.1830127, 0.3660254, 0.1830127, 0.2588190}},
        {{0.5, 0, 1}, {1 / 22.0, 16 / 22.0, 1 / 22.0, 4 / 22.0}},
    };
    enum { DRAWS = 20000 };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        size_t count[4] = {0};
        for (size_t i = 0; i < DRAWS; i++)
            count[sampler_choose(&cases[k].how, logits, 4, (double)i / DRAWS)]++;
        double sum = 0;
        for (size_t i = 0; i < 4; i++) sum += cases[k].share[i];
        for (size_t i = 0; i < 4; i++)
            CHECK(fabs((double)count[i] / DRAWS - cases[k].share[i] / sum) < 2e-4,
                  "case %zu: share %zu is %g, not %g", k, i, (double)count[i] / DRAWS,
                  cases[k].share[i] / sum);
    }
}
