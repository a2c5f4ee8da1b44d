/* test_safetensors.c - the reader against a file built by hand; the writer against a header written
 * by hand; hashes, halves, lazy tensors.
 */
#include "tests/safetensors_case.h"

TEST(safetensors_reads_names_shapes_metadata) {
    st_file_t f;
    reason_t why;
    REQUIRE(parse(&f,
                  "{\"z\\u00e9\\n\\ud83d\\ude00\\/"
                  "\\\"\":{\"shape\":[2,3],\"data_offsets\":[4,10],\"dtype\":\"U8\"},"
                  "\"__metadata__\":{\"b\":\"two\",\"a\":\"\\u20ac\"},"
                  "\"m.w\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]},\"empty\":{"
                  "\"dtype\":\"F32\","
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
    CHECK(st_find(&f, "m.w")->rank == 0 && st_find(&f, "m.w")->count == 1 &&
          st_find(&f, "m.w")->data[1] == 8);
    CHECK(st_find(&f, "empty")->count == 0 && st_find(&f, "empty")->bytes == 0);
    CHECK(!st_find(&f, "nothing") && !st_meta(&f, "c"));
    CHECK_STR(st_meta(&f, "a"), "\xE2\x82\xAC");
    CHECK_STR(st_meta(&f, "b"), "two");
    st_close(&f);
}

TEST(safetensors_writer_bytes) {
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\",\"note\":\"a "
        "\\\"b\\\"\\n\\u0001\",\"xxh3\":\"HHHHHHHHHHHHHHHH\"},"
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
        CHECK(want == have || (want == 'H' && strchr("0123456789abcdef", have)),
              "header byte %zu: %c against %c", k, want, have);
    }
    const uint8_t *data = bytes[0] + 8 + padded;
    CHECK(memcmp(data, &i, 8) == 0 && memcmp(data + 8, &d, 8) == 0 &&
          memcmp(data + 16, a, 8) == 0 && memcmp(data + 24, &z, 4) == 0);
    CHECK(memcmp(data + 28, bf, 4) == 0 && memcmp(data + 32, &h, 2) == 0 &&
          memcmp(data + 34, "xyz", 3) == 0);

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
    CHECK(st_half_to_float(0x7E00) != st_half_to_float(0x7E00) &&
          st_half_to_float(0x7C01) != st_half_to_float(0x7C01));
    CHECK(1 / st_half_to_float(0x8000) < 0);
    /* Every finite half against its definition. */
    for (unsigned h = 0; h < 0x7C00; h++) {
        double want =
            h < 0x400 ? h * 0x1p-24 : ldexp(1 + (h & 0x3FF) / 1024.0, (int)(h >> 10) - 15);
        if (st_half_to_float((uint16_t)h) != want ||
            st_half_to_float((uint16_t)(h | 0x8000)) != -want)
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
        CHECK(!st_write(w, path[lazy], &why) &&
                  !fs_read(path[lazy], 0, &bytes[lazy], &size[lazy], &why),
              "%s", why.text);
        st_writer_free(w);
    }
    CHECK(size[0] == size[1] && !memcmp(bytes[0], bytes[1], size[0]), "another file");
    for (int i = 0; i < 2; i++) free(bytes[i]), free(path[i]);
    folder_remove();
}

/* The data's hash is that of no bytes, so the whole file is known. */
TEST(file_without_tensors) {
    static const char header[] = "{\"__metadata__\":{\"a\":\"1\",\"format\":\"pt\","
                                 "\"xxh3\":\"2d06800538d394c2\",\"z\":\"2\"}}";
    enum { HEADER = sizeof header - 1 };
    folder_open();
    reason_t why;
    st_writer_t *w = st_writer_new();
    st_writer_meta(w, "z", "2");
    st_writer_meta(w, "a", "1");
    CHECK(st_write(w, in_folder("none"), &why) == 0, "%s", why.text);
    st_writer_free(w);
    uint8_t *bytes;
    size_t size;
    REQUIRE(fs_read(in_folder("none"), 0, &bytes, &size, &why) == 0, "%s", why.text);
    REQUIRE(size == (8 + HEADER + 7) / 8 * 8, "%zu bytes", size);
    CHECK(bytes[0] == size - 8 && memcmp(bytes + 1, "\0\0\0\0\0\0", 7) == 0);
    CHECK(memcmp(bytes + 8, header, HEADER) == 0, "%.*s", (int)size - 8, bytes + 8);
    for (size_t i = 8 + HEADER; i < size; i++) CHECK(bytes[i] == ' ');
    st_file_t f;
    REQUIRE(st_parse(&f, bytes, size, &why) == 0, "%s", why.text);
    CHECK(f.n == 0 && f.n_meta == 4 && f.hashed);
    st_close(&f);
    folder_remove();
}
