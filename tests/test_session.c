/* test_session.c - a session around the smallest trainer there is: six weights whose gradients are
 * known in advance.
 *
 * Its oracles: a run without stops, byte by byte; averages of the weights that stops at every step
 * left behind; costs by hand; exit codes of children.
 */
#include "common/base/pool.h"
#include "common/io/fs.h"
#include "common/train/optimizer.h"
#include "common/train/session.h"
#include "tests/folder.h"
#include "tests/test.h"

__attribute__((constructor)) static void one_thread(void) {
    pool_set_threads(1);
}

typedef struct {
    struct {
        int64_t steps, accumulate, log_every, eval_every, save_every;
        double weight_average;
        bool tensorboard;
    } train;
    int64_t width; /* shapes the network */
} tiny_config_t;
#define AT(member) offsetof(tiny_config_t, member)
static const config_field_t table[] = {
    {"train.steps", CF_INT, AT(train.steps), "12", NULL, 1, 1000, 0, "steps"},
    {"train.accumulate", CF_INT, AT(train.accumulate), "1", NULL, 1, 8, 0, "micro-batches"},
    {"train.log_every", CF_INT, AT(train.log_every), "3", NULL, 1, 100, 0, "log"},
    {"train.eval_every", CF_INT, AT(train.eval_every), "5", NULL, 0, 100, 0, "evaluate"},
    {"train.save_every", CF_INT, AT(train.save_every), "4", NULL, 0, 100, 0, "save"},
    {"train.weight_average", CF_NUM, AT(train.weight_average), "0", NULL, 0, 1, 0, "average"},
    {"train.tensorboard", CF_BOOL, AT(train.tensorboard), "false", NULL, 0, 0, 0, "events"},
    {"model.width", CF_INT, AT(width), "6", NULL, 1, 100, CONFIG_ARCH, "weights"},
    {0}};

/* ---- the trainer ---- */

typedef struct {
    session_t session;
    tiny_config_t config;
    params_t *params;
    optimizer_t optimizer;
    float calls; /* of step: state beside the parameters */
    checkpoint_state_t state;
    checkpoint_text_t text;
} tiny_t;

static float gradient(int64_t step, size_t i) {
    return (float)(step % 4) - 1.5f + (float)i / 8;
}

static loop_step_t step(void *ctx, int64_t s) {
    tiny_t *t = ctx;
    float *g = params_base(t->params, PARAMS_GRAD);
    for (size_t i = 0; i < params_at(t->params, 0)->count; i++) g[i] = gradient(s, i);
    optimizer_step_t u = optimizer_step(&t->optimizer, t->params, s, 1);
    t->calls++;
    return (loop_step_t){
        .loss = 1.0 / (double)(s + 1), .grad_norm = u.grad_norm, .lr = u.lr, .items = 1};
}

static void report(void *ctx, int64_t s, bool evaluate, jsonw_t *line, char *note,
                   size_t note_size) {
    const tiny_t *t = ctx;
    jsonw_num(line, "calls", t->calls);
    if (evaluate) jsonw_int(line, "evaluated_at", s);
    snprintf(note, note_size, "a note");
}

static void checkpoint(void *ctx, int64_t s, checkpoint_t *c) {
    static const char *const all[] = {""};
    tiny_t *t = ctx;
    (void)s;
    t->text = (checkpoint_text_t){"config.json", "{}\n"};
    c->weights_file = "model.safetensors";
    c->weights = all;
    c->n_weights = 1;
    c->text = &t->text;
    c->n_text = 1;
    c->state = &t->state;
    c->n_state = 1;
}

static void resume(void *ctx, const st_file_t *file, checkpoint_t *c) {
    tiny_t *t = ctx;
    CHECK(st_find(file, "state/calls") != NULL, "the file is the open state");
    c->state = &t->state;
    c->n_state = 1;
}

/* The command with these words (NULL ends them); die()s and exits as a command does. */
static int command(const char *out, const char *const *words) {
    static const char *const everything[] = {""};
    tiny_t *t = NEW(tiny_t);
    const char *argv[32] = {"train", "--out", out};
    int argc = 3;
    while (*words) argv[argc++] = *words++;
    session_t *s = &t->session;
    *s = (session_t){.identity = {.program = "tiny",
                                  .table = table,
                                  .config = &t->config,
                                  .config_size = sizeof t->config,
                                  .manifest = 77},
                     .unit = "items_per_s",
                     .ctx = t,
                     .step = step,
                     .report = report,
                     .checkpoint = checkpoint,
                     .resume = resume};
    config_defaults(table, &t->config);
    if (!session_parse(s, argc, (char **)(uintptr_t)argv, "a test", (const cli_opt_t[]){{0}}))
        return RC_OK;
    session_configure(s, &t->config, &t->config.train.steps);
    s->train = SESSION_TRAIN(t->config.train);
    t->params = params_new(s->options.seed);
    params_get(t->params, "w", 1, (size_t[]){(size_t)t->config.width}, LAYOUT_SAME,
               (param_init_t){INIT_NORMAL, 1});
    t->state = (checkpoint_state_t){"calls", &t->calls, 1};
    t->optimizer = (optimizer_t){.beta1 = 0.9,
                                 .beta2 = 0.99,
                                 .eps = 1e-8,
                                 .average = s->train.weight_average,
                                 .schedule = {SCHEDULE_LINEAR, 0.1, 0.5, 2, s->train.steps},
                                 .wrt = everything,
                                 .n_wrt = 1};
    s->params = t->params;
    if (s->options.dry_run) {
        session_print_cost(s, &(session_cost_t){.parameters = 6,
                                                .flops = 1000,
                                                .bytes = 4096,
                                                .seconds_per_step = 2,
                                                .seconds_per_evaluation = 0.5});
        return RC_OK;
    }
    session_begin(s);
    int rc = session_run(s);
    params_free(t->params);
    free(t);
    return rc;
}

typedef struct {
    const char *out, *const *words;
} words_t;
static child_t child; /* the last one */

static int command_of(void *arg) {
    const words_t *w = arg;
    return command(w->out, w->words);
}

/* The exit code of the command in a child. */
static int run(const char *name, const char *const *words) {
    words_t w = {in_folder(name), words};
    child_run(command_of, &w, &child);
    return child.code;
}
#define RUN(name, ...) run(name, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

/* ---- reading what it wrote ---- */

static char *contents(const char *name) {
    uint8_t *bytes;
    size_t size;
    reason_t why;
    if (fs_read(in_folder(name), 0, &bytes, &size, &why)) {
        CHECK(false, "%s", why.text);
        return xstrdup("");
    }
    char *text = xasprintf("%.*s", (int)size, (char *)bytes);
    free(bytes);
    return text;
}

static bool tells(const char *words) {
    if (strstr(child.err, words)) return true;
    fprintf(stderr, "  told: %s", child.err);
    return false;
}

/* Whole files, which may hold zero bytes. */
static void check_same_file(const char *a, const char *b, const char *file) {
    uint8_t *x, *y;
    size_t n, m;
    reason_t why;
    char *p = xasprintf("%s/%s", a, file), *q = xasprintf("%s/%s", b, file);
    REQUIRE(!fs_read(in_folder(p), 0, &x, &n, &why), "%s", why.text);
    REQUIRE(!fs_read(in_folder(q), 0, &y, &m, &why), "%s", why.text);
    CHECK(n == m && !memcmp(x, y, n), "%s of %s and %s", file, a, b);
    free(x);
    free(y);
    free(p);
    free(q);
}

/* One tensor of six numbers of a file. */
static void numbers(const char *name, const char *tensor, float out[6]) {
    st_file_t file;
    reason_t why;
    REQUIRE(!st_open(&file, in_folder(name), &why), "%s", why.text);
    const st_tensor_t *t = st_find(&file, tensor);
    REQUIRE(t && t->count == 6, "%s in %s", tensor, name);
    CHECK(!st_read_f32(t, out, &why), "%s", why.text);
    st_close(&file);
}

/* ---- tests ---- */

TEST(session_resumes_to_the_same_bytes) {
    folder_open();
    CHECK(RUN("whole", "--seed", "3") == RC_OK, "a run");
    const char *const stops[] = {"1", "3", "5", "8", "11"};
    for (size_t i = 0; i < 5; i++) {
        CHECK(RUN("part", "--seed", "3", "--force", "--stop-at", stops[i]) == RC_STOPPED,
              "stopped at %s", stops[i]);
        CHECK(!fs_exists(in_folder("part/done")), "not done");
        CHECK(RUN("part", "--seed", "3", "--resume") == RC_OK, "resumed");
        check_same_file("whole", "part", "training.safetensors");
        check_same_file("whole", "part", "training.json");
        check_same_file("whole", "part", "model.safetensors");
        check_same_file("whole", "part", "done");
    }
    char *metrics = contents("part/metrics.jsonl");
    int lines = 0;
    for (const char *c = metrics; (c = strchr(c, '\n')); c++) lines++;
    CHECK(lines == 6, "steps 3, 5, 6, 9, 10 and 12: %s", metrics);
    CHECK(strstr(metrics, "\"calls\":12,\"evaluated_at\":12") != NULL, "%s", metrics);
    free(metrics);
    CHECK(!fs_exists(in_folder("part/.lock")), "unlocked");
    folder_remove();
}

/* The average of a run from the start, by hand from the weights after each step; and of one that
 * begins at a resume: it begins with the weights of that moment. */
TEST(session_average) {
    folder_open();
    enum { STEPS = 6, LATE = 4 };
    static const char *const stops[] = {"1", "2", "3", "4", "5", "6"};
    float w[STEPS + 1][6], average[6];
    params_t *p = params_new(3);
    params_get(p, "w", 1, (size_t[]){6}, LAYOUT_SAME, (param_init_t){INIT_NORMAL, 1});
    memcpy(w[0], params_base(p, PARAMS_VALUE), sizeof w[0]);
    params_free(p);
    for (int s = 1; s <= STEPS; s++) {
        CHECK(RUN("run", "--seed", "3", "--force", "--stop-at", stops[s - 1]) == RC_STOPPED,
              "stop");
        numbers("run/model.safetensors", "w", w[s]);
    }
    for (int first = 0; first <= LATE; first += LATE) {
        if (first)
            CHECK(RUN("late", "--seed", "3", "--force", "--stop-at", "4") == RC_STOPPED, "stop");
        CHECK(RUN("late", "--seed", "3", "--resume", "--stop-at", "6", "--set",
                  "train.weight_average=0.9") == RC_STOPPED,
              "with an average");
        numbers("late/model.safetensors", "w", average);
        for (int i = 0; i < 6; i++) {
            double want = w[first][i];
            for (int s = first; s < STEPS; s++) {
                double d = fmin(0.9, (1.0 + s) / (10.0 + s));
                want = d * want + (1 - d) * w[s + 1][i];
            }
            CHECK_NEAR(average[i], want, 1e-6);
        }
        numbers("late/training.safetensors", "value/w", average);
        CHECK(!memcmp(average, w[STEPS], sizeof average), "the weights do not see it");
    }
    folder_remove();
}

TEST(session_exit_codes) {
    folder_open();
    CHECK(RUN("run", "--stop-at", "5") == RC_STOPPED && tells("stopped after step 5 of 12"),
          "stop");
    CHECK(RUN("run") == RC_USAGE && tells("--resume goes on, --force replaces it"), "not empty");
    CHECK(RUN("run", "--resume", "--seed", "9") == RC_MISFIT && tells("--seed 0, not 9"), "seed");
    CHECK(RUN("run", "--resume", "--set", "model.width=7") == RC_MISFIT && tells("model.width"),
          "network");
    CHECK(RUN("run", "--resume", "--set", "train.stepz=7") == RC_USAGE && tells("train.steps"),
          "key");
    CHECK(RUN("end", "--stop-at", "12") == RC_OK, "the last step is the end");
    CHECK(RUN("new", "--stop-at", "-1") == RC_USAGE && tells("cannot be negative"), "negative");
    CHECK(!fs_exists(in_folder("new")), "nothing is made");
    CHECK(RUN("run", "--resume", "--set", "train.steps=5") == RC_OK, "it was whole all the time");
    CHECK(RUN("run/done/run") == RC_RUNTIME && tells("cannot"), "a file in the way");
    CHECK(RUN("run", "--help-config") == RC_OK, "the keys");
    CHECK(strstr(child.out, "train.weight_average") != NULL, "%s", child.out);
    folder_remove();
}

/* By hand: 12 steps of 2 s and evaluations after steps 5, 10 and 12; blocks of 16 floats (6 and
 * padding) of 4 bytes. */
TEST(session_cost) {
    folder_open();
    CHECK(RUN("dry", "--dry-run") == RC_OK, "a dry run");
    CHECK_STR(child.out, "{\"parameters\":6,\"flops_per_step\":1000,\"memory_bytes\":4352,"
                         "\"seconds_per_step\":2,\"expected_seconds\":25.5}\n");
    CHECK(RUN("dry", "--dry-run", "--steps", "20", "--set", "train.weight_average=0.5") == RC_OK,
          "with an average");
    CHECK_STR(child.out, "{\"parameters\":6,\"flops_per_step\":1000,\"memory_bytes\":4416,"
                         "\"seconds_per_step\":2,\"expected_seconds\":42}\n");
    CHECK(!fs_exists(in_folder("dry")), "no folder is made");
    folder_remove();
}
