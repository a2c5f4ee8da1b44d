/* test_json.c - strict JSON: every trap of cJSON, positions of faults, exact integers, shortest
 * numbers, canonical form. */
#include "common/io/fs.h"
#include "common/io/text/json.h"
#include "tests/child.h"
#include "tests/test.h"

#include <float.h>

static cJSON *parse(const char *text, bool infinities, reason_t *why) {
    return json_parse(text, strlen(text), infinities, why);
}

TEST(json_accepts) {
    static const char *const good[] = {"{}",
                                       "[]",
                                       "0",
                                       "-0",
                                       "\"\"",
                                       " \t\r\n null \n",
                                       "true",
                                       "[false]",
                                       "[1,2,[3,{\"a\":[]}]]",
                                       "-1.5e+3",
                                       "1e308",
                                       "1e-999",
                                       "\"\\u00e9\\ud83d\\ude00\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
                                       "\"\xc3\xa9\xf0\x9f\x98\x80\x7f\"",
                                       "{\"\":1,\"a\":{\"\":2}}",
                                       "{\"a\":1,\"A\":2}",
                                       "[{\"a\":1},{\"a\":1}]",
                                       "{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":1}}"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        reason_t why = {""};
        cJSON *root = parse(good[i], false, &why);
        CHECK(root != NULL, "%s: %s", good[i], why.text);
        cJSON_Delete(root);
    }
    cJSON *root = parse("{\"k\": \"\\u00e9\\ud83d\\ude00\\n\", \"v\": [1.5, null]}", false, NULL);
    REQUIRE(root != NULL);
    CHECK_STR(cJSON_GetObjectItemCaseSensitive(root, "k")->valuestring,
              "\xc3\xa9\xf0\x9f\x98\x80\n");
    CHECK(cJSON_GetObjectItemCaseSensitive(root, "v")->child->valuedouble == 1.5);
    cJSON_Delete(root);
    root = json_parse("[1]garbage", 3, false, NULL); /* the text ends where its size says */
    CHECK(root != NULL);
    cJSON_Delete(root);
}

static const struct {
    const char *text, *reason;
} refused[] = {
    {"", "1:1: expected a value, got end of text"},
    {"  \n ", "2:2: expected a value, got end of text"},
    {"{\n  \"lr\": 1,\n  \"b\": 2, \"lr\": 3\n}", "3:11: duplicate key 'lr'"},
    {"{\"a\":1,\"\\u0061\":2}", "1:8: duplicate key 'a'"},
    {"{\"\":1,\"b\":0,\"\":2,\"b\":0}", "1:13: duplicate key ''"},
    {"{\"o\":{\"x\":1,\"y\":[{\"x\":1}],\"x\":2}}", "1:27: duplicate key 'x'"},
    {"[1] x", "1:5: expected the end, got 'x'"},
    {"[1]]", "1:4: expected the end, got ']'"},
    {"[1,]", "1:3: trailing comma"},
    {"{\"a\":1,\n}", "1:7: trailing comma"},
    {"{,}", "1:2: expected a key in double quotes, got ','"},
    {"[1 2]", "1:4: expected ',' or ']', got '2'"},
    {"{\"a\" 1}", "1:6: expected ':', got '1'"},
    {"{\"a\":1 \"b\":2}", "1:8: expected ',' or '}', got '\"'"},
    {"{'a':1}", "1:2: expected a key in double quotes, got '''"},
    {"{a:1}", "1:2: expected a key in double quotes, got 'a'"},
    {"// no\n{}", "1:1: comments are not JSON"},
    {"{ /* no */ }", "1:3: comments are not JSON"},
    {"{\"a\":1 # no\n}", "1:8: comments are not JSON"},
    {"01", "1:1: number with a leading zero"},
    {"[-012]", "1:2: number with a leading zero"},
    {"1.", "1:3: expected a digit after '.', got end of text"},
    {"[.5]", "1:2: expected a value, got '.'"},
    {"+1", "1:1: expected a value, got '+'"},
    {"[-]", "1:3: expected a digit, got ']'"},
    {"1e", "1:3: expected an exponent, got end of text"},
    {"0x10", "1:2: expected the end, got 'x'"},
    {"1e999", "1:1: number out of range"},
    {"[0,-1e999]", "1:4: number out of range"},
    {"[NaN]", "1:2: NaN is not JSON"},
    {"[Infinity]", "1:2: Infinity is not JSON"},
    {"-Infinity", "1:1: Infinity is not JSON"},
    {"nul", "1:1: expected a value, got 'n'"},
    {"True", "1:1: expected a value, got 'T'"},
    {"truex", "1:5: expected the end, got 'x'"},
    {"\"x\\u0000y\"", "1:3: \\u0000 is not allowed"},
    {"\"\xc3\xa9\\u00\"", "1:3: \\u needs four hex digits"},
    {"\"\\x41\"", "1:2: unknown escape"},
    {"\"\\ud83d\"", "1:2: lone surrogate"},
    {"\"\\ud83d\\u0041\"", "1:2: lone surrogate"},
    {"\"\\ude00\"", "1:2: lone surrogate"},
    {"\"a\nb\"", "1:3: control character 0x0a in a string"},
    {"[\"a", "1:2: string without end"},
    {"\"\\", "1:2: unknown escape"},
    {"[\"\xff\"]", "1:3: invalid UTF-8"},
    {"\"\xc0\x80\"", "1:2: invalid UTF-8"},
    {"\"\xed\xa0\x80\"", "1:2: invalid UTF-8"},
    {"\"\xf4\x90\x80\x80\"", "1:2: invalid UTF-8"},
    {"\"\xe2\x82\"", "1:2: invalid UTF-8"},
    {"\xef\xbb\xbf{}", "1:1: byte order mark"},
    {"[", "1:2: expected a value, got end of text"},
    {"{", "1:2: expected a key in double quotes, got end of text"},
    {"[\x01]", "1:2: expected a value, got byte 0x01"},
};

TEST(fault_077_json_refused_with_position) {
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        reason_t why = {""};
        cJSON *root = parse(refused[i].text, false, &why);
        CHECK(!root, "accepted: %s", refused[i].text);
        CHECK_STR(why.text, refused[i].reason);
        cJSON_Delete(root);
        CHECK(!parse(refused[i].text, false, NULL));
    }
    reason_t why;
    CHECK(!json_parse("[1]\0", 4, false, &why) &&
          strcmp(why.text, "1:4: expected the end, got byte 0x00") == 0);
    CHECK(!json_parse("\"a\0b\"", 5, false, &why) &&
          strcmp(why.text, "1:3: control character 0x00 in a string") == 0);
}

TEST(fault_077_json_depth_and_long_numbers) {
    char text[400];
    for (int depth = 63; depth <= 66; depth++) {
        for (int brace = 0; brace < 2; brace++) {
            size_t n = 0;
            for (int i = 0; i < depth; i++)
                n += (size_t)sprintf(text + n, brace && i + 1 < depth ? "{\"\":" : "[");
            for (int i = depth; i-- > 0;) text[n++] = brace && i + 1 < depth ? '}' : ']';
            reason_t why = {""};
            cJSON *root = json_parse(text, n, false, &why);
            CHECK((root != NULL) == (depth <= 64), "%d: %s", depth, why.text);
            if (depth > 64)
                CHECK(strstr(why.text, "nested deeper than 64") != NULL, "%s", why.text);
            cJSON_Delete(root);
        }
    }
    memset(text, '1', 64);
    text[1] = '.';
    cJSON *root = json_parse(text, 63, false, NULL);
    CHECK(root && fabs(root->valuedouble - 10.0 / 9) < 1e-12);
    cJSON_Delete(root);
    CHECK(!json_parse(text, 64, false, NULL));
}

TEST(json_hundred_thousand_keys) {
    size_t cap = 3 << 20, n = 1;
    char *text = xmalloc(cap);
    text[0] = '{';
    for (int i = 0; i < 100000; i++)
        n += (size_t)sprintf(text + n, "%s\"key.%d\":%d", i ? "," : "", i * 7, i);
    sprintf(text + n, "}");
    cJSON *root = parse(text, false, NULL);
    CHECK(root != NULL);
    cJSON_Delete(root);
    sprintf(text + n, ",\"key.70\":1}");
    reason_t why;
    CHECK(!parse(text, false, &why) && strstr(why.text, "duplicate key 'key.70'"), "%s", why.text);
    free(text);
}

TEST(json_infinities_of_minari) {
    cJSON *root =
        parse("{\"low\": [-Infinity, Infinity, NaN, 3, -5], \"t\": \"NaN Infinity\"}", true, NULL);
    REQUIRE(root != NULL);
    const cJSON *low = cJSON_GetObjectItemCaseSensitive(root, "low");
    int64_t v;
    CHECK(cJSON_GetArrayItem(low, 0)->valuedouble == -1e308 &&
          cJSON_GetArrayItem(low, 1)->valuedouble == 1e308);
    CHECK(cJSON_IsNull(cJSON_GetArrayItem(low, 2)));
    CHECK(!json_i64(cJSON_GetArrayItem(low, 0), &v));
    CHECK(json_i64(cJSON_GetArrayItem(low, 3), &v) && v == 3 &&
          json_i64(cJSON_GetArrayItem(low, 4), &v) && v == -5);
    CHECK_STR(cJSON_GetObjectItemCaseSensitive(root, "t")->valuestring, "NaN Infinity");
    cJSON_Delete(root);
    CHECK(!parse("[Infinit]", true, NULL) && !parse("[-NaN]", true, NULL) &&
          !parse("{NaN:1}", true, NULL));
    CHECK(!parse("[InfinityNaN]", true, NULL));
}

TEST(json_exact_integers) {
    static const struct {
        const char *text;
        int64_t value;
        bool i64, u64;
    } cases[] = {
        {"0", 0, true, true},
        {"-0", 0, true, false},
        {"-7", -7, true, false},
        {"9007199254740992", 9007199254740992, true, true},
        {"-9007199254740992", -9007199254740992, true, false},
        {"9007199254740993", 0, false, false},
        {"-9007199254740993", 0, false, false},
        {"18446744073709551616", 0, false, false},
        {"1.0", 0, false, false},
        {"1.5", 0, false, false},
        {"1e3", 0, false, false},
        {"100e-2", 0, false, false},
        {"\"1\"", 0, false, false},
        {"true", 0, false, false},
        {"null", 0, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[100]; /* among others, so that the marks of neighbours show */
        snprintf(text, sizeof text, "{\"a\":[1.5,2],\"b\":%s,\"c\":1e1}", cases[i].text);
        cJSON *root = parse(text, false, NULL);
        REQUIRE(root != NULL);
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, "b");
        int64_t v = 77;
        uint64_t u = 77;
        CHECK(json_i64(item, &v) == cases[i].i64 && v == (cases[i].i64 ? cases[i].value : 77), "%s",
              cases[i].text);
        CHECK(json_u64(item, &u) == cases[i].u64 &&
                  u == (cases[i].u64 ? (uint64_t)cases[i].value : 77),
              "%s", cases[i].text);
        CHECK(json_i64(root->child->child->next, &v) && v == 2 &&
              !json_i64(root->child->child, &v));
        cJSON_Delete(root);
    }
    int64_t v;
    cJSON *made = cJSON_CreateNumber(12);
    CHECK(json_i64(made, &v) && v == 12 && !json_i64(NULL, &v));
    cJSON_SetNumberValue(made, 0.5);
    CHECK(!json_i64(made, &v));
    cJSON_Delete(made);
}

TEST(json_positions) {
    static const char text[] = "{\n  \"a\": [1, {\"b\": 2}],\n  \"\xc3\xa9\": {}, \"d\": -3\n}\n";
    cJSON *root = parse(text, false, NULL);
    REQUIRE(root != NULL);
    const cJSON *a = root->child, *e = a->next, *d = e->next, *b = a->child->next->child;
    const struct {
        const cJSON *item;
        bool key;
        size_t line, column;
    } cases[] = {{root, false, 1, 1},
                 {a, true, 2, 3},
                 {a, false, 2, 8},
                 {a->child, false, 2, 9},
                 {a->child->next, false, 2, 12},
                 {b, true, 2, 13},
                 {b, false, 2, 18},
                 {e, true, 3, 3},
                 {e, false, 3, 8},
                 {d, true, 3, 12},
                 {d, false, 3, 17}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t line, column;
        json_where(text, strlen(text), root, cases[i].item, cases[i].key, &line, &column);
        CHECK(line == cases[i].line && column == cases[i].column, "%d: %d:%d", (int)i, (int)line,
              (int)column);
    }
    cJSON_Delete(root);
}

TEST(json_file_reasons) {
    char dir[256], path[300];
    snprintf(path, sizeof path, "%s/c.json", child_mkdir(dir));
    reason_t why;
    CHECK(!json_parse_file(path, false, &why) && strstr(why.text, "cannot open '") == why.text &&
          strstr(why.text, "No such file"));
    CHECK(fs_write(path, "{\n \"a\": tru}", 12, &why) == 0);
    CHECK(!json_parse_file(path, false, &why));
    char wanted[400];
    snprintf(wanted, sizeof wanted, "%s:2:7: expected a value, got 't'", path);
    CHECK_STR(why.text, wanted);
    CHECK(fs_write(path, "[1]\n", 4, &why) == 0);
    cJSON *root = json_parse_file(path, false, &why);
    CHECK(root && cJSON_IsArray(root));
    cJSON_Delete(root);
    child_rmdir(dir);
}

static int significant(const char *text) {
    int digits = 0;
    for (const char *c = text; *c && *c != 'e'; c++)
        digits += *c >= '0' && *c <= '9' && !(digits == 0 && *c == '0');
    return digits;
}

/* The shortest by search: no text of fewer digits reads back. */
TEST(json_shortest_numbers) {
    static const double values[] = {
        0.1,        1.0 / 3, 1e-5, 5e-324, 2.2250738585072011e-308, DBL_MAX, DBL_EPSILON,
        123456.789, 1e15,    1e22, 0.3};
    char buf[40], fewer[40];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        for (int sign = -1; sign <= 1; sign += 2) {
            double v = sign * values[i];
            json_double(buf, v);
            CHECK(strtod(buf, NULL) == v, "%s", buf);
            for (int d = 1; d < significant(buf); d++) {
                snprintf(fewer, sizeof fewer, "%.*e", d - 1, v);
                CHECK(strtod(fewer, NULL) != v, "%s against %s", buf, fewer);
            }
        }
    }
    uint32_t bits = 1;
    for (int i = 0; i < 20000; i++) {
        bits = bits * 1664525u + 1013904223u;
        float v;
        memcpy(&v, &bits, 4);
        if (!isfinite(v)) continue;
        json_float(buf, v);
        CHECK(strtof(buf, NULL) == v, "%s", buf);
        int shorter =
            significant(buf) - 2; /* digits after the point of a text with one digit less */
        if (shorter < 0 || v == floorf(v)) continue;
        snprintf(fewer, sizeof fewer, "%.*e", shorter, (double)v);
        CHECK(strtof(fewer, NULL) != v, "%s %s", buf, fewer);
    }
    CHECK_STR(json_float(buf, 0.1f), "0.1");
    CHECK_STR(json_float(buf, 1e-5f), "1e-05");
    CHECK_STR(json_float(buf, 16777216.0f), "16777216");
    CHECK_STR(json_float(buf, 1000000.0f), "1000000");
    CHECK_STR(json_float(buf, -0.0f), "-0");
    CHECK_STR(json_float(buf, 1e-45f), "1e-45");
    CHECK_STR(json_float(buf, NAN), "null");
    CHECK_STR(json_double(buf, 0.1), "0.1");
    CHECK_STR(json_double(buf, 123456789012345), "123456789012345");
    CHECK_STR(json_double(buf, -INFINITY), "null");
}

TEST(json_writer) {
    jsonw_t w;
    jsonw_begin(&w);
    jsonw_str(&w, "s", "a\"\\\n\t\x01\xc3\xa9\xff");
    jsonw_str(&w, "null", NULL);
    jsonw_bytes(&w, "b", "a\0b", 3);
    jsonw_int(&w, "i", INT64_MIN);
    jsonw_num(&w, "n", 0.1);
    jsonw_num(&w, "nan", NAN);
    jsonw_float(&w, "f", 0.1f);
    jsonw_bool(&w, "t", true);
    jsonw_open(&w, "grid", '[');
    jsonw_int(&w, NULL, 1);
    jsonw_int(&w, NULL, 2);
    jsonw_open(&w, NULL, '{');
    jsonw_close(&w, '}');
    jsonw_close(&w, ']');
    jsonw_raw(&w, "r", "{\"x\":1}");
    jsonw_open(&w, "o", '{');
    jsonw_bool(&w, "f", false);
    jsonw_close(&w, '}');
    CHECK_STR(jsonw_end(&w), "{\"s\":\"a\\\"\\\\\\n\\t\\u0001\xc3\xa9\\u00ff\",\"null\":null,\"b\":"
                             "\"a\\u0000b\",\"i\":-9223372036854775808,"
                             "\"n\":0.1,\"nan\":null,\"f\":0.1,\"t\":true,\"grid\":[1,2,{}],\"r\":{"
                             "\"x\":1},\"o\":{\"f\":false}}");
    jsonw_free(&w);
    CHECK(!w.text);
}

TEST(json_canonical_form) {
    cJSON *root = parse(
        "{ \"b\" : [1.50, 1e2, true, null], \"a\": {\"z\":\"\\u00e9/\", \"Z\":-0.1}, \"\":[] }",
        false, NULL);
    REQUIRE(root != NULL);
    char *text = json_canonical(root);
    CHECK_STR(text, "{\"\":[],\"a\":{\"Z\":-0.1,\"z\":\"\xc3\xa9/\"},\"b\":[1.5,100,true,null]}");
    free(text);
    cJSON_Delete(root);
}
