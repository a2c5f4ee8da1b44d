/* minari_jpeg.c - rows of bytes stored as JPEG strings, as Minari does with images since 2025-03:
 * strings of varying length, or a matrix when all happen to be equally long. Until 2026-04 vectors
 * of bytes went through JPEG too.
 */
#ifdef WITH_HDF5
#include "common/io/episodes/minari_file.h"
#include "common/io/image/image_codec.h"
#include <stdlib.h>
#include <string.h>

static bool starts_as_jpeg(const uint8_t *p, size_t n) {
    return n > 3 && p[0] == 0xFF && p[1] == 0xD8 && p[2] == 0xFF;
}

/* Vectors as long as the strings would be: do all rows begin as JPEG? A row of numbers that does so
 * is a coincidence of 1 in 16 million. */
static bool vectors_are_jpeg(const h5_data_t *d) {
    enum { SHORTEST_JPEG = 100 };
    uint8_t *v;
    if (d->dim[0] == 0 || d->dim[1] < SHORTEST_JPEG) return false;
    if (h5_data_read(d, H5T_NATIVE_UINT8, 1, (void **)&v, NULL)) return false;
    bool all = true;
    for (size_t t = 0; t < d->dim[0] && all; t++)
        all = starts_as_jpeg(v + t * d->dim[1], d->dim[1]);
    free(v);
    return all;
}

bool minari_is_jpeg(const h5_data_t *d, const space_leaf_t *leaf) {
    if (strcmp(leaf->dtype, "uint8") != 0 || leaf->rank == 0) return false;
    if (d->class == H5T_VLEN) return d->rank == 1;
    if (d->class != H5T_INTEGER || d->rank != 2 || H5Tget_size(d->type) != 1) return false;
    return leaf->rank > 1 || d->dim[1] != leaf->dim[0] || vectors_are_jpeg(d);
}

/* The image's pixels must be the leaf's elements: [h,w], [h,w,1] and [n] gray, [h,w,3] in
 * color. */
static int copy_pixels(const image_t *im, const space_leaf_t *leaf, uint8_t *out, reason_t *why) {
    size_t c = leaf->rank == 3 ? leaf->dim[2] : 1;
    bool fits = leaf->rank == 1 ? im->w * im->h == leaf->count
                                : im->h == leaf->dim[0] && im->w == leaf->dim[1];
    if (!fits || leaf->rank > 3 || (c != 1 && c != 3))
        return reason_set(why, "a JPEG image of %zu x %zu, which is not the space's shape", im->h,
                          im->w);
    if (c == 3) {
        memcpy(out, im->rgb, leaf->count);
        return 0;
    }
    for (size_t i = 0; i < leaf->count; i++) {
        const uint8_t *p = im->rgb + 3 * i;
        if (p[0] != p[1] || p[1] != p[2])
            return reason_set(why, "a JPEG image in color where the space says gray");
        out[i] = p[0];
    }
    return 0;
}

static int decode_row(const uint8_t *bytes, size_t size, const space_leaf_t *leaf, size_t row,
                      bool lenient, uint8_t *out, reason_t *why) {
    image_opts_t o = image_opts_default();
    image_t im = {0};
    reason_t inner = {""};
    o.no_exif = true;
    o.lenient = lenient;
    o.max_pixels = leaf->count;
    int rc = -1;
    if (!starts_as_jpeg(bytes, size))
        reason_set(&inner, "no JPEG string");
    else if (image_decode_jpeg(&im, bytes, size, &o, &inner) == IMAGE_OK)
        rc = copy_pixels(&im, leaf, out, &inner);
    image_release(&im);
    return rc ? reason_set(why, "row %zu: %.400s", row, inner.text) : 0;
}

/* Memory for the decoded rows; NULL with a reason. A JPEG file packs at most some 200 : 1, so what
 * the rows claim to hold is bounded by what is stored. */
static uint8_t *room_for(const space_leaf_t *leaf, size_t rows, size_t stored, reason_t *why) {
    size_t bytes = rows * leaf->count;
    if (bytes <= ((size_t)64 << 20) || bytes / 2000 <= stored) return xmalloc(bytes);
    reason_set(why, "refused: claims %zu bytes of images but %zu are stored", bytes, stored);
    return NULL;
}

static uint8_t *decode_strings(const h5_data_t *d, const space_leaf_t *leaf, bool lenient,
                               reason_t *why) {
    h5_bytes_t b;
    size_t stored = 0;
    if (h5_data_bytes(d, &b, why)) return NULL;
    for (size_t t = 0; t < b.n; t++) stored += b.row[t].len;
    uint8_t *out = room_for(leaf, b.n, stored, why);
    if (!out) {
        h5_bytes_release(&b);
        return NULL;
    }
    int rc = 0;
    for (size_t t = 0; t < b.n && rc == 0; t++)
        rc = decode_row(b.row[t].p, b.row[t].len, leaf, t, lenient, out + t * leaf->count, why);
    h5_bytes_release(&b);
    if (rc == 0) return out;
    free(out);
    return NULL;
}

static uint8_t *decode_matrix(const h5_data_t *d, const space_leaf_t *leaf, bool lenient,
                              reason_t *why) {
    uint8_t *stored;
    size_t rows = d->dim[0], size = d->dim[1];
    if (h5_data_read(d, H5T_NATIVE_UINT8, 1, (void **)&stored, why)) return NULL;
    uint8_t *out = room_for(leaf, rows, rows * size, why);
    if (!out) {
        free(stored);
        return NULL;
    }
    int rc = 0;
    for (size_t t = 0; t < rows && rc == 0; t++)
        rc = decode_row(stored + t * size, size, leaf, t, lenient, out + t * leaf->count, why);
    free(stored);
    if (rc == 0) return out;
    free(out);
    return NULL;
}

int minari_jpeg_rows(const h5_data_t *d, const space_leaf_t *leaf, size_t rows, bool lenient,
                     uint8_t **out, reason_t *why) {
    if (d->dim[0] != rows)
        return reason_set(why, "%zu rows where total_steps asks for %zu", d->dim[0], rows);
    bool strings = d->class == H5T_VLEN;
    *out = strings ? decode_strings(d, leaf, lenient, why) : decode_matrix(d, leaf, lenient, why);
    return *out ? 0 : -1;
}
#else
typedef int minari_jpeg_is_absent; /* ISO C wants a declaration */
#endif
