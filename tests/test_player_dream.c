/* test_player_dream.c - dreams against the training graph on what was dreamt, lanes against each
 * alone, forks, truth that is forced, and models that cannot dream. */
#include "tests/player_case.h"

#include "gato/play/planner.h"

enum { PAST = 4, DREAMT = 7, ALL = PAST + DREAMT };

/* What a lane was fed, as timesteps of the model. */
typedef struct {
    timestep_t step[ALL];
    void *owned[ALL * TASK_SLOTS];
    size_t n_owned;
    double own;
    size_t n_own;
} story_t;

static void *story_own(story_t *s, size_t bytes) {
    return s->owned[s->n_owned++] = xcalloc(1, bytes ? bytes : 1);
}
static void story_release(story_t *s) {
    for (size_t i = 0; i < s->n_owned; i++) free(s->owned[i]);
    *s = (story_t){0};
}

/* A made-up timestep of a task: codes, numbers and actions of which each is a function of the seed.
 */
static void invent(const gato_model_t *m, uint32_t task, uint64_t seed, size_t t, story_t *to) {
    const task_t *of = &m->tasks.v[task];
    timestep_t *s = &to->step[t];
    *s = (timestep_t){.task = task, .linked = t > 0};
    for (uint32_t k = 0; k < of->n_slots; k++) {
        const slot_t *slot = &of->slot[k];
        slot_value_t *v = &s->slot[k];
        rng_t r = rng_fold(rng_fold(rng_make(seed, "story"), t), k);
        if (slot->kind == SLOT_IMAGE) {
            size_t n = (size_t)slot->grid_h * slot->grid_w;
            uint32_t *codes = story_own(to, n * sizeof *codes);
            for (size_t i = 0; i < n; i++)
                codes[i] = (uint32_t)(rng_u64(r, i) % m->vocabulary.codes);
            *v = (slot_value_t){.codes = codes, .grid_h = slot->grid_h, .grid_w = slot->grid_w};
        } else if (slot->kind == SLOT_TEXT) {
            uint32_t *text = story_own(to, 3 * sizeof *text);
            memcpy(text, (uint32_t[]){'g', 'o', 256}, 3 * sizeof *text);
            *v = (slot_value_t){.text = text, .text_len = 3};
        } else if (slot->kind == SLOT_VECTOR) {
            float *x = story_own(to, slot->width * sizeof *x);
            for (uint32_t i = 0; i < slot->width; i++) x[i] = 2 * rng_uniform(r, i) - 1;
            v->vector = x;
        } else {
            uint32_t *x = story_own(to, slot->width * sizeof *x);
            for (uint32_t i = 0; i < slot->width; i++)
                x[i] = (uint32_t)(rng_u64(r, i) % slot->range[i]);
            v->discrete = x;
        }
    }
}

static bool acted(const gato_model_t *m, uint32_t task, uint32_t k) {
    return m->tasks.v[task].slot[k].side == SIDE_ACTED;
}

static void push(player_t *p, size_t lane, const timestep_t *s) {
    reason_t why;
    player_turn_t turn = {.lane = lane, .recorded = s};
    REQUIRE(!player_push(p, &turn, 1, &why), "%s", why.text);
}

/* Prepares a dream of timestep t of the story: its actions are given; what is chosen overwrites the
 * story's observation, unless it is the truth. */
static player_dream_t prepare(const gato_model_t *m, size_t lane, story_t *s, size_t t,
                              timestep_t *recorded, bool truth) {
    uint32_t task = s->step[t].task;
    player_dream_t d = {.lane = lane, .recorded = recorded, .draw = draw_of(t)};
    *recorded = s->step[t];
    for (uint32_t k = 0; k < m->tasks.v[task].n_slots; k++) {
        slot_value_t *v = &s->step[t].slot[k];
        if (acted(m, task, k) || truth) continue;
        recorded->slot[k] = (slot_value_t){0};
        d.codes[k] = (uint32_t *)(uintptr_t)v->codes;
        d.vector[k] = (float *)(uintptr_t)v->vector;
        d.discrete[k] = (uint32_t *)(uintptr_t)v->discrete;
    }
    return d;
}

static void dream(player_t *p, player_dream_t *d, size_t n, const sampler_t *how) {
    reason_t why;
    REQUIRE(!player_dream(p, d, n, how, &why), "%s", why.text);
}

/* The sum of -log p of the codes of timesteps from .. ALL - 1, by the training graph over the whole
 * story. */
static double cross_entropy_of(const gato_model_t *m, const story_t *s, size_t steps, size_t *n) {
    batch_t b;
    gato_metrics_t f;
    reason_t why;
    batch_init(&b, m);
    batch_begin(&b, s->step[0].task);
    for (size_t t = 0; t < steps; t++) {
        CHECK(!batch_observation(&b, &s->step[t], (int32_t)t, 0, &why), "%s", why.text);
        batch_actions(&b, true);
    }
    batch_end(&b);
    gato_metrics_init(&f, m);
    gato_graphs_t *g = gato_graphs_new(m, (graph_opts_t){.train = true, .exact = true});
    gato_step(g, &b, 0, 0, 0, false, &f);
    extern const head_t head_image;
    const head_sums_t *sum = &f.sums[s->step[0].task * HEADS + head_number(&head_image)];
    double ce = sum->ce;
    *n = sum->n;
    gato_metrics_release(&f);
    gato_graphs_free(g);
    batch_release(&b);
    return ce;
}

static const kind_t with[] = {
    {"linear",
     {"model.vector_in=linear", "loss.image=1", "loss.vector=1", "loss.action_kind=mse"},
     HAS_ACTION | HAS_IMAGE},
    {"bins, cameras, values",
     {"loss.image=1", "loss.vector=1", "loss.discrete=1"},
     HAS_ACTION | HAS_IMAGE | HAS_WRIST | HAS_VALUE | HAS_CHOICE},
    {"merged, cameras, text first",
     {"model.merge=2", "model.vector_in=linear", "loss.image=1", "loss.vector=1",
      "model.text_first=true"},
     HAS_ACTION | HAS_IMAGE | HAS_WRIST | HAS_TEXT},
    {"merged, bins, no places",
     {"model.merge=2", "loss.image=1", "loss.vector=1", "model.inner_pos=false",
      "model.patch_pos=none", "model.code_norm=white"},
     HAS_ACTION | HAS_IMAGE | HAS_TEXT},
    {"table",
     {"model.image_in=table", "loss.image=1", "loss.vector=1", "loss.discrete=0.5"},
     HAS_CHOICES | HAS_IMAGE | HAS_VALUE},
    {"both", {"model.image_in=both", "loss.image=1", "loss.vector=1"}, HAS_GRIP | HAS_WRIST},
    {"merged by 4", {"model.merge=4", "loss.image=1", "loss.vector=1"}, HAS_ACTION | HAS_LARGE},
    {"codes of the last timestep",
     {"model.image_last=true", "loss.image=1", "loss.vector=1"},
     HAS_ACTION | HAS_IMAGE},
    {"merged, codes of the last timestep",
     {"model.merge=2", "model.image_last=true", "model.code_norm=white", "loss.image=1",
      "loss.vector=1"},
     HAS_ACTION | HAS_IMAGE | HAS_WRIST},
    {"merged, vectors first",
     {"model.merge=2", "model.image_last=true", "model.vector_first=true", "model.vector_in=linear",
      "loss.image=1", "loss.vector=1"},
     HAS_ACTION | HAS_IMAGE | HAS_WRIST},
    {"two horizons",
     {"model.merge=2", "loss.image=1", "loss.vector=1", "loss.horizon=[1,2]"},
     HAS_ACTION | HAS_WRIST},
};
enum { WITH = sizeof with / sizeof *with };
static const sampler_t likeliest = {.top_p = 1},
                       drawn = {.temperature = 1.3, .top_k = 7, .top_p = 1};
static const player_opts_t plain = {.decode = DECODE_CENTER};

/* Free dreams, whose window slides: what the lane thought of its codes is what the training graph
 * thinks of them. */
static void check_chain(const kind_t *k, const sampler_t *how) {
    static story_t s;
    gato_model_t *m = make_run(k, 3, 2);
    player_t *p = open_run(&plain, k);
    timestep_t recorded;
    size_t n_past, n_all;
    for (size_t t = 0; t < ALL; t++) invent(m, 0, 5, t, &s);
    player_reset(p, 0, 0);
    for (size_t t = 0; t < PAST; t++) push(p, 0, &s.step[t]);
    for (size_t t = PAST; t < ALL; t++) {
        player_dream_t d = prepare(m, 0, &s, t, &recorded, false);
        dream(p, &d, 1, how);
        CHECK(d.sums.n == 0 && d.sums.n_own > 0);
        s.own += d.sums.own;
        s.n_own += d.sums.n_own;
    }
    double past = cross_entropy_of(m, &s, PAST, &n_past),
           all = cross_entropy_of(m, &s, ALL, &n_all);
    if (m->config.loss.horizon.n == 1) {
        CHECK(n_all - n_past == s.n_own, "%s: %zu codes, %zu", k->name, n_all - n_past, s.n_own);
        CHECK_NEAR((all - past) / (double)s.n_own, s.own / (double)s.n_own, 1e-5);
    }
    story_release(&s);
    player_close(p);
    gato_model_free(m);
}

TEST(dreams_are_what_training_says_of_them) {
    for (size_t k = 0; k < WITH; k++) {
        check_chain(&with[k], &likeliest);
        check_chain(&with[k], &drawn);
    }
}

/* The truth forced: the same chain as pushes; the sums are those of the training graph. */
TEST(forced_truth_is_teacher_forcing) {
    static story_t s;
    for (size_t k = 0; k < WITH; k++) {
        gato_model_t *m = make_run(&with[k], 3, 2);
        player_t *p = open_lanes(&plain, &with[k].has, 1, 2);
        timestep_t recorded;
        size_t n = 0, n_past, n_all;
        double ce = 0, own = 0;
        for (size_t t = 0; t < ALL; t++) invent(m, 0, 5, t, &s);
        for (size_t lane = 0; lane < 2; lane++) {
            player_reset(p, lane, 0);
            for (size_t t = 0; t < PAST; t++) push(p, lane, &s.step[t]);
        }
        for (size_t t = PAST; t < ALL; t++) {
            player_dream_t d = prepare(m, 0, &s, t, &recorded, true);
            d.force = true;
            dream(p, &d, 1, &drawn);
            push(p, 1, &s.step[t]);
            ce += d.sums.ce;
            own += d.sums.own;
            n += d.sums.n;
            for (size_t i = 0; i < WIDTH; i++)
                CHECK_NEAR((double)player_hidden(p, 0)[i], (double)player_hidden(p, 1)[i],
                           TOLERANCE);
        }
        double past = cross_entropy_of(m, &s, PAST, &n_past),
               all = cross_entropy_of(m, &s, ALL, &n_all);
        CHECK(n > 0 && fabs(ce - own) < 1e-9);
        if (m->config.loss.horizon.n == 1) {
            CHECK(n_all - n_past == n);
            CHECK_NEAR((all - past) / (double)n, ce / (double)n, 1e-5);
        }
        story_release(&s);
        player_close(p);
        gato_model_free(m);
    }
}

/* ---- lanes ---- */

enum { LANES = 4 };

static bool same_dream(const gato_model_t *m, const story_t *a, const story_t *b, size_t t) {
    const task_t *task = &m->tasks.v[a->step[t].task];
    for (uint32_t k = 0; k < task->n_slots; k++) {
        const slot_value_t *x = &a->step[t].slot[k], *y = &b->step[t].slot[k];
        size_t cells = x->grid_h * x->grid_w, width = task->slot[k].width;
        if (x->codes && memcmp(x->codes, y->codes, cells * 4)) return false;
        if (x->vector && memcmp(x->vector, y->vector, width * 4)) return false;
        if (x->discrete && memcmp(x->discrete, y->discrete, width * 4)) return false;
    }
    return true;
}

/* Lanes of two tasks that dream together have the bits of each alone. The policy acts. */
TEST(lanes_dream_as_each_alone) {
    static const unsigned has[] = {HAS_ACTION | HAS_IMAGE | HAS_TEXT, HAS_CHOICE | HAS_WRIST};
    static const kind_t k = {
        "merged", {"model.merge=2", "loss.image=1", "loss.vector=1"}, HAS_IMAGE};
    static story_t together[LANES], alone[LANES];
    gato_model_t *m = make_tasks(&k, has, 2, 3, 2);
    player_t *p = open_lanes(&plain, has, 2, LANES), *one = open_lanes(&plain, has, 2, 1);
    timestep_t recorded[LANES];
    for (size_t i = 0; i < LANES; i++) {
        uint32_t task = i % 2;
        for (size_t t = 0; t < ALL; t++) {
            invent(m, task, 30 + i, t, &together[i]);
            invent(m, task, 30 + i, t, &alone[i]);
        }
        player_reset(p, i, task);
        player_reset(one, 0, task);
        for (size_t t = 0; t < PAST - i % 3; t++) {
            push(p, i, &together[i].step[t]);
            push(one, 0, &alone[i].step[t]);
        }
        for (size_t t = PAST; t < ALL; t++) {
            player_dream_t d = prepare(m, 0, &alone[i], t, &recorded[0], false);
            d.recorded = NULL;
            dream(one, &d, 1, &drawn);
            alone[i].own += d.sums.own;
        }
    }
    for (size_t t = PAST; t < ALL; t++) {
        player_dream_t d[LANES];
        for (size_t i = 0; i < LANES; i++) {
            d[i] = prepare(m, i, &together[i], t, &recorded[i], false);
            d[i].recorded = NULL;
        }
        dream(p, d, LANES, &drawn);
        for (size_t i = 0; i < LANES; i++) together[i].own += d[i].sums.own;
    }
    for (size_t i = 0; i < LANES; i++) {
        for (size_t t = PAST; t < ALL; t++)
            CHECK(same_dream(m, &together[i], &alone[i], t), "lane %zu, step %zu", i, t);
        CHECK(together[i].own == alone[i].own);
        story_release(&together[i]);
        story_release(&alone[i]);
    }
    player_close(p);
    player_close(one);
    gato_model_free(m);
}

/* A fork goes on as the lane does, and leaves it alone. */
TEST(a_fork_goes_on_as_its_lane) {
    static story_t a, b, other;
    for (size_t k = 0; k < WITH; k++) {
        gato_model_t *m = make_run(&with[k], 3, 2);
        player_t *p = open_lanes(&plain, &with[k].has, 1, 2);
        timestep_t recorded;
        for (size_t t = 0; t < ALL; t++) {
            invent(m, 0, 5, t, &a);
            invent(m, 0, 5, t, &b);
            invent(m, 0, 6, t, &other);
        }
        player_reset(p, 0, 0);
        player_reset(p, 1, 0);
        for (size_t t = 0; t < ALL; t++) push(p, 1, &other.step[t]);
        for (size_t t = 0; t < PAST; t++) push(p, 0, &a.step[t]);
        for (size_t t = PAST; t < ALL; t++) {
            if (t % 3 == PAST % 3) player_fork(p, 0, 1);
            player_dream_t d = prepare(m, 1, &b, t, &recorded, false);
            dream(p, &d, 1, &drawn);
            d = prepare(m, 0, &a, t, &recorded, false);
            dream(p, &d, 1, &drawn);
            CHECK(same_dream(m, &a, &b, t), "%s, step %zu", with[k].name, t);
            CHECK(!memcmp(player_hidden(p, 0), player_hidden(p, 1), WIDTH * sizeof(float)));
        }
        tokenizer_grid_t grid = player_grid(p, 1, 0);
        CHECK(grid.h == m->tasks.v[0].slot[0].grid_h && grid.w == m->tasks.v[0].slot[0].grid_w);
        image_t im = player_image(p, a.step[ALL - 1].slot[0].codes, grid);
        CHECK(im.w == grid.w * 4 && im.h == grid.h * 4);
        image_release(&im);
        story_release(&a);
        story_release(&b);
        story_release(&other);
        player_close(p);
        gato_model_free(m);
    }
}

/* Recorded timesteps of what the tokenizer saw are as good as the images themselves. */
TEST(recorded_pushes_are_pushes) {
    static const kind_t k = {"codes", {"model.vector_in=linear"}, HAS_ACTION | HAS_IMAGE};
    gato_model_t *m = make_run(&k, 3, 2);
    player_t *p = open_lanes(&plain, &k.has, 1, 2);
    scene_t scene = {.task = &m->tasks.v[0], .seed = 7};
    static game_t g;
    REQUIRE(play_lane(p, 0, 0, &scene, ALL, NULL, &g));
    char *dir = fs_join(in_folder("run"), "vqvae");
    reason_t why;
    int rc;
    vqvae_t *v = vqvae_open(dir, &rc, &why);
    player_reset(p, 1, 0);
    for (size_t t = 0; t < ALL; t++) {
        view_t view;
        uint32_t codes[8];
        show(&scene, t, &view);
        vqvae_encode_images(v, view.seen.slot[0].rgb, 1, 16, 8, codes);
        timestep_t s = {.slot = {{.codes = codes, .grid_h = 2, .grid_w = 4},
                                 {.vector = view.seen.slot[1].vector},
                                 {.vector = g.action[t].vector}}};
        player_turn_t turn = {.lane = 1, .recorded = &s};
        if (t % 2) s.slot[2].vector = NULL; /* the policy acts */
        REQUIRE(!player_push(p, &turn, 1, &why));
        CHECK_NEAR((double)turn.action.vector[1], (double)g.action[t].vector[1], 1e-6);
        view_release(&view);
    }
    vqvae_free(v);
    free(dir);
    player_close(p);
    gato_model_free(m);
}

/* ---- plans ---- */

/* A dream of known actions is found again: its last image is the goal. More iterations come no less
 * near; the same draws give the same plan. */
static void check_plan(const kind_t *k) {
    enum { CANDIDATES = 12 };
    static story_t s;
    gato_model_t *m = make_run(k, 3, 2);
    player_t *p = open_lanes(&plain, &k->has, 1, 1 + CANDIDATES);
    task_t body = body_of("body0", k->has);
    double distance[3];
    env_action_t action[3], middle;
    reason_t why;
    uint32_t image = 0;
    invent(m, 0, 5, 0, &s);
    uint8_t rgb[16 * 8 * 3];
    for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(i * 37);
    for (int run = 0; run < 3; run++) {
        search_opts_t o = {.candidates = CANDIDATES,
                           .horizon = 2,
                           .iterations = run ? 4 : 1,
                           .elite = 3,
                           .execute = 1};
        planner_t *plan = planner_new(p, 0, &body, &o, &why);
        REQUIRE(plan, "%s", why.text);
        planner_placeholder(plan, &middle);
        CHECK(!planner_choose(plan, draw_of(0), &why) && strstr(why.text, "goal"));
        REQUIRE(!planner_goal(plan, image, rgb, 16, 8, &why), "%s", why.text);
        player_reset(p, 0, 0);
        timestep_t seen = s.step[0];
        for (uint32_t j = 0; j < m->tasks.v[0].n_slots; j++)
            if (acted(m, 0, j)) seen.slot[j] = s.step[0].slot[j];
        player_turn_t turn = {.lane = 0, .recorded = &seen};
        REQUIRE(!player_push(p, &turn, 1, &why));
        const search_found_t *found = planner_choose(plan, draw_of(0), &why);
        REQUIRE(found, "%s", why.text);
        distance[run] = found->mean;
        action[run] = found->action[0];
        REQUIRE(!player_redo(p, 0, &action[run], &why));
        planner_free(plan);
    }
    CHECK(distance[1] <= distance[0] && distance[1] > 0);
    CHECK(distance[1] == distance[2] && !memcmp(&action[1], &action[2], sizeof *action));
    story_release(&s);
    task_release(&body);
    player_close(p);
    gato_model_free(m);
}

TEST(plans_come_nearer) {
    check_plan(&with[0]);
    check_plan(&(kind_t){
        "choice", {"loss.image=1", "loss.vector=1", "model.merge=2"}, HAS_IMAGE | HAS_CHOICE});
}

/* A policy without places takes images of any size: a goal of another is none of the episode. */
TEST(a_goal_of_another_size_is_refused) {
    static story_t s;
    static uint8_t rgb[32 * 16 * 3];
    kind_t k = {"no places",
                {"loss.image=1", "loss.vector=1", "model.patch_pos=none"},
                HAS_ACTION | HAS_IMAGE};
    gato_model_t *m = make_run(&k, 3, 2);
    player_t *p = open_lanes(&plain, &k.has, 1, 3);
    task_t body = body_of("body0", k.has);
    search_opts_t o = {.candidates = 2, .horizon = 1, .iterations = 1, .elite = 1, .execute = 1};
    reason_t why;
    planner_t *plan = planner_new(p, 0, &body, &o, &why);
    REQUIRE(plan, "%s", why.text);
    invent(m, 0, 5, 0, &s);
    player_reset(p, 0, 0);
    push(p, 0, &s.step[0]);
    for (size_t size = 1; size <= 2; size++) {
        REQUIRE(!planner_goal(plan, 0, rgb, 16 * size, 8 * size, &why), "%s", why.text);
        bool refused = !planner_choose(plan, draw_of(0), &why);
        CHECK(refused == (size == 2) && (!refused || strstr(why.text, "4 x 8 codes")));
    }
    planner_free(plan);
    story_release(&s);
    task_release(&body);
    player_close(p);
    gato_model_free(m);
}

/* The policy acts in its dreams as it does at play, its chunks included: forked in the middle of
 * one, a lane that dreams the truth does what the other does, which is pushed. */
TEST(dreams_act_as_play_does) {
    static const kind_t by[] = {
        {"one action",
         {"loss.image=1", "loss.vector=1", "loss.action_kind=mse"},
         HAS_ACTION | HAS_IMAGE},
        {"chunks",
         {"loss.image=1", "loss.vector=1", "loss.action_kind=mse", "model.chunk=3",
          "act.execute=3"},
         HAS_ACTION | HAS_IMAGE},
        {"averages",
         {"loss.image=1", "loss.vector=1", "loss.action_kind=mse", "model.chunk=3",
          "act.ensemble=0.1"},
         HAS_ACTION | HAS_IMAGE},
    };
    for (size_t k = 0; k < sizeof by / sizeof *by; k++) {
        static story_t s;
        gato_model_t *m = make_run(&by[k], 3, 2);
        player_t *p = open_lanes(&plain, &by[k].has, 1, 2);
        reason_t why;
        double moved = 0;
        player_reset(p, 0, 0);
        for (size_t t = 0; t < ALL; t++) {
            timestep_t seen;
            invent(m, 0, 5, t, &s);
            seen = s.step[t];
            for (uint32_t i = 0; t >= PAST && i < m->tasks.v[0].n_slots; i++)
                if (acted(m, 0, i)) seen.slot[i] = (slot_value_t){0};
            if (t == PAST + 1) player_fork(p, 0, 1);
            player_turn_t turn = {.lane = t > PAST, .recorded = &seen};
            REQUIRE(!player_push(p, &turn, 1, &why), "%s", why.text);
            if (t <= PAST) continue;
            player_dream_t d = {.lane = 0, .recorded = &seen, .force = true};
            dream(p, &d, 1, &likeliest);
            for (size_t i = 0; i < ACTIONS; i++) {
                double is = (double)d.action.vector[i], want = (double)turn.action.vector[i];
                CHECK_NEAR(is, want, TOLERANCE);
                moved = fmax(moved, 1 - fabs(want));
            }
        }
        CHECK(moved > 0.01, "%s: all actions lie at their bounds", by[k].name);
        story_release(&s);
        player_close(p);
        gato_model_free(m);
    }
}

/* An action that is given later is as good as one that is given at once. */
TEST(an_action_is_given_again) {
    static story_t a, b;
    gato_model_t *m = make_run(&with[1], 3, 2);
    player_t *p = open_lanes(&plain, &with[1].has, 1, 2);
    reason_t why;
    for (size_t t = 0; t < 2; t++) {
        invent(m, 0, 5, t, &a);
        invent(m, 0, 6, t, &b);
        player_reset(p, t, 0);
    }
    timestep_t other = a.step[0];
    for (uint32_t k = 0; k < m->tasks.v[0].n_slots; k++)
        if (acted(m, 0, k)) other.slot[k] = b.step[0].slot[k];
    player_turn_t turn[] = {{.lane = 0, .recorded = &a.step[0]}, {.lane = 1, .recorded = &other}};
    REQUIRE(!player_push(p, turn, 2, &why));
    REQUIRE(!player_redo(p, 1, &turn[0].action, &why));
    push(p, 0, &a.step[1]);
    push(p, 1, &a.step[1]);
    CHECK(!memcmp(player_hidden(p, 0), player_hidden(p, 1), WIDTH * sizeof(float)));
    story_release(&a);
    story_release(&b);
    player_close(p);
    gato_model_free(m);
}

/* ---- refusals ---- */

static void check_refused(const kind_t *k, size_t window, bool rebuild, const char *what) {
    gato_model_t *m = make_run(k, window, 1);
    player_opts_t o = {.decode = DECODE_CENTER, .rebuild = rebuild};
    player_t *p = open_run(&o, k);
    reason_t why = {{0}};
    CHECK(player_dreams(p, 0, &why) == -1 && strstr(why.text, what), "%s", why.text);
    player_close(p);
    gato_model_free(m);
}

TEST(models_that_cannot_dream_say_why) {
    check_refused(&(kind_t){"a", {"loss.vector=1"}, HAS_IMAGE | HAS_ACTION}, 3, false,
                  "loss.image");
    check_refused(&(kind_t){"b",
                            {"loss.vector=1", "loss.image=1", "loss.horizon=[2]"},
                            HAS_IMAGE | HAS_ACTION},
                  3, false, "loss.horizon");
    check_refused(&(kind_t){"c", {"loss.image=1"}, HAS_IMAGE | HAS_ACTION}, 3, false,
                  "loss.vector");
    check_refused(
        &(kind_t){"d", {"loss.image=1", "loss.vector=1"}, HAS_IMAGE | HAS_ACTION | HAS_VALUE}, 3,
        false, "loss.discrete");
    check_refused(&(kind_t){"e", {"loss.image=1", "loss.vector=1"}, HAS_IMAGE | HAS_ACTION}, 1,
                  false, "train.window");
    check_refused(&(kind_t){"f", {"loss.image=1", "loss.vector=1"}, HAS_IMAGE | HAS_ACTION}, 3,
                  true, "rebuild");
    check_refused(&with[0], 3, true, "rebuild");
}
