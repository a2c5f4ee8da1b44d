/* test_policy_plan.c - what `gato act --plan` says of its plans, against dreams of its actions in
 * one lane and distances by double loops. */
#include "tests/player_case.h"

#include "common/io/image/image.h"
#include "gato/play/policy.h"

enum { STEPS = 7, HORIZON = 3, CELLS = 8 };

/* Codes of an image slot. */
static size_t encode(vqvae_t *v, const slot_t *slot, const uint8_t *rgb, uint32_t codes[CELLS]) {
    vqvae_encode_images(v, rgb, 1, slot->image_w, slot->image_h, codes);
    return slot->image_w / 4 * slot->image_h / 4;
}

/* Mean squared distance of the vectors of codes. */
static double apart(vqvae_t *v, const uint32_t *a, const uint32_t *b, size_t n) {
    const float *vector = vqvae_codebook_data(v);
    size_t D = OWN.vq_embed_dim;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < D; k++)
            sum += pow((double)vector[a[i] * D + k] - (double)vector[b[i] * D + k], 2);
    return sum / (double)n;
}

typedef struct {
    vqvae_t *v;
    const task_t *body;
    uint32_t goal[TASK_SLOTS][CELLS], dreamt[TASK_SLOTS][CELLS];
} oracle_t;

/* Of what is seen, or of what was dreamt (NULL), from the goals: summed over cameras. */
static double distance_of(const oracle_t *o, const env_observation_t *seen) {
    double sum = 0;
    for (uint32_t k = 0; k < o->body->n_slots; k++) {
        const slot_t *slot = &o->body->slot[k];
        uint32_t codes[CELLS];
        if (slot->kind != SLOT_IMAGE) continue;
        size_t n = slot->image_w / 4 * slot->image_h / 4;
        if (seen) encode(o->v, slot, seen->slot[k].rgb, codes);
        sum += apart(o->v, seen ? codes : o->dreamt[k], o->goal[k], n);
    }
    return sum;
}

static void dream(player_t *p, oracle_t *o, const env_action_t *action) {
    static const sampler_t likeliest = {.top_p = 1};
    player_dream_t d = {.lane = 1, .given = action};
    reason_t why;
    for (uint32_t k = 0; k < o->body->n_slots; k++)
        if (o->body->slot[k].kind == SLOT_IMAGE) d.codes[k] = o->dreamt[k];
    REQUIRE(!player_dream(p, &d, 1, &likeliest, &why), "%s", why.text);
}

/* Lane 0 is fed the episode, from the last plan on where plans forget what was before; lane 1
 * leaves it at every plan and dreams what is done. */
static void check_plans(const kind_t *k, size_t execute, bool forget) {
    gato_model_t *m = make_run(k, 4, 2);
    task_t body = body_of("body0", k->has);
    policy_opts_t how = {.model = in_folder("run"),
                         .goal = GOAL_FROM_ENV,
                         .player = {.decode = -1, .temperature = -1},
                         .plan = {8, HORIZON, 2, 3, execute, 0.5},
                         .forget = forget};
    scene_t scene = {.task = &body, .seed = 7};
    oracle_t o = {.body = &body};
    reason_t why;
    int rc;
    void *self = policy_plan.open(&body, &how, &rc, &why);
    REQUIRE(self, "%s", why.text);
    char *dir = fs_join(in_folder("run"), "vqvae");
    o.v = vqvae_open(dir, &rc, &why);
    player_t *p = open_lanes(&how.player, &k->has, 1, 2);
    view_t goal;
    show(&scene, 100, &goal);
    for (uint32_t i = 0; i < body.n_slots; i++)
        if (body.slot[i].kind == SLOT_IMAGE)
            encode(o.v, &body.slot[i], goal.seen.slot[i].rgb, o.goal[i]);
    player_reset(p, 0, 0);
    double ended = 0;
    for (size_t t = 0; t < STEPS; t++) {
        view_t v;
        env_action_t action;
        show(&scene, t, &v);
        policy_view_t view = {
            .body = &body, .seen = &v.seen, .goal = t ? NULL : &goal.seen, .seed = 1, .step = t};
        REQUIRE(!policy_plan.act(self, &view, &action, &why), "%s", why.text);
        if (forget && t % execute == 0) player_reset(p, 0, 0);
        player_turn_t turn = {.lane = 0, .seen = &v.seen, .given = &action};
        REQUIRE(!player_push(p, &turn, 1, &why), "%s", why.text);
        if (t) dream(p, &o, &action);
        const planned_t *now = policy_plan.planned(self);
        CHECK((now != NULL) == (t % execute == 0));
        if (now) {
            CHECK(now->ms > 0 && now->imagined > 0 && now->has_gap == (t > 0));
            if (t) {
                double imagined = distance_of(&o, NULL);
                CHECK_NEAR(now->gap, distance_of(&o, &v.seen) - imagined, 1e-6);
                if (execute == HORIZON) CHECK_NEAR(ended, imagined, 1e-6);
            }
            ended = now->imagined;
            player_fork(p, 0, 1);
        }
        view_release(&v);
    }
    view_release(&goal);
    player_close(p);
    vqvae_free(o.v);
    free(dir);
    policy_plan.close(self);
    task_release(&body);
    gato_model_free(m);
}

TEST(plans_are_compared_with_what_came_of_them) {
    static const kind_t both = {
        "cameras",
        {"model.vector_in=linear", "loss.image=1", "loss.vector=1", "loss.action_kind=mse"},
        HAS_ACTION | HAS_IMAGE | HAS_WRIST};
    static const kind_t choice = {
        "choice", {"loss.image=1", "loss.vector=1", "model.merge=2"}, HAS_IMAGE | HAS_CHOICE};
    for (size_t execute = 1; execute <= HORIZON; execute++) {
        check_plans(&both, execute, false);
        check_plans(&choice, execute, false);
        check_plans(&both, execute, true);
    }
}

/* A tokenizer that does not fit images to one size gives a goal of another size other codes. */
TEST(fault_a_goal_of_another_size) {
    static const kind_t k = {
        "image", {"loss.image=1", "loss.vector=1", "model.patch_pos=none"}, HAS_ACTION | HAS_IMAGE};
    gato_model_t *m = make_run(&k, 4, 1);
    task_t body = body_of("body0", k.has);
    policy_opts_t how = {.model = in_folder("run"),
                         .player = {.decode = -1, .temperature = -1},
                         .plan = {4, 2, 1, 1, 1, 0}};
    for (size_t w = 8; w <= 24; w += 8) {
        image_t im = image_new(w, 8);
        char name[32], file[512];
        int rc = 0;
        reason_t why;
        memset(im.rgb, 90, w * 8 * 3);
        snprintf(name, sizeof name, "goal%zu.png", w);
        snprintf(file, sizeof file, "%s", in_folder(name));
        REQUIRE(!image_write_png(&im, file, &why), "%s", why.text);
        how.model = in_folder("run");
        how.goal = file;
        void *self = policy_plan.open(&body, &how, &rc, &why);
        CHECK((self != NULL) == (w == 16));
        if (self) policy_plan.close(self);
        if (!self)
            CHECK(rc == RC_MISFIT && strstr(why.text, "codes, and camera 'image' 2 x 4"), "%d: %s",
                  rc, why.text);
        image_release(&im);
    }
    task_release(&body);
    gato_model_free(m);
}
