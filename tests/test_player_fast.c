/* test_player_fast.c - chunks as tokens of FAST: what is learned, by rows written out; at play,
 * each token against the network run whole over all that came before it, the chunk by the transform
 * in the test, and its use by the book.
 */
#include "tests/player_whole.h"

#include "gato/data/dataset.h"
#include "gato/model/head_tokens.h"

enum { CHUNK = 6, STEPS = 10, NUMBERS = ACTIONS + 1 };

static const kind_t arm = {"arm",
                           {"model.bin_kind=fast", "model.chunk=6", "train.window=1"},
                           HAS_ACTION | HAS_GRIP | HAS_VALUE};

/* ---- what is learned ---- */

enum { T = 8 };
static float executed[T * 2], clean[T * 2], grip[T];
static const uint8_t there[T] = {1, 1, 1, 1, 1, 1, 1, 0};

static gato_model_t *learner(void) {
    gato_model_t *m = make_run(&arm, 1, 1);
    for (size_t i = 0; i < T * 2; i++) {
        clean[i] = (float)(0.8 * sin(0.7 * (double)i));
        executed[i] = -clean[i];
        grip[i / 2] = (float)(0.5 - 0.1 * (double)(i / 2));
    }
    return m;
}

/* The record's timestep `t` alone. */
static void add_step(batch_t *b, uint32_t t, bool labels, bool lone) {
    static const float state[T * VECTOR];
    static const uint32_t value[T * 2];
    static const int32_t map[4] = {0, 1, 2, 3};
    reason_t why;
    uint32_t step = t;
    sequence_t w = {.of = &b->model->tasks.v[0],
                    .map = map,
                    .step = &step,
                    .n_steps = 1,
                    .lone = lone,
                    .goal = -1,
                    .record = {.T = T}};
    w.record.slot[0].vector = state;
    w.record.slot[1].discrete = value;
    w.record.slot[2].vector = labels ? executed : clean;
    if (labels) w.record.slot[2].label_vector = clean;
    w.record.slot[3].vector = grip;
    w.record.slot[3].present = there;
    if (sequence_add(b, &w, &why)) CHECK(false, "%s", why.text);
}

static const targets_t *targets(const batch_t *b) {
    for (size_t i = 0; i < b->model->n_groups; i++)
        if (!strcmp(b->model->group[i].head->name, "action_fast")) return &b->target[i];
    BUG("no targets");
}

/* The chunk of both slots behind the separator, each token predicted by the one before. */
static void check_rows(const gato_model_t *m, uint32_t t, bool labels, bool has_arm,
                       bool has_grip) {
    batch_t b;
    text_ids_t ids = {0};
    batch_init(&b, m);
    add_step(&b, t, labels, false);
    if (has_arm) fast_encode(m->fast, clean + t * 2, 2, &ids);
    if (has_grip) fast_encode(m->fast, grip + t, 1, &ids);
    uint32_t lo = 257 + BINS + 1024;
    size_t separator = VECTOR + 2;
    const targets_t *to = targets(&b);
    CHECK(batch_positions(&b) == separator + 1 + ids.n, "%zu", batch_positions(&b));
    REQUIRE(to->rows.n == ids.n, "step %u: %zu instead of %zu", t, to->rows.n, ids.n);
    for (size_t i = 0; i < ids.n; i++) {
        CHECK(column_at(&to->rows.input[INPUT_POSITION], i) == (int32_t)(separator + i));
        CHECK(column_at(&to->rows.input[TOKEN_TARGET], i) == (int32_t)(lo + ids.id[i]));
        CHECK(column_at(&to->rows.input[TOKEN_OWN], 2 * i) == (int32_t)lo);
        CHECK(column_at(&to->rows.input[TOKEN_OWN], 2 * i + 1) == (int32_t)(lo + m->tokens.fast));
        CHECK(column_at(&b.id, separator + 1 + i) == (int32_t)(lo + ids.id[i]));
        CHECK(column_at(&b.mask, separator + 1 + i) == 1);
    }
    CHECK(tokens_total(&m->tokens) == lo + m->tokens.fast);
    text_ids_release(&ids);
    batch_release(&b);
}

TEST(rows_by_hand) {
    gato_model_t *m = learner();
    check_rows(m, 0, false, true, true);
    check_rows(m, 0, true, true, true);
    check_rows(m, 1, true, true, true);
    check_rows(m, 2, true, true, false); /* the grip is not there at timestep 7 */
    check_rows(m, 3, true, false, false);
    batch_t b;
    batch_init(&b, m);
    add_step(&b, 0, true, true); /* of an episode whose steps are no neighbors */
    CHECK(!targets(&b)->rows.n && batch_positions(&b) == VECTOR + 3);
    batch_release(&b);
    gato_model_free(m);
}

/* ---- at play ---- */

typedef struct {
    const gato_model_t *m;
    gato_graphs_t *graphs;
    batch_t batch;
    gato_metrics_t metrics;
    float x[2][CHUNK * ACTIONS]; /* of each slot */
} oracle_t;

/* The logits of FAST's ids behind all tokens so far, by the whole network. */
static const float *logits(oracle_t *o, const timestep_t *s, const uint32_t *id, size_t n) {
    reason_t why;
    batch_clear(&o->batch, false, 0, 0);
    batch_begin(&o->batch, 0);
    if (batch_observation(&o->batch, s, 0, 0, &why)) BUG("%s", why.text);
    for (size_t i = 0; i < n; i++) batch_token(&o->batch, id[i], -1, 0);
    batch_end(&o->batch);
    gato_step(o->graphs, &o->batch, 0, 0, 0, false, &o->metrics);
    const gato_graph_t *at = gato_graphs_last(o->graphs);
    const float *all = plan_data(at->plan, at->logits);
    size_t ids = tokens_total(&o->m->tokens);
    return all + (batch_positions(&o->batch) - 1) * ids + tokens_fast(&o->m->tokens);
}

/* The id that comes next; draws: over those that may, in their order. */
static uint32_t next_id(const oracle_t *o, const fast_state_t *s, const float *of, double heat,
                        double u) {
    uint32_t best = 0, n = fast_ids(o->m->fast);
    double top = -INFINITY, sum = 0, at = 0;
    for (uint32_t i = 0; i < n; i++)
        if (fast_allows(o->m->fast, s, i) && (double)of[i] > top) top = (double)of[best = i];
    if (!(heat > 0)) return best;
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < n; i++) {
            if (!fast_allows(o->m->fast, s, i)) continue;
            double e = exp(((double)of[i] - top) / heat);
            if (!pass) {
                sum += e;
                continue;
            }
            at += e / sum;
            if (at > u) return i;
        }
    return best;
}

/* x_t,d by the sum over frequencies, in extended precision, from the text that the ids spell. */
static void inverse(const oracle_t *o, const uint32_t *id, size_t n, size_t D, float *x) {
    int rc;
    reason_t why;
    const char *json = fast_tokenizer(o->m->fast);
    bpe_t *bpe = bpe_parse_partial(json, strlen(json), &rc, &why);
    size_t size, at = 0;
    char *text = bpe_decode(bpe, id, n, &size);
    long double X[CHUNK * ACTIONS], pi = acosl(-1);
    for (size_t i = 0; i < CHUNK * D; i++) {
        uint32_t c = (uint8_t)text[at++];
        if (c >= 0x80) c = (c - 0xC0) * 64 + (uint8_t)text[at++] - 0x80;
        X[i] = ((long double)c - 147) / 250;
    }
    CHECK(at == size, "%zu of %zu bytes", at, size);
    for (size_t t = 0; t < CHUNK; t++)
        for (size_t d = 0; d < D; d++) {
            long double sum = 0;
            for (size_t k = 0; k < CHUNK; k++)
                sum += X[k * D + d] * sqrtl((k ? 2.0L : 1.0L) / CHUNK) *
                       cosl(pi * (long double)((2 * t + 1) * k) / (2 * CHUNK));
            x[t * D + d] = (float)sum;
        }
    free(text);
    bpe_free(bpe);
}

/* What the chunk of timestep t says: o->x. */
static void decode(oracle_t *o, const scene_t *scene, size_t t, double heat) {
    view_t v;
    timestep_t s = {.task = 0};
    uint32_t all[4 * CHUNK * NUMBERS], lo = tokens_fast(&o->m->tokens);
    size_t n = 0;
    show(scene, t, &v);
    for (uint32_t k = 0; k < scene->task->n_slots; k++) {
        s.slot[k].vector = v.seen.slot[k].vector;
        s.slot[k].discrete = v.seen.slot[k].discrete;
    }
    for (uint32_t j = 0; j < 2; j++) {
        uint32_t D = j ? 1 : ACTIONS, id[2 * CHUNK * ACTIONS];
        size_t m = 0;
        fast_state_t state = fast_begin(o->m->fast, D);
        while (state.left) {
            double u = rng_uniform64(rng_fold(draw_of(t), 1 + 2 + j), m);
            id[m] = next_id(o, &state, logits(o, &s, all, n), heat, u);
            fast_take(o->m->fast, &state, id[m]);
            all[n++] = lo + id[m++];
        }
        inverse(o, id, m, D, o->x[j]);
    }
    view_release(&v);
}

static float said(const oracle_t *o, size_t j, size_t i) {
    return i < ACTIONS ? o->x[0][j * ACTIONS + i] : o->x[1][j];
}

/* Plays with so many actions of a chunk used. */
static void check_use(const player_opts_t *how, size_t execute, double heat) {
    static game_t g;
    gato_model_t *m = make_run(&arm, 1, 2);
    scene_t s = {.task = &m->tasks.v[0], .seed = 7};
    oracle_t o = {.m = m,
                  .graphs = gato_graphs_new(m, (graph_opts_t){.all_logits = true, .exact = true})};
    batch_init(&o.batch, m);
    gato_metrics_init(&o.metrics, m);
    player_t *p = open_run(how, &arm);
    REQUIRE(play_lane(p, 0, 0, &s, STEPS, NULL, &g));
    double worst = 0, inside = 0;
    for (size_t t = 0; t < STEPS; t++) {
        if (t % execute == 0) decode(&o, &s, t, heat);
        for (size_t i = 0; i < NUMBERS; i++) {
            double want = (double)said(&o, t % execute, i), got = (double)g.action[t].vector[i];
            inside += fabs(want) < 1;
            worst = fmax(worst, fabs(got - fmin(1, fmax(-1, want))));
        }
    }
    CHECK(worst < 1e-6, "execute %zu, temperature %g: %g", execute, heat, worst);
    CHECK(inside > STEPS * NUMBERS / 2, "%g numbers lie within the bounds", inside);
    player_close(p);
    gato_metrics_release(&o.metrics);
    batch_release(&o.batch);
    gato_graphs_free(o.graphs);
    gato_model_free(m);
}

TEST(chunks_are_written_as_the_whole_network_says) {
    check_use(&(player_opts_t){.execute = 1}, 1, 0);
    check_use(&(player_opts_t){.execute = 4}, 4, 0);
    check_use(&(player_opts_t){.execute = 6, .rebuild = true}, 6, 0);
    check_use(&(player_opts_t){.execute = 2, .decode = DECODE_SAMPLE, .temperature = 1.5}, 2, 1.5);
}

/* Lanes do not depend on one another, though their chunks have other numbers of tokens. */
TEST(lanes_give_what_each_gives_alone) {
    enum { LANES = 3 };
    static game_t alone[LANES];
    reason_t why;
    gato_model_t *m = make_run(&arm, 1, 2);
    scene_t s[LANES];
    const player_opts_t how = {.execute = 2};
    for (size_t i = 0; i < LANES; i++) {
        s[i] = (scene_t){.task = &m->tasks.v[0], .seed = 7 + i};
        player_t *p = open_run(&how, &arm);
        REQUIRE(play_lane(p, 0, 0, &s[i], STEPS, NULL, &alone[i]));
        player_close(p);
    }
    player_t *p = open_lanes(&how, &arm.has, 1, LANES);
    for (size_t i = 0; i < LANES; i++) player_reset(p, i, 0);
    for (size_t t = 0; t < STEPS; t++) {
        player_turn_t turn[LANES];
        view_t v[LANES];
        for (size_t i = 0; i < LANES; i++) {
            show(&s[i], t, &v[i]);
            turn[i] = (player_turn_t){.lane = i, .seen = &v[i].seen, .draw = draw_of(t)};
        }
        REQUIRE(!player_push(p, turn, LANES, &why), "%s", why.text);
        for (size_t i = 0; i < LANES; i++) {
            CHECK(!memcmp(turn[i].action.vector, alone[i].action[t].vector, NUMBERS * 4),
                  "lane %zu, step %zu", i, t);
            view_release(&v[i]);
        }
    }
    player_close(p);
    gato_model_free(m);
}

/* A given action voids the plan: the next step writes a chunk. */
TEST(given_actions_void_the_chunk) {
    static game_t own;
    reason_t why;
    gato_model_t *m = make_run(&arm, 1, 2);
    scene_t s = {.task = &m->tasks.v[0], .seed = 7};
    player_t *p = open_run(&(player_opts_t){.execute = 1}, &arm),
             *q = open_run(&(player_opts_t){.execute = 6}, &arm);
    REQUIRE(play_lane(p, 0, 0, &s, STEPS, NULL, &own));
    player_reset(q, 0, 0);
    for (size_t t = 0; t < 4; t++) {
        view_t v;
        show(&s, t, &v);
        player_turn_t turn = {.seen = &v.seen, .draw = draw_of(t)};
        if (t == 2) turn.given = &own.action[0];
        REQUIRE(!player_push(q, &turn, 1, &why), "%s", why.text);
        bool fresh = !memcmp(turn.action.vector, own.action[t].vector, NUMBERS * 4);
        if (t != 2) CHECK(fresh == (t != 1), "step %zu", t);
        view_release(&v);
    }
    player_close(p);
    player_close(q);
    gato_model_free(m);
}
