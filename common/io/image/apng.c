/* apng.c - see apng.h. libpng writes no animations: each frame is encoded as a PNG file of its own,
 * and its chunks go into one file. Chunk: length 4, name 4, data, CRC-32 of name and data; numbers
 * are big-endian.
 */
#include "common/io/image/apng.h"

#include "common/io/fs.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

typedef struct {
    uint8_t *bytes;
    size_t n, cap;
    uint32_t sequence; /* of fcTL and fdAT chunks together */
} file_t;

static void put32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (24 - 8 * i));
}
static uint32_t get32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* A chunk; number: a sequence number before the data. */
static void put_chunk(file_t *file, const char *name, bool number, const uint8_t *data,
                      size_t size) {
    size_t extra = number ? 4 : 0;
    file->bytes = xgrow(file->bytes, &file->cap, file->n + 12 + extra + size, 1);
    uint8_t *at = file->bytes + file->n;
    put32(at, (uint32_t)(size + extra));
    memcpy(at + 4, name, 4);
    if (number) put32(at + 8, file->sequence++);
    if (size) memcpy(at + 8 + extra, data, size);
    put32(at + 8 + extra + size,
          (uint32_t)crc32(crc32(0, NULL, 0), at + 4, (uInt)(4 + extra + size)));
    file->n += 12 + extra + size;
}

/* The frame covers the whole image and replaces what was there. */
static void put_control(file_t *file, const image_t *im, unsigned fps) {
    /* width 4, height 4, x 4, y 4, delay: numerator 2, denominator 2; dispose 1, blend 1 */
    uint8_t data[22] = {0};
    put32(data, (uint32_t)im->w);
    put32(data + 4, (uint32_t)im->h);
    data[17] = 1;
    data[18] = (uint8_t)(fps >> 8);
    data[19] = (uint8_t)fps;
    put_chunk(file, "fcTL", true, data, sizeof data);
}

/* The chunks of one PNG file that libpng made: what precedes the pixels once, and the pixels. */
static void put_frame(file_t *file, const image_t *im, size_t i, size_t n, unsigned fps,
                      const uint8_t *png, size_t size) {
    for (size_t at = 8; at + 12 <= size;) {
        uint32_t length = get32(png + at);
        const uint8_t *name = png + at + 4, *data = png + at + 8;
        bool pixels = !memcmp(name, "IDAT", 4);
        if (!memcmp(name, "IHDR", 4)) {
            uint8_t control[8] = {0}; /* frames, plays: 0 = forever */
            put32(control, (uint32_t)n);
            if (i == 0) put_chunk(file, "IHDR", false, data, length);
            if (i == 0) put_chunk(file, "acTL", false, control, sizeof control);
            put_control(file, im, fps);
        } else if (pixels) {
            put_chunk(file, i == 0 ? "IDAT" : "fdAT", i > 0, data, length);
        }
        at += 12 + (size_t)length;
    }
}

int apng_write(const char *path, const image_t *frame, size_t n, unsigned fps, reason_t *why) {
    static const uint8_t signature[8] = {137, 'P', 'N', 'G', '\r', '\n', 26, '\n'};
    file_t file = {0};
    if (!n || n > INT32_MAX || fps < 1 || fps > 65535) BUG("%zu frames at %u per second", n, fps);
    file.bytes = xgrow(NULL, &file.cap, sizeof signature, 1);
    memcpy(file.bytes, signature, sizeof signature);
    file.n = sizeof signature;
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        uint8_t *png;
        size_t size;
        if (frame[i].w != frame[0].w || frame[i].h != frame[0].h)
            BUG("frame %zu is of another size", i);
        rc = image_encode_png(&frame[i], &png, &size, why);
        if (rc) break;
        put_frame(&file, &frame[i], i, n, fps, png, size);
        free(png);
    }
    if (rc == 0) {
        put_chunk(&file, "IEND", false, NULL, 0);
        rc = fs_write(path, file.bytes, file.n, why);
    }
    free(file.bytes);
    return rc;
}
