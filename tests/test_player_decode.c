/* test_player_decode.c - how logits become actions, against probabilities taken from the network
 * run whole. */
#include "tests/player_whole.h"

/* The first of n whose cumulated probability exceeds u; the distance of u to the nearer step is in
 * *margin. */
static size_t drawn(const float *logits, size_t n, double temperature, double u, double *margin) {
    double p[64], sum = 0, top = -INFINITY;
    for (size_t b = 0; b < n; b++) top = fmax(top, (double)logits[b]);
    for (size_t b = 0; b < n; b++) sum += p[b] = exp(((double)logits[b] - top) / temperature);
    double all = sum;
    size_t bin = n;
    *margin = 1;
    sum = 0;
    for (size_t b = 0; b < n; b++) {
        sum += p[b] / all;
        if (b + 1 < n) *margin = fmin(*margin, fabs(sum - u));
        if (sum > u && bin == n) bin = b;
    }
    return bin < n ? bin : n - 1;
}

typedef struct {
    int decode;
    double temperature;
    bin_kind_t bins;
} way_t;

/* What a bin of column i stands for. */
static double value_of(const way_t *way, size_t i, size_t b) {
    double y = way->decode == DECODE_LEFT ? -1 + 2.0 * (double)b / BINS : center(b);
    if (way->bins == BIN_KIND_QUANTILE) return own_value(i, b, BINS);
    return way->bins == BIN_KIND_MULAW ? copysign((pow(101, fabs(y)) - 1) / 100, y) : y;
}

static double expected(const way_t *way, size_t i, const float *logits, double u, double *margin) {
    if (way->decode == DECODE_MEAN) {
        double p[BINS], mean = 0;
        softmax(logits, 1, p);
        for (size_t b = 0; b < BINS; b++) mean += p[b] * value_of(way, i, b);
        return mean;
    }
    if (way->decode == DECODE_SAMPLE && way->temperature > 0)
        return value_of(way, i, drawn(logits, BINS, way->temperature, u, margin));
    return value_of(way, i, likeliest(logits, BINS, margin));
}

/* The columns of actions draw the numbers 0, 1, ... of the timestep's key, choices the next. */
static void check_step(const way_t *way, const whole_t *w, const task_t *task, size_t t,
                       const env_action_t *a) {
    const slot_t *choice = &task->slot[task->n_slots - 1];
    double margin = 1;
    for (size_t i = 0; i < ACTIONS; i++) {
        double want =
            expected(way, i, whole_logits(w, t, i, 257), rng_uniform64(draw_of(t), i), &margin);
        if (margin < 1e-4) continue; /* rounding may fall on either side */
        CHECK(fabs((double)a->vector[i] - want) < (way->decode == DECODE_MEAN ? TOLERANCE : 1e-6),
              "decode %d, step %zu, action %zu: %g, wanted %g", way->decode, t, i,
              (double)a->vector[i], want);
    }
    for (size_t i = 0; i < choice->width; i++) {
        const float *logits = whole_logits(w, t, ACTIONS + i, 257 + BINS);
        size_t n = choice->range[i];
        size_t want = way->decode == DECODE_SAMPLE && way->temperature > 0
                          ? drawn(logits, n, way->temperature,
                                  rng_uniform64(draw_of(t), ACTIONS + i), &margin)
                          : likeliest(logits, n, &margin);
        if (margin < 1e-4) continue;
        CHECK(a->discrete[i] == want, "decode %d, step %zu, choice %zu: %u, wanted %zu",
              way->decode, t, i, a->discrete[i], want);
    }
}

static void check_ways(const kind_t *k, bin_kind_t bins) {
    static const way_t ways[] = {{DECODE_MEAN, 0, 0},     {DECODE_CENTER, 0, 0},
                                 {DECODE_LEFT, 0, 0},     {DECODE_GREEDY, 0, 0},
                                 {DECODE_SAMPLE, 1, 0},   {DECODE_SAMPLE, 0, 0},
                                 {DECODE_SAMPLE, 0.3, 0}, {DECODE_SAMPLE, 2.5, 0}};
    static game_t g;
    gato_model_t *m = make_run(k, 3, 2);
    scene_t s = {.task = &m->tasks.v[0], .seed = 7};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        way_t way = ways[i];
        way.bins = bins;
        if (bins == BIN_KIND_QUANTILE && way.decode == DECODE_LEFT) continue; /* refused */
        player_t *p = open_run(
            &(player_opts_t){.decode = ways[i].decode, .temperature = ways[i].temperature}, k);
        REQUIRE(play(p, NULL, 40, &g));
        whole_t *w = whole_open(m, 0, 3, tokens_of(k, k->has), &s, &g);
        for (size_t t = 0; t < g.T; t++) check_step(&way, w, s.task, t, &g.action[t]);
        whole_close(w);
        player_close(p);
    }
    gato_model_free(m);
}

TEST(actions_are_decoded_as_written) {
    check_ways(&(kind_t){"both", {0}, HAS_ACTION | HAS_CHOICES}, BIN_KIND_UNIFORM);
    check_ways(&(kind_t){"mu-law", {"model.bin_kind=mulaw"}, HAS_ACTION | HAS_CHOICES},
               BIN_KIND_MULAW);
    check_ways(&(kind_t){"own", {"model.bin_kind=quantile"}, HAS_ACTION | HAS_CHOICES},
               BIN_KIND_QUANTILE);
}

/* Bins that stand for the mean of their numbers have no left edge to decode to. */
TEST(no_left_edge_of_a_mean) {
    kind_t k = {"own", {"model.bin_kind=quantile"}, HAS_ACTION};
    gato_model_t *m = make_run(&k, 3, 1);
    int rc = 0;
    reason_t why = {""};
    CHECK(!player_open(in_folder("run"), &(player_opts_t){.decode = DECODE_LEFT}, &rc, &why));
    CHECK(rc == RC_USAGE && strstr(why.text, "act.decode = left"), "%d, %s", rc, why.text);
    gato_model_free(m);
}

/* Nothing said: as the RUN says. */
TEST(the_run_says_how_to_decode) {
    static game_t said, silent;
    gato_model_t *m = make_run(&kinds[BIN], 3, 2);
    m->config.act.decode = DECODE_SAMPLE;
    m->config.act.temperature = 0.7;
    save(m);
    player_t *p = open_run(&(player_opts_t){.decode = -1, .temperature = -1}, &kinds[BIN]),
             *q = open_run(&(player_opts_t){.decode = DECODE_SAMPLE, .temperature = 0.7},
                           &kinds[BIN]);
    REQUIRE(play(p, NULL, 12, &silent) && play(q, NULL, 12, &said));
    CHECK(same_games(&said, &silent));
    player_close(p);
    player_close(q);
    gato_model_free(m);
}

/* How often each bin is drawn, against the probabilities: within five deviations. */
TEST(draws_follow_the_probabilities) {
    enum { DRAWS = 4000 };
    static const double temperatures[] = {1, 2.5};
    static game_t g;
    gato_model_t *m = make_run(&kinds[LINEAR], 1, 1);
    scene_t s = {.task = &m->tasks.v[0], .seed = 7};
    view_t v;
    show(&s, 0, &v);
    for (size_t k = 0; k < 2; k++) {
        player_t *p =
            open_run(&(player_opts_t){.decode = DECODE_SAMPLE, .temperature = temperatures[k]},
                     &kinds[LINEAR]);
        size_t count[BINS] = {0};
        reason_t why;
        REQUIRE(play(p, NULL, 1, &g));
        for (size_t i = 0; i < DRAWS; i++) {
            player_reset(p, 0, 0);
            player_turn_t turn = {.seen = &v.seen, .draw = rng_fold(rng_make(9, "many"), i)};
            REQUIRE(!player_push(p, &turn, 1, &why));
            double x = (double)turn.action.vector[0];
            long bin = lround((x + 1) * BINS / 2 - 0.5);
            CHECK(bin >= 0 && bin < BINS && fabs(x - center((size_t)bin)) < 1e-6);
            if (bin >= 0 && bin < BINS) count[bin]++;
        }
        whole_t *w = whole_open(m, 0, 1, 0, &s, &g);
        double q[BINS];
        softmax(whole_logits(w, 0, 0, 257), temperatures[k], q);
        for (size_t b = 0; b < BINS; b++)
            CHECK(fabs((double)count[b] - DRAWS * q[b]) < 5 * sqrt(DRAWS * q[b] * (1 - q[b])) + 1,
                  "bin %zu: %zu of %d, expected %g", b, count[b], DRAWS, DRAWS * q[b]);
        whole_close(w);
        player_close(p);
    }
    view_release(&v);
    gato_model_free(m);
}

/* The next token is the bin of the action, whatever its value: -1, 1 and all that lies beyond are
 * the first and the last bin, never one more. */
TEST(fault_082_bins_of_the_ends) {
    static const float at[] = {-2, -1, 1, 1.5f, INFINITY};
    static const uint32_t want[] = {0, 0, 1023, 1023, 1023};
    tokens_t t = {.text = 257, .bins = 1024, .mu = 100, .M = 256};
    for (size_t i = 0; i < 5; i++) CHECK(tokens_bin(at[i], 1024) == want[i], "%g", (double)at[i]);
    CHECK(tokens_bin_observation(&t, 256) == 1023 && tokens_bin_observation(&t, 1e30f) == 1023 &&
          tokens_bin_observation(&t, -1e30f) == 0);
    /* a head that asks for far more than can be done */
    gato_model_t *m = make_run(&kinds[MSE], 2, 1);
    float *bias =
        params_ptr(m->params, PARAMS_VALUE, params_find(m->params, "predict_action.body0.bias"));
    bias[0] = 100, bias[1] = -100;
    save(m);
    player_t *p = open_run(&(player_opts_t){.decode = -1}, &kinds[MSE]);
    static game_t g;
    REQUIRE(play(p, NULL, 3, &g));
    CHECK(g.action[2].vector[0] == 1.0f && g.action[2].vector[1] == -1.0f, "%g %g",
          (double)g.action[2].vector[0], (double)g.action[2].vector[1]);
    player_close(p);
    gato_model_free(m);
}
