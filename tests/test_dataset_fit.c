/* test_dataset_fit.c - which shards make one dataset, which fit a policy, and what is refused. */
#include "tests/shard_case.h"

/* Tasks of one name are one; sizes that differ are not known; a slot that one lacks is there. */
TEST(tasks_of_one_name_are_one) {
    gato_config_t c = narrow();
    shard_spec_t more = control;
    more.second = 2;
    dataset_t *d =
        open_two(make_shard("one_a.lmdb", &control), make_shard("one_b.lmdb", &more), &c);
    REQUIRE(dataset_tasks(d)->n == 1);
    const task_t *t = &dataset_tasks(d)->v[0];
    CHECK(t->n_slots == 4 && task_find(t, SIDE_OBSERVED, "extra") >= 0);
    for (size_t source = 0; source < 2; source++) {
        sequence_t w;
        REQUIRE(dataset_first_sequence(d, source, 2, &w));
        CHECK(w.of->n_slots == 3 + source && w.task == 0);
        for (uint32_t k = 0; k < w.of->n_slots; k++)
            CHECK_STR(t->slot[w.map[k]].name, w.of->slot[k].name);
        sequence_release(&w);
    }
    dataset_close(d);
}

TEST(without_text_there_is_no_text_vocabulary) {
    gato_config_t c = narrow();
    dataset_t *d = open_one(make_shard("no_text.lmdb", &control), &c);
    CHECK(dataset_vocabulary(d)->text == 0, "%u ids", dataset_vocabulary(d)->text);
    dataset_close(d);
}

static uint64_t manifest_of(const char *name, const shard_spec_t *s) {
    gato_config_t c = narrow();
    dataset_t *d = open_one(make_shard(name, s), &c);
    uint64_t manifest = dataset_manifest(d);
    dataset_close(d);
    return manifest;
}

/* Keys and lengths are the same; one number of one record is another. */
TEST(the_manifest_sees_changed_contents) {
    shard_spec_t base = control, other[6];
    base.first_label = 0.25f, base.texts = 3, base.text_len = 5;
    for (size_t i = 0; i < 6; i++) other[i] = base;
    other[0].first_action = 0.5f;
    other[1].first_label = 0.5f;
    other[2].first_state = 0.5f;
    other[3].first_code = 1;
    other[4].first_word = 7;
    uint64_t want = manifest_of("same.lmdb", &base);
    for (size_t i = 0; i < 6; i++) {
        char name[32];
        snprintf(name, sizeof name, "same_%zu.lmdb", i);
        CHECK((manifest_of(name, &other[i]) == want) == (i == 5), "change %zu", i);
    }
}

/* Steps that were picked from an episode are no neighbors: each stands alone. */
TEST(spread_steps_stand_alone) {
    gato_config_t c = narrow();
    shard_spec_t s = control;
    s.arguments = "{\"frames\":9,\"spread\":true}";
    dataset_t *d = open_one(make_shard("spread.lmdb", &s), &c);
    for (size_t i = 0; i < 200; i++) {
        sequence_t w;
        dataset_sample(d, 1, i / 4, i % 4, 4, &w);
        CHECK(w.lone && w.n_steps == (w.n_prompt ? 2 : 1) && w.n_prompt == 0);
        sequence_release(&w);
    }
    CHECK(dataset_kinds(d, ALL).steps == 1 && dataset_kinds(d, ALL).image_steps == 1);
    dataset_close(d);
}

/* ---- a policy's tasks ---- */

static dataset_t *open_with(const char *path, const gato_config_t *c, const dataset_t *policy,
                            bool extend, bool one) {
    return dataset_open(&(cli_list_t){&path, 1, 1}, c,
                        &(dataset_opts_t){.tasks = dataset_tasks(policy),
                                          .vocabulary = dataset_vocabulary(policy),
                                          .extend = extend,
                                          .one_record = one});
}

TEST(a_policy_keeps_what_it_knows) {
    gato_config_t c = narrow();
    shard_spec_t grid = control;
    grid.task = "grid", grid.n = 8, grid.first_action = 0.9f;
    const char *first = make_shard("known.lmdb", &control), *second = make_shard("new.lmdb", &grid);
    dataset_t *policy = open_one(first, &c), *d = open_with(second, &c, policy, true, false);
    const tasks_t *before = dataset_tasks(policy), *now = dataset_tasks(d);
    REQUIRE(now->n == 2);
    char *a = tasks_json(before), *b = tasks_json(&(tasks_t){now->v, 1});
    CHECK_STR(a, b);
    CHECK_STR(now->v[1].name, "grid");
    CHECK(now->v[1].slot[task_first(&now->v[1], SIDE_ACTED, SLOT_VECTOR)].scaling != NULL);
    CHECK(dataset_records(d, SIZE_MAX, 0, SIDE_ALL) == 0 &&
          dataset_records(d, SIZE_MAX, 1, SIDE_ALL) == 8);
    free(a);
    free(b);
    dataset_close(d);
    d = open_with(first, &c, policy, false, true); /* one record: the same sequence */
    sequence_t w, v;
    REQUIRE(dataset_first_sequence(d, 0, 4, &w) && dataset_first_sequence(policy, 0, 4, &v));
    CHECK(record_of(&w) == 4 && w.n_steps == v.n_steps && w.task == v.task);
    sequence_release(&w);
    sequence_release(&v);
    CHECK(!dataset_first_sequence(d, 0, 30, &w));
    dataset_close(d);
    dataset_close(policy);
}

/* ---- refusals: in a child process, as they end it ---- */

typedef struct {
    const char *a, *b;
    gato_config_t c;
    const char *policy; /* a shard whose tasks a policy knows, or NULL */
} opening_t;

static int open_and_exit(void *ctx) {
    opening_t *o = ctx;
    pool_set_threads(1); /* threads do not survive a fork */
    if (o->policy)
        open_with(o->a, &o->c, open_one(o->policy, &o->c), false, false);
    else if (o->b)
        open_two(o->a, o->b, &o->c);
    else
        open_one(o->a, &o->c);
    return 0;
}

static void check_opening(opening_t *o, int code, const char *says1, const char *says2) {
    static child_t child;
    child_run(open_and_exit, o, &child);
    CHECK(child.code == code, "exit %d instead of %d: %s", child.code, code, child.err);
    CHECK(strstr(child.err, says1) != NULL, "no '%s' in: %s", says1, child.err);
    CHECK(strstr(child.err, says2) != NULL, "no '%s' in: %s", says2, child.err);
}

static void check_refused(const char *a, const char *b, const gato_config_t *c, int code,
                          const char *says1, const char *says2) {
    check_opening(&(opening_t){a, b, *c, NULL}, code, says1, says2);
}

TEST(fault_047_codebooks_of_two_shards) {
    gato_config_t c = narrow();
    shard_spec_t other = control;
    other.code_value = 0.5f;
    check_refused(make_shard("book_a.lmdb", &control), make_shard("book_b.lmdb", &other), &c,
                  RC_MISFIT, "00000000000000000000000000000000",
                  "11111111111111111111111111111111");
}

TEST(fault_action_widths_of_two_shards) {
    gato_config_t c = narrow();
    shard_spec_t other = control;
    other.actions = 3;
    check_refused(make_shard("width_a.lmdb", &control), make_shard("width_b.lmdb", &other), &c,
                  RC_MISFIT, "'arm'", "width_b.lmdb");
}

TEST(fault_other_slots_of_one_task) {
    gato_config_t c = narrow();
    shard_spec_t other = control;
    other.vector = "joints";
    check_refused(make_shard("slot_a.lmdb", &control), make_shard("slot_b.lmdb", &other), &c,
                  RC_MISFIT, "state", "joints");
}

TEST(fault_a_task_that_the_policy_does_not_know) {
    gato_config_t c = narrow();
    shard_spec_t grid = control;
    grid.task = "grid";
    const char *known = make_shard("task_a.lmdb", &control),
               *data = make_shard("task_b.lmdb", &grid);
    check_opening(&(opening_t){data, NULL, c, known}, RC_MISFIT, "'grid'", "it knows 'arm'");
}

/* A shard without records, of episodes and of texts. */
TEST(fault_050_nothing_to_learn_from) {
    gato_config_t c = narrow();
    shard_spec_t episodes = control, texts = {.texts = 1, .text_len = 3};
    episodes.no_records = texts.no_records = true;
    check_refused(make_shard("none.lmdb", &episodes), NULL, &c, RC_DATA, "none.lmdb", "");
    check_refused(make_shard("empty.lmdb", &texts), NULL, &c, RC_DATA, "empty.lmdb", "");
}

TEST(fault_unfinished_shard) {
    gato_config_t c = narrow();
    shard_spec_t half = control;
    half.unfinished = true;
    check_refused(make_shard("half.lmdb", &half), NULL, &c, RC_DATA, "not finished", "tokenize");
}

TEST(fault_084_timestep_longer_than_the_context) {
    gato_config_t c = narrow();
    c.model.context = 7;
    check_refused(make_shard("long.lmdb", &control), NULL, &c, RC_USAGE, "8", "7");
}

/* By whatever name. */
TEST(fault_a_shard_twice) {
    gato_config_t c = narrow();
    char path[300], again[310], link[300];
    snprintf(path, sizeof path, "%s", make_shard("twice.lmdb", &control));
    snprintf(again, sizeof again, "%s/=3", path);
    snprintf(link, sizeof link, "%s", in_folder("link.lmdb"));
    CHECK(!symlink("twice.lmdb", link));
    check_refused(path, path, &c, RC_USAGE, "twice.lmdb' twice", "weight");
    check_refused(path, again, &c, RC_USAGE, "twice.lmdb/' twice", "weight");
    check_refused(path, link, &c, RC_USAGE, "link.lmdb' twice", "weight");
}

TEST(fault_missing_shard) {
    gato_config_t c = narrow();
    check_refused("/nonexistent/x.lmdb", NULL, &c, RC_USAGE, "x.lmdb", "");
}

TEST(fault_pixels_wanted_and_not_kept) {
    gato_config_t c = narrow();
    c.model.image_in = IMAGE_IN_PATCHES;
    check_refused(make_shard("codes_only.lmdb", &control), NULL, &c, RC_MISFIT, "pixels",
                  "episode_");
}
