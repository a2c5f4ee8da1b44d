/* test_checkpoint.c - what survives a crash: training state as one unit through kills, torn files,
 * full disks and numbers that are none.
 */
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "common/train/checkpoint.h"
#include "common/train/optimizer.h"
#include "tests/folder.h"
#include "tests/rss.h"
#include "tests/test.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

__attribute__((constructor)) static void one_thread(void) {
    pool_set_threads(1);
}

typedef struct {
    params_t *params;
    float counts[5], sums[6];
    checkpoint_state_t state[2];
    checkpoint_text_t text[1];
    char json[64];
    checkpoint_t c;
} saved_t;

static const size_t CONV[] = {3, 2, 2, 3};
static const char *const MODEL[] = {"", "!critic."};

/* Numbers of every block are a function of `version`. */
static void saved_open(saved_t *s, float version, bool average) {
    *s = (saved_t){.params = params_new(0)};
    params_get(s->params, "conv.weight", 4, CONV, LAYOUT_CONV, (param_init_t){INIT_ZERO, 0});
    params_get(s->params, "bias", 1, (size_t[]){5}, LAYOUT_SAME, (param_init_t){INIT_ZERO, 0});
    params_get(s->params, "critic.w", 2, (size_t[]){4, 3}, LAYOUT_SAME,
               (param_init_t){INIT_ZERO, 0});
    for (int b = 0; b < PARAMS_BLOCKS; b++) {
        if (b == PARAMS_GRAD || (b == PARAMS_AVERAGE && !average)) continue;
        for (int i = 0; i < 3; i++)
            for (size_t e = 0; e < params_at(s->params, i)->count; e++)
                params_ptr(s->params, b, i)[e] =
                    version * 1000 + (float)(b * 100 + i) + (float)e / 64;
    }
    for (size_t e = 0; e < 5; e++) s->counts[e] = version + (float)e;
    for (size_t e = 0; e < 6; e++) s->sums[e] = -version - (float)e;
    s->state[0] = (checkpoint_state_t){"counts", s->counts, 5};
    s->state[1] = (checkpoint_state_t){"sums", s->sums, 6};
    s->text[0] = (checkpoint_text_t){"config.json", "{\"a\":1}\n"};
    snprintf(s->json, sizeof s->json, "{\"step\":%d}\n", (int)version);
    s->c = (checkpoint_t){.params = s->params,
                          .weights_file = "model.safetensors",
                          .weights_block = average ? PARAMS_AVERAGE : PARAMS_VALUE,
                          .weights = MODEL,
                          .n_weights = 2,
                          .text = s->text,
                          .n_text = 1,
                          .state = s->state,
                          .n_state = 2,
                          .training_json = s->json};
}

static void save(const char *dir, saved_t *s) {
    reason_t why = {""};
    if (checkpoint_save(dir, &s->c, &why)) CHECK(false, "%s", why.text);
}

static char *text_of(const char *dir, const char *file) {
    char *path = fs_join(dir, file);
    uint8_t *text;
    size_t size;
    if (fs_read(path, 0, &text, &size, NULL)) text = (uint8_t *)xstrdup("(none)");
    free(path);
    return (char *)text;
}

static void check_text(const char *dir, const char *file, const char *want) {
    char *text = text_of(dir, file);
    CHECK(!strcmp(text, want), "%s: \"%s\", not \"%s\"", file, text, want);
    free(text);
}

/* What `dir` restores to, compared with version `want`; returns the step in the JSON. */
static void check_restored(const char *dir, float want, bool average) {
    saved_t was, now;
    st_file_t file;
    char *json = NULL;
    reason_t why = {""};
    saved_open(&was, want, average);
    saved_open(&now, 77, average);
    int rc = checkpoint_open(dir, &file, &json, &why);
    REQUIRE(rc == RC_OK, "%d: %s", rc, why.text);
    CHECK_STR(json, was.json);
    rc = checkpoint_restore(&file, &now.c, &why);
    CHECK(rc == RC_OK, "%d: %s", rc, why.text);
    for (int b = 0; b < PARAMS_BLOCKS; b++)
        for (int i = 0; i < 3 && b != PARAMS_GRAD && (average || b != PARAMS_AVERAGE); i++)
            if (i < 2 || b != PARAMS_AVERAGE) /* only what the weights file holds is averaged */
                CHECK(!memcmp(params_ptr(was.params, b, i), params_ptr(now.params, b, i),
                              params_at(was.params, i)->count * sizeof(float)),
                      "block %d of '%s'", b, params_at(was.params, i)->name);
    CHECK(!memcmp(was.counts, now.counts, sizeof was.counts) &&
              !memcmp(was.sums, now.sums, sizeof was.sums),
          "state");
    free(json);
    st_close(&file);
    params_free(was.params);
    params_free(now.params);
}

/* "names" of a folder's files, sorted; caller frees. */
static char *listing(const char *dir) {
    struct dirent **list;
    int n = scandir(dir, &list, NULL, alphasort);
    char *all = xstrdup("");
    for (int i = 0; i < n; i++) {
        if (strcmp(list[i]->d_name, ".") && strcmp(list[i]->d_name, "..")) {
            char *more = xasprintf("%s%s%s", all, *all ? " " : "", list[i]->d_name);
            free(all);
            all = more;
        }
        free(list[i]);
    }
    if (n >= 0) free(list);
    return all;
}
static const char FILES[] = "config.json model.safetensors training.json training.safetensors";
static void check_listing(const char *dir, const char *want) {
    char *all = listing(dir);
    CHECK_STR(all, want);
    free(all);
}

/* A part of the network that the state knows nothing of. */
TEST(checkpoint_restores_around_what_is_fresh) {
    folder_open();
    const char *dir = in_folder("run");
    saved_t s;
    saved_open(&s, 1, true);
    for (int known = 0; known < 2; known++) {
        saved_t now;
        st_file_t file;
        char *json = NULL;
        reason_t why = {""};
        s.c.fresh = known ? "critic." : NULL;
        save(dir, &s);
        saved_open(&now, 77, true);
        int i = params_get(now.params, known ? "critic.w" : "critic2.w", 2, (size_t[]){4, 3},
                           LAYOUT_SAME, (param_init_t){INIT_ONE, 0});
        REQUIRE(!checkpoint_open(dir, &file, &json, &why), "%s", why.text);
        CHECK(checkpoint_restore(&file, &now.c, &why) == RC_MISFIT, "%s", why.text);
        now.c.fresh = known ? "critic." : "critic2.";
        CHECK(checkpoint_restore(&file, &now.c, &why) == RC_OK, "%s", why.text);
        const float *v = params_ptr(now.params, PARAMS_VALUE, i);
        CHECK(v[0] == (known ? 1002.f : 1.f),
              "what is stored is read, what is not keeps its start: %g", v[0]);
        CHECK(params_ptr(now.params, PARAMS_VALUE, 1)[0] == 1001.f, "the rest is read");
        free(json);
        st_close(&file);
        params_free(now.params);
    }
    st_file_t file;
    reason_t why;
    REQUIRE(!st_open(&file, in_folder("run/training.safetensors"), &why), "%s", why.text);
    CHECK(st_find(&file, "average/bias") && !st_find(&file, "average/critic.w") &&
              st_find(&file, "value/critic.w"),
          "what is fresh is never averaged");
    st_close(&file);
    params_free(s.params);
    folder_remove();
}

static int restore_from(const char *dir, const checkpoint_t *c, reason_t *why) {
    st_file_t file;
    char *json = NULL;
    int rc = checkpoint_open(dir, &file, &json, why);
    if (rc) return rc;
    rc = checkpoint_restore(&file, c, why);
    free(json);
    st_close(&file);
    return rc;
}

/* What does not move has no moments; states of both ways go on. */
TEST(checkpoint_moments_of_what_moves) {
    static const char *const all_but_conv[] = {"", "!conv"};
    folder_open();
    const char *dir = in_folder("run");
    reason_t why = {""};
    for (int spare = 0; spare < 2; spare++) {
        saved_t s;
        saved_open(&s, 1, false);
        if (spare) s.c.moves = all_but_conv, s.c.n_moves = 2;
        save(dir, &s);
        st_file_t file;
        REQUIRE(!st_open(&file, in_folder("run/training.safetensors"), &why), "%s", why.text);
        CHECK((st_find(&file, "m/conv.weight") == NULL) == spare);
        CHECK((st_find(&file, "v/conv.weight") == NULL) == spare);
        CHECK(st_find(&file, "value/conv.weight") && st_find(&file, "m/bias"));
        st_close(&file);
        for (int spares = 0; spares < 2; spares++) {
            saved_t now;
            saved_open(&now, 50, false);
            if (spares) now.c.moves = all_but_conv, now.c.n_moves = 2;
            float before = params_ptr(now.params, PARAMS_M, 0)[0];
            bool fits = spares || !spare;
            CHECK(restore_from(dir, &now.c, &why) == (fits ? RC_OK : RC_MISFIT), "%s", why.text);
            if (fits)
                CHECK((params_ptr(now.params, PARAMS_M, 0)[0] == before) == spares,
                      "moments that are not wanted are not read");
            params_free(now.params);
        }
        /* train.freeze was taken back: what stood still begins with the moments it has */
        static const char *const everything[] = {""};
        saved_t now;
        saved_open(&now, 50, false);
        now.c.moves = everything, now.c.n_moves = 1;
        CHECK(restore_from(dir, &now.c, &why) == RC_OK, "%s", why.text);
        params_free(now.params);
        params_free(s.params);
    }
    folder_remove();
}

/* 64 MB of a network that is frozen: the checkpoint writes a copy of its values, and neither of its
 * moments has a page. */
static int saves_frozen(void *dir) {
    enum { N = 16 << 20 };
    static const char *const moves[] = {"head"};
    params_t *p = params_new(1);
    params_reserve(p, N + 64);
    params_get(p, "body", 1, (size_t[]){N}, LAYOUT_SAME, (param_init_t){INIT_ONE, 0});
    params_get(p, "head", 1, (size_t[]){8}, LAYOUT_SAME, (param_init_t){INIT_ONE, 0});
    params_ptr(p, PARAMS_GRAD, 1)[0] = 1;
    params_base(p, PARAMS_M);
    params_base(p, PARAMS_V);
    optimizer_t o = {.beta1 = 0.9,
                     .beta2 = 0.9,
                     .eps = 1e-8,
                     .schedule = {.lr = 1, .steps = 9},
                     .wrt = moves,
                     .n_wrt = 1};
    rss_reset();
    long before = rss_peak_mb();
    optimizer_step(&o, p, 0, 1);
    checkpoint_t c = {.params = p,
                      .weights_file = "w.safetensors",
                      .weights = moves,
                      .n_weights = 1,
                      .moves = moves,
                      .n_moves = 1,
                      .training_json = "{}"};
    reason_t why = {""};
    int rc = checkpoint_save(dir, &c, &why);
    long peak = rss_peak_mb();
    fprintf(stderr, "%s%ld MB before, %ld MB at most\n", why.text, before, peak);
    params_free(p);
    return rc || peak > 160;
}

TEST(moments_of_the_frozen_take_no_memory) {
    folder_open();
    child_t c;
    child_run(saves_frozen, (void *)(uintptr_t)in_folder("run"), &c);
    CHECK(c.code == 0, "%s", c.err);
    folder_remove();
}

TEST(checkpoint_round_trip) {
    folder_open();
    for (int average = 0; average < 2; average++) {
        const char *dir = in_folder(average ? "deep/run" : "run");
        saved_t s;
        CHECK(!checkpoint_exists(dir), "none yet");
        saved_open(&s, 1, average);
        save(dir, &s);
        CHECK(checkpoint_exists(dir), "there");
        check_restored(dir, 1, average);
        check_listing(dir, FILES);
        check_text(dir, "training.json", "{\"step\":1}\n");
        check_text(dir, "config.json", "{\"a\":1}\n");
        /* the weights file: only the model, of the block asked for, in PyTorch's layout */
        st_file_t f;
        char *path = fs_join(dir, "model.safetensors");
        reason_t why;
        REQUIRE(!st_open(&f, path, &why), "%s", why.text);
        CHECK(f.n == 2 && f.hashed && !st_find(&f, "critic.w"), "%zu tensors", f.n);
        const st_tensor_t *t = st_find(&f, "conv.weight");
        float v[36], want[36];
        REQUIRE(t && t->rank == 4 && t->count == 36 && t->dim[0] == 3 && t->dim[3] == 3, "OIHW");
        st_read_f32(t, v, NULL);
        params_export(s.params, average ? PARAMS_AVERAGE : PARAMS_VALUE, 0, want);
        CHECK(!memcmp(v, want, sizeof v), "numbers");
        st_close(&f);
        free(path);
        /* the same state gives the same bytes */
        char *before = text_of(dir, "training.safetensors");
        save(dir, &s);
        char *after = text_of(dir, "training.safetensors");
        CHECK_STR(before + 8, after + 8);
        free(before);
        free(after);
        params_free(s.params);
    }
    folder_remove();
}

TEST(checkpoint_without_training) {
    folder_open();
    saved_t s;
    reason_t why = {""};
    saved_open(&s, 1, false);
    CHECK(!checkpoint_save_weights(in_folder("run"), &s.c, &why), "%s", why.text);
    check_listing(in_folder("run"), "config.json model.safetensors");
    CHECK(!checkpoint_exists(in_folder("run")), "nothing to resume");
    params_free(s.params);
    folder_remove();
}

/* training.safetensors is the unit: what lies beside it, older, newer or torn, does not matter. */
TEST(fault_055_torn_checkpoint) {
    folder_open();
    const char *run = in_folder("run"), *next = in_folder("next");
    saved_t one, two;
    saved_open(&one, 1, false);
    saved_open(&two, 2, false);
    save(run, &one);
    save(next, &two);
    char command[1024];
    snprintf(command, sizeof command,
             "cd '%s' && cp next/training.safetensors run/ && printf half > run/model.safetensors",
             folder);
    if (system(command)) abort();
    check_restored(run, 2, false); /* killed after the first rename */
    check_text(run, "training.json", "{\"step\":1}\n");
    save(run, &two); /* the next save heals the rest */
    check_text(run, "training.json", "{\"step\":2}\n");
    snprintf(command, sizeof command,
             "cd '%s' && cp next/*.json run/ && cp next/model.safetensors run/ && printf x > "
             "run/.training.safetensors.tmp",
             folder);
    save(run, &one);
    if (system(command)) abort();
    check_restored(run, 1, false); /* newer others, and a temporary left behind */
    save(run, &two);
    check_listing(run, FILES);
    snprintf(command, sizeof command, "rm '%s/training.safetensors'", run);
    if (system(command)) abort();
    CHECK(!checkpoint_exists(run), "no unit, nothing to resume");
    params_free(one.params);
    params_free(two.params);
    folder_remove();
}

TEST(fault_061_training_state) {
    folder_open();
    const char *dir = in_folder("run");
    saved_t s, into;
    reason_t why = {""};
    saved_open(&into, 5, false);
    saved_open(&s, 1, false);
    char *path = fs_join(dir, "training.safetensors");
    save(dir, &s);
    uint8_t *bytes;
    size_t size;
    if (fs_read(path, 0, &bytes, &size, NULL)) abort();
    const size_t cut[] = {0, 5, 60, size / 2, size - 1};
    for (size_t i = 0; i < 5; i++) {
        if (fs_write(path, bytes, cut[i], NULL)) abort();
        CHECK(restore_from(dir, &into.c, &why) == RC_DATA, "cut to %zu bytes", cut[i]);
    }
    bytes[size - 3] ^= 16;
    if (fs_write(path, bytes, size, NULL)) abort();
    CHECK(restore_from(dir, &into.c, &why) == RC_DATA, "a flipped bit");
    free(bytes);
    /* a safetensors file of somebody else */
    st_writer_t *w = st_writer_new();
    st_writer_add(w, "value/bias", ST_F32, 1, (uint64_t[]){5}, s.counts);
    if (st_write(w, path, &why)) abort();
    st_writer_free(w);
    CHECK(restore_from(dir, &into.c, &why) == RC_DATA && strstr(why.text, "training state"), "%s",
          why.text);
    /* not a number, anywhere: written by hand, since we refuse to save it */
    const char *const tensor_of[] = {"value/conv.weight", "m/bias", "v/critic.w", "state/sums"};
    for (int k = 0; k < 4; k++) {
        st_file_t f;
        save(dir, &s);
        if (st_open(&f, path, &why)) abort();
        w = st_writer_new();
        st_writer_meta(w, "training", "{}");
        for (size_t i = 0; i < f.n; i++) {
            float *v = xmalloc(f.tensor[i].bytes);
            memcpy(v, f.tensor[i].data, f.tensor[i].bytes);
            if (!strcmp(f.tensor[i].name, tensor_of[k])) v[1] = k % 2 ? NAN : INFINITY;
            st_writer_give(w, f.tensor[i].name, ST_F32, f.tensor[i].rank, f.tensor[i].dim, v);
        }
        char *other = xasprintf("%s.new", path); /* the writer reads what the file holds */
        if (st_write(w, other, &why) || rename(other, path)) abort();
        free(other);
        st_writer_free(w);
        st_close(&f);
        int rc = restore_from(dir, &into.c, &why);
        CHECK(rc == RC_DATA && strstr(why.text, tensor_of[k]), "%s: %d: %s", tensor_of[k], rc,
              why.text);
    }
    free(path);
    params_free(s.params);
    params_free(into.params);
    folder_remove();
}

TEST(fault_064_training_state_of_another_network) {
    folder_open();
    const char *dir = in_folder("run");
    saved_t s, into;
    reason_t why = {""};
    saved_open(&s, 1, false);
    save(dir, &s);
    saved_open(&into, 5, false);
    params_get(into.params, "more", 1, (size_t[]){3}, LAYOUT_SAME, (param_init_t){INIT_ZERO, 0});
    CHECK(restore_from(dir, &into.c, &why) == RC_MISFIT && strstr(why.text, "more"),
          "a missing tensor: %s", why.text);
    params_free(into.params);
    saved_open(&into, 5, false);
    into.state[1].count = 5;
    CHECK(restore_from(dir, &into.c, &why) == RC_MISFIT && strstr(why.text, "sums"),
          "state of another size: %s", why.text);
    params_free(into.params);
    /* the same number of values in another shape is another network */
    saved_open(&into, 5, false);
    params_free(into.params);
    into.c.params = into.params = params_new(0);
    params_get(into.params, "conv.weight", 4, (size_t[]){2, 3, 2, 3}, LAYOUT_CONV,
               (param_init_t){INIT_ZERO, 0});
    params_get(into.params, "bias", 1, (size_t[]){5}, LAYOUT_SAME, (param_init_t){INIT_ZERO, 0});
    params_get(into.params, "critic.w", 2, (size_t[]){4, 3}, LAYOUT_SAME,
               (param_init_t){INIT_ZERO, 0});
    CHECK(restore_from(dir, &into.c, &why) == RC_MISFIT && strstr(why.text, "conv.weight"),
          "a transposed tensor: %s", why.text);
    params_free(into.params);
    params_free(s.params);
    folder_remove();
}

/* A network that blew up must not take the place of the last good checkpoint. */
TEST(fault_062_last_good_checkpoint_is_kept) {
    folder_open();
    const char *dir = in_folder("run");
    saved_t s, bad;
    saved_open(&s, 1, true);
    save(dir, &s);
    for (int k = 0; k < 4; k++) {
        saved_open(&bad, 2, true);
        if (k == 0) params_ptr(bad.params, PARAMS_VALUE, 1)[4] = NAN;
        if (k == 1) params_ptr(bad.params, PARAMS_V, 2)[0] = INFINITY;
        if (k == 2) params_ptr(bad.params, PARAMS_AVERAGE, 0)[7] = -INFINITY;
        if (k == 3) bad.sums[5] = NAN;
        reason_t why = {""};
        CHECK(checkpoint_save(dir, &bad.c, &why) == -1, "case %d was saved", k);
        CHECK(strstr(why.text, k == 3   ? "sums"
                               : k == 0 ? "bias"
                               : k == 1 ? "critic.w"
                                        : "conv.weight"),
              "case %d: %s", k, why.text);
        check_restored(dir, 1, true);
        check_text(dir, "training.json", "{\"step\":1}\n");
        check_listing(dir, FILES);
        params_free(bad.params);
    }
    params_free(s.params);
    folder_remove();
}

/* Saves versions 1, 2, 1, 2 ... until killed. */
static int save_for_ever(void *arg) {
    saved_t s[2];
    saved_open(&s[0], 1, false);
    saved_open(&s[1], 2, false);
    for (int i = 0;; i++) {
        reason_t why;
        if (checkpoint_save(arg, &s[i % 2].c, &why)) return 1;
    }
}

TEST(fault_055_kill_while_saving) {
    folder_open();
    const char *dir = in_folder("run");
    saved_t s;
    saved_open(&s, 1, false);
    save(dir, &s);
    int seen[3] = {0};
    for (long i = 0; i < 25; i++) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) _exit(save_for_ever((void *)(uintptr_t)dir));
        nanosleep(&(struct timespec){0, 3000000 + i * 337000}, NULL);
        kill(pid, SIGKILL);
        int status;
        waitpid(pid, &status, 0);
        CHECK(WIFSIGNALED(status), "a save failed");
        st_file_t file;
        char *json = NULL;
        reason_t why = {""};
        REQUIRE(!checkpoint_open(dir, &file, &json, &why), "%s", why.text);
        int version = json[8] - '0';
        free(json);
        st_close(&file);
        check_restored(dir, (float)version, false);
        seen[version]++;
        char *config = text_of(dir, "config.json");
        CHECK_STR(config, "{\"a\":1}\n");
        free(config);
    }
    CHECK(seen[1] + seen[2] == 25, "%d and %d", seen[1], seen[2]);
    save(dir, &s);
    check_listing(dir, FILES); /* the next save takes over what a killed one left */
    params_free(s.params);
    folder_remove();
}

static int save_small(void *arg) {
    saved_t s;
    reason_t why;
    saved_open(&s, 2, false);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    if (!checkpoint_save(arg, &s.c, &why)) return 0;
    fprintf(stderr, "%s", why.text);
    return 7;
}

TEST(fault_070_file_size_limit) {
    folder_open();
    const char *dir = in_folder("run");
    saved_t s;
    child_t c;
    saved_open(&s, 1, false);
    save(dir, &s);
    child_run(save_small, (void *)(uintptr_t)dir, &c);
    CHECK(c.code == 7 && strstr(c.err, "training.safetensors"), "%d: %s", c.code, c.err);
    check_listing(dir, FILES);
    check_restored(dir, 1, false);
    params_free(s.params);
    folder_remove();
}
