/* test_quantizer.c - the codebook's start by k-means, its moving averages, restarts and use,
 * against their formulas in double precision.
 */
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "common/io/safetensors/safetensors.h"
#include "common/kernel/kernel.h"
#include "tests/golden.h"
#include "tests/test.h"
#include "vqvae/metrics.h"
#include "vqvae/quantizer_kind.h"

__attribute__((constructor)) static void one_thread(void) {
    pool_set_threads(1);
}

static config_t quantizer_config(int64_t K, int64_t D, const char *kind) {
    config_t c;
    config_defaults(config_table, &c);
    c.model.num_vq_embeddings = K;
    c.model.vq_embed_dim = D;
    while (strcmp(kind, quantizer_kind(&c)->name)) c.quantizer.kind++;
    return c;
}

static params_t *codebook_params(size_t K, size_t D) {
    params_t *p = params_new(4);
    params_get(p, "other", 1, (size_t[]){3}, LAYOUT_SAME, (param_init_t){INIT_ONE, 0});
    params_get(p, "quantize.embedding.weight", 2, (size_t[]){K, D}, LAYOUT_SAME,
               (param_init_t){INIT_NORMAL, 1});
    return p;
}

static size_t nearest(const float *z, const float *e, size_t K, size_t D) {
    size_t best = 0;
    double least = INFINITY;
    for (size_t k = 0; k < K; k++) {
        double d2 = 0;
        for (size_t d = 0; d < D; d++) d2 += pow((double)z[d] - e[k * D + d], 2);
        if (d2 < least) least = d2, best = k;
    }
    return best;
}

/* A finished k-means: every center is the mean of the vectors nearest to it. */
TEST(kmeans_is_a_fixed_point) {
    enum { K = 6, D = 3, N = 90 };
    for (uint64_t seed = 0; seed < 20; seed++) {
        config_t c = quantizer_config(K, D, "ema");
        params_t *p = codebook_params(K, D);
        quantizer_t q;
        float z[N * D];
        for (size_t i = 0; i < N; i++) /* six heaps */
            for (size_t d = 0; d < D; d++)
                z[i * D + d] = 4 * rng_normal(rng_make(seed, "heap"), i % K * D + d) +
                               0.3f * rng_normal(rng_make(seed, "z"), i * D + d);
        quantizer_init(&q, &c, p, 40);
        quantizer_kmeans(&q, z, N, rng_make(seed, "kmeans"));
        const float *e = params_ptr(p, PARAMS_VALUE, 1);
        double mean[K * D] = {0}, n[K] = {0};
        for (size_t i = 0; i < N; i++) {
            size_t k = nearest(z + i * D, e, K, D);
            n[k]++;
            for (size_t d = 0; d < D; d++) mean[k * D + d] += z[i * D + d];
        }
        for (size_t k = 0; k < K; k++) {
            CHECK(n[k] > 0, "seed %d: code %zu has no vector", (int)seed, k);
            CHECK_NEAR(q.N[k], fmax(n[k] * 40 / N, 0.1), 1e-5);
            for (size_t d = 0; d < D && n[k] > 0; d++) {
                CHECK_NEAR(e[k * D + d], mean[k * D + d] / n[k], 1e-5);
                CHECK_NEAR(q.S[k * D + d], (double)e[k * D + d] * q.N[k], 1e-5);
            }
        }
        quantizer_release(&q);
        params_free(p);
    }
}

TEST(kmeans_corners) {
    enum { K = 9, D = 2 };
    config_t c = quantizer_config(K, D, "ema");
    float z[K * D], e2[K * D];
    for (size_t i = 0; i < K * D; i++) z[i] = rng_normal(rng_make(1, "z"), i);
    params_t *p = codebook_params(K, D);
    params_base(p, PARAMS_AVERAGE);
    quantizer_t q;
    quantizer_init(&q, &c, p, 900);
    quantizer_kmeans(&q, z, K,
                     rng_make(2, "k")); /* as many vectors as codes: every one is a code */
    const float *e = params_ptr(p, PARAMS_VALUE, 1);
    for (size_t i = 0; i < K; i++) {
        size_t k = nearest(z + i * D, e, K, D);
        CHECK(!memcmp(e + k * D, z + i * D, D * sizeof *e), "vector %zu", i);
        CHECK_NEAR(q.N[k], 100, 1e-4);
    }
    CHECK(!memcmp(params_ptr(p, PARAMS_AVERAGE, 1), e, K * D * sizeof *e),
          "the saved average has the same codes");
    memcpy(e2, e, sizeof e2);
    quantizer_kmeans(&q, z, K, rng_make(2, "k"));
    CHECK(!memcmp(e2, e, sizeof e2), "again the same");
    /* fewer different vectors than codes: the rest are copies, with the smallest count */
    for (size_t i = 0; i < K; i++) z[i * D] = (float)(i % 3), z[i * D + 1] = 1;
    quantizer_kmeans(&q, z, K, rng_make(3, "k"));
    size_t small = 0;
    for (size_t k = 0; k < K; k++) {
        CHECK(e[k * D + 1] == 1 && (e[k * D] == 0 || e[k * D] == 1 || e[k * D] == 2),
              "code %zu is a vector", k);
        small += q.N[k] == 0.1f;
    }
    CHECK(small == K - 3, "%zu codes without vectors", small);
    quantizer_release(&q);
    params_free(p);
}

/* l2: directions in six heaps, of any length; the codes are the directions of the heaps' unit
 * vectors' means. */
TEST(kmeans_of_directions) {
    enum { K = 6, D = 3, N = 90 };
    for (uint64_t seed = 0; seed < 10; seed++) {
        config_t c = quantizer_config(K, D, "l2");
        params_t *p = codebook_params(K, D);
        quantizer_t q;
        float z[N * D];
        double u[N * D];
        for (size_t i = 0; i < N; i++) {
            double s = 0, length = 0.1 + 10 * rng_uniform64(rng_make(seed, "length"), i);
            for (size_t d = 0; d < D; d++) {
                u[i * D + d] = rng_normal(rng_make(seed, "heap"), i % K * D + d) +
                               0.05 * rng_normal(rng_make(seed, "z"), i * D + d);
                s += u[i * D + d] * u[i * D + d];
            }
            for (size_t d = 0; d < D; d++)
                z[i * D + d] = (float)(length * (u[i * D + d] /= sqrt(s)));
        }
        quantizer_init(&q, &c, p, 40);
        CHECK(q.kmeans && q.restart, "l2 starts by k-means and restarts");
        quantizer_kmeans(&q, z, N, rng_make(seed, "kmeans"));
        const float *e = params_ptr(p, PARAMS_VALUE, 1);
        double sum[K * D] = {0};
        for (size_t i = 0; i < N; i++) {
            size_t best = 0;
            double most = -2;
            for (size_t k = 0; k < K; k++) {
                double dot = 0;
                for (size_t d = 0; d < D; d++) dot += u[i * D + d] * e[k * D + d];
                if (dot > most) most = dot, best = k;
            }
            for (size_t d = 0; d < D; d++) sum[best * D + d] += u[i * D + d];
        }
        for (size_t k = 0; k < K; k++) {
            double s = 0;
            for (size_t d = 0; d < D; d++) s += sum[k * D + d] * sum[k * D + d];
            for (size_t d = 0; d < D; d++) CHECK_NEAR(e[k * D + d], sum[k * D + d] / sqrt(s), 1e-5);
        }
        quantizer_publish(&q, PARAMS_VALUE);
        for (size_t i = 0; i < K * D; i++) CHECK_NEAR(q.published[i], e[i], 1e-6);
        quantizer_release(&q);
        params_free(p);
    }
}

/* Is `word` one of the words of `list`, which are parted by `by`? */
static bool has_word(const char *list, char by, const char *word) {
    char *padded = xasprintf("%c%s%c", by, list, by), *wanted = xasprintf("%c%s%c", by, word, by);
    bool has = strstr(padded, wanted) != NULL;
    free(padded);
    free(wanted);
    return has;
}

/* What every row of the table must keep, a new one too. */
TEST(every_kind) {
    const config_field_t *choice = NULL;
    for (const config_field_t *f = config_table; f->key; f++)
        if (!strcmp(f->key, "quantizer.kind")) choice = f;
    REQUIRE(choice && quantizer_kinds() >= 6, "%zu kinds", quantizer_kinds());
    size_t choices = 1;
    for (const char *at = choice->choices; *at; at++) choices += *at == '|';
    CHECK(choices == quantizer_kinds(), "%zu choices for %zu kinds", choices, quantizer_kinds());
    for (size_t i = 0; i < quantizer_kinds(); i++) {
        const quantizer_kind_t *kind = quantizer_kind_at(i);
        config_t c;
        config_begin(&c);
        char *set = xasprintf("quantizer.kind=%s", kind->name),
             *said = xasprintf("; %s: ", kind->name);
        config_set(config_table, &c, set);
        CHECK(quantizer_kind(&c) == kind, "%s: the setting chooses another kind", set);
        CHECK(quantizer_kind_index(kind) == c.quantizer.kind, "%s: its number", kind->name);
        CHECK(has_word(choice->choices, '|', kind->name), "%s: not in '%s'", kind->name,
              choice->choices);
        CHECK(strstr(choice->help, said) != NULL, "%s: no help", kind->name);
        for (size_t j = 0; j < i; j++)
            CHECK(strcmp(kind->name, quantizer_kind_at(j)->name), "two kinds are '%s'", kind->name);
        /* Each word of `keys` is a key; each key of the table is read exactly where it is named. */
        size_t words = 1, known = 0;
        for (const char *at = kind->keys; *at; at++) words += *at == ' ';
        for (const config_field_t *f = config_table; f->key; f++) {
            if (strncmp(f->key, "quantizer.", 10)) continue;
            bool named = has_word(kind->keys, ' ', f->key + 10);
            known += named;
            CHECK(quantizer_reads(kind, f->key + 10) == named, "%s: %s", kind->name, f->key);
            char *readers = quantizer_readers(f->key + 10);
            char *listed = xasprintf(", %s,", readers), *wanted = xasprintf(" %s,", kind->name);
            CHECK((strstr(listed, wanted) != NULL) == named, "%s: '%s' read %s", kind->name,
                  readers, f->key);
            free(readers);
            free(listed);
            free(wanted);
        }
        CHECK(known == words, "%s: %zu of the words of '%s' are keys", kind->name, known,
              kind->keys);
        CHECK(kind->record != NULL, "%s: is not recorded", kind->name);
        CHECK(kind->codebook || !(kind->moves || kind->gradient || kind->update || kind->publish),
              "%s: moves a codebook that it does not have", kind->name);
        CHECK(has_word(kind->keys, ' ', "restart") == kind->moves &&
                  has_word(kind->keys, ' ', "kmeans") == kind->moves,
              "%s: restart and kmeans are for kinds whose codes move", kind->name);
        free(set);
        free(said);
    }
}

/* Kinds whose codes do not move: the window is counted, nothing else is. */
TEST(codes_that_stay) {
    for (size_t i = 0; i < quantizer_kinds(); i++) {
        const quantizer_kind_t *kind = quantizer_kind_at(i);
        if (kind->moves) continue;
        enum { K = 64, D = 2 };
        config_t c = quantizer_config(K, D, kind->name);
        c.quantizer.levels = (config_ints_t){{8, 8}, 2};
        params_t *p = params_new(3);
        quantizer_declare(&c, p);
        if (!strcmp(kind->name, "fsq")) CHECK(params_n(p) == 0, "fsq: %zu", params_n(p));
        if (!strcmp(kind->name, "simvq")) CHECK(params_n(p) == 3, "simvq: %zu", params_n(p));
        params_get(p, "other", 1, (size_t[]){3}, LAYOUT_SAME, (param_init_t){INIT_ONE, 0});
        quantizer_t q;
        quantizer_init(&q, &c, p, 10);
        CHECK(!q.kmeans && !q.restart, "%s: neither k-means nor restarts", kind->name);
        quantizer_adopt(&q);
        float *before = xmalloc(params_block(p) * sizeof *before), counts[K] = {[5] = 7, [9] = 3},
              z[D] = {1, 2};
        memcpy(before, params_base(p, PARAMS_VALUE), params_block(p) * sizeof *before);
        for (int s = 0; s < 300; s++)
            quantizer_update(&q, counts, NULL, z, 1, false, rng_make(1, "r"));
        CHECK(!memcmp(before, params_base(p, PARAMS_VALUE), params_block(p) * sizeof *before),
              "%s: codes moved", kind->name);
        CHECK(quantizer_used(&q) == 2 && q.replaced == 0, "%s: %zu used", kind->name,
              quantizer_used(&q));
        CHECK_NEAR(quantizer_perplexity(&q), exp(-0.7 * log(0.7) - 0.3 * log(0.3)), 1e-4);
        checkpoint_state_t state[4];
        CHECK(quantizer_state(&q, state) == 2, "%s: state", kind->name);
        free(before);
        quantizer_release(&q);
        params_free(p);
    }
}

/* simvq: a new codebook is normal with deviation D^-1/2 under a random map; over a loaded one the
 * map is the identity. What is published is C W^T + b of the block that is saved, with the codes of
 * the moment. */
TEST(simvq_start_and_publish) {
    enum { K = 400, D = 16 };
    config_t c = quantizer_config(K, D, "simvq");
    params_t *p = params_new(3), *loaded = params_new(4);
    quantizer_declare(&c, p);
    const float *C = params_ptr(p, PARAMS_VALUE, params_find(p, "quantize.embedding.weight")),
                *W = params_ptr(p, PARAMS_VALUE, params_find(p, "quantize.embedding_proj.weight")),
                *b = params_ptr(p, PARAMS_VALUE, params_find(p, "quantize.embedding_proj.bias"));
    double square = 0, most = 0, spread = 0;
    for (size_t i = 0; i < K * D; i++) square += C[i] * (double)C[i] / (K * D);
    for (size_t i = 0; i < D * D; i++)
        most = fmax(most, fabs(W[i])), spread += W[i] * (double)W[i] / (D * D);
    CHECK_NEAR(square * D, 1, 0.05);
    CHECK(most <= 0.25 && most > 0.24, "W is uniform in +-1/sqrt(D): %g", most);
    CHECK_NEAR(spread, 0.25 * 0.25 / 3, 0.003);
    CHECK(b[0] != 0 && fabsf(b[0]) <= 0.25f, "so is the bias");
    for (int average = 0; average < 2; average++) {
        int block = average ? PARAMS_AVERAGE : PARAMS_VALUE;
        for (size_t i = 0; average && i < params_block(p); i++)
            params_base(p, block)[i] = rng_normal(rng_make(8, "average"), i);
        quantizer_t q;
        quantizer_init(&q, &c, p, 10);
        quantizer_adopt(&q);
        const float *e = quantizer_publish(&q, block), *Wb = params_ptr(p, block, q.weight),
                    *bb = params_ptr(p, block, q.bias);
        for (size_t k = 0; k < K; k++)
            for (size_t d = 0; d < D; d++) {
                double s = bb[d];
                for (size_t j = 0; j < D; j++) s += (double)C[k * D + j] * Wb[d * D + j];
                CHECK_NEAR(e[k * D + d], s, 1e-5);
            }
        CHECK(!memcmp(params_ptr(p, block, q.embedding), C, K * D * sizeof *C),
              "the average does not move C");
        quantizer_release(&q);
    }
    params_get(loaded, "quantize.embedding.weight", 2, (size_t[]){K, D}, LAYOUT_SAME,
               (param_init_t){INIT_NORMAL, 3});
    quantizer_declare(&c, loaded);
    quantizer_t q;
    quantizer_init(&q, &c, loaded, 10);
    CHECK(!memcmp(quantizer_publish(&q, PARAMS_VALUE), params_ptr(loaded, PARAMS_VALUE, 0),
                  K * D * sizeof(float)),
          "over a loaded codebook the start is exact");
    quantizer_release(&q);
    params_free(p);
    params_free(loaded);
}

TEST(adopted_codebook) {
    enum { K = 4, D = 3 };
    config_t c = quantizer_config(K, D, "ema");
    params_t *p = codebook_params(K, D);
    quantizer_t q;
    quantizer_init(&q, &c, p, 64);
    quantizer_adopt(&q);
    for (size_t k = 0; k < K; k++) {
        CHECK_NEAR(q.N[k], 16, 1e-6);
        for (size_t d = 0; d < D; d++)
            CHECK_NEAR(q.S[k * D + d], 16 * (double)params_ptr(p, PARAMS_VALUE, 1)[k * D + d],
                       1e-5);
    }
    CHECK(quantizer_used(&q) == 0 && isnan(quantizer_perplexity(&q)), "nothing was counted");
    quantizer_release(&q);
    params_free(p);
}

/* Counts and sums of a step: code k gets a share that falls with k; the last two get nothing. */
static void step_counts(uint64_t s, size_t K, size_t D, float *counts, float *sums) {
    for (size_t k = 0; k < K; k++) {
        counts[k] = k + 2 < K ? (float)(1 + (s * 7 + k * 3) % 11) : 0;
        for (size_t d = 0; d < D; d++)
            sums[k * D + d] = counts[k] * rng_normal(rng_make(s, "mean"), k * D + d);
    }
}

static void check_moving(const char *kind, bool restart, bool late, double decay) {
    enum { K = 7, D = 3, VECTORS = 12, STEPS = 400 };
    config_t c = quantizer_config(K, D, kind);
    c.quantizer.restart = restart;
    c.quantizer.decay = decay;
    bool ema = !strcmp(kind, "ema");
    params_t *p = codebook_params(K, D);
    params_base(p, PARAMS_AVERAGE);
    quantizer_t q;
    quantizer_init(&q, &c, p, 30);
    quantizer_adopt(&q);
    float *e = params_ptr(p, PARAMS_VALUE, 1), counts[K], sums[K * D], z[VECTORS * D];
    double N[K], S[K * D], U[K], W[K] = {0}, E[K * D];
    for (size_t k = 0; k < K; k++) {
        N[k] = 30.0 / K, U[k] = 1;
        for (size_t d = 0; d < D; d++)
            E[k * D + d] = e[k * D + d], S[k * D + d] = N[k] * E[k * D + d];
    }
    size_t replaced = 0;
    for (uint64_t s = 0; s < STEPS; s++) {
        step_counts(s, K, D, counts, sums);
        for (size_t i = 0; i < VECTORS * D; i++) z[i] = 50 + rng_normal(rng_make(s, "z"), i);
        for (size_t i = 0; i < K * D; i++)
            params_ptr(p, PARAMS_M, 1)[i] = params_ptr(p, PARAMS_V, 1)[i] = 3;
        params_ptr(p, PARAMS_M, 0)[0] = 3;
        quantizer_update(&q, counts, sums, z, VECTORS, late, rng_make(s, "restart"));
        double tokens = 0, T = 0;
        for (size_t k = 0; k < K; k++) tokens += counts[k];
        for (size_t k = 0; k < K; k++) {
            U[k] = 0.98 * U[k] + 0.02 * counts[k] * K / tokens;
            W[k] = (1 - tokens / 65536) * W[k] + counts[k];
            if (!ema) continue;
            N[k] = decay * N[k] + (1 - decay) * counts[k];
            T += N[k];
            for (size_t d = 0; d < D; d++)
                S[k * D + d] = decay * S[k * D + d] + (1 - decay) * sums[k * D + d];
        }
        size_t dead = 0;
        for (size_t k = 0; k < K; k++) {
            for (size_t d = 0; d < D && ema; d++)
                E[k * D + d] = S[k * D + d] / ((N[k] + 1e-5) / (T + K * 1e-5) * T);
            CHECK_NEAR(q.window[k], W[k], 1e-4 * W[k] + 1e-6);
            bool moments_kept = params_ptr(p, PARAMS_M, 1)[k * D] == 3 &&
                                params_ptr(p, PARAMS_V, 1)[k * D + D - 1] == 3;
            if (U[k] >= 0.03 || !restart || late) {
                for (size_t d = 0; d < D; d++)
                    CHECK_NEAR(e[k * D + d], E[k * D + d], 2e-4 * fabs(E[k * D + d]) + 1e-5);
                CHECK_NEAR(q.N[k], N[k], 1e-4 * N[k]);
                CHECK_NEAR(q.usage[k], U[k], 1e-4 * U[k] + 1e-7);
                CHECK(moments_kept, "moments of a living code");
                continue;
            }
            dead++;
            size_t which = VECTORS;
            for (size_t i = 0; i < VECTORS; i++) {
                float length = !strcmp(kind, "l2")
                                   ? (float)sqrt(z[i * D] * (double)z[i * D] +
                                                 z[i * D + 1] * (double)z[i * D + 1] +
                                                 z[i * D + 2] * (double)z[i * D + 2])
                                   : 1;
                bool same = true;
                for (size_t d = 0; d < D; d++)
                    same &= fabsf(e[k * D + d] - z[i * D + d] / length) <=
                            1e-6f * fabsf(z[i * D + d] / length);
                if (same) which = i;
            }
            CHECK(which < VECTORS, "step %d: code %zu was not moved onto a vector of the batch",
                  (int)s, k);
            CHECK(ema ? moments_kept
                      : params_ptr(p, PARAMS_M, 1)[k * D] == 0 &&
                            params_ptr(p, PARAMS_V, 1)[k * D + D - 1] == 0,
                  "moments of a moved code");
            U[k] = 1;
            N[k] = 30.0 / K;
            for (size_t d = 0; d < D; d++) S[k * D + d] = N[k] * (E[k * D + d] = e[k * D + d]);
            CHECK_NEAR(q.N[k], N[k], 1e-6);
            CHECK(q.usage[k] == 1, "usage of a moved code");
            for (size_t d = 0; d < D; d++) CHECK_NEAR(q.S[k * D + d], S[k * D + d], 1e-4);
        }
        CHECK(q.replaced == dead, "step %d: %zu replaced, not %zu", (int)s, q.replaced, dead);
        replaced += dead;
        CHECK(!memcmp(params_ptr(p, PARAMS_AVERAGE, 1), e, K * D * sizeof *e),
              "the saved average has the codes");
        CHECK(params_ptr(p, PARAMS_M, 0)[0] == 3, "moments of others");
        if (test_failures) break;
    }
    /* 0.98^n < 0.03 after 174 steps: two codes, twice in 400 */
    CHECK(replaced == (restart && !late ? 4u : 0u), "%s: %zu codes moved", kind, replaced);
    CHECK(quantizer_used(&q) == K - 2, "%zu used", quantizer_used(&q));
    double h = 0, total = 0;
    for (size_t k = 0; k < K; k++) total += W[k];
    for (size_t k = 0; k < K; k++) h -= W[k] > 0 ? W[k] / total * log(W[k] / total) : 0;
    CHECK_NEAR(quantizer_perplexity(&q), exp(h), 1e-3);
    quantizer_release(&q);
    params_free(p);
}

TEST(moving_averages_by_formula) {
    check_moving("ema", false, false, 0.9);
    check_moving("ema", true, true, 0.99);
    for (size_t i = 0; i < quantizer_kinds(); i++)
        if (quantizer_kind_at(i)->moves)
            check_moving(quantizer_kind_at(i)->name, true, false, 0.99);
}

/* Where counts are as small as eps, both of its places show. */
TEST(small_counts_are_smoothed) {
    config_t c = quantizer_config(3, 1, "ema");
    c.quantizer.restart = false;
    params_t *p = codebook_params(3, 1);
    quantizer_t q;
    quantizer_init(&q, &c, p, 1);
    const float counts[3] = {0, 0, 1e-3f}, sums[3] = {0, 0, 2e-3f}, N[3] = {0, 1e-5f, 3e-5f},
                S[3] = {1e-5f, 2e-5f, -1e-5f}, z[1] = {0};
    memcpy(q.N, N, sizeof N);
    memcpy(q.S, S, sizeof S);
    quantizer_update(&q, counts, sums, z, 1, false, rng_make(0, "r"));
    double T = 0, n[3];
    for (int k = 0; k < 3; k++) T += n[k] = 0.99 * N[k] + 0.01 * (double)counts[k];
    for (int k = 0; k < 3; k++) {
        double want = (0.99 * S[k] + 0.01 * (double)sums[k]) / ((n[k] + 1e-5) / (T + 3e-5) * T);
        CHECK_NEAR(params_ptr(p, PARAMS_VALUE, 1)[k], want, 1e-5 * fabs(want));
    }
    quantizer_release(&q);
    params_free(p);
}

TEST(perplexity_of_counts) {
    CHECK_NEAR(metrics_perplexity((float[]){5, 5, 5, 5}, 4), 4, 1e-6);
    CHECK_NEAR(metrics_perplexity((float[]){0, 9, 0}, 3), 1, 1e-9);
    CHECK_NEAR(metrics_perplexity((float[]){3, 1}, 2), exp(-(0.75 * log(0.75) + 0.25 * log(0.25))),
               1e-6);
    CHECK(isnan(metrics_perplexity((float[]){0, 0}, 2)), "of nothing");
}

/* Reference numbers of another implementation, where they lie beside the project. It starts the
 * counts at 0. */
TEST(golden_ema) {
    char *path = golden_path("quant/ema_rosinality.safetensors");
    st_file_t f;
    reason_t why;
    if (!path) return;
    REQUIRE(!st_open(&f, path, &why), "%s", why.text);
    free(path);
    enum { K = 32, D = 8, N = 32 };
    config_t c = quantizer_config(K, D, "ema");
    c.quantizer.restart = false;
    params_t *p = codebook_params(K, D);
    quantizer_t q;
    quantizer_init(&q, &c, p, N);
    float turned[K * D], *e = params_ptr(p, PARAMS_VALUE, 1);
    st_read_f32(st_find(&f, "embed0"), turned, NULL);
    for (size_t i = 0; i < K * D; i++) q.S[i] = e[i] = turned[i % D * K + i / D];
    for (int s = 0; s < 3; s++) {
        float x[N * D], counts[K], sums[K * D], size[K], sum[K * D];
        char name[3][40];
        int32_t idx[N];
        snprintf(name[0], 40, "step%d.x", s);
        REQUIRE(st_find(&f, name[0])->count == N * D, "x");
        st_read_f32(st_find(&f, name[0]), x, NULL);
        kern_vq_nearest(x, N, e, K, D, idx);
        kern_vq_stats(x, idx, N, K, D, counts, sums);
        snprintf(name[0], 40, "step%d.indices", s);
        for (size_t i = 0; i < N; i++) {
            int64_t want;
            memcpy(&want, st_find(&f, name[0])->data + 8 * i, 8);
            CHECK(want == idx[i], "step %d: index %zu", s, i);
        }
        quantizer_update(&q, counts, sums, x, N, false, rng_make(0, "r"));
        snprintf(name[0], 40, "step%d.embed_after", s);
        snprintf(name[1], 40, "step%d.cluster_size_after", s);
        snprintf(name[2], 40, "step%d.embed_avg_after", s);
        st_read_f32(st_find(&f, name[0]), turned, NULL);
        st_read_f32(st_find(&f, name[1]), size, NULL);
        st_read_f32(st_find(&f, name[2]), sum, NULL);
        for (size_t k = 0; k < K; k++) CHECK_NEAR(q.N[k], size[k], 1e-6);
        for (size_t i = 0; i < K * D; i++) {
            CHECK_NEAR(q.S[i], sum[i % D * K + i / D], 2e-6);
            CHECK_NEAR(e[i], turned[i % D * K + i / D],
                       2e-5 * fabs(turned[i % D * K + i / D]) + 1e-6);
        }
    }
    st_close(&f);
    quantizer_release(&q);
    params_free(p);
}
