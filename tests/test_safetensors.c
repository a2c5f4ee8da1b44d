/* test_safetensors.c - files built by hand, byte by byte, against the reader; the writer against a header written by
 * hand.
 */
#include "common/io/fs.h"
#include "common/io/safetensors.h"
#include "tests/child.h"
#include "tests/folder.h"
#include "tests/rss.h"
#include "tests/test.h"

#include <stdint.h>
#include <unistd.h>

/* A file in memory: the length word says `claimed` (or the header's true length when claimed is 0). Exactly sized, so
 * that a sanitizer sees any step beyond it. */
static uint8_t *make_file(const char *header, size_t n, uint64_t claimed, size_t data, size_t *size) {
    *size = 8 + n + data;
    uint8_t *bytes = malloc(*size);
    uint64_t length = claimed ? claimed : n;
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(length >> 8 * i);
    if (n) memcpy(bytes + 8, header, n);
    for (size_t i = 0; i < data; i++) bytes[8 + n + i] = (uint8_t)(i * 7 + 1);
    return bytes;
}

static int parse(st_file_t *f, const char *header, size_t data, reason_t *why) {
    size_t size;
    uint8_t *bytes = make_file(header, strlen(header), 0, data, &size);
    why->text[0] = 0;
    return st_parse(f, bytes, size, why);
}

/* The header must be refused by the rule that the reason begins with. */
static void check_refused(const char *header, size_t data, const char *rule) {
    st_file_t f;
    reason_t why;
    int rc = parse(&f, header, data, &why);
    CHECK(rc == -1 && strncmp(why.text, rule, strlen(rule)) == 0, "%s: %s, got \"%s\"", header, rule, why.text);
    CHECK(f.bytes == NULL && f.tensor == NULL);
    if (rc == 0) st_close(&f);
}

static void check_raw(const uint8_t *bytes, size_t size, const char *rule) {
    st_file_t f;
    reason_t why = {""};
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    int rc = st_parse(&f, copy, size, &why);
    CHECK(rc == -1 && strncmp(why.text, rule, strlen(rule)) == 0, "expected %s, got \"%s\"", rule, why.text);
    if (rc == 0) st_close(&f);
}

static bool accepted(const char *header, size_t data) {
    st_file_t f;
    reason_t why;
    int rc = parse(&f, header, data, &why);
    if (rc) fprintf(stderr, "  %s: %s\n", header, why.text);
    st_close(&f);
    return rc == 0;
}

#define T(shape, offsets) "{\"a\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

TEST(fault_063_safetensors_too_short) {
    for (size_t n = 0; n < 8; n++) check_raw((const uint8_t[8]){2}, n, "rule 1:");
}

TEST(fault_063_safetensors_header_length) {
    static const struct {
        uint64_t claimed;
        const char *rule;
    } cases[] = {{(uint64_t)1 << 63, "rule 2:"}, {UINT64_MAX, "rule 2:"}, {UINT64_MAX - 7, "rule 2:"},
                 {100000001, "rule 2:"},         {100000000, "rule 3:"},  {3, "rule 3:"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        uint8_t *bytes = make_file("{}", 2, cases[i].claimed, 0, &size);
        check_raw(bytes, size, cases[i].rule);
        free(bytes);
    }
    check_raw((const uint8_t[8]){0}, 8, "rule 5:"); /* N = 0 */
}

TEST(fault_063_safetensors_utf8) {
    static const char *const bad[] = {
        "\x80",     "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF0\x8F\xBF\xBF",
        "\xE2\x82", "\xFF",     "\xC3"};
    char header[128];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", bad[i]);
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
    static const char *const bad[] = {"{",
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
    static const char header[] = "{\"a\0b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}";
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
    check_refused("{" A ",\"\\u0061\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[4,8]}}", 8, "rule 7:");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, "rule 7:");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"shape\":[],\"data_offsets\":[0,4]}}", 4, "rule 7:");
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
    check_refused("{\"z\":5,\"__metadata__\":{\"j\":\"x\",\"k\":null}}", 4, "rule 8:"); /* before rule 9 */
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
        snprintf(header, sizeof header, "{\"%0*d\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", n, 0);
        if (n == 1024)
            CHECK(accepted(header, 4));
        else
            check_refused(header, 4, "rule 9:");
    }
}

TEST(fault_063_safetensors_holes_and_overlap) {
#define TWO(first, second)                                                                                             \
    "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" first                                                   \
    "},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" second "}}"
    check_refused(TWO("[0,4]", "[3,7]"), 8, "rule 10: overlap");
    check_refused(TWO("[0,4]", "[0,4]"), 8, "rule 10: overlap");
    check_refused(TWO("[0,4]", "[5,9]"), 9, "rule 10: hole");
    check_refused(TWO("[1,5]", "[5,9]"), 9, "rule 10: hole");
    check_refused(TWO("[4,0]", "[4,8]"), 8, "rule 10");
    check_refused(T("[1]", "[4,0]"), 4, "rule 10: hole");
    check_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[0]"
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
    check_refused("{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2, "rule 11: no whole");
    check_refused("{\"a\":{\"dtype\":\"F6_E2M3\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2, "rule 11: no whole");
    CHECK(accepted("{\"a\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[0,2]}}", 2));
    CHECK(accepted("{\"a\":{\"dtype\":\"F6_E3M2\",\"shape\":[4],\"data_offsets\":[0,3]}}", 3));
    CHECK(accepted(T("[0,18446744073709551615]", "[0,0]"), 0));
}

TEST(fault_063_safetensors_size_mismatch) {
    check_refused(T("[1]", "[0,8]"), 8, "rule 12:");
    check_refused(T("[2]", "[0,4]"), 4, "rule 12:");
    check_refused(T("[]", "[0,0]"), 0, "rule 12:");
    check_refused(T("[0]", "[0,4]"), 4, "rule 12:");
    check_refused("{\"a\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "rule 12:");
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
    } types[] = {
        {"F64", 64, ST_F64},      {"I64", 64, ST_I64},          {"U64", 64, ST_OTHER},        {"C64", 64, ST_OTHER},
        {"F32", 32, ST_F32},      {"I32", 32, ST_I32},          {"U32", 32, ST_OTHER},        {"F16", 16, ST_F16},
        {"BF16", 16, ST_BF16},    {"I16", 16, ST_OTHER},        {"U16", 16, ST_OTHER},        {"BOOL", 8, ST_OTHER},
        {"U8", 8, ST_U8},         {"I8", 8, ST_OTHER},          {"F8_E5M2", 8, ST_OTHER},     {"F8_E4M3", 8, ST_OTHER},
        {"F8_E8M0", 8, ST_OTHER}, {"F8_E4M3FNUZ", 8, ST_OTHER}, {"F8_E5M2FNUZ", 8, ST_OTHER}, {"F6_E2M3", 6, ST_OTHER},
        {"F6_E3M2", 6, ST_OTHER}, {"F4", 4, ST_OTHER}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char header[160];
        st_file_t f;
        reason_t why;
        snprintf(header, sizeof header, "{\"t\":{\"dtype\":\"%s\",\"shape\":[4],\"data_offsets\":[0,%u]}}",
                 types[i].name, types[i].bits / 2);
        REQUIRE(parse(&f, header, types[i].bits / 2, &why) == 0, "%s: %s", types[i].name, why.text);
        CHECK(f.tensor[0].type == types[i].type && f.tensor[0].bytes == types[i].bits / 2 && f.tensor[0].count == 4);
        CHECK_STR(f.tensor[0].dtype, types[i].name);
        float v[4];
        bool floating =
            types[i].type == ST_F32 || types[i].type == ST_F16 || types[i].type == ST_BF16 || types[i].type == ST_F64;
        CHECK((st_read_f32(&f.tensor[0], v, &why) == 0) == floating, "%s", types[i].name);
        st_close(&f);
    }
}

TEST(safetensors_reads_names_shapes_metadata) {
    st_file_t f;
    reason_t why;
    REQUIRE(parse(&f,
                  "{\"z\\u00e9\\n\\ud83d\\ude00\\/\\\"\":{\"shape\":[2,3],\"data_offsets\":[4,10],\"dtype\":\"U8\"},"
                  "\"__metadata__\":{\"b\":\"two\",\"a\":\"\\u20ac\"},"
                  "\"m.w\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]},\"empty\":{\"dtype\":\"F32\","
                  "\"shape\":[3,0],\"data_offsets\":[10,10]}}",
                  10, &why) == 0,
            "%s", why.text);
    CHECK(f.n == 3 && f.n_meta == 2 && !f.hashed);
    CHECK_STR(f.tensor[0].name, "empty");
    CHECK_STR(f.tensor[1].name, "m.w");
    const st_tensor_t *t = st_find(&f, "z\xC3\xA9\n\xF0\x9F\x98\x80/\"");
    REQUIRE(t);
    CHECK(t->rank == 2 && t->dim[0] == 2 && t->dim[1] == 3 && t->count == 6 && t->bytes == 6 &&
          t->data[0] == 4 * 7 + 1);
    CHECK(st_find(&f, "m.w")->rank == 0 && st_find(&f, "m.w")->count == 1 && st_find(&f, "m.w")->data[1] == 8);
    CHECK(st_find(&f, "empty")->count == 0 && st_find(&f, "empty")->bytes == 0);
    CHECK(!st_find(&f, "nothing") && !st_meta(&f, "c"));
    CHECK_STR(st_meta(&f, "a"), "\xE2\x82\xAC");
    CHECK_STR(st_meta(&f, "b"), "two");
    st_close(&f);
}

static char *temp_dir(void) {
    static char path[256];
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/safetensors-XXXXXX", base ? base : "/tmp");
    return mkdtemp(path);
}

static uint8_t *slurp(const char *path, size_t *size) {
    FILE *in = fopen(path, "rb");
    if (!in) return NULL;
    uint8_t *bytes = malloc(1 << 20);
    *size = fread(bytes, 1, 1 << 20, in);
    fclose(in);
    return bytes;
}

/* dtypes descending (I64 F64 F32 I32 BF16 F16 U8), then names; the order of adding must not matter. */
TEST(safetensors_writer_bytes) {
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\",\"note\":\"a \\\"b\\\"\\n\\u0001\",\"xxh3\":\"HHHHHHHHHHHHHHHH\"},"
        "\"i\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]},"
        "\"d\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[8,16]},"
        "\"a.w\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[16,24]},"
        "\"b.w\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[24,24]},"
        "\"z\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[24,28]},"
        "\"bf\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[28,32]},"
        "\"h\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[32,34]},"
        "\"\xC3\xA9\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[34,37]}}";
    int64_t i = -2;
    double d = 0.1;
    float a[2] = {1.5f, -3};
    int32_t z = 7;
    uint16_t bf[2] = {0x3F80, 0xC000}, h = 0x3C00;
    char *dir = temp_dir(), path[2][300];
    REQUIRE(dir);
    for (int order = 0; order < 2; order++) {
        st_writer_t *w = st_writer_new();
        reason_t why;
        uint8_t *u = malloc(3);
        memcpy(u, "xyz", 3);
        if (order) st_writer_add(w, "z", ST_I32, 1, (uint64_t[]){1}, &z);
        st_writer_meta(w, "note", "overwritten");
        st_writer_add(w, "b.w", ST_F32, 2, (uint64_t[]){0, 5}, NULL);
        st_writer_add(w, "a.w", ST_F32, 2, (uint64_t[]){2, 1}, a);
        st_writer_give(w, "\xC3\xA9", ST_U8, 1, (uint64_t[]){3}, u);
        if (!order) st_writer_add(w, "z", ST_I32, 1, (uint64_t[]){1}, &z);
        st_writer_add(w, "h", ST_F16, 1, (uint64_t[]){1}, &h);
        st_writer_add(w, "bf", ST_BF16, 1, (uint64_t[]){2}, bf);
        st_writer_add(w, "d", ST_F64, 0, NULL, &d);
        st_writer_add(w, "i", ST_I64, 1, (uint64_t[]){1}, &i);
        st_writer_meta(w, "note", "a \"b\"\n\001");
        snprintf(path[order], sizeof path[order], "%s/%d.safetensors", dir, order);
        CHECK(st_write(w, path[order], &why) == 0, "%s", why.text);
        st_writer_free(w);
    }
    size_t size[2] = {0}, n = sizeof header - 1, padded = (n + 7) / 8 * 8;
    uint8_t *bytes[2] = {slurp(path[0], &size[0]), slurp(path[1], &size[1])};
    REQUIRE(bytes[0] && bytes[1]);
    CHECK(size[0] == 8 + padded + 37 && size[1] == size[0], "%zu bytes", size[0]);
    CHECK(size[0] == size[1] && memcmp(bytes[0], bytes[1], size[0]) == 0);
    CHECK(bytes[0][0] == (padded & 255) && bytes[0][1] == padded >> 8 && bytes[0][7] == 0);
    /* Where the expectation says H, the hash stands: checked by reading back. */
    for (size_t k = 0; k < padded && 8 + k < size[0]; k++) {
        int want = k < n ? header[k] : ' ', have = (char)bytes[0][8 + k];
        CHECK(want == have || (want == 'H' && strchr("0123456789abcdef", have)), "header byte %zu: %c against %c", k,
              want, have);
    }
    const uint8_t *data = bytes[0] + 8 + padded;
    CHECK(memcmp(data, &i, 8) == 0 && memcmp(data + 8, &d, 8) == 0 && memcmp(data + 16, a, 8) == 0 &&
          memcmp(data + 24, &z, 4) == 0);
    CHECK(memcmp(data + 28, bf, 4) == 0 && memcmp(data + 32, &h, 2) == 0 && memcmp(data + 34, "xyz", 3) == 0);

    st_file_t f;
    reason_t why;
    float v[2];
    REQUIRE(st_open(&f, path[0], &why) == 0, "%s", why.text);
    CHECK(f.n == 8 && f.hashed);
    CHECK_STR(st_meta(&f, "note"), "a \"b\"\n\001");
    CHECK(st_read_f32(st_find(&f, "a.w"), v, &why) == 0 && v[0] == 1.5f && v[1] == -3);
    CHECK(st_read_f32(st_find(&f, "bf"), v, &why) == 0 && v[0] == 1 && v[1] == -2);
    CHECK(st_read_f32(st_find(&f, "h"), v, &why) == 0 && v[0] == 1);
    CHECK(st_read_f32(st_find(&f, "d"), v, &why) == 0 && v[0] == 0.1f);
    CHECK(st_read_f32(st_find(&f, "i"), v, &why) == -1);
    st_close(&f);
    for (int k = 0; k < 2; k++) {
        free(bytes[k]);
        unlink(path[k]);
    }
    rmdir(dir);
}

/* XXH3 of no bytes is a published constant; one flipped data byte must be seen. */
TEST(safetensors_hash) {
    CHECK(accepted("{\"__metadata__\":{\"xxh3\":\"2d06800538d394c2\"}}", 0));
    check_refused("{\"__metadata__\":{\"xxh3\":\"2d06800538d394c3\"}}", 0, "the data's xxh3");
    check_refused("{\"__metadata__\":{\"xxh3\":\"\"}}", 0, "the data's xxh3");
    char *dir = temp_dir(), path[300];
    REQUIRE(dir);
    float v[5] = {1, 2, 3, 4, 5};
    st_writer_t *w = st_writer_new();
    reason_t why;
    st_writer_add(w, "v", ST_F32, 1, (uint64_t[]){5}, v);
    snprintf(path, sizeof path, "%s/x", dir);
    REQUIRE(st_write(w, path, &why) == 0);
    st_writer_free(w);
    size_t size;
    uint8_t *bytes = slurp(path, &size);
    REQUIRE(bytes);
    for (size_t i = size - 20; i < size; i++) {
        bytes[i] ^= 1;
        check_raw(bytes, size, "the data's xxh3");
        bytes[i] ^= 1;
    }
    free(bytes);
    unlink(path);
    rmdir(dir);
}

TEST(safetensors_half_values) {
    static const struct {
        uint16_t bits;
        double value;
    } cases[] = {{0x0000, 0},
                 {0x3C00, 1},
                 {0xC000, -2},
                 {0x7BFF, 65504},
                 {0x0400, 0x1p-14},
                 {0x0001, 0x1p-24},
                 {0x03FF, 1023 * 0x1p-24},
                 {0x8001, -0x1p-24},
                 {0x3555, 0.333251953125},
                 {0x3C01, 1 + 0x1p-10},
                 {0xFBFF, -65504},
                 {0x4248, 3.140625}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK((double)st_half_to_float(cases[i].bits) == cases[i].value, "%04x", cases[i].bits);
    CHECK(st_half_to_float(0x7C00) > 1e38f && st_half_to_float(0xFC00) < -1e38f);
    CHECK(st_half_to_float(0x7E00) != st_half_to_float(0x7E00) && st_half_to_float(0x7C01) != st_half_to_float(0x7C01));
    CHECK(1 / st_half_to_float(0x8000) < 0);
    /* Every finite half against its definition. */
    for (unsigned h = 0; h < 0x7C00; h++) {
        double want = h < 0x400 ? h * 0x1p-24 : ldexp(1 + (h & 0x3FF) / 1024.0, (int)(h >> 10) - 15);
        if (st_half_to_float((uint16_t)h) != want || st_half_to_float((uint16_t)(h | 0x8000)) != -want)
            CHECK(false, "%04x", h);
    }
}

TEST(safetensors_finite) {
    float v[40];
    for (int i = 0; i < 40; i++) v[i] = 3.4e38f;
    CHECK(st_finite(v, 40) && st_finite(v, 0));
    for (int i = 0; i < 40; i++) {
        v[i] = i % 2 ? NAN : -INFINITY;
        CHECK(!st_finite(v, 40));
        v[i] = -1e-45f;
    }
    CHECK(st_finite(v, 40));
}

/* A header of n one-element tensors; rows of 64 bytes of text. */
static char *million(size_t n, size_t *length) {
    char *text = malloc(n * 80 + 64), *p = text;
    *p++ = '{';
    for (size_t i = 0; i < n; i++)
        p += sprintf(p, "%s\"t%zu\":{\"dtype\":\"U8\",\"shape\":[16],\"data_offsets\":[%zu,%zu]}", i ? "," : "", i,
                     16 * i, 16 * i + 16);
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
    static const char header[] =
        "{\"__metadata__\":{\"k\":\"v\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    size_t size;
    uint8_t *bytes = make_file(header, sizeof header - 1, 0, 8, &size);
    for (size_t n = 0; n < size; n++) check_raw(bytes, n, "rule");
    free(bytes);
    st_file_t f;
    reason_t why;
    CHECK(st_open(&f, "/nonexistent/file", &why) == -1 && strstr(why.text, "cannot open"));
}

/* Bytes that are made when they are asked for give the file of bytes that were there. */
static void fill_lazy(void *ctx, size_t i, void *data) {
    for (size_t j = 0; j < 5; j++) ((float *)data)[j] = ((const float *)ctx)[i * 5 + j];
}

TEST(lazy_tensors) {
    folder_open();
    float values[15];
    for (size_t i = 0; i < 15; i++) values[i] = (float)i / 3;
    static const char *const name[] = {"b", "c", "a"};
    char *path[2] = {xstrdup(in_folder("now")), xstrdup(in_folder("later"))};
    uint8_t *bytes[2];
    size_t size[2];
    reason_t why = {""};
    for (int lazy = 0; lazy < 2; lazy++) {
        st_writer_t *w = st_writer_new();
        for (size_t i = 0; i < 3; i++) {
            if (lazy && i != 1)
                st_writer_lazy(w, name[i], ST_F32, 1, (uint64_t[]){5}, fill_lazy, values, i);
            else
                st_writer_add(w, name[i], ST_F32, 1, (uint64_t[]){5}, values + 5 * i);
        }
        CHECK(!st_write(w, path[lazy], &why) && !fs_read(path[lazy], 0, &bytes[lazy], &size[lazy], &why), "%s",
              why.text);
        st_writer_free(w);
    }
    CHECK(size[0] == size[1] && !memcmp(bytes[0], bytes[1], size[0]), "another file");
    for (int i = 0; i < 2; i++) free(bytes[i]), free(path[i]);
    folder_remove();
}
