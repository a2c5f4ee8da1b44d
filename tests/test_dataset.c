/* test_dataset.c - what is sampled from shards, counted and compared with the shards' own contents.
 * */
#include "tests/shard_case.h"

TEST(windows_cover_every_step_once) {
    gato_config_t c = narrow();
    dataset_t *d = open_one(make_shard("cover.lmdb", &control), &c);
    int seen[30][40] = {{0}}, held[30];
    for (int i = 0; i < 30; i++) held[i] = -1;
    for (int side = SIDE_TRAIN; side <= SIDE_VAL; side++) {
        size_t n = dataset_sequences(d, 0, ALL, (side_t)side);
        CHECK(n > 0, "side %d is empty", side);
        for (size_t i = 0; i < n; i++) {
            sequence_t w;
            dataset_sequence(d, 0, ALL, (side_t)side, i, &w);
            uint32_t r = record_of(&w);
            CHECK(w.n_steps <= 5 && w.n_prompt == 0);
            CHECK(held[r] == -1 || held[r] == side, "record %u stands on both sides", r);
            held[r] = side;
            for (size_t k = 0; k < w.n_steps; k++) {
                CHECK(!k || w.step[k] == w.step[k - 1] + 1);
                seen[r][w.step[k]]++;
            }
            sequence_release(&w);
        }
    }
    for (size_t r = 0; r < 30; r++)
        for (size_t t = 0; t < 40; t++)
            CHECK(seen[r][t] == (t < thirty[r]), "record %zu, step %zu: %d times", r, t,
                  seen[r][t]);
    CHECK(dataset_sequences(d, 0, ALL, SIDE_ALL) ==
          dataset_sequences(d, 0, ALL, SIDE_TRAIN) + dataset_sequences(d, 0, ALL, SIDE_VAL));
    CHECK(dataset_records(d, SIZE_MAX, ALL, SIDE_TRAIN) +
              dataset_records(d, SIZE_MAX, ALL, SIDE_VAL) ==
          30);
    /* the rule itself: XXH64(key) % 1000 < 300 */
    for (uint32_t r = 0; r < 30; r++) {
        char key[32];
        snprintf(key, sizeof key, "episode_%u", r);
        CHECK(held[r] == (int)split_held_out(key, 0.3), "%s", key);
    }
    dataset_close(d);
}

/* Mean and deviation of the numbers, over the training side alone. */
TEST(moments_of_the_vector) {
    gato_config_t c = narrow();
    dataset_t *d = open_one(make_shard("moments.lmdb", &control), &c);
    double n = 0, sum = 0, squares = 0; /* of small whole numbers: exact */
    for (uint32_t r = 0; r < 30; r++) {
        char key[32];
        snprintf(key, sizeof key, "episode_%u", r);
        if (split_held_out(key, 0.3)) continue;
        for (uint32_t t = 0; t < thirty[r]; t++) {
            double v = 100 * r + t;
            n += 1, sum += v, squares += v * v;
        }
    }
    CHECK(n > 0);
    const task_t *task = &dataset_tasks(d)->v[0];
    const slot_t *slot = &task->slot[task_find(task, SIDE_OBSERVED, "state")];
    REQUIRE(slot->mean && slot->deviation);
    CHECK_NEAR((double)slot->mean[0], sum / n, 1e-3);
    CHECK_NEAR((double)slot->deviation[0], sqrt(squares / n - sum / n * sum / n), 1e-2);
    dataset_close(d);
}

static bool same_window(const sequence_t *a, const sequence_t *b) {
    return a->n_steps == b->n_steps && a->n_prompt == b->n_prompt && record_of(a) == record_of(b) &&
           a->sample == b->sample && !memcmp(a->step, b->step, a->n_steps * sizeof *a->step);
}

TEST(a_sample_follows_seed_step_and_index_alone) {
    gato_config_t c = narrow();
    const char *path = make_shard("sample.lmdb", &control);
    dataset_t *d = open_one(path, &c), *other = open_one(path, &c);
    size_t moved = 0;
    for (uint64_t step = 0; step < 5; step++)
        for (size_t i = 0; i < 8; i++) {
            sequence_t a, b, e;
            dataset_sample(d, 1, step, i, 8, &a);
            dataset_sample(other, 1, 4 - step, 7 - i, 8, &b); /* another order */
            sequence_release(&b);
            dataset_sample(other, 1, step, i, 8, &b);
            dataset_sample(d, 2, step, i, 8, &e);
            CHECK(same_window(&a, &b), "step %llu, sample %zu", (unsigned long long)step, i);
            moved += !same_window(&a, &e);
            sequence_release(&a);
            sequence_release(&b);
            sequence_release(&e);
        }
    CHECK(moved > 30, "the seed moves %zu of 40 samples", moved);
    CHECK(dataset_manifest(d) == dataset_manifest(other));
    dataset_close(d);
    dataset_close(other);
}

/* One pass shows every training record once, and never a held-out one. */
TEST(an_epoch_shows_each_training_record_once) {
    gato_config_t c = narrow();
    dataset_t *d = open_one(make_shard("epoch.lmdb", &control), &c);
    size_t n = dataset_records(d, SIZE_MAX, ALL, SIDE_TRAIN), seen[30] = {0};
    for (size_t g = 0; g < 3 * n; g++) {
        sequence_t w;
        dataset_sample(d, 5, g / 4, g % 4, 4, &w);
        char key[32];
        snprintf(key, sizeof key, "episode_%u", record_of(&w));
        CHECK(!split_held_out(key, 0.3), "%s is held out", key);
        seen[record_of(&w)]++;
        sequence_release(&w);
    }
    for (size_t r = 0; r < 30; r++)
        CHECK(seen[r] == 0 || seen[r] == 3, "record %zu: %zu times", r, seen[r]);
    dataset_close(d);
}

/* 5 steps fit: main round(2.5) = 2, prompt 3. 16 samples: 4 prompted, the first 2 by the end. */
TEST(fault_086_prompts_are_part_of_their_episode) {
    gato_config_t c = narrow();
    dataset_t *d = open_one(make_shard("prompt.lmdb", &control), &c);
    size_t prompt, main_part;
    dataset_prompt_split(37, &prompt, &main_part);
    CHECK(main_part == 18 && prompt == 19, "%zu + %zu", prompt, main_part);
    dataset_prompt_split(1, &prompt, &main_part);
    CHECK(main_part == 1 && prompt == 0);
    size_t short_ones = 0, starts[40] = {0};
    for (uint64_t step = 0; step < 800; step++)
        for (size_t i = 0; i < 16; i++) {
            sequence_t w;
            dataset_sample(d, 9, step, i, 16, &w);
            uint32_t T = thirty[record_of(&w)], p = T < 3 ? T : 3, m = T < 2 ? T : 2,
                     whole = T < 5 ? T : 5;
            if (i >= 4) {
                CHECK(w.n_prompt == 0 && w.n_steps == whole);
            } else {
                CHECK(w.n_prompt == p && w.n_steps == p + m, "T %u: %zu + %zu", T, w.n_prompt,
                      w.n_steps);
                if (i < 2) CHECK(w.step[0] == T - p, "T %u: prompt from %u", T, w.step[0]);
                short_ones += T < 5;
            }
            for (size_t k = 0; k < w.n_steps; k++) {
                CHECK(w.step[k] < T);
                if (k && k != w.n_prompt) CHECK(w.step[k] == w.step[k - 1] + 1);
            }
            if (T == 40 && i >= 4) starts[w.step[0]]++;
            sequence_release(&w);
        }
    CHECK(short_ones > 20, "short episodes were not prompted");
    CHECK(starts[35] > 0 || split_held_out("episode_4", 0.3), "the last start never comes up");
    for (size_t k = 36; k < 40; k++) CHECK(starts[k] == 0);
    dataset_close(d);
}

TEST(long_text_is_cut) {
    gato_config_t c = narrow();
    const shard_spec_t s = {.texts = 3, .text_len = 100};
    dataset_t *d = open_one(make_shard("text.lmdb", &s), &c);
    CHECK(dataset_sequences(d, 0, ALL, SIDE_ALL) == 9); /* 39 + 39 + 22 and a separator each */
    size_t tokens = 0;
    for (size_t i = 0; i < dataset_sequences(d, 0, ALL, SIDE_ALL); i++) {
        sequence_t w;
        dataset_sequence(d, 0, ALL, SIDE_ALL, i, &w);
        CHECK(w.n_steps == 1 && w.text_len <= 39 && w.text_first % 39 == 0);
        tokens += w.text_len;
        sequence_release(&w);
    }
    CHECK(tokens == 300);
    dataset_close(d);
}

/* ---- several sources, several tasks ---- */

/* Draws n samples; counts those of the text task, and how often each record of it came. */
static size_t draw(const dataset_t *d, size_t n, size_t *seen, size_t records) {
    size_t texts = 0;
    for (size_t i = 0; i < n; i++) {
        sequence_t w;
        dataset_sample(d, 7, i / 4, i % 4, 4, &w);
        if (w.of->kind == RECORD_TEXT) {
            texts++;
            if (seen && w.record.first_step < records) seen[w.record.first_step]++;
        }
        sequence_release(&w);
    }
    return texts;
}

TEST(sources_are_mixed_by_weight) {
    gato_config_t c = narrow();
    const shard_spec_t text = {.codes = 4, .texts = 10, .text_len = 5};
    char spec[2][500];
    snprintf(spec[0], 500, "%s=3", make_shard("mix_a.lmdb", &control));
    snprintf(spec[1], 500, "%s=1", make_shard("mix_b.lmdb", &text));
    dataset_t *d = open_two(spec[0], spec[1], &c);
    CHECK(dataset_sources(d) == 2 && dataset_tasks(d)->n == 2 &&
          dataset_vocabulary(d)->codes == 4 && dataset_vocabulary(d)->text == 257);
    for (size_t n = 64; n <= 4096; n *= 2) { /* after whole blocks: exact but for rounding */
        size_t texts = draw(d, n, NULL, 0);
        CHECK(texts + 1 >= n / 4 && texts <= n / 4 + 1, "%zu of %zu", texts, n);
    }
    dataset_close(d);
}

/* What is said of a source's share is what it gives. */
TEST(shares_of_sources) {
    gato_config_t c = narrow();
    const shard_spec_t text = {.codes = 4, .texts = 10, .text_len = 5};
    static const struct {
        const char *a, *b;
        double share;
    } weights[] = {{"3", "1", 0.25}, {"1e-3", "1", 1 / 1.001}, {"1", "1e30", 1},
                   {"1e30", "1", 0}, {"1e9", "1", 1e-9},       {"1e-30", "1", 1}};
    const char *path[2] = {make_shard("share_a.lmdb", &control), NULL};
    char spec[2][500], a[300];
    snprintf(a, sizeof a, "%s", path[0]);
    path[1] = make_shard("share_b.lmdb", &text);
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        snprintf(spec[0], 500, "%s=%s", a, weights[i].a);
        snprintf(spec[1], 500, "%s=%s", path[1], weights[i].b);
        dataset_t *d = open_two(spec[0], spec[1], &c);
        double share = dataset_share(d, 1);
        CHECK_NEAR(share, weights[i].share, 1e-9 * (weights[i].share + 0.2));
        CHECK_NEAR(dataset_share(d, 0), 1 - share, 1e-15);
        size_t texts = draw(d, 6400, NULL, 0);
        CHECK(fabs((double)texts - 6400 * share) <= 1, "%zu texts, %g", texts, 6400 * share);
        dataset_close(d);
    }
}

/* Whatever its weight, a source gives each record once before any twice. */
TEST(a_weighted_source_has_no_gaps) {
    gato_config_t c = narrow();
    c.data.holdout = 0;
    enum { TEXTS = 57 };
    const shard_spec_t text = {.texts = TEXTS, .text_len = 5};
    char spec[2][500];
    snprintf(spec[0], 500, "%s", make_shard("gap_a.lmdb", &control));
    snprintf(spec[1], 500, "%s=0.31", make_shard("gap_b.lmdb", &text));
    dataset_t *d = open_two(spec[0], spec[1], &c);
    size_t seen[TEXTS] = {0}, drawn = 0;
    for (size_t i = 0; i < 3000; i++) {
        sequence_t w;
        dataset_sample(d, 7, i / 4, i % 4, 4, &w);
        if (w.of->kind == RECORD_TEXT) {
            size_t *times = &seen[w.record.first_step];
            CHECK(*times == drawn / TEXTS, "draw %zu: record %llu came %zu times before", drawn,
                  (unsigned long long)w.record.first_step, *times);
            (*times)++;
            drawn++;
        }
        sequence_release(&w);
    }
    CHECK(drawn > 3 * TEXTS, "%zu draws", drawn);
    dataset_close(d);
}

/* A batch mixes: no place of a batch is bound to a source. */
TEST(every_place_of_a_batch_sees_every_source) {
    gato_config_t c = narrow();
    const shard_spec_t text = {.texts = 10, .text_len = 5};
    dataset_t *d =
        open_two(make_shard("bind_a.lmdb", &control), make_shard("bind_b.lmdb", &text), &c);
    size_t texts[4] = {0};
    for (uint64_t step = 0; step < 256; step++)
        for (size_t i = 0; i < 4; i++) {
            sequence_t w;
            dataset_sample(d, 3, step, i, 4, &w);
            texts[i] += w.of->kind == RECORD_TEXT;
            sequence_release(&w);
        }
    for (size_t i = 0; i < 4; i++)
        CHECK(texts[i] > 90 && texts[i] < 166, "place %zu: %zu of 256", i, texts[i]);
    dataset_close(d);
}

/* One shard of two tasks: by data it is one source, by task they are equal. */
TEST(tasks_have_equal_shares_where_asked) {
    gato_config_t c = narrow();
    shard_spec_t both = control;
    both.texts = 5, both.text_len = 7;
    const char *path = make_shard("both.lmdb", &both);
    dataset_t *d = open_one(path, &c);
    size_t texts = draw(d, 2560, NULL, 0), train = dataset_records(d, 0, 1, SIDE_TRAIN),
           all = dataset_records(d, 0, ALL, SIDE_TRAIN);
    CHECK(dataset_tasks(d)->n == 2 && dataset_sources(d) == 1);
    CHECK(train > 0 && train < 5 && all > train);
    double share = (double)texts / 2560, want = (double)train / (double)all;
    CHECK(share > 0.8 * want && share < 1.2 * want, "%g instead of %g", share, want);
    CHECK(dataset_sequences(d, 0, 0, SIDE_ALL) + dataset_sequences(d, 0, 1, SIDE_ALL) ==
          dataset_sequences(d, 0, ALL, SIDE_ALL));
    dataset_close(d);
    c.data.balance = BALANCE_TASK;
    d = open_one(path, &c);
    texts = draw(d, 2560, NULL, 0);
    CHECK(texts == 1280, "%zu", texts);
    dataset_close(d);
}
