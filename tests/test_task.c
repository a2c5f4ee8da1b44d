/* test_task.c - tasks and slots: the order of a Dict's leaves, the order of slots, their JSON, what
 * is no task, and what fits what.
 */
#include "tests/test.h"

#include "common/io/episodes/minari_meta.h"
#include "common/io/token_db/task.h"

#include <math.h>
#include <stdlib.h>

/* ---- the order of leaves ---- */

#define BOX(n)                                                                                     \
    "{\\\"type\\\":\\\"Box\\\",\\\"dtype\\\":\\\"float32\\\",\\\"shape\\\":[" #n                   \
    "],\\\"low\\\":[0],\\\"high\\\":[1]}"
#define KEY(name) "\\\"" name "\\\":"
#define DICT(inside) "{\\\"type\\\":\\\"Dict\\\",\\\"subspaces\\\":{" inside "}}"
#define META(space)                                                                                \
    "{\"total_episodes\":1,\"total_steps\":1,\"observation_space\":\"" space                       \
    "\",\"action_space\":\"" BOX(1) "\"}"

static void check_order(const char *meta, const char *const *want, size_t n) {
    minari_meta_t m;
    reason_t why = {""};
    REQUIRE(!minari_meta_parse(meta, strlen(meta), &m, &why), "%s", why.text);
    CHECK(m.n_obs == n);
    for (size_t i = 0; i < n && i < m.n_obs; i++) CHECK_STR(m.obs[i].path, want[i]);
    minari_meta_release(&m);
}

TEST(leaves_are_sorted_by_path_whatever_the_text_says) {
    static const char *const flat[] = {"Z", "a", "b", "ba"};
    check_order(
        META(DICT(KEY("b") BOX(1) "," KEY("Z") BOX(1) "," KEY("ba") BOX(1) "," KEY("a") BOX(1))),
        flat, 4);
    check_order(
        META(DICT(KEY("a") BOX(1) "," KEY("ba") BOX(1) "," KEY("b") BOX(1) "," KEY("Z") BOX(1))),
        flat, 4);
    static const char *const nested[] = {"a/x", "a/y", "b", "\xc3\xa4"};
    check_order(META(DICT(KEY("\xc3\xa4") BOX(1) "," KEY("b") BOX(1) "," KEY("a")
                              DICT(KEY("y") BOX(1) "," KEY("x") BOX(1)))),
                nested, 4);
}

TEST(a_tuple_keeps_its_order) {
    static const char *const want[] = {"_index_0", "_index_1", "_index_2", "_index_3",
                                       "_index_4", "_index_5", "_index_6", "_index_7",
                                       "_index_8", "_index_9", "_index_10"};
    check_order(
        META("{\\\"type\\\":\\\"Tuple\\\",\\\"subspaces\\\":[" BOX(1) "," BOX(1) "," BOX(1) "," BOX(
            1) "," BOX(1) "," BOX(1) "," BOX(1) "," BOX(1) "," BOX(1) "," BOX(1) "," BOX(1) "]}"),
        want, 11);
}

/* ---- slots ---- */

static void check_names(const task_t *t, const char *const *want, uint32_t n) {
    CHECK(t->n_slots == n, "%u", t->n_slots);
    for (uint32_t i = 0; i < n && i < t->n_slots; i++) CHECK_STR(t->slot[i].name, want[i]);
}

TEST(slots_stand_in_the_order_of_a_timestep) {
    static const char *const want[] = {"front", "wrist", "mission", "b",   "a",
                                       "keys",  "arm",   "hand",    "grip"};
    task_t t = task_new("t", RECORD_EPISODE);
    task_add(&t, SLOT_DISCRETE, SIDE_ACTED, "grip", 1);
    task_add(&t, SLOT_DISCRETE, SIDE_OBSERVED, "keys", 2);
    task_add(&t, SLOT_VECTOR, SIDE_ACTED, "arm", 6);
    task_add(&t, SLOT_VECTOR, SIDE_OBSERVED, "b", 3);
    task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "front", 1);
    task_add(&t, SLOT_TEXT, SIDE_OBSERVED, "mission", 1);
    task_add(&t, SLOT_VECTOR, SIDE_OBSERVED, "a", 4);
    task_add(&t, SLOT_IMAGE, SIDE_OBSERVED, "wrist", 1);
    slot_t *hand = task_add(&t, SLOT_VECTOR, SIDE_ACTED, "hand", 2);
    REQUIRE(hand);
    CHECK(hand->raw[0] == 1 && hand->raw[1] == 1 && hand->low[1] == -INFINITY &&
          hand->high[0] == INFINITY);
    check_names(&t, want, 9);
    CHECK(!task_add(&t, SLOT_DISCRETE, SIDE_OBSERVED, "a", 1), "a name twice on a side");
    CHECK(task_add(&t, SLOT_DISCRETE, SIDE_ACTED, "a", 1), "the same name on the other side");
    CHECK(task_find(&t, SIDE_OBSERVED, "a") == 4 && task_find(&t, SIDE_ACTED, "a") == 9 &&
          task_find(&t, SIDE_ACTED, "front") == -1);
    CHECK(task_first(&t, SIDE_OBSERVED, SLOT_VECTOR) == 3 &&
          task_first(&t, SIDE_ACTED, SLOT_VECTOR) == 6 &&
          task_first(&t, SIDE_ACTED, SLOT_IMAGE) == -1);
    CHECK(task_width(&t, SIDE_OBSERVED, SLOT_VECTOR) == 7 &&
          task_width(&t, SIDE_ACTED, SLOT_VECTOR) == 8 &&
          task_width(&t, SIDE_OBSERVED, SLOT_IMAGE) == 2);
    task_release(&t);
    CHECK(!t.name && !t.slot && !t.n_slots);
}

TEST(at_most_32_slots) {
    task_t t = task_new("t", RECORD_EPISODE);
    for (int i = 0; i < 32; i++) {
        char name[8];
        snprintf(name, sizeof name, "%d", i);
        CHECK(task_add(&t, SLOT_VECTOR, SIDE_OBSERVED, name, 1));
    }
    CHECK(!task_add(&t, SLOT_VECTOR, SIDE_OBSERVED, "more", 1) && t.n_slots == 32);
    CHECK(!task_check(&t, NULL));
    task_release(&t);
}

TEST(columns_and_slots_in_words) {
    char buf[TASK_NAME + 64];
    char joints[] = "arm/joints", none[] = "";
    slot_t s = {.name = joints, .kind = SLOT_VECTOR, .width = 6};
    CHECK_STR(slot_column(&s, 2, buf), "arm/joints[2]");
    CHECK_STR(slot_text(&s, buf), "vector 'arm/joints' of 6");
    s.width = 1;
    CHECK_STR(slot_column(&s, 0, buf), "arm/joints");
    s.name = none;
    CHECK_STR(slot_column(&s, 0, buf), "vector[0]");
    s.side = SIDE_ACTED;
    s.kind = SLOT_DISCRETE;
    s.width = 3;
    CHECK_STR(slot_column(&s, 1, buf), "action[1]");
    CHECK_STR(slot_text(&s, buf), "discrete of 3");
    s = (slot_t){.name = none, .kind = SLOT_IMAGE, .width = 1, .image_h = 48, .image_w = 64};
    CHECK_STR(slot_column(&s, 0, buf), "image");
    CHECK_STR(slot_text(&s, buf), "48 x 64 image");
    char *longest = memset(xcalloc(1, TASK_NAME), 'x', TASK_NAME - 1);
    s.name = longest;
    s.image_h = s.image_w = UINT32_MAX;
    CHECK(strlen(slot_text(&s, buf)) == strlen("4294967295 x 4294967295 image ''") + 255, "%s",
          buf);
    free(longest);
}

/* ---- JSON ---- */

/* What a RUN keeps, with everything that a task can say. */
static const char everything[] =
    "[{\"env\":{\"id\":\"A\",\"z\":[1,2.5]},\"expert_return\":-4.74,\"kind\":\"episode\","
    "\"max_steps\":50,\"name\":\"reacher\",\"random_return\":-15.88,\"slots\":["
    "{\"grid\":[8,4],\"image\":[64,32],\"kind\":\"image\",\"name\":\"image\","
    "\"side\":\"observed\"},"
    "{\"kind\":\"text\",\"name\":\"text\",\"side\":\"observed\",\"text_len\":12},"
    "{\"deviation\":[0.1,2],\"high\":[null,1e-05],\"kind\":\"vector\",\"low\":[null,-3],"
    "\"mean\":[0,-0.5],\"name\":\"state\",\"side\":\"observed\"},"
    "{\"kind\":\"discrete\",\"name\":\"direction\",\"range\":[4,1024],\"side\":\"observed\"},"
    "{\"bin_edges\":[-0.5,0.25,0,0.125],\"bin_values\":[-1,0.5,1,0,0.0625,0.75],"
    "\"high\":[1,1],\"kind\":\"vector\",\"low\":[-1,null],\"name\":\"\",\"raw\":[0,1],"
    "\"scale_high\":[1,7],\"scale_low\":[-1,3],\"scaling\":[\"declared\",\"quantiles\"],"
    "\"side\":\"acted\"},"
    "{\"kind\":\"discrete\",\"name\":\"gripper\",\"range\":[3],\"side\":\"acted\"}]},"
    "{\"kind\":\"text\",\"name\":\"text\",\"slots\":[]}]";

TEST(every_member_comes_back) {
    tasks_t list;
    reason_t why = {""};
    REQUIRE(!tasks_parse(&list, everything, sizeof everything - 1, &why), "%s", why.text);
    REQUIRE(list.n == 2 && list.v[0].n_slots == 6);
    const task_t *t = &list.v[0];
    const slot_t *s = t->slot;
    CHECK(t->kind == RECORD_EPISODE && t->max_steps == 50 && t->expert_return == -4.74 &&
          t->random_return == -15.88);
    CHECK_STR(t->env, "{\"id\":\"A\",\"z\":[1,2.5]}");
    CHECK(s[0].kind == SLOT_IMAGE && s[0].image_h == 64 && s[0].image_w == 32 && s[0].grid_h == 8 &&
          s[0].grid_w == 4 && s[0].width == 1 && !s[0].low);
    CHECK(s[1].kind == SLOT_TEXT && s[1].text_len == 12);
    CHECK(s[2].width == 2 && s[2].low[0] == -INFINITY && s[2].high[0] == INFINITY &&
          s[2].low[1] == -3 && s[2].high[1] == 1e-5f && s[2].deviation[0] == 0.1f &&
          s[2].mean[1] == -0.5f && !s[2].raw);
    CHECK(s[3].width == 2 && s[3].range[1] == 1024);
    CHECK(s[4].side == SIDE_ACTED && s[4].raw[0] == 0 && s[4].raw[1] == 1 &&
          s[4].low[1] == -INFINITY && s[4].scale_low[1] == 3 &&
          s[4].scaling[1] == SCALING_QUANTILES && s[4].scaling[0] == SCALING_DECLARED);
    CHECK(s[4].n_bins == 3 && s[4].bin_edges[1] == 0.25f && s[4].bin_values[5] == 0.75f);
    CHECK(s[5].side == SIDE_ACTED && s[5].width == 1 && s[5].range[0] == 3);
    CHECK(isnan(list.v[1].expert_return) && !list.v[1].env && list.v[1].kind == RECORD_TEXT);
    CHECK(tasks_find(&list, "text") == 1 && tasks_find(&list, "x") == -1);
    tasks_t copy = tasks_copy(&list);
    tasks_release(&list);
    char *json = tasks_json(&copy);
    CHECK_STR(json, everything);
    free(json);
    tasks_release(&copy);
}

TEST(odd_names_come_back) {
    static const char *const names[] = {
        "a\"b\\c", "\xf0\x9f\xa4\x96", "a b/c=d+e,f", "tab\there\x01", "", "{}[]:,null"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        task_t t = task_new("x", RECORD_EPISODE);
        task_add(&t, SLOT_VECTOR, SIDE_OBSERVED, names[i], 3);
        char *json = tasks_json(&(tasks_t){&t, 1});
        tasks_t list;
        reason_t why = {""};
        REQUIRE(!tasks_parse(&list, json, strlen(json), &why), "%s", why.text);
        CHECK_STR(list.v[0].slot[0].name, names[i]);
        tasks_release(&list);
        free(json);
        task_release(&t);
    }
}

TEST(members_that_may_be_absent) {
    static const char json[] =
        "[{\"name\":\"x\",\"kind\":\"episode\",\"env\":null,\"more\":1,\"slots\":["
        "{\"name\":\"a\",\"kind\":\"vector\",\"side\":\"acted\",\"low\":[-1e300],\"high\":[2]}]}]";
    tasks_t list;
    reason_t why = {""};
    REQUIRE(!tasks_parse(&list, json, sizeof json - 1, &why), "%s", why.text);
    const slot_t *s = list.v[0].slot;
    CHECK(s->raw[0] == 1 && s->low[0] == -INFINITY && s->high[0] == 2 && !s->scaling &&
          !list.v[0].env);
    tasks_release(&list);
}

/* A list of one task whose slots are `slots`. */
#define TASK(slots) "[{\"kind\":\"episode\",\"name\":\"t\",\"slots\":[" slots "]}]"
#define SLOT(kind, more) "{\"kind\":\"" kind "\",\"name\":\"a\",\"side\":\"observed\"" more "}"
#define BINNED(edges, values)                                                                      \
    ACTED("vector", ",\"low\":[1],\"high\":[1],\"bin_edges\":" edges ",\"bin_values\":" values)
#define ACTED(kind, more) "{\"kind\":\"" kind "\",\"name\":\"a\",\"side\":\"acted\"" more "}"

TEST(what_is_no_list) {
    static const struct {
        const char *json, *says;
    } bad[] = {
        {"", "tasks: "},
        {"{}", "no list"},
        {"[1]", "lacks a name or a known kind"},
        {"[{\"kind\":\"episode\",\"slots\":[]}]", "lacks a name or a known kind"},
        {"[{\"kind\":\"sound\",\"name\":\"t\",\"slots\":[]}]", "lacks a name or a known kind"},
        {"[{\"kind\":\"text\",\"name\":\"\",\"slots\":[]}]", "without a name"},
        {"[{\"kind\":\"text\",\"name\":\"t\"}]", "'slots' is no list"},
        {"[{\"kind\":\"text\",\"name\":\"t\",\"slots\":[],\"max_steps\":-1}]", "'max_steps'"},
        {"[{\"kind\":\"text\",\"name\":\"t\",\"slots\":[],\"expert_return\":\"5\"}]",
         "'expert_return' is no number"},
        {"[{\"kind\":\"text\",\"name\":\"t\",\"slots\":[]},{\"kind\":\"text\",\"name\":\"t\","
         "\"slots\":[]}]",
         "task 't' is there twice"},
        {TASK("1"), "slot 0 lacks"},
        {TASK(SLOT("sound", "")), "slot 0 lacks"},
        {TASK(SLOT("vector", "")), "no columns"},
        {TASK(SLOT("vector", ",\"low\":[],\"high\":[]")), "no columns"},
        {TASK(SLOT("vector", ",\"low\":[1],\"high\":[1,2]")), "'high' is no list of 1"},
        {TASK(SLOT("vector", ",\"low\":[\"1\"],\"high\":[1]")), "'low[0]' is no number"},
        {TASK(SLOT("vector", ",\"low\":[1e300],\"high\":[1]")), "bounded by inf"},
        {TASK(SLOT("vector", ",\"low\":[1],\"high\":[1],\"mean\":[null]")), "'mean[0]'"},
        {TASK(SLOT("vector", ",\"low\":[1],\"high\":[1],\"mean\":[1e300]")), "not finite"},
        {TASK(SLOT("vector", ",\"low\":[1],\"high\":[1],\"raw\":[1]")), "only an acted vector"},
        {TASK(ACTED("vector", ",\"low\":[1],\"high\":[1],\"raw\":[2]")), "'raw[0]' is not 0 or 1"},
        {TASK(ACTED("vector", ",\"low\":[1],\"high\":[1],\"scaling\":[\"x\"]")), "'scaling[0]'"},
        {TASK(SLOT("vector", ",\"low\":[1],\"high\":[1],\"range\":[1]")), "a range belongs to"},
        {TASK(BINNED("[0]", "[1]")), "no list of two bins"},
        {TASK(BINNED("[]", "[0,0.5,1]")), "'bin_edges' is no list of 2"},
        {TASK(BINNED("[0.5,0]", "[0,0.5,1]")), "bin_edges[1] is below"},
        {TASK(BINNED("[1e300]", "[0,0.5]")), "bin_edges[0] is not finite"},
        {TASK(BINNED("[0]", "[0,1.5]")), "bin_values[1] is not in [-1,1]"},
        {TASK(ACTED("vector", ",\"low\":[1],\"high\":[1],\"bin_edges\":[1]")),
         "'bin_values' is no"},
        {TASK(ACTED("vector", ",\"low\":[1],\"high\":[1],\"bin_values\":[0,1]")), "together"},
        {TASK(SLOT("vector", ",\"low\":[1],\"high\":[1],\"bin_edges\":[0],\"bin_values\":[0,1]")),
         "belong to acted vectors"},
        {TASK(SLOT("image", ",\"bin_edges\":[0],\"bin_values\":[0,1]")), "bins belong to vectors"},
        {TASK(SLOT("image", ",\"low\":[1]")), "bounds belong to vectors"},
        {TASK(SLOT("image", ",\"image\":[64]")), "'image' is no [height, width]"},
        {TASK(SLOT("image", ",\"image\":[64,0]")), "'image' is no [height, width]"},
        {TASK(SLOT("image", ",\"grid\":[65536,65536]")), "too many"},
        {TASK(SLOT("discrete", "")), "no columns"},
        {TASK(SLOT("discrete", ",\"range\":[0]")), "column 0 has 0 values"},
        {TASK(SLOT("discrete", ",\"range\":[2,1025]")), "column 1 has 1025 values"},
        {TASK(SLOT("discrete", ",\"range\":[-1]")), "'range[0]' is no count"},
        {TASK(ACTED("image", "")), "it cannot be acted"},
        {TASK(ACTED("text", "")), "it cannot be acted"},
        {TASK(SLOT("text", "") "," SLOT("image", "")), "is there twice"},
        {TASK(SLOT("text", "") ",{\"kind\":\"text\",\"name\":\"b\",\"side\":\"observed\"}"),
         "2 texts, more than 1"},
        {TASK(SLOT("text", "") ",{\"kind\":\"image\",\"name\":\"b\",\"side\":\"observed\"}"),
         "stands behind a slot of another kind"},
        {"[{\"kind\":\"text\",\"name\":\"t\",\"slots\":[" ACTED("discrete", ",\"range\":[2]") "]}]",
         "only episodes have actions"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tasks_t list;
        reason_t why = {""};
        CHECK(tasks_parse(&list, bad[i].json, strlen(bad[i].json), &why) == -1 && !list.n &&
                  strstr(why.text, bad[i].says),
              "%s: '%s' instead of '%s'", bad[i].json, why.text, bad[i].says);
    }
}

TEST(what_is_no_task) {
    reason_t why;
    char *longest = memset(xcalloc(1, TASK_NAME + 1), 'x', TASK_NAME);
    task_t t = task_new(longest, RECORD_EPISODE);
    CHECK(task_check(&t, &why) && strstr(why.text, "256 bytes"), "%s", why.text);
    t.name[TASK_NAME - 1] = 0;
    CHECK(!task_check(&t, &why));
    slot_t *s = task_add(&t, SLOT_VECTOR, SIDE_ACTED, "\xff", 1);
    CHECK(task_check(&t, &why) && strstr(why.text, "no UTF-8"), "%s", why.text);
    strcpy(s->name, "a");
    CHECK(!task_check(&t, &why));
    s->low[0] = NAN;
    CHECK(task_check(&t, &why));
    s->low[0] = 0;
    uint8_t *raw = s->raw;
    s->raw = NULL;
    CHECK(task_check(&t, &why) && strstr(why.text, "raw is missing"));
    s->raw = raw;
    t.env = xstrdup("{");
    CHECK(task_check(&t, &why) && strstr(why.text, "environment is no JSON"), "%s", why.text);
    strcpy(t.env, "1");
    CHECK(!task_check(&t, &why));
    t.expert_return = INFINITY;
    CHECK(task_check(&t, &why) && strstr(why.text, "infinite return"));
    task_release(&t);
    free(longest);
}

/* ---- what fits ---- */

/* A task of observed vectors "NAME" of a width each, and an action of 2. */
static task_t body(const char *a, uint32_t n, const char *b, uint32_t m) {
    task_t t = task_new("arm", RECORD_EPISODE);
    if (a) task_add(&t, SLOT_VECTOR, SIDE_OBSERVED, a, n);
    if (b) task_add(&t, SLOT_VECTOR, SIDE_OBSERVED, b, m);
    task_add(&t, SLOT_VECTOR, SIDE_ACTED, "torque", 2);
    return t;
}

/* says NULL: it fits, and map is `want`. */
static void check_fit(task_t model, task_t data, const char *says, const int32_t *want) {
    reason_t why = {""};
    int32_t map[TASK_SLOTS];
    int rc = task_fit(&model, &data, &why);
    CHECK(!rc == !says && (!says || strstr(why.text, says)), "'%s' instead of '%s'", why.text,
          says ? says : "it fits");
    if (!rc && want) {
        task_map(&model, &data, map);
        for (uint32_t i = 0; i < data.n_slots; i++)
            CHECK(map[i] == want[i], "slot %u: %d", i, map[i]);
    }
    task_release(&model);
    task_release(&data);
}

TEST(slots_are_found_by_their_names) {
    check_fit(body("a", 2, "b", 2), body("a", 2, "b", 2), NULL, (int32_t[]){0, 1, 2});
    check_fit(body("a", 2, "b", 2), body("b", 2, "a", 2), NULL, (int32_t[]){1, 0, 2});
    check_fit(body("a", 2, "b", 3), body("b", 3, NULL, 0), NULL, (int32_t[]){1, 2});
    check_fit(body("a", 2, "b", 3), body(NULL, 0, NULL, 0), NULL, (int32_t[]){2});
    check_fit(body("a", 2, NULL, 0), body("a", 2, "b", 3),
              "the model does not know vector 'b' of 3; the model reads vector 'a' of 2, acted "
              "vector 'torque' of 2; the data have vector 'a' of 2, vector 'b' of 3, acted vector "
              "'torque' of 2",
              NULL);
    check_fit(body("a", 2, NULL, 0), body("a", 3, NULL, 0),
              "task 'arm': vector 'a' of 3 has 2 columns in the model", NULL);
}

TEST(a_slot_without_a_name_takes_what_is_left) {
    check_fit(body("a", 2, NULL, 0), body("", 2, NULL, 0), NULL, (int32_t[]){0, 1});
    check_fit(body("", 2, NULL, 0), body("a", 2, NULL, 0), NULL, (int32_t[]){0, 1});
    check_fit(body("a", 2, "b", 2), body("", 2, "a", 2), NULL, (int32_t[]){1, 0, 2});
    check_fit(body("a", 3, "b", 2), body("", 2, NULL, 0), NULL, (int32_t[]){1, 2});
    check_fit(body("a", 3, NULL, 0), body("", 2, NULL, 0), "does not know vector of 2", NULL);
    check_fit(body("a", 2, NULL, 0), body("", 2, "a", 2), "does not know vector of 2", NULL);
}

TEST(kinds_ranges_and_bounds_must_be_equal) {
    task_t model = body("a", 1, NULL, 0), data = body(NULL, 0, NULL, 0);
    task_add(&data, SLOT_DISCRETE, SIDE_OBSERVED, "a", 1)->range = xcalloc(1, 4);
    check_fit(model, data, "does not know discrete 'a' of 1", NULL);
    model = body("a", 1, NULL, 0);
    data = body("a", 1, NULL, 0);
    model.kind = RECORD_TEXT;
    check_fit(model, data, "the model knows it as text, the data as episode", NULL);

    model = body(NULL, 0, NULL, 0);
    data = task_copy(&model);
    model.slot[0].low[1] = -2;
    data.slot[0].low[1] = -1;
    check_fit(model, data,
              "torque[1] is declared from -2 to inf in the model and from -1 to inf in the data",
              NULL);
    model = body(NULL, 0, NULL, 0);
    data = task_copy(&model);
    data.slot[0].high[0] = 1;
    check_fit(model, data, "torque[0] is declared", NULL);

    /* of observations only what is declared on both sides counts */
    model = body("a", 1, NULL, 0);
    data = task_copy(&model);
    data.slot[0].high[0] = 1;
    check_fit(task_copy(&model), task_copy(&data), NULL, NULL);
    free(model.slot[0].high);
    model.slot[0].high = NULL;
    check_fit(task_copy(&model), task_copy(&data), NULL, NULL);
    model.slot[0].high = floats_of(1, 2);
    check_fit(model, data, "a is declared from -inf to 2 in the model", NULL);

    static const uint32_t four[2] = {4, 4}, five[2] = {4, 5};
    model = body(NULL, 0, NULL, 0);
    task_add(&model, SLOT_DISCRETE, SIDE_ACTED, "keys", 2);
    model.slot[1].range = memcpy(xmalloc(8), four, 8);
    data = task_copy(&model);
    memcpy(data.slot[1].range, five, 8);
    check_fit(model, data, "keys[1] has 4 values in the model and 5 in the data", NULL);
}

TEST(sizes_statistics_and_names_of_tasks_fit) {
    task_t model = body("a", 1, NULL, 0);
    task_add(&model, SLOT_IMAGE, SIDE_OBSERVED, "front", 1);
    task_t data = task_copy(&model);
    data.slot[0].image_h = data.slot[0].image_w = 96;
    model.slot[1].mean = floats_of(1, 3);
    model.max_steps = 7;
    data.name[0] = 'x';
    check_fit(model, data, NULL, (int32_t[]){0, 1, 2});
}
