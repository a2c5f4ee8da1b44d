/* events.c - see events.h. */
#include "common/train/events.h"

#include "common/base/die.h"
#include "common/io/fs.h"
#include "common/io/text/json.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char PREFIX[] = "events.out.tfevents.";

struct events {
    FILE *file;
    char *run, *path;
    bool failed;
};

/* ---- checksum ---- */

/* A CRC is the remainder of the bytes, read as a polynomial over bits, after division by a fixed
 * polynomial. Bits are reflected here (lowest first), so a division step shifts to the right: when
 * a bit falls out, POLYNOMIAL is subtracted (xor). table[b] holds eight such steps for byte b. */
uint32_t events_crc32c(const void *data, size_t n) {
    const uint32_t POLYNOMIAL = 0x82f63b78u; /* 0x1edc6f41 reflected */
    const uint8_t *p = data;
    uint32_t crc = ~0u, table[256];
    for (uint32_t b = 0; b < 256; b++) {
        table[b] = b;
        for (int bit = 0; bit < 8; bit++)
            table[b] = table[b] & 1 ? table[b] >> 1 ^ POLYNOMIAL : table[b] >> 1;
    }
    for (size_t i = 0; i < n; i++) crc = crc >> 8 ^ table[(crc ^ p[i]) & 255];
    return ~crc;
}

/* TFRecord stores rotated checksums, so that the checksum of a record that holds checksums is not a
 * constant. */
static uint32_t masked(const void *data, size_t n) {
    uint32_t crc = events_crc32c(data, n);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* ---- messages: growing bytes ----
 *
 * A protocol buffer message is a row of fields. A field is a tag (field number << 3 | wire type),
 * then its value: a varint (seven bits per byte, lowest first; the top bit says that more follow),
 * 4 or 8 bytes little-endian, or a length and so many bytes, which may be a message again. */

typedef struct {
    uint8_t *p;
    size_t n, cap;
} bytes_t;

static void put(bytes_t *b, const void *p, size_t n) {
    b->p = xgrow(b->p, &b->cap, b->n + n, 1);
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
}

/* The n low bytes of v, little-endian. */
static void put_le(bytes_t *b, uint64_t v, size_t n) {
    uint8_t le[8];
    for (size_t i = 0; i < n; i++) le[i] = (uint8_t)(v >> 8 * i);
    put(b, le, n);
}

static void put_varint(bytes_t *b, uint64_t v) {
    uint8_t c[10];
    size_t n = 0;
    for (; v >= 128; v >>= 7) c[n++] = (uint8_t)(v | 128);
    c[n++] = (uint8_t)v;
    put(b, c, n);
}

typedef enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 } wire_t;

static void put_tag(bytes_t *b, int field, wire_t wire) {
    put_varint(b, (uint64_t)field << 3 | (uint64_t)wire);
}

static void put_int(bytes_t *b, int field, uint64_t v) {
    put_tag(b, field, WIRE_VARINT);
    put_varint(b, v);
}

static void put_bytes(bytes_t *b, int field, const void *p, size_t n) {
    put_tag(b, field, WIRE_BYTES);
    put_varint(b, n);
    put(b, p, n);
}

/* Takes the inner message. */
static void put_message(bytes_t *b, int field, bytes_t *inner) {
    put_bytes(b, field, inner->p, inner->n);
    free(inner->p);
}

/* An Event up to its content: 1 wall_time, 2 step. */
static bytes_t event(double wall, int64_t step) {
    bytes_t b = {0};
    uint64_t bits;
    memcpy(&bits, &wall, sizeof bits);
    put_tag(&b, 1, WIRE_64);
    put_le(&b, bits, 8);
    if (step) put_int(&b, 2, (uint64_t)step);
    return b;
}

/* Value{1 tag, 2 simple_value} into a Summary (its field 1). */
static void put_scalar(bytes_t *summary, const char *folder, const char *name, float v) {
    bytes_t b = {0};
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    char *tag = xasprintf("%s/%s", folder, name);
    put_bytes(&b, 1, tag, strlen(tag));
    put_tag(&b, 2, WIRE_32);
    put_le(&b, bits, 4);
    put_message(summary, 1, &b);
    free(tag);
}

/* Value{1 tag, 4 Image{1 height, 2 width, 3 colorspace (3 = RGB), 4 bytes}}. */
static void put_image(bytes_t *summary, const char *tag, const uint8_t *png, size_t n) {
    bytes_t image = {0}, b = {0};
    uint32_t side[2];
    for (int i = 0; i < 2; i++) { /* IHDR: width, height, big-endian */
        const uint8_t *p = png + 16 + 4 * i;
        side[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    }
    put_int(&image, 1, side[1]);
    put_int(&image, 2, side[0]);
    put_int(&image, 3, 3);
    put_bytes(&image, 4, png, n);
    put_bytes(&b, 1, tag, strlen(tag));
    put_message(&b, 4, &image);
    put_message(summary, 1, &b);
}

/* ---- records ---- */

/* u64 length | masked CRC of it | data | masked CRC of the data. Takes the message. */
static void write_record(events_t *e, bytes_t *message) {
    bytes_t b = {0};
    put_le(&b, message->n, 8);
    put_le(&b, masked(b.p, 8), 4);
    put(&b, message->p, message->n);
    put_le(&b, masked(message->p, message->n), 4);
    if (!e->failed && (fwrite(b.p, 1, b.n, e->file) != b.n || fflush(e->file))) {
        e->failed = true;
        warn("cannot write '%s': no more events of this training", e->path);
    }
    free(b.p);
    free(message->p);
}

static bool is_speed(const char *key) {
    size_t n = strlen(key);
    return n > 6 && !strcmp(key + n - 6, "_per_s");
}

static void write_scalars(events_t *e, const cJSON *line, int64_t step, double wall) {
    bytes_t summary = {0}, message = event(wall, step);
    for (const cJSON *c = line->child; c; c = c->next) {
        if (!cJSON_IsNumber(c) || !strcmp(c->string, "step") || !strcmp(c->string, "wall"))
            continue;
        float v = (float)c->valuedouble;
        put_scalar(&summary, strncmp(c->string, "loss", 4) ? "charts" : "losses", c->string, v);
        if (is_speed(c->string)) put_scalar(&summary, "charts", "SPS", v);
    }
    put_message(&message, 5, &summary);
    write_record(e, &message);
}

static void write_samples(events_t *e, int64_t step, double wall) {
    char name[64];
    uint8_t *png;
    size_t n;
    snprintf(name, sizeof name, "samples/step-%06lld.png", (long long)step);
    char *path = fs_join(e->run, name);
    if (fs_exists(path) && !fs_read(path, 0, &png, &n, NULL)) {
        if (n > 24 && !memcmp(png, "\x89PNG", 4)) {
            bytes_t summary = {0}, message = event(wall, step);
            put_image(&summary, "samples/held_out", png, n);
            put_message(&message, 5, &summary);
            write_record(e, &message);
        }
        free(png);
    }
    free(path);
}

static void write_line(events_t *e, const cJSON *line, double wall) {
    int64_t step;
    if (!json_i64(cJSON_GetObjectItemCaseSensitive(line, "step"), &step) || step < 0) return;
    write_scalars(e, line, step, wall);
    write_samples(e, step, wall);
}

void events_line(events_t *e, const char *text, double wall) {
    if (!e) return;
    cJSON *line = json_parse(text, strlen(text), false, NULL);
    write_line(e, line, wall);
    cJSON_Delete(line);
}

/* ---- the file ---- */

/* Host names are letters, digits, dots and hyphens; what else there may be must not shape the
 * path. */
static void host_name(char host[64]) {
    if (gethostname(host, 64)) strcpy(host, "localhost");
    host[63] = 0;
    for (char *c = host; *c; c++)
        if (!(*c >= '0' && *c <= '9') && !(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') &&
            *c != '-' && *c != '.')
            *c = '_';
}

typedef struct {
    cJSON *json;
    double spent; /* seconds of training until then */
} line_t;

/* A line's clock starts anew with every resume, so the sum over the starts is the training's own
 * time; the last line is as old as the file. A torn line ends it. */
static void copy_metrics(events_t *e, const char *text, size_t size, double last) {
    line_t *line = NULL;
    size_t n = 0, cap = 0;
    double before = 0, clock = 0;
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        cJSON *json = end ? json_parse(text + at, (size_t)(end - text) - at, false, NULL) : NULL;
        if (!json) break;
        const cJSON *w = cJSON_GetObjectItemCaseSensitive(json, "wall");
        double wall = cJSON_IsNumber(w) ? w->valuedouble : clock;
        if (wall < clock) before += clock;
        clock = wall;
        line = xgrow(line, &cap, n + 1, sizeof *line);
        line[n++] = (line_t){json, before + clock};
        at = (size_t)(end - text) + 1;
    }
    for (size_t i = 0; i < n; i++) {
        write_line(e, line[i].json, last - (before + clock) + line[i].spent);
        cJSON_Delete(line[i].json);
    }
    free(line);
}

void events_remove(const char *run, const char *keep) {
    DIR *d = opendir(run);
    if (!d) return;
    struct dirent *f;
    while ((f = readdir(d))) {
        if (strncmp(f->d_name, PREFIX, strlen(PREFIX))) continue;
        if (keep && !strcmp(f->d_name, keep)) continue;
        char *path = fs_join(run, f->d_name);
        if (unlink(path)) warn("cannot remove '%s'", path);
        free(path);
    }
    closedir(d);
}

events_t *events_open(const char *run) {
    events_t *e = NEW(events_t);
    char host[64];
    time_t now = time(NULL);
    host_name(host);
    char *name = xasprintf("%s%lld.%s.%ld.0", PREFIX, (long long)now, host, (long)getpid()),
         *metrics = fs_join(run, "metrics.jsonl");
    e->run = xstrdup(run);
    e->path = fs_join(run, name);
    e->file = fopen(e->path, "wb");
    if (!e->file) {
        warn("cannot create '%s': no events of this training", e->path);
        free(e->run);
        free(e->path);
        free(e);
        e = NULL;
    } else {
        bytes_t version = event((double)now, 0);
        put_bytes(&version, 3, "brain.Event:2", 13);
        write_record(e, &version);
        struct stat st;
        uint8_t *text;
        size_t size;
        if (!stat(metrics, &st) && !fs_read(metrics, 0, &text, &size, NULL)) {
            copy_metrics(e, (const char *)text, size, (double)st.st_mtime);
            free(text);
        }
        events_remove(run, name);
    }
    free(name);
    free(metrics);
    return e;
}

void events_close(events_t *e) {
    if (!e) return;
    if (fclose(e->file) && !e->failed) warn("cannot write '%s'", e->path);
    free(e->run);
    free(e->path);
    free(e);
}
