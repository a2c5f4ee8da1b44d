/* token_db_value.c - keys, and the container of every value: header with checksum, head, table of
 * parts, data.
 */
#include "common/io/token_db/token_db_value.h"

#include "common/base/sizes.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "shards are read in place: only little-endian machines");

/* Offsets in the header (FORMATS.md 1.2), and bytes of an entry in the table of parts. */
enum {
    AT_VERSION = 4,
    AT_TAG = 6,
    AT_ENDIAN = 7,
    AT_COUNT = 10,
    AT_SUB = 12,
    AT_CHECKSUM = 16,
    AT_ID = 24,
    ENTRY = 16,
    ENTRY_TYPE = 2,
    ENTRY_SLOT = 3,
    ENTRY_ELEMENTS = 8
};
static const char magic[4] = {'t', 'k', 'd', 'b'};

/* ---- keys ---- */

void token_key_write(token_key_t k, uint8_t out[KEY_BYTES]) {
    memset(out, 0, KEY_BYTES);
    out[0] = (uint8_t)k.tag;
    for (int i = 0; i < 4; i++) out[7 - i] = (uint8_t)(k.sub >> 8 * i);
    for (int i = 0; i < 8; i++) out[15 - i] = (uint8_t)(k.id >> 8 * i);
}

int token_key_parse(const uint8_t *key, size_t size, token_key_t *out) {
    if (size != KEY_BYTES || key[0] > TAG_BAD || key[1] || key[2] || key[3]) return -1;
    *out = (token_key_t){.tag = (token_tag_t)key[0]};
    for (int i = 4; i < 8; i++) out->sub = out->sub << 8 | key[i];
    for (int i = 8; i < 16; i++) out->id = out->id << 8 | key[i];
    return 0;
}

/* ---- values ---- */

/* Bytes per element; 0 for an unknown type. */
static size_t type_size(char type) {
    switch (type) {
    case 'B':
        return 1;
    case 'H':
        return 2;
    case 'I':
    case 'f':
        return 4;
    default:
        return 0;
    }
}

/* Bytes of n elements, with the padding to a multiple of 8. */
static size_t padded_size(size_t n, char type) {
    return round_up(n * type_size(type), 8);
}

static uint64_t checksum(const uint8_t *v, size_t size) {
    return XXH64(v + AT_ID, size - AT_ID, XXH64(v, AT_CHECKSUM, 0));
}

static void put(uint8_t *at, uint64_t value, size_t bytes) {
    memcpy(at, &value, bytes);
}
static uint64_t get(const uint8_t *at, size_t bytes) {
    uint64_t v = 0;
    memcpy(&v, at, bytes);
    return v;
}

uint8_t *value_build(token_key_t key, const void *head, size_t head_size, const value_part_t *part,
                     size_t n, size_t *size) {
    size_t present = 0, bytes = 0;
    for (size_t i = 0; i < n; i++) {
        if (!part[i].data) continue;
        present++;
        bytes += padded_size(part[i].count, part[i].type);
    }
    *size = VALUE_HEADER + head_size + present * ENTRY + bytes;
    uint8_t *v = xcalloc(*size, 1);
    uint8_t *entry = v + VALUE_HEADER + head_size;
    uint8_t *data = entry + present * ENTRY;
    memcpy(v, magic, sizeof magic);
    put(v + AT_VERSION, TOKEN_DB_VERSION, 2);
    v[AT_TAG] = (uint8_t)key.tag;
    v[AT_ENDIAN] = 'l';
    put(v + AT_COUNT, present, 2);
    put(v + AT_SUB, key.sub, 4);
    put(v + AT_ID, key.id, 8);
    if (head_size) memcpy(v + VALUE_HEADER, head, head_size);
    for (size_t i = 0; i < n; i++) {
        if (!part[i].data) continue;
        put(entry, part[i].part, 2);
        entry[ENTRY_TYPE] = (uint8_t)part[i].type;
        entry[ENTRY_SLOT] = part[i].slot;
        put(entry + ENTRY_ELEMENTS, part[i].count, 8);
        memcpy(data, part[i].data, part[i].count * type_size(part[i].type));
        entry += ENTRY;
        data += padded_size(part[i].count, part[i].type);
    }
    put(v + AT_CHECKSUM, checksum(v, *size), 8);
    return v;
}

static int corrupt(reason_t *why, const char *what) {
    reason_set(why, "corrupt: %s", what);
    return RC_DATA;
}

/* The checksum comes first: a damaged header must not be taken for one of another version. A
 * machine of the other byte order writes the checksum with its bytes reversed. */
static int check_header(const uint8_t *v, size_t size, unsigned version, token_key_t key,
                        reason_t *why) {
    if (size < VALUE_HEADER || size % 8) return corrupt(why, "a value's length");
    if ((uintptr_t)v % 8) return corrupt(why, "a value that is not aligned");
    uint64_t sum = checksum(v, size), stored = get(v + AT_CHECKSUM, 8);
    if (memcmp(v, magic, sizeof magic) != 0 || (stored != sum && __builtin_bswap64(stored) != sum))
        return corrupt(why, "its checksum does not match");
    if (v[AT_ENDIAN] != 'l') {
        reason_set(why, "written with the byte order '%c', this program reads 'l'",
                   v[AT_ENDIAN] == 'b' ? 'b' : '?');
        return RC_MISFIT;
    }
    if (stored != sum) return corrupt(why, "its checksum does not match");
    if (get(v + AT_VERSION, 2) != version) {
        reason_set(why, "format version %u, this program reads version %u",
                   (unsigned)get(v + AT_VERSION, 2), version);
        return RC_MISFIT;
    }
    if (v[AT_TAG] != key.tag || get(v + AT_SUB, 4) != key.sub || get(v + AT_ID, 8) != key.id)
        return corrupt(why, "it belongs to another key");
    return 0;
}

/* Fills the table of n parts whose data begin at byte `at`. */
static int parse_parts(const uint8_t *v, size_t size, size_t head_size, size_t at, value_t *out,
                       reason_t *why) {
    unsigned last = 0; /* number and slot of the part before */
    for (size_t i = 0; i < out->n; i++) {
        const uint8_t *entry = v + VALUE_HEADER + head_size + i * ENTRY;
        value_part_t *p = &out->part[i];
        *p = (value_part_t){.part = (uint16_t)get(entry, 2),
                            .slot = entry[ENTRY_SLOT],
                            .type = (char)entry[ENTRY_TYPE],
                            .count = get(entry + ENTRY_ELEMENTS, 8),
                            .data = v + at};
        size_t element = type_size(p->type);
        unsigned order = (unsigned)p->part << 8 | p->slot;
        if (!element || (i && order <= last)) return corrupt(why, "its table of parts");
        last = order;
        if (p->count > (size - at) / element || padded_size(p->count, p->type) > size - at)
            return corrupt(why, "a part longer than the value");
        at += padded_size(p->count, p->type);
    }
    return at == size ? 0 : corrupt(why, "bytes after the last part");
}

int value_parse_version(const uint8_t *v, size_t size, unsigned version, token_key_t key,
                        size_t head_size, value_t *out, reason_t *why) {
    int rc = check_header(v, size, version, key, why);
    if (rc) return rc;
    size_t n = get(v + AT_COUNT, 2), at = VALUE_HEADER + head_size + n * ENTRY;
    if (n > VALUE_PARTS || at > size) return corrupt(why, "more parts than there is room for");
    out->head = v + VALUE_HEADER;
    out->n = (unsigned)n;
    return parse_parts(v, size, head_size, at, out, why);
}

int value_parse(const uint8_t *v, size_t size, token_key_t key, size_t head_size, value_t *out,
                reason_t *why) {
    return value_parse_version(v, size, TOKEN_DB_VERSION, key, head_size, out, why);
}

const value_part_t *value_part(const value_t *v, unsigned part, unsigned slot) {
    for (unsigned i = 0; i < v->n; i++)
        if (v->part[i].part == part && v->part[i].slot == slot) return &v->part[i];
    return NULL;
}

uint64_t value_checksum(const uint8_t *v) {
    return get(v + AT_CHECKSUM, 8);
}
