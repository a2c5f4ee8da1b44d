/* test_config.c - settings from defaults, files and --set; every way a file can be wrong, with the
 * place named. */
#include "common/io/fs.h"
#include "common/io/text/config.h"
#include "common/io/text/json.h"
#include "tests/child.h"
#include "tests/test.h"

typedef struct {
    int64_t steps;
    double lr, focus;
    bool flip;
    int schedule;
    char name[CONFIG_STRING];
    config_ints_t channels;
    config_nums_t betas;
} settings_t;

#define AT(member) offsetof(settings_t, member)
static const config_field_t table[] = {
    {"model.channels", CF_INTS, AT(channels), "[16,32]", NULL, 1, 4096, CONFIG_ARCH,
     "channels a level"},
    {"optim.lr", CF_NUM, AT(lr), "0.001", NULL, 0, 1, 0, "learning rate"},
    {"train.steps", CF_INT, AT(steps), "1000", NULL, 1, 1e9, 0, "optimizer steps"},
    {"optim.schedule", CF_CHOICE, AT(schedule), "\"linear\"", "cosine|linear|none", 0, 0, 0,
     "course of the learning rate"},
    {"model.name", CF_STR, AT(name), "\"\"", NULL, 0, 0, CONFIG_ARCH, "a name"},
    {"optim.betas", CF_NUMS, AT(betas), "[0.9, 0.95]", NULL, 0, 1, 0, "decay of the moments"},
    {"data.flip", CF_BOOL, AT(flip), "true", NULL, 0, 0, 0, "mirror half of the images"},
    {"loss.focus", CF_NUM, AT(focus), "-1", NULL, 0, 0, 0, "weight"},
    {0},
};

static settings_t defaults(void) {
    settings_t s;
    memset(&s, 0xAA, sizeof s); /* whatever was there before is overwritten */
    config_defaults(table, &s);
    return s;
}

TEST(config_defaults_and_print) {
    settings_t s = defaults();
    CHECK(s.steps == 1000 && s.lr == 0.001 && s.flip && s.schedule == 1 && !*s.name &&
          s.focus == -1);
    CHECK(s.channels.n == 2 && s.channels.v[1] == 32 && s.channels.v[15] == 0 && s.betas.n == 2 &&
          s.betas.v[1] == 0.95);
    s.betas.n = 0;
    snprintf(s.name, sizeof s.name, "a\"\xc3\xa9\n");
    char *text = config_print(table, &s);
    CHECK_STR(text, "{\n"
                    "  \"model\": {\n"
                    "    \"channels\": [16, 32],\n"
                    "    \"name\": \"a\\\"\xc3\xa9\\n\"\n"
                    "  },\n"
                    "  \"optim\": {\n"
                    "    \"lr\": 0.001,\n"
                    "    \"schedule\": \"linear\",\n"
                    "    \"betas\": []\n"
                    "  },\n"
                    "  \"train\": {\n"
                    "    \"steps\": 1000\n"
                    "  },\n"
                    "  \"data\": {\n"
                    "    \"flip\": true\n"
                    "  },\n"
                    "  \"loss\": {\n"
                    "    \"focus\": -1\n"
                    "  }\n"
                    "}\n");
    free(text);
}

/* Callers compare lists with memcmp, padding and all: equal settings must be equal bytes, whatever
 * the memory held before. */
TEST(config_equal_lists_are_equal_bytes) {
    static const char *const sets[] = {"model.channels=[8,16,32]", "model.channels=7",
                                       "optim.betas=[0.5]"};
    for (size_t i = 0; i <= sizeof sets / sizeof *sets; i++) {
        settings_t s[2];
        for (int k = 0; k < 2; k++) {
            memset(&s[k], k ? 0xAA : 0x55, sizeof s[k]);
            config_defaults(table, &s[k]);
            if (i) config_set(table, &s[k], sets[i - 1]);
        }
        CHECK(!memcmp(&s[0].channels, &s[1].channels, sizeof s[0].channels), "case %zu", i);
        CHECK(!memcmp(&s[0].betas, &s[1].betas, sizeof s[0].betas), "case %zu", i);
    }
}

TEST(config_prefixes_and_plain_keys) {
    static const config_field_t odd[] = {
        {"a", CF_INT, AT(steps), "1", NULL, 0, 0, 0, ""},
        {"ab.c", CF_NUM, AT(lr), "2", NULL, 0, 0, 0, ""},
        {"ab.cd.e", CF_BOOL, AT(flip), "true", NULL, 0, 0, 0, ""},
        {"abc.c", CF_NUM, AT(focus), "3", NULL, 0, 0, 0, ""},
        {0},
    };
    settings_t s = {0};
    config_defaults(odd, &s);
    config_set(odd, &s, "ab.cd.e=false");
    config_set(odd, &s, "ab={\"c\":7}");
    char *text = config_print(odd, &s);
    CHECK_STR(text, "{\n  \"a\": 1,\n  \"ab\": {\n    \"c\": 7,\n    \"cd\": {\n      \"e\": "
                    "false\n    }\n  },\n  \"abc\": {\n"
                    "    \"c\": 3\n  }\n}\n");
    free(text);
}

TEST(config_set_values) {
    settings_t s = defaults();
    static const char *const sets[] = {
        "train.steps=5",     "optim.lr=1e-4",    "data.flip=false",   "optim.schedule=none",
        "model.name=123",    "model.channels=8", "optim.betas=[0,1]", "optim.schedule=\"cosine\"",
        "model.name=a=b \"c"};
    cli_list_t list = {.n = 0};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        list.item = xgrow(list.item, &list.cap, list.n + 1, sizeof *list.item);
        list.item[list.n++] = sets[i];
    }
    config_sets(table, &s, &list);
    free(list.item);
    CHECK(s.steps == 5 && s.lr == 1e-4 && !s.flip && s.schedule == 0);
    CHECK_STR(s.name, "a=b \"c");
    CHECK(s.channels.n == 1 && s.channels.v[0] == 8 && s.channels.v[1] == 0 && s.betas.n == 2 &&
          s.betas.v[1] == 1);
    config_set(table, &s, "optim.schedule=none");
    CHECK(s.schedule == 2);
    config_set(table, &s, "model.name=123");
    CHECK_STR(s.name, "123");
    config_set(table, &s, "model.name=");
    CHECK_STR(s.name, "");
    config_set(table, &s, "model.channels=[]");
    CHECK(s.channels.n == 0);
}

/* A path may be long, and only its last part is recorded and compared. */
TEST(config_paths) {
    static struct { char path[CONFIG_PATH]; } a, b;
    static const config_field_t paths[] = {{"file", CF_PATH, 0, "\"\"", NULL, 0, 0, 0, ""}, {0}};
    char text[1200] = "file=/", diff[200];
    config_defaults(paths, &a);
    CHECK(!*a.path, "'%s'", a.path);
    memset(text + 6, 'd', CONFIG_PATH - 10);
    strcpy(text + 6 + CONFIG_PATH - 10, "/a.b");
    config_set(paths, &a, text);
    CHECK_STR(a.path, text + 5 + 0);
    char *print = config_print(paths, &a);
    CHECK_STR(print, "{\n  \"file\": \"a.b\"\n}\n");
    free(print);
    config_defaults(paths, &b);
    config_set(paths, &b, "file=a.b");
    CHECK(config_diff(paths, &a, &b, 0, diff, sizeof diff) == 0, "%s", diff);
    config_set(paths, &b, "file=12");
    CHECK_STR(b.path, "12");
    CHECK(config_diff(paths, &a, &b, 0, diff, sizeof diff) == 1, "%s", diff);
    reason_t why;
    cJSON *o = json_parse("{\"file\":3}", 10, false, &why);
    CHECK(config_json(paths, &b, o, &why) == -1, "a number is no path");
    cJSON_Delete(o);
    memset(b.path, 'x', 4);
    snprintf(text, sizeof text, "{\"file\":\"%01024d\"}", 0);
    o = json_parse(text, strlen(text), false, &why);
    CHECK(config_json(paths, &b, o, &why) == -1 && strstr(why.text, "1023"), "%s", why.text);
    cJSON_Delete(o);
}

static int set_one(void *assignment) {
    settings_t s = defaults();
    config_set(table, &s, assignment);
    return 0;
}

#define SIXTY_FOUR "0123456789012345678901234567890123456789012345678901234567890123"

#define HALF SIXTY_FOUR SIXTY_FOUR SIXTY_FOUR SIXTY_FOUR SIXTY_FOUR SIXTY_FOUR SIXTY_FOUR SIXTY_FOUR
#define TOO_LONG HALF HALF

TEST(fault_077_set_refused) {
    static const char *const line[][2] = {
        {"optim.lr", "--set wants key=value, got 'optim.lr'"},
        {"=1", "--set wants key=value, got '=1'"},
        {"optim.lrr=1", "--set 'optim.lrr=1': unknown key 'optim.lrr' (did you mean 'optim.lr'?)"},
        {"lr=1", "--set 'lr=1': unknown key 'lr' (did you mean 'optim.lr'?)"},
        {"model.steps=1",
         "--set 'model.steps=1': unknown key 'model.steps' (did you mean 'train.steps'?)"},
        {"zzz=1", "--set 'zzz=1': unknown key 'zzz' (see --help-config)"},
        {"optim.lr=fast", "--set 'optim.lr=fast': key 'optim.lr' wants a number, got \"fast\""},
        {"optim.lr=", "--set 'optim.lr=': key 'optim.lr' wants a number, got \"\""},
        {"optim.lr=nan", "--set 'optim.lr=nan': key 'optim.lr' wants a number, got \"nan\""},
        {"optim.lr=1e999", "--set 'optim.lr=1e999': key 'optim.lr' wants a number, got \"1e999\""},
        {"optim.lr=2", "--set 'optim.lr=2': key 'optim.lr' wants 0 to 1, got 2"},
        {"train.steps=0", "--set 'train.steps=0': key 'train.steps' wants 1 to 1000000000, got 0"},
        {"train.steps=1.5", "--set 'train.steps=1.5': key 'train.steps' wants an integer, got 1.5"},
        {"train.steps=1e3",
         "--set 'train.steps=1e3': key 'train.steps' wants an integer, got 1000"},
        {"data.flip=1", "--set 'data.flip=1': key 'data.flip' wants true or false, got 1"},
        {"data.flip=yes",
         "--set 'data.flip=yes': key 'data.flip' wants true or false, got \"yes\""},
        {"optim.schedule=cos", "--set 'optim.schedule=cos': key 'optim.schedule' wants one of "
                               "cosine|linear|none, got \"cos\""},
        {"optim.schedule=",
         "--set 'optim.schedule=': key 'optim.schedule' wants one of cosine|linear|none, got \"\""},
        {"optim.schedule=cosine|linear",
         "--set 'optim.schedule=cosine|linear': key 'optim.schedule' wants one of "
         "cosine|linear|none, got \"cosine|linear\""},
        {"model.channels=[1,2,0]",
         "--set 'model.channels=[1,2,0]': key 'model.channels' wants 1 to 4096, got 0"},
        {"model.channels=x",
         "--set 'model.channels=x': key 'model.channels' wants a list of integers, got \"x\""},
        {"model.channels=[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]",
         "--set 'model.channels=[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]': key 'model.channels' wants "
         "at most 16 items, got "
         "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"},
        {"model.name=" TOO_LONG,
         "--set 'model.name=" TOO_LONG "': key "
         "'model.name' wants "
         "at most 1023 "
         "bytes, got \"01234567890123456789012345678901234567890123456789012345678..."},
        {"optim=1", "--set 'optim=1': key 'optim' wants an object of settings"},
    };
    for (size_t i = 0; i < sizeof line / sizeof *line; i++) {
        child_t c;
        char wanted[2000];
        child_run(set_one, (void *)line[i][0], &c);
        snprintf(wanted, sizeof wanted, "?: %s\n", line[i][1]);
        CHECK(c.code == 2, "%s: %d", line[i][0], c.code);
        CHECK_STR(c.err, wanted);
    }
}

static int read_file(void *path) {
    settings_t s = defaults();
    config_file(table, &s, path);
    char *text = config_print(table, &s);
    fputs(text, stdout);
    free(text);
    return 0;
}

TEST(fault_077_config_file_refused) {
    static const struct {
        const char *text, *reason;
    } file[] = {
        {"// mine\n{}", "1:1: comments are not JSON"},
        {"{\n  \"optim\": {\"lr\": 0.1,},\n}", "2:22: trailing comma"},
        {"{\n  \"optim\": {\"lr\": 0.1, \"lr\": 0.2}\n}", "2:24: duplicate key 'lr'"},
        {"{\"optim\": {\"lr\": NaN}}", "1:18: NaN is not JSON"},
        {"{\"optim\": {\"lr\": 1e999}}", "1:18: number out of range"},
        {"[1]", "1:1: expected an object of settings"},
        {"{\n  \"train\": {\n    \"stesp\": 5\n  }\n}",
         "3:5: unknown key 'train.stesp' (did you mean 'train.steps'?)"},
        {"{\"optm\": {\"lr\": 1}}", "1:2: unknown key 'optm' (did you mean 'optim'?)"},
        {"{\"x\": 0,\n \"y\": 1}", "1:2: unknown key 'x' (see --help-config)"},
        {"{\"optim\": {\"lr\": 0.1}, \"train\": {\"steps\":\n \"5\"}}",
         "2:2: key 'train.steps' wants an integer, got \"5\""},
        {"{\"train\": {\"steps\": 99999999999}}",
         "1:21: key 'train.steps' wants 1 to 1000000000, got 99999999999"},
        {"{\"train\": {\"steps\": 99999999999999999999}}",
         "1:21: key 'train.steps' wants an integer, got 1e+20"},
        {"{\"train\": {\"steps\": null}}", "1:21: key 'train.steps' wants an integer, got null"},
        {"{\"model\": {\"channels\": [1,\n 2, true]}}",
         "2:5: key 'model.channels' wants an integer, got true"},
        {"{\"optim\": 3}", "1:11: key 'optim' wants an object of settings"},
        {"{\"optim\": {\"lr\": {\"x\": 1}}}", "1:18: key 'optim.lr' wants a number, got {\"x\":1}"},
        {"{\"optim.lr\": 0.1}", "1:2: key 'optim.lr' must be nested: {\"optim\": {...}}"},
        {"{\"%s%n\": 0.1}", "1:2: unknown key '%s%n' (see --help-config)"},
        {"", "1:1: expected a value, got end of text"},
    };
    char dir[256], path[300];
    snprintf(path, sizeof path, "%s/c.json", child_mkdir(dir));
    child_t c;
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        char wanted[600];
        CHECK(fs_write(path, file[i].text, strlen(file[i].text), NULL) == 0);
        child_run(read_file, path, &c);
        snprintf(wanted, sizeof wanted, "?: %s:%s\n", path, file[i].reason);
        CHECK(c.code == 2 && !*c.out, "%s: %d", file[i].text, c.code);
        CHECK_STR(c.err, wanted);
    }
    char deep[400] = "{\"optim\": ";
    for (int i = 0; i < 100; i++) strcat(deep, "[");
    CHECK(fs_write(path, deep, strlen(deep), NULL) == 0);
    child_run(read_file, path, &c);
    CHECK(c.code == 2 && strstr(c.err, "c.json:1:74: nested deeper than 64"), "%s", c.err);
    child_run(read_file, dir, &c);
    CHECK(c.code == 2 && strstr(c.err, "Is a directory"), "%s", c.err);
    child_rmdir(dir);
    child_run(read_file, path, &c);
    CHECK(c.code == 2 && strstr(c.err, "No such file"), "%s", c.err);
}

TEST(config_file_round_trip) {
    char dir[256], path[300];
    snprintf(path, sizeof path, "%s/c.json", child_mkdir(dir));
    settings_t s = defaults(), t = defaults();
    config_set(table, &s, "model.channels=[1,2,3]");
    config_set(table, &s, "optim.lr=0.30000000000000004");
    config_set(table, &s, "model.name=x\"y");
    config_set(table, &s, "loss.focus=1e300");
    char *text = config_print(table, &s), diff[300];
    CHECK(config_diff(table, &s, &t, 0, diff, sizeof diff) == 4);
    CHECK(fs_write(path, text, strlen(text), NULL) == 0);
    config_file(table, &t, path);
    CHECK(config_diff(table, &s, &t, 0, diff, sizeof diff) == 0 && !*diff);
    CHECK(t.lr == 0.1 + 0.2 && t.channels.n == 3 && t.channels.v[2] == 3);
    free(text);
    static const char some[] = "{\"train\": {\"steps\": 7}}"; /* other keys keep their values */
    CHECK(fs_write(path, some, strlen(some), NULL) == 0);
    config_file(table, &t, path);
    CHECK(t.steps == 7 && t.channels.n == 3);
    child_rmdir(dir);
}

TEST(config_json_and_diff) {
    settings_t s = defaults(), t = defaults();
    reason_t why;
    static const char good[] =
        "{\"model\":{\"channels\":64,\"name\":\"b\"},\"optim\":{\"lr\":0.5}}",
                      bad[] = "{\"model\":{\"chanels\":64}}";
    cJSON *root = json_parse(good, strlen(good), false, NULL);
    CHECK(config_json(table, &s, root, &why) == 0 && s.channels.n == 1 && s.lr == 0.5);
    cJSON_Delete(root);
    root = json_parse(bad, strlen(bad), false, NULL);
    CHECK(config_json(table, &s, root, &why) == -1);
    CHECK_STR(why.text, "unknown key 'model.chanels' (did you mean 'model.channels'?)");
    CHECK(config_json(table, &s, root->child->child, &why) == -1 &&
          config_json(table, &s, NULL, &why) == -1);
    cJSON_Delete(root);
    char diff[200], small[45];
    CHECK(config_diff(table, &t, &s, CONFIG_ARCH, diff, sizeof diff) == 2);
    CHECK_STR(diff, "model.channels: [16, 32] vs [64]\nmodel.name: \"\" vs \"b\"");
    CHECK(config_diff(table, &t, &s, 0, small, sizeof small) == 3);
    CHECK_STR(small, "model.channels: [16, 32] vs [64]");
}

static int help(void *arg) {
    config_help(table);
    return 0;
}

TEST(config_help_names_every_key) {
    child_t c;
    child_run(help, NULL, &c);
    CHECK(c.code == 0 && child_lines(c.out) == 8);
    for (const config_field_t *f = table; f->key; f++) {
        const char *line = strstr(c.out, f->key);
        CHECK(line && strstr(line, f->preset) && strstr(line, f->help), "%s", f->key);
    }
    CHECK(strstr(c.out, "[cosine|linear|none]") && strstr(c.out, "[0 to 1]"), "%s", c.out);
}
