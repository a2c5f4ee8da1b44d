/* token_oracle.h - token shards by plain LMDB and the offsets of common/io/FORMATS.md, sharing
 * nothing with the code under test: reads, checks and forges values.
 */
#ifndef TESTS_TOKEN_ORACLE_H
#define TESTS_TOKEN_ORACLE_H

#include "tests/test.h"
#include <lmdb.h>

#include <stdint.h>
#include <xxhash.h>

static inline uint64_t oracle_le(const uint8_t *p, int n) {
    uint64_t v = 0;
    while (n--) v = v << 8 | p[n];
    return v;
}
static inline uint64_t oracle_be(const uint8_t *p, int n) {
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v = v << 8 | p[i];
    return v;
}

static inline uint64_t oracle_sum(const uint8_t *v, size_t size) {
    return XXH64(v + 24, size - 24, XXH64(v, 16, 0));
}

/* 16-byte key. */
static inline const uint8_t *oracle_key(int tag, uint32_t sub, uint64_t id) {
    static uint8_t key[16];
    memset(key, 0, sizeof key);
    key[0] = (uint8_t)tag;
    for (int i = 0; i < 4; i++) key[7 - i] = (uint8_t)(sub >> 8 * i);
    for (int i = 0; i < 8; i++) key[15 - i] = (uint8_t)(id >> 8 * i);
    return key;
}

/* A copy of a value, NULL when absent. */
static inline uint8_t *oracle_get(const char *path, int tag, uint32_t sub, uint64_t id,
                                  size_t *size) {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val k = {16, (void *)(uintptr_t)oracle_key(tag, sub, id)}, v;
    uint8_t *copy = NULL;
    *size = 0;
    mdb_env_create(&env);
    if (mdb_env_open(env, path, MDB_RDONLY | MDB_NOLOCK, 0) ||
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) || mdb_dbi_open(txn, NULL, 0, &dbi))
        exit(1);
    if (mdb_get(txn, dbi, &k, &v) == 0) {
        copy = malloc(v.mv_size);
        memcpy(copy, v.mv_data, *size = v.mv_size);
    }
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return copy;
}

/* Stores a value, with a checksum that matches when `sum`. */
static inline void oracle_put(const char *path, int tag, uint32_t sub, uint64_t id, uint8_t *value,
                              size_t size, bool sum) {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    if (sum) {
        uint64_t s = oracle_sum(value, size);
        memcpy(value + 16, &s, 8);
    }
    MDB_val k = {16, (void *)(uintptr_t)oracle_key(tag, sub, id)}, v = {size, value};
    mdb_env_create(&env);
    mdb_env_set_mapsize(env, 64 << 20);
    if (mdb_env_open(env, path, 0, 0666) || mdb_txn_begin(env, NULL, 0, &txn) ||
        mdb_dbi_open(txn, NULL, 0, &dbi) || mdb_put(txn, dbi, &k, &v, 0) || mdb_txn_commit(txn))
        exit(1);
    mdb_env_close(env);
}

/* The data of part `number` of `slot` of a value whose head has `head` bytes; NULL when absent. */
static inline const uint8_t *oracle_part_at(const uint8_t *v, size_t head, unsigned number,
                                            unsigned slot, char *type, uint64_t *count) {
    const uint8_t *entry = v + 32 + head, *data = entry + 16 * oracle_le(v + 10, 2);
    for (unsigned i = 0; i < oracle_le(v + 10, 2); i++, entry += 16) {
        uint64_t n = oracle_le(entry + 8, 8), bytes = n * (entry[2] == 'B'   ? 1
                                                           : entry[2] == 'H' ? 2
                                                                             : 4);
        *type = (char)entry[2];
        *count = n;
        if (oracle_le(entry, 2) == number && entry[3] == slot) return data;
        data += (bytes + 7) / 8 * 8;
    }
    return NULL;
}
/* The same for parts that belong to no slot. */
static inline const uint8_t *oracle_part(const uint8_t *v, size_t head, unsigned number, char *type,
                                         uint64_t *count) {
    return oracle_part_at(v, head, number, 0, type, count);
}

/* Hash of all keys and values; *n entries. Checks lengths, alignment, headers and checksums on the
 * way. */
static inline uint64_t oracle_dump(const char *path, size_t *n) {
    MDB_env *env;
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_dbi dbi;
    MDB_val k, v;
    uint64_t hash = 0;
    *n = 0;
    mdb_env_create(&env);
    if (mdb_env_open(env, path, MDB_RDONLY | MDB_NOLOCK, 0) ||
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) || mdb_dbi_open(txn, NULL, 0, &dbi) ||
        mdb_cursor_open(txn, dbi, &cursor))
        exit(1);
    for (int op = MDB_FIRST; mdb_cursor_get(cursor, &k, &v, (MDB_cursor_op)op) == 0;
         op = MDB_NEXT, ++*n) {
        const uint8_t *key = k.mv_data, *value = v.mv_data;
        CHECK(k.mv_size == 16 && v.mv_size % 8 == 0 && v.mv_size >= 32, "lengths %zu %zu",
              k.mv_size, v.mv_size);
        CHECK((uintptr_t)key % 8 == 0 && (uintptr_t)value % 8 == 0, "entry %zu is not aligned", *n);
        CHECK(memcmp(value, "tkdb\x02\0", 6) == 0 && value[6] == key[0] && value[7] == 'l',
              "entry %zu: header", *n);
        CHECK(oracle_le(value + 12, 4) == oracle_be(key + 4, 4) &&
              oracle_le(value + 24, 8) == oracle_be(key + 8, 8));
        CHECK(oracle_le(value + 16, 8) == oracle_sum(value, v.mv_size), "entry %zu: checksum", *n);
        hash = XXH64(key, 16, hash);
        hash = XXH64(value, v.mv_size, hash);
    }
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return hash;
}

#endif
