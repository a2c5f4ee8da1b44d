/* h5_column.c - datasets that grow row by row. See h5_write.h.
 *
 * Rows gather in one chunk, through deflate where the dataset is compressed; a full chunk goes to
 * the file. A dataset of one chunk is indexed by its layout message, one of several by a fixed
 * array.
 */
#include "common/io/episodes/h5_bytes.h"
#include <stdlib.h>

enum { GZIP_LEVEL = 4, HEAP_BYTES = 64 << 10, HEAP_HEAD = 16, HEAP_LEAST = 4096, TEXT_BYTES = 16 };

/* ---- types ---- */

static const struct {
    size_t size;
    bool is_signed, is_float;
} types[H5W_TYPES] = {
    [H5W_U8] = {1, false, false},  [H5W_I8] = {1, true, false},
    [H5W_U16] = {2, false, false}, [H5W_I16] = {2, true, false},
    [H5W_U32] = {4, false, false}, [H5W_I32] = {4, true, false},
    [H5W_U64] = {8, false, false}, [H5W_I64] = {8, true, false},
    [H5W_F32] = {4, true, true},   [H5W_F64] = {8, true, true},
    [H5W_BOOL] = {1, true, false}, [H5W_TEXT] = {TEXT_BYTES, false, false},
};

size_t h5w_size(h5w_type_t type) {
    return types[type].size;
}

/* Class and version, 24 bits of flags, size; then what the class asks for (IV.A.2.d). */
static void put_integer(h5w_bytes_t *b, size_t size, bool is_signed) {
    enum { FIXED_1 = 0x10, SIGNED = 8 };
    h5b_int(b, FIXED_1, 1);
    h5b_int(b, is_signed ? SIGNED : 0, 3);
    h5b_int(b, size, 4);
    h5b_int(b, 0, 2);
    h5b_int(b, 8 * size, 2);
}

static void put_float(h5w_bytes_t *b, size_t size) {
    enum { FLOAT_1 = 0x11, MANTISSA_BEGINS_WITH_1 = 0x20 };
    size_t exponent = size == 8 ? 11 : 8, mantissa = 8 * size - 1 - exponent;
    h5b_int(b, FLOAT_1, 1);
    h5b_int(b, MANTISSA_BEGINS_WITH_1, 1);
    h5b_int(b, 8 * size - 1, 2); /* the sign's bit */
    h5b_int(b, size, 4);
    h5b_int(b, 0, 2);
    h5b_int(b, 8 * size, 2);
    h5b_int(b, mantissa, 1);
    h5b_int(b, exponent, 1);
    h5b_int(b, 0, 1);
    h5b_int(b, mantissa, 1);
    h5b_int(b, ((uint64_t)1 << (exponent - 1)) - 1, 4); /* the exponent's bias */
}

void h5b_datatype(h5w_bytes_t *b, h5w_type_t type) {
    enum { ENUM_3 = 0x38, VLEN_1 = 0x19, UTF8_STRING = 0x101 };
    if (type == H5W_BOOL) {
        h5b_int(b, ENUM_3, 1);
        h5b_int(b, 2, 3);
        h5b_int(b, 1, 4);
        put_integer(b, 1, true);
        h5b_put(b, "FALSE\0TRUE\0\0\1", 13);
    } else if (type == H5W_TEXT) {
        h5b_int(b, VLEN_1, 1);
        h5b_int(b, UTF8_STRING, 3);
        h5b_int(b, TEXT_BYTES, 4);
        put_integer(b, 1, false);
    } else if (types[type].is_float) {
        put_float(b, types[type].size);
    } else {
        put_integer(b, types[type].size, types[type].is_signed);
    }
}

/* ---- rows ---- */

h5w_column_t h5w_column(h5w_type_t type, int rank, const size_t *dim, bool zip) {
    h5w_column_t c = {.type = type, .rank = rank, .row_bytes = h5w_size(type), .zip = zip};
    if (rank >= H5W_RANK) BUG("a dataset of rank %d", rank);
    for (int i = 0; i < rank; i++) {
        c.dim[i] = dim[i];
        c.row_bytes *= dim[i];
    }
    c.chunk_rows = c.row_bytes < H5W_CHUNK ? H5W_CHUNK / c.row_bytes : 1;
    return c;
}

/* Runs deflate over n bytes into the chunk. */
static void squeeze(h5w_column_t *c, const void *bytes, size_t n, int flush) {
    if (!c->stream) {
        c->stream = NEW(z_stream);
        if (deflateInit(c->stream, GZIP_LEVEL) != Z_OK) die(RC_RUNTIME, "out of memory in zlib");
    }
    z_stream *z = c->stream;
    z->next_in = (Bytef *)(uintptr_t)bytes;
    z->avail_in = (uInt)n;
    int rc;
    do {
        c->chunk.v = xgrow(c->chunk.v, &c->chunk.cap, c->chunk.n + 4096, 1);
        size_t room = c->chunk.cap - c->chunk.n;
        z->next_out = c->chunk.v + c->chunk.n;
        z->avail_out = (uInt)(room < UINT32_MAX ? room : UINT32_MAX);
        uInt before = z->avail_out;
        rc = deflate(z, flush);
        c->chunk.n += before - z->avail_out;
    } while (flush == Z_FINISH ? rc != Z_STREAM_END : z->avail_in > 0);
}

static void gather(h5w_column_t *c, const void *bytes, size_t n) {
    if (c->zip)
        squeeze(c, bytes, n, Z_NO_FLUSH);
    else
        h5b_put(&c->chunk, bytes, n);
}

/* The texts of the rows that wait, as a global heap (III.E); the rows learn its address. */
static void flush_heap(h5w_t *f, h5w_column_t *c) {
    h5w_bytes_t *heap = &c->heap;
    size_t rows = c->chunk.n / TEXT_BYTES;
    if (heap->n) {
        /* What is left to the least size of a heap is object 0, free space. */
        if (heap->n + HEAP_HEAD <= HEAP_LEAST) {
            size_t left = HEAP_LEAST - heap->n;
            h5b_zeros(heap, 8);
            h5b_int(heap, left, 8);
            h5b_zeros(heap, left - 16);
        }
        for (size_t i = 0; i < 8; i++) heap->v[8 + i] = (uint8_t)((uint64_t)heap->n >> 8 * i);
        uint64_t at = h5b_append(f, heap->v, heap->n);
        for (size_t row = c->first_heap_row; row < rows; row++) {
            uint8_t *text = c->chunk.v + row * TEXT_BYTES;
            if (!h5b_get(text, 4)) continue;
            for (size_t i = 0; i < 8; i++) text[4 + i] = (uint8_t)(at >> 8 * i);
        }
    }
    heap->n = 0;
    c->heap_objects = 0;
    c->first_heap_row = rows;
}

static void flush_chunk(h5w_t *f, h5w_column_t *c) {
    if (c->type == H5W_TEXT) flush_heap(f, c);
    if (c->zip) {
        squeeze(c, NULL, 0, Z_FINISH);
        deflateReset(c->stream);
    }
    c->piece = xgrow(c->piece, &c->piece_cap, c->n_pieces + 1, sizeof *c->piece);
    c->piece[c->n_pieces++] = (struct h5w_piece){h5b_append(f, c->chunk.v, c->chunk.n), c->chunk.n};
    c->chunk.n = 0;
    c->first_heap_row = 0;
    c->in_chunk = 0;
}

static void count_row(h5w_t *f, h5w_column_t *c) {
    c->rows++;
    if (++c->in_chunk == c->chunk_rows) flush_chunk(f, c);
}

void h5w_rows(h5w_t *f, h5w_column_t *c, const void *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        gather(c, (const uint8_t *)rows + i * c->row_bytes, c->row_bytes);
        count_row(f, c);
    }
}

void h5w_text(h5w_t *f, h5w_column_t *c, const char *text) {
    size_t n = strlen(text), whole = (n + 7) & ~(size_t)7;
    if (c->heap.n && (c->heap.n + HEAP_HEAD + whole > HEAP_BYTES || c->heap_objects == UINT16_MAX))
        flush_heap(f, c);
    if (n && !c->heap.n) {
        h5b_put(&c->heap, "GCOL\1\0\0\0", 8);
        h5b_zeros(&c->heap, 8); /* its size */
    }
    if (n) {
        h5b_int(&c->heap, ++c->heap_objects, 2);
        h5b_int(&c->heap, 0, 6); /* references, which nobody counts; reserved */
        h5b_int(&c->heap, n, 8);
        h5b_put(&c->heap, text, n);
        h5b_zeros(&c->heap, whole - n);
    }
    h5b_int(&c->chunk, n, 4);
    h5b_int(&c->chunk, 0, 8); /* the heap's address; none for an empty text */
    h5b_int(&c->chunk, n ? c->heap_objects : 0, 4);
    count_row(f, c);
}

/* ---- the header ---- */

static void put_dataspace(h5w_bytes_t *b, const h5w_column_t *c) {
    enum { VERSION = 2, SIMPLE = 1 };
    size_t m = h5b_message(b, H5B_DATASPACE, 0);
    h5b_int(b, VERSION, 1);
    h5b_int(b, (uint64_t)c->rank + 1, 1);
    h5b_int(b, 0, 1); /* as large as it will ever be */
    h5b_int(b, SIMPLE, 1);
    h5b_int(b, c->rows, 8);
    for (int i = 0; i < c->rank; i++) h5b_int(b, c->dim[i], 8);
    h5b_message_end(b, m);
}

static void put_filters(h5w_bytes_t *b) {
    enum { VERSION = 2, DEFLATE = 1, OPTIONAL = 1 };
    size_t m = h5b_message(b, H5B_FILTERS, 1);
    h5b_int(b, VERSION, 1);
    h5b_int(b, 1, 1);
    h5b_int(b, DEFLATE, 2);
    h5b_int(b, OPTIONAL, 2);
    h5b_int(b, 1, 2);
    h5b_int(b, GZIP_LEVEL, 4);
    h5b_message_end(b, m);
}

/* The bytes that a chunk's longest side takes: readers ask for exactly so many. */
static size_t side_bytes(const h5w_column_t *c, uint64_t rows) {
    uint64_t most = rows;
    for (int i = 0; i < c->rank; i++)
        if (c->dim[i] > most) most = c->dim[i];
    size_t bits = 0;
    while (most >>= 1) bits++;
    return (bits + 8) / 8;
}

/* As many bytes as the size of a compressed chunk takes, which may be larger than the chunk. */
static size_t size_bytes(uint64_t chunk) {
    size_t bits = 0;
    while (chunk >>= 1) bits++;
    return 1 + (bits + 8) / 8;
}

/* The places of the chunks, as a fixed array (VIII.B): a header and one data block. */
static uint64_t put_array(h5w_t *f, const h5w_column_t *c, uint64_t chunk_bytes, int page_bits) {
    size_t length = c->zip ? size_bytes(chunk_bytes) : 0;
    size_t entry = 8 + (c->zip ? length + 4 : 0);
    h5w_bytes_t head = {0}, block = {0};
    enum { HEAD_BYTES = 28 };
    uint64_t at = f->end;
    h5b_put(&head, "FAHD", 4);
    h5b_int(&head, 0, 1);
    h5b_int(&head, c->zip, 1);
    h5b_int(&head, entry, 1);
    h5b_int(&head, (uint64_t)page_bits, 1);
    h5b_int(&head, c->n_pieces, 8);
    h5b_int(&head, at + HEAD_BYTES, 8);
    h5b_seal(&head);
    h5b_put(&block, "FADB", 4);
    h5b_int(&block, 0, 1);
    h5b_int(&block, c->zip, 1);
    h5b_int(&block, at, 8);
    for (size_t i = 0; i < c->n_pieces; i++) {
        h5b_int(&block, c->piece[i].at, 8);
        if (!c->zip) continue;
        h5b_int(&block, c->piece[i].bytes, length);
        h5b_int(&block, 0, 4); /* no filter was left out */
    }
    h5b_seal(&block);
    h5b_append(f, head.v, head.n);
    h5b_append(f, block.v, block.n);
    free(head.v);
    free(block.v);
    return at;
}

static void put_layout(h5w_t *f, h5w_bytes_t *b, const h5w_column_t *c) {
    enum { CONTIGUOUS_VERSION = 3, CONTIGUOUS = 1, VERSION = 4, CHUNKED = 2, SINGLE_FILTERED = 2 };
    enum { SINGLE = 1, FIXED_ARRAY = 3, PAGE_BITS = 30 };
    bool single = c->n_pieces == 1;
    uint64_t rows = single ? c->rows : c->chunk_rows;
    size_t side = side_bytes(c, rows);
    uint64_t array = c->n_pieces > 1 ? put_array(f, c, rows * c->row_bytes, PAGE_BITS) : 0;
    size_t m = h5b_message(b, H5B_LAYOUT, 0);
    if (c->n_pieces == 0) {
        h5b_int(b, CONTIGUOUS_VERSION, 1);
        h5b_int(b, CONTIGUOUS, 1);
        h5b_int(b, H5B_NOWHERE, 8);
        h5b_int(b, 0, 8);
        h5b_message_end(b, m);
        return;
    }
    h5b_int(b, VERSION, 1);
    h5b_int(b, CHUNKED, 1);
    h5b_int(b, single && c->zip ? SINGLE_FILTERED : 0, 1);
    h5b_int(b, (uint64_t)c->rank + 2, 1); /* rows, dimensions, bytes of a value */
    h5b_int(b, side, 1);
    h5b_int(b, rows, side);
    for (int i = 0; i < c->rank; i++) h5b_int(b, c->dim[i], side);
    h5b_int(b, h5w_size(c->type), side);
    h5b_int(b, single ? SINGLE : FIXED_ARRAY, 1);
    if (!single) {
        h5b_int(b, PAGE_BITS, 1);
    } else if (c->zip) {
        h5b_int(b, c->piece[0].bytes, 8);
        h5b_int(b, 0, 4);
    }
    h5b_int(b, single ? c->piece[0].at : array, 8);
    h5b_message_end(b, m);
}

uint64_t h5w_column_end(h5w_t *f, h5w_column_t *c) {
    if (c->n_pieces) { /* all chunks are equally long: the rest of the last one means nothing */
        uint8_t *zeros = xcalloc(1, c->row_bytes);
        while (c->in_chunk && c->in_chunk < c->chunk_rows) {
            gather(c, zeros, c->row_bytes);
            c->in_chunk++;
        }
        free(zeros);
    }
    if (c->in_chunk) flush_chunk(f, c);
    h5w_bytes_t b = {0};
    put_dataspace(&b, c);
    size_t m = h5b_message(&b, H5B_DATATYPE, 1);
    h5b_datatype(&b, c->type);
    h5b_message_end(&b, m);
    m = h5b_message(&b, H5B_FILL, 1);
    h5b_put(&b, "\3\x0b", 2); /* version 3; space is taken chunk by chunk; zero */
    h5b_message_end(&b, m);
    if (c->zip && c->n_pieces) put_filters(&b);
    put_layout(f, &b, c);
    uint64_t at = h5b_header(f, &b);
    free(b.v);
    h5w_column_release(c);
    return at;
}

void h5w_column_release(h5w_column_t *c) {
    if (c->stream) deflateEnd(c->stream);
    free(c->stream);
    free(c->chunk.v);
    free(c->heap.v);
    free(c->piece);
    *c = (h5w_column_t){0};
}
