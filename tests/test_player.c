/* test_player.c - a policy at play against the same network run whole: the cache against a full
 * forward under the mask of the attention window, actions against the logits they are read from,
 * rebuilding against the cache. */
#include "tests/player_case.h"

/* ---- the oracle: the whole game as one sequence, run once ---- */

typedef struct {
    batch_t batch;
    gato_graphs_t graphs;
    const float *hidden, *logits, *action; /* [T,D] [T,V] [steps,A] */
    size_t tokens, V;
} whole_t;

static void whole_open(whole_t *w, gato_model_t *m, const kind_t *k, int32_t attn_window,
                       const char *text, const game_t *g) {
    vqvae_t *v = k->codes ? make_tokenizer() : NULL;
    uint32_t codes[8], words[256];
    size_t n = text ? strlen(text) + 1 : 0;
    for (size_t i = 0; i < n; i++) words[i] = i + 1 < n ? (uint8_t)text[i] : 256;
    m->attn_window = attn_window;
    batch_init(&w->batch, &m->config, &m->facts);
    batch_begin(&w->batch);
    for (size_t t = 0; t < g->T; t++) {
        float vector[VECTOR];
        uint8_t rgb[W * H * 3];
        see(t, vector, rgb);
        timestep_t s = {
            .continuous = vector, .actions = g->action[t], .text = n ? words : NULL, .text_len = n};
        if (k->patches) s.rgb = rgb, s.image_w = W, s.image_h = H;
        if (v)
            vqvae_encode_images(v, rgb, 1, W, H, codes), s.codes = codes, s.grid_h = H / 4,
                                                         s.grid_w = W / 4;
        batch_observation(&w->batch, &s, (int32_t)t, 0);
        batch_actions(&w->batch, &s, (int32_t)t);
    }
    batch_end(&w->batch);
    gato_graphs_init(&w->graphs, m, (graph_opts_t){.all_logits = true, .exact = true});
    gato_step(&w->graphs, &w->batch, 0, 0, 0, false);
    const gato_graph_t *at = w->graphs.last;
    w->hidden = plan_data(at->plan, at->hidden);
    w->logits = plan_data(at->plan, at->logits);
    w->action = at->action == NO_VAR ? NULL : plan_data(at->plan, at->action);
    w->tokens = k->tokens + n;
    w->V = tokens_total(&m->tokens);
    CHECK(batch_positions(&w->batch) == g->T * w->tokens, "%s: %zu tokens", k->name,
          batch_positions(&w->batch));
    vqvae_free(v);
}

static void whole_close(whole_t *w) {
    gato_graphs_release(&w->graphs);
    batch_release(&w->batch);
}

/* Logits of the bins that action i of step t is read from: at the token before it. */
static const float *bin_logits(const whole_t *w, size_t t, size_t i) {
    return w->logits + (t * w->tokens + w->tokens - ACTIONS - 1 + i) * w->V + 257;
}

static void softmax(const float *logits, double temperature, double *out) {
    double sum = 0;
    for (size_t b = 0; b < BINS; b++) sum += out[b] = exp((double)logits[b] / temperature);
    for (size_t b = 0; b < BINS; b++) out[b] /= sum;
}

static double center(size_t bin) {
    return -1 + (2.0 * (double)bin + 1) / BINS;
}

static double mean_value(const float *logits) {
    double p[BINS], mean = 0;
    softmax(logits, 1, p);
    for (size_t b = 0; b < BINS; b++) mean += p[b] * center(b);
    return mean;
}

/* Largest differences of a game (actions by expectation or regression) from the whole. skipped:
 * tokens at the end of a timestep that a player runs with the next one, if at all. */
static void compare(const kind_t *k, gato_model_t *m, int32_t attn_window, const char *text,
                    const game_t *g) {
    whole_t w;
    whole_open(&w, m, k, attn_window, text, g);
    bool regress = m->config.loss.action_kind == ACTION_MSE;
    size_t D = 16, skipped = regress ? ACTIONS : 1;
    double hidden = 0, action = 0, moved = 0;
    for (size_t t = 0; t < g->T; t++) {
        const float *h = w.hidden + ((t + 1) * w.tokens - 1 - skipped) * D;
        for (size_t d = 0; d < D; d++)
            hidden = fmax(hidden, fabs((double)g->hidden[t][d] - (double)h[d]));
        for (size_t i = 0; i < ACTIONS; i++) {
            double want = regress ? fmin(1, fmax(-1, (double)w.action[t * ACTIONS + i]))
                                  : mean_value(bin_logits(&w, t, i));
            action = fmax(action, fabs((double)g->action[t][i] - want));
            if (t) moved = fmax(moved, fabs((double)g->action[t][i] - (double)g->action[t - 1][i]));
        }
    }
    CHECK(hidden < TOLERANCE, "%s, %zu steps, attention window %d: hidden states differ by %g",
          k->name, g->T, attn_window, hidden);
    CHECK(action < TOLERANCE, "%s, %zu steps, attention window %d: actions differ by %g", k->name,
          g->T, attn_window, action);
    CHECK(moved > 10 * TOLERANCE, "%s: actions hardly move, %g", k->name, moved);
    whole_close(&w);
}

static void play_and_compare(const kind_t *k, size_t attn_window, int layers, const char *text,
                             size_t T) {
    static game_t g;
    gato_model_t *m = make_run(k, attn_window, layers);
    player_t *p = open_run(&(player_opts_t){.decode = DECODE_MEAN});
    CHECK(player_model(p)->attn_window == (int32_t)attn_window,
          "%s: attention window %d, wanted %zu", k->name, player_model(p)->attn_window,
          attn_window);
    if (play(p, text, T, &g))
        compare(k, m, (int32_t)attn_window, text, &g);
    else
        CHECK(false, "%s", k->name);
    player_close(p);
    gato_model_free(m);
}

TEST(the_cache_is_the_full_forward_under_the_band) {
    static const size_t bands[] = {1, 2, 3, 12};
    for (size_t k = 0; k < KINDS; k++)
        for (size_t b = 0; b < 4; b++) play_and_compare(&kinds[k], bands[b], 2, NULL, 12);
}
/* The cache is moved to its front again and again. */
TEST(many_steps) {
    play_and_compare(&kinds[BIN], 3, 3, NULL, LONGEST);
    play_and_compare(&kinds[LINEAR], 1, 2, NULL, LONGEST);
    play_and_compare(&kinds[MSE], 7, 2, NULL, LONGEST);
    play_and_compare(&kinds[CODES], 2, 2, NULL, LONGEST);
}
TEST(a_mission_in_every_timestep) {
    play_and_compare(&kinds[LINEAR], 3, 2, "go", 12);
    /* The attention window counts timesteps without text: what is seen can be far more than the
     * context. */
    play_and_compare(
        &kinds[LINEAR], 4, 2,
        "a mission of many more tokens than the band allows for, and then some more of "
        "them, until the cache has to grow",
        12);
}

/* The attention window hides something: otherwise the comparisons above would hold without one. */
TEST(the_band_matters) {
    static game_t g;
    gato_model_t *m = make_run(&kinds[BIN], 3, 2);
    player_t *p = open_run(&(player_opts_t){.decode = DECODE_MEAN});
    REQUIRE(play(p, NULL, 12, &g));
    for (int32_t attn_window = 2; attn_window <= 4; attn_window += 2) {
        whole_t w;
        whole_open(&w, m, &kinds[BIN], attn_window, NULL, &g);
        double d = 0;
        for (size_t i = 0; i < 16; i++)
            d = fmax(
                d, fabs((double)g.hidden[11][i] - (double)w.hidden[(12 * w.tokens - 2) * 16 + i]));
        CHECK(d > 100 * TOLERANCE, "attention window %d: %g", attn_window, d);
        whole_close(&w);
    }
    player_close(p);
    gato_model_free(m);
}

/* ---- reset, rebuilding, blank ---- */

static double farthest(const game_t *a, const game_t *b) {
    double d = 0;
    for (size_t t = 0; t < a->T; t++)
        for (size_t i = 0; i < ACTIONS; i++)
            d = fmax(d, fabs((double)a->action[t][i] - (double)b->action[t][i]));
    return d;
}

TEST(a_reset_forgets_everything) {
    static game_t first, again;
    for (int rebuild = 0; rebuild < 2; rebuild++) {
        gato_model_t *m = make_run(&kinds[BIN], 5, 2);
        player_t *p = open_run(&(player_opts_t){.decode = DECODE_SAMPLE, .rebuild = rebuild});
        REQUIRE(play(p, NULL, 12, &first) && play(p, NULL, 7, &again) && play(p, NULL, 12, &again));
        CHECK(!memcmp(&first.action, &again.action, sizeof first.action[0] * 12));
        player_close(p);
        gato_model_free(m);
    }
}

/* A context of the last N steps run anew sees what the cache holds while nothing was dropped; with
 * N = 1 always, and so with one layer, whose keys and values know nothing of older steps. */
TEST(rebuilding_equals_the_cache) {
    static const struct {
        int kind;
        size_t attn_window, T;
        int layers;
    } cases[] = {{BIN, 12, 12, 2},   {BIN, 20, 12, 3},    {MSE, 12, 12, 2},
                 {CODES, 12, 12, 2}, {PATCHES, 12, 5, 2}, {MIX, 1, 12, 2},
                 {MSE, 1, 12, 2},    {BIN, 3, 30, 1},     {MSE_BIN, 4, 30, 1}};
    static game_t a, b;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gato_model_t *m = make_run(&kinds[cases[i].kind], cases[i].attn_window, cases[i].layers);
        player_t *cache = open_run(&(player_opts_t){.decode = -1}),
                 *anew = open_run(&(player_opts_t){.decode = -1, .rebuild = true});
        REQUIRE(play(cache, NULL, cases[i].T, &a) && play(anew, NULL, cases[i].T, &b));
        CHECK(farthest(&a, &b) < TOLERANCE, "%s, attention window %zu: %g",
              kinds[cases[i].kind].name, cases[i].attn_window, farthest(&a, &b));
        player_close(cache);
        player_close(anew);
        gato_model_free(m);
    }
    gato_model_t *m = make_run(
        &kinds[BIN], 3, 2); /* and is something else once steps were dropped between two layers */
    player_t *cache = open_run(&(player_opts_t){.decode = -1}),
             *anew = open_run(&(player_opts_t){.decode = -1, .rebuild = true});
    REQUIRE(play(cache, NULL, 12, &a) && play(anew, NULL, 12, &b));
    CHECK(farthest(&a, &b) > TOLERANCE);
    player_close(cache);
    player_close(anew);
    gato_model_free(m);
}

TEST(blank_is_a_black_image) {
    static const int seeing[] = {CODES, PATCHES};
    for (size_t k = 0; k < 2; k++) {
        gato_model_t *m = make_run(&kinds[seeing[k]], 3, 2);
        player_t *open = open_run(&(player_opts_t){.decode = -1}),
                 *blank = open_run(&(player_opts_t){.decode = -1, .blank = true});
        float vector[VECTOR], a[ACTIONS], b[ACTIONS], c[ACTIONS];
        uint8_t rgb[W * H * 3], black[W * H * 3] = {0};
        reason_t why;
        see(4, vector, rgb);
        CHECK(!player_act(blank, rgb, W, H, vector, NULL, draw_of(0), a, &why));
        CHECK(!player_act(open, black, W, H, vector, NULL, draw_of(0), b, &why));
        player_reset(open);
        CHECK(!player_act(open, rgb, W, H, vector, NULL, draw_of(0), c, &why));
        CHECK(!memcmp(a, b, sizeof a), "%s", kinds[seeing[k]].name);
        CHECK(fabs((double)a[0] - (double)c[0]) > 1e-3, "%s: what it sees does not matter, %g",
              kinds[seeing[k]].name, (double)a[0]);
        player_close(open);
        player_close(blank);
        gato_model_free(m);
    }
}

/* ---- decoding ---- */

static size_t likeliest(const float *logits) {
    size_t best = 0;
    for (size_t b = 1; b < BINS; b++)
        if (logits[b] > logits[best]) best = b;
    return best;
}

/* The first bin whose cumulated probability exceeds u; the distance of u to the nearer step is in
 * *margin. */
static size_t drawn(const float *logits, double temperature, double u, double *margin) {
    double p[BINS], sum = 0;
    softmax(logits, temperature, p);
    size_t bin = BINS;
    *margin = 1;
    for (size_t b = 0; b < BINS; b++) {
        sum += p[b];
        if (b + 1 < BINS) *margin = fmin(*margin, fabs(sum - u));
        if (sum > u && bin == BINS) bin = b;
    }
    return bin < BINS ? bin : BINS - 1;
}

TEST(actions_are_decoded_as_written) {
    static const struct {
        decode_t decode;
        double temperature;
    } ways[] = {{DECODE_MEAN, 0},   {DECODE_CENTER, 0},   {DECODE_LEFT, 0},  {DECODE_GREEDY, 0},
                {DECODE_SAMPLE, 1}, {DECODE_SAMPLE, 0.3}, {DECODE_SAMPLE, 3}};
    static game_t g;
    gato_model_t *m = make_run(&kinds[BIN], 3, 2);
    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
        player_t *p = open_run(
            &(player_opts_t){.decode = ways[k].decode, .temperature = ways[k].temperature});
        REQUIRE(play(p, NULL, 40, &g));
        whole_t w;
        whole_open(&w, m, &kinds[BIN], 3, NULL, &g);
        for (size_t t = 0; t < g.T; t++)
            for (size_t i = 0; i < ACTIONS; i++) {
                const float *logits = bin_logits(&w, t, i);
                double want = 0, margin = 1;
                switch (ways[k].decode) {
                case DECODE_MEAN:
                    want = mean_value(logits);
                    break;
                case DECODE_LEFT:
                    want = -1 + 2.0 * (double)likeliest(logits) / BINS;
                    break;
                case DECODE_SAMPLE:
                    want = center(
                        drawn(logits, ways[k].temperature, rng_uniform64(draw_of(t), i), &margin));
                    break;
                default:
                    want = center(likeliest(logits));
                }
                if (margin < 1e-5) continue; /* rounding may fall on either side */
                CHECK(fabs((double)g.action[t][i] - want) <
                          (ways[k].decode == DECODE_MEAN ? TOLERANCE : 1e-7),
                      "way %zu, step %zu, action %zu: %g, wanted %g", k, t, i,
                      (double)g.action[t][i], want);
            }
        whole_close(&w);
        player_close(p);
    }
    gato_model_free(m);
}

/* How often each bin is drawn, against the probabilities: within five deviations. */
TEST(draws_follow_the_probabilities) {
    enum { DRAWS = 4000 };
    static const double temperatures[] = {1, 2.5};
    static game_t g;
    gato_model_t *m = make_run(&kinds[LINEAR], 1, 1);
    for (size_t k = 0; k < 2; k++) {
        player_t *p =
            open_run(&(player_opts_t){.decode = DECODE_SAMPLE, .temperature = temperatures[k]});
        float vector[VECTOR], action[ACTIONS];
        uint8_t rgb[W * H * 3];
        size_t count[BINS] = {0};
        reason_t why;
        REQUIRE(play(p, NULL, 1, &g));
        see(0, vector, rgb);
        for (size_t i = 0; i < DRAWS; i++) {
            player_reset(p);
            if (player_act(p, rgb, W, H, vector, NULL, rng_fold(rng_make(9, "many"), i), action,
                           &why))
                break;
            long bin = lround(((double)action[0] + 1) * BINS / 2 - 0.5);
            CHECK(bin >= 0 && bin < BINS && fabs((double)action[0] - center((size_t)bin)) < 1e-6);
            if (bin >= 0 && bin < BINS) count[bin]++;
        }
        whole_t w;
        double q[BINS];
        whole_open(&w, m, &kinds[LINEAR], 1, NULL, &g);
        softmax(bin_logits(&w, 0, 0), temperatures[k], q);
        for (size_t b = 0; b < BINS; b++)
            CHECK(fabs((double)count[b] - DRAWS * q[b]) < 5 * sqrt(DRAWS * q[b] * (1 - q[b])) + 1,
                  "bin %zu: %zu of %d, expected %g", b, count[b], DRAWS, DRAWS * q[b]);
        whole_close(&w);
        player_close(p);
    }
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
    gato_model_t *m =
        make_run(&kinds[MSE], 2, 1); /* a head that asks for far more than can be done */
    float *bias =
        params_ptr(m->params, PARAMS_VALUE, params_find(m->params, "predict_action.bias"));
    bias[0] = 100, bias[1] = -100;
    reason_t why;
    if (run_save(m, in_folder("run"), &why)) BUG("%s", why.text);
    player_t *p = open_run(&(player_opts_t){.decode = -1});
    static game_t g;
    REQUIRE(play(p, NULL, 3, &g));
    CHECK(g.action[2][0] == 1.0f && g.action[2][1] == -1.0f, "%g %g", (double)g.action[2][0],
          (double)g.action[2][1]);
    player_close(p);
    gato_model_free(m);
}
