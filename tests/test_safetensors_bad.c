/* test_safetensors_bad.c - safetensors that break a rule of the format, are cut short, or are too
 * much: refused, with the rule named. Files are built by hand, byte by byte.
 */
#include "tests/safetensors_case.h"

#define T(shape, offsets)                                                                          \
    "{\"a\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

TEST(fault_063_safetensors_too_short) {
    for (size_t n = 0; n < 8; n++) check_raw((const uint8_t[8]){2}, n, "rule 1:");
}

TEST(fault_063_safetensors_header_length) {
    static const struct {
        uint64_t claimed;
        const char *rule;
    } cases[] = {{(uint64_t)1 << 63, "rule 2:"}, {UINT64_MAX, "rule 2:"},
                 {UINT64_MAX - 7, "rule 2:"},    {100000001, "rule 2:"},
                 {100000000, "rule 3:"},         {3, "rule 3:"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        uint8_t *bytes = make_file("{}", 2, cases[i].claimed, 0, &size);
        check_raw(bytes, size, cases[i].rule);
        free(bytes);
    }
    check_raw((const uint8_t[8]){0}, 8, "rule 5:"); /* N = 0 */
}

TEST(fault_063_safetensors_utf8) {
    static const char *const bad[] = {"\x80",
                                      "\xC0\x80",
                                      "\xC1\xBF",
                                      "\xE0\x9F\xBF",
                                      "\xED\xA0\x80",
                                      "\xF4\x90\x80\x80",
                                      "\xF0\x8F\xBF\xBF",
                                      "\xE2\x82",
                                      "\xFF",
                                      "\xC3"};
    char header[128];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(header, sizeof header,
                 "{\"%s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", bad[i]);
        check_refused(header, 4, "rule 4:");
    }
    CHECK(accepted("{\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xED\x9F\xBF\xF4\x8F\xBF\xBF\":"
                   "{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}",
                   4));
}

TEST(fault_063_safetensors_first_byte_and_padding) {
    check_refused("[]", 0, "rule 5:");
    check_refused(" {}", 0, "rule 5:");
    check_refused("\"a\"", 0, "rule 5:");
    check_refused("{}\n", 0, "rule 5:");
    check_refused("{} \t ", 0, "rule 5:");
    CHECK(accepted("{}", 0));
    CHECK(accepted("{}      ", 0));
}

TEST(fault_063_safetensors_json) {
    static const char *const bad[] = {
        "{",
        "{}{}",
        "{} x",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":-}",
        "{\"a\":1e}",
        "{\"a\":1e+}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":tru}",
        "{\"a\":nul}",
        "{\"a\":[1,]}",
        "{\"a\":[1 2]}",
        "{\"a\":[1}",
        "{\"a\":\"x}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\\ud800\\u0041\"}",
        "{\"a\":\"\x01\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":1/**/}",
        "{'a':1}",
        "{\"a\":1}}",
        "{\"a\":\"\\u0000\"}",
        "{\"x\\u0000y\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}",
        "{\"a\":\"\\"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) check_refused(bad[i], 0, "rule 6:");
}

TEST(fault_063_safetensors_raw_nul) {
    static const char header[] =
        "{\"a\0b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}";
    size_t size;
    uint8_t *bytes = make_file(header, sizeof header - 1, 0, 4, &size);
    check_raw(bytes, size, "rule 6:");
    free(bytes);
}

TEST(fault_063_safetensors_nesting) {
    size_t n = 2000000, size;
    char *deep = malloc(n);
    memset(deep, '[', n);
    memcpy(deep, "{\"a\":", 5);
    uint8_t *bytes = make_file(deep, n, 0, 0, &size);
    check_raw(bytes, size, "rule 6:");
    free(bytes);
    free(deep);
    check_refused("{\"a\":[[[[[[[[1]]]]]]]]}", 0, "rule 6:");
    check_refused("{\"a\":[[[[[[[1]]]]]]]}", 0, "rule 9:"); /* 8 levels: legal JSON, no tensor */
}

TEST(fault_063_safetensors_duplicate_keys) {
#define A "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}"
#define B "\"b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[4,8]}"
    check_refused("{" A "," A "}", 4, "rule 7:");
    check_refused("{" A "," B "," A "}", 8, "rule 7:");
    check_refused("{" A ",\"\\u0061\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[4,8]}}", 8,
                  "rule 7:");
    check_refused(
        "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4,
        "rule 7:");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"shape\":[],\"data_offsets\":[0,4]}}", 4,
                  "rule 7:");
    check_refused("{\"__metadata__\":{\"k\":\"1\",\"j\":\"2\",\"k\":\"1\"}," A "}", 4, "rule 7:");
    check_refused("{\"__metadata__\":{},\"__metadata__\":{}," A "}", 4, "rule 7:");
    /* Before rules 8 and 9, wherever they stand. */
    check_refused("{\"__metadata__\":{\"k\":1},\"z\":5," A "," A "}", 4, "rule 7:");
    CHECK(accepted("{" A "," B "}", 8));
}

TEST(fault_063_safetensors_metadata) {
    check_refused("{\"__metadata__\":[]," A "}", 4, "rule 8:");
    check_refused("{\"__metadata__\":null," A "}", 4, "rule 8:");
    check_refused("{\"__metadata__\":{\"k\":1}," A "}", 4, "rule 8:");
    check_refused("{\"__metadata__\":{\"k\":{\"x\":[\"]\",\"}\"]}}," A "}", 4, "rule 8:");
    check_refused("{\"z\":5,\"__metadata__\":{\"j\":\"x\",\"k\":null}}", 4,
                  "rule 8:"); /* before rule 9 */
    CHECK(accepted("{\"__metadata__\":{\"k\":\"v\"}," A "}", 4));
    CHECK(accepted("{" A ",\"__metadata__\":{}}", 4));
}

TEST(fault_063_safetensors_fields) {
    static const char *const bad[] = {
        "{\"a\":5}",
        "{\"a\":[]}",
        "{\"a\":{}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}",
        "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}",
        "{\"a\":{\"shape\":[],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F31\",\"shape\":[],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"f32\",\"shape\":[],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"\",\"shape\":[],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":  5 ,\"shape\":[],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":{\"q\":\"]\\\"}\"},\"shape\":[],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"extra\":{\"x\":[1,2]}}}",
        T("[-1]", "[0,4]"),
        T("[1.0]", "[0,4]"),
        T("[1e0]", "[0,4]"),
        T("[\"1\"]", "[0,4]"),
        T("1", "[0,4]"),
        T("[[1]]", "[0,4]"),
        T("[18446744073709551616]", "[0,4]"),
        T("[1,1,1,1,1,1,1,1,1]", "[0,4]"),
        T("[true]", "[0,4]"),
        T("[1]", "[-0,4]"),
        T("[1]", "[0,-4]"),
        T("[1]", "[0,4.0]"),
        T("[1]", "[0,1e3]"),
        T("[1]", "[0,4E0]"),
        T("[1]", "[0]"),
        T("[1]", "[0,4,8]"),
        T("[1]", "[]"),
        T("[1]", "[null,4]"),
        T("[1]", "{\"0\":4}"),
        T("[1]", "[0,99999999999999999999]"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) check_refused(bad[i], 4, "rule 9:");
    CHECK(accepted(T(" [ 1 , 1 ] ", " [ 0 , 4 ] "), 4));
}

TEST(fault_063_safetensors_long_name) {
    char header[2048];
    for (int n = 1024; n <= 1025; n++) {
        snprintf(header, sizeof header,
                 "{\"%0*d\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", n, 0);
        if (n == 1024)
            CHECK(accepted(header, 4));
        else
            check_refused(header, 4, "rule 9:");
    }
}

TEST(fault_063_safetensors_holes_and_overlap) {
#define TWO(first, second)                                                                         \
    "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" first                               \
    "},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" second "}}"
    check_refused(TWO("[0,4]", "[3,7]"), 8, "rule 10: overlap");
    check_refused(TWO("[0,4]", "[0,4]"), 8, "rule 10: overlap");
    check_refused(TWO("[0,4]", "[5,9]"), 9, "rule 10: hole");
    check_refused(TWO("[1,5]", "[5,9]"), 9, "rule 10: hole");
    check_refused(TWO("[4,0]", "[4,8]"), 8, "rule 10");
    check_refused(T("[1]", "[4,0]"), 4, "rule 10: hole");
    check_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":"
                  "\"U8\",\"shape\":[0]"
                  ",\"data_offsets\":[4,3]}}",
                  4, "rule 10: begin after end");
    CHECK(accepted(TWO("[0,4]", "[4,8]"), 8));
    CHECK(accepted(TWO("[4,8]", "[0,4]"), 8)); /* any order in the header */
}

TEST(fault_063_safetensors_shape_overflow) {
    check_refused(T("[4294967296,4294967296]", "[0,4]"), 4, "rule 11: the shape");
    check_refused(T("[18446744073709551615,2]", "[0,4]"), 4, "rule 11: the shape");
    check_refused(T("[9223372036854775808,2,0]", "[0,0]"), 0, "rule 11: the shape");
    check_refused(T("[1152921504606846976]", "[0,4]"), 4, "rule 11: the size");
    check_refused("{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2,
                  "rule 11: no whole");
    check_refused("{\"a\":{\"dtype\":\"F6_E2M3\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2,
                  "rule 11: no whole");
    CHECK(accepted("{\"a\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[0,2]}}", 2));
    CHECK(accepted("{\"a\":{\"dtype\":\"F6_E3M2\",\"shape\":[4],\"data_offsets\":[0,3]}}", 3));
    CHECK(accepted(T("[0,18446744073709551615]", "[0,0]"), 0));
}

TEST(fault_063_safetensors_size_mismatch) {
    check_refused(T("[1]", "[0,8]"), 8, "rule 12:");
    check_refused(T("[2]", "[0,4]"), 4, "rule 12:");
    check_refused(T("[]", "[0,0]"), 0, "rule 12:");
    check_refused(T("[0]", "[0,4]"), 4, "rule 12:");
    check_refused("{\"a\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
                  "rule 12:");
}

TEST(fault_063_safetensors_end_of_file) {
    check_refused(T("[1]", "[0,4]"), 5, "rule 13:");
    check_refused(T("[1]", "[0,4]"), 3, "rule 13:");
    check_refused(T("[4611686018427387903]", "[0,18446744073709551612]"), 4, "rule 11:");
    check_refused(T("[288230376151711743]", "[0,1152921504606846972]"), 4, "rule 13:");
    check_refused("{}", 1, "rule 13:");
}

TEST(fault_063_safetensors_every_dtype) {
    static const struct {
        const char *name;
        unsigned bits;
        st_type_t type;
    } types[] = {{"F64", 64, ST_F64},
                 {"I64", 64, ST_I64},
                 {"U64", 64, ST_OTHER},
                 {"C64", 64, ST_OTHER},
                 {"F32", 32, ST_F32},
                 {"I32", 32, ST_I32},
                 {"U32", 32, ST_OTHER},
                 {"F16", 16, ST_F16},
                 {"BF16", 16, ST_BF16},
                 {"I16", 16, ST_OTHER},
                 {"U16", 16, ST_OTHER},
                 {"BOOL", 8, ST_OTHER},
                 {"U8", 8, ST_U8},
                 {"I8", 8, ST_OTHER},
                 {"F8_E5M2", 8, ST_OTHER},
                 {"F8_E4M3", 8, ST_OTHER},
                 {"F8_E8M0", 8, ST_OTHER},
                 {"F8_E4M3FNUZ", 8, ST_OTHER},
                 {"F8_E5M2FNUZ", 8, ST_OTHER},
                 {"F6_E2M3", 6, ST_OTHER},
                 {"F6_E3M2", 6, ST_OTHER},
                 {"F4", 4, ST_OTHER}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char header[160];
        st_file_t f;
        reason_t why;
        snprintf(header, sizeof header,
                 "{\"t\":{\"dtype\":\"%s\",\"shape\":[4],\"data_offsets\":[0,%u]}}", types[i].name,
                 types[i].bits / 2);
        REQUIRE(parse(&f, header, types[i].bits / 2, &why) == 0, "%s: %s", types[i].name, why.text);
        CHECK(f.tensor[0].type == types[i].type && f.tensor[0].bytes == types[i].bits / 2 &&
              f.tensor[0].count == 4);
        CHECK_STR(f.tensor[0].dtype, types[i].name);
        float v[4];
        bool floating = types[i].type == ST_F32 || types[i].type == ST_F16 ||
                        types[i].type == ST_BF16 || types[i].type == ST_F64;
        CHECK((st_read_f32(&f.tensor[0], v, &why) == 0) == floating, "%s", types[i].name);
        st_close(&f);
    }
}

static char *million(size_t n, size_t *length) {
    char *text = malloc(n * 80 + 64), *p = text;
    *p++ = '{';
    for (size_t i = 0; i < n; i++)
        p += sprintf(p, "%s\"t%zu\":{\"dtype\":\"U8\",\"shape\":[16],\"data_offsets\":[%zu,%zu]}",
                     i ? "," : "", i, 16 * i, 16 * i + 16);
    *p++ = '}';
    *length = (size_t)(p - text);
    return text;
}

TEST(fault_063_safetensors_million_tensors) {
    for (size_t n = 1000000; n <= 1000001; n++) {
        size_t length, size;
        char *text = million(n, &length);
        uint8_t *bytes = make_file(text, length, 0, 16 * n, &size);
        st_file_t f;
        reason_t why = {""};
        free(text);
        int rc = st_parse(&f, bytes, size, &why);
        if (n == 1000000) {
            REQUIRE(rc == 0, "%s", why.text);
            const st_tensor_t *t = st_find(&f, "t777777");
            CHECK(f.n == n && t && t->data[0] == (uint8_t)(777777 * 16 * 7 + 1));
            st_close(&f);
        } else {
            CHECK(rc == -1 && strncmp(why.text, "limit:", 6) == 0, "%s", why.text);
        }
    }
}

static int open_in_child(void *path) {
    st_file_t f;
    reason_t why;
    rss_reset();
    if (st_open(&f, path, &why)) return 1;
    return rss_peak_mb() < 128 ? 0 : 2;
}

/* A file of 64 MB may cost twice that at its peak. */
TEST(fault_063_safetensors_memory) {
    size_t n = 16 << 20;
    char *dir = temp_dir(), path[300];
    float *v = calloc(n, sizeof *v);
    REQUIRE(dir && v);
    st_writer_t *w = st_writer_new();
    reason_t why;
    snprintf(path, sizeof path, "%s/big", dir);
    st_writer_give(w, "v", ST_F32, 1, (uint64_t[]){n}, v);
    REQUIRE(st_write(w, path, &why) == 0);
    st_writer_free(w);
    child_t c;
    child_run(open_in_child, path, &c);
    CHECK(c.code == 0, "%d %s", c.code, c.err);
    unlink(path);
    rmdir(dir);
}

TEST(fault_063_safetensors_truncated_anywhere) {
    static const char header[] = "{\"__metadata__\":{\"k\":\"v\"},\"a\":{\"dtype\":\"F32\","
                                 "\"shape\":[2],\"data_offsets\":[0,8]}}";
    size_t size;
    uint8_t *bytes = make_file(header, sizeof header - 1, 0, 8, &size);
    for (size_t n = 0; n < size; n++) check_raw(bytes, n, "rule");
    free(bytes);
    st_file_t f;
    reason_t why;
    CHECK(st_open(&f, "/nonexistent/file", &why) == -1 && strstr(why.text, "cannot open"));
}

/* Bytes that are made when they are asked for give the file of bytes that were there. */
