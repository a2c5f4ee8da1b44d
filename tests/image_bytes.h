/* image_bytes.h - PNG and JPEG files made by libpng and libjpeg alone, whole or damaged on purpose,
 * for the tests of what reads them.
 */
#ifndef TESTS_IMAGE_BYTES_H
#define TESTS_IMAGE_BYTES_H

#include <png.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

typedef struct {
    uint8_t *p;
    size_t n;
} blob_t;

static inline void blob_put(blob_t *b, const void *p, size_t n) {
    b->p = realloc(b->p, b->n + n + 1);
    if (!b->p) abort();
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
}

static inline blob_t blob_copy(const void *p, size_t n) {
    blob_t b = {0};
    blob_put(&b, p, n);
    return b;
}

/* What a PNG shall be. Rows are given as they stand in the file (packed bits, 16 bits high byte
 * first). */
typedef struct {
    unsigned w, h;
    int depth, type; /* PNG_COLOR_TYPE_ */
    bool adam7;
    const png_color *palette;
    int n_palette;
    const uint8_t *alpha; /* palette tRNS */
    int n_alpha;
    const png_color_16 *key; /* gray or RGB tRNS */
} png_spec_t;

static inline void png_blob_write(png_structp png, png_bytep p, size_t n) {
    blob_put(png_get_io_ptr(png), p, n);
}
static inline void png_blob_flush(png_structp png) {}
static inline void png_blob_quiet(png_structp png, png_const_charp message) {}

static inline size_t png_row_bytes(const png_spec_t *s) {
    static const int channels[7] = {1, 0, 3, 1, 2, 0, 4};
    return ((size_t)s->w * (size_t)(channels[s->type] * s->depth) + 7) / 8;
}

/* rows: [h][png_row_bytes], or NULL: all zero. */
static inline blob_t png_make(const png_spec_t *s, const uint8_t *rows) {
    blob_t out = {0};
    size_t stride = png_row_bytes(s);
    uint8_t *zero = calloc(1, stride);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, png_blob_quiet);
    png_infop info = png_create_info_struct(png);
    if (!zero || !info || setjmp(png_jmpbuf(png))) abort();
    png_set_write_fn(png, &out, png_blob_write, png_blob_flush);
    png_set_check_for_invalid_index(png, 0);
    png_set_IHDR(png, info, s->w, s->h, s->depth, s->type,
                 s->adam7 ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, 0, 0);
    if (s->palette) png_set_PLTE(png, info, s->palette, s->n_palette);
    if (s->alpha || s->key) png_set_tRNS(png, info, s->alpha, s->n_alpha, s->key);
    png_write_info(png, info);
    int passes = png_set_interlace_handling(png);
    for (int pass = 0; pass < passes; pass++)
        for (unsigned y = 0; y < s->h; y++) png_write_row(png, rows ? rows + y * stride : zero);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    free(zero);
    return out;
}

/* RGB pixels to a plain PNG. */
static inline blob_t png_rgb(unsigned w, unsigned h, const uint8_t *rgb) {
    return png_make(&(png_spec_t){.w = w, .h = h, .depth = 8, .type = PNG_COLOR_TYPE_RGB}, rgb);
}

/* CRC-32 as the PNG specification prints it. */
static inline uint32_t png_crc_of(const uint8_t *p, size_t n) {
    uint32_t crc = 0xFFFFFFFF;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++) crc = crc & 1 ? 0xEDB88320 ^ crc >> 1 : crc >> 1;
    }
    return ~crc;
}

static inline void put32(uint8_t *p, uint32_t v) {
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}
static inline uint32_t get32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* A chunk with a right CRC. */
static inline void png_put_chunk(blob_t *b, const char *type, const void *data, size_t n) {
    uint8_t word[4];
    put32(word, (uint32_t)n);
    blob_put(b, word, 4);
    size_t at = b->n;
    blob_put(b, type, 4);
    blob_put(b, data, n);
    put32(word, png_crc_of(b->p + at, n + 4));
    blob_put(b, word, 4);
}

/* Offset of the length word of the first chunk of a type at or after `from`; 0 = none. */
static inline size_t png_find(const blob_t *b, const char *type, size_t from) {
    for (size_t at = 8; at + 12 <= b->n; at += 12 + get32(b->p + at))
        if (at >= from && memcmp(b->p + at + 4, type, 4) == 0) return at;
    return 0;
}

/* Makes the CRC of the chunk at `at` right again. */
static inline void png_fix(blob_t *b, size_t at) {
    size_t n = get32(b->p + at);
    put32(b->p + at + 8 + n, png_crc_of(b->p + at + 4, n + 4));
}

/* The file without a chunk. */
static inline blob_t png_without(const blob_t *b, const char *type) {
    size_t at = png_find(b, type, 0), n = at ? 12 + get32(b->p + at) : 0;
    blob_t out = blob_copy(b->p, at ? at : b->n);
    if (at) blob_put(&out, b->p + at + n, b->n - at - n);
    return out;
}

/* What a JPEG shall be. */
typedef struct {
    unsigned w, h;
    int channels; /* 1, 3 or 4 (CMYK) */
    int quality;
    bool progressive, arithmetic, ycck;
    int orientation; /* EXIF, 0 = none */
    bool big;        /* EXIF byte order */
    int restart;     /* MCUs an interval, 0 = none */
} jpeg_spec_t;

static inline size_t exif_make(uint8_t out[64], int orientation, bool big) {
    static const uint8_t le[] = {'E', 'x',  'i', 'f', 0, 0, 'I', 'I', 42, 0,   8,   0,   0, 0,    2,
                                 0,   0x0F, 1,   2,   0, 4, 0,   0,   0,  'a', 'b', 'c', 0, 0x12, 1,
                                 3,   0,    1,   0,   0, 0, 0,   0,   0,  0,   0,   0,   0, 0};
    static const uint8_t be[] = {'E', 'x', 'i',  'f', 0, 0, 'M', 'M', 0, 42,  0,   0,   0, 8, 0,
                                 2,   1,   0x0F, 0,   2, 0, 0,   0,   4, 'a', 'b', 'c', 0, 1, 0x12,
                                 0,   3,   0,    0,   0, 1, 0,   0,   0, 0,   0,   0,   0, 0};
    memcpy(out, big ? be : le, sizeof le);
    out[big ? 37 : 36] = (uint8_t)orientation;
    return sizeof le;
}

static inline blob_t jpeg_make(const jpeg_spec_t *s, const uint8_t *pixels) {
    struct jpeg_compress_struct j;
    struct jpeg_error_mgr err;
    unsigned char *mem = NULL;
    unsigned long size = 0;
    j.err = jpeg_std_error(&err);
    jpeg_create_compress(&j);
    jpeg_mem_dest(&j, &mem, &size);
    j.image_width = s->w;
    j.image_height = s->h;
    j.input_components = s->channels;
    j.in_color_space = s->channels == 1 ? JCS_GRAYSCALE : s->channels == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&j);
    if (s->ycck) jpeg_set_colorspace(&j, JCS_YCCK);
    jpeg_set_quality(&j, s->quality ? s->quality : 95, TRUE);
    if (s->channels == 3)
        j.comp_info[0].h_samp_factor = j.comp_info[0].v_samp_factor = 1; /* 4:4:4 */
    if (s->ycck)
        for (int c = 0; c < 4; c++) j.comp_info[c].h_samp_factor = j.comp_info[c].v_samp_factor = 1;
    if (s->progressive) jpeg_simple_progression(&j);
    j.arith_code = s->arithmetic;
    j.restart_interval = (unsigned)s->restart;
    jpeg_start_compress(&j, TRUE);
    if (s->orientation) {
        uint8_t exif[64];
        size_t n = exif_make(exif, s->orientation, s->big);
        jpeg_write_marker(&j, JPEG_APP0 + 1, exif, (unsigned)n);
    }
    while (j.next_scanline < j.image_height) {
        JSAMPROW row = (JSAMPROW)(pixels + (size_t)j.next_scanline * s->w * (size_t)s->channels);
        jpeg_write_scanlines(&j, &row, 1);
    }
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    blob_t out = blob_copy(mem, size);
    free(mem);
    return out;
}

/* Offset of a marker FF xx; 0 = none. */
static inline size_t jpeg_find(const blob_t *b, int marker) {
    for (size_t at = 2; at + 4 <= b->n && b->p[at] == 0xFF;
         at += 2 + (size_t)(b->p[at + 2] << 8 | b->p[at + 3])) {
        if (b->p[at + 1] == marker) return at;
        if (b->p[at + 1] == 0xDA) break;
    }
    return 0;
}

#endif
