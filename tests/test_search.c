/* test_search.c - the cross-entropy method over made-up distances: updates by double loops, shares
 * of draws counted, minima known by hand. */
#include "gato/play/search.h"

#include "tests/test.h"

/* Columns 0, 1: a bounded vector; 2: one without bounds; 3, 4: discrete values. */
static task_t make_body(void) {
    task_t t = task_new("made up", RECORD_EPISODE);
    slot_t *push = task_add(&t, SLOT_VECTOR, SIDE_ACTED, "push", 2);
    push->low[0] = -1;
    push->high[0] = 1;
    push->low[1] = 2;
    push->high[1] = 6;
    task_add(&t, SLOT_VECTOR, SIDE_ACTED, "free", 1);
    slot_t *grip = task_add(&t, SLOT_DISCRETE, SIDE_ACTED, "grip", 2);
    grip->range = xcalloc(2, sizeof *grip->range);
    grip->range[0] = 3;
    grip->range[1] = 5;
    return t;
}

static search_t *make(const search_opts_t *o) {
    task_t body = make_body();
    reason_t why;
    search_t *s = search_new(&body, o, &why);
    task_release(&body);
    CHECK(s, "%s", why.text);
    return s;
}

static rng_t key(uint64_t seed) {
    return rng_make(seed, "test.search");
}

/* What is learned of an elite, by loops over candidates that never sort. */
TEST(the_elite_is_learned) {
    enum { N = 40, H = 3, E = 7 };
    search_opts_t o = {.candidates = N, .horizon = H, .iterations = 1, .elite = E, .execute = 1};
    search_t *s = make(&o);
    double before[H][2][5], distance[N];
    for (int round = 0; round < 3; round++) {
        const env_action_t *a = search_draw(s, key((uint64_t)round));
        for (size_t h = 0; h < H; h++)
            for (size_t c = 0; c < 2; c++)
                memcpy(before[h][c], search_column(s, h, 3 + c)->share, (c ? 5 : 3) * 8);
        for (size_t i = 0; i < N; i++) distance[i] = (double)((i * 17 + 5) % 13); /* with ties */
        size_t best = search_learn(s, distance), nearest = 0;
        bool elite[N];
        for (size_t i = 0; i < N; i++) {
            size_t ahead = 0;
            for (size_t j = 0; j < N; j++)
                ahead += distance[j] < distance[i] || (distance[j] == distance[i] && j < i);
            elite[i] = ahead < E;
            if (!ahead) nearest = i;
        }
        CHECK(best == nearest);
        for (size_t h = 0; h < H; h++)
            for (size_t c = 0; c < 5; c++) {
                const search_column_t *d = search_column(s, h, c);
                double sum = 0, squares = 0, count[5] = {0};
                for (size_t i = 0; i < N; i++) {
                    if (!elite[i]) continue;
                    if (c < 3)
                        sum += (double)a[i * H + h].vector[c];
                    else
                        count[a[i * H + h].discrete[c - 3]]++;
                }
                for (size_t i = 0; i < N; i++) {
                    double from_mean = c < 3 ? (double)a[i * H + h].vector[c] - sum / E : 0;
                    if (elite[i]) squares += from_mean * from_mean;
                }
                if (c < 3) {
                    CHECK_NEAR(d->mean, sum / E, 1e-12);
                    CHECK_NEAR(d->deviation, sqrt(squares / E), 1e-7);
                    CHECK(!d->share);
                    continue;
                }
                for (size_t v = 0; v < (c == 3 ? 3 : 5); v++)
                    CHECK_NEAR(d->share[v], 0.1 * before[h][c - 3][v] + 0.9 * count[v] / E, 1e-12);
            }
    }
    search_free(s);
}

/* First draws: normal numbers clamped to the bounds, equal shares; the first candidate is the
 * likeliest sequence. Then those of what was learned. */
TEST(draws_follow_what_was_learned) {
    enum { N = 20000 };
    search_opts_t o = {.candidates = N, .horizon = 2, .iterations = 1, .elite = 4, .execute = 1};
    search_t *s = make(&o);
    double *distance = xcalloc(N, sizeof *distance);
    for (int round = 0; round < 2; round++) {
        const env_action_t *a = search_draw(s, key(7));
        for (size_t h = 0; h < 2; h++) {
            double sum = 0, squares = 0, count[5] = {0};
            const search_column_t *loose = search_column(s, h, 2), *grip = search_column(s, h, 4);
            for (size_t i = 0; i < N; i++) {
                const env_action_t *x = &a[i * 2 + h];
                CHECK(x->vector[0] >= -1 && x->vector[0] <= 1 && x->vector[1] >= 2 &&
                      x->vector[1] <= 6 && x->discrete[0] < 3 && x->discrete[1] < 5);
                double v = (double)x->vector[2] - loose->mean;
                sum += v;
                squares += v * v;
                count[x->discrete[1]]++;
            }
            CHECK_NEAR(sum / N, 0, 4 * loose->deviation / sqrt(N));
            CHECK_NEAR(sqrt(squares / N), loose->deviation, 0.03 * loose->deviation);
            for (size_t v = 0; v < 5; v++) CHECK_NEAR(count[v] / N, grip->share[v], 0.015);
            CHECK_NEAR((double)a[h].vector[2], loose->mean, 1e-6);
            for (size_t v = 0; v < 5; v++) CHECK(grip->share[v] <= grip->share[a[h].discrete[1]]);
        }
        if (round) continue;
        CHECK_NEAR(search_column(s, 0, 1)->mean, 4, 0);
        CHECK_NEAR(search_column(s, 0, 1)->deviation, 2, 0);
        CHECK_NEAR(search_column(s, 1, 2)->deviation, 1, 0);
        CHECK_NEAR(search_column(s, 1, 4)->share[3], 0.2, 1e-15);
        for (size_t i = 0; i < N; i++) distance[i] = fabs((double)a[i * 2].vector[2] - 0.7);
        search_learn(s, distance);
    }
    free(distance);
    search_free(s);
}

/* Smooth draws: every step has the deviation that was asked for, neighbouring ones the correlation,
 * those two steps apart its square; independent ones have none. Sums over 20000 sequences. */
TEST(neighbouring_steps_are_correlated) {
    enum { N = 20000, H = 4 };
    for (int smooth = 0; smooth < 2; smooth++) {
        double rho = smooth ? 0.7 : 0;
        search_opts_t o = {
            .candidates = N, .horizon = H, .iterations = 1, .elite = 4, .execute = 1};
        o.smooth = rho;
        search_t *s = make(&o);
        const env_action_t *a = search_draw(s, key(9));
        for (size_t h = 0; h < H; h++)
            for (size_t k = h; k < H; k++) {
                double sum = 0;
                for (size_t i = 1; i < N; i++)
                    sum += (double)a[i * H + h].vector[2] * (double)a[i * H + k].vector[2];
                CHECK_NEAR(sum / N, pow(rho, (double)(k - h)), 0.04);
            }
        double across = 0; /* columns do not know of one another */
        for (size_t i = 1; i < N; i++)
            across += (double)a[i * H].vector[2] * (double)a[i * H].vector[0];
        CHECK_NEAR(across / N, 0, 0.04);
        search_free(s);
    }
}

/* A body at a place moves by the actions; how far it is from where it should be. */
static const double GOAL[3][3] = {{0.4, 2.5, -1.3}, {-0.9, 5.5, 0.2}, {0.1, 3, 2.1}};
static const uint32_t CHOICE[3][2] = {{2, 4}, {0, 1}, {1, 3}};

typedef struct {
    search_opts_t o;
    size_t calls;
    double nearest; /* mean distance of all that was measured */
    bool fails;
} world_t;

static double quadratic(const env_action_t *a, size_t h) {
    double d = 0;
    for (size_t c = 0; c < 3; c++) {
        double x = (double)a->vector[c] - GOAL[h][c];
        d += x * x;
    }
    for (size_t c = 0; c < 2; c++) d += a->discrete[c] != CHOICE[h][c];
    return d;
}

static int measure(void *ctx, const env_action_t *sequence, double *distance, reason_t *why) {
    world_t *w = ctx;
    w->calls++;
    if (w->fails) return reason_set(why, "no dreams");
    for (size_t i = 0; i < w->o.candidates; i++) {
        double sum = 0;
        for (size_t h = 0; h < w->o.horizon; h++) {
            size_t at = i * w->o.horizon + h;
            distance[at] = quadratic(&sequence[at], h);
            sum += distance[at];
        }
        sum /= (double)w->o.horizon;
        if (sum < w->nearest) w->nearest = sum;
    }
    return 0;
}

TEST(the_minimum_of_a_quadratic_is_found) {
    world_t w = {
        .o = {.candidates = 256, .horizon = 3, .iterations = 25, .elite = 32, .execute = 2}};
    reason_t why;
    double once = 0;
    for (uint64_t seed = 0; seed < 3; seed++) {
        search_t *s = make(&w.o);
        const search_found_t *f = search_run(s, key(seed), measure, &w, &why);
        REQUIRE(f, "%s", why.text);
        double sum = 0;
        for (size_t h = 0; h < 3; h++) {
            for (size_t c = 0; c < 3; c++)
                CHECK_NEAR((double)f->action[h].vector[c], GOAL[h][c], 0.05);
            for (size_t c = 0; c < 2; c++) CHECK(f->action[h].discrete[c] == CHOICE[h][c]);
            CHECK(f->distance[h] == quadratic(&f->action[h], h));
            sum += f->distance[h] / 3;
        }
        CHECK_NEAR(f->mean, sum, 1e-15);
        search_free(s);
    }
    CHECK(w.calls == 75);
    /* Random shooting finds it less well, and the same each time. */
    w.o.iterations = 1;
    for (int run = 0; run < 2; run++) {
        search_t *s = make(&w.o);
        const search_found_t *f = search_run(s, key(1), measure, &w, &why);
        REQUIRE(f);
        CHECK(f->mean > 0.1 && (!run || f->mean == once));
        once = f->mean;
        search_free(s);
    }
    w.fails = true;
    search_t *s = make(&w.o);
    CHECK(!search_run(s, key(1), measure, &w, &why) && !strcmp(why.text, "no dreams"));
    search_free(s);
}

/* An elite of all learns nothing, so the last iteration is seldom the best. */
TEST(the_nearest_of_all_iterations_is_found) {
    world_t w = {.o = {.candidates = 3, .horizon = 3, .iterations = 9, .elite = 3, .execute = 1}};
    reason_t why;
    search_t *s = make(&w.o);
    for (uint64_t seed = 0; seed < 20; seed++) {
        w.nearest = INFINITY;
        search_begin(s);
        const search_found_t *f = search_run(s, key(seed), measure, &w, &why);
        REQUIRE(f);
        CHECK(f->mean == w.nearest);
        for (size_t h = 0; h < 3; h++) CHECK(f->distance[h] == quadratic(&f->action[h], h));
    }
    search_free(s);
}

/* After k steps the next search begins with the rest of what was learned. */
TEST(what_was_learned_is_shifted) {
    enum { N = 64, H = 4 };
    search_opts_t o = {.candidates = N, .horizon = H, .iterations = 1, .elite = 5, .execute = 1};
    for (size_t k = 1; k <= H; k++) {
        search_t *s = make(&o);
        double distance[N], mean[H], share[H][5];
        search_draw(s, key(k));
        for (size_t i = 0; i < N; i++) distance[i] = (double)(i % 11);
        search_learn(s, distance);
        for (size_t h = 0; h < H; h++) {
            mean[h] = search_column(s, h, 1)->mean;
            memcpy(share[h], search_column(s, h, 4)->share, sizeof share[h]);
        }
        search_shift(s, k);
        for (size_t h = 0; h < H; h++) {
            size_t from = h + k;
            if (from > H - 1) from = H - 1;
            CHECK(search_column(s, h, 1)->mean == mean[from]);
            CHECK_NEAR(search_column(s, h, 0)->deviation, 1, 0);
            CHECK_NEAR(search_column(s, h, 1)->deviation, 2, 0);
            CHECK_NEAR(search_column(s, h, 2)->deviation, 1, 0);
            for (size_t v = 0; v < 5; v++)
                CHECK_NEAR(search_column(s, h, 4)->share[v], 0.5 * share[from][v] + 0.1, 1e-12);
        }
        search_begin(s);
        CHECK_NEAR(search_column(s, 0, 1)->mean, 4, 0);
        CHECK_NEAR(search_column(s, 0, 3)->share[1], 1.0 / 3, 1e-15);
        search_free(s);
    }
    search_t *s = make(&o);
    env_action_t middle;
    search_middle(s, &middle);
    CHECK(middle.vector[0] == 0 && middle.vector[1] == 4 && middle.vector[2] == 0);
    search_free(s);
}

TEST(fault_options_out_of_range) {
    static const search_opts_t wrong[] = {
        {1, 1, 1, 1, 1, 0}, {2, 0, 1, 1, 1, 0}, {2, 1, 0, 1, 1, 0},
        {2, 1, 1, 0, 1, 0}, {2, 1, 1, 3, 1, 0}, {2, 1, 1, 1, 0, 0},
        {2, 1, 1, 1, 2, 0}, {2, 1, 1, 1, 1, 1}, {2, 1, 1, 1, 1, -0.1}};
    task_t body = make_body();
    reason_t why;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK(!search_new(&body, &wrong[i], &why) && strstr(why.text, "a plan needs"));
    task_release(&body);
}
