/* test_player_fit.c - bodies and tokenizers that do not fit a policy, images of other sizes, and
 * the units in which its actions leave. */
#include "tests/player_case.h"

/* A policy of one task, and a body to change before it is bound. */
typedef struct {
    gato_model_t *m;
    player_t *p;
    task_t body;
    reason_t why;
} fit_t;

/* The player of the folder as it is now. */
static void reopen(fit_t *f) {
    int rc;
    player_close(f->p);
    f->p = player_open(in_folder("run"), &(player_opts_t){.decode = DECODE_MEAN}, &rc, &f->why);
    if (!f->p || player_lanes(f->p, 1, &f->why)) BUG("%s", f->why.text);
}
static void fit_open(fit_t *f, const kind_t *k) {
    *f = (fit_t){.m = make_run(k, 3, 2), .body = body_of("body0", k->has)};
    reopen(f);
}
static void fit_close(fit_t *f) {
    task_release(&f->body);
    player_close(f->p);
    gato_model_free(f->m);
}
static slot_t *slot_named(task_t *t, slot_side_t side, const char *name) {
    return &t->slot[task_find(t, side, name)];
}

/* Binds the body and pushes what it shows first; rgb: its 'image', or NULL. */
static int push_seen(fit_t *f, const void *rgb) {
    if (player_bind(f->p, &f->body, NULL, false, &f->why) != 0) BUG("%s", f->why.text);
    scene_t s = {.task = &f->body, .seed = 7};
    view_t v;
    show(&s, 0, &v);
    if (rgb) v.seen.slot[task_find(&f->body, SIDE_OBSERVED, "image")].rgb = rgb;
    player_turn_t turn = {.seen = &v.seen};
    player_reset(f->p, 0, 0);
    int rc = player_push(f->p, &turn, 1, &f->why);
    view_release(&v);
    return rc;
}
static int push_first(fit_t *f) {
    return push_seen(f, NULL);
}

/* Pushes an image of w x h pixels and takes the hidden state. */
static int push_pixels(fit_t *f, uint32_t w, uint32_t h, const void *rgb, float hidden[WIDTH]) {
    slot_t *image = slot_named(&f->body, SIDE_OBSERVED, "image");
    image->image_w = w;
    image->image_h = h;
    int rc = push_seen(f, rgb);
    if (!rc) memcpy(hidden, player_hidden(f->p, 0), WIDTH * sizeof *hidden);
    return rc;
}

/* ---- images of other sizes ---- */

TEST(images_of_other_sizes) {
    fit_t f;
    fit_open(&f, &kinds[CODES]);
    slot_t *image = slot_named(&f.body, SIDE_OBSERVED, "image");
    CHECK(!push_first(&f), "%s", f.why.text);
    image->image_w = 8;
    image->image_h = 16;
    CHECK(push_first(&f) == -1 && strstr(f.why.text, "4 x 2 codes") &&
              strstr(f.why.text, "trained on 2 x 4"),
          "%s", f.why.text);
    fit_close(&f);
    fit_open(&f, &kinds[PATCHES]);
    image = slot_named(&f.body, SIDE_OBSERVED, "image");
    image->image_w = 8;
    CHECK(push_first(&f) == -1 && strstr(f.why.text, "8 x 8 pixels") &&
              strstr(f.why.text, "trained on 8 x 16"),
          "%s", f.why.text);
    fit_close(&f);
    fit_open(&f, &kinds[CODES]); /* the tokenizer needs whole codes */
    image = slot_named(&f.body, SIDE_OBSERVED, "image");
    image->image_w = 3;
    CHECK(push_first(&f) == -1 && strstr(f.why.text, "image"), "%s", f.why.text);
    fit_close(&f);
}

/* Without positions of places any grid can be read that the context has room for. */
TEST(sizes_are_free_without_places) {
    static const kind_t free_size = {
        "no places", {"model.vector_in=linear", "model.patch_pos=none"}, HAS_ACTION | HAS_IMAGE};
    fit_t f;
    fit_open(&f, &free_size);
    slot_t *image = slot_named(&f.body, SIDE_OBSERVED, "image");
    image->image_w = 8;
    image->image_h = 16;
    CHECK(!push_first(&f), "%s", f.why.text);
    image->image_w = image->image_h = 256;
    CHECK(push_first(&f) == -1 && strstr(f.why.text, "images of a timestep are"), "%s", f.why.text);
    fit_close(&f);
}

/* Pushes an image as the first observation. */
static void push_image(fit_t *f, uint32_t w, uint32_t h, const uint8_t *rgb, float hidden[WIDTH]) {
    slot_t *image = slot_named(&f->body, SIDE_OBSERVED, "image");
    image->image_w = w;
    image->image_h = h;
    if (player_bind(f->p, &f->body, NULL, false, &f->why) != 0) BUG("%s", f->why.text);
    scene_t s = {.task = &f->body, .seed = 7};
    view_t v;
    show(&s, 0, &v);
    v.seen.slot[0].rgb = rgb;
    player_turn_t turn = {.seen = &v.seen};
    player_reset(f->p, 0, 0);
    CHECK(!player_push(f->p, &turn, 1, &f->why), "%s", f->why.text);
    view_release(&v);
    memcpy(hidden, player_hidden(f->p, 0), WIDTH * sizeof *hidden);
}

/* Patches: images come in any size where the shards' were fitted to one, and are seen as tokenize
 * keeps them: behind a VQModel, or behind SEED, which squeezes them by another filter. */
static void check_fitted(bool bicubic) {
    fit_t f;
    fit_open(&f, &kinds[PATCHES]);
    f.m->vocabulary.preprocess =
        xstrdup(bicubic ? "{\"filter\":\"bicubic\",\"size\":[16,8]}" : "{\"size\":[16,8]}");
    save(f.m);
    reopen(&f);
    float seen[3][WIDTH];
    image_t large = image_new(40, 40);
    for (size_t i = 0; i < 40 * 40 * 3; i++) large.rgb[i] = (uint8_t)(i / 120 * 6 + i % 120);
    image_t kept = bicubic ? image_resize_bicubic(&large, 16, 8) : image_fit(&large, 16, 8);
    push_image(&f, 40, 40, large.rgb, seen[0]);
    push_image(&f, 16, 8, kept.rgb, seen[1]);
    push_image(&f, 16, 8, large.rgb, seen[2]); /* its first rows are another image */
    CHECK(!memcmp(seen[0], seen[1], sizeof seen[0]));
    CHECK(memcmp(seen[0], seen[2], sizeof seen[0]) != 0);
    image_release(&large);
    image_release(&kept);
    fit_close(&f);
}
TEST(pixels_are_fitted_as_in_the_shards) {
    check_fitted(false);
    check_fitted(true);
}

/* The pixels that the shards kept were padded to whole codes of their tokenizer: what is seen
 * becomes the same, last column and row repeated. Images of a shard without a tokenizer stay. */
TEST(pixels_are_padded_as_in_the_shards) {
    enum { W = 13, H = 6 };
    uint8_t small[H][W][3], padded[8][16][3];
    float seen[2][WIDTH];
    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 16; x++)
            for (int c = 0; c < 3; c++) {
                padded[y][x][c] =
                    (uint8_t)((y < H ? y : H - 1) * 31 + (x < W ? x : W - 1) * 17 + c);
                if (y < H && x < W) small[y][x][c] = padded[y][x][c];
            }
    fit_t f;
    fit_open(&f, &kinds[PATCHES]);
    CHECK(push_pixels(&f, W, H, small, seen[0]) && strstr(f.why.text, "has 6 x 13 pixels"), "%s",
          f.why.text);
    slot_t *trained = slot_named(&f.m->tasks.v[0], SIDE_OBSERVED, "image");
    trained->grid_w = 2; /* codes of 8 x 8 pixels, where patches have 4 x 4 */
    trained->grid_h = 1;
    f.m->vocabulary.preprocess = xstrdup("{\"size\":null}");
    save(f.m);
    reopen(&f);
    CHECK(!push_pixels(&f, W, H, small, seen[0]), "%s", f.why.text);
    CHECK(!push_pixels(&f, 16, 8, padded, seen[1]), "%s", f.why.text);
    CHECK(!memcmp(seen[0], seen[1], sizeof seen[0]));
    fit_close(&f);
}

/* ---- bodies ---- */

static const kind_t rich = {
    "rich", {"model.vector_in=linear"}, HAS_IMAGE | HAS_ACTION | HAS_GRIP | HAS_CHOICES};

static void check_misfit(fit_t *f, const char *name, bool allow_missing, const char *const *says,
                         size_t n) {
    f->why.text[0] = 0;
    CHECK(player_bind(f->p, &f->body, name, allow_missing, &f->why) == -1);
    for (size_t i = 0; i < n; i++)
        CHECK(strstr(f->why.text, says[i]), "'%s' is not in: %s", says[i], f->why.text);
}
#define MISFIT(f, name, allow, ...)                                                                \
    check_misfit(f, name, allow, (const char *const[]){__VA_ARGS__},                               \
                 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

TEST(bodies_that_do_not_fit) {
    fit_t f;
    fit_open(&f, &rich);
    CHECK(player_bind(f.p, &f.body, NULL, false, &f.why) == 0, "%s", f.why.text);
    MISFIT(&f, "other", false, "no task 'other'", "body0");

    slot_named(&f.body, SIDE_ACTED, "grip")->high[0] = 2;
    MISFIT(&f, NULL, false, "grip", "from -1 to 1", "from -1 to 2");
    slot_named(&f.body, SIDE_ACTED, "grip")->high[0] = 1;

    slot_named(&f.body, SIDE_ACTED, "choices")->range[2] = 9;
    MISFIT(&f, NULL, false, "choices[2]", "54 values", "9 in");
    slot_named(&f.body, SIDE_ACTED, "choices")->range[2] = 54;

    slot_t *state = slot_named(&f.body, SIDE_OBSERVED, "state");
    memcpy(state->name, "joint", 5);
    MISFIT(&f, NULL, false, "it has no", "vector 'state' of 3");
    CHECK(player_bind(f.p, &f.body, NULL, true, &f.why) == 0, "%s", f.why.text);
    memcpy(state->name, "state", 5);

    slot_t *grip = slot_named(&f.body, SIDE_ACTED, "grip");
    memcpy(grip->name, "hand", 4);
    MISFIT(&f, NULL, true, "does not know", "'hand'");
    memcpy(grip->name, "grip", 4);
    CHECK(player_bind(f.p, &f.body, "body0", false, &f.why) == 0, "%s", f.why.text);
    fit_close(&f);
}

TEST(bodies_that_lack_slots) {
    fit_t f;
    fit_open(&f, &rich);
    task_release(&f.body);
    f.body = body_of("elsewhere", rich.has & ~(unsigned)HAS_IMAGE);
    MISFIT(&f, NULL, false, "it has no", "image 'image'", "--allow-missing");
    CHECK(player_bind(f.p, &f.body, NULL, true, &f.why) == 0, "%s", f.why.text);
    task_release(&f.body);
    f.body = body_of("elsewhere", rich.has & ~(unsigned)HAS_GRIP);
    MISFIT(&f, NULL, true, "it has no acted", "'grip' of 1");
    fit_close(&f);
}

TEST(bodies_of_another_width) {
    fit_t f;
    fit_open(&f, &kinds[BIN]);
    task_release(&f.body);
    f.body = task_new("wide", RECORD_EPISODE);
    task_add(&f.body, SLOT_VECTOR, SIDE_OBSERVED, "state", 5);
    add_acted(&f.body, "action", ACTIONS);
    MISFIT(&f, NULL, false, "of 5", "3 columns", "(the policy sees vector 'state' of 3;",
           "'wide' sees vector 'state' of 5;");
    CHECK(!strstr(f.why.text, "the data have"), "said once: %s", f.why.text);
    fit_close(&f);
}

TEST(several_tasks_fit) {
    static const unsigned same[] = {HAS_ACTION, HAS_ACTION, HAS_CHOICES};
    gato_model_t *m = make_tasks(&kinds[BIN], same, 3, 3, 1);
    int rc;
    reason_t why;
    player_t *p = player_open(in_folder("run"), &(player_opts_t){.decode = DECODE_MEAN}, &rc, &why);
    task_t arm = body_of("arm", HAS_ACTION), second = body_of("body1", HAS_ACTION),
           suite = body_of("suite/body1", HAS_ACTION), chooser = body_of("arm", HAS_CHOICES),
           grip = body_of("arm", HAS_GRIP);
    CHECK(player_bind(p, &arm, NULL, false, &why) == -1 && strstr(why.text, "several") &&
              strstr(why.text, "body0, body1"),
          "%s", why.text);
    CHECK(player_bind(p, &arm, "body1", false, &why) == 1);
    CHECK(player_bind(p, &second, NULL, false, &why) == 1, "the task of its name");
    CHECK(player_bind(p, &suite, NULL, false, &why) == 1, "by the last part of its name");
    CHECK(player_bind(p, &arm, "suite/body1", false, &why) == -1 && strstr(why.text, "no task"));
    CHECK(player_bind(p, &chooser, NULL, false, &why) == 2, "the only one that fits");
    CHECK(player_bind(p, &grip, NULL, false, &why) == -1 && strstr(why.text, "no task") &&
              strstr(why.text, "body2"),
          "%s", why.text);
    CHECK(player_bind(p, &chooser, "body0", false, &why) == -1, "a name is binding");
    task_release(&arm);
    task_release(&second);
    task_release(&suite);
    task_release(&chooser);
    task_release(&grip);
    player_close(p);
    gato_model_free(m);
}

/* A body that declares its slots in another order, and more of them, gives the same bits to the
 * network and its own columns to the environment. */
TEST(bodies_of_another_order) {
    static const kind_t k = {
        "pair", {"model.vector_in=linear"}, HAS_ACTION | HAS_GRIP | HAS_CHOICE | HAS_CHOICES};
    fit_t f;
    static game_t plain, turned;
    fit_open(&f, &k);
    REQUIRE(player_bind(f.p, &f.body, NULL, false, &f.why) == 0);
    REQUIRE(play(f.p, NULL, 8, &plain));
    task_t body = task_new("turned", RECORD_EPISODE);
    task_add(&body, SLOT_TEXT, SIDE_OBSERVED, "mission", 1);
    task_add(&body, SLOT_VECTOR, SIDE_OBSERVED, "unknown", 4);
    task_add(&body, SLOT_VECTOR, SIDE_OBSERVED, "state", VECTOR);
    add_acted(&body, "grip", 1);
    add_acted(&body, "action", ACTIONS);
    add_discrete(&body, SIDE_ACTED, "choices", 3);
    add_discrete(&body, SIDE_ACTED, "choice", 1);
    REQUIRE(player_bind(f.p, &body, NULL, false, &f.why) == 0, "%s", f.why.text);
    scene_t s = {.task = &f.body, .seed = 7};
    player_reset(f.p, 0, 0);
    for (size_t t = 0; t < 8; t++) {
        view_t v;
        show(&s, t, &v);
        env_observation_t seen = {0};
        static const float unknown[4] = {NAN, NAN, NAN, NAN};
        seen.slot[0].text = "go home";
        seen.slot[1].vector = unknown;
        seen.slot[2] = v.seen.slot[0];
        player_turn_t turn = {.seen = &seen, .draw = draw_of(t)};
        REQUIRE(!player_push(f.p, &turn, 1, &f.why), "%s", f.why.text);
        view_release(&v);
        memcpy(turned.hidden[t], player_hidden(f.p, 0), sizeof turned.hidden[t]);
        const env_action_t *a = &plain.action[t], *b = &turn.action;
        CHECK(a->vector[0] == b->vector[1] && a->vector[1] == b->vector[2] &&
              a->vector[2] == b->vector[0]);
        CHECK(a->discrete[0] == b->discrete[3] &&
              !memcmp(a->discrete + 1, b->discrete, 3 * sizeof *a->discrete));
    }
    CHECK(!memcmp(plain.hidden, turned.hidden, 8 * sizeof *plain.hidden));
    task_release(&body);
    fit_close(&f);
}

/* Missing observed slots that are allowed: those of every timestep without them. */
TEST(allowed_missing_slots_are_missing) {
    fit_t f;
    static game_t without, never;
    fit_open(&f, &rich);
    REQUIRE(player_bind(f.p, &f.body, NULL, false, &f.why) == 0);
    task_t body = body_of("blind", rich.has & ~(unsigned)HAS_IMAGE);
    scene_t s = {.task = &f.body, .seed = 7}, blind = {.task = &body, .seed = 7};
    without.T = never.T = 1;
    for (int i = 0; i < 2; i++) {
        view_t v;
        env_observation_t seen = {0};
        show(&s, 0, &v);
        seen.slot[i ? 0 : 1] = v.seen.slot[1]; /* the state alone */
        if (i) REQUIRE(player_bind(f.p, &body, NULL, true, &f.why) == 0, "%s", f.why.text);
        player_turn_t turn = {.seen = &seen, .draw = draw_of(0)};
        player_reset(f.p, 0, 0);
        REQUIRE(!player_push(f.p, &turn, 1, &f.why), "%s", f.why.text);
        view_release(&v);
        game_t *g = i ? &never : &without;
        g->action[0] = turn.action;
        memcpy(g->hidden[0], player_hidden(f.p, 0), sizeof g->hidden[0]);
    }
    CHECK(same_games(&without, &never) && blind.task == &body);
    task_release(&body);
    fit_close(&f);
}

/* ---- units ---- */

/* The same policy under other ends gives the same numbers to the network and other units to the
 * environment; bounds in use may be quantiles, which are not those declared. */
TEST(actions_leave_in_the_units_of_the_environment) {
    static const float low[ACTIONS] = {-3, 1e-3f}, high[ACTIONS] = {5, 1000};
    static game_t plain, units, given;
    for (int rebuild = 0; rebuild < 2; rebuild++)
        for (int declared = 0; declared < 2; declared++) {
            gato_model_t *m = make_run(&kinds[BIN], 3, 2);
            player_opts_t o = {.decode = DECODE_CENTER, .rebuild = rebuild};
            player_t *p = open_run(&o, &kinds[BIN]);
            REQUIRE(play(p, NULL, 6, &plain));
            player_close(p);
            slot_t *slot = slot_named(&m->tasks.v[0], SIDE_ACTED, "action");
            task_t body = body_of("body0", HAS_ACTION);
            slot_t *own = slot_named(&body, SIDE_ACTED, "action");
            for (size_t i = 0; i < ACTIONS; i++) {
                slot->scale_low[i] = low[i];
                slot->scale_high[i] = high[i];
                slot->scaling[i] = declared ? SCALING_DECLARED : SCALING_QUANTILES;
                own->low[i] = slot->low[i] = declared ? low[i] : -INFINITY;
                own->high[i] = slot->high[i] = declared ? high[i] : INFINITY;
            }
            save(m);
            reason_t why;
            int rc;
            p = player_open(in_folder("run"), &o, &rc, &why);
            REQUIRE(p && !player_lanes(p, 1, &why), "%s", why.text);
            REQUIRE(player_bind(p, &body, NULL, false, &why) == 0, "%s", why.text);
            REQUIRE(play(p, NULL, 6, &units));
            for (size_t t = 0; t < 6; t++)
                for (size_t i = 0; i < ACTIONS; i++) {
                    double share = ((double)plain.action[t].vector[i] + 1) / 2;
                    CHECK_NEAR(units.action[t].vector[i],
                               (double)low[i] + share * ((double)high[i] - (double)low[i]), 1e-3);
                }
            CHECK(!memcmp(plain.hidden, units.hidden, 6 * sizeof plain.hidden[0]));
            /* and come back in them */
            scene_t s = {.task = &m->tasks.v[0], .seed = 7};
            REQUIRE(play_lane(p, 0, 0, &s, 5, &units, &given));
            view_t v;
            show(&s, 5, &v);
            player_turn_t turn = {.seen = &v.seen};
            REQUIRE(!player_push(p, &turn, 1, &why));
            view_release(&v);
            for (size_t i = 0; i < ACTIONS; i++)
                CHECK(turn.action.vector[i] == units.action[5].vector[i], "action %zu", i);
            task_release(&body);
            player_close(p);
            gato_model_free(m);
        }
}

/* ---- tokenizers ---- */

TEST(fault_047_a_tokenizer_of_another_fingerprint) {
    gato_model_t *m = make_run(&kinds[CODES], 2, 1);
    char other[] = "0123456789abcdef0123456789abcdef";
    free(m->vocabulary.fingerprint);
    m->vocabulary.fingerprint = xstrdup(other);
    reason_t why = {""};
    int rc = 0;
    save(m);
    CHECK(!player_open(in_folder("run"), &(player_opts_t){.decode = -1}, &rc, &why));
    CHECK(rc == RC_MISFIT && strstr(why.text, other), "%d %s", rc, why.text);
    rc = 0;
    CHECK(!player_open(in_folder("nowhere"), &(player_opts_t){.decode = -1}, &rc, &why) &&
              rc == RC_USAGE,
          "%d %s", rc, why.text);
    char *inside = fs_join(in_folder("run"), "vqvae"), *away = fs_join(in_folder("run"), "away");
    REQUIRE(!rename(inside, away));
    rc = 0;
    CHECK(!player_open(in_folder("run"), &(player_opts_t){.decode = -1}, &rc, &why) &&
              rc == RC_USAGE && strstr(why.text, "no tokenizer inside"),
          "%d %s", rc, why.text);
    REQUIRE(!rename(away, inside));
    free(inside);
    free(away);
    gato_model_free(m);
}
